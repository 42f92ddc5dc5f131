"""What a worker process does with one image: read, predict, and make rows or a line of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from faceperc.batch.formats import Encoded, Format
from faceperc.batch.inputs import Input, shown
from faceperc.errors import FacepercError
from faceperc.predict import Predictor
from faceperc.settings import Settings

Result = TypeVar("Result")


def attempt(work: Callable[[], Result], failed: Callable[[str], Result], name: str | None = None) -> Result:
    """Do all that is to be done with an image: among many, none may stop the others.

    Args:
        work: does it.
        failed: the result of an image that could not be done; gets the reason, as text that any file takes.
        name: of the image, with which messages begin; it is left out of the reason.
    """
    try:
        return work()
    except FacepercError as error:
        reason = str(error)
    except MemoryError:
        reason = "memory ran out; use fewer workers"
    except Exception as error:  # a bug of ours, or of a detector of the user's
        reason = f"unexpected {type(error).__name__}: {error}; please report it"
    return failed(plain_reason(reason, name))


def plain_reason(reason: str, name: str | None) -> str:
    """A reason without the name of the image before it, which is in another column."""
    return shown(reason if name is None else reason.removeprefix(f"{name}: "))


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
        source, reason = shown(image.path), plain_reason(reason, image.path)
        return Outcome(source, self.form.failed(source, reason), error=reason)

    def _do(self, predictor: Predictor, image: Input) -> Outcome:
        def work() -> Outcome:
            faces = replace(predictor(image.path), source=shown(image.path))
            return Outcome(shown(image.path), self.form.encode(faces), len(faces))

        if image.error is not None:
            return self.lost(image, image.error)
        return attempt(work, lambda reason: self.lost(image, reason), image.path)
