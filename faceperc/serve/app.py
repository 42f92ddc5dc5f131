"""The application: its addresses. `faceperc serve` runs it, and so can any ASGI server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Annotated

from fastapi import FastAPI, Query, Request, Response
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect

from faceperc import __version__
from faceperc._names import unknown_name
from faceperc.predict import Predictor
from faceperc.results import Faces
from faceperc.serve import engine, schema
from faceperc.serve.body import REQUEST_BODY
from faceperc.serve.guard import HEADERS, Guard
from faceperc.serve.metrics import CONTENT_TYPE
from faceperc.serve.openapi import openapi_of, problems
from faceperc.serve.options import Options
from faceperc.serve.page import page
from faceperc.serve.problem import Refusal, add_handlers
from faceperc.serve.service import Service

TRUNCATED = "Faceperc-Truncated"

_TRUNCATED_HEADER = {
    TRUNCATED: {"description": "true where there are more faces than are given", "schema": {"type": "string"}}
}
_PROBLEMS = problems(408, 413, 415, 422, 503, 504)


def create_app(predictor: Predictor, options: Options | None = None) -> FastAPI:
    """An application that answers with a predictor.

    Args:
        predictor: with all the tasks that requests may want. Its ``threads`` are those of each worker.
        options: limits and workings.

    Raises:
        ModelError: if the detector cannot be opened.
    """
    options = options or Options()
    service = Service(predictor, options)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with service:
            yield

    # the pages that FastAPI makes of the schema load their scripts from the network
    app = FastAPI(title="faceperc", version=__version__, docs_url=None, redoc_url=None, lifespan=lifespan)
    app.router.redirect_slashes = False  # to an address that lacks what a proxy has stripped
    _add_faces(app, service)
    _add_about(app, service)
    add_handlers(app, HEADERS)

    @app.exception_handler(ClientDisconnect)
    async def gone(_: Request, __: ClientDisconnect) -> Response:
        return Response(status_code=499)  # nobody reads it; it is counted

    app.openapi = partial(openapi_of, app, predictor.tasks, service.min_score, options.key is not None)  # type: ignore[method-assign]
    routes = {getattr(route, "path", ""): route for route in app.routes}
    app.add_middleware(Guard, options=options, metrics=service.metrics, routes=routes)
    if options.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=options.origins,
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization"],
            expose_headers=[TRUNCATED, "Retry-After"],
        )
    return app


def _add_faces(app: FastAPI, service: Service) -> None:
    limit = service.options.max_faces

    async def answer(request: Request, wanted: schema.Wanted, masks: bool | None) -> Response:
        _check_once(request)
        names = _task_names(wanted.tasks, list(service.predictor.tasks))
        if wanted.min_score is not None and wanted.min_score < service.min_score:
            detail = f"min_score: this service keeps no face below {service.min_score:g}; give that or more"
            raise Refusal(422, "wrong-parameter", detail)

        def render(faces: Faces) -> tuple[bytes, str, bool]:
            chosen = engine.select(faces, names, wanted.min_score)
            is_more, chosen = len(chosen) > limit, chosen[:limit]
            if masks is None:
                return engine.to_jpeg(chosen), "image/jpeg", is_more
            return engine.to_json(chosen, masks), "application/json", is_more

        body, media_type, is_more = await service.answer(request, render)
        headers = {TRUNCATED: "true"} if is_more else None
        return Response(body, media_type=media_type, headers=headers)

    @app.post(
        "/v1/faces",
        summary="Everything about the faces of an image",
        response_model=schema.Faces,
        responses={200: {"headers": _TRUNCATED_HEADER}, **_PROBLEMS},
        openapi_extra={"requestBody": REQUEST_BODY},
    )
    async def faces(request: Request, wanted: Annotated[schema.WantedJson, Query()]) -> Response:
        return await answer(request, wanted, wanted.masks)

    @app.post(
        "/v1/faces/drawn",
        summary="The image with everything drawn on it",
        response_class=Response,
        responses={
            200: {"headers": _TRUNCATED_HEADER, "content": {"image/jpeg": {}}, "description": "A JPEG."},
            **_PROBLEMS,
        },
        openapi_extra={"requestBody": REQUEST_BODY},
    )
    async def drawn(request: Request, wanted: Annotated[schema.Wanted, Query()]) -> Response:
        return await answer(request, wanted, None)


def _add_about(app: FastAPI, service: Service) -> None:
    predictor, options = service.predictor, service.options
    html, policy = page()

    @app.get("/v1/model", summary="What answers here, and its limits")
    async def model() -> schema.Model:
        return schema.Model(
            faceperc=__version__,
            name=predictor.metadata.name,
            provider=predictor.provider,
            limits=schema.Limits(
                max_bytes=options.max_bytes,
                max_pixels=options.max_pixels,
                max_faces=options.max_faces,
                deadline_s=options.deadline,
            ),
            face_model=predictor.metadata.raw,
            detector=service.detector,
        )

    @app.head("/healthz", include_in_schema=False)
    @app.get("/healthz", summary="Whether the process answers")
    async def healthz() -> schema.Status:
        return schema.Status(status="ok")

    @app.head("/readyz", include_in_schema=False)
    @app.get("/readyz", summary="Whether a request would be taken now", responses=problems(503))
    async def readyz() -> schema.Status:
        if service.is_busy:
            raise service.busy()
        return schema.Status(status="ready")

    @app.get("/metrics", summary="Counters for Prometheus", response_class=Response)
    async def metrics() -> Response:
        return Response(service.metrics.text(), media_type=CONTENT_TYPE)

    @app.head("/", include_in_schema=False)
    @app.get("/", include_in_schema=False)
    async def home() -> Response:
        return Response(html, media_type="text/html", headers={"Content-Security-Policy": policy})


def _check_once(request: Request) -> None:
    """Refuse a parameter that is given twice, of which only one would count.

    Raises:
        Refusal: if there is one.
    """
    for name in request.query_params:
        if len(request.query_params.getlist(name)) > 1:
            detail = f"{name} is given more than once; give it once, several names separated by commas"
            raise Refusal(422, "wrong-parameter", detail)


def _task_names(text: str | None, known: Sequence[str]) -> list[str] | None:
    """The tasks that a parameter names, in its words separated by commas.

    Raises:
        Refusal: if there is no such task, or none is named.
    """
    if text is None:
        return None
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in known:
            raise Refusal(422, "wrong-parameter", f"tasks: {unknown_name('task', name, known)}")
    if not names:
        raise Refusal(422, "wrong-parameter", f"tasks is empty; leave it out for all of: {', '.join(known)}")
    return names
