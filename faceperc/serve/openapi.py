"""The OpenAPI document: FastAPI's, with this model's own tasks, labels and units in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from faceperc.metadata import TaskInfo
from faceperc.serve.guard import OPEN
from faceperc.serve.problem import MEDIA_TYPE
from faceperc.serve.schema import KIND_MODELS, Problem

Schema = dict[str, Any]

_REASONS = {
    401: "The key is missing or wrong.",
    408: "The image did not arrive in time.",
    413: "Too many bytes or pixels.",
    415: "No image of a format that is read.",
    422: "A damaged image or a wrong parameter.",
    503: "Too many requests are in progress.",
    504: "No answer in time.",
}
_REF = "#/components/schemas/"


def problems(*statuses: int) -> dict[int | str, Schema]:
    """The errors that an address may answer with, as FastAPI takes them."""
    return {status: {"model": Problem, "description": _REASONS[status]} for status in statuses}


def openapi_of(app: FastAPI, tasks: Mapping[str, TaskInfo], min_score: float, needs_key: bool) -> Schema:
    """The document; made once.

    Args:
        app: the application.
        tasks: of its model.
        min_score: the least that a request may ask for.
        needs_key: whether it wants a key.
    """
    if app.openapi_schema is not None:
        return app.openapi_schema
    document = get_openapi(
        title=app.title,
        version=app.version,
        summary="One look at a face, every answer.",
        routes=app.routes,
    )
    schemas = document["components"]["schemas"]
    schemas["Face"]["properties"]["tasks"] = _tasks(tasks, schemas["Face"]["properties"]["tasks"])
    for path, methods in document["paths"].items():
        for operation in methods.values():
            for parameter in operation.get("parameters", ()):
                _narrow(parameter, list(tasks), min_score)
            if needs_key and path not in OPEN:
                operation["security"] = [{"key": []}]
                operation["responses"]["401"] = _problem(_REASONS[401])
            for status, response in operation["responses"].items():
                if int(status) >= 400:
                    operation["responses"][status] = _problem(response["description"])
    if needs_key:
        document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    app.openapi_schema = document
    return document


def _problem(description: str) -> Schema:
    content = {MEDIA_TYPE: {"schema": {"$ref": f"{_REF}Problem"}}}
    return {"description": description, "content": content}


def _narrow(parameter: Schema, tasks: list[str], min_score: float) -> None:
    """Tell what this service takes."""
    if parameter["name"] == "tasks":
        names = {"type": "array", "items": {"enum": tasks}, "minItems": 1}
        parameter.update(schema=names, style="form", explode=False)
    elif parameter["name"] == "min_score":
        parameter["schema"] = {"type": "number", "minimum": min_score, "maximum": 1}


def _tasks(tasks: Mapping[str, TaskInfo], general: Schema) -> Schema:
    """An object with these tasks; each may be missing, for a request may want fewer."""
    return {
        "type": "object",
        "title": general.get("title", "Tasks"),
        "description": general["description"],
        "properties": {name: _task(info) for name, info in tasks.items()},
        "additionalProperties": False,
    }


def _task(info: TaskInfo) -> Schema:
    """The schema of the task's kind, narrowed to its labels, its unit and its number of points."""
    schema: Schema = {"$ref": f"{_REF}{KIND_MODELS[info.kind].__name__}"}
    properties = _details(info)
    if properties:
        schema = {"allOf": [schema, {"type": "object", "properties": properties}]}
    about = [info.description, f"in {info.unit}" if info.unit else ""]
    if info.kind == "points" and info.labels:
        about.append(f"points: {', '.join(info.labels)}")
    if text := "; ".join(part for part in about if part):
        schema["description"] = text
    return schema


def _details(info: TaskInfo) -> Schema:
    """What is known of the fields of the result, by name."""
    labels = list(info.labels)
    by_label = {"properties": {label: {"type": "number"} for label in labels}, "required": labels}
    if info.kind == "classes":
        return {"label": {"enum": labels}, "probabilities": by_label}
    if info.kind == "probabilities":
        return {"probabilities": by_label}
    if info.kind == "mask":
        return {"labels": {"const": labels}, "areas": by_label}
    if info.kind == "scalar":
        return {"unit": {"const": info.unit}}
    count = info.fields["points"].shape[1] if info.kind == "points" else None
    return {"points": {"minItems": count, "maxItems": count}} if isinstance(count, int) else {}
