"""Labels for the detector, read from miniature folders in their authors' layouts."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tiny_folders import POSES, write_300w_lp, write_aflw2000
from tiny_wider import (
    SIZE,
    TRAIN,
    five_marks,
    write_directmhp,
    write_landmarks,
    write_photo,
    write_split,
)

from faceperc.crop import box_from_landmarks
from faceperc.data.boxes import box_from_yunet
from faceperc.data.derive import fit_rotation
from faceperc.data.mean_face import MEAN_FACE
from faceperc.detector.adapters import (
    LICENCES,
    read_300w_lp,
    read_aflw2000,
    read_agora,
    read_panoptic,
    read_wider,
)
from faceperc.detector.adapters.directmhp import face_in_head, face_of
from faceperc.detector.labelled import LabelledFace, LabelledPhoto, face_seen, image_size
from faceperc.errors import DataError
from faceperc.overlap import iou_matrix
from faceperc.rotations import matrix_from_angles

Array = NDArray[np.float64]
DATA = os.environ.get("FACEPERC_DATA") or Path(__file__).parents[2] / "shared" / "data"
ICT = Path(DATA, "ict_facekit/ict_face_model.npz")


@pytest.fixture
def wider(tmp_path: Path) -> Path:
    write_split(tmp_path, "train", TRAIN)
    return tmp_path


def ours(x: float, y: float, w: float, h: float) -> Array:
    return box_from_yunet(np.array([x, y, x + w, y + h]) - 0.5)


def test_wider_gives_faces_and_regions_to_ignore(wider: Path) -> None:
    photos = read_wider(wider)
    # the photograph without any label is left out
    names = [Path(str(photo.path_or_bytes)).stem for photo in photos]
    assert names == [
        "0_Parade_marchingband_1_849",
        "0_Parade_marchingband_1_799",
        "59_peopledrivingcar_peopledrivingcar_59_2",
    ]
    assert {(photo.source, photo.size, photo.complete) for photo in photos} == {("wider", SIZE, True)}
    face, small, invalid = photos[0].faces
    np.testing.assert_allclose(face.box, ours(20, 30, 40, 50))
    assert (face.visible, face.ignore, face.points, face.rotation) == (True, False, None, None)
    np.testing.assert_allclose(small.box, ours(90, 10, 7, 9))
    assert small.ignore and invalid.ignore
    (cut,) = photos[1].faces  # neither the one without width nor that of negative width
    np.testing.assert_allclose(cut.box, ours(120, 50, 40, 50))  # it ended 20 px beyond the border
    assert photos[0].pixels().shape == (SIZE[1], SIZE[0], 3)


def test_wider_takes_smaller_faces_on_demand(wider: Path) -> None:
    assert [face.ignore for face in read_wider(wider, smallest=9)[0].faces] == [False, False, True]


def test_wider_limit_takes_photographs_from_all_over(wider: Path) -> None:
    assert [len(photo.faces) for photo in read_wider(wider, limit=2)] == [3, 1]


@pytest.mark.parametrize("scrfd", [False, True])
@pytest.mark.parametrize("beside", [False, True])
def test_wider_with_retinafaces_points(scrfd: bool, beside: bool, wider: Path) -> None:
    name = "labelv2.txt" if scrfd else "label.txt"
    path = wider / ("train" if beside else "elsewhere") / name
    write_landmarks(path, TRAIN, scrfd)
    photos = read_wider(wider, landmarks=None if beside else path, smallest=5)
    points = [face.points for face in photos[0].faces]
    np.testing.assert_allclose(points[0], five_marks(20, 30, 40, 50) + LEFT_EYE_UNKNOWN, atol=1e-3)
    assert points[1] is None  # none of this face's points are labelled
    assert points[2] is None  # a region to ignore
    np.testing.assert_allclose(photos[2].faces[0].points, five_marks(0, 0, 30, 40) + LEFT_EYE_UNKNOWN)


LEFT_EYE_UNKNOWN = np.array([[0.0], [np.nan], [0.0], [0.0], [0.0]])


def test_points_of_faces_that_wider_lacks_are_counted(wider: Path) -> None:
    moved = {event: {name: [(x + 1, *rest) for x, *rest in rows] for name, rows in photos.items()}
             for event, photos in TRAIN.items()}  # fmt: skip
    write_landmarks(wider / "train/label.txt", moved, scrfd=False)  # type: ignore[arg-type]
    with pytest.warns(UserWarning, match="5 of 5 faces with points are not in"):
        assert all(face.points is None for photo in read_wider(wider) for face in photo.faces)


def test_wider_names_damaged_photographs_and_goes_on(wider: Path) -> None:
    folder = wider / "WIDER_train/images/0--Parade"
    (folder / "0_Parade_marchingband_1_849.jpg").write_text("no image")
    (folder / "0_Parade_marchingband_1_799.jpg").unlink()
    told = r"wider train: 2 of 3 photographs left out: .*_849\.jpg: no image of a known.*_799\.jpg"
    with pytest.warns(UserWarning, match=told):
        assert len(read_wider(wider)) == 1
    (wider / "WIDER_train/images/59--people--driving--car").rename(wider / "away")
    with pytest.raises(DataError, match="3 of 3 photographs left out"):
        read_wider(wider)


@pytest.mark.parametrize(
    ("missing", "told"),
    [
        ("WIDER_train/images", r"missing; it should hold the photographs of WIDER_train\.zip; unpack"),
        ("wider_face_split", r"wider_face_train_bbx_gt\.txt: missing; .*wider_face_split\.zip"),
    ],
)
def test_wider_says_what_is_missing(missing: str, told: str, wider: Path) -> None:
    (wider / missing).rename(wider / "away")
    with pytest.raises(DataError, match=told):
        read_wider(wider)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("0--Parade/a.jpg\nmany\n", "followed by 'many' and not by its number of faces"),
        ("0--Parade/a.jpg\n", "followed by '' and not by its number"),
        ("0--Parade/a.jpg\n2\n1 2 3 4 0 0 0 0 0 0\n", "ends within the 2 faces of 0--Parade/a.jpg"),
        ("0--Parade/a.jpg\n1\n1 2 3 4\n", "a face of 0--Parade/a.jpg: 4 numbers instead of 10"),
        ("0--Parade/a.jpg\n1\n1 2 3 4 0 0 0 0 0 x\n", "could not convert"),
        ("0--Parade/a.jpg\n0\n0 0 0 0 0 0 0 0 0 0\n", "list no photograph"),
    ],
)
def test_damaged_label_files_are_named(text: str, told: str, wider: Path) -> None:
    path = wider / "wider_face_split/wider_face_train_bbx_gt.txt"
    path.write_text(text)
    with pytest.raises(DataError, match=re.escape(told)):
        read_wider(wider)


def test_a_photograph_without_faces_may_lack_its_row_of_zeros(wider: Path) -> None:
    path = wider / "wider_face_split/wider_face_train_bbx_gt.txt"
    path.write_text(path.read_text().replace("0 0 0 0 0 0 0 0 0 0 \n", ""))
    assert len(read_wider(wider)) == 3


def test_300w_lp_gives_box_points_and_rotation(tmp_path: Path) -> None:
    drawn = write_300w_lp(tmp_path)
    photos = read_300w_lp(tmp_path)
    assert len(photos) == 16  # no mirror images
    for photo in photos:
        (face,) = photo.faces
        path = Path(str(photo.path_or_bytes))
        points = drawn[f"{path.parent.name}/{path.name}"]
        check_face(face, points, POSES[int(path.stem[-1])])
        assert photo.size == image_size(path) and not photo.complete


def test_aflw2000_leaves_out_what_the_field_leaves_out(tmp_path: Path) -> None:
    drawn = write_aflw2000(tmp_path)
    photos = read_aflw2000(tmp_path)
    assert len(photos) == 4
    for photo, pose in zip(photos, POSES, strict=True):
        check_face(photo.faces[0], drawn[Path(str(photo.path_or_bytes)).name], pose)


def check_face(face: LabelledFace, points: Array, pose: tuple[float, float, float]) -> None:
    np.testing.assert_allclose(face.box, box_from_landmarks(points), atol=1e-3)
    eyes = [points[36:42].mean(0), points[42:48].mean(0)]
    np.testing.assert_allclose(face.points, [*eyes, points[30], points[48], points[54]], atol=1e-3)
    np.testing.assert_allclose(face.rotation, matrix_from_angles(*pose), atol=1e-9)
    assert face.visible is True and not face.ignore


def test_300w_lp_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder; 300w-lp expects there: AFW/"):
        read_300w_lp(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("yaw", "seen"), [(0, True), (89, True), (-89, True), (100, None), (111, False), (180, False)]
)
def test_a_face_is_seen_from_the_front(yaw: float, seen: bool | None) -> None:
    assert face_seen(matrix_from_angles(yaw, 0, 0)) is seen


# DirectMHP's labels, made as its scripts make them from a face's 3D points in the world and a camera.

FLIP = np.diag([1.0, -1.0, -1.0])  # OpenCV's camera (y down, z away) from ours
#: The scripts' points of CMU's face, and where these are on their 3D model, to a tenth of a millimetre.
MARKS = [17, 21, 26, 22, 45, 42, 39, 36, 35, 31, 54, 48, 57, 8]
MODEL = np.array(
    [
        [-6.83, 6.76, 4.40], [-1.33, 7.12, 6.90], [6.83, 6.76, 4.40],
        [1.33, 7.12, 6.90], [5.31, 5.49, 3.99], [1.79, 5.39, 4.41],
        [-1.79, 5.39, 4.41], [-5.31, 5.49, 3.99], [1.93, 0.42, 5.91],
        [-1.93, 0.42, 5.91], [2.77, -2.08, 5.05], [-2.77, -2.08, 5.05],
        [0.0, -3.12, 6.10], [0.0, -7.42, 4.07],
    ]
)  # fmt: skip
SCALE = 1.2  # pixels per centimetre


def directmhp_angles(camera: Array, head: Array) -> list[float]:
    """[pitch, yaw, roll] of rotations world to camera (OpenCV's) and head to world."""
    compound = camera @ head @ FLIP  # E_real @ inv(E_virt)
    first = np.arcsin(-compound[0, 2])
    for y in (first, np.pi - first):
        x = np.arctan2(compound[1, 2] / np.cos(y), compound[2, 2] / np.cos(y))
        z = np.arctan2(compound[0, 1] / np.cos(y), compound[0, 0] / np.cos(y))
        pitch, yaw, roll = np.degrees([x, y, z]).tolist()
        if abs(pitch) < 90 and abs(roll) < 90:
            return [pitch, -(yaw - 360 if yaw > 180 else yaw), -roll]
    raise ValueError("their scripts drop such a head")


def similarity(source: Array, target: Array) -> tuple[float, Array, Array]:
    """Scale, rotation and translation that bring (K, 3) points closest to others (Horn)."""
    a, b = source - source.mean(0), target - target.mean(0)
    u, _, vt = np.linalg.svd(b.T @ a)
    rotation = u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt
    scale = ((a @ rotation.T) * b).sum() / (a * a).sum()
    return scale, rotation, target.mean(0) - scale * rotation @ source.mean(0)


def random_rotation(rng: np.random.Generator) -> Array:
    q, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    return q if np.linalg.det(q) > 0 else -q


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(-179, 179), st.floats(-89, 89), st.floats(-89, 89))
def test_directmhps_angles_are_ours(seed: int, yaw: float, pitch: float, roll: float) -> None:
    assume(abs(abs(yaw) - 90) > 1)
    camera = random_rotation(np.random.default_rng(seed))
    head = camera.T @ FLIP @ matrix_from_angles(yaw, pitch, roll)
    np.testing.assert_allclose(directmhp_angles(camera, head), [pitch, yaw, roll], atol=1e-6)


def head_of(
    angles: tuple[float, float, float],
    centre: tuple[float, float] = (80.0, 60.0),
    with_points: bool = False,
    shape: Array = MEAN_FACE,
    scale: float = SCALE,
    size: tuple[int, int] = SIZE,
) -> tuple[dict[str, Any], Array]:
    """The annotation of a head, and the (68, 2) pixels of its face.

    Args:
        angles: yaw, pitch, roll of the mean face's own axes.
        centre: of the head's axes in the image.
        with_points: add ``face2d_pts``.
        shape: (68, 3) the face, centimetres.
        scale: pixels per centimetre.
        size: of the image.
    """
    camera = random_rotation(np.random.default_rng(5))
    world = shape @ (camera.T @ FLIP @ matrix_from_angles(*angles)).T
    factor, rotation, shift = similarity(MODEL, world[MARKS])
    angle = np.radians(np.arange(0, 360, 10))
    theta, phi = (each.ravel() for each in np.meshgrid(angle, angle[:18]))
    sphere = 18 * np.column_stack([np.cos(theta) * np.sin(phi), np.sin(theta) * np.sin(phi), np.cos(phi)])
    sphere = (factor * (sphere + np.array([0, 5, -5])) @ rotation.T + shift) @ camera.T
    low = np.maximum((sphere[:, :2] * scale + centre).min(0), 0).astype(int)
    high = np.minimum((sphere[:, :2] * scale + centre).max(0), size).astype(int)
    points = (world @ camera.T)[:, :2] * scale + centre
    annotation: dict[str, Any] = {
        "bbox": [*low.tolist(), *(high - low).tolist()],
        "euler_angles": directmhp_angles(camera, rotation),
    }
    if with_points:
        unstable = np.full((17, 2), 7.0)  # CMU's outline: it must not matter
        annotation["face2d_pts"] = np.vstack([unstable, points[17:], points[[36, 42]]]).T.tolist()
    return annotation, points


POSES_AROUND = ((0.0, 0.0, 0.0), (60.0, 10.0, -15.0), (-130.0, 5.0, 20.0), (175.0, -20.0, 0.0))


@pytest.mark.parametrize("with_points", [False, True])
@pytest.mark.parametrize(
    ("reader", "images", "labels"),
    [
        (read_panoptic, "images/train", "annotations/coco_style_sampled_train.json"),
        (read_panoptic, "images/train", "annotations/coco_style_sampled_train_v2.json"),
        (read_agora, "images/train", "annotations/coco_style_train.json"),
    ],
)
def test_directmhp_gives_the_face_of_a_head_from_every_side(
    with_points: bool, reader: Any, images: str, labels: str, tmp_path: Path
) -> None:
    drawn = [head_of(angles, with_points=with_points) for angles in POSES_AROUND]
    heads = [head for head, _ in drawn]
    if reader is read_agora and with_points:
        for head in heads:
            head["face2d_pts"] = [row[17:68] for row in head["face2d_pts"]]
    write_directmhp(tmp_path, images, labels, [heads[:3], heads[3:], []])
    photos = reader(tmp_path)
    assert [len(photo.faces) for photo in photos] == [3, 1, 0]
    faces = [face for photo in photos for face in photo.faces]
    for face, (_, points), (yaw, _, _) in zip(faces, drawn, POSES_AROUND, strict=True):
        assert face.rotation is not None and not face.ignore
        # whole pixels in the head's box
        tolerance = 0.1 if with_points else 1.0
        np.testing.assert_allclose(face.box, box_from_landmarks(points), atol=tolerance)
        # their zero is 300W-LP's, which is that of our derived labels, too
        ours = fit_rotation(points[17:], MEAN_FACE[17:]) @ matrix_from_angles(0.0, 8.0, 0.0)
        assert np.degrees(np.arccos((np.trace(face.rotation @ ours.T) - 1) / 2)) < 2.0
        assert face.visible is (abs(yaw) < 90)
        if with_points:
            eyes = [points[36:42].mean(0), points[42:48].mean(0)]
            np.testing.assert_allclose(face.points, [*eyes, points[30], points[48], points[54]], atol=1e-9)
        else:
            assert face.points is None


def test_agoras_validation_images_lie_in_their_own_folder(tmp_path: Path) -> None:
    head, _ = head_of(POSES_AROUND[0])
    write_directmhp(tmp_path, "images/validation", "annotations/coco_style_validation.json", [[head]])
    (photo,) = read_agora(tmp_path, "val")
    assert photo.source == "agora" and not photo.complete


@pytest.mark.parametrize("centre", [(10.0, 60.0), (150.0, 60.0), (80.0, 12.0), (80.0, 110.0)])
def test_a_head_that_the_border_cuts_off_is_completed(centre: tuple[float, float]) -> None:
    head, points = head_of((30.0, 10.0, -15.0), centre)
    width, height = head["bbox"][2:]
    assert min(width, height) < max(width, height) - 3  # it is cut off
    pitch, yaw, roll = head["euler_angles"]
    box = face_in_head(head["bbox"], matrix_from_angles(yaw, pitch, roll), SIZE)
    np.testing.assert_allclose(box, box_from_landmarks(points), atol=1.0)


def test_a_head_cut_off_at_a_corner_is_ignored(tmp_path: Path) -> None:
    head, _ = head_of(POSES_AROUND[0], (8.0, 8.0))
    write_directmhp(tmp_path, "images/val", "annotations/coco_style_sampled_val.json", [[head]])
    ((face,),) = (photo.faces for photo in read_panoptic(tmp_path, "val"))
    x, y, w, h = head["bbox"]
    assert face.ignore
    np.testing.assert_allclose(face.box, [x, y, x + w, y + h])


@pytest.mark.parametrize("with_points", [False, True])
@pytest.mark.parametrize("stretch", [(1.1, 1.0, 1.0), (1.0, 1.1, 1.0), (1.0, 1.0, 1.1)])
def test_boxes_of_other_faces_are_close(
    stretch: tuple[float, float, float], with_points: bool, tmp_path: Path
) -> None:
    """A face that is 10 % broader, higher or deeper than the mean one, from every side, 20 px high."""
    drawn = [
        head_of((yaw, 10.0, -15.0), with_points=with_points, shape=MEAN_FACE * stretch)
        for yaw in range(-170, 180, 30)
    ]
    labels = "annotations/coco_style_sampled_train.json"
    write_directmhp(tmp_path, "images/train", labels, [[head for head, _ in drawn]])
    (photo,) = read_panoptic(tmp_path)
    for face, (_, points) in zip(photo.faces, drawn, strict=True):
        assert iou_matrix(face.box[None], box_from_landmarks(points)[None])[0, 0] > 0.85


@pytest.mark.data
@pytest.mark.skipif(not ICT.is_file(), reason="no data pack")
def test_boxes_of_a_face_models_identities() -> None:
    """The figures that ``read_panoptic`` states, over faces of ICT FaceKit from every side, 170 px high."""
    with np.load(ICT) as model:
        marks = model["landmarks68"]
        neutral = model["neutral"][marks].astype(float)
        identity = model["identity"][:, marks].astype(float)
    rng = np.random.default_rng(0)
    by_head, by_points = [], []
    size, centre = (2000, 2000), (1000.0, 1000.0)
    for _ in range(300):
        shape = neutral + np.tensordot(rng.normal(size=100), identity, 1) - neutral.mean(0)
        angles = (rng.uniform(-180, 180), rng.uniform(-40, 40), rng.uniform(-40, 40))
        try:
            head, points = head_of(angles, centre, True, shape, scale=10.0, size=size)
        except ValueError:  # pitch or roll beyond 90 degrees either way
            continue
        pitch, yaw, roll = head["euler_angles"]
        truth = box_from_landmarks(points)[None]
        box = face_in_head(head["bbox"], matrix_from_angles(yaw, pitch, roll), size)
        assert box is not None
        by_head.append(iou_matrix(box[None], truth)[0, 0])
        face = face_of(head, size)
        by_points.append(iou_matrix(face.box[None], truth)[0, 0])
    for values in (by_head, by_points):
        assert len(values) > 270
        assert np.median(values) > 0.94 and np.percentile(values, 5) > 0.88


def test_small_heads_are_ignored(tmp_path: Path) -> None:
    labels = "annotations/coco_style_train.json"
    write_directmhp(tmp_path, "images/train", labels, [[head_of(POSES_AROUND[0], with_points=True)[0]]])
    assert [face.ignore for face in read_agora(tmp_path)[0].faces] == [False]
    assert [face.ignore for face in read_agora(tmp_path, smallest=40)[0].faces] == [True]


def test_directmhps_damage_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"coco_style_train\.json: missing; .*run them first"):
        read_agora(tmp_path)
    labels = "annotations/coco_style_train.json"
    (good, _), (bad, _) = (head_of(POSES_AROUND[0], with_points=True) for _ in range(2))
    bad["face2d_pts"] = [row[:40] for row in bad["face2d_pts"]]
    names = write_directmhp(
        tmp_path, "images/train", labels, [[good], [bad], [{"bbox": [0, 0, 9, 9]}], [good]]
    )
    write_photo(tmp_path / "images/train" / names[3])
    with pytest.warns(UserWarning, match="2 of 4 photographs left out.*51 or 70 numbers.*euler_angles"):
        assert len(read_agora(tmp_path)) == 2
    (tmp_path / labels).write_text("[1, 2")
    with pytest.raises(DataError, match="cannot be read as JSON"):
        read_agora(tmp_path)
    (tmp_path / labels).write_text("[1, 2]")
    with pytest.raises(DataError, match="not in COCO's format"):
        read_agora(tmp_path)


def test_images_of_another_size_are_left_out(tmp_path: Path) -> None:
    labels = "annotations/coco_style_train.json"
    write_directmhp(tmp_path, "images/train", labels, [[head_of(POSES_AROUND[0], with_points=True)[0]]])
    path = tmp_path / labels
    path.write_text(path.read_text().replace(f'"width": {SIZE[0]}', '"width": 1280'))
    with pytest.raises(DataError, match=r"\(160, 120\) pixels, but \(1280, 120\) in"):
        read_agora(tmp_path)


def test_every_source_states_its_licence(wider: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert all(LICENCES[photo.source] for photo in read_wider(wider))
    assert set(LICENCES) == {"wider", "300w-lp", "aflw2000", "panoptic", "agora"}


def test_a_photograph_may_be_bytes() -> None:
    photo = LabelledPhoto("wider", b"no image", (1, 1), [])
    assert photo.data() == b"no image"
    with pytest.raises(DataError, match="an image of wider: the image cannot be decoded"):
        photo.pixels()
