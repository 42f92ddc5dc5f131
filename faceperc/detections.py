"""Detections: what a detector found in an image, and the suppression of what it found twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from faceperc.overlap import iou_matrix

Array = NDArray[np.float64]

MAX_FACES = 1000  # bounds the time of the suppression on a picture of a crowd


@dataclass(frozen=True, eq=False)
class Detections:
    """The heads of one image; all arrays are float64 and have the same order.

    Attributes:
        boxes: (N, 4) x0, y0, x1, y1 in image pixels, hairline to chin; of a head seen from behind, the box
            that its face would have if one could look through the head.
        scores: (N,) in [0, 1]: how sure it is that a face can be seen there.
        heads: (N,) in [0, 1]: how sure it is that a head is there, seen from whichever side; None where the
            model does not tell.
        points: (N, 5, 2) x, y in image pixels, in the order of `faceperc.metadata.POINT_NAMES`, or None.
        rotations: (N, 3, 3) head rotations, head to camera (docs/contract.md), or None.
    """

    boxes: Array
    scores: Array
    heads: Array | None = None
    points: Array | None = None
    rotations: Array | None = None

    def __len__(self) -> int:
        """Number of heads."""
        return len(self.boxes)

    def __getitem__(self, index: slice | NDArray[np.intp] | NDArray[np.bool_]) -> Detections:
        """The detections of a slice, an array of indices, or a mask (N,)."""
        return Detections(*(None if each is None else each[index] for each in self._arrays()))  # type: ignore[arg-type]

    @property
    def visibility(self) -> Array:
        """(N,) in [0, 1]: probability that the face can be seen, given that there is a head.

        That is scores / heads; NaN where the model does not tell heads.
        """
        if self.heads is None:
            return np.full(len(self), np.nan)
        unknown = np.full(len(self), np.nan)
        return np.divide(self.scores, self.heads, out=unknown, where=self.heads > 0).clip(0, 1)

    def moved(self, x: float, y: float) -> Detections:
        """The same in a frame whose origin lies x, y pixels to the left and above."""
        corner = np.array([x, y])
        points = None if self.points is None else self.points + corner
        return Detections(self.boxes + np.tile(corner, 2), self.scores, self.heads, points, self.rotations)

    @staticmethod
    def joined(parts: Sequence[Detections]) -> Detections:
        """All detections of several passes of one model, at least one."""
        columns = zip(*(part._arrays() for part in parts), strict=True)
        return Detections(*(None if each[0] is None else np.concatenate(each) for each in columns))  # type: ignore[arg-type]

    def _arrays(self) -> tuple[Array | None, ...]:
        return self.boxes, self.scores, self.heads, self.points, self.rotations


def one_each(found: Detections, min_score: float, iou: float) -> Detections:
    """One box for each face, then one for each head that no face is at.

    Args:
        found: any number of boxes of each.
        min_score: a box with a score of this or more is a face's; the others are heads'.
        iou: of two boxes of a kind that overlap by more than this the better one stays.

    Returns:
        The faces by descending score, then the heads by the descending score of the head. A head goes whose
        box overlaps a face's, or whose centre lies in one: it is that face's head, seen by a poorer cell.
    """
    faces = found[found.scores >= min_score]
    faces = faces[nms(faces.boxes, faces.scores, iou)]
    rest = found[found.scores < min_score]
    if not len(rest) or rest.heads is None:
        return faces
    rest = rest[~_at_a_face(rest.boxes, faces.boxes, iou)]
    assert rest.heads is not None
    return Detections.joined([faces, rest[nms(rest.boxes, rest.heads, iou)]])


def _at_a_face(boxes: Array, faces: Array, iou: float) -> NDArray[np.bool_]:
    """(N,) whether each of (N, 4) boxes is at one of the (F, 4) faces."""
    centre = (boxes[:, None, :2] + boxes[:, None, 2:]) / 2
    inside = ((centre >= faces[None, :, :2]) & (centre <= faces[None, :, 2:])).all(-1)
    return np.asarray((inside | (iou_matrix(boxes, faces) > iou)).any(1), np.bool_)


def nms(boxes: Array, scores: Array, iou: float) -> NDArray[np.intp]:
    """Greedy non-maximum suppression.

    Args:
        boxes: (N, 4) x0, y0, x1, y1.
        scores: (N,).
        iou: a box that overlaps a better one by more than this is dropped.

    Returns:
        (K,) indices of the boxes to keep, by descending score; equal scores keep their order.
    """
    order = np.argsort(-scores, kind="stable")
    # columns of their own: NumPy is slow along an axis of 2 or 4
    x0, y0, x1, y1 = np.ascontiguousarray(boxes[order].T)
    area = (x1 - x0) * (y1 - y0)
    keep: list[int] = []
    left = np.arange(len(order))
    while len(left) and len(keep) < MAX_FACES:
        best, left = left[0], left[1:]
        keep.append(best)
        width = np.minimum(x1[best], x1[left]) - np.maximum(x0[best], x0[left])
        height = np.minimum(y1[best], y1[left]) - np.maximum(y0[best], y0[left])
        overlap = width.clip(min=0) * height.clip(min=0)
        left = left[overlap <= iou * (area[best] + area[left] - overlap)]
    return order[np.array(keep, dtype=np.intp)]
