"""Random textures."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from faceperc.synthetic.mesh import Floats, Rng


def smooth_noise(rng: Rng, rows: int, columns: int, sigma: tuple[float, float]) -> Floats:
    """(rows, columns) Gaussian noise of unit variance, smooth over ``sigma`` (rows, columns) cells.

    It has no seam between the last column and the first.
    """
    noise: NDArray[np.floating] = rng.standard_normal((rows, columns)).astype(np.float32)
    if rows > 1 and sigma[0] > 0:
        noise = np.asarray(cv2.GaussianBlur(noise, (1, 0), 1e-3, sigmaY=sigma[0]), np.float32)
    if sigma[1] > 0:
        margin = min(columns, int(4 * sigma[1]) + 1)
        wide = np.hstack([noise[:, -margin:], noise, noise[:, :margin]])
        wide = np.asarray(cv2.GaussianBlur(wide, (0, 1), sigma[1], sigmaY=1e-3), np.float32)
        noise = wide[:, margin:-margin]
    scaled: Floats = ((noise - noise.mean()) / max(float(noise.std()), 1e-6)).astype(np.float32)
    return scaled
