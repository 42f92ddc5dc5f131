"""Linear light and sRGB (IEC 61966-2-1)."""

from __future__ import annotations

import numpy as np

from faceperc.synthetic.mesh import Floats


def linear(code: str) -> Floats:
    """(3,) linear RGB of an sRGB colour, six hexadecimal digits."""
    value = np.array([int(code[start : start + 2], 16) for start in (0, 2, 4)]) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4).astype(np.float32)


def to_srgb(light: Floats) -> Floats:
    """Linear RGB in [0, 1] -> sRGB in [0, 1] (IEC 61966-2-1)."""
    inside = light.clip(0, 1)
    curve: Floats = np.where(inside <= 0.0031308, 12.92 * inside, 1.055 * inside ** (1 / 2.4) - 0.055)
    return curve
