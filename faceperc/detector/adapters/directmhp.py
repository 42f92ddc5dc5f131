"""Heads from every side: CMU Panoptic and AGORA as DirectMHP's scripts prepare them.

Zhou et al., "DirectMHP: Direct 2D Multi-Person Head Pose Estimation with Full-range Angles", 2023
(github.com/hnuzhy/DirectMHP): COCO's JSON, each annotation with the ``bbox`` [x, y, w, h] of the head (in
CMU's intermediate file ``head_bbox``), ``euler_angles`` [pitch, yaw, roll] in degrees, yaw from -180 to 180,
and the face's projected points ``face2d_pts`` [[x, ...], [y, ...]]: 70 of CMU (iBUG's 68 and the pupils), 51
of AGORA (iBUG's without the jaw).

How their scripts make the labels: a 3D model of 58 points is fitted to the face's 3D points by a similarity.
Its rotation gives the angles, in the order and with the signs of `faceperc.rotations.matrix_from_angles`. The
head's box is that of a sphere around the model, cut off at the image's border.

Their model at rest looks 9 degrees lower than our mean face, our mean face about 8 degrees lower than
300W-LP's (`faceperc.data.derive`). The two nearly cancel out: the angles are taken as they are.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from faceperc.crop import box_from_landmarks
from faceperc.data.adapters._read import first_of
from faceperc.data.boxes import five_points
from faceperc.data.folder import existing
from faceperc.data.mean_face import MEAN_FACE
from faceperc.data.rows import spread
from faceperc.detector.labelled import (
    LabelledFace,
    LabelledPhoto,
    face_seen,
    gather,
    image_size,
)
from faceperc.errors import DataError
from faceperc.rotations import matrix_from_angles

Array = NDArray[np.float64]

SMALLEST = 10.0  # px

# Their model, fitted to the same 14 points of the mean face by a similarity (0.6 cm rms): the pitch of the
# mean face in the model's frame, degrees, and where the sphere (of radius 18 around (0, 5, -5) there) lies on
# the mean face, centimetres.
_MODEL_PITCH = -9.1
_SPHERE_CENTRE = np.array([0.0, 2.0, -9.2])
_SPHERE_RADIUS = 16.5

_FLIP_Y = np.array([1.0, -1.0])


def read_panoptic(
    root: str | Path, split: str = "train", smallest: float = SMALLEST, limit: int | None = None
) -> list[LabelledPhoto]:
    """CMU-HPE: frames of CMU Panoptic (Joo et al., ICCV 2015).

    Labelled heads may be hidden behind other people. Heads that the image's border mostly cuts off are not
    labelled.

    The face's box is that of the mean face, turned by the label and laid onto the face's points (without the
    jaw, which the authors call unstable). Where an annotation has no points, the mean face is laid into the
    sphere whose outline the head's box is: a box cut off at one border of the image is completed first, one
    cut off at a corner becomes a region to ignore. The error is how a person's face differs from the mean
    one: over identities of ICT FaceKit from every side, without perspective, the median IoU with the box of
    the 68 points is 0.95 either way, and one in twenty is below 0.90 (`tests/test_detector_adapters.py`).
    Errors of the labels themselves come on top.

    Args:
        root: folder with ``images/train``, ``images/val`` and ``annotations/coco_style_sampled_*.json``.
        split: "train" or "val".
        smallest: faces with a shorter longer side, in pixels, are regions to ignore.
        limit: at most so many frames, spread evenly over the list.

    Raises:
        DataError: if a folder or the label file is missing or damaged, or no image can be read.
    """
    names = [f"annotations/coco_style_sampled_{split}{version}.json" for version in ("", "_v2")]
    return _read("panoptic", Path(root), f"images/{split}", names, smallest, limit)


def read_agora(
    root: str | Path, split: str = "train", smallest: float = SMALLEST, limit: int | None = None
) -> list[LabelledPhoto]:
    """AGORA-HPE: rendered crowds (Patel et al., CVPR 2021).

    Persons hidden to 90 % or more, and heads that the image's border mostly cuts off, are not labelled. Boxes
    as in ``read_panoptic``.

    Args:
        root: folder with ``images/train``, ``images/validation`` and ``annotations/coco_style_*.json``.
        split: "train" or "val".
        smallest: faces with a shorter longer side, in pixels, are regions to ignore.
        limit: at most so many images, spread evenly over the list.

    Raises:
        DataError: if a folder or the label file is missing or damaged, or no image can be read.
    """
    part = {"val": "validation"}.get(split, split)
    names = [f"annotations/coco_style_{part}{version}.json" for version in ("", "_v2")]
    return _read("agora", Path(root), f"images/{part}", names, smallest, limit)


def _read(
    name: str,
    root: Path,
    images: str,
    labels: Sequence[str],
    smallest: float,
    limit: int | None,
) -> list[LabelledPhoto]:
    what = "the annotations that DirectMHP's scripts write; run them first"
    path = first_of(root, labels, what)
    folder = existing(root / images, "the images that DirectMHP's scripts write; run them first")
    document = _document(path)
    annotations: dict[Any, list[dict[str, Any]]] = {}
    for annotation in document["annotations"]:
        annotations.setdefault(annotation.get("image_id"), []).append(annotation)

    def photo(image: dict[str, Any]) -> LabelledPhoto:
        where = f"{path}: image {image.get('id')}"
        try:
            file, size = folder / image["file_name"], (int(image["width"]), int(image["height"]))
            faces = [face_of(each, size, smallest) for each in annotations.get(image["id"], [])]
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{where}: not as DirectMHP's scripts write it ({error!r})") from error
        if image_size(file) != size:
            raise DataError(f"{file}: {image_size(file)} pixels, but {size} in {path}")
        return LabelledPhoto(name, file, size, faces, complete=False)

    return gather(name, spread(document["images"], limit), photo)


def _document(path: Path) -> dict[str, list[dict[str, Any]]]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as JSON ({error})") from error
    if not isinstance(document, dict) or not {"images", "annotations"} <= document.keys():
        raise DataError(f"{path}: lacks 'images' or 'annotations'; it is not in COCO's format")
    return document


def face_of(annotation: dict[str, Any], size: tuple[int, int], smallest: float = SMALLEST) -> LabelledFace:
    """The face of one annotation.

    Args:
        annotation: as the module's docstring says.
        size: width, height of the image.
        smallest: a face with a shorter longer side, in pixels, is a region to ignore.

    Raises:
        KeyError, TypeError, ValueError: if the annotation is not in that form.
    """
    pitch, yaw, roll = annotation["euler_angles"]
    head = np.array(annotation["bbox"] if "bbox" in annotation else annotation["head_bbox"], dtype=np.float64)
    rotation = matrix_from_angles(yaw, pitch, roll)
    seen = face_seen(rotation)
    marks = annotation.get("face2d_pts")
    if marks is not None:
        points = _inner_points(marks)
        box, five = _laid_onto(points, rotation), five_points(np.vstack([np.full((17, 2), np.nan), points]))
    else:
        box, five = face_in_head(head, rotation, size), None
    if box is None:
        return LabelledFace(np.concatenate([head[:2], head[:2] + head[2:]]), ignore=True)
    small = bool((box[2:] - box[:2]).max() < smallest)
    return LabelledFace(box, ignore=True) if small else LabelledFace(box, five, rotation, seen)


def _inner_points(marks: Any) -> Array:
    """(51, 2) iBUG points 17 to 67 of ``face2d_pts``. Raises ValueError if there are neither 51 nor 70."""
    points = np.array(marks, dtype=np.float64).T
    if points.shape not in ((51, 2), (70, 2)) or not np.isfinite(points).all():
        raise ValueError(f"face2d_pts should be 2 rows of 51 or 70 numbers; it is {points.T.shape}")
    return points[17:68] if len(points) == 70 else points


def _turned_face(rotation: Array) -> Array:
    """(68, 2) the mean face as their model is turned, centimetres from the sphere's centre, y down."""
    mean_face = rotation @ matrix_from_angles(0.0, _MODEL_PITCH, 0.0)
    return ((MEAN_FACE - _SPHERE_CENTRE) @ mean_face.T)[:, :2] * _FLIP_Y


def _laid_onto(points: Array, rotation: Array) -> Array | None:
    """(4,) box of the mean face, turned, and scaled and moved closest to (51, 2) points; None if mirrored."""
    face = _turned_face(rotation)
    inner, centre = face[17:], face[17:].mean(0)
    scale = float(((inner - centre) * (points - points.mean(0))).sum() / ((inner - centre) ** 2).sum())
    return box_from_landmarks((face - centre) * scale + points.mean(0)) if scale > 0 else None


def face_in_head(head: ArrayLike, rotation: Array, size: tuple[int, int]) -> Array | None:
    """The face's box in a head's box of DirectMHP.

    Args:
        head: (4,) x, y, width, height in whole pixels, within the image.
        rotation: (3, 3) head to camera.
        size: width, height of the image.

    Returns:
        (4,) x0, y0, x1, y1 in pixels; None if the image's border cuts the head's box off both ways, since its
        size is then unknown.
    """
    box = np.asarray(head, dtype=np.float64)
    low, high = box[:2], box[:2] + box[2:]
    starts_cut, ends_cut = low <= 0, high >= np.array(size)
    cut = starts_cut | ends_cut
    if cut.all() or (starts_cut & ends_cut).any():
        return None
    extent = np.where(cut, box[2:][::-1], box[2:])  # a sphere's outline is as high as it is wide
    middle = np.where(starts_cut, high - extent / 2, low + extent / 2) + 0.5  # their borders are rounded down
    return box_from_landmarks(_turned_face(rotation) * extent / (2 * _SPHERE_RADIUS) + middle)
