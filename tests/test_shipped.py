"""The models in the package, on real photographs: what every release must get right."""

from __future__ import annotations

import io
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

import faceperc
from faceperc.model_folder import reference_path
from faceperc.overlap import iou_matrix
from faceperc.verify import ReferenceSet, verify
from faceperc.zoo import find_model, sample_image

DATA = os.environ.get("FACEPERC_DATA") or Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="module", params=faceperc.list_models())
def predictor(request: pytest.FixtureRequest) -> faceperc.Predictor:
    return faceperc.Predictor(request.param)


@pytest.fixture(scope="module")
def astronaut() -> NDArray[np.uint8]:
    return np.asarray(Image.open(sample_image()).convert("RGB"))


@pytest.fixture(scope="module")
def face(predictor: faceperc.Predictor, astronaut: NDArray[np.uint8]) -> faceperc.Face:
    faces = predictor(astronaut)
    assert len(faces) == 1
    return faces[0]


def holes(face: faceperc.Face, points: NDArray[np.float64]) -> float:
    """Share of the pixels between brows and jaw that the model calls background."""
    classes = face.parsing.to_image()
    middle = points.mean(axis=0)
    outline = cv2.convexHull((middle + 0.92 * (points - middle)).round().astype(np.int32))
    inside = cv2.fillPoly(np.zeros(classes.shape, np.uint8), [outline], 1) > 0
    return float((classes[inside] == 0).mean())


def test_the_astronaut_is_found_and_read(face: faceperc.Face) -> None:
    assert iou_matrix(face.box[None], np.array([[175.0, 68.0, 275.0, 203.0]]))[0, 0] > 0.5
    # these weights are wrong about her gender and age (MODEL_CARD.md, Limits), so neither is asserted
    assert face.gender.label in ("female", "male") and 0 < float(face.age) < 120
    assert face.expression.label == "happiness"
    assert abs(face.pose.yaw) < 30 and abs(face.pose.pitch) < 30
    assert face.attributes["Smiling"] > 0.5 > face.attributes["Bald"]


def test_landmarks_lie_where_the_parts_are(face: faceperc.Face) -> None:
    points = face.landmarks.points
    x0, y0, x1, y1 = face.box
    margin = 0.15 * (y1 - y0)
    assert (points > [x0 - margin, y0 - margin]).all() and (points < [x1 + margin, y1 + margin]).all()
    right_eye, left_eye, mouth = (points[a:b].mean(axis=0) for a, b in ((36, 42), (42, 48), (48, 68)))
    assert right_eye[0] < left_eye[0]  # the subject's right is at the image's left
    assert max(right_eye[1], left_eye[1]) < points[30, 1] < mouth[1] < points[8, 1]
    ocular = np.hypot(*(points[45] - points[36]))
    assert (face.landmarks.sigma > 0).all() and face.landmarks.sigma.mean() < 0.2 * ocular


def test_parsing_agrees_with_the_landmarks(face: faceperc.Face) -> None:
    labels, classes, points = face.parsing.labels, face.parsing.to_image(), face.landmarks.points

    def at(point: NDArray[np.float64]) -> str:
        x, y = point.round().astype(int)
        return labels[classes[y, x]]

    assert at(points[30]) == "nose"
    assert at((points[2] + points[30]) / 2) == "skin"
    assert at(points[36:42].mean(axis=0)) in ("right_eye", "skin")
    x0, y0, x1, y1 = (int(value) for value in face.box)
    height = y1 - y0
    above = classes[max(0, y0 - height // 5) : y0 + height // 5, x0:x1]
    assert (above == labels.index("hair")).mean() > 0.3
    assert classes[-1, 0] == 0  # far from the face
    assert holes(face, points) < 0.01


def test_a_mirror_mirrors_the_answers(predictor: faceperc.Predictor, astronaut: NDArray[np.uint8]) -> None:
    here, there = predictor(astronaut)[0], predictor(np.ascontiguousarray(astronaut[:, ::-1]))[0]
    assert here.pose.yaw == pytest.approx(-there.pose.yaw, abs=8)
    mirrored = there.landmarks.points * [-1, 1] + [astronaut.shape[1] - 1, 0]
    ocular = np.hypot(*(here.landmarks.points[45] - here.landmarks.points[36]))
    assert np.hypot(*(here.landmarks.points[30] - mirrored[30])) < 0.1 * ocular
    # not gender: these weights are unsure of hers (MODEL_CARD.md, Limits)
    assert here.expression.label == there.expression.label


@pytest.mark.parametrize("scale", [0.25, 0.5, 2.0])
def test_size_of_the_photograph_does_not_matter(
    predictor: faceperc.Predictor, astronaut: NDArray[np.uint8], face: faceperc.Face, scale: float
) -> None:
    picture = Image.fromarray(astronaut)
    picture = picture.resize((round(512 * scale), round(512 * scale)), Image.Resampling.LANCZOS)
    (scaled,) = predictor(picture)
    assert iou_matrix((scaled.box[None] + 0.5) / scale - 0.5, face.box[None])[0, 0] > 0.7
    points = (scaled.landmarks.points + 0.5) / scale - 0.5
    ocular = np.hypot(*(face.landmarks.points[45] - face.landmarks.points[36]))
    assert np.hypot(*(points - face.landmarks.points).T).mean() < 0.08 * ocular


def test_a_box_off_by_15_percent_changes_little(
    predictor: faceperc.Predictor, astronaut: NDArray[np.uint8], face: faceperc.Face
) -> None:
    width, height = face.box[2:] - face.box[:2]
    ocular = np.hypot(*(face.landmarks.points[45] - face.landmarks.points[36]))
    for dx, dy in ((0.15, 0), (-0.15, 0), (0, 0.15), (0, -0.15)):
        moved = face.box + np.array([dx * width, dy * height] * 2)
        (other,) = predictor(astronaut, boxes=[moved])
        distance = np.hypot(*(other.landmarks.points - face.landmarks.points).T).mean()
        assert distance < 0.15 * ocular


def test_group_photograph(predictor: faceperc.Predictor, astronaut: NDArray[np.uint8]) -> None:
    """Eight people of different sizes in one picture."""
    portrait = Image.fromarray(astronaut).crop((100, 20, 360, 300))
    group = Image.new("RGB", (1200, 700), (120, 130, 140))
    boxes = []
    for index in range(8):
        side = 150 + 20 * index
        person = portrait.resize((side, side))
        if index % 2:
            person = ImageOps.mirror(person)
        corner = (20 + (index % 4) * 295, 20 + (index // 4) * 340)
        group.paste(person, corner)
        boxes.append(corner)
    faces = predictor(group)
    assert len(faces) == 8
    for x, y in boxes:
        centres = [(face.box[:2] + face.box[2:]) / 2 for face in faces]
        assert any(x < cx < x + 290 and y < cy < y + 290 for cx, cy in centres)


def test_nothing_is_found_where_nobody_is(predictor: faceperc.Predictor) -> None:
    random = np.random.default_rng(0)
    for image in (np.zeros((300, 400, 3), np.uint8), random.integers(0, 256, (300, 400, 3), dtype=np.uint8)):
        assert len(predictor(image)) == 0


@pytest.mark.parametrize("name", faceperc.list_models())
def test_the_files_answer_as_the_trained_model_did(name: str) -> None:
    path = find_model(name)
    result = verify(path, ReferenceSet.load(reference_path(path)), ["cpu"])
    assert result.passed and {each.batch for each in result.comparisons} == {1, 4}


@pytest.mark.data
@pytest.mark.skipif(not Path(DATA, "w300/val.parquet").is_file(), reason="no data pack")
def test_real_photographs_of_the_pack(predictor: faceperc.Predictor) -> None:
    import pyarrow.parquet as pq

    rows = next(pq.ParquetFile(Path(DATA, "w300/val.parquet")).iter_batches(batch_size=40)).to_pylist()
    errors, shares = [], []
    for row in rows:
        truth = np.reshape(row["landmarks"], (68, 2))
        faces = predictor(np.asarray(Image.open(io.BytesIO(row["image"]["bytes"])).convert("RGB")))
        distances = [np.hypot(*(face.landmarks.points - truth).T).mean() for face in faces]
        errors.append(min(distances, default=np.inf) / np.hypot(*(truth[45] - truth[36])))
        if distances:
            shares.append(holes(faces[int(np.argmin(distances))], truth))
    errors_array = np.array(errors)
    assert np.isfinite(errors_array).mean() >= 0.9
    assert np.median(errors_array) < 0.08
    # no set of the pack labels the skin of everyday photographs: its parsing metrics miss a face with holes
    assert np.mean(shares) < 0.02
