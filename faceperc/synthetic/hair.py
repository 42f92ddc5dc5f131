"""Hair: shells that grow from the crown over the skull and may hang down from it, buns and pony tails."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from faceperc.synthetic.headwear import random_headwear
from faceperc.synthetic.mesh import Floats, Mesh, Rng, grid_mesh
from faceperc.synthetic.noise import smooth_noise
from faceperc.synthetic.shell import SEAM, first_row, height_at, make_shell, widest_row
from faceperc.synthetic.skull import COLUMNS, SkullMap

_STYLES = {
    "bald": 0.09, "buzz": 0.1, "short": 0.29, "afro": 0.08, "bob": 0.13, "long": 0.19, "bun": 0.06,
    "tail": 0.06,
}  # fmt: skip
_WEAR = {"none": 0.78, "beanie": 0.06, "cap": 0.08, "hood": 0.08}


@dataclass(frozen=True)
class Hair:
    """What is on a head.

    Attributes:
        style: a name of the style.
        wear: headwear, or "none".
        meshes: shells of hair and headwear.
        scalp: how much of the hair's colour the scalp itself has, in [0, 1].
    """

    style: str
    wear: str
    meshes: list[Mesh]
    scalp: float


def random_hair(rng: Rng, skull: SkullMap, vertices: Floats) -> Hair:
    """Random hair and headwear for a head with these (V, 3) vertices."""
    style = _choose(rng, _STYLES)
    wear = _choose(rng, _WEAR)
    if wear == "hood" and style in ("bob", "long"):
        style = "short"  # what hangs down lies inside, and would poke through
    surface = skull.surface(vertices)
    meshes = []
    if style != "bald":
        meshes.append(_hair(rng, style, skull, surface, flat=wear != "none"))
    if style in ("bun", "tail") and wear == "none":
        meshes.append(_tail(rng, surface) if style == "tail" else _bun(rng, surface))
    if wear != "none":
        meshes.extend(random_headwear(rng, wear, skull, surface))
    scalp = rng.uniform(0, 0.75) if style == "bald" else rng.uniform(0.75, 1)
    return Hair(style, wear, meshes, scalp)


def _hair(rng: Rng, style: str, skull: SkullMap, surface: Floats, flat: bool) -> Mesh:
    """The shell of a style; ``flat`` under headwear."""
    around = np.abs(skull.around)
    end = first_row(_over_the_hairline(rng, style, skull) < 0)
    thick = {
        "buzz": rng.uniform(0.15, 0.5), "short": rng.uniform(0.6, 2.4), "afro": rng.uniform(2.5, 7.0),
        "bob": rng.uniform(0.8, 2.5), "long": rng.uniform(0.7, 2.2), "bun": rng.uniform(0.3, 0.8),
        "tail": rng.uniform(0.3, 0.8),
    }[style]  # fmt: skip
    if flat:
        thick = min(thick, 0.6)
    hang: NDArray[np.floating] = np.zeros(COLUMNS, np.float32)
    if style in ("bob", "long"):
        opening = rng.uniform(50, 100)  # degrees from the front that stay free
        tip = rng.uniform(-9, -2) if style == "bob" else rng.uniform(-34, -11)
        free = around > opening
        end = np.where(free, np.minimum(end, widest_row(surface)), end)
        locks = 0.06 * (5 - tip) * smooth_noise(rng, 1, COLUMNS - 1, (0, rng.uniform(1, 4)))[0, SEAM]
        layered = rng.uniform(0, 0.35) * (180 - around) / (180 - opening)
        length = (height_at(surface, end) - tip) * (1 - layered) + locks
        hang = np.where(free, length, 0).clip(0)
    elif style in ("short", "buzz") and rng.random() < 0.4:
        hang = np.where(around > 140, rng.uniform(0, 3), 0)
    if rng.random() < 0.3 and style in ("short", "bob", "long", "bun"):
        end = np.where(around < 55, end + _fringe(rng), end)
    taper = 0.12 if style in ("buzz", "short") else rng.uniform(0.2, 0.6)
    return make_shell(rng, skull, surface, end, hang, thick, taper, "hair", rough=0.18)


def _over_the_hairline(rng: Rng, style: str, skull: SkullMap) -> Floats:
    """(ROWS, COLUMNS) height over the hairline of this person: ragged, here and there receding, cm."""
    line = skull.hairline - rng.normal(0, 0.6)
    line = line + 0.35 * smooth_noise(rng, 1, COLUMNS - 1, (0, 2.0))[:, SEAM]
    if style in ("buzz", "short") and rng.random() < 0.3:
        line = line - rng.uniform(0.5, 3.5) * np.exp(-((skull.around / 45) ** 2))
    return line.astype(np.float32)


def _fringe(rng: Rng) -> Floats:
    """(COLUMNS,) rows of the skull map by which a fringe reaches beyond the hairline."""
    length = rng.uniform(1.5, 4.5) * (1 + 0.15 * smooth_noise(rng, 1, COLUMNS - 1, (0, 1.5))[0, SEAM])
    rows: Floats = length / 0.55  # cm per row, about
    return rows


def _bun(rng: Rng, surface: Floats) -> Mesh:
    """An uneven ball at the back of the head."""
    place = _knot_place(rng, surface)
    rows, columns = 24, 25
    polar, around = np.linspace(0, np.pi, rows)[:, None], np.linspace(0, 2 * np.pi, columns)[None, :]
    radius = rng.uniform(2.0, 4.0) * (1 + 0.06 * smooth_noise(rng, rows, columns - 1, (2, 1)))
    radius = radius[:, [*range(columns - 1), 0]]
    ball = np.broadcast_arrays(np.sin(polar) * np.sin(around), np.cos(polar), np.sin(polar) * np.cos(around))
    flattened = np.stack(ball, -1) * np.array([1, 0.9, 0.8])
    return grid_mesh(place + radius[..., None] * flattened + np.array([0, 0, -0.8]), "hair")


def _tail(rng: Rng, surface: Floats) -> Mesh:
    """A pony tail: a tube that comes out at the back of the head and hangs down."""
    place = _knot_place(rng, surface)
    along, around = np.linspace(0, 1, 24), np.linspace(0, 2 * np.pi, 25)
    length, width, out = rng.uniform(10, 30), rng.uniform(1.2, 2.6), rng.uniform(2, 5)
    centre = place + np.stack([0 * along, 1.0 - length * along**1.3, -out * np.sin(along * 2.2)], -1)
    profile = width * (0.5 + np.sin(np.pi * along**0.6) * 0.8) * (1 - 0.8 * along**4)
    ring = np.stack([np.sin(around), 0 * around, np.cos(around)], -1)
    return grid_mesh(centre[:, None] + profile[:, None, None] * ring, "hair")


def _knot_place(rng: Rng, surface: Floats) -> Floats:
    """(3,) where a bun or a tail begins: on the middle of the back of the head, high or low."""
    place: Floats = surface[int(rng.integers(2, 22)), 0] + np.array([0, 0, -1.2], np.float32)
    return place


def _choose(rng: Rng, shares: dict[str, float]) -> str:
    weights = np.array(list(shares.values()))
    return str(rng.choice(list(shares), p=weights / weights.sum()))
