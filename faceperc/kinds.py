"""One result class per KIND of output. They present a kind; which task it is, they never ask.

Every result is in the frame of the image: pixels, x right, y down, (0, 0) = centre of the top left pixel.
Arrays are checked when a result is made. ``Mask`` lives in ``mask.py``; KINDS below names them all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from faceperc._names import unknown_name
from faceperc.crop import FaceCrop
from faceperc.errors import UsageError
from faceperc.kind import Kind, check_labels, checked, numbers
from faceperc.mask import Mask
from faceperc.metadata import TaskInfo

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Points(Kind):
    """Named or numbered points.

    Attributes:
        points: (K, 2) x, y in image pixels.
        sigma: (K,) expected distance of each point from the truth, image pixels, or None.
        lines: polylines of point indices for drawing; closed where the last index equals the first.
        labels: names of the K points; may be empty.
        visibility: (K,) probability in [0, 1] that each point is visible, not occluded, or None.
    """

    kind: ClassVar[str] = "points"
    fields: ClassVar[Mapping[str, bool]] = {"points": True, "sigma": False, "visibility": False}

    points: Array
    sigma: Array | None = None
    lines: tuple[tuple[int, ...], ...] = ()
    labels: tuple[str, ...] = ()
    visibility: Array | None = None

    def __post_init__(self) -> None:
        """Check shapes and range.

        Raises:
            UsageError: if they do not fit, a visibility is no probability, or a line names a point that is
                not there.
        """
        points = checked(self.points, (None, 2), "points")
        object.__setattr__(self, "points", points)
        if self.sigma is not None:
            object.__setattr__(self, "sigma", checked(self.sigma, (len(points),), "sigma"))
        if self.visibility is not None:
            visibility = checked(self.visibility, (len(points),), "visibility")
            object.__setattr__(self, "visibility", _in_unit_range(visibility, "visibility"))
        if self.labels:
            check_labels(self.labels, len(points), "points")
        if any(not 0 <= index < len(points) for line in self.lines for index in line):
            raise UsageError(f"lines name points outside 0 to {len(points) - 1}: {self.lines}")

    @classmethod
    def from_output(
        cls, fields: Mapping[str, NDArray[Any]], info: TaskInfo, crop: FaceCrop, image_shape: tuple[int, int]
    ) -> Self:
        """Fields ``points`` (K, 2) and, optionally, ``sigma`` (K,), crop pixels, and ``visibility`` (K,)."""
        sigma = crop.length_to_image(fields["sigma"]) if "sigma" in fields else None
        points = crop.to_image(checked(fields["points"], (None, 2), "points"))
        return cls(points, sigma, info.lines, info.labels, fields.get("visibility"))

    def __len__(self) -> int:
        """Number of points."""
        return len(self.points)

    def to_dict(self) -> dict[str, Any]:
        """``points`` (K, 2) and ``sigma`` (K,) or null, image pixels; ``visibility`` (K,) or null."""
        sigma = None if self.sigma is None else numbers(self.sigma, 3)
        visibility = None if self.visibility is None else numbers(self.visibility, 5)
        points = numbers(self.points, 3)
        return {"kind": self.kind, "points": points, "sigma": sigma, "visibility": visibility}

    def columns(self) -> dict[str, float | str]:
        """``<label or index>.x``, ``.y``, ``.sigma`` and ``.visibility`` for each point."""
        names = self.labels or [str(index) for index in range(len(self))]
        flat: dict[str, float | str] = {}
        for index, name in enumerate(names):
            flat[f"{name}.x"], flat[f"{name}.y"] = map(float, self.points[index])
            if self.sigma is not None:
                flat[f"{name}.sigma"] = float(self.sigma[index])
            if self.visibility is not None:
                flat[f"{name}.visibility"] = float(self.visibility[index])
        return flat

    def summary(self) -> str:
        """E.g. ``29 points, expected error 1.2 px, 3 occluded``."""
        error = "" if self.sigma is None or not len(self) else f", expected error {self.sigma.mean():.1f} px"
        hidden = "" if self.visibility is None else f", {int((self.visibility < 0.5).sum())} occluded"
        return f"{len(self)} points{error}{hidden}"


@dataclass(frozen=True, eq=False)
class Rotation(Kind):
    """Orientation of the head as seen by the camera (300W-LP / AFLW2000-3D convention, docs/contract.md).

    Attributes:
        matrix: (3, 3) rotation from head to camera; camera x right, y up, z to the viewer.
    """

    kind: ClassVar[str] = "rotation"
    fields: ClassVar[Mapping[str, bool]] = {"matrix": True}

    matrix: Array

    def __post_init__(self) -> None:
        """Check that the matrix is a rotation.

        Raises:
            UsageError: if it is not a (3, 3) rotation.
        """
        matrix = checked(self.matrix, (3, 3), "matrix")
        if not np.allclose(matrix @ matrix.T, np.eye(3), atol=0.02) or np.linalg.det(matrix) < 0:
            raise UsageError(f"matrix is not a rotation: {matrix.tolist()}")
        object.__setattr__(self, "matrix", matrix)

    @classmethod
    def from_output(
        cls, fields: Mapping[str, NDArray[Any]], info: TaskInfo, crop: FaceCrop, image_shape: tuple[int, int]
    ) -> Self:
        """Field ``matrix`` (3, 3): the rotation seen in the crop."""
        return cls(crop.rotation_to_image(checked(fields["matrix"], (3, 3), "matrix")))

    @property
    def yaw(self) -> float:
        """Degrees in (-180, 180]; > 0 faces the image's left, beyond +-90 away from the camera."""
        return self._angles[0]

    @property
    def pitch(self) -> float:
        """Degrees in [-90, 90]; > 0 looks up."""
        return self._angles[1]

    @property
    def roll(self) -> float:
        """Degrees in (-180, 180]; > 0 is clockwise in the image."""
        return self._angles[2]

    @property
    def _angles(self) -> tuple[float, float, float]:
        """Yaw, pitch and roll in degrees: of the two solutions the one with abs(pitch) <= 90."""
        r = self.matrix
        away = -1.0 if r[2, 2] < 0 else 1.0  # the head's front points away from the camera
        yaw = math.atan2(-r[0, 2], away * math.hypot(r[1, 2], r[2, 2]))
        pitch = math.atan2(away * r[1, 2], away * r[2, 2])
        roll = math.atan2(away * r[0, 1], away * r[0, 0])
        return math.degrees(yaw), math.degrees(pitch), math.degrees(roll)

    def to_dict(self) -> dict[str, Any]:
        """``yaw``, ``pitch``, ``roll`` in degrees and ``matrix`` (3, 3)."""
        return {"kind": self.kind, **self._rounded(), "matrix": numbers(self.matrix, 6)}

    def columns(self) -> dict[str, float | str]:
        """``yaw``, ``pitch`` and ``roll`` in degrees."""
        return {"yaw": self.yaw, "pitch": self.pitch, "roll": self.roll}

    def summary(self) -> str:
        """E.g. ``yaw 12°, pitch -3°, roll 1°``."""
        # + 0.0 turns -0 into 0
        return ", ".join(f"{name} {round(angle) + 0.0:.0f}°" for name, angle in self._rounded().items())

    def _rounded(self) -> dict[str, float]:
        return dict(zip(("yaw", "pitch", "roll"), (round(angle, 3) for angle in self._angles), strict=True))


@dataclass(frozen=True, eq=False)
class Classes(Kind):
    """Exclusive classes: exactly one is true.

    Attributes:
        probabilities: (C,) in [0, 1]; they sum to 1.
        labels: names of the C classes.
    """

    kind: ClassVar[str] = "classes"
    fields: ClassVar[Mapping[str, bool]] = {"probabilities": True}

    probabilities: Array
    labels: tuple[str, ...]

    def __post_init__(self) -> None:
        """Check shape and range.

        Raises:
            UsageError: if the values are no probabilities that sum to 1, or the labels do not fit.
        """
        values = _probabilities(self.probabilities, self.labels)
        if not math.isclose(values.sum(), 1.0, abs_tol=0.02):
            raise UsageError(f"probabilities of exclusive classes sum to 1; these sum to {values.sum():.4f}")
        object.__setattr__(self, "probabilities", values)

    @classmethod
    def from_output(
        cls, fields: Mapping[str, NDArray[Any]], info: TaskInfo, crop: FaceCrop, image_shape: tuple[int, int]
    ) -> Self:
        """Field ``probabilities`` (C,)."""
        return cls(fields["probabilities"], info.labels)

    @property
    def label(self) -> str:
        """The most probable class."""
        return self.labels[int(self.probabilities.argmax())]

    @property
    def score(self) -> float:
        """Its probability, in [0, 1]."""
        return float(self.probabilities.max())

    def __getitem__(self, label: str) -> float:
        """Probability of a class, in [0, 1].

        Raises:
            UsageError: if there is no such class.
        """
        return _of_label(self.probabilities, self.labels, label, "class")

    def to_dict(self) -> dict[str, Any]:
        """``label``, ``score`` and ``probabilities`` by label."""
        values = dict(zip(self.labels, numbers(self.probabilities, 5), strict=True))
        score = round(self.score, 5)
        return {"kind": self.kind, "label": self.label, "score": score, "probabilities": values}

    def columns(self) -> dict[str, float | str]:
        """``label``, and one column per class with its probability."""
        return {"label": self.label, **dict(zip(self.labels, self.probabilities.tolist(), strict=True))}

    def summary(self) -> str:
        """E.g. ``happiness 93%``."""
        return f"{self.label} {self.score:.0%}"


@dataclass(frozen=True, eq=False)
class Probabilities(Kind):
    """Independent yes-or-no questions.

    Attributes:
        values: (C,) probabilities in [0, 1], independent of each other.
        labels: names of the C questions.
    """

    kind: ClassVar[str] = "probabilities"
    fields: ClassVar[Mapping[str, bool]] = {"probabilities": True}

    values: Array
    labels: tuple[str, ...]

    def __post_init__(self) -> None:
        """Check shape and range.

        Raises:
            UsageError: if the values are no probabilities, or the labels do not fit.
        """
        object.__setattr__(self, "values", _probabilities(self.values, self.labels))

    @classmethod
    def from_output(
        cls, fields: Mapping[str, NDArray[Any]], info: TaskInfo, crop: FaceCrop, image_shape: tuple[int, int]
    ) -> Self:
        """Field ``probabilities`` (C,)."""
        return cls(fields["probabilities"], info.labels)

    def __getitem__(self, label: str) -> float:
        """Probability of one label, in [0, 1].

        Raises:
            UsageError: if there is no such label.
        """
        return _of_label(self.values, self.labels, label, "label")

    def above(self, threshold: float = 0.5) -> dict[str, float]:
        """The labels whose probability exceeds the threshold, most probable first."""
        order = np.argsort(-self.values, kind="stable")
        return {self.labels[i]: float(self.values[i]) for i in order if self.values[i] > threshold}

    def to_dict(self) -> dict[str, Any]:
        """``probabilities`` by label."""
        values = dict(zip(self.labels, numbers(self.values, 5), strict=True))
        return {"kind": self.kind, "probabilities": values}

    def columns(self) -> dict[str, float | str]:
        """One column per label with its probability."""
        return dict(zip(self.labels, self.values.tolist(), strict=True))

    def summary(self) -> str:
        """The four most probable labels above one half, e.g. ``Smiling 98%, Young 91%``."""
        likely = [f"{label.replace('_', ' ')} {value:.0%}" for label, value in self.above(0.5).items()]
        more = f", {len(likely) - 4} more" if len(likely) > 4 else ""
        return ", ".join(likely[:4]) + more if likely else "none above 50%"


@dataclass(frozen=True, eq=False)
class Scalar(Kind):
    """One number.

    Attributes:
        value: in ``unit``.
        unit: e.g. ``"years"``, or None.
        bins: (B,) values in ``unit`` that the distribution is over; None if the model gives none.
        distribution: (B,) probability of each bin, they sum to 1; None if the model gives none.
    """

    kind: ClassVar[str] = "scalar"
    fields: ClassVar[Mapping[str, bool]] = {"value": True, "distribution": False}

    value: float
    unit: str | None = None
    bins: Array | None = None
    distribution: Array | None = None

    def __post_init__(self) -> None:
        """Check shapes and range.

        Raises:
            UsageError: if the value is not a finite number, or bins and distribution do not fit.
        """
        object.__setattr__(self, "value", float(checked(self.value, (), "value")))
        if self.distribution is None:
            return
        if self.bins is None:
            raise UsageError("a distribution needs the bins that it is over")
        bins = checked(self.bins, (None,), "bins")
        object.__setattr__(self, "bins", bins)
        object.__setattr__(self, "distribution", checked(self.distribution, bins.shape, "distribution"))

    @classmethod
    def from_output(
        cls, fields: Mapping[str, NDArray[Any]], info: TaskInfo, crop: FaceCrop, image_shape: tuple[int, int]
    ) -> Self:
        """Fields ``value`` () and, optionally, ``distribution`` (B,) over the task's bins."""
        distribution = fields.get("distribution")
        bins = None if distribution is None else np.asarray(info.bins)
        return cls(fields["value"], info.unit, bins, distribution)  # type: ignore[arg-type]

    def __float__(self) -> float:
        """The value, in ``unit``."""
        return self.value

    @property
    def std(self) -> float | None:
        """Standard deviation of the distribution in ``unit``; None where there is no distribution."""
        if self.bins is None or self.distribution is None:
            return None
        weights = self.distribution / self.distribution.sum()
        mean = weights @ self.bins
        return float(np.sqrt(weights @ (self.bins - mean) ** 2))

    def to_dict(self) -> dict[str, Any]:
        """``value``, ``unit`` and ``std`` (or null)."""
        std = None if self.std is None else round(self.std, 4)
        return {"kind": self.kind, "value": round(self.value, 4), "unit": self.unit, "std": std}

    def columns(self) -> dict[str, float | str]:
        """``value``, and ``std`` where there is a distribution."""
        return {"value": self.value} if self.std is None else {"value": self.value, "std": self.std}

    def summary(self) -> str:
        """E.g. ``31 years`` or ``31 ± 4 years``."""
        digits = 0 if max(abs(self.value) / 10, self.std or 0) >= 1 else 2
        spread = "" if self.std is None else f" ± {self.std:.{digits}f}"
        return f"{self.value:.{digits}f}{spread} {self.unit or ''}".rstrip()


KINDS: dict[str, type[Kind]] = {
    each.kind: each for each in (Points, Rotation, Mask, Classes, Probabilities, Scalar)
}


def _probabilities(values: Any, labels: tuple[str, ...]) -> Array:
    array = checked(values, (None,), "probabilities")
    check_labels(labels, len(array), "classes")
    if len(array) == 0:
        raise UsageError("probabilities is empty")
    return _in_unit_range(array, "probabilities")


def _in_unit_range(array: Array, name: str) -> Array:
    """The array, if its values lie in [0, 1] but for rounding."""
    if (array < -1e-4).any() or (array > 1 + 1e-4).any():
        raise UsageError(f"{name} lies in [0, 1]; got {array.tolist()}")
    return array.clip(0.0, 1.0)


def _of_label(values: Array, labels: tuple[str, ...], label: str, what: str) -> float:
    if label not in labels:
        raise UsageError(unknown_name(what, label, labels))
    return float(values[labels.index(label)])
