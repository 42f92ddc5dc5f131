"""A shell over the skull, of hair or cloth.

It is a grid: columns run from the crown outwards in all directions, rows along a strand. Each column follows
the skull to where it ends, and may fall freely from there.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from faceperc.synthetic.mesh import Floats, Mesh, Rng, grid_mesh
from faceperc.synthetic.noise import smooth_noise
from faceperc.synthetic.skull import COLUMNS, ROWS, SkullMap

ON_SKULL = 40  # rows of a shell on the skull
_FREE = 26  # rows that fall freely

#: Columns of a periodic texture: the first one is repeated at the end.
SEAM = [*range(COLUMNS - 1), 0]


def make_shell(
    rng: Rng, skull: SkullMap, surface: Floats, end: Floats, hang: NDArray[np.floating], thick: float,
    taper: float, kind: str, rough: float,
) -> Mesh:  # fmt: skip
    """The shell that leaves the skull at given rows.

    Args:
        rng: source of all randomness.
        skull: the map.
        surface: (ROWS, COLUMNS, 3) the head under it.
        end: (COLUMNS,) row of the skull map at which each column leaves the skull.
        hang: (COLUMNS,) length that falls freely, cm.
        thick: distance from the skull, cm.
        taper: share of it that is left at the end.
        kind: material.
        rough: relative unevenness of the distance.
    """
    arc = _arc(rng, skull, surface, end, np.where(hang > 0, 1.0, taper), thick, rough)
    vertices = np.concatenate([arc, _fall(rng, arc[-1], hang)])
    return grid_mesh(vertices, kind)


def _arc(
    rng: Rng, skull: SkullMap, surface: Floats, end: Floats, taper: NDArray[np.floating], thick: float,
    rough: float,
) -> NDArray[np.floating]:  # fmt: skip
    """(ON_SKULL, COLUMNS, 3) the part on the skull; ``taper``: share of the thickness left at the end."""
    along = np.linspace(0, 1, ON_SKULL)[:, None]
    row = (along * end[None, :]).clip(0, ROWS - 1.001)
    low, column = row.astype(int), np.arange(COLUMNS)[None, :]
    part = (row - low)[..., None]
    ground = surface[low, column] * (1 - part) + surface[low + 1, column] * part
    out = skull.directions[low, column] * (1 - part) + skull.directions[low + 1, column] * part
    height = thick * (taper + (1 - taper) * (1 - along**3))
    uneven = smooth_noise(rng, ON_SKULL, COLUMNS - 1, (5, 3))[:, SEAM]
    fine = smooth_noise(rng, ON_SKULL, COLUMNS - 1, (6, 0.7))[:, SEAM]
    height = height * (1 + rough * uneven).clip(0.3) + min(0.12, 0.1 * thick) * fine + 0.12
    arc: NDArray[np.floating] = ground + out * height[..., None]
    return arc


def _fall(rng: Rng, top: NDArray[np.floating], hang: NDArray[np.floating]) -> NDArray[np.floating]:
    """(_FREE, COLUMNS, 3) the part that falls from the (COLUMNS, 3) ends on the skull."""
    fall = np.linspace(0, 1, _FREE + 1)[1:, None]
    down = fall * hang[None, :]
    # free hair falls inwards at the neck first, then spreads
    inward = 1 - rng.uniform(0.0, 0.25) * np.minimum(down / 8, 1) + rng.uniform(-0.05, 0.2) * (down / 25) ** 2
    wave = 0.05 * np.minimum(down / 5, 1) * smooth_noise(rng, _FREE, COLUMNS - 1, (2, 2))[:, SEAM]
    spread = inward + wave
    return np.stack([top[:, 0] * spread, top[:, 1] - down, (top[:, 2] + 1) * spread - 1], axis=-1)


def first_row(below: NDArray[np.bool_]) -> Floats:
    """(COLUMNS,) the first row of the map at which a column is ``below``; the last row where it never is."""
    rows = np.where(below.any(0), below.argmax(0), ROWS - 1)
    return rows.astype(np.float32)


def widest_row(surface: Floats) -> Floats:
    """(COLUMNS,) the row at which a column is farthest from the vertical axis."""
    away = np.hypot(surface[..., 0], surface[..., 2] + 1)
    return away[: ROWS * 3 // 4].argmax(0).astype(np.float32)


def height_at(surface: Floats, row: Floats) -> Floats:
    """(COLUMNS,) height of the skull at (COLUMNS,) rows of the map, cm."""
    heights: Floats = surface[row.astype(int).clip(0, ROWS - 1), np.arange(COLUMNS), 1]
    return heights
