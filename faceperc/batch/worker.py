"""What a worker process does with one image: read, predict, and make rows or a line of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from faceperc.batch.formats import Encoded, Format
from faceperc.batch.inputs import Input, shown
from faceperc.errors import FacepercError
from faceperc.image import ImageSource
from faceperc.predict import Predictor
from faceperc.results import Faces


@dataclass(frozen=True)
class Settings:
    """How to predict: the arguments of ``Predictor`` that are plain values."""

    model: str
    detector: str | None = None
    tasks: tuple[str, ...] | None = None
    threads: int | None = None
    provider: str | None = None
    min_score: float | None = None
    heads: bool = False
    tiles: bool | str = False

    def open(self) -> Predictor:
        """The predictor, with its detector open.

        Raises:
            ModelError: if a model cannot be opened.
            UsageError: if a setting is unknown or out of range.
        """
        options: dict[str, Any] = asdict(self)
        predictor = Predictor(**options)
        predictor.detector  # noqa: B018  (opened now, for without it no image can be done)
        return predictor


def attempt(predictor: Predictor, image: ImageSource) -> Faces | str:
    """The faces of an image, or why it could not be done: among many, none may stop the others."""
    try:
        return predictor(image)
    except FacepercError as error:
        return str(error)
    except MemoryError:
        return "memory ran out; use fewer workers"
    except Exception as error:  # a bug of ours, or of a detector of the user's
        return f"unexpected {type(error).__name__}: {error}; please report it"


@dataclass(frozen=True)
class Outcome:
    """What became of one image.

    Attributes:
        source: its path.
        encoded: its part of the file that is written.
        faces: how many were found.
        error: why it could not be done, or None.
    """

    source: str
    encoded: Encoded
    faces: int = 0
    error: str | None = None


@dataclass(frozen=True)
class Work:
    """Makes, in a process, the function that does an image there.

    Attributes:
        settings: how to predict.
        form: how results are written.
    """

    settings: Settings
    form: Format

    def __call__(self) -> Callable[[Input], Outcome]:
        """Open the models.

        Raises:
            FacepercError: if that fails.
        """
        predictor = self.settings.open()
        return lambda image: self._do(predictor, image)

    def lost(self, image: Input, reason: str) -> Outcome:
        """The outcome of an image that could not be done."""
        source = shown(image.path)
        # messages begin with the name of the image: once is enough
        reason = reason.removeprefix(f"{image.path}: ")
        return Outcome(source, self.form.failed(source, reason), error=reason)

    def _do(self, predictor: Predictor, image: Input) -> Outcome:
        if image.error is not None:
            return self.lost(image, image.error)
        found = attempt(predictor, image.path)
        if isinstance(found, str):
            return self.lost(image, found)
        faces = replace(found, source=shown(image.path))
        return Outcome(shown(image.path), self.form.encode(faces), len(faces))
