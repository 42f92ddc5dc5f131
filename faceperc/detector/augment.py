"""Photometric augmentation of a canvas: what cameras and codecs do to a picture. Geometry is the mosaic's."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Rng = np.random.Generator


def photometric(rng: Rng, image: Image) -> Image:
    """Random exposure, colour, blur, noise and compression.

    Args:
        rng: source of all randomness.
        image: (H, W, 3) uint8 RGB.

    Returns:
        A new (H, W, 3) uint8 image.
    """
    image = _tone(rng, image)
    if rng.random() < 0.10:
        image = np.ascontiguousarray(image[..., rng.permutation(3)])  # strange light, false colours
    if rng.random() < 0.15:
        image = np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    if rng.random() < 0.15:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.6)), np.uint8)
    if rng.random() < 0.10:
        noise = rng.normal(0, rng.uniform(2, 10), image.shape[:2]).astype(np.float32)
        image = np.clip(image + noise[..., None], 0, 255).astype(np.uint8)
    if rng.random() < 0.25:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 90))]
        image = np.asarray(cv2.imdecode(cv2.imencode(".jpg", image, quality)[1], cv2.IMREAD_COLOR), np.uint8)
    return image


def _tone(rng: Rng, image: Image) -> Image:
    """Gamma, gain and offset per channel as one lookup table; one picture in ten is taken in the dark."""
    level = np.linspace(0, 1, 256)[:, None]
    gamma = np.exp(rng.uniform(-0.5, 0.5))
    gain = rng.uniform(0.75, 1.25) * (1 + rng.uniform(-0.12, 0.12, 3) * (rng.random() < 0.5))
    if rng.random() < 0.10:
        gain = gain * rng.uniform(0.3, 0.6)
    table = (level**gamma - 0.5) * rng.uniform(0.7, 1.2) + 0.5
    table = np.clip(table * gain * 255 + rng.uniform(-12, 12), 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(image, table[None]), np.uint8)
