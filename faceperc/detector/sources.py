"""Photographs with face boxes from the parquet pack (its layout: the pack's README).

Box convention: the bounding box of the 68 landmarks, its top moved up by 25 % of its height. Where a source
has no landmarks, YuNet's box (Wu et al., MIR 2023) serves as a pseudo-label after ``box_from_yunet``.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from faceperc.crop import box_from_landmarks
from faceperc.data.boxes import box_from_yunet, corrected_ytf_landmarks
from faceperc.data.rows import read_rows
from faceperc.data.source import data_folder
from faceperc.detector.loss import DOUBT, FACE, IGNORE
from faceperc.errors import DataError

Array = NDArray[np.float64]
Row = dict[str, Any]

FACE_SOURCES = ("w300", "ytf68", "celebahq1k", "utkface", "muxspace", "fasseg")
SOURCES = (*FACE_SOURCES, "figaro1k", "scenes")
LICENCES = {
    "w300": "research (iBUG annotations; photographs from the web)",
    "ytf68": "MIT (repository); frames of YouTube Faces, no terms stated",
    "celebahq1k": "non-commercial research and education",
    "utkface": "non-commercial research",
    "muxspace": "Apache-2.0 (repository); origin of the photographs not stated",
    "fasseg": "none stated; citation asked for",
    "figaro1k": "none stated",
    "scenes": "ImageNet sample images; research",
}

_COLUMNS = {"image", "width", "height", "landmarks", "det_box", "det_score", "det_nme", "boxes", "scores"}
YUNET_SURE = 0.85  # above this score nearly all proposals in scenes without animals were faces (looked at)
FIRST_NON_ANIMAL = "n02500000"  # ImageNet ids below are animals, but for one fish held by an angler
# Scenes (one per ImageNet id) without a face where YuNet proposes one, looked at: hard negatives.
_NO_FACE_IDS = """
n02085620 n02088364 n02089973 n02090379 n02093256 n02093991 n02100583 n02110806 n02110958 n02111277
n02120079 n02481823 n02487347 n02708093 n02843684 n02906734 n03424325 n03680355 n03742115 n03759954
n04141975 n04192698 n06874185 n07614500 n07693725
"""
NO_FACE = frozenset(_NO_FACE_IDS.split())
BACK_OF_HEAD = (0.7, 1.0)  # figaro1k without a YuNet box: mostly hair from behind, a few profiles


@dataclass(frozen=True)
class Photo:
    """One encoded photograph and what is known about faces in it.

    Attributes:
        source: name of the source.
        data: the encoded image file.
        size: width, height in pixels.
        targets: (M, 6) float32 rows as in `faceperc.detector.loss`: faces, and regions with their weights.
    """

    source: str
    data: bytes
    size: tuple[int, int]
    targets: NDArray[np.float32]

    @property
    def faces(self) -> Array:
        """(K, 4) face boxes x0, y0, x1, y1 in pixels."""
        return self.targets[self.targets[:, 4] == FACE, :4].astype(np.float64)


def load_photos(root: str | Path | None, source: str, split: str) -> list[Photo]:
    """All photographs of one source and split, still encoded.

    Args:
        root: folder of the pack; None takes the environment variable FACEPERC_DATA.
        source: one of SOURCES.
        split: "train" or "val".

    Raises:
        DataError: if the file is missing or is not the pack's.
    """
    path = data_folder(root) / source / f"{split}.parquet"
    if not path.is_file():
        raise DataError(f"{path} is missing: the detector needs this file of the face data pack")
    return [photo for row in read_rows(path, _COLUMNS) if (photo := _photo(source, row)) is not None]


def _photo(source: str, row: Row) -> Photo | None:
    try:
        targets = _READERS[source](row)
        data = row["image"]["bytes"]
        size = (row["width"], row["height"]) if "width" in row else _size_of(data)
    except KeyError as error:
        raise DataError(f"{source}: a row lacks {error}, see the pack's README") from error
    return None if targets is None else Photo(source, data, size, targets)


def _rows_of(boxes: Array, kind: tuple[float, float]) -> list[list[float]]:
    return [[*box, *kind] for box in np.asarray(boxes, dtype=np.float64).reshape(-1, 4).tolist()]


def _targets(faces: Array, regions: list[list[float]]) -> NDArray[np.float32]:
    rows = _rows_of(faces, (FACE, 1.0)) + regions
    return np.array(rows, dtype=np.float32).reshape(-1, 6)


def _whole(row: Row, kind: tuple[float, float]) -> list[list[float]]:
    return [[-0.5, -0.5, row["width"] - 0.5, row["height"] - 0.5, *kind]]


def _w300(row: Row) -> NDArray[np.float32]:
    points = np.asarray(row["landmarks"]).reshape(68, 2)
    return _targets(box_from_landmarks(points), _whole(row, DOUBT))  # neighbours are unlabelled


def _ytf68(row: Row) -> NDArray[np.float32] | None:
    if row["det_nme"] is not None and row["det_nme"] > 0.15:
        return None  # the landmarks are off, or they are another face's
    points = corrected_ytf_landmarks(row["landmarks"])
    return _targets(box_from_landmarks(points), _whole(row, DOUBT))


def _yunet(row: Row) -> NDArray[np.float32] | None:
    if row["det_box"] is None:
        return None
    return _targets(box_from_yunet(row["det_box"]), [])  # portraits of one person


def _figaro(row: Row) -> NDArray[np.float32] | None:
    if row["det_box"] is None:
        return _targets(np.empty((0, 4)), _whole(row, BACK_OF_HEAD))
    if row["det_score"] < YUNET_SURE:
        return None  # unsure boxes are often on hair
    return _targets(box_from_yunet(row["det_box"]), _whole(row, DOUBT))


def _scene(row: Row) -> NDArray[np.float32]:
    """Sure proposals are faces, others are ignored; in animal pictures unsure ones are animals: no faces."""
    boxes = box_from_yunet(np.asarray(row["boxes"], dtype=np.float64).reshape(-1, 4))
    sure = np.asarray(row["scores"], dtype=np.float64) > YUNET_SURE
    name = Path(row["image"]["path"]).name.split("_")[0]
    if name in NO_FACE:
        return _targets(np.empty((0, 4)), [])
    if name < FIRST_NON_ANIMAL:
        return _targets(np.empty((0, 4)), _rows_of(boxes[sure], IGNORE))
    return _targets(boxes[sure], _rows_of(boxes[~sure], IGNORE))


def _size_of(data: bytes) -> tuple[int, int]:
    return Image.open(io.BytesIO(data)).size


_READERS: dict[str, Callable[[Row], NDArray[np.float32] | None]] = {
    "w300": _w300,
    "ytf68": _ytf68,
    "celebahq1k": _yunet,
    "utkface": _yunet,
    "muxspace": _yunet,
    "fasseg": _yunet,
    "figaro1k": _figaro,
    "scenes": _scene,
}


def _measure_yunet(root: str | Path | None = None) -> Array:
    """(4,) median of (landmark box - YuNet box) / (w, h, w, h) over ytf68/train."""
    offsets = []
    for row in read_rows(data_folder(root) / "ytf68" / "train.parquet", _COLUMNS):
        if row["det_nme"] is not None and row["det_nme"] < 0.1:
            yunet = np.asarray(row["det_box"])
            size = yunet[2:] - yunet[:2]
            box = box_from_landmarks(corrected_ytf_landmarks(row["landmarks"]))
            offsets.append((box - yunet) / np.concatenate([size, size]))
    return np.median(offsets, axis=0)


if __name__ == "__main__":
    print("landmark box - YuNet box, in its widths and heights:", _measure_yunet().round(3).tolist())
