"""What a report holds, and how it is put together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from faceperc.batch.inputs import Input
from faceperc.errors import UsageError
from faceperc.html_report.confidence import confidences
from faceperc.html_report.facts import Facts, facts_of
from faceperc.html_report.inputs import Failure, Result, read_inputs
from faceperc.html_report.overlay import Overlay, overlay_of
from faceperc.predict import Predictor
from faceperc.results import Face

MAX_FACES = 1000


@dataclass(frozen=True)
class Options:
    """What goes into a report.

    Attributes:
        title: heading of the page.
        max_faces: at most so many faces get a card: those that the models are least sure of.
        crops_only: leave the whole pictures out.
    """

    title: str = "Faces"
    max_faces: int = MAX_FACES
    crops_only: bool = False

    def __post_init__(self) -> None:
        """Raises UsageError if no face is wanted."""
        if self.max_faces < 1:
            raise UsageError(f"--max-faces is 1 or more; got {self.max_faces}")


@dataclass
class Picture:
    """A picture of the report.

    Attributes:
        name: for people.
        path: its file; None where nobody knows it.
        size: width and height, pixels.
        faces: number of faces in it.
        image: data URI of it, if it is shown whole.
        missing: why it cannot be shown, or "".
    """

    name: str
    path: Path | None
    size: tuple[int, int]
    faces: int
    image: str | None = None
    missing: str = ""


@dataclass
class Card:
    """A face of the report.

    Attributes:
        picture: index of its picture.
        number: of the face within the picture, from 0.
        box: (4,) in image pixels.
        facts: what can be filtered.
        overlay: what can be drawn.
        confidence: compared with the other faces, in [0, 1]; NaN if unknown.
        thumbnail: data URI, or None where the picture is missing.
    """

    picture: int
    number: int
    box: NDArray[np.float64]
    facts: Facts
    overlay: Overlay
    confidence: float = np.nan
    thumbnail: str | None = None


@dataclass
class Report:
    """Everything that the page shows.

    Attributes:
        options: what was asked for.
        models: names of the models, in the order in which they occur.
        pictures: all that were looked at.
        all_facts: of all faces.
        cards: of the faces that are shown, the least sure first.
        failures: inputs that could not be used.
    """

    options: Options
    models: list[str] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    all_facts: list[Facts] = field(default_factory=list)
    cards: list[Card] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)


def gather(inputs: Iterable[Input], options: Options, predictor: Predictor | None) -> Report:
    """A report without its pictures."""
    report = Report(options)
    cards: list[Card] = []
    for each in read_inputs(inputs, predictor):
        if isinstance(each, Failure):
            report.failures.append(each)
            continue
        cards += [
            _card(face, number, len(report.pictures)) for number, face in enumerate(each.document.faces)
        ]
        report.pictures.append(_picture(each))
        if each.document.model not in (*report.models, ""):
            report.models.append(each.document.model)
    report.all_facts = [card.facts for card in cards]
    for card, value in zip(cards, confidences(report.all_facts), strict=True):
        card.confidence = float(value)
    # NaN, a face of which nobody knows, comes last
    report.cards = sorted(cards, key=lambda card: (np.isnan(card.confidence), card.confidence))
    report.cards = report.cards[: options.max_faces]
    return report


def _card(face: Face, number: int, picture: int) -> Card:
    # a face's masks and distributions are large, so of each only what the page shows is kept
    return Card(picture, number, face.box, facts_of(face), overlay_of(face))


def _picture(result: Result) -> Picture:
    document = result.document
    name = document.source or "a picture without a name"
    if document.time is not None:
        name = f"{name} at {document.time:.2f} s"
    return Picture(name, result.path, document.size, len(document.faces))
