"""Miniatures of WIDER FACE and of DirectMHP's folders, in their authors' layouts, quirks included."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from scipy.io import savemat

Array = NDArray[np.float64]

#: Event -> photograph -> its faces (x, y, w, h, invalid).
Faces = dict[str, dict[str, list[tuple[int, int, int, int, int]]]]
SIZE = (160, 120)

TRAIN: Faces = {
    "0--Parade": {
        "0_Parade_marchingband_1_849": [(20, 30, 40, 50, 0), (90, 10, 7, 9, 0), (100, 60, 30, 36, 1)],
        "0_Parade_Parade_0_452": [],  # the file has a row of zeros
        "0_Parade_marchingband_1_799": [(120, 50, 60, 50, 0), (60, 60, 0, 23, 0), (60, 60, -3, 12, 0)],
    },
    "59--people--driving--car": {"59_peopledrivingcar_peopledrivingcar_59_2": [(0, 0, 30, 40, 0)]},
}


def write_photo(path: Path, shade: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", SIZE, (shade % 256, 90, 40)).save(path)


def write_split(root: Path, split: str, faces: Faces) -> None:
    """Photographs and ``wider_face_<split>_bbx_gt.txt``."""
    lines = []
    for event, photos in faces.items():
        for index, (name, rows) in enumerate(photos.items()):
            write_photo(root / f"WIDER_{split}/images/{event}/{name}.jpg", 40 * index)
            lines += [f"{event}/{name}.jpg", str(len(rows))]
            lines += [f"{x} {y} {w} {h} 0 0 0 {invalid} 2 1 " for x, y, w, h, invalid in rows]
            lines += [] if rows else ["0 0 0 0 0 0 0 0 0 0 "]
    (root / "wider_face_split").mkdir(exist_ok=True)
    (root / f"wider_face_split/wider_face_{split}_bbx_gt.txt").write_text("\n".join(lines) + "\n")


def five_marks(x: int, y: int, w: int, h: int) -> Array:
    """(5, 2) points of an upright face: the subject's right eye is at the image's left."""
    return np.array([x, y]) + np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]]) * [
        w,
        h,
    ]


def write_landmarks(path: Path, faces: Faces, scrfd: bool) -> None:
    """RetinaFace's label.txt (x y w h, points, blur) or SCRFD's labelv2.txt (x0 y0 x1 y1, points).

    Every second face has no points, every first one no left eye.
    """
    lines = []
    for event, photos in faces.items():
        for name, rows in photos.items():
            if not rows:
                continue
            lines.append(f"# {event}/{name}.jpg" + (f" {SIZE[0]} {SIZE[1]}" if scrfd else ""))
            for index, (x, y, w, h, _) in enumerate(rows):
                marks = np.column_stack([five_marks(x, y, w, h), [0.0, 1.0, 0.0, 1.0, 0.0]])
                marks[range(5) if index % 2 else [1]] = -1.0
                box = (x, y, x + w, y + h) if scrfd else (x, y, w, h)
                numbers = [f"{value:.3f}" if scrfd else f"{value:g}" for value in (*box, *marks.ravel())]
                lines.append(" ".join(numbers if scrfd else [*numbers, "0.82"]))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def cell(values: Sequence[Any]) -> NDArray[np.object_]:
    """(n, 1) MATLAB cell array."""
    result = np.empty((len(values), 1), dtype=object)
    for index, value in enumerate(values):
        result[index, 0] = value
    return result


def write_truth(
    folder: Path, events: dict[str, dict[str, ArrayLike]], counted: dict[str, dict[str, dict[str, ArrayLike]]]
) -> None:
    """The four .mat files of eval_tools.

    Args:
        folder: receives them.
        events: event -> photograph -> (M, 4) x, y, w, h.
        counted: easy, medium, hard -> event -> photograph -> rows that count, from 0.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lists = {
        "event_list": cell(list(events)),
        "file_list": cell([cell(list(photos)) for photos in events.values()]),
        "face_bbx_list": cell(
            [
                cell([np.reshape(np.asarray(boxes, float), (-1, 4)) for boxes in photos.values()])
                for photos in events.values()
            ]
        ),
    }
    savemat(folder / "wider_face_val.mat", lists)
    for name, rows in counted.items():
        kept = cell(
            [
                cell(
                    [
                        np.asarray(rows[event][photo], np.uint16).reshape(-1, 1) + np.uint16(1)
                        for photo in photos
                    ]
                )
                for event, photos in events.items()
            ]
        )
        savemat(folder / f"wider_{name}_val.mat", {**lists, "gt_list": kept})


def write_directmhp(root: Path, images: str, labels: str, photos: list[list[dict[str, Any]]]) -> list[str]:
    """Images with the annotations of their heads (bbox, euler_angles, perhaps face2d_pts); their names."""
    document: dict[str, Any] = {"info": {}, "licences": [], "images": [], "annotations": [], "categories": []}
    for index, heads in enumerate(photos):
        number = 10_100_000_000 + index
        write_photo(root / images / f"{number}.jpg", index)
        document["images"].append(
            {"file_name": f"{number}.jpg", "height": SIZE[1], "width": SIZE[0], "id": number}
        )
        common = {"image_id": number, "category_id": 1, "iscrowd": 0, "segmentation": []}
        document["annotations"] += [
            {**head, **common, "id": 100 * number + i} for i, head in enumerate(heads)
        ]
    (root / labels).parent.mkdir(parents=True, exist_ok=True)
    (root / labels).write_text(json.dumps(document))
    return [image["file_name"] for image in document["images"]]
