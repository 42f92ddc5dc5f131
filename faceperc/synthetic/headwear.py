"""Beanies, caps and hoods."""

from __future__ import annotations

import cv2
import numpy as np

from faceperc.synthetic.mesh import Floats, Mesh, Rng, grid_mesh
from faceperc.synthetic.shell import ON_SKULL, first_row, height_at, make_shell, widest_row
from faceperc.synthetic.skull import COLUMNS, ROWS, SkullMap


def random_headwear(rng: Rng, wear: str, skull: SkullMap, surface: Floats) -> list[Mesh]:
    """Headwear of a kind: "beanie", "cap" or "hood".

    Args:
        rng: source of all randomness.
        wear: the kind.
        skull: the map.
        surface: (ROWS, COLUMNS, 3) the head under it.
    """
    around = np.abs(skull.around)
    thick = rng.uniform(1.1, 1.6)
    hang = np.zeros(COLUMNS, np.float32)
    if wear == "hood":  # a hood or a headscarf: over the ears and down to the shoulders
        opening = rng.uniform(55, 80)
        end = np.where(around < opening, first_row(skull.hairline < rng.uniform(-1.5, 1.0)), ROWS)
        end = np.minimum(end, np.where(around < opening, ROWS, widest_row(surface)))
        start = height_at(surface, end)
        hang = np.where(around >= opening, start + rng.uniform(11, 15), 0)
        thick = rng.uniform(2.2, 3.2)  # the ears lie under it
        return [make_shell(rng, skull, surface, end, hang, thick, 0.8, "cloth_head", rough=0.06)]
    front, back = rng.uniform(6.5, 9.5), rng.uniform(-0.5, 5.0)
    rim = back + (front - back) * (1 + np.cos(np.radians(around))) / 2
    end = first_row(surface[..., 1] < rim[None, :])
    cap = make_shell(rng, skull, surface, end, hang, thick, 0.8, "cloth_head", rough=0.04)
    if wear == "beanie":
        return [cap]
    return [cap, _brim(rng, cap)]


def _brim(rng: Rng, cap: Mesh) -> Mesh:
    """A peak: the cap's front rim, drawn forwards."""
    rim = cap.vertices.reshape(-1, COLUMNS, 3)[ON_SKULL - 1]
    middle = COLUMNS // 2
    turned = middle if rng.random() < 0.85 else 0  # now and then worn back to front
    columns = (turned + np.arange(-22, 23)) % (COLUMNS - 1)
    # a peak is stiff: the cloth's unevenness would make shards of it
    edge = cv2.GaussianBlur(rim[columns], (1, 0), 1e-3, sigmaY=3.0, borderType=cv2.BORDER_REPLICATE)
    outward = edge * [1, 0, 1] + [0, 0, 1]
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    length = rng.uniform(4, 7.5) * np.sqrt(np.cos(np.linspace(-np.pi / 2, np.pi / 2, 45)).clip(0))
    steps = np.linspace(0, 1, 8)[:, None, None]
    forward = np.array([0, -0.15, np.sign(edge[22, 2])])
    vertices = edge + steps * length[:, None] * (0.35 * outward + forward) - [0, 0.3, 0] * steps**2 * 3
    return grid_mesh(vertices, "cloth_head")
