"""What every result class has, and the checks that they share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from faceperc.crop import FaceCrop
from faceperc.errors import UsageError
from faceperc.metadata import TaskInfo


class Kind(ABC):
    """The result of one task for one face, in the frame of the image.

    Attributes:
        kind: name of the kind in the metadata of models.
        fields: the fields that a model gives for the kind, and whether it must.
    """

    kind: ClassVar[str]
    fields: ClassVar[Mapping[str, bool]]

    @classmethod
    @abstractmethod
    def from_output(
        cls, fields: Mapping[str, NDArray[Any]], info: TaskInfo, crop: FaceCrop, image_shape: tuple[int, int]
    ) -> Self:
        """A model's output for one face -> the result in the frame of the image.

        Args:
            fields: the fields of the kind by name, without the batch axis.
            info: the task's entry in the model's metadata.
            crop: the crop that the model saw.
            image_shape: (H, W) of the image, pixels.

        Raises:
            UsageError: if a shape or value is not what the kind allows.
        """

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values; ``kind`` says which keys there are."""

    @abstractmethod
    def columns(self) -> dict[str, float | str]:
        """Flat values for one row of a table."""

    @abstractmethod
    def summary(self) -> str:
        """One short line for people."""


def checked(value: ArrayLike, shape: tuple[int | None, ...], name: str) -> NDArray[np.float64]:
    """The value as float64, if it is finite and has the shape (None = any length).

    Raises:
        UsageError: if not.
    """
    array = np.asarray(value, dtype=np.float64)
    fits = array.ndim == len(shape) and all(
        want in (None, have) for want, have in zip(shape, array.shape, strict=False)
    )
    if not fits:
        wanted = ", ".join("any" if want is None else str(want) for want in shape)
        raise UsageError(f"{name} has the shape {array.shape}, wanted is ({wanted})")
    if not np.isfinite(array).all():
        raise UsageError(f"{name} holds values that are not finite")
    return array


def check_labels(labels: tuple[str, ...], count: int, what: str) -> None:
    """Check that there is one label for each of ``count`` things.

    Raises:
        UsageError: if not.
    """
    if len(labels) != count:
        raise UsageError(f"{len(labels)} labels for {count} {what}")


def numbers(array: ArrayLike, digits: int) -> Any:
    """(Nested) lists of floats for JSON, rounded so that they carry no noise."""
    return np.round(np.asarray(array, dtype=np.float64), digits).tolist()
