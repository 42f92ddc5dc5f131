"""Do probabilities mean what they say? Figures of calibration that heads share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

_BINS = 15


def calibration_error(probabilities: NDArray[np.floating], happened: NDArray[np.bool_]) -> float:
    """Expected calibration error: by how much probabilities differ from frequencies, on average.

    Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, equation 5, with their 15 bins of equal
    width: the mean over the bins of abs(frequency - mean probability), weighted by the answers in them.

    Args:
        probabilities: (M,) in [0, 1].
        happened: (M,) whether that of which it is the probability was so.

    Returns:
        In [0, 1]; NaN where M is 0.
    """
    if not len(probabilities):
        return float("nan")
    bins = np.minimum((np.asarray(probabilities) * _BINS).astype(int), _BINS - 1)
    gaps = np.bincount(bins, np.asarray(happened, float) - probabilities, minlength=_BINS)
    return float(np.abs(gaps).sum() / len(bins))


def rank_correlation(first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
    """Spearman's rank correlation of (M,) and (M,) numbers, in [-1, 1]; NaN where either is constant."""
    if len(first) < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return float(stats.spearmanr(first, second).statistic)
