"""How well a face can be read, from how far off the network expects its own points to be."""

from __future__ import annotations

import math

from faceperc.kinds import Points

#: The expected error, as a share of the face's size, at which the quality is a half. Clear faces have 0.02 to
#: 0.03, crops of things and landscapes 0.07 to 0.3.
_HALF = 0.05
_STEEPNESS = 4


def quality_of(points: Points) -> float:
    """A face's quality in [0, 1]: near 1 for a clear face, below a half where hardly anything can be read
    (tiny, blurred, covered, turned away), near 0 where there is no face.

    With u the mean expected error of the points over the root of the area of their bounding box, it is
    1 / (1 + (u / 0.05)^4).

    Args:
        points: a face's points.

    Returns:
        NaN where the expected errors are not known.
    """
    if points.sigma is None or not len(points):
        return math.nan
    width, height = points.points.max(axis=0) - points.points.min(axis=0)
    size = math.sqrt(width * height)
    if size == 0:
        return 0.0
    return float(1 / (1 + (points.sigma.mean() / size / _HALF) ** _STEEPNESS))
