"""A hand-made stand-in for the ICT face model: an ellipsoid with a neck, in the real file's layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from faceperc.data.mean_face import MEAN_FACE
from faceperc.synthetic.model import FILE

Array = NDArray[np.float64]

ROWS, COLUMNS = 40, 64
EXPRESSIONS = ("jawOpen", "mouthClose", "eyeBlink_L", "eyeBlink_R", "browInnerUp_L", "browInnerUp_R")
PARTS = ("face", "head_neck", "eye_blend_left")
REGIONS = (
    "none", "skin", "brow_left", "brow_right", "nose", "lip_upper", "lip_lower", "ear_left", "ear_right",
    "neck", "scalp", "shoulders", "mouth_interior", "gums_tongue", "teeth", "sclera", "iris",
)  # fmt: skip
_CENTRE, _RADII = np.array([0.0, 3.0, 1.0]), np.array([7.5, 11.0, 9.5])


def _profile(height: Array) -> Array:
    """Radius at a height, in units of the head's: an ellipse down to the neck, a cylinder below."""
    ellipse = np.sqrt(np.maximum(1 - ((height - _CENTRE[1]) / _RADII[1]) ** 2, 0))
    return np.where(height < -4, np.maximum(ellipse, 0.7), ellipse)


def _vertices() -> Array:
    """(ROWS * COLUMNS + 68, 3): the surface from the top down, then the landmarks, on the surface."""
    height = _CENTRE[1] + _RADII[1] * np.cos(np.linspace(1e-3, np.pi * 0.75, ROWS - 8))
    height = np.concatenate([height, np.linspace(height[-1] - 0.5, -18.0, 8)])
    around = np.linspace(-np.pi, np.pi, COLUMNS, endpoint=False)
    radius = _profile(height)[:, None]
    surface = np.stack(
        [
            _RADII[0] * radius * np.sin(around),
            np.repeat(height[:, None], COLUMNS, 1),
            _CENTRE[2] + _RADII[2] * radius * np.cos(around),
        ],
        axis=-1,
    ).reshape(-1, 3)
    x, y = MEAN_FACE[:, 0], MEAN_FACE[:, 1]
    aside = np.clip(x / (_RADII[0] * _profile(y)), -0.99, 0.99)
    z = _CENTRE[2] + _RADII[2] * _profile(y) * np.sqrt(1 - aside**2)
    return np.concatenate([surface, np.stack([aside * _RADII[0] * _profile(y), y, z], axis=-1)])


def _triangles() -> NDArray[np.uint16]:
    corner = np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS)
    right = np.roll(corner, -1, axis=1)
    a, b, c, d = corner[:-1], right[:-1], corner[1:], right[1:]
    return np.stack([a, c, b, b, c, d], axis=-1).reshape(-1, 3).astype(np.uint16)


def write_tiny_model(folder: Path) -> Path:
    """Write the model file into a data folder; give the folder."""
    vertices, triangles = _vertices(), _triangles()
    count = len(vertices)
    _, y, z = vertices.T
    hairline = y - np.interp(z, [-8, 9], [-4, 10])
    region = np.where(hairline > 0, REGIONS.index("scalp"), REGIONS.index("skin"))
    region = np.where(y < -8.5, REGIONS.index("neck"), region)
    region = np.where(y < -12, REGIONS.index("shoulders"), region)
    part = np.zeros(len(triangles), np.uint8)
    # a part that must not be drawn: a plate before the left eye
    plate = np.array([[1, 2, 14], [4, 2, 14], [4, 6, 14]], np.float32)
    vertices = np.concatenate([vertices, plate])
    rng = np.random.default_rng(0)
    identity = np.zeros((100, count + 3, 3), np.float16)
    identity[0] = 0.03 * vertices  # size
    identity[1] = 0.03 * vertices * [1, 0, 0]  # width
    path = folder / FILE
    path.parent.mkdir(parents=True)
    np.savez_compressed(
        path,
        neutral=vertices.astype(np.float32),
        identity=identity,
        expression=np.zeros((len(EXPRESSIONS), count + 3, 3), np.float16),
        expression_names=np.array(EXPRESSIONS),
        triangles=np.concatenate([triangles, [[count, count + 1, count + 2]]]).astype(np.uint16),
        triangles_uv=np.zeros((len(triangles) + 1, 3), np.uint16),
        uv=rng.random((4, 2)).astype(np.float32),
        triangle_part=np.append(part, PARTS.index("eye_blend_left")).astype(np.uint8),
        part_names=np.array(PARTS),
        vertex_region=np.append(region, [0, 0, 0]).astype(np.uint8),
        region_names=np.array(REGIONS),
        face_region_map=np.ones((8, 8), np.uint8),
        hairline=np.append(hairline, [-9, -9, -9]).astype(np.float16),
        ambient_occlusion=np.full(count + 3, 255, np.uint8),
        landmarks68=np.arange(ROWS * COLUMNS, count, dtype=np.int32),
        eye_centre=np.array([[3.2, 3.5, 8.0], [-3.2, 3.5, 8.0]], np.float32),
        iris_radius=np.float32(0.59),
    )
    return folder
