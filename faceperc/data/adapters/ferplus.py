"""FER+: ten opinions on each face of FER-2013.

Barsoum et al., "Training Deep Networks for Facial Expression Recognition with Crowd-Sourced Label
Distribution", ICMI 2016.
"""

from __future__ import annotations

from itertools import zip_longest
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from faceperc.data.adapters._read import csv_rows
from faceperc.data.adapters.fer2013 import USAGE, Fer2013, fer_rows
from faceperc.data.folder import Item, numbers_of
from faceperc.errors import DataError
from faceperc.heads.expression import EXPRESSIONS
from faceperc.licences import RESEARCH

_VOTES = (
    "neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "NF",
)  # fmt: skip
_OURS = [_VOTES.index(name) for name in EXPRESSIONS]


class FerPlus(Fer2013):
    """fer2013new.csv beside fer2013.csv, row by row. A label is (8,) parts of the votes.

    In training it is their distribution; in validation and test all of it is with the class of most votes, as
    the authors train and measure. Faces on which the annotators do not agree enough are left out: see
    ``distribution`` and ``majority``.
    """

    name = "ferplus"
    origin = "FER+ (Barsoum et al. 2016), photographs of FER-2013 (Goodfellow et al. 2013)"
    licence = "MIT for the votes; FER-2013's photographs: " + Fer2013.licence
    terms = RESEARCH
    layout = "fer2013.csv and fer2013new.csv"

    def items(self, root: Path, split: str) -> list[Item]:
        """See FolderSource.items. A label is (pixels as text, parts of the votes)."""
        read = distribution if split == "train" else majority
        path = root / "fer2013new.csv"
        rows = csv_rows(path, ("Usage", *_VOTES), "FER+'s votes")
        nothing = ("the end of the file", {"Usage": ""})
        items = []
        for (face_at, face), (votes_at, votes) in zip_longest(fer_rows(root), rows, fillvalue=nothing):
            if face["Usage"] != votes["Usage"]:
                raise DataError(f"{path}: other rows than fer2013.csv has: {votes_at} against {face_at}")
            if face["Usage"] == USAGE[split]:
                numbers = numbers_of(" ".join(votes[name] for name in _VOTES), len(_VOTES), votes_at)
                label = read(numbers)
                if label is not None:
                    items.append(Item(Path(face_at), (face["pixels"], label)))
        return items


def majority(votes: ArrayLike) -> NDArray[np.float32] | None:
    """The class of most votes, as the authors read validation and test (ferplus.py, mode majority).

    A single vote does not count. A face counts only if one class has more than half of the votes.

    Args:
        votes: (10,) votes in the order of fer2013new.csv.

    Returns:
        (8,) 1 for the class and 0 for the others, in the order of EXPRESSIONS, or None if the face is to be
        left out.
    """
    left = _without_single(votes)
    kept = left[_OURS]
    if kept.max() <= left.sum() / 2:
        return None
    return (np.arange(len(kept)) == kept.argmax()).astype(np.float32)


def distribution(votes: ArrayLike) -> NDArray[np.float32] | None:
    """What ten votes say, as the authors' reader does for training (ferplus.py, mode crossentropy).

    A single vote does not count. The commonest answers are taken until they hold three quarters of the votes,
    or are three, or one is "unknown" or "no face". Those expressions must hold more than half of the votes.

    Args:
        votes: (10,) votes in the order of fer2013new.csv.

    Returns:
        (8,) probabilities in the order of EXPRESSIONS, or None if the face is to be left out.
    """
    left = _without_single(votes)
    total = left.sum()
    kept = np.zeros_like(left)
    while kept.sum() < 0.75 * total and np.count_nonzero(kept) < 3 and not kept[8:].any():
        commonest = left == left.max()
        kept[commonest] = left.max()
        left[commonest] = 0.0
    kept = kept[_OURS]
    if kept.sum() <= total / 2 or np.count_nonzero(kept) > 3:
        return None
    return (kept / kept.sum()).astype(np.float32)


def _without_single(votes: ArrayLike) -> NDArray[np.float64]:
    """(10,) votes, 0 where there is one alone."""
    given = np.asarray(votes, dtype=np.float64)
    return np.where(given > 1, given, 0.0)
