"""Groups of faces by how far the head is turned, for metrics by group."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from faceperc.data.source import Sample
from faceperc.data.teachers.agreement import pose_angles

YAW = "yaw (degrees)"
_BANDS = ((15, "0-14"), (30, "15-29"), (60, "30-59"))
_BEYOND = "60+"


def with_yaw_band(sample: Sample) -> Sample:
    """The same face, in the group of its yaw to either side if the source gives a pose.

    The pose may be one that was computed from other labels (``Sample.derived``): to tell groups apart it is
    good enough.
    """
    label = sample.labels.get("pose")
    if label is None or np.shape(label) not in ((3,), (3, 3)):
        return sample
    yaw = abs(pose_angles(np.asarray(label, dtype=np.float64))[0])
    if not np.isfinite(yaw):
        return sample
    band = next((name for limit, name in _BANDS if yaw < limit), _BEYOND)
    return replace(sample, groups={**sample.groups, YAW: band})
