"""How sure the models are of a face, compared with the other faces of a report."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from faceperc.html_report.facts import HIGH, Facts, Number


def measures(all_facts: Sequence[Facts]) -> list[Number]:
    """The numbers that tell how sure the models are, in the order in which they first occur."""
    return list(dict.fromkeys(each for facts in all_facts for each in facts.numbers if each.unsure))


def confidences(all_facts: Sequence[Facts]) -> NDArray[np.float64]:
    """The confidence of each face.

    The measures have different units, so each is turned into the share of the other faces of which the model
    is less sure by it (a tie counts half); the confidence is the mean of a face's shares. It orders the faces
    of one report, and is no probability that a result is right.

    Returns:
        (N,) in [0, 1]; NaN for a face without any measure.
    """
    if not all_facts:
        return np.zeros(0)
    shares = [_shares(all_facts, measure) for measure in measures(all_facts)]
    if not shares:
        return np.full(len(all_facts), np.nan)
    table = np.array(shares)
    known = ~np.isnan(table)
    count = known.sum(axis=0)
    total = np.where(known, table, 0).sum(axis=0)
    return np.divide(total, count, out=np.full(len(all_facts), np.nan), where=count > 0)


def _shares(all_facts: Sequence[Facts], measure: Number) -> NDArray[np.float64]:
    values = np.array([facts.numbers.get(measure, np.nan) for facts in all_facts])
    sureness = -values if measure.unsure == HIGH else values
    ordered = np.sort(sureness[~np.isnan(sureness)])
    others = max(len(ordered) - 1, 1)
    below = np.searchsorted(ordered, sureness, side="left")
    not_above = np.searchsorted(ordered, sureness, side="right")
    shares = (below + (not_above - below - 1) / 2) / others if len(ordered) > 1 else np.full(len(values), 0.5)
    return np.where(np.isnan(sureness), np.nan, shares)
