"""Bootstrap intervals: how much would the figures change with other faces of the same kind?

The percentile method (Efron & Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13). The faces are
taken for independent; where a source holds several of one person or video, the intervals are too narrow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

Interval = tuple[float, float]

_RESAMPLES = 1000


def intervals(count: int, figures: Callable[[np.ndarray], Mapping[str, float]]) -> dict[str, Interval]:
    """95 % intervals of figures over faces.

    For the interval of a DIFFERENCE between two models let ``figures`` give the differences: both are then
    judged by the same faces in every resample, and what is hard about a face cancels out.

    Args:
        count: number of faces, > 0.
        figures: indices of faces, (count,), some of them repeated -> figures by name.

    Returns:
        For each figure of all faces its lower and upper limit; NaN where no resample gives the figure.
    """
    random = np.random.default_rng(0)
    draws = [figures(random.integers(0, count, count)) for _ in range(_RESAMPLES)]
    return {
        name: _limits(np.array([draw.get(name, np.nan) for draw in draws]))
        for name in figures(np.arange(count))
    }


def _limits(values: np.ndarray) -> Interval:
    known = values[np.isfinite(values)]
    if not known.size:
        return float("nan"), float("nan")
    low, high = np.percentile(known, [2.5, 97.5])
    return float(low), float(high)
