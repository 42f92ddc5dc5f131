"""Results: each kind in the frame of the image, its checks, and the containers Face and Faces."""

from __future__ import annotations

import base64
import copy
import io
import json
import math
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from faceperc.crop import CropRule, FaceCrop
from faceperc.errors import FacepercError, UsageError
from faceperc.kinds import KINDS, Classes, Points, Probabilities, Rotation, Scalar
from faceperc.mask import Mask
from faceperc.metadata import TaskInfo
from faceperc.results import Face, Faces

CROP = FaceCrop.from_box(
    [40, 40, 80, 90], CropRule(25, scale=2.0)
)  # 100 px -> 25 px, region 10 to 110, 15 to 115
SHAPE = (200, 160)


def info(kind: str, **more: Any) -> TaskInfo:
    return TaskInfo("task", kind, {}, **more)


def rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """R = Rx(pitch) Ry(yaw) Rz(roll) with transposed elementary rotations, as docs/contract.md says."""
    (cp, sp), (cy, sy), (cr, sr) = ((math.cos(a), math.sin(a)) for a in np.radians([pitch, yaw, roll]))
    x = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    y = np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]])
    z = np.array([[cr, sr, 0], [-sr, cr, 0], [0, 0, 1]])
    return x @ y @ z


def test_kinds__are_those_of_the_contract() -> None:
    assert list(KINDS) == ["points", "rotation", "mask", "classes", "probabilities", "scalar"]


def test_points__into_the_image() -> None:
    fields = {"points": np.array([[12.0, 12.0], [-0.5, -0.5]]), "sigma": np.array([1.0, 2.0])}
    result = Points.from_output(fields, info("points", lines=((0, 1),)), CROP, SHAPE)
    np.testing.assert_allclose(result.points, [[60, 65], [10, 15]])
    assert result.sigma is not None
    np.testing.assert_allclose(result.sigma, [4, 8])
    assert (
        len(result) == 2
        and result.lines == ((0, 1),)
        and result.summary() == "2 points, expected error 6.0 px"
    )
    assert result.to_dict()["points"] == [[60.0, 65.0], [10.0, 15.0]]
    assert result.columns()["1.x"] == 10.0


def test_points__sigma_is_optional() -> None:
    result = Points.from_output({"points": np.zeros((3, 2))}, info("points"), CROP, SHAPE)
    assert result.sigma is None and result.to_dict()["sigma"] is None and result.summary() == "3 points"
    assert result.visibility is None and result.to_dict()["visibility"] is None


def test_points__visibility() -> None:
    fields = {"points": np.zeros((2, 2)), "visibility": np.array([0.9, 0.2], dtype=np.float32)}
    result = Points.from_output(fields, info("points"), CROP, SHAPE)
    assert result.to_dict()["visibility"] == [0.9, 0.2] and result.summary() == "2 points, 1 occluded"
    assert result.columns()["1.visibility"] == pytest.approx(0.2)


@settings(deadline=None, max_examples=60)
@given(yaw=st.floats(-179, 179), pitch=st.floats(-89, 89), roll=st.floats(-179, 179))
def test_rotation__angles_over_the_full_range(yaw: float, pitch: float, roll: float) -> None:
    if abs(abs(yaw) - 90) < 0.1:
        return  # yaw of 90 degrees: pitch and roll are not unique
    result = Rotation(rotation(yaw, pitch, roll))
    np.testing.assert_allclose([result.yaw, result.pitch, result.roll], [yaw, pitch, roll], atol=1e-6)


def test_rotation__signs() -> None:
    nose = rotation(30, 0, 0)[:, 2]
    assert nose[0] < 0  # yaw > 0 faces the image's left
    assert rotation(0, 30, 0)[1, 2] > 0  # pitch > 0 looks up
    assert rotation(0, 0, 30)[0, 1] > 0  # roll > 0: the head's top moves to the image's right


@settings(deadline=None, max_examples=30)
@given(angle=st.floats(-170, 170))
def test_rotation__of_a_turned_crop_is_turned_back(angle: float) -> None:
    crop = FaceCrop((50.0, 50.0), 40.0, 32, angle)
    result = Rotation.from_output({"matrix": np.eye(3)}, info("rotation"), crop, SHAPE)
    assert result.roll == pytest.approx(angle, abs=1e-6)
    assert result.yaw == pytest.approx(0, abs=1e-6) and result.pitch == pytest.approx(0, abs=1e-6)


def mask_of_quarters() -> Mask:
    scores = np.zeros((4, 10, 10), dtype=np.float32)
    for index, (rows, columns) in enumerate([(0, 0), (0, 5), (5, 0), (5, 5)]):
        scores[index, rows : rows + 5, columns : columns + 5] = 1.0
    return Mask.from_output({"scores": scores}, info("mask", labels=("a", "b", "c", "d")), CROP, SHAPE)


def test_mask__into_the_image() -> None:
    mask = mask_of_quarters()
    image = mask.to_image()
    np.testing.assert_allclose(mask.box, [10, 15, 110, 115])
    assert image.shape == SHAPE and image.dtype == np.uint8
    assert image[20, 20] == 0 and image[20, 100] == 1 and image[100, 20] == 2 and image[100, 100] == 3
    assert (image[:, 115:] == 0).all() and (mask.to_image(outside=9)[:15] == 9).all()
    # the border between the quarters runs through the middle of the region, 60 and 65
    assert image[20, 59] == 0 and image[20, 61] == 1 and image[64, 100] == 1 and image[66, 100] == 3
    assert (
        image[16:115, 11:110] == Mask(mask.mask, mask.box, mask.labels, SHAPE).to_image()[16:115, 11:110]
    ).mean() > 0.97


def test_mask__region_reaching_over_the_image() -> None:
    mask = Mask(np.ones((4, 4), dtype=np.uint8), np.array([-50, -50, 20, 20.0]), ("a", "b"), (30, 40))
    image = mask.to_image()
    assert (image[:20, :20] == 1).all() and (image[21:] == 0).all() and (image[:, 21:] == 0).all()
    outside = Mask(mask.mask, np.array([100, 100, 120, 120.0]), ("a", "b"), (30, 40))
    assert (outside.to_image() == 0).all()


def test_mask__json_holds_the_classes_as_png() -> None:
    mask = mask_of_quarters()
    document = mask.to_dict()
    decoded = np.asarray(Image.open(io.BytesIO(base64.b64decode(document["png"]))))
    np.testing.assert_array_equal(decoded, mask.mask)
    assert document["areas"] == {"a": 0.25, "b": 0.25, "c": 0.25, "d": 0.25}
    assert mask.confidence is not None and (mask.confidence == 1).all()


def test_classes() -> None:
    result = Classes(np.array([0.1, 0.7, 0.2]), ("neutral", "happiness", "sadness"))
    assert result.label == "happiness" and result.score == pytest.approx(0.7)
    assert result["sadness"] == pytest.approx(0.2) and result.summary() == "happiness 70%"
    with pytest.raises(UsageError, match="did you mean 'happiness'"):
        result["hapiness"]


def test_probabilities() -> None:
    result = Probabilities(np.array([0.6, 0.1, 0.9]), ("Young", "Bald", "Wearing_Hat"))
    assert result["Bald"] == pytest.approx(0.1)
    assert list(result.above()) == ["Wearing_Hat", "Young"] and list(result.above(0.7)) == ["Wearing_Hat"]
    assert result.summary() == "Wearing Hat 90%, Young 60%"
    with pytest.raises(UsageError, match="unknown label 'Hat'"):
        result["Hat"]


def test_scalar() -> None:
    assert float(Scalar(31.4)) == 31.4 and Scalar(31.4).std is None and Scalar(0.5, "m").summary() == "0.50 m"
    fields = {"value": np.float32(20), "distribution": np.array([0.25, 0.5, 0.25])}
    result = Scalar.from_output(fields, info("scalar", unit="years", bins=(10.0, 20.0, 30.0)), CROP, SHAPE)
    assert result.std == pytest.approx(math.sqrt(50)) and result.summary() == "20 ± 7 years"


@pytest.mark.parametrize(
    "make",
    [
        lambda: Points(np.zeros((3, 3))),
        lambda: Points(np.array([[np.nan, 1.0]])),
        lambda: Points(np.zeros((3, 2)), sigma=np.zeros(2)),
        lambda: Points(np.zeros((3, 2)), visibility=np.zeros(2)),
        lambda: Points(np.zeros((1, 2)), visibility=np.array([1.5])),
        lambda: Points(np.zeros((3, 2)), lines=((0, 3),)),
        lambda: Points(np.zeros((3, 2)), labels=("a",)),
        lambda: Rotation(np.eye(2)),
        lambda: Rotation(2 * np.eye(3)),
        lambda: Rotation(np.diag([1.0, 1.0, -1.0])),  # a mirror
        lambda: Mask(np.zeros((4, 4)), np.array([0, 0, 4, 4.0]), ("a",), SHAPE),  # type: ignore[arg-type]
        lambda: Mask(np.ones((4, 4), dtype=np.uint8), np.array([0, 0, 4, 4.0]), ("a",), SHAPE),
        lambda: Mask(np.zeros((4, 4), dtype=np.uint8), np.array([4, 0, 4, 4.0]), ("a",), SHAPE),
        lambda: Mask.from_output({"scores": np.zeros((2, 4, 4))}, info("mask", labels=("a",)), CROP, SHAPE),
        lambda: Classes(np.array([0.5, 0.5]), ("a",)),
        lambda: Classes(np.array([0.5, 0.9]), ("a", "b")),
        lambda: Probabilities(np.array([0.5, 1.5]), ("a", "b")),
        lambda: Scalar(float("inf")),
        lambda: Scalar(1.0, distribution=np.ones(2) / 2),
        lambda: Scalar(1.0, bins=np.ones(3), distribution=np.ones(2) / 2),
        lambda: Face(np.array([0, 0, 0, 1.0]), 0.5),
        lambda: Face(np.array([0, 0, 1, 1.0]), 0.5, visibility=1.01),
    ],
)
def test_construction__checks(make: Any) -> None:
    with pytest.raises(UsageError):
        make()


def make_faces(score: float = 0.9) -> Faces:
    tasks = {
        "landmarks": Points(np.array([[20.0, 20.0], [60.0, 70.0]]), lines=((0, 1),)),
        "pose": Rotation(np.eye(3)),
        "parsing": mask_of_quarters(),
        "expression": Classes(np.array([0.9, 0.1]), ("calm", "angry")),
        "attributes": Probabilities(np.array([0.9]), ("Young",)),
        "age": Scalar(31.0, "years"),
    }
    faces = tuple(Face(np.array([40.0, 40.0, 80.0 - i, 90.0]), score, tasks) for i in range(3))
    return Faces(faces, np.zeros((*SHAPE, 3), dtype=np.uint8), "a.jpg", "tiny")


def test_face__tasks_are_attributes() -> None:
    face = make_faces()[0]
    assert (
        face.pose is face["pose"]
        and "pose" in dir(face)
        and hasattr(face, "age")
        and not hasattr(face, "gaze")
    )
    with pytest.raises(AttributeError, match=r"did you mean 'landmarks'.*landmarks, pose"):
        face.landmark  # noqa: B018
    with pytest.raises(UsageError, match="unknown task 'zzz'"):
        face["zzz"]


def test_face__copies_and_pickles() -> None:
    face = make_faces()[0]
    for other in (copy.deepcopy(face), pickle.loads(pickle.dumps(face))):
        assert other.pose.yaw == face.pose.yaw and other.score == face.score


def test_faces__is_a_sequence() -> None:
    faces = make_faces()
    assert len(faces) == 3 and [*faces][1] is faces[1] and faces[-1] is faces[2]
    assert isinstance(faces[:2], Faces) and len(faces[:2]) == 2 and faces[:2].source == "a.jpg"
    assert "3 faces in a.jpg (160 x 200)" in repr(faces) and "age: 31 years" in repr(faces[0])
    with pytest.raises(IndexError):
        faces[3]


@pytest.mark.parametrize("score", [0.9, math.nan])
def test_faces__json(score: float) -> None:
    document = json.loads(make_faces(score).to_json())
    assert document["image"] == {"width": 160, "height": 200} and document["source"] == "a.jpg"
    face = document["faces"][0]
    assert face["score"] == (None if math.isnan(score) else score) and face["box"] == [40, 40, 80, 90]
    assert {name: task["kind"] for name, task in face["tasks"].items()} == {
        "landmarks": "points",
        "pose": "rotation",
        "parsing": "mask",
        "expression": "classes",
        "attributes": "probabilities",
        "age": "scalar",
    }


def test_face__visibility() -> None:
    box = np.array([40.0, 40.0, 80.0, 90.0])
    hidden, seen, unknown = Face(box, 0.1, visibility=0.2), Face(box, 0.9, visibility=0.95), Face(box, 0.9)
    assert [face.is_hidden for face in (hidden, seen, unknown)] == [True, False, False]
    assert [face.to_dict()["visibility"] for face in (hidden, seen, unknown)] == [0.2, 0.95, None]
    doubtful, faint = (
        Face(box, 0.4, visibility=0.9, is_face=False),
        Face(box, 0.4, visibility=0.4, is_face=True),
    )
    assert doubtful.is_hidden and not faint.is_hidden
    assert [face.to_dict().get("is_hidden") for face in (doubtful, faint, hidden)] == [True, None, True]
    assert "visibility 0.20" in repr(hidden) and "visibility" not in repr(unknown)


def test_faces__dataframe_of_faces_that_lack_tasks() -> None:
    pytest.importorskip("pandas")
    (face,) = make_faces()[:1]
    head = Face(face.box, 0.02, {"pose": Rotation(np.eye(3))}, visibility=0.02)
    frame = Faces((face, head), np.zeros((*SHAPE, 3), dtype=np.uint8)).to_dataframe()
    assert frame["visibility"].isna().tolist() == [True, False] and frame["pose.yaw"].tolist() == [0, 0]
    assert frame["age.value"].isna().tolist() == [False, True]


def test_faces__dataframe(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pandas")
    frame = make_faces().to_dataframe()
    assert len(frame) == 3 and frame["landmarks.1.y"][0] == 70 and frame["expression.label"][1] == "calm"
    assert {"source", "score", "box.x0", "pose.yaw", "parsing.a", "attributes.Young", "age.value"} <= {*frame}
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(FacepercError, match="pip install pandas"):
        make_faces().to_dataframe()


@pytest.mark.parametrize("name", ["out.jpg", "OUT.PNG", "out.webp"])
def test_faces__save(tmp_path: Path, name: str) -> None:
    path = make_faces().save(tmp_path / name)
    assert Image.open(path).size == (160, 200) and [each.name for each in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["out", "out.txt", "missing/out.jpg"])
def test_faces__save_refuses(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="out"):
        make_faces().save(tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("name", "width"), [("out.jpg", 66_000), ("out.webp", 16_384)])
def test_faces__save_names_the_format_that_is_too_small(tmp_path: Path, name: str, width: int) -> None:
    faces = Faces((), np.zeros((16, width, 3), dtype=np.uint8))
    with pytest.raises(UsageError, match=rf"{name}: cannot hold the picture, {width} x 16 .*\.png"):
        faces.save(tmp_path / name)
    assert not list(tmp_path.iterdir())
    assert faces.save(tmp_path / "out.png").is_file()
