"""Mask: a class per pixel, over a square region of the image."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from faceperc.crop import FaceCrop, check_box
from faceperc.errors import UsageError
from faceperc.kind import Kind, check_labels, numbers
from faceperc.metadata import TaskInfo


@dataclass(frozen=True, eq=False)
class Mask(Kind):
    """A class for each pixel of a region.

    Attributes:
        mask: (h, w) uint8 class ids, indices of ``labels``, at the model's resolution.
        box: (4,) x0, y0, x1, y1: the region's outer border in image pixels; it may reach over the image's.
        labels: names of the C classes.
        image_shape: (H, W) of the image, pixels.
        scores: (C, h, w) class probabilities; None if they were not kept.
    """

    kind: ClassVar[str] = "mask"
    fields: ClassVar[Mapping[str, bool]] = {"scores": True}

    mask: NDArray[np.uint8]
    box: NDArray[np.float64]
    labels: tuple[str, ...]
    image_shape: tuple[int, int]
    scores: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        """Check shapes and range.

        Raises:
            UsageError: if they do not fit each other.
        """
        mask = np.asarray(self.mask)
        if mask.dtype != np.uint8 or mask.ndim != 2 or mask.size == 0:
            raise UsageError(f"mask is uint8 (h, w); got {mask.dtype} {mask.shape}")
        if mask.max() >= len(self.labels):
            raise UsageError(f"mask names class {mask.max()}, but there are {len(self.labels)} labels")
        object.__setattr__(self, "box", check_box(self.box))
        if self.scores is not None:
            scores = np.asarray(self.scores, dtype=np.float32)
            if scores.shape != (len(self.labels), *mask.shape):
                wanted = (len(self.labels), *mask.shape)
                raise UsageError(f"scores has the shape {scores.shape}, wanted is {wanted}")
            object.__setattr__(self, "scores", scores)

    @classmethod
    def from_output(
        cls, fields: Mapping[str, NDArray[Any]], info: TaskInfo, crop: FaceCrop, image_shape: tuple[int, int]
    ) -> Self:
        """Field ``scores`` (C, h, w): class probabilities over the crop's region."""
        scores = np.asarray(fields["scores"], dtype=np.float32)
        if scores.ndim != 3 or not np.isfinite(scores).all():
            raise UsageError(f"scores is finite (C, h, w); got the shape {scores.shape}")
        check_labels(info.labels, len(scores), "classes")
        return cls(scores.argmax(axis=0).astype(np.uint8), crop.region, info.labels, image_shape, scores)

    @property
    def confidence(self) -> NDArray[np.float32] | None:
        """(h, w) probability of the class in ``mask``, in [0, 1]; None if the scores were not kept."""
        return None if self.scores is None else self.scores.max(axis=0)

    @property
    def areas(self) -> dict[str, float]:
        """Share of the region that each class covers, by label; they sum to 1."""
        counts = np.bincount(self.mask.ravel(), minlength=len(self.labels)) / self.mask.size
        return dict(zip(self.labels, counts.tolist(), strict=True))

    def to_image(self, outside: int = 0) -> NDArray[np.uint8]:
        """The classes in the frame of the image, with smooth borders where the scores are known.

        Args:
            outside: class id of the pixels outside the region.

        Returns:
            (H, W) uint8 class ids.
        """
        full = np.full(self.image_shape, outside, dtype=np.uint8)
        part, (left, top) = self.in_region()
        full[top : top + part.shape[0], left : left + part.shape[1]] = part
        return full

    def in_region(self) -> tuple[NDArray[np.uint8], tuple[int, int]]:
        """The classes of the image's pixels inside the region.

        Returns:
            (h', w') uint8 class ids at the image's resolution (0 x 0 where the region is outside the image),
            and the position (left, top) of their first pixel in the image.
        """
        x0, y0, x1, y1 = self.box
        height, width = self.image_shape
        left, top = max(0, math.ceil(x0)), max(0, math.ceil(y0))
        right, bottom = min(width, math.ceil(x1)), min(height, math.ceil(y1))
        if right <= left or bottom <= top:
            return np.zeros((0, 0), dtype=np.uint8), (0, 0)
        size = (right - left, bottom - top)
        step_x, step_y = self.mask.shape[1] / (x1 - x0), self.mask.shape[0] / (y1 - y0)
        # Pillow maps pixel corners: there (0.5, 0.5) is the centre of the top left pixel
        affine = (step_x, 0.0, (left - 0.5 - x0) * step_x, 0.0, step_y, (top - 0.5 - y0) * step_y)
        if self.scores is None:
            return _transform(self.mask, size, affine, Image.Resampling.NEAREST).astype(np.uint8), (left, top)
        return _best_class(self.scores, size, affine), (left, top)

    def to_png(self) -> bytes:
        """The class ids ``mask`` as a grey PNG file."""
        stream = io.BytesIO()
        Image.fromarray(self.mask).save(stream, "PNG")
        return stream.getvalue()

    def to_dict(self) -> dict[str, Any]:
        """``box``, ``labels``, ``areas``, and ``png``: the class ids ``mask`` as a grey PNG in base64."""
        return {
            "kind": self.kind,
            "box": numbers(self.box, 3),
            "labels": list(self.labels),
            "areas": {label: round(area, 5) for label, area in self.areas.items()},
            "png": base64.b64encode(self.to_png()).decode("ascii"),
        }

    def columns(self) -> dict[str, float | str]:
        """Share of the region that each class covers, one column per label."""
        return dict(self.areas)

    def summary(self) -> str:
        """The classes that cover most, e.g. ``skin 31%, hair 24%, nose 3%``; the first class is left out."""
        rest = sorted(list(self.areas.items())[1:], key=lambda item: -item[1])
        return ", ".join(f"{label} {area:.0%}" for label, area in rest[:3] if area > 0) or self.labels[0]


def _best_class(
    scores: NDArray[np.float32], size: tuple[int, int], affine: tuple[float, ...]
) -> NDArray[np.uint8]:
    """Interpolate the scores, then choose: borders come out smooth. One class at a time, to save memory."""
    best = _transform(scores[0], size, affine, Image.Resampling.BILINEAR)
    classes = np.zeros(best.shape, dtype=np.uint8)
    for index, plane in enumerate(scores[1:], start=1):
        values = _transform(plane, size, affine, Image.Resampling.BILINEAR)
        classes[values > best] = index
        best = np.maximum(best, values)
    return classes


def _transform(
    plane: NDArray[Any], size: tuple[int, int], affine: tuple[float, ...], resample: Image.Resampling
) -> NDArray[Any]:
    picture = Image.fromarray(np.ascontiguousarray(plane))
    return np.asarray(picture.transform(size, Image.Transform.AFFINE, affine, resample=resample))
