"""Whether the quality of a face tells faces from what is none: crops of everyday scenes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from faceperc.crop import FaceCrop
from faceperc.data.rows import spread
from faceperc.data.source import Source
from faceperc.data.view import View
from faceperc.detector.sources import Photo, load_photos
from faceperc.errors import DataError
from faceperc.evaluate.measure import crop_rule, run
from faceperc.image import read_image
from faceperc.kinds import Points
from faceperc.quality import quality_of
from faceperc.runtime import OnnxModel

NOTHING = "no face"  # the set of the crops without a face
_SCENES = "scenes"
_CROPS = 4  # of each scene
_BATCH = 64


@dataclass(frozen=True)
class Quality:
    """The qualities of one set of crops.

    Attributes:
        source: name of the source, or NOTHING.
        count: number of crops.
        median: of their qualities.
        low: share of them below 0.5, %.
        better: how often one of them has a higher quality than a crop without a face, % (the area under the
            ROC curve); None for the set of those.
    """

    source: str
    count: int
    median: float
    low: float
    better: float | None


def qualities(
    model: OnnxModel, sources: Sequence[Source], folder: str | os.PathLike[str] | None, split: str,
    limit: int | None,
) -> Iterator[Quality]:  # fmt: skip
    """Compare the faces of every source with crops of scenes that show no face; nothing where the model gives
    no points with expected errors, or the data has no scenes.

    Args:
        model: a face model.
        sources: sources of faces; those without the split are left out.
        folder: the data folder; the environment variable FACEPERC_DATA where None.
        split: the split that is read.
        limit: at most this many faces of each source, and scenes, spread evenly.

    Raises:
        DataError: if the data is damaged.
    """
    points = [
        task
        for task, info in model.metadata.tasks.items()
        if info.kind == "points" and "sigma" in info.fields
    ]
    try:
        scenes = [photo for photo in load_photos(folder, _SCENES, split) if not len(photo.targets)]
    except DataError:
        scenes = []
    if not points or not scenes:
        return
    nothing = _measure(
        model, points[0], [crop for photo in spread(scenes, limit) for crop in _scene_crops(model, photo)]
    )
    yield _summary(NOTHING, nothing, None)
    for source in sources:
        if split in source.splits:
            samples = source.read(folder, split, limit)
            crops = [
                View(FaceCrop.from_box(each.box, crop_rule(model))).pixels(each.pixels) for each in samples
            ]
            yield _summary(source.name, _measure(model, points[0], crops), nothing)


def _summary(source: str, found: NDArray[np.float64], nothing: NDArray[np.float64] | None) -> Quality:
    better = None
    if nothing is not None:  # a tie counts a half
        higher, equal = found[:, None] > nothing, found[:, None] == nothing
        better = 100 * float((higher + 0.5 * equal).mean())
    return Quality(source, len(found), float(np.median(found)), 100 * float((found < 0.5).mean()), better)


def _scene_crops(model: OnnxModel, photo: Photo) -> Iterator[NDArray[np.uint8]]:
    """Squares of a fifth to nine tenths of the shorter side, at places that are the same in every run."""
    pixels = read_image(photo.data)
    height, width = pixels.shape[:2]
    random = np.random.default_rng(int(pixels.sum()))
    for _ in range(_CROPS):
        side = random.uniform(0.2, 0.9) * min(height, width)
        x, y = random.uniform(0, width - side), random.uniform(0, height - side)
        box = np.array([x, y, x + side, y + side])
        yield View(FaceCrop.from_box(box, crop_rule(model))).pixels(pixels)


def _measure(model: OnnxModel, task: str, crops: Sequence[NDArray[np.uint8]]) -> NDArray[np.float64]:
    found = []
    for start in range(0, len(crops), _BATCH):
        output = run(model, crops[start : start + _BATCH])[task]
        pairs = zip(output["points"].numpy(), output["sigma"].numpy(), strict=True)
        found += [quality_of(Points(points, sigma)) for points, sigma in pairs]
    return np.asarray(found)
