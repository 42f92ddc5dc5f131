"""Augmentation: a random view of a face, and what cameras, files and bad light do to its pixels.

Geometry is ours, because labels of every kind must follow it; the photometric part is albumentations'.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import albumentations as A
import cv2
import numpy as np
from numpy.typing import NDArray

from faceperc.crop import CropRule, FaceCrop, box_from_landmarks
from faceperc.data.cover import SHAPES, Cover, random_cover
from faceperc.data.mean_face import MEAN_FACE
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
        backdrop: probability that what lies outside the photograph is filled from another one instead of a
            grey: faces of tight crops then also learn in surroundings, as they have at prediction.
        photometric: strength of the colour, blur, noise and compression changes; 0 turns them off.
        perspective: the camera is turned by up to this many degrees about each axis of the image.
        aspect: the view is stretched by up to this fraction, in width or height.
        occlusion: probability that something hides a part of the face: a patch of anything or, where the
            sample's labels hold for a hidden face, a hand, mask, scarf or sunglasses.
        harshness: strength of bad light, cheap cameras and small pictures, after the photometric changes.
    """

    rotation: float = 40.0
    scale: float = 0.2
    shift: float = 0.12
    flip: float = 0.5
    tight: float = 0.2
    backdrop: float = 0.0
    photometric: float = 1.0
    perspective: float = 0.0
    aspect: float = 0.0
    occlusion: float = 0.0
    harshness: float = 0.0


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
        changes = [*_photometric(config.photometric), *_harsh(config.harshness)]
        self.camera = A.Compose(changes, seed=seed)

    def view(self, sample: Sample, things: bool = True) -> View:
        """A random crop of the sample's face; without ``things`` nothing but a patch may hide it."""
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
        view = View(crop, flip=bool(random.random() < config.flip), visible=visible)
        # options draw no random number while they are off: the views of a recipe stay what they were
        if config.perspective:
            x, y = (random.uniform(-1, 1, 2) * config.perspective).tolist()
            view = replace(view, turn=(x, y))
        if config.aspect:
            view = replace(view, aspect=float(np.exp(random.uniform(-1, 1) * config.aspect)))
        if config.occlusion and random.random() < config.occlusion:
            view = replace(view, cover=self._cover(sample, view, things))
        return view

    def wants_backdrop(self) -> bool:
        """Whether the next view shall have another photograph around it."""
        return bool(self.config.backdrop) and bool(self.random.random() < self.config.backdrop)

    def pixels(self, sample: Sample, view: View, around: Sample | None = None) -> NDArray[np.uint8]:
        """(S, S, 3) uint8: the view's pixels, behind its cover, changed as a camera might.

        Args:
            sample: the photograph.
            view: the view of it.
            around: another photograph, whose surroundings of a face fill what lies outside this one.
        """
        if around is not None:
            return self.change(self._on_backdrop(sample, view, around), view.cover)
        # Black outside the image, as at prediction, or any grey: what lies outside must not tell the source.
        fill = 0 if self.random.random() < 0.5 else int(self.random.integers(256))
        return self.change(view.pixels(sample.pixels, fill), view.cover)

    def change(self, crop: NDArray[np.uint8], cover: Cover | None = None) -> NDArray[np.uint8]:
        """(S, S, 3) uint8 pixels behind a cover, in other light, from another camera."""
        if cover is not None:
            crop = cover.paint(crop, self.random)
        changed: NDArray[np.uint8] = self.camera(image=crop)["image"]
        return changed

    def _on_backdrop(self, sample: Sample, view: View, around: Sample) -> NDArray[np.uint8]:
        image = sample.pixels
        inside = view.pixels(np.full_like(image, 255)) / 255.0
        backdrop = plain_view(around, self.rule).pixels(around.pixels)
        # the view is black outside, so its border pixels are mixed already
        mixed: NDArray[np.uint8] = (
            (view.pixels(image) + (1 - inside) * backdrop + 0.5).clip(0, 255).astype(np.uint8)
        )
        return mixed

    def _cover(self, sample: Sample, view: View, things: bool) -> Cover:
        shape = str(self.random.choice(list(SHAPES))) if things else "patch"
        return random_cover(shape, view.points(_landmarks(sample)), view.size, self.random)


def _landmarks(sample: Sample) -> NDArray[np.float64]:
    """(68, 2) image pixels: the labelled points, else those of an upright, frontal face in the face box."""
    label = sample.labels.get("landmarks")
    if isinstance(label, np.ndarray) and label.shape == (68, 2) and np.isfinite(label).all():
        return label
    mean = MEAN_FACE[:, :2] * [1.0, -1.0]
    x0, y0, x1, y1 = box_from_landmarks(mean)
    box = sample.box
    return (mean - [x0, y0]) / [x1 - x0, y1 - y0] * (box[2:] - box[:2]) + box[:2]


def _around(box: NDArray[np.float64], margin: NDArray[np.float64]) -> tuple[int, int, int, int]:
    """The box, widened by ``margin`` of its sides (left, top, right, bottom), in whole pixels."""
    width, height = box[2] - box[0], box[3] - box[1]
    x0, y0, x1, y1 = (box + margin * [-width, -height, width, height]).round().astype(int).tolist()
    return x0, y0, x1, y1


def _photometric(s: float) -> list[A.BasicTransform | A.OneOf]:
    """Colour, blur, noise and compression with the strength s."""
    if s <= 0:
        return []
    return [
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
    ]


def _harsh(s: float) -> list[A.BasicTransform | A.OneOf]:
    """Shadows, coloured light, low resolution, sensor noise and heavy compression with the strength s."""
    if s <= 0:
        return []
    smooth = {"downscale": cv2.INTER_AREA, "upscale": cv2.INTER_LINEAR}
    return [
        A.OneOf(
            [
                A.RandomShadow((0, 0, 1, 1), (1, 2), shadow_intensity_range=(0.2, 0.6)),
                A.Illumination(intensity_range=(0.1, 0.2)),
            ],
            p=0.2 * s,
        ),
        A.OneOf([A.PlanckianJitter(), A.RGBShift(20, 20, 20)], p=0.3 * s),
        A.OneOf(
            [
                A.Downscale((0.15, 0.5), interpolation_pair=smooth),
                A.MotionBlur((5, 11)),
                A.GaussianBlur((5, 9)),
            ],
            p=0.3 * s,
        ),
        A.OneOf([A.ISONoise(intensity=(0.05, 0.25)), A.GaussNoise(std_range=(0.04, 0.1))], p=0.2 * s),
        A.ImageCompression(quality_range=(8, 40), p=0.3 * s),
    ]
