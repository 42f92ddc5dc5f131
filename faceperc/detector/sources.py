"""Photographs with face boxes from the parquet pack (its layout: the pack's README).

Box convention: the bounding box of the 68 landmarks, its top moved up by 25 % of its height. Where a source
has no landmarks, YuNet's box (Wu et al., MIR 2023) serves as a pseudo-label after ``box_from_yunet``. Points
and rotations are a face model's (`faceperc data label ... --teacher faceperc-nano --tasks landmarks,pose`),
but for the points of sources with landmarks. Heads from behind: photographs of hair, with a rough box from
the hair mask, and rendered heads (`faceperc data render`) with exact labels.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from faceperc._names import unknown_name
from faceperc.crop import box_from_landmarks
from faceperc.data.boxes import box_from_yunet, corrected_ytf_landmarks, five_points
from faceperc.data.prepared import unpack_label
from faceperc.data.rows import decode_image, digest, read_rows
from faceperc.data.source import data_folder
from faceperc.data.teachers.format import labels_path, read_labels
from faceperc.detector.adapters import READERS
from faceperc.detector.hair import head_box_from_hair
from faceperc.detector.labelled import LabelledPhoto, face_seen
from faceperc.detector.targets import (
    BOX,
    DOUBT,
    HEAD,
    IGNORE,
    POINTS,
    ROTATION,
    SEEN,
    WEIGHT,
    faces_of,
    head_row,
    region_row,
    target_array,
)
from faceperc.errors import DataError
from faceperc.licences import SYNTHETIC
from faceperc.overlap import iou_matrix
from faceperc.rotations import matrix_from_angles

Array = NDArray[np.float64]
Row = dict[str, Any]

FACE_SOURCES = ("w300", "ytf68", "celebahq1k", "utkface", "muxspace", "fasseg")
SOURCES = (*FACE_SOURCES, "figaro1k", "scenes")
RENDERED = "rendered"
TEACHER = "faceperc-nano"
LICENCES = {
    "w300": "research (iBUG annotations; photographs from the web)",
    "ytf68": "MIT (repository); frames of YouTube Faces, no terms stated",
    "celebahq1k": "non-commercial research and education",
    "utkface": "non-commercial research",
    "muxspace": "Apache-2.0 (repository); origin of the photographs not stated",
    "fasseg": "none stated; citation asked for",
    "figaro1k": "none stated",
    "scenes": "ImageNet sample images; research",
    RENDERED: "MIT (rendered from the ICT Face Model Light)",
}
#: What the owners allow (``faceperc.licences``); of all others research.
TERMS = {RENDERED: SYNTHETIC}

_COLUMNS = {"image", "width", "height", "landmarks", "det_box", "det_score", "det_nme", "boxes", "scores"}
_COLUMNS |= {"hair_mask", "rotation", "points5", "face_box"}
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
SAME_FACE = 0.3  # a teacher's label is a face's if their boxes overlap by this
SURE_POINTS = 0.5  # least confidence of a teacher's landmarks: an expected error of 5 % of the face's size


@dataclass(frozen=True)
class Photo:
    """One encoded photograph and what is known about faces in it.

    Attributes:
        source: name of the source.
        data: the encoded image file, or its path.
        size: width, height in pixels.
        targets: (M, WIDTH) float32 rows of `faceperc.detector.targets`.
    """

    source: str
    data: bytes | Path
    size: tuple[int, int]
    targets: NDArray[np.float32]

    @property
    def heads(self) -> Array:
        """(K, 4) boxes x0, y0, x1, y1 of the heads in pixels, from whichever side they are seen."""
        return self.targets[self.targets[:, WEIGHT] == HEAD, BOX].astype(np.float64)

    @property
    def faces(self) -> Array:
        """(K, 4) boxes of the heads whose face can be seen."""
        return faces_of(self.targets)


def load_photos(
    root: str | os.PathLike[str] | None, source: str, split: str, labels: str | Path | None = None
) -> list[Photo]:
    """All photographs of one source and split, still encoded.

    Args:
        root: folder of the pack; None takes the environment variable FACEPERC_DATA.
        source: one of SOURCES.
        split: "train" or "val".
        labels: folder with the labels of TEACHER, for points and rotations; None leaves these unknown.

    Raises:
        DataError: if a file is missing or is not the pack's.
    """
    path = data_folder(root) / source / f"{split}.parquet"
    if not path.is_file():
        raise DataError(f"{path} is missing: the detector needs this file of the face data pack")
    photos = [photo for row in read_rows(path, _COLUMNS) if (photo := _photo(source, row)) is not None]
    if labels is not None and source != "scenes":
        _add_teacher(photos, labels_path(labels, source, split, TEACHER))
    return photos


def load_rendered(folder: str | Path, split: str) -> list[Photo]:
    """The heads that `faceperc data render` wrote to `<folder>/<split>.parquet`.

    Raises:
        DataError: if the file is missing or is none of these.
    """
    path = Path(folder) / f"{split}.parquet"
    if not path.is_file():
        raise DataError(
            f"{path} is missing: render heads first, 'faceperc data render 3000 --out {path}', with another "
            "--seed for each split, or leave out data.rendered and its weight"
        )
    return [photo for row in read_rows(path, _COLUMNS) if (photo := _photo(RENDERED, row)) is not None]


def load_folder(name: str, folder: str) -> list[Photo]:
    """The training photographs of a data set that the user owns, in its authors' layout.

    Args:
        name: one of `faceperc.detector.adapters.READERS`.
        folder: where it lies.

    Raises:
        DataError: if the name is unknown or the folder is not that data set's.
    """
    if name not in READERS:
        raise DataError(unknown_name("data set", name, READERS))
    return [photo_of(labelled) for labelled in READERS[name](folder)]


def photo_of(labelled: LabelledPhoto) -> Photo:
    """A labelled photograph as the mosaics need it."""
    rows = []
    for face in labelled.faces:
        if face.ignore:
            rows.append(region_row(face.box, IGNORE))
            continue
        # without a word on it, what somebody labelled as a face is one that can be seen
        unknown = 1.0 if face.rotation is None else np.nan
        seen = unknown if face.visible is None else float(face.visible)
        points = None if seen != 1 else face.points
        rows.append(head_row(face.box, seen=seen, points=points, rotation=face.rotation))
    width, height = labelled.size
    # faces are labelled, or some of them are; of heads from behind nobody can be sure
    whole = [-0.5, -0.5, width - 0.5, height - 0.5]
    rows.append(region_row(whole, DOUBT, heads_only=labelled.complete))
    return Photo(labelled.source, labelled.path_or_bytes, labelled.size, target_array(rows))


def _add_teacher(photos: list[Photo], path: Path) -> None:
    """Write a teacher's points and rotations into the rows of the faces whose boxes they fit."""
    if not path.is_file():
        raise DataError(
            f"{path} is missing: label the pack first, 'faceperc data label configs/data/pack.yaml "
            f"--teacher {TEACHER} --tasks landmarks,pose --out FOLDER', or leave out data.labels"
        )
    by_photo: dict[str, list[Any]] = {}
    for label in read_labels(path)[1]:
        by_photo.setdefault(label.sha256, []).append(label)
    for photo in photos:
        assert isinstance(photo.data, bytes)
        for label in by_photo.get(digest(photo.data), []):
            _add_label(photo.targets, label)


def _add_label(targets: NDArray[np.float32], label: Any) -> None:
    heads = np.flatnonzero((targets[:, WEIGHT] == HEAD) & (targets[:, SEEN] == 1))
    overlap = iou_matrix(targets[heads, BOX].astype(np.float64), np.array([label.box]))
    if not len(heads) or overlap.max() < SAME_FACE:
        return
    row = targets[heads[overlap[:, 0].argmax()]]
    values = unpack_label(label.label)
    if label.task == "pose":
        row[ROTATION] = matrix_from_angles(*values).ravel()
    elif label.task == "landmarks" and label.confidence >= SURE_POINTS and np.isnan(row[POINTS]).any():
        row[POINTS] = five_points(values).ravel()


def _photo(source: str, row: Row) -> Photo | None:
    try:
        targets = _READERS[source](row)
        data = row["image"]["bytes"]
        size = (row["width"], row["height"]) if "width" in row else _size_of(data)
    except KeyError as error:
        raise DataError(f"{source}: a row lacks {error}, see the pack's README") from error
    return None if targets is None else Photo(source, data, size, targets)


def _whole(row: Row, kind: tuple[float, float]) -> Array:
    return region_row([-0.5, -0.5, row["width"] - 0.5, row["height"] - 0.5], kind)


def _landmarks(points: Array, row: Row) -> NDArray[np.float32]:
    face = head_row(box_from_landmarks(points), points=five_points(points))
    return target_array([face, _whole(row, DOUBT)])  # neighbours are unlabelled


def _w300(row: Row) -> NDArray[np.float32]:
    return _landmarks(np.asarray(row["landmarks"]).reshape(68, 2), row)


def _ytf68(row: Row) -> NDArray[np.float32] | None:
    if row["det_nme"] is not None and row["det_nme"] > 0.15:
        return None  # the landmarks are off, or they are another face's
    return _landmarks(corrected_ytf_landmarks(row["landmarks"]), row)


def _yunet(row: Row) -> NDArray[np.float32] | None:
    if row["det_box"] is None:
        return None
    return target_array([head_row(box_from_yunet(row["det_box"]))])  # portraits of one person


def _figaro(row: Row) -> NDArray[np.float32] | None:
    if row["det_box"] is None:
        return _hair(row)
    if row["det_score"] < YUNET_SURE:
        return None  # unsure boxes are often on hair
    return target_array([head_row(box_from_yunet(row["det_box"])), _whole(row, DOUBT)])


def _hair(row: Row) -> NDArray[np.float32]:
    """A head from behind: no face, and where the head is only roughly known."""
    whole = _whole(row, BACK_OF_HEAD)
    mask = decode_image(row["hair_mask"]["bytes"], "figaro1k")[..., 0] > 0
    box = head_box_from_hair(mask)
    return target_array([whole] if box is None else [head_row(box, seen=0.0, trust=0.0), whole])


def _scene(row: Row) -> NDArray[np.float32]:
    """Sure proposals are faces, others are ignored; in animal pictures unsure ones are animals: no faces."""
    boxes = box_from_yunet(np.asarray(row["boxes"], dtype=np.float64).reshape(-1, 4))
    sure = np.asarray(row["scores"], dtype=np.float64) > YUNET_SURE
    name = Path(row["image"]["path"]).name.split("_")[0]
    if name in NO_FACE:
        return target_array([])
    if name < FIRST_NON_ANIMAL:
        return target_array([region_row(box, IGNORE) for box in boxes[sure]])
    faces = [head_row(box) for box in boxes[sure]]
    return target_array(faces + [region_row(box, IGNORE) for box in boxes[~sure]])


def _rendered(row: Row) -> NDArray[np.float32]:
    rotation = np.asarray(row["rotation"], dtype=np.float64).reshape(3, 3)
    visible = face_seen(rotation)
    seen = np.nan if visible is None else float(visible)
    points = np.asarray(row["points5"], dtype=np.float64).reshape(5, 2) if seen == 1 else None
    return target_array([head_row(row["face_box"], seen=seen, points=points, rotation=rotation)])


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
    RENDERED: _rendered,
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
