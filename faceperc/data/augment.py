"""Augmentation: a random view of a face, and what cameras, files and bad light do to its pixels.

Geometry is ours, because labels of every kind must follow it; the photometric part is albumentations'.
"""

from __future__ import annotations

from dataclasses import dataclass

import albumentations as A
import numpy as np
from numpy.typing import NDArray

from faceperc.crop import CropRule, FaceCrop
from faceperc.data.source import Sample
from faceperc.data.view import View


@dataclass
class AugmentConfig:
    """Strength of the random views.

    Attributes:
        rotation: half the views are turned by up to this many degrees, the others by a sixth of it.
        scale: the box grows or shrinks by up to this fraction.
        shift: the box moves by up to this fraction of its longer side.
        flip: probability of a mirror.
        tight: probability that what surrounds the face is blanked, as in data of tight crops.
        photometric: strength of the colour, blur, noise and compression changes; 0 turns them off.
    """

    rotation: float = 40.0
    scale: float = 0.2
    shift: float = 0.12
    flip: float = 0.5
    tight: float = 0.2
    photometric: float = 1.0


def plain_view(sample: Sample, rule: CropRule) -> View:
    """The view that prediction takes: the crop of the face box, upright."""
    return View(FaceCrop.from_box(sample.box, rule))


class Augment:
    """Random views and pixels.

    Args:
        config: strengths.
        rule: crop rule of the model.
        seed: seed of the random generator.
    """

    def __init__(self, config: AugmentConfig, rule: CropRule, seed: int) -> None:
        self.config = config
        self.rule = rule
        self.random = np.random.default_rng(seed)
        self.photometric = _photometric(config.photometric, seed)

    def view(self, sample: Sample) -> View:
        """A random crop of the sample's face."""
        config, random = self.config, self.random
        spread = random.uniform(-1, 1) if random.random() < 0.5 else random.normal(0, 1 / 6)
        angle = spread * config.rotation
        base = FaceCrop.from_box(sample.box, self.rule, angle)
        grow = np.exp(random.uniform(-1, 1) * config.scale)
        shift = random.uniform(-1, 1, 2) * config.shift * base.side / self.rule.scale
        centre = (base.centre[0] + shift[0], base.centre[1] + shift[1])
        crop = FaceCrop(centre, base.side * grow, base.size, angle)
        tight = random.random() < config.tight
        visible = _around(sample.box, random.uniform(0.0, 0.25, 4)) if tight else None
        return View(crop, flip=bool(random.random() < config.flip), visible=visible)

    def pixels(self, sample: Sample, view: View) -> NDArray[np.uint8]:
        """(S, S, 3) uint8: the view's pixels, changed as a camera might."""
        # Black outside the image, as at prediction, or any grey: what lies outside must not tell the source.
        fill = 0 if self.random.random() < 0.5 else int(self.random.integers(256))
        crop = view.pixels(sample.image, fill)
        if self.photometric is None:
            return crop
        changed: NDArray[np.uint8] = self.photometric(image=crop)["image"]
        return changed


def _around(box: NDArray[np.float64], margin: NDArray[np.float64]) -> tuple[int, int, int, int]:
    """The box, widened by ``margin`` of its sides (left, top, right, bottom), in whole pixels."""
    width, height = box[2] - box[0], box[3] - box[1]
    x0, y0, x1, y1 = (box + margin * [-width, -height, width, height]).round().astype(int).tolist()
    return x0, y0, x1, y1


def _photometric(strength: float, seed: int) -> A.Compose | None:
    if strength <= 0:
        return None
    s = strength
    return A.Compose(
        [
            A.RandomBrightnessContrast(0.3 * s, 0.3 * s, p=0.5),
            A.RandomGamma(gamma_limit=(70, 150), p=0.15 * s),
            A.HueSaturationValue(8, 30, 10, p=0.3 * s),
            A.ToGray(p=0.15 * s),
            A.OneOf(
                [A.GaussianBlur((3, 5)), A.MotionBlur((3, 5)), A.Downscale(scale_range=(0.3, 0.7))], p=0.2 * s
            ),
            A.GaussNoise(std_range=(0.02, 0.08), p=0.15 * s),
            A.ImageCompression(quality_range=(30, 90), p=0.15 * s),
            A.CoarseDropout(
                num_holes_range=(1, 3), hole_height_range=(0.1, 0.3), hole_width_range=(0.1, 0.3), p=0.15 * s
            ),
        ],
        seed=seed,
    )
