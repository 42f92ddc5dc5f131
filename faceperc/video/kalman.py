"""A Kalman filter of a face's box that moves at constant velocity."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Standard deviations of a measured box's centre and log size; a detector's box is less steady than landmarks.
FOLLOWED, DETECTED = 0.02, 0.06
_RATE = 1.0  # of a new face's velocity, per second: it may move by its own size
_ACCELERATION = 1.0  # spectral density of the acceleration: in 0.1 s the velocity changes by about 0.3 / s


class BoxFilter:
    """Where a face is and how fast it moves, as in SORT (Bewley et al., ICIP 2016), from x0, y0, x1, y1.

    The state is the centre and the logarithms of width and height, each with its velocity; white noise
    accelerates them. Centres are in pixels, but their errors are taken in units of the face's size, as those
    of the logarithms are by nature: then all four have the same covariance (2, 2) of value and velocity, and
    share one gain. Times are seconds, so frames may come at any rate.
    """

    def __init__(self, box: Array) -> None:
        """A face at a box (4,) of a detector, of unknown velocity."""
        self._value = _value(box)
        self._velocity = np.zeros(4)
        self._covariance = np.diag([DETECTED**2, _RATE**2])

    @property
    def box(self) -> Array:
        """(4,) x0, y0, x1, y1, pixels."""
        centre, half = self._value[:2], np.exp(self._value[2:]) / 2
        return np.concatenate([centre - half, centre + half])

    @property
    def size(self) -> float:
        """Geometric mean of width and height, pixels."""
        return float(np.exp(self._value[2:].mean()))

    @property
    def velocity(self) -> Array:
        """(2,) of the centre, pixels per second."""
        return self._velocity[:2].copy()

    def predict(self, seconds: float) -> None:
        """Move on in time."""
        step = np.array([[1.0, seconds], [0.0, 1.0]])
        noise = np.array([[seconds**3 / 3, seconds**2 / 2], [seconds**2 / 2, seconds]])
        self._value = self._value + seconds * self._velocity
        self._covariance = step @ self._covariance @ step.T + _ACCELERATION * noise

    def update(self, box: Array, deviation: float) -> None:
        """Take in a measured box (4,) with this standard deviation, in units of the face's size."""
        gain = self._covariance[:, 0] / (self._covariance[0, 0] + deviation**2)
        error = _value(box) - self._value
        self._value = self._value + gain[0] * error
        self._velocity = self._velocity + gain[1] * error
        self._covariance = self._covariance - np.outer(gain, self._covariance[0])

    def stop(self) -> None:
        """Let it stay where it is."""
        self._velocity = np.zeros(4)

    def keep_size(self) -> None:
        """Let it grow or shrink no more: a size's velocity soon leads astray a face that nobody sees."""
        self._velocity = self._velocity * [1, 1, 0, 0]


def _value(box: Array) -> Array:
    """(4,) centre, and logarithms of width and height."""
    low, high = box[:2], box[2:]
    return np.concatenate([(low + high) / 2, np.log(high - low)])
