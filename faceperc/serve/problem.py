"""Errors as JSON, in the form of RFC 9457 (application/problem+json)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from faceperc._names import unknown_name
from faceperc.serve.schema import QUERIES, Problem

MEDIA_TYPE = "application/problem+json"


class Refusal(Exception):
    """A request that is not answered with faces.

    Attributes:
        status: of HTTP.
        kind: short name of the reason, which programs can tell; docs/serve.md lists them.
        detail: what is wrong and what to do.
        headers: further headers of the answer.
    """

    def __init__(self, status: int, kind: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.kind, self.detail, self.headers = status, kind, detail, dict(headers or {})

    def response(self) -> JSONResponse:
        """The answer."""
        problem = Problem(
            type=f"urn:problem-type:faceperc:{self.kind}",
            title=HTTPStatus(self.status).phrase,
            status=self.status,
            detail=self.detail,
        )
        return JSONResponse(problem.model_dump(), self.status, self.headers, MEDIA_TYPE)


def add_handlers(app: FastAPI, always: Mapping[str, str]) -> None:
    """Let each error of an application become a problem.

    Args:
        app: the application.
        always: headers that every answer has; the answer to a bug goes past what adds them to the others.
    """

    @app.exception_handler(Refusal)
    async def refused(_: Request, error: Refusal) -> JSONResponse:
        return error.response()

    @app.exception_handler(HTTPException)
    async def no_route(request: Request, error: HTTPException) -> JSONResponse:
        kinds = {404: "no-such-address", 405: "wrong-method"}
        method, path = request.method, request.url.path
        details = {
            404: f"there is nothing at {path}; images are sent to /v1/faces, /openapi.json lists all",
            405: f"{path} takes no {method}, but {(error.headers or {}).get('Allow', 'another method')}",
        }
        status = error.status_code
        kind, detail = kinds.get(status, "error"), details.get(status, str(error.detail))
        return Refusal(status, kind, detail, error.headers).response()

    @app.exception_handler(RequestValidationError)
    async def wrong_parameter(request: Request, error: RequestValidationError) -> JSONResponse:
        known = QUERIES[request.scope["route"].path].model_fields
        return Refusal(422, "wrong-parameter", _describe(error.errors(), known)).response()

    @app.exception_handler(Exception)
    async def failed(_: Request, error: Exception) -> JSONResponse:
        # after an error that nobody caught the server closes the connection
        headers = {**always, "Connection": "close"}
        return Refusal(500, "internal", "a bug of the service, which its log tells of", headers).response()


def _describe(errors: Sequence[Mapping[str, Any]], known: Iterable[str]) -> str:
    """What pydantic found wrong with the query, in our words."""
    texts = []
    for each in errors:
        name = str(each["loc"][-1])
        if each["type"] == "extra_forbidden":
            texts.append(unknown_name("parameter", name, known))
        else:
            texts.append(f"{name}: {each['msg'][:1].lower()}{each['msg'][1:]}; got {each['input']!r:.100}")
    return "; ".join(texts)
