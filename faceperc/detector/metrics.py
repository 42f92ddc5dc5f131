"""Detection metrics in NumPy: matching, average precision, recall and false positives.

A detection that matches no labelled face but lies on an ignored region counts neither way.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from faceperc.detector.targets import BOX, HEAD, LIMIT, SEEN, TRUST, WEIGHT, faces_of
from faceperc.overlap import iou_matrix

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Matches:
    """The outcome of one image or, concatenated, of many.

    Attributes:
        scores: (D,) of the detections that count.
        hits: (D,) whether each of them found a face that none of a higher score had found.
        extents: (D,) longer side of the face that each found, or its own where it found none, px.
        found: (F,) score of the detection that found each labelled face, or -1.
        sides: (F,) longer side of each labelled face, px.
        images: number of images.
    """

    scores: Array
    hits: Flags
    extents: Array
    found: Array
    sides: Array
    images: int

    @staticmethod
    def join(parts: list[Matches]) -> Matches:
        """All images together."""
        return Matches(
            np.concatenate([part.scores for part in parts]),
            np.concatenate([part.hits for part in parts]),
            np.concatenate([part.extents for part in parts]),
            np.concatenate([part.found for part in parts]),
            np.concatenate([part.sides for part in parts]),
            sum(part.images for part in parts),
        )


def match(boxes: Array, scores: Array, faces: Array, ignored: Array, threshold: float = 0.5) -> Matches:
    """Greedy matching by descending score (PASCAL VOC).

    Args:
        boxes: (D, 4) detections.
        scores: (D,) in [0, 1].
        faces: (F, 4) labelled faces.
        ignored: (R, 4) regions: a detection is dropped if half of it lies in one, or if its IoU with one
            reaches the threshold.
        threshold: smallest IoU of a hit.
    """
    order = np.argsort(-scores, kind="stable")
    overlap = iou_matrix(boxes, faces)
    found = np.full(len(faces), -1.0)
    sides = (faces[:, 2:] - faces[:, :2]).max(-1) if len(faces) else np.empty(0)
    keep, hits, extents = [], [], []
    for i in order:
        candidates = np.where(found < 0, overlap[i], 0.0)
        if len(faces) and candidates.max() >= threshold:
            found[candidates.argmax()] = scores[i]
            keep.append(i)
            hits.append(True)
            extents.append(sides[candidates.argmax()])
        elif not _is_ignored(boxes[i : i + 1], ignored, threshold):
            keep.append(i)
            hits.append(False)
            extents.append((boxes[i, 2:] - boxes[i, :2]).max())
    chosen = np.array(keep, dtype=int)
    return Matches(scores[chosen], np.array(hits, dtype=bool), np.array(extents), found, sides, 1)


def judge(boxes: Array, scores: Array, targets: NDArray[np.floating]) -> tuple[Matches, Array]:
    """Match detections with a picture's targets, which say where a face may be that nobody labelled.

    Args:
        boxes: (D, 4) detections.
        scores: (D,) in [0, 1].
        targets: (M, WIDTH) rows of `faceperc.detector.targets`. Regions of weight 0 are ignored, and heads of
            which it is not known whether their face can be seen. In regions that may hide unlabelled faces
            (limit below 1) a detection that does not touch a labelled face (IoU below 0.1) is unjudged:
            neither right nor wrong.

    Returns:
        The matches, and the (U,) scores of the unjudged detections.
    """
    rows = np.asarray(targets, dtype=np.float64)
    head = rows[:, WEIGHT] == HEAD
    faces, ignored = faces_of(rows), rows[(rows[:, WEIGHT] == 0) | (head & np.isnan(rows[:, SEEN])), BOX]
    doubt = rows[(rows[:, WEIGHT] > 0) & (rows[:, LIMIT] < 1) & (rows[:, TRUST] == 1), BOX]
    apart = iou_matrix(boxes, faces).max(axis=1, initial=0.0) < 0.1
    centre = (boxes[:, None, :2] + boxes[:, None, 2:]) / 2
    within: NDArray[np.bool_] = (centre >= doubt[None, :, :2]) & (centre <= doubt[None, :, 2:])
    unjudged = apart & (within[..., 0] & within[..., 1]).any(axis=1)
    return match(boxes[~unjudged], scores[~unjudged], faces, ignored), scores[unjudged]


def _is_ignored(box: Array, ignored: Array, threshold: float) -> bool:
    if not len(ignored):
        return False
    low, high = np.maximum(box[:, :2], ignored[:, :2]), np.minimum(box[:, 2:], ignored[:, 2:])
    inside = (high - low).clip(min=0).prod(-1) / max(1e-9, float((box[:, 2:] - box[:, :2]).prod()))
    return bool((inside >= 0.5).any() or (iou_matrix(box, ignored) >= threshold).any())


def average_precision(matches: Matches, sides: tuple[float, float] = (0.0, np.inf)) -> float:
    """Area under the precision-recall curve, precision made monotonous (VOC 2010); NaN without faces.

    Args:
        matches: of any number of images.
        sides: only faces with a longer side in [low, high). Detections that found others are left out, and so
            are those that found none and are themselves of another size (as COCO does it).
    """
    count = int(((matches.sides >= sides[0]) & (matches.sides < sides[1])).sum())
    if not count:
        return float("nan")
    chosen = (matches.extents >= sides[0]) & (matches.extents < sides[1])
    scores, hits = matches.scores[chosen], matches.hits[chosen]
    hits = hits[np.argsort(-scores, kind="stable")]
    true = np.cumsum(hits)
    precision = np.maximum.accumulate((true / np.arange(1, len(hits) + 1))[::-1])[::-1]
    return float((precision * hits).sum() / count)


def recall(matches: Matches, score: float, sides: tuple[float, float] = (0.0, np.inf)) -> float:
    """Part of the faces with a longer side in [low, high) found at this score; NaN without such faces."""
    chosen = (matches.sides >= sides[0]) & (matches.sides < sides[1])
    return float((matches.found[chosen] >= score).mean()) if chosen.any() else float("nan")


def false_positives(matches: Matches, score: float) -> float:
    """Detections at this score that found no face, per image."""
    return float((~matches.hits & (matches.scores >= score)).sum() / max(1, matches.images))


def score_at(matches: Matches, rate: float) -> float:
    """Lowest score with at most ``rate`` false positives per image."""
    wrong = np.sort(matches.scores[~matches.hits])[::-1]
    allowed = int(rate * matches.images)
    return float(np.nextafter(wrong[allowed], 1.0)) if len(wrong) > allowed else 0.0
