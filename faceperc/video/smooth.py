"""One-Euro filters (Casiez, Roussel and Vogel, CHI 2012) of a face's results, by their KIND.

A low pass whose cutoff grows with speed: still faces do not tremble, moving ones do not lag. Everything is in
units that no camera knows: positions in sizes of the face, times in seconds. The filters give copies: whoever
gets a result may change it, as by dividing by the picture's size, and the next one is right all the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from faceperc.kind import Kind
from faceperc.kinds import Classes, Points, Probabilities, Rotation, Scalar

Array = NDArray[np.float64]

MIN_CUTOFF = 0.8  # Hz, of a face that stands still and whose expected error is usual
BETA = 40.0  # Hz per speed: of points in face sizes per second
ROTATION_BETA = 3.0  # of rotations in radians per second
SPEED_CUTOFF = 1.0  # Hz, for the speed itself; the paper's value
USUAL_ERROR = (
    0.02  # median expected error of landmarks on faces, in units of their size (see faceperc.bench.doubt)
)
SLOW = 0.3  # seconds after which probabilities and numbers have gone 63 % of the way to a new value


class OneEuro:
    """The filter of many values that share their times, each with its own cutoff."""

    def __init__(self, beta: float = BETA, min_cutoff: float = MIN_CUTOFF) -> None:
        """A filter without a past.

        Args:
            beta: Hz per unit of speed.
            min_cutoff: Hz at rest.
        """
        self._beta, self._min_cutoff = beta, min_cutoff
        self._raw: Array | None = None
        self._speed: Array = np.zeros(1)
        self._smooth: Array = np.zeros(1)

    def __call__(self, values: Array, seconds: float, unit: float = 1.0, error: Array | float = 1.0) -> Array:
        """Filter.

        Speeds are of raw values, not of the last filtered one to the present raw one as in the paper: those
        grow with the frame rate, and so would the cutoff.

        Args:
            values: (..., D): points whose D coordinates move together.
            seconds: since the last call, >= 0.
            unit: length in which speeds are measured, e.g. the face's size in pixels.
            error: (...) expected error in usual ones: the larger, the lower the cutoff.

        Returns:
            (..., D).
        """
        if self._raw is None or self._raw.shape != values.shape:
            self._raw, self._smooth, self._speed = values, values, np.zeros_like(values)
        elif seconds > 0:
            speed = (values - self._raw) / (seconds * unit)
            self._speed = self._speed + _share(SPEED_CUTOFF, seconds) * (speed - self._speed)
            norm = np.linalg.norm(self._speed, axis=-1)
            cutoff = (self._min_cutoff + self._beta * norm) / np.maximum(error, 0.5)
            self._smooth = self._smooth + _share(cutoff, seconds)[..., None] * (values - self._smooth)
            self._raw = values
        return self._smooth.copy()


class RotationOneEuro:
    """The filter of a rotation, on SO(3): it goes a share of the shortest way to the new rotation (slerp)."""

    def __init__(self) -> None:
        """A filter without a past."""
        self._raw: Array | None = None
        self._speed: Array = np.zeros(3)
        self._smooth: Array = np.eye(3)

    def __call__(self, matrix: Array, seconds: float, error: float = 1.0) -> Array:
        """Filter.

        Args:
            matrix: (3, 3) rotation.
            seconds: since the last call, >= 0.
            error: expected error in usual ones: the larger, the lower the cutoff.

        Returns:
            (3, 3) rotation.
        """
        if self._raw is None:
            self._raw = self._smooth = matrix
        elif seconds > 0:
            speed = rotation_vector(self._raw.T @ matrix) / seconds
            self._speed = self._speed + _share(SPEED_CUTOFF, seconds) * (speed - self._speed)
            cutoff = (MIN_CUTOFF + ROTATION_BETA * np.linalg.norm(self._speed)) / max(error, 0.5)
            way = rotation_vector(self._smooth.T @ matrix)
            self._smooth = nearest_rotation(self._smooth @ rotation_matrix(_share(cutoff, seconds) * way))
            self._raw = matrix
        return self._smooth.copy()


class Smoother:
    """Smooths the results of one face through time."""

    def __init__(self) -> None:
        """A smoother without a past."""
        self._time: float | None = None
        self._filters: dict[str, Any] = {}

    def __call__(self, tasks: Mapping[str, Kind], box: Array, time: float) -> tuple[dict[str, Kind], Array]:
        """Smooth.

        Args:
            tasks: the results by the name of the task.
            box: (4,) of the face, x0, y0, x1, y1 in pixels; its size is the unit of length.
            time: seconds, not before the last call's.

        Returns:
            The results, and the box, smoothed.
        """
        seconds = 0.0 if self._time is None else max(0.0, time - self._time)
        self._time = time
        size = face_size(box)
        errors = [
            each.sigma for each in tasks.values() if isinstance(each, Points) and each.sigma is not None
        ]
        error = float(np.mean([each.mean() for each in errors])) / (size * USUAL_ERROR) if errors else 1.0
        smooth: dict[str, Kind] = {}
        for name, result in tasks.items():
            smooth[name] = self._smooth(name, result, seconds, size, error)
        corners = self._filter("box", OneEuro)(box.reshape(2, 2), seconds, size, error)
        return smooth, corners.reshape(4)

    def _smooth(self, name: str, result: Kind, seconds: float, size: float, error: float) -> Kind:
        """One result; ``error`` is of the whole face, for kinds that know no error of their own."""
        if isinstance(result, Points):
            own = error if result.sigma is None else result.sigma / (size * USUAL_ERROR)
            points = self._filter(f"{name}.points", OneEuro)(result.points, seconds, size, own)
            visibility = result.visibility
            if visibility is not None:
                visibility = self._filter(f"{name}.visibility", _Slow)(visibility, seconds)
            return replace(result, points=points, visibility=visibility)
        if isinstance(result, Rotation):
            turn = self._filter(f"{name}.matrix", RotationOneEuro)
            return replace(result, matrix=turn(result.matrix, seconds, error))
        slow = self._filter(name, _Slow)
        if isinstance(result, Classes):
            return replace(result, probabilities=slow(result.probabilities, seconds))
        if isinstance(result, Probabilities):
            return replace(result, values=slow(result.values, seconds))
        if isinstance(result, Scalar):
            many = np.zeros(0) if result.distribution is None else result.distribution
            value, distribution = np.split(slow(np.append(result.value, many), seconds), [1])
            return replace(
                result,
                value=float(value[0]),
                distribution=None if result.distribution is None else distribution,
            )
        return result  # a mask lies over its own crop, pixel by pixel: it stays as it was seen

    def _filter(self, name: str, make: Callable[[], Any]) -> Any:
        if name not in self._filters:
            self._filters[name] = make()
        return self._filters[name]


class _Slow:
    """An exponential average; of probabilities it is one."""

    def __init__(self) -> None:
        self._smooth: Array | None = None

    def __call__(self, values: Array, seconds: float) -> Array:
        if self._smooth is None or self._smooth.shape != values.shape:
            self._smooth = values
        self._smooth = self._smooth + -math.expm1(-seconds / SLOW) * (values - self._smooth)
        return self._smooth.copy()


def face_size(box: Array) -> float:
    """Longer side of a box (4,) x0, y0, x1, y1, pixels."""
    return float(max(box[2] - box[0], box[3] - box[1]))


def rotation_vector(matrix: Array) -> Array:
    """(3,) axis times angle in [0, pi] of a rotation (3, 3), by its unit quaternion (Shepperd, 1978).

    The logarithm on SO(3). At an angle of pi either of the two axes.
    """
    # The quaternion is every column of this matrix times a number: the longest column is the most exact.
    m = matrix
    products = np.array(
        [
            [1 + m[0, 0] + m[1, 1] + m[2, 2], m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1]],
            [m[2, 1] - m[1, 2], 1 + m[0, 0] - m[1, 1] - m[2, 2], m[0, 1] + m[1, 0], m[0, 2] + m[2, 0]],
            [m[0, 2] - m[2, 0], m[0, 1] + m[1, 0], 1 - m[0, 0] + m[1, 1] - m[2, 2], m[1, 2] + m[2, 1]],
            [m[1, 0] - m[0, 1], m[0, 2] + m[2, 0], m[1, 2] + m[2, 1], 1 - m[0, 0] - m[1, 1] + m[2, 2]],
        ]
    )
    quaternion = products[:, products.diagonal().argmax()]
    quaternion = quaternion * (-1.0 if quaternion[0] < 0 else 1.0)  # the shorter way round
    length = np.linalg.norm(quaternion[1:])
    if length == 0:
        return np.zeros(3)
    return np.asarray(2 * math.atan2(length, quaternion[0]) * quaternion[1:] / length)


def rotation_matrix(vector: Array) -> Array:
    """(3, 3) rotation of an axis times an angle (3,), radians: the exponential on SO(3), by Rodrigues."""
    angle = float(np.linalg.norm(vector))
    if angle == 0:
        return np.eye(3)
    x, y, z = vector / angle
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * (cross @ cross)


def nearest_rotation(matrix: Array) -> Array:
    """(3, 3) nearest rotation, so that rounding errors of many products do not add up."""
    left, _, right = np.linalg.svd(matrix)
    return np.asarray(left @ np.diag([1.0, 1.0, np.linalg.det(left @ right)]) @ right)


def _share(cutoff: Any, seconds: float) -> Any:
    """Share of the way to a new value that a first-order low pass goes (the paper's alpha)."""
    return 1 / (1 + 1 / (2 * math.pi * np.asarray(cutoff) * seconds))
