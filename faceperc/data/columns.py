"""What the columns of a table of photographs mean: a mapping, given in YAML, from columns to our labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from faceperc._names import unknown_name
from faceperc.data.source import decode_labels
from faceperc.errors import ConfigError, DataError
from faceperc.heads.expression import EXPRESSIONS
from faceperc.heads.gender import GENDERS
from faceperc.heads.parsing import CLASSES, SetMask, class_set

#: Names of the classes of tasks whose labels are numbers of classes.
_NAMES = {"expression": EXPRESSIONS, "gender": GENDERS, "parsing": CLASSES}
_FORMATS = ("xyxy", "xywh")


@dataclass(frozen=True)
class Column:
    """One entry of the mapping.

    Attributes:
        key: a task, or "image", "box", "identity".
        column: name of the column.
        map: value -> name of a class, None where the label is unknown; for masks also a list of names.
        format: of a box: "xyxy" or "xywh", pixels.
        fractions: a box x0, y0, x1, y1 in units of the image's size, instead of a column, for crops in which
            faces always lie at the same place.
        trust: weight of the labels in (0, 1]; see Sample.
    """

    key: str
    column: str = ""
    map: Mapping[Any, Any] | None = None
    format: str = "xyxy"
    fractions: tuple[float, ...] = ()
    trust: float = 1.0

    @classmethod
    def parse(cls, key: str, given: Any) -> Column:
        """An entry as YAML gives it: a column's name, or a dict of attributes.

        Raises:
            ConfigError: naming the entry if it makes no sense.
        """
        try:
            entry = cls(key, **({"column": given} if isinstance(given, str) else given))
        except TypeError as error:
            raise ConfigError(f"columns.{key}: neither a column's name nor its options ({error})") from error
        if not entry.column and not (key == "box" and len(entry.fractions) == 4):
            raise ConfigError(f"columns.{key}: no column")
        if not isinstance(entry.trust, int | float) or not 0 < entry.trust <= 1:
            raise ConfigError(f"columns.{key}.trust: lies in (0, 1]; got {entry.trust!r}")
        if entry.format not in _FORMATS:
            raise ConfigError(f"columns.{key}: {unknown_name('format', entry.format, _FORMATS)}")
        for value, target in (entry.map or {}).items():
            if key == "parsing" and value not in range(256):
                raise ConfigError(f"columns.parsing.map: {value!r} is no pixel value")
            for name in target if isinstance(target, list) else [target]:
                if key in _NAMES and name is not None and name not in _NAMES[key]:
                    raise ConfigError(f"columns.{key}.map: {unknown_name('class', name, _NAMES[key])}")
        return entry

    def label(self, value: Any, where: str) -> Any:
        """A value of the column in the form that the task's head takes; None if it is unknown.

        Raises:
            ConfigError: if the map does not name the value, or it is no number or no points where they are
                needed.
            DataError: if a mask is damaged.
        """
        if self.key == "parsing":
            return self._mask(value, where)
        if self.map is not None:
            if isinstance(value, list) or value not in self.map:
                raise ConfigError(
                    f"columns.{self.key}.map: {where}: no entry for {value!r} ({self.column!r})"
                )
            value = self.map[value]
        if value is None:
            return None
        if self.key in _NAMES:
            names = _NAMES[self.key]
            if value not in names:
                raise ConfigError(
                    f"columns.{self.key}: {where}: {value!r} in column {self.column!r} is none of "
                    f"{', '.join(names)}: give a map"
                )
            return names.index(value)
        numbers = self.numbers(value, where)
        if np.isnan(numbers).all():
            return None
        if not numbers.ndim:
            return float(numbers)
        return self._points(numbers, where) if self.key.startswith("landmarks") else numbers

    def _points(self, numbers: NDArray[np.float64], where: str) -> NDArray[np.float64]:
        """(K, 2) x, y or (K, 3) x, y, visibility: a list of points as it is, or x, y of all in one list."""
        points = numbers.reshape(-1, 2) if numbers.ndim == 1 and numbers.size % 2 == 0 else numbers
        if points.ndim != 2 or points.shape[1] not in (2, 3):
            raise ConfigError(
                f"columns.{self.key}: {where}: column {self.column!r} holds no points but an array of the "
                f"shape {numbers.shape}; give x, y (and visibility) of each point"
            )
        return points

    def box(self, value: Any, where: str) -> NDArray[np.float64]:
        """(4,) x0, y0, x1, y1 from a value of the column. Raises ConfigError if it is not four numbers."""
        box = self.numbers(value, where).ravel()
        if len(box) != 4:
            raise ConfigError(f"columns.box: {where}: {len(box)} numbers in column {self.column!r}, not 4")
        return np.concatenate([box[:2], box[:2] + box[2:]]) if self.format == "xywh" else box

    def numbers(self, value: Any, where: str) -> NDArray[np.float64]:
        """Any number or list of numbers. Raises ConfigError if there is something else."""
        try:
            return np.asarray(value, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise ConfigError(
                f"columns.{self.key}: {where}: column {self.column!r} holds no numbers ({error})"
            ) from error

    def _mask(self, value: Any, where: str) -> SetMask:
        sets = np.zeros(256, np.int16)
        for number, names in (self.map or dict(enumerate(CLASSES))).items():
            sets[number] = class_set(*([names] if isinstance(names, str) else names or []))
        # what the source tells apart; a set that overlaps smaller ones says which of them it may be
        groups: list[int] = []
        for bits in sorted({int(each) for each in sets if each}, key=lambda each: (each.bit_count(), each)):
            if not any(bits & other for other in groups):
                groups.append(bits)
        return SetMask(sets[decode_labels(file_bytes(value, where), where)], tuple(sorted(groups)))


def file_bytes(value: Any, where: str) -> bytes:
    """An image file's bytes, from any form of a column of images: bytes, or a dict with "bytes" or "path".

    Raises:
        DataError: naming ``where`` if there are none.
    """
    if isinstance(value, Mapping):
        if value.get("bytes") is None and value.get("path"):
            try:
                return Path(value["path"]).read_bytes()
            except OSError as error:
                raise DataError(f"{where}: {value['path']} cannot be read ({error.strerror})") from error
        value = value.get("bytes")
    if not isinstance(value, bytes):
        raise DataError(f"{where}: no image, but {type(value).__name__}")
    return value
