"""MATLAB's .mat files, as the pose data sets of 3DDFA's authors use them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.io import loadmat

from faceperc.data.folder import existing
from faceperc.errors import DataError

Array = NDArray[np.float64]


def read_mat(path: Path, **shapes: tuple[int, int]) -> dict[str, Array]:
    """Variables of a .mat file.

    Args:
        path: the file, in the format of MATLAB 7 or older.
        shapes: the variables that are wanted, each with its shape.

    Raises:
        DataError: naming the file if it is missing or damaged, or lacks a variable of this shape.
    """
    content = load_variables(path, list(shapes), ", ".join(shapes))
    for name, shape in shapes.items():
        if name not in content or content[name].shape != shape:
            found = f"shape {content[name].shape}" if name in content else "missing"
            raise DataError(f"{path}: {name} should have the shape {shape}; it is {found}")
    return {name: content[name].astype(np.float64) for name in shapes}


def load_variables(path: Path, names: list[str], what: str) -> dict[str, Any]:
    """Those of some variables that a .mat file has, as scipy gives them: cells are arrays of objects.

    Args:
        path: the file, in the format of MATLAB 7 or older.
        names: of the variables.
        what: what the file should hold, for the message if it is missing.

    Raises:
        DataError: naming the file if it is missing or damaged.
    """
    try:
        content: dict[str, Any] = loadmat(existing(path, what), variable_names=names)
    except DataError:
        raise
    except Exception as error:  # scipy's parser raises whatever a damaged file makes it stumble over
        raise DataError(f"{path}: cannot be read as a .mat file ({error})") from error
    return content


def angles_from_pose_para(pose_para: Array) -> Array:
    """(3,) yaw, pitch, roll in degrees of 3DDFA's (1, 7) ``Pose_Para``: pitch, yaw, roll in radians, then the
    translation and the scale. The convention is that of ``faceperc.rotations``."""
    pitch, yaw, roll = pose_para[0, :3]
    return np.degrees([yaw, pitch, roll])
