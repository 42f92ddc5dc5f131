"""The mean face: where the 68 iBUG points lie on an average head in 3D.

Vertices of the neutral mean face of the ICT Face Model Light (Li et al., "Learning Formation of
Physically-Based Face Attributes", CVPR 2020), made symmetric and centred. MIT licence, Copyright (c) 2020 USC
Institute for Creative Technologies: the notice is in the file NOTICE.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: (68, 3) centimetres; x to the subject's left (image right in a frontal view), y up, z out of the face.
MEAN_FACE = np.array(
    [
        [-7.36, 3.94, -5.78],
        [-7.28, 1.75, -5.51],
        [-6.94, -0.20, -4.90],
        [-6.56, -2.10, -4.26],
        [-5.72, -4.23, -3.31],
        [-4.30, -5.95, -2.09],
        [-3.05, -6.65, -0.66],
        [-1.54, -7.00, 0.84],
        [0.00, -7.31, 1.00],
        [1.54, -7.00, 0.84],
        [3.05, -6.65, -0.66],
        [4.30, -5.95, -2.09],
        [5.72, -4.23, -3.31],
        [6.56, -2.10, -4.26],
        [6.94, -0.20, -4.90],
        [7.28, 1.75, -5.51],
        [7.36, 3.94, -5.78],
        [-5.82, 5.46, -1.53],
        [-4.93, 6.24, -0.45],
        [-3.79, 6.52, 0.39],
        [-2.41, 6.45, 1.05],
        [-1.17, 6.17, 1.29],
        [1.17, 6.17, 1.29],
        [2.41, 6.45, 1.05],
        [3.79, 6.52, 0.39],
        [4.93, 6.24, -0.45],
        [5.82, 5.46, -1.53],
        [0.00, 4.00, 1.30],
        [0.00, 2.89, 2.08],
        [0.00, 1.87, 2.87],
        [0.00, 0.67, 3.63],
        [-1.25, -0.88, 1.44],
        [-0.60, -0.88, 1.98],
        [0.00, -0.94, 2.13],
        [0.60, -0.88, 1.98],
        [1.25, -0.88, 1.44],
        [-4.46, 3.69, -0.83],
        [-3.87, 4.13, -0.07],
        [-2.78, 4.20, 0.10],
        [-1.84, 3.51, -0.24],
        [-2.73, 3.34, -0.02],
        [-3.86, 3.33, -0.21],
        [1.84, 3.51, -0.24],
        [2.78, 4.20, 0.10],
        [3.87, 4.13, -0.07],
        [4.46, 3.69, -0.83],
        [3.86, 3.33, -0.21],
        [2.73, 3.34, -0.02],
        [-2.53, -3.26, 0.75],
        [-1.70, -2.52, 1.79],
        [-0.73, -2.16, 2.29],
        [0.00, -2.22, 2.40],
        [0.73, -2.16, 2.29],
        [1.70, -2.52, 1.79],
        [2.53, -3.26, 0.75],
        [1.80, -3.80, 1.46],
        [1.03, -4.04, 1.95],
        [0.00, -4.12, 2.11],
        [-1.03, -4.04, 1.95],
        [-1.80, -3.80, 1.46],
        [-2.21, -3.23, 0.69],
        [-1.00, -3.04, 1.65],
        [0.00, -3.06, 1.85],
        [1.00, -3.04, 1.65],
        [2.21, -3.23, 0.69],
        [1.07, -3.12, 1.60],
        [0.00, -3.14, 1.82],
        [-1.07, -3.12, 1.60],
    ]
)

#: Centimetres from a brow's upper edge, where its points lie, down to its lower edge.
BROW_HEIGHT = 0.5


def along(line: Sequence[int], places: ArrayLike) -> NDArray[np.float64]:
    """(P, 2) x and y on the mean face's polyline through the points ``line``, centimetres.

    Args:
        line: indices of iBUG points.
        places: (P,) where on the line: 0 is its first point, 1 its second, 1.5 half way to the third.
    """
    at = np.asarray(places, dtype=np.float64)
    x, y = (np.interp(at, np.arange(len(line)), MEAN_FACE[list(line), axis]) for axis in (0, 1))
    return np.stack([x, y], axis=-1)
