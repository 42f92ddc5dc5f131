"""WIDER FACE (Yang et al., CVPR 2016), with RetinaFace's five points (Deng et al., CVPR 2020) where given."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from lightning.pytorch.utilities.rank_zero import rank_zero_warn
from numpy.typing import NDArray

from faceperc.data.boxes import box_from_yunet
from faceperc.data.folder import existing, lines_of, numbers_of
from faceperc.data.rows import spread
from faceperc.detector.labelled import LabelledFace, LabelledPhoto, gather, image_size
from faceperc.errors import DataError

Array = NDArray[np.float64]
Rectangle = tuple[int, int, int, int]  # x, y, width, height as the label files give them
Points = dict[str, dict[Rectangle, Array]]  # photograph -> its faces -> (5, 2)

SMALLEST = 10.0  # px; where the paper's class of small faces begins

_COLUMNS = 10  # x y w h blur expression illumination invalid occlusion pose
_INVALID = 7
_LANDMARKS = ("label.txt", "labelv2.txt")  # RetinaFace's and SCRFD's form of the same labels


@dataclass(frozen=True)
class _Entry:
    name: str  # 0--Parade/0_Parade_marchingband_1_849.jpg
    rows: Array  # (M, 10)


def read_wider(
    root: str | Path,
    split: str = "train",
    landmarks: str | Path | None = None,
    smallest: float = SMALLEST,
    limit: int | None = None,
) -> list[LabelledPhoto]:
    """The photographs of a split with their faces.

    Boxes are brought to our convention by `faceperc.data.boxes.box_from_yunet`. WIDER's reach from the
    forehead to the chin and over both cheeks, drawn by hand; ours follow from 68 landmarks. YuNet learned
    from WIDER's, and by its boxes ours are 8 % wider and begin 7 % of the height lower: an estimate through
    a detector, which has not been measured on WIDER's own labels. Without it the IoU of the two is 0.86.

    Invalid faces and those whose longer side is below ``smallest`` are regions to ignore. As in RetinaFace's
    reader, boxes end at the image's right and bottom border, what is then without width or height is left
    out, and so are photographs without any label: nobody says that they show no face. Heads seen from behind
    are not labelled at all.

    Args:
        root: folder with ``WIDER_train/images`` (or ``WIDER_val/images``) and ``wider_face_split``.
        split: "train" or "val".
        landmarks: RetinaFace's ``label.txt`` or SCRFD's ``labelv2.txt``; by default either is taken from
            ``root/<split>/`` where it exists. Points go to the face with the same rectangle.
        smallest: in pixels.
        limit: at most so many photographs, spread evenly over the list.

    Raises:
        DataError: if a folder or a label file is missing or damaged, or no photograph can be read.
    """
    folder = Path(root)
    labels = folder / "wider_face_split" / f"wider_face_{split}_bbx_gt.txt"
    what = "WIDER FACE's boxes; unpack the archive wider_face_split.zip there"
    entries = [entry for entry in _entries(lines_of(labels, what), labels) if len(entry.rows)]
    images = existing(
        folder / f"WIDER_{split}" / "images", f"the photographs of WIDER_{split}.zip; unpack it there"
    )
    points = _points_of(folder / split, landmarks)
    _warn_of_strangers(points, entries, labels)

    def photo(entry: _Entry) -> LabelledPhoto:
        path = images / entry.name
        size = image_size(path)
        faces = _faces(entry.rows, points.get(entry.name, {}), size, smallest)
        return LabelledPhoto("wider", path, size, faces)

    return gather(f"wider {split}", spread(entries, limit), photo)


def _entries(lines: list[str], path: Path) -> Iterator[_Entry]:
    """A name, a count, and so many rows; a photograph without a face has one row all the same, of zeros."""
    at = 0
    while at < len(lines):
        name, count = lines[at], lines[at + 1] if at + 1 < len(lines) else ""
        if not count.isdigit():
            raise DataError(f"{path}: {name} is followed by {count!r} and not by its number of faces")
        at += 2
        rows = lines[at : at + int(count)]
        if len(rows) < int(count):
            raise DataError(f"{path}: ends within the {count} faces of {name}; the file is cut off")
        values = [numbers_of(row, _COLUMNS, f"{path}: a face of {name}") for row in rows]
        yield _Entry(name, np.array(values).reshape(-1, _COLUMNS))
        is_empty_row = not rows and at < len(lines) and not lines[at].strip("0 ")
        at += len(rows) + is_empty_row


def _faces(
    rows: Array, points: dict[Rectangle, Array], size: tuple[int, int], smallest: float
) -> list[LabelledFace]:
    faces = []
    for row in rows:
        corner, extent = row[:2], row[2:4]
        end = np.minimum(corner + extent, size)
        if (corner >= end).any():
            continue
        # the first pixel's border, from which the authors count, lies at -0.5
        box = box_from_yunet(np.concatenate([corner, end]) - 0.5)
        if row[_INVALID] or (end - corner).max() < smallest:
            faces.append(LabelledFace(box, ignore=True))
        else:
            faces.append(LabelledFace(box, points.get(_rectangle(row[:4])), visible=True))
    return faces


def _points_of(folder: Path, given: str | Path | None) -> Points:
    """RetinaFace's points, from the given file or one of its usual places; none if there is no such file."""
    path = (
        Path(given)
        if given is not None
        else next(filter(Path.exists, map(folder.joinpath, _LANDMARKS)), None)
    )
    if path is None:
        return {}
    found: Points = {}
    faces: dict[Rectangle, Array] = {}
    are_corners = False  # SCRFD gives x0 y0 x1 y1, RetinaFace x y w h
    for line in lines_of(path, "RetinaFace's points, a file label.txt or labelv2.txt"):
        if line.startswith("#"):
            name, *extent = line[1:].split()
            are_corners, faces = len(extent) == 2, found.setdefault(name, {})
            continue
        values = numbers_of(line, len(line.split()), f"{path}: a face")
        if len(values) >= 19:  # others have a box only
            if are_corners:
                values[2:4] -= values[:2]
            rectangle, marks = _rectangle(values[:4]), values[4:19].reshape(5, 3)
            unknown = (marks[:, :2] == -1).all(axis=1)
            if not unknown.all():
                faces[rectangle] = np.where(unknown[:, None], np.nan, marks[:, :2])
    return found


def _rectangle(values: Array) -> Rectangle:
    x, y, width, height = (round(value) for value in values.tolist())
    return x, y, width, height


def _warn_of_strangers(points: Points, entries: list[_Entry], labels: Path) -> None:
    known = {
        (entry.name, _rectangle(row[:4])) for entry in entries if entry.name in points for row in entry.rows
    }
    strangers = sum((name, face) not in known for name, faces in points.items() for face in faces)
    if strangers:
        total = sum(map(len, points.values()))
        rank_zero_warn(f"wider: {strangers} of {total} faces with points are not in {labels}; not used")
