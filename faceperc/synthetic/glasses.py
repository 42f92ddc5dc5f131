"""Glasses and sunglasses: two rims, a bridge and two temples, fitted to the points of a face."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from faceperc.synthetic.mesh import Floats, Mesh, Rng, grid_mesh

Array = NDArray[np.float64]

_AROUND = 41  # vertices around a lens
_TEMPLE = 13  # vertices along a temple
_WRAP = 0.035  # the lenses curve back around the head: cm per cm squared of distance from the middle


def random_glasses(rng: Rng, landmarks: Floats) -> list[Mesh]:
    """Glasses for a face whose 68 points lie at (68, 3), cm, head frame; mostly none."""
    if rng.random() > 0.2:
        return []
    dark = rng.random() < 0.4
    half = np.array([rng.uniform(2.3, 2.9), rng.uniform(1.5, 2.4)])
    rim = rng.uniform(0.12, 0.45)
    boxy = rng.uniform(2.0, 4.5)  # exponent of the superellipse: 2 is oval
    # before the lashes, and resting on the nose's bridge
    plane = max(float(landmarks[[37, 38, 43, 44], 2].max()) + 1.3, float(landmarks[27, 2]) + 0.2)
    meshes = []
    for eye, ear in ((landmarks[36:42], landmarks[0]), (landmarks[42:48], landmarks[16])):
        centre = eye.mean(0).astype(np.float64) - [0, 0.3, 0]
        side = np.sign(centre[0])
        centre[0] = side * max(abs(centre[0]), half[0] + 0.6)  # the lenses leave room for the nose
        meshes.append(_ring(centre, half, half + rim, boxy, plane))
        if dark:
            meshes.append(_ring(centre, 0.02 * half, half, boxy, plane))
        hinge = np.array([centre[0] + side * (half[0] + rim), centre[1] + 0.5 * half[1], 0.0])
        hinge[2] = plane - _WRAP * hinge[0] ** 2
        end = ear + np.array([side * 0.7, 0.6, -2.5])
        meshes.append(_strip(hinge, end, rng.uniform(0.15, 0.45)))
        inner = np.array([side * max(abs(centre[0]) - half[0], 0.1), centre[1] + 0.3 * half[1], plane])
        meshes.append(_strip(inner, inner * [0, 1, 1], 0.2))
    return meshes


def _ring(centre: Array, inner: Array, outer: Array, boxy: float, plane: float) -> Mesh:
    """The area between two superellipses, bent around the head."""
    angle = np.linspace(0, -2 * np.pi, _AROUND)
    wave = np.stack([np.cos(angle), np.sin(angle)], -1)
    shape = np.sign(wave) * np.abs(wave) ** (2 / boxy)
    radius = np.linspace(0, 1, 3)[:, None, None]
    flat = centre[:2] + shape * (inner + (outer - inner) * radius)
    return grid_mesh(np.concatenate([flat, plane - _WRAP * flat[..., :1] ** 2], axis=-1), "glasses")


def _strip(start: Array, end: Array, half: float) -> Mesh:
    """An upright strip between two points."""
    along = np.linspace(0, 1, _TEMPLE)[:, None]
    line, up = start + (end - start) * along, np.array([0, half, 0])
    return grid_mesh(np.stack([line + up, line - up]), "glasses")
