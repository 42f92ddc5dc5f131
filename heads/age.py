"""Age: a distribution over years and its mean."""

from __future__ import annotations

from faceperc.head import OutputInfo
from faceperc.scalar import ScalarHead

MAX_AGE = 100


class Age(ScalarHead):
    """Years from 0 to 100, one bin each. A label is the age in years; ages above 100 count as 100."""

    info = OutputInfo(
        "scalar", "apparent age", unit="years", bins=tuple(float(year) for year in range(MAX_AGE + 1))
    )
