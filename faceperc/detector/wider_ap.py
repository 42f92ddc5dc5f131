"""The official average precision of WIDER FACE (Yang et al., CVPR 2016), in NumPy.

After the authors' MATLAB programs (eval_tools: ``wider_eval.m``, ``read_pred.m``, ``norm_score.m``,
``evaluation.m``, ``boxoverlap.m``, ``VOCap.m``) and compared with their usual port to Python
(github.com/wondervictor/WiderFace-Evaluation). Its rules differ from PASCAL VOC's in a few places:

- All scores are brought to [0, 1] by the lowest and the highest of the whole set, and precision and recall
  are taken at 1,000 evenly spaced thresholds.
- A detection belongs to the face with the largest IoU (first of equal ones), if that is at least 0.5. Boxes
  x, y, w, h cover the pixels x to x + w, both included: an area is (w + 1)(h + 1).
- Every set (easy, medium, hard) counts some of the faces. A detection of any other face is dropped; a second
  detection of the same face is a false one.
- In photographs without a labelled face nothing counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from faceperc.data.adapters._mat import load_variables
from faceperc.data.adapters._read import first_of
from faceperc.errors import DataError

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

SETS = ("easy", "medium", "hard")

_FOLDERS = ("wider_face_split", "eval_tools/ground_truth", "ground_truth")
_WHAT = "the official ground truth; it is in eval_tools.zip of the authors' page, folder ground_truth"
_LISTS = ["event_list", "file_list", "face_bbx_list"]
_THRESHOLDS = 1 - np.arange(1, 1001) / 1000
_IOU = 0.5


@dataclass(frozen=True)
class Truth:
    """One photograph of the validation set.

    Attributes:
        event: its folder, e.g. ``0--Parade``.
        name: of its file, without ``.jpg``.
        boxes: (M, 4) x, y, width, height of all labelled faces.
        counted: set -> (K,) rows of ``boxes`` that count in it.
    """

    event: str
    name: str
    boxes: Array
    counted: dict[str, Indices]


def read_truth(root: str | Path) -> list[Truth]:
    """The official ground truth, in its order.

    Args:
        root: folder of WIDER FACE. Its ``wider_face_split``, ``eval_tools/ground_truth`` or ``ground_truth``
            holds ``wider_face_val.mat``, ``wider_easy_val.mat``, ``wider_medium_val.mat`` and
            ``wider_hard_val.mat``.

    Raises:
        DataError: if a file is missing, damaged or of another benchmark.
    """
    path = _find(root, "wider_face_val.mat")
    content = load_variables(path, _LISTS, _WHAT)
    counts = {name: _find(root, f"wider_{name}_val.mat") for name in SETS}
    kept = {name: load_variables(file, ["gt_list"], _WHAT) for name, file in counts.items()}
    try:
        return [
            Truth(
                _text(event),
                _text(content["file_list"][i, 0][j, 0]),
                np.asarray(content["face_bbx_list"][i, 0][j, 0], dtype=np.float64).reshape(-1, 4),
                # MATLAB's first row is 1
                {name: _rows(kept[name]["gt_list"][i, 0][j, 0]) - 1 for name in SETS},
            )
            for i, event in enumerate(content["event_list"][:, 0])
            for j in range(len(content["file_list"][i, 0]))
        ]
    except (KeyError, IndexError, TypeError, ValueError) as error:
        named = ", ".join(map(str, (path, *counts.values())))
        raise DataError(f"{named}: not the lists of WIDER FACE's validation set ({error!r})") from error


def _find(root: str | Path, name: str) -> Path:
    return first_of(Path(root), [f"{folder}/{name}" for folder in _FOLDERS], _WHAT)


def _text(cell: Any) -> str:
    return str(np.asarray(cell).item())


def _rows(cell: Any) -> Indices:
    return np.asarray(cell).ravel().astype(np.intp)


def average_precisions(truths: Sequence[Truth], detections: Sequence[Array]) -> dict[str, float]:
    """The official figures.

    Args:
        truths: the photographs.
        detections: of each photograph (D, 5) x, y, width, height, score, in any order; scores above 0.

    Returns:
        Set -> average precision in [0, 1]; NaN if no face counts in the set.
    """
    curves = {name: np.zeros((len(_THRESHOLDS), 2)) for name in SETS}  # detections that count, faces found
    for truth, found in zip(truths, _normalised(detections), strict=True):
        if not len(truth.boxes) or not len(found):
            continue
        overlap = _overlaps(found, truth.boxes)
        face = np.where(overlap.max(axis=1) >= _IOU, overlap.argmax(axis=1), -1)
        above = (found[:, 4] >= _THRESHOLDS[:, None]).sum(axis=1)  # how many detections reach each threshold
        for name in SETS:
            totals = np.vstack([np.zeros(2), _running_totals(face, truth.counted[name])])
            curves[name] += totals[above]
    faces = {name: sum(len(truth.counted[name]) for truth in truths) for name in SETS}
    return {name: _area(curves[name], faces[name]) for name in SETS}


def _normalised(detections: Sequence[Array]) -> list[Array]:
    """The detections of each photograph, best first, with scores from 0 to 1 over all photographs.

    Where all scores are equal they become NaN, and no detection counts, as in the authors' program.
    """
    scores = np.concatenate([np.empty(0), *(each[:, 4] for each in detections)])
    lowest, highest = scores.min(initial=np.inf), scores.max(initial=0.0)
    result = []
    for each in detections:
        ordered = each[np.argsort(-each[:, 4], kind="stable")].astype(np.float64)
        with np.errstate(invalid="ignore"):
            ordered[:, 4] = (ordered[:, 4] - lowest) / (highest - lowest)
        result.append(ordered)
    return result


def _overlaps(a: Array, b: Array) -> Array:
    """(A, B) intersection over union of boxes x, y, width, height that include their last pixel."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum((a[:, :2] + a[:, 2:4])[:, None], (b[:, :2] + b[:, 2:4])[None])
    inter = (high - low + 1).clip(min=0).prod(-1)
    area_a, area_b = (a[:, 2:4] + 1).prod(-1), (b[:, 2:4] + 1).prod(-1)
    return inter / (area_a[:, None] + area_b[None] - inter)


def _running_totals(face: Indices, counted: Indices) -> Array:
    """After each detection: how many so far count, and how many faces they have found.

    Args:
        face: (D,) row of the face that each detection belongs to, best detection first; -1 for none.
        counted: (K,) rows that count.

    Returns:
        (D, 2).
    """
    is_counted = np.isin(face, counted)
    first = np.zeros(len(face), dtype=bool)
    first[np.unique(face, return_index=True)[1]] = True
    return np.column_stack([np.cumsum(is_counted | (face < 0)), np.cumsum(is_counted & first)])


def _area(curve: Array, faces: int) -> float:
    """Area under the precision-recall curve, precision made monotonous (VOC 2010)."""
    if not faces:
        return float("nan")
    with np.errstate(invalid="ignore"):
        precision = curve[:, 1] / curve[:, 0]  # NaN above the first detection that counts
    recall = np.concatenate([[0.0], curve[:, 1] / faces, [1.0]])
    envelope = np.fmax.accumulate(np.concatenate([[0.0], precision, [0.0]])[::-1])[::-1]  # passes over NaN
    return float((np.diff(recall) * envelope[1:]).sum())
