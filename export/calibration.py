"""Face crops of the training photographs, for the ranges of an eight-bit graph."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from faceperc.crop import CropRule, FaceCrop
from faceperc.data.source import Source
from faceperc.errors import DataError


def calibration_crops(
    sources: Sequence[Source], folder: str | os.PathLike[str] | None, rule: CropRule, count: int
) -> NDArray[np.uint8]:
    """(N, S, S, 3) uint8 crops at the labelled boxes, as prediction makes them, of all sources alike.

    Args:
        sources: those without a split ``train`` are left out.
        folder: the data folder; the environment variable FACEPERC_DATA where None.
        rule: the model's crop rule.
        count: about how many; fewer where a source has too few photographs.

    Raises:
        DataError: if the data is missing, or no source has training photographs.
    """
    training = [source for source in sources if "train" in source.splits]
    share = -(-count // max(len(training), 1))
    crops = [
        FaceCrop.from_box(sample.box, rule).warp(sample.pixels)
        for source in training
        for sample in source.read(folder, "train", share)  # spread evenly over the split
    ]
    if not crops:
        raise DataError("no source has training photographs to calibrate on")
    return np.stack(crops)
