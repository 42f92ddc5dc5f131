"""Faces in the forms of supervision, drawn by its own annotators."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import faceperc
from faceperc.errors import UsageError
from faceperc.kind import Kind
from faceperc.kinds import Classes, Points, Rotation, Scalar
from faceperc.mask import Mask
from faceperc.results import Face, Faces
from faceperc.zoo import sample_image

sv = pytest.importorskip("supervision")

SHAPE = (120, 200)
PARTS = ("background", "skin", "hair")


def face(left: float, track: int | None = None, score: float = 0.9, **more: Kind) -> Face:
    box = np.array([left, 20.0, left + 40, 70.0])
    tasks: dict[str, Kind] = {
        "five": Points(
            np.add([left, 20.0], [[10, 10], [30, 10], [20, 20], [10, 40], [30, 40]]),
            sigma=np.arange(5.0),
            lines=((0, 1, 2, 0), (3, 4)),
        ),
        "two": Points(np.add([left, 20.0], [[5, 5], [35, 5]]), visibility=np.array([0.9, 0.2])),
        "parsing": Mask(np.array([[0, 1], [2, 1]], dtype=np.uint8), box, PARTS, SHAPE),
        "mood": Classes(np.array([0.7, 0.3]), ("glad", "sad")),
        "age": Scalar(30.0 + left, "years"),
    }
    return Face(box, score, {**tasks, **more}, track=track)


def head(left: float, track: int | None = None) -> Face:
    box = np.array([left, 20.0, left + 40, 70.0])
    return Face(box, 0.03, {"pose": Rotation(np.eye(3))}, visibility=0.03, track=track)


def faces(*each: Face) -> Faces:
    return Faces(each, np.full((*SHAPE, 3), 90, dtype=np.uint8))


def changed(annotator: object, given: Faces, found: object) -> NDArray[np.bool_]:
    drawn = annotator.annotate(Image.fromarray(given.image), found)  # type: ignore[attr-defined]
    assert isinstance(drawn, Image.Image)
    return (np.asarray(drawn) != given.image).any(axis=2)


def test_detections() -> None:
    found = faces(face(10, track=4), head(80), face(140, score=0.5)).to_supervision().detections
    np.testing.assert_allclose(found.xyxy[:, 0], [10, 80, 140])
    np.testing.assert_allclose(found.confidence, [0.9, 0.03, 0.5], atol=1e-6)
    assert found.class_id.tolist() == [0, 1, 0] and found["class_name"].tolist() == ["face", "head", "face"]
    assert found.tracker_id.tolist() == [4, -1, -1]
    assert found["mood.label"].tolist() == ["glad", "", "glad"]
    np.testing.assert_allclose(found["age.value"], [40, math.nan, 170])
    np.testing.assert_allclose(found["pose.yaw"], [math.nan, 0, math.nan])
    assert not [name for name in found.data if name.startswith(("five", "two", "parsing"))]
    sure = found[found.confidence > 0.6]
    assert len(sure) == 1 and sure["age.value"].tolist() == [40]


def test_detections__of_boxes_that_the_caller_gave() -> None:
    found = faces(face(10, score=math.nan)).to_supervision().detections
    assert found.confidence is None and found.tracker_id is None
    mixed = faces(face(10, score=math.nan), face(80)).to_supervision().detections
    np.testing.assert_allclose(mixed.confidence, [math.nan, 0.9], atol=1e-6)


def test_key_points__of_each_task() -> None:
    shown = faces(face(10), head(80), face(140)).to_supervision()
    five, two = shown.key_points(), shown.key_points("two")
    assert five.xy.shape == (3, 5, 2) and two.xy.shape == (3, 2, 2)
    assert five.xy[2, 0].tolist() == [150, 30] and not five.xy[1].any()
    assert five.visible.all(axis=1).tolist() == [True, False, True] and not five.visible[1].any()
    assert five.keypoint_confidence is None
    assert five.data["sigma"][0].tolist() == [0, 1, 2, 3, 4] and np.isnan(five.data["sigma"][1]).all()
    np.testing.assert_allclose(two.keypoint_confidence, [[0.9, 0.2], [0, 0], [0.9, 0.2]], atol=1e-6)
    assert two.visible.tolist() == [[True, False], [False, False], [True, False]]
    assert shown.edges() == [(1, 2), (2, 3), (3, 1), (4, 5)] and shown.edges("two") == []
    assert len(five[0]) == 1


def test_parts() -> None:
    parts = faces(face(10), head(80), face(140, track=2)).to_supervision().parts()
    assert parts["class_name"].tolist() == ["skin", "hair"] * 2 and parts["face"].tolist() == [0, 0, 2, 2]
    assert parts.mask.shape == (4, *SHAPE) and parts.mask.sum(axis=(1, 2)).tolist() == [1000, 500, 1000, 500]
    assert parts.xyxy[0].tolist() == [30, 20, 49, 69] and parts.tracker_id.tolist() == [-1, -1, 2, 2]
    both = faces(face(10)).to_supervision().parts("parsing")
    assert len(both) == 2 and both.tracker_id is None


def test_annotators_draw_them() -> None:
    given = faces(face(10, track=1), head(80, track=2), face(140, track=3))
    shown = given.to_supervision()
    boxes = changed(sv.BoxAnnotator(thickness=1), given, shown.detections)
    assert boxes[20, 30] and boxes[20, 100] and boxes[70, 160] and not boxes[45, 30]
    dots = changed(sv.VertexAnnotator(radius=1), given, shown.key_points())
    assert dots[30, 20] and dots[60, 170] and not dots[:, 60:130].any() and not dots[:5, :5].any()
    edges = changed(sv.EdgeAnnotator(thickness=1, edges=shown.edges()), given, shown.key_points())
    assert edges[30, 30] and edges[60, 160] and not edges[:, 60:130].any()
    parts = changed(sv.MaskAnnotator(), given, shown.parts())
    assert parts[30, 40] and parts[60, 15] and not parts[30, 15] and not parts[:, 60:130].any()
    assert changed(sv.LabelAnnotator(text_scale=0.3), given, shown.detections).any()
    assert changed(sv.TraceAnnotator(), given, shown.detections).shape == SHAPE


@pytest.mark.parametrize("given", [faces(), faces(head(80))])
def test_no_face_is_no_error(given: Faces) -> None:
    shown = given.to_supervision()
    points, parts = shown.key_points("five"), shown.parts("parsing")
    assert len(shown.detections) == len(given) and len(points) == len(given) and len(parts) == 0
    assert shown.edges("five") == [] and shown.key_points().xy.shape == (len(given), 0, 2)
    assert not changed(sv.VertexAnnotator(), given, points).any()
    assert not changed(sv.MaskAnnotator(), given, parts).any()
    assert changed(sv.BoxAnnotator(), given, shown.detections).any() == (len(given) > 0)
    assert not changed(sv.EdgeAnnotator(edges=[(1, 2)]), faces(), faces().to_supervision().key_points()).any()


def test_unknown_task() -> None:
    shown = faces(face(10)).to_supervision()
    with pytest.raises(UsageError, match="unknown task with points 'fiv': did you mean 'five'"):
        shown.key_points("fiv")
    with pytest.raises(UsageError, match="unknown task with mask 'five'"):
        shown.parts("five")


def test_supervision_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(UsageError, match=r'pip install "faceperc\[supervision\]"'):
        faces().to_supervision()


def test_the_sample() -> None:
    found = faceperc.Predictor()(sample_image())
    shown = found.to_supervision()
    assert shown.key_points("landmarks").xy.shape == (len(found), 68, 2)
    assert shown.detections["expression.label"][0] == found[0].expression.label
    merged = shown.key_points().as_detections()
    assert sv.box_iou_batch(merged.xyxy, shown.detections.xyxy)[0, 0] > 0.4
    edges = changed(sv.EdgeAnnotator(edges=shown.edges()), found, shown.key_points())
    x0, y0, x1, y1 = found[0].box.astype(int)
    assert edges[y0:y1, x0:x1].mean() > 0.02 and edges.mean() < 0.02
