"""The quality of a face, from the expected errors of its points."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from test_evaluate import encoded, good, options, pack

from faceperc import Predictor
from faceperc.batch.rows import face_rows
from faceperc.card.figures import quality_rows
from faceperc.evaluate.cli import main as evaluate
from faceperc.kinds import Points, Rotation
from faceperc.quality import quality_of
from faceperc.results import Face, Faces
from faceperc.serve.schema import Face as FaceSchema
from faceperc.tables import print_faces

__all__ = ["good", "pack"]  # fixtures

BOX = np.array([10.0, 10.0, 90.0, 110.0])
SQUARE = np.array([[10.0, 10.0], [90.0, 10.0], [90.0, 90.0], [10.0, 90.0]])
SAMPLES = Path(__file__).parents[1] / "faceperc/samples"


def points(error: float, scale: float = 1.0) -> Points:
    """A face of 80 pixels whose points are off by a share of its size."""
    return Points(scale * SQUARE, np.full(4, scale * 80 * error))


@given(st.floats(0, 0.5), st.floats(1e-3, 0.5), st.floats(0.01, 100))
def test_it_falls_with_the_expected_error_whatever_the_size(error: float, more: float, scale: float) -> None:
    better, worse = quality_of(points(error, scale)), quality_of(points(error + more, scale))
    assert 0 <= worse < better <= 1
    assert quality_of(points(error)) == pytest.approx(better, abs=1e-6)


def test_its_middle_and_what_has_none() -> None:
    assert quality_of(points(0.05)) == pytest.approx(0.5)
    assert math.isnan(quality_of(Points(SQUARE))) and math.isnan(
        quality_of(Points(np.zeros((0, 2)), np.zeros(0)))
    )
    assert quality_of(Points(np.ones((3, 2)), np.ones(3))) == 0


def test_a_face_tells_it_everywhere(capsys: pytest.CaptureFixture[str]) -> None:
    face = Face(BOX, 0.9, {"pose": Rotation(np.eye(3)), "landmarks": points(0.025)})
    value = 16 / 17
    assert face.quality == pytest.approx(value) and "quality 0.94" in repr(face)
    assert face.to_dict()["quality"] == pytest.approx(value, abs=1e-3)
    faces = Faces((face, Face(BOX, 0.9, {"pose": Rotation(np.eye(3))})), np.zeros((120, 120, 3), np.uint8))
    assert face_rows(faces)[0]["quality"] == pytest.approx(value) and "quality" not in face_rows(faces)[1]
    assert FaceSchema.model_validate(face.to_dict()).quality == pytest.approx(value, abs=1e-3)
    assert faces.to_dict()["faces"][1]["quality"] is None and math.isnan(faces[1].quality)
    print_faces(faces)
    assert capsys.readouterr().out.count("quality 0.94") == 1


def test_the_shipped_model_tells_a_face_from_noise() -> None:
    predictor = Predictor(tasks="landmarks")
    photograph = next(SAMPLES.glob("*.jpg"))
    assert all(face.quality > 0.7 for face in predictor(photograph))
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    assert all(
        face.quality < 0.3 for face in predictor(noise, boxes=[[20, 20, 120, 140], [50, 60, 180, 190]])
    )


def test_the_evaluation_compares_faces_with_scenes(
    good: Path, pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "figures.json"
    command = [str(good), *options(pack, "--robustness", "--limit", "2", "--json", out)]
    assert evaluate(command) == 0 and "quality" not in json.loads(out.read_text())  # the pack has no scenes
    data = shutil.copytree(pack, tmp_path / "pack")
    (data / "scenes").mkdir()
    empty: dict[str, list[float]] = {"boxes": [], "scores": []}
    nothing = {"image": encoded(Image.new("RGB", (120, 90), "grey")), "width": 120, "height": 90, **empty}
    pq.write_table(pa.Table.from_pylist([nothing]), data / "scenes/val.parquet")
    assert evaluate([str(good), *options(data, "--robustness", "--limit", "2", "--json", out)]) == 0
    found = {each["source"]: each for each in json.loads(out.read_text())["quality"]}
    # the model answers the same whatever it sees: every comparison is a tie
    assert found["no face"]["better"] is None and found["no face"]["count"] == 4
    assert found["drawn"]["better"] == pytest.approx(50.0) and found["drawn"]["count"] == 2
    assert "crops without a face" in capsys.readouterr().out
    assert quality_rows({"quality": list(found.values())})[0][0] == "no face"
