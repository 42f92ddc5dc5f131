"""A new task is one class and one YAML entry: a head that the project has never heard of goes all the way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from PIL import Image
from test_train import recipe
from tiny_pack import draw_face, project, row, tiny_config

import faceperc
from faceperc.classifier import ProbabilitiesHead
from faceperc.data.source import ParquetSource, Sample
from faceperc.export.cli import main as export
from faceperc.head import OutputInfo
from faceperc.train import main as train


class MouthOpen(ProbabilitiesHead):
    """Whether the mouth is open."""

    info = OutputInfo("probabilities", "the mouth is open", labels=("mouth_open",))


class Mouths(ParquetSource):
    """Drawn faces with a made-up label."""

    name = "mouths"
    origin = "drawn"
    licence = "CC0"

    def sample(self, row: dict[str, object], image: np.ndarray) -> Sample:
        return Sample(image, np.array([20.0, 15.0, 75.0, 85.0]), {"mouth_open": [row["open"]]})


def test_head_through_training_export_prediction_and_drawing(tmp_path: Path) -> None:
    (tmp_path / "pack/mouths").mkdir(parents=True)
    for split in ("train", "val"):
        rows = [{"image": row("w300", index)["image"], "open": float(index % 2)} for index in range(8)]
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / f"pack/mouths/{split}.parquet")
    heads = tiny_config()["heads"] | {"mouth_open": {"head": f"{__name__}.MouthOpen"}}
    path = recipe(tmp_path, tmp_path / "pack", heads=heads)
    config = yaml.safe_load(path.read_text())
    config["data"]["sources"] = [{"class_path": f"{__name__}.Mouths"}]
    path.write_text(yaml.safe_dump(config))

    assert train([str(path)]) == 0
    out = tmp_path / "mouth.onnx"
    assert export([str(tmp_path / "run/model"), "-o", str(out)]) == 0
    faces = faceperc.Predictor(out)(draw_face(project(0, 0, 0), 80), boxes=[[20, 15, 75, 85]])
    assert 0 <= faces[0].mouth_open["mouth_open"] <= 1
    assert faces.to_dict()["faces"][0]["tasks"]["mouth_open"]["kind"] == "probabilities"
    assert "mouth_open" in repr(faces[0])
    plain = np.asarray(Image.fromarray(faces.image))
    assert (np.asarray(faces.draw()) != plain).any()
