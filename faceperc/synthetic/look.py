"""How a person looks: the colours of skin, hair, eyes and clothes, linear RGB."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from faceperc.synthetic.colour import linear
from faceperc.synthetic.mesh import Floats, Rng
from faceperc.synthetic.noise import smooth_noise

# The ten tones of the Monk Skin Tone Scale (Monk, 2019; skintone.google), light to dark.
_SKIN = ("f6ede4", "f3e7db", "f7ead0", "eadaba", "d7bd96", "a07e56", "825c43", "604134", "3a312a", "292420")
_HAIR = ("090806", "1c1410", "2c1e16", "4a3222", "6a4a2c", "94703f", "b89a62", "d6c08c", "7a3a1c", "a9a29a",
         "dcd8d2", "6c6660")  # fmt: skip
_HAIR_SHARE = np.array([5, 5, 4, 3, 2, 1.2, 1.0, 0.8, 0.7, 1.0, 0.8, 0.8])
_IRIS = ("3b2314", "4a2f1b", "5b4a2a", "4f6b4a", "4a6a8a", "7d93a3")


@dataclass(frozen=True)
class Look:
    """The colours of a person and their clothes, linear RGB (3,), and strengths in [0, 1].

    Attributes:
        skin, hair, iris, lips: colours.
        redness: of cheeks, nose and ears.
        beard: how dark the beard's skin is.
        brow: how dark the brows are.
        gaze: (2,) direction of the eyes, degrees to the subject's left and up.
        cloth: textures by kind of mesh: clothes, headwear, glasses.
        strands: (H, W) light and dark over the hair, about 1.
    """

    skin: Floats
    hair: Floats
    iris: Floats
    lips: Floats
    redness: float
    beard: float
    brow: float
    gaze: tuple[float, float]
    cloth: dict[str, Floats]
    strands: Floats


def random_look(rng: Rng) -> Look:
    """Colours of a random person. Skin tones are spread evenly over the Monk scale."""
    tone = rng.uniform(0, len(_SKIN) - 1)
    scale = np.array([linear(code) for code in _SKIN])
    skin = np.array([np.interp(tone, np.arange(len(scale)), scale[:, channel]) for channel in range(3)])
    # the scale shows swatches; skin in light is redder, and the darkest is not black
    skin = (skin + 0.015) * (1 + rng.normal(0, 0.04, 3)) * np.array([1.0, 0.8, 0.68]) * rng.uniform(0.8, 1.1)
    shares = _HAIR_SHARE.copy()
    if tone > 5 and rng.random() < 0.8:  # dark skin mostly goes with dark or grey hair
        shares[3:9] = 0.05
    hair = linear(_HAIR[rng.choice(len(_HAIR), p=shares / shares.sum())]) * rng.uniform(0.6, 1.3)
    if rng.random() < 0.03:
        hair = rng.uniform(0.02, 0.5, 3)  # dyed
    redder = np.array([rng.uniform(0.9, 1.1), rng.uniform(0.45, 0.75), rng.uniform(0.5, 0.8)])
    rows, columns = 96, 720
    fine, coarse = (smooth_noise(rng, rows, columns, sigma) for sigma in ((30, 1.0), (12, 7)))
    strands = 0.22 * fine + 0.15 * coarse
    return Look(
        skin=skin.astype(np.float32),
        hair=np.asarray(hair, np.float32),
        iris=linear(_IRIS[rng.integers(len(_IRIS))]),
        lips=(skin * redder).astype(np.float32),
        redness=float(rng.uniform(0, 0.5)),
        beard=float(rng.uniform(0.1, 0.9)) if rng.random() < 0.35 else 0.0,
        brow=float(rng.uniform(0.35, 0.95)),
        gaze=(float(rng.normal(0, 10)), float(rng.normal(0, 6))),
        cloth={"cloth_body": _cloth(rng), "cloth_head": _cloth(rng), "glasses": _frame(rng)},
        strands=np.exp(strands * rng.uniform(0.6, 1.5)).astype(np.float32),
    )


def _cloth(rng: Rng) -> Floats:
    """(96, 128, 3) a texture: plain, striped or chequered, with folds."""
    first, second = (_cloth_colour(rng) for _ in range(2))
    rows, columns = np.mgrid[:96, :128]
    pattern = rng.choice(["plain", "rings", "stripes", "checks", "spots"], p=[0.6, 0.12, 0.08, 0.1, 0.1])
    period = int(rng.choice([4, 8, 16]))
    ring, stripe = (rows // period) % 2, (columns // period) % 2
    spots = smooth_noise(rng, 96, 128, (period / 3, period / 3)) > 0.7
    mixed = {
        "plain": 0 * rows,
        "rings": ring,
        "stripes": stripe,
        "checks": (ring + stripe) / 2,
        "spots": spots,
    }
    amount = np.asarray(mixed[str(pattern)], np.float32)[..., None]
    folds = np.exp(0.12 * smooth_noise(rng, 96, 128, (6, 3)))[..., None]
    texture: Floats = ((first * (1 - amount) + second * amount) * folds).astype(np.float32)
    return texture


def _frame(rng: Rng) -> Floats:
    """(2, 2, 3) one colour: most glasses are dark."""
    colour = _cloth_colour(rng) * (0.1 if rng.random() < 0.75 else 1.0)
    return np.broadcast_to(colour, (2, 2, 3)).astype(np.float32)


def _cloth_colour(rng: Rng) -> Floats:
    """Half of the clothes are black, grey or white."""
    value, saturation = rng.uniform(0.02, 0.9) ** 1.3, 0.0 if rng.random() < 0.5 else rng.uniform(0.2, 0.9)
    hue = rng.uniform(0, 6) + np.array([0, 2, 4])
    colour = value * (1 - saturation * (1 - np.abs((hue % 6) / 3 - 1)))
    return np.asarray(colour, np.float32)
