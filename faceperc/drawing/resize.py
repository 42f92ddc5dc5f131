"""Faces on a larger or smaller copy of their picture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from faceperc.kind import Kind
from faceperc.kinds import Points
from faceperc.mask import Mask
from faceperc.results import Face, Faces


def resize_faces(faces: Faces, longest: int) -> Faces:
    """The faces as if they had been found in a copy of the picture with another size.

    Args:
        faces: the faces of one image.
        longest: the longer side of the copy, pixels.
    """
    height, width = faces.image.shape[:2]
    scale = longest / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    picture = Image.fromarray(faces.image).resize(size, Image.Resampling.BICUBIC, reducing_gap=3)
    scales = np.array([size[0] / width, size[1] / height])
    return replace(
        faces, faces=tuple(resize_face(face, scales, size) for face in faces), image=np.asarray(picture)
    )


def resize_face(face: Face, scales: NDArray[np.float64], size: tuple[int, int]) -> Face:
    """One face in a picture that is ``scales`` (2,) times as wide and as high, ``size`` (W, H) pixels."""
    tasks = {name: _resize(result, scales, size) for name, result in face.tasks.items()}
    return replace(face, box=_move(face.box.reshape(2, 2), scales).ravel(), tasks=tasks)


def _resize(result: Kind, scales: NDArray[np.float64], size: tuple[int, int]) -> Kind:
    if isinstance(result, Points):
        sigma = None if result.sigma is None else result.sigma * scales.mean()
        return replace(result, points=_move(result.points, scales), sigma=sigma)
    if isinstance(result, Mask):
        return resize_mask(result, scales, size)
    return result


def resize_mask(mask: Mask, scales: NDArray[np.float64], size: tuple[int, int]) -> Mask:
    """A mask in a picture that is ``scales`` (2,) times as wide and as high, ``size`` (W, H) pixels."""
    box = _move(mask.box.reshape(2, 2), scales).ravel()
    return replace(mask, box=box, image_shape=(size[1], size[0]))


def _move(points: NDArray[np.float64], scales: NDArray[np.float64]) -> NDArray[np.float64]:
    """(K, 2) points; pixel centres are whole numbers, so the picture's corner lies at -0.5."""
    return (points + 0.5) * scales - 0.5
