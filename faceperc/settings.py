"""How to predict, as plain values: what commands read from their options, and worker processes are sent."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from faceperc.predict import Predictor


@dataclass(frozen=True)
class Settings:
    """How to predict: the arguments of ``Predictor`` that are plain values."""

    model: str
    detector: str | None = None
    tasks: str | Iterable[str] | None = None
    threads: int | None = None
    provider: str | None = None
    min_score: float | None = None
    heads: bool = False
    tiles: bool | str = False

    def __post_init__(self) -> None:
        """Keep the names of the tasks: an iterator would not survive the way to a process."""
        if self.tasks is not None and not isinstance(self.tasks, str):
            object.__setattr__(self, "tasks", tuple(self.tasks))

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
