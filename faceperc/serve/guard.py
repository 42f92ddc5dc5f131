"""Around every request: the key, the headers that keep browsers careful, and the counting."""

from __future__ import annotations

import time
from collections.abc import Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from faceperc.serve.metrics import Metrics
from faceperc.serve.options import Options
from faceperc.serve.problem import Refusal

OPEN = ("/", "/healthz", "/readyz")  # they tell nothing and need no key
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Guard:
    """Middleware in plain ASGI, which leaves the body and the news that a client has gone alone."""

    def __init__(
        self, app: ASGIApp, options: Options, metrics: Metrics, routes: Mapping[str, object]
    ) -> None:
        """Wrap an application.

        Args:
            app: the application.
            options: its key.
            metrics: where requests are counted.
            routes: addresses that are counted by their names; all others together, for anybody can make up
                any number of them.
        """
        self._app, self._options, self._metrics, self._routes = app, options, metrics, routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        begin, status = time.perf_counter(), 500
        path = path_of(scope)

        async def send_more(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            if path in OPEN or self._options.accepts(_key(Headers(scope=scope))):
                await self._app(scope, receive, send_more)
            else:
                await _no_key().response()(scope, receive, send_more)
        finally:
            route = path if path in self._routes else "other"
            self._metrics.requests.labels(route, str(status)).inc()
            self._metrics.seconds.labels(route).observe(time.perf_counter() - begin)


def path_of(scope: Scope) -> str:
    """The address without the prefix under which the server has the application."""
    path, prefix = scope["path"], scope.get("root_path", "")
    return path.removeprefix(prefix) if path.startswith(f"{prefix}/") else path


def _key(headers: Headers) -> str:
    scheme, _, key = headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""


def _no_key() -> Refusal:
    detail = "this service wants its key; send the header 'Authorization: Bearer KEY'"
    return Refusal(401, "wrong-key", detail, {"WWW-Authenticate": "Bearer"})
