"""The ICT Face Model Light: heads of random identity and expression.

Li et al., "Learning Formation of Physically-Based Face Attributes", CVPR 2020. MIT licence, see NOTICE.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from faceperc._npz import read_arrays
from faceperc.data.source import data_folder
from faceperc.errors import DataError
from faceperc.synthetic.mesh import Floats, Ints, Rng

FILE = Path("ict_facekit", "ict_face_model.npz")
LICENCE = "MIT, Copyright (c) 2020 USC Institute for Creative Technologies (ICT Face Model Light)"

# Drawn opaque they would cover the eyes (lacrimal, blend, occlusion), or need transparency (lashes). The
# iris lies behind a closed sclera and is painted on it instead.
_DROPPED = ("lacrimal", "eye_blend", "eye_occlusion", "eyelashes", "iris")
_LIMIT = 2.2  # standard deviations: beyond, heads look ill
_MOUTH = ("jawOpen", "mouthSmile", "mouthFrown", "mouthPucker", "mouthFunnel", "mouthStretch", "mouthPress")
_UPPER = ("browInnerUp", "browDown", "browOuterUp", "cheekSquint", "eyeSquint", "eyeWide", "noseSneer")


@dataclass(frozen=True, eq=False)  # compared and hashed by identity: caches hold it
class FaceModel:
    """The model's arrays; V = 26719 vertices.

    Attributes:
        neutral: (V, 3) cm.
        identity: (100, V * 3) cm per standard deviation.
        expression: (53, V * 3) cm at full strength.
        expression_names: names of the expressions.
        triangles: (T, 3) of the parts that are drawn.
        uv: (T, 3, 2) texture coordinates of their corners.
        part: (T,) index into part_names.
        part_names: names of the parts.
        region: (V,) index into region_names.
        region_names: names of the regions.
        region_map: (512, 512) regions over the face's texture.
        hairline: (V,) height over a typical hairline, cm; > 0 bears hair.
        openness: (V,) in [0, 1]: share of ambient light that arrives.
        landmarks: (68,) vertices of the 68 points.
        eye_centre: (2, 3) cm, left then right.
        iris_radius: cm.
    """

    neutral: Floats
    identity: Floats
    expression: Floats
    expression_names: list[str]
    triangles: Ints
    uv: Floats
    part: NDArray[np.uint8]
    part_names: list[str]
    region: NDArray[np.uint8]
    region_names: list[str]
    region_map: NDArray[np.uint8]
    hairline: Floats
    openness: Floats
    landmarks: Ints
    eye_centre: Floats
    iris_radius: float

    def vertices(self, identity: Floats, expression: Floats) -> Floats:
        """(V, 3) cm, head frame, of (100,) identity (standard deviations) and (53,) expression in [0, 1]."""
        moved = identity @ self.identity + expression @ self.expression
        return self.neutral + moved.reshape(-1, 3)

    def is_region(self, *names: str) -> NDArray[np.bool_]:
        """(V,) whether a vertex lies in one of the named regions."""
        return np.isin(self.region, [self.region_names.index(name) for name in names])

    def is_part(self, *prefixes: str) -> NDArray[np.bool_]:
        """(T,) whether a triangle belongs to a part whose name begins with one of the prefixes."""
        return np.array([name.startswith(prefixes) for name in self.part_names])[self.part]


def load_model(folder: str | os.PathLike[str] | None = None) -> FaceModel:
    """Read `ict_facekit/ict_face_model.npz` of the data folder (FACEPERC_DATA by default), once a process.

    Raises:
        DataError: if it is missing or damaged.
    """
    return _load(data_folder(folder) / FILE)


@lru_cache(maxsize=1)
def _load(path: Path) -> FaceModel:
    if not path.is_file():
        raise DataError(f"{path}: missing; rendered heads need the ICT face model (see docs/synthetic.md)")
    try:
        stored = read_arrays(path)
        names = [str(name) for name in stored["part_names"]]
        kept = ~np.array([name.startswith(_DROPPED) for name in names])[stored["triangle_part"]]
        count = len(stored["neutral"])
        return FaceModel(
            neutral=stored["neutral"],
            identity=stored["identity"].reshape(-1, count * 3).astype(np.float32),
            expression=stored["expression"].reshape(-1, count * 3).astype(np.float32),
            expression_names=[str(name) for name in stored["expression_names"]],
            triangles=stored["triangles"][kept].astype(np.int32),
            uv=stored["uv"][stored["triangles_uv"][kept]],
            part=stored["triangle_part"][kept],
            part_names=names,
            region=stored["vertex_region"],
            region_names=[str(name) for name in stored["region_names"]],
            region_map=stored["face_region_map"],
            hairline=stored["hairline"].astype(np.float32),
            openness=stored["ambient_occlusion"].astype(np.float32) / np.float32(255),
            landmarks=stored["landmarks68"],
            eye_centre=stored["eye_centre"],
            iris_radius=float(stored["iris_radius"]),
        )
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path}: no readable ICT face model ({error})") from error


def random_identity(rng: Rng) -> Floats:
    """(100,) coefficients, N(0, 1) as the model's authors sample them, clipped."""
    return rng.standard_normal(100).clip(-_LIMIT, _LIMIT).astype(np.float32)


def random_expression(rng: Rng, names: list[str]) -> Floats:
    """(53,) strengths in [0, 1]: a few shapes of mouth and brows, and now and then closed eyes."""
    strength = dict.fromkeys(names, 0.0)
    for group, most in ((_MOUTH, 0.8), (_UPPER, 0.9)):
        for shape in rng.choice(group, rng.integers(0, 3), replace=False):
            value = most * rng.beta(1.2, 2.0)
            for name in names:
                if name.split("_")[0] == shape:  # both sides alike, but never quite
                    strength[name] = float(np.clip(value * rng.uniform(0.8, 1.2), 0, 1))
    closed = 1.0 if rng.random() < 0.06 else rng.beta(1, 6)
    strength["eyeBlink_L"] = strength["eyeBlink_R"] = closed
    # the neutral's lips are slightly apart, and mouthClose corrects jawOpen only
    strength["mouthClose"] = strength["jawOpen"] * float(rng.random() < 0.2)
    return np.array([strength[name] for name in names], dtype=np.float32)
