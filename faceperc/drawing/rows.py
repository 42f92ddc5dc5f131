"""What is written about a face, by KIND. Points and masks speak for themselves in the picture."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from faceperc._names import readable
from faceperc.kind import Kind
from faceperc.kinds import Classes, Probabilities, Rotation, Scalar
from faceperc.results import Face

MAX_CLASSES, MAX_LABELS = 3, 4  # rows of a task: of exclusive classes, of independent labels
MIN_PROBABILITY = 0.05  # a less probable class gets no row of its own


MAX_LETTERS = 40  # of a name: a longer one would leave no room for anything else


def short(name: str) -> str:
    """A name from a model as it is written in a picture."""
    return readable(name, MAX_LETTERS)


@dataclass(frozen=True)
class Row:
    """One row of a block of text.

    Attributes:
        name: of the task; empty where the row above has the same.
        value: what was found.
        share: in [0, 1], its probability, shown as a bar and in percent; None where there is none.
    """

    name: str
    value: str
    share: float | None = None


def descriptions(face: Face) -> Iterator[list[Row]]:
    """Descriptions of a face, from the fullest to the shortest; none where there is nothing to say."""
    head = _head(face)
    yield from _unless_empty(head + _task_rows(face, MAX_CLASSES, MAX_LABELS))
    yield from _unless_empty(head + _task_rows(face, 1, 1))
    yield from one_line(face)


def full_description(face: Face) -> list[Row]:
    """The rows with everything that is known of a face."""
    return next(descriptions(face), [])


def one_line(face: Face) -> Iterator[list[Row]]:
    """The face in one row, e.g. ``happiness 90%, 36 ± 14 years, female 71%``, then shorter ones."""
    words = [] if face.track is None else [f"#{face.track}"]
    if face.is_hidden:
        words.append("head")
    for result in face.tasks.values():
        if isinstance(result, Classes | Scalar):
            words.append(short(result.summary()))
    if not words and not math.isnan(face.score):
        words = [f"{face.score:.0%}"]
    for count in range(len(words), 0, -1):
        yield [Row("", ", ".join(words[:count]))]


def _unless_empty(rows: list[Row]) -> Iterator[list[Row]]:
    if rows:
        yield rows


def _head(face: Face) -> list[Row]:
    """The row that says which face it is, and how sure it is one."""
    track = "" if face.track is None else f" {face.track}"
    if face.is_hidden:
        return [Row(f"head{track}", "face not seen")]
    if math.isnan(face.score):
        return [Row(f"face{track}", "")] if track else []
    return [Row(f"face{track}", "", face.score)]


def _task_rows(face: Face, max_classes: int, max_labels: int) -> list[Row]:
    return [
        row for name, result in face.tasks.items() for row in _rows(name, result, max_classes, max_labels)
    ]


def _rows(name: str, result: Kind, max_classes: int, max_labels: int) -> list[Row]:
    if isinstance(result, Rotation | Scalar):
        return [Row(short(name), short(result.summary()))]
    if isinstance(result, Classes):
        order = (-result.probabilities).argsort(kind="stable")[:max_classes]
        chosen = {result.labels[i]: float(result.probabilities[i]) for i in order}
        top = result.label
        # the second of two classes says nothing new
        chosen = {
            label: value
            for label, value in chosen.items()
            if label == top or (value >= MIN_PROBABILITY and len(result.labels) > 2)
        }
    elif isinstance(result, Probabilities):
        chosen = dict(list(result.above(0.5).items())[:max_labels])
    else:
        return []
    names = [short(name), *[""] * len(chosen)]
    return [
        Row(first, short(label), value) for first, (label, value) in zip(names, chosen.items(), strict=False)
    ]
