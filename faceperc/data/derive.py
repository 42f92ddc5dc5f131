"""Labels that follow from others: a head pose and a partial parsing mask from 68 landmarks."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from faceperc.crop import box_from_landmarks
from faceperc.data.mean_face import MEAN_FACE
from faceperc.data.source import Sample
from faceperc.heads.parsing import SetMask, class_set
from faceperc.rotations import angles_of, matrix_from_angles

_TRUST = 0.5
_FLIP_Y = np.array([1.0, -1.0])


def landmark_sample(image: NDArray[np.uint8], points: NDArray[np.float64]) -> Sample:
    """A face with (68, 2) iBUG points in image pixels, and what they say of its pose and its parts."""
    labels = {
        "landmarks": points,
        "pose": pose_from_landmarks(points),
        "parsing": SetMask(parsing_from_landmarks(points, image.shape[:2]).astype(np.int16)),
    }
    derived = {"pose": _TRUST, "parsing": _TRUST}
    return Sample(image, box_from_landmarks(points), labels, trust=derived, derived=frozenset(derived))


def fit_rotation(points: ArrayLike, model: ArrayLike) -> NDArray[np.float64]:
    """Head rotation by scaled orthography: (3, 3), under which ``model`` projects closest to ``points``.

    The least-squares affine camera (POS; DeMenthon & Davis, IJCV 1995), made a rotation by the polar
    decomposition.

    Args:
        points: (K, 2) image pixels, K >= 4.
        model: (K, 3) the same points on a head; x to the subject's left, y up, z out of the face.
    """
    image, head = np.asarray(points, dtype=np.float64), np.asarray(model, dtype=np.float64)
    image, head = (image - image.mean(0)) * _FLIP_Y, head - head.mean(0)
    camera = np.linalg.lstsq(head, image, rcond=None)[
        0
    ].T  # (2, 3): scale times the rotation's first two rows
    u, _, vt = np.linalg.svd(camera, full_matrices=False)
    rows = u @ vt
    return np.vstack([rows, np.cross(rows[0], rows[1])])


#: The fitted head looks lower than a 300W-LP head at the same angles: what 51 points of the mean face and a
#: network trained on 300W-LP say of portraits differs by this pitch, in degrees (medians over the training
#: splits of ytf68 and celebahq1k; the five points of YuNet served as the link between the two).
_PITCH_OFFSET = 8.0


def pose_from_landmarks(points: ArrayLike) -> NDArray[np.float64]:
    """(3,) yaw, pitch, roll in degrees from (68, 2) iBUG points, without the jaw (it slides under yaw)."""
    rotation = fit_rotation(np.asarray(points)[17:], MEAN_FACE[17:])
    return angles_of(rotation @ matrix_from_angles(0.0, _PITCH_OFFSET, 0.0))


def parsing_from_landmarks(points: ArrayLike, shape: tuple[int, int]) -> NDArray[np.int32]:
    """Which classes each pixel may be, as far as 68 landmarks tell.

    Eyes, lips and mouth are inside their outlines, brows along their line; in a band around each the class
    is open; elsewhere a pixel is none of these parts. From just above the brows to the jaw nothing is
    background (what hides a face in the photograph is taken for the face), the tip of the nose is nose,
    and above the chin nothing is skin that lies clear of the head.

    Args:
        points: (68, 2) iBUG points in image pixels.
        shape: (H, W) of the image.

    Returns:
        (H, W) int32 bits of the classes of ``faceperc.heads.parsing``.
    """
    face = np.asarray(points, dtype=np.float64)
    ocular = float(np.hypot(*(face[45] - face[36])))
    sets = np.full(shape, class_set("background", "skin", "nose", "hair"), dtype=np.int32)
    brow_drop = np.array([0.0, 0.05 * ocular])  # the points lie on the brow's upper edge
    brows = {"right_brow": face[17:22] + brow_drop, "left_brow": face[22:27] + brow_drop}
    eyes = {"right_eye": face[36:42], "left_eye": face[42:48]}
    upper, lower = [*range(48, 55), 64, 63, 62, 61, 60], [*range(54, 60), 48, 60, 67, 66, 65, 64]
    mouth = {"upper_lip": face[upper], "lower_lip": face[lower], "inner_mouth": face[60:68]}
    for name, line in brows.items():
        _stroke(sets, line, 0.20 * ocular, class_set(name, "skin", "hair", "background"), closed=False)
    for name, outline in eyes.items():
        _stroke(sets, outline, 0.08 * ocular, class_set(name, "skin", "background"), closed=True)
    lips = class_set(*mouth, "skin", "background")
    _stroke(sets, face[48:60], 0.08 * ocular, lips, closed=True)
    for name, outline in (eyes | mouth).items():
        cv2.fillPoly(sets, [_fixed(outline)], class_set(name), shift=_SHIFT)
    _stroke(sets, face[60:68], 0.02 * ocular, class_set(*mouth), closed=True)
    for name, line in brows.items():
        _stroke(sets, line, 0.05 * ocular, class_set(name), closed=False)
    _limit_large_parts(sets, face)
    return sets


def _limit_large_parts(sets: NDArray[np.int32], face: NDArray[np.float64]) -> None:
    """Take from the sets what skin, nose and background cannot be, as ``parsing_from_landmarks`` says."""
    extent = float(np.ptp(face, axis=0).max())  # about from the brows to the chin
    down = face[8] - face[17:27].mean(0)
    down /= max(float(np.hypot(*down)), 1e-6)

    def within(points: ArrayLike, margin: float) -> NDArray[np.bool_]:
        return _inside(points, sets.shape, margin * extent)

    def face_and_above(height: float) -> NDArray[np.float64]:
        return np.vstack([face[:17], face[17:27] - height * extent * down])

    sets[within(face_and_above(0.15), -0.04)] &= ~class_set("background")
    sets[~within(face[[27, 31, 32, 33, 34, 35]], 0.12)] &= ~class_set("nose")
    sets[within(face[29:36], -0.015) & (sets & class_set("nose") > 0)] = class_set("nose")
    rows, columns = np.indices(sets.shape)
    above_chin = (columns - face[8, 0]) * down[0] + (rows - face[8, 1]) * down[1] < 0
    sets[above_chin & ~within(face_and_above(0.75), 0.25)] &= ~class_set("skin")


def narrowed(label: SetMask, other: SetMask) -> SetMask:
    """A mask with what another one of the same photograph says where it leaves the class of a pixel open.

    Where the two contradict each other the first is right. Nothing is to be measured by the result.
    """
    both = np.where(label.sets > 0, label.sets & other.sets, other.sets)
    return SetMask(np.where(both > 0, both, label.sets).astype(np.int16))


_SHIFT = 4  # fractional bits of OpenCV's fixed-point coordinates


def _fixed(points: NDArray[np.float64]) -> NDArray[np.int32]:
    return np.round(points * (1 << _SHIFT)).astype(np.int32)


def _inside(outline: ArrayLike, shape: tuple[int, int], margin: float) -> NDArray[np.bool_]:
    """Where (H, W) pixels lie inside the hull of points, grown by a margin or shrunk by a negative one."""
    filled = np.zeros(shape, np.uint8)
    hull = cv2.convexHull(np.asarray(outline, np.float32))[:, 0].astype(np.float64)
    cv2.fillPoly(filled, [_fixed(hull)], 1, shift=_SHIFT)
    width = max(1, round(2 * abs(margin)))
    cv2.polylines(filled, [_fixed(hull)], True, int(margin > 0), thickness=width, shift=_SHIFT)
    inside: NDArray[np.bool_] = filled > 0
    return inside


def _stroke(
    sets: NDArray[np.int32], line: NDArray[np.float64], width: float, bits: int, *, closed: bool
) -> None:
    cv2.polylines(sets, [_fixed(line)], closed, bits, thickness=max(1, round(width)), shift=_SHIFT)
