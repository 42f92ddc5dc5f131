"""The evaluation as one HTML page that needs nothing else: figures, error curves, confusion, worst cases.

Pictures are inside it as data URIs, charts are SVG; it has no script and loads nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import resources
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import default_collate

from faceperc.classifier import ClassesHead
from faceperc.crop import CropRule, FaceCrop
from faceperc.data.view import View
from faceperc.draw import draw_faces
from faceperc.evaluate.measure import Measurement, crop_rule, run
from faceperc.evaluate.report import Result
from faceperc.html_report.pictures import data_uri
from faceperc.html_report.template import asset, environment
from faceperc.kind import Kind
from faceperc.kinds import KINDS, Classes, Points, Probabilities, Rotation
from faceperc.mask import Mask
from faceperc.metadata import TaskInfo
from faceperc.results import Face, Faces
from faceperc.runtime import OnnxModel

_PICTURE = 224  # side of a picture, pixels
_CURVE_POINTS = 101


@dataclass(frozen=True)
class Case:
    """One face on the page.

    Attributes:
        name: file and row.
        error: the error, or that the face was not found.
        pictures: caption and picture (a data URI) of each view of it.
        words: what was predicted and labelled, where it is not drawn.
    """

    name: str
    error: str
    pictures: list[tuple[str, str]]
    words: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Section:
    """One task on one source: its figures, its rows, its worst cases."""

    result: Result
    measurement: Measurement
    cases: list[Case]


def worst_cases(model: OnnxModel, measurement: Measurement, count: int) -> list[Case]:
    """The faces with the largest errors, the worst first, with prediction and label.

    Args:
        model: the model that was measured.
        measurement: a task on a source, with its faces.
        count: at most so many.
    """
    errors = measurement.head.sample_errors(measurement.rows)
    order = np.argsort(-errors, kind="stable")[:count]  # NaN comes last
    return [
        _case(model, measurement, int(index), float(errors[index]))
        for index in order
        if not np.isnan(errors[index])
    ]


def _case(model: OnnxModel, measurement: Measurement, index: int, error: float) -> Case:
    sample, box, head = measurement.samples[index], measurement.boxes[index], measurement.head
    rule = crop_rule(model)
    picture_rule = replace(rule, size=_PICTURE)
    if box is None:
        region = FaceCrop.from_box(sample.box, picture_rule)
        return Case(sample.name, "not found", [("", data_uri(region.warp(sample.pixels)))])
    view = View(FaceCrop.from_box(box, rule))
    output = run(model, [view.pixels(sample.pixels)])[measurement.task]
    target = default_collate([head.encode(sample.labels[measurement.task], view)])
    info = model.metadata.tasks[measurement.task]
    predicted = _present(output, info, rule)
    truth = head.nearest_truth(output, target)
    labelled = _present(truth, info, rule) if truth else None
    region = FaceCrop.from_box(box, picture_rule)
    photograph = region.warp(sample.pixels)
    if isinstance(predicted, Points | Mask | Rotation):
        where = region.to_crop(box.reshape(2, 2)).ravel()
        results = {"predicted": predicted} | ({} if labelled is None else {"labelled": labelled})
        pictures = [(title, data_uri(_draw(photograph, where, result))) for title, result in results.items()]
    else:
        pictures = [("", data_uri(photograph))]
    return Case(sample.name, f"{head.error_name}: {error:.3g}", pictures, _words(predicted, labelled))


def _present(fields: Mapping[str, Tensor], info: TaskInfo, rule: CropRule) -> Kind:
    """The fields of one face, each (1, ...), as a result in the frame of the picture."""
    middle = (_PICTURE - 1) / 2
    crop = FaceCrop((middle, middle), _PICTURE, rule.size)
    values = {name: value[0].numpy() for name, value in fields.items()}
    return KINDS[info.kind].from_output(values, info, crop, (_PICTURE, _PICTURE))


def _draw(photograph: np.ndarray, box: np.ndarray, result: Kind) -> np.ndarray:
    face = Face(box, math.nan, {"": result})
    return np.asarray(draw_faces(Faces((face,), photograph), captions=False))


def _words(predicted: Kind, labelled: Kind | None) -> list[tuple[str, str]]:
    """What a picture cannot show."""
    match predicted, labelled:
        case (Points() | Mask(), _):
            return []
        case (Classes(), Classes()):
            return [("predicted", predicted.summary()), ("labelled", labelled.label)]
        case (Probabilities(), Probabilities()):
            wrong = (predicted.values > 0.5) != (labelled.values > 0.5)
            names = [
                f"{label.replace('_', ' ')} {value:.0%}"
                for label, value, is_wrong in zip(predicted.labels, predicted.values, wrong, strict=True)
                if is_wrong
            ]
            return [("wrongly predicted", ", ".join(names))]
    words = [("predicted", predicted.summary())]
    return words if labelled is None else [*words, ("labelled", labelled.summary())]


@dataclass(frozen=True)
class Curve:
    """A cumulative error curve.

    Attributes:
        source: name of the source.
        shares: share of the faces, in [0, 1], whose error is at most 0 ... limit, at even steps. A face that
            was not found never counts.
    """

    source: str
    shares: list[float]


def error_curves(sections: Sequence[Section]) -> dict[str, list[Curve]]:
    """The curves of each task whose head asks for them (``Head.curve_limit``)."""
    curves: dict[str, list[Curve]] = {}
    for section in sections:
        head, rows = section.measurement.head, section.measurement.rows
        errors = head.sample_errors(rows)
        known = np.sort(errors[~np.isnan(errors)])
        if head.curve_limit is not None and len(known):
            steps = np.linspace(0, head.curve_limit, _CURVE_POINTS)
            shares = np.searchsorted(known, steps, side="right") / len(known)
            curves.setdefault(section.result.task, []).append(Curve(section.result.source, shares.tolist()))
    return curves


def confusions(sections: Sequence[Section]) -> list[tuple[Section, np.ndarray]]:
    """(C, C) samples of each true and predicted class, where the task is one of exclusive classes."""
    return [
        (section, section.measurement.head.confusion(section.measurement.rows))
        for section in sections
        if isinstance(section.measurement.head, ClassesHead)
    ]


def render(document: Mapping[str, Any], sections: Sequence[Section]) -> str:
    """The page.

    Args:
        document: ``model``, ``weights_sha256``, ``boxes`` and ``split`` of the evaluation.
        sections: in the order of the page.
    """
    pages = environment()
    pages.tests["finite"] = math.isfinite
    pages.filters["zip"] = zip
    template = pages.from_string((resources.files(__package__) / "page.html").read_text("utf-8"))
    heads = {section.result.task: section.measurement.head for section in sections}
    return template.render(
        document=document,
        style=asset("base.css"),
        sections=sections,
        heads=heads,
        curves=error_curves(sections),
        confusions=confusions(sections),
    )
