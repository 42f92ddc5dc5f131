"""Training through the command, on a miniature pack: it runs, resumes, saves, and names what is wrong."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
import yaml
from tiny_pack import tiny_config, write_pack

from faceperc.config import FaceModelConfig
from faceperc.data.source import load_sources
from faceperc.errors import ConfigError, DataError, UsageError
from faceperc.evaluate.cli import main as evaluate
from faceperc.evaluate.measure import measure
from faceperc.evaluate.report import summarise
from faceperc.export.cli import main as export
from faceperc.export.onnx import export_onnx
from faceperc.model import FaceModel
from faceperc.runtime import OnnxModel
from faceperc.train import main

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pack(tmp_path_factory.mktemp("pack"))


def recipe(folder: Path, pack: Path, **network: Any) -> Path:
    """The default recipe, made small."""
    config = yaml.safe_load((ROOT / "configs/train/nano.yaml").read_text())
    run = folder / "run"
    config["trainer"] |= {"accelerator": "cpu", "precision": "32-true", "max_epochs": 1}
    config["trainer"]["logger"]["init_args"]["save_dir"] = str(run)
    config["trainer"] |= {
        "check_val_every_n_epoch": 1,
        "default_root_dir": str(run),
        "enable_progress_bar": False,
    }
    callbacks = config["trainer"]["callbacks"]
    config["trainer"]["callbacks"] = [c for c in callbacks if "ProgressBar" not in c["class_path"]]
    config["model"] |= {"network": tiny_config(**network), "compile": False}
    config["data"] |= {"sources": str(ROOT / "configs/data/pack.yaml"), "path": str(pack), "workers": 0}
    config["data"] |= {"batch_size": 16, "epoch_size": 48}
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def test_train_resume_export_evaluate(tmp_path: Path, pack: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = recipe(tmp_path, pack)
    assert main([str(path)]) == 0
    printed = capsys.readouterr().out
    assert "w300/landmarks/NME %" in printed and "fer2013/expression/accuracy %" in printed
    first = FaceModel.load(tmp_path / "run/model")
    last = tmp_path / "run/checkpoints/last.ckpt"
    assert torch.load(last, weights_only=True)["global_step"] == 3
    assert main([str(path), "--ckpt_path", str(last), "--trainer.max_epochs", "2"]) == 0
    assert torch.load(last, weights_only=True)["global_step"] == 6
    assert FaceModel.load(tmp_path / "run/model").weights_sha256() != first.weights_sha256()
    assert list((tmp_path / "run/log").glob("events.*"))

    out = tmp_path / "tiny.onnx"
    assert export([str(tmp_path / "run/model"), "-o", str(out)]) == 0
    report, card = tmp_path / "report.json", tmp_path / "card.md"
    assert (
        evaluate([str(out), "--data", str(pack), "--json", str(report), "--groups", "--markdown", str(card)])
        == 0
    )
    results = {(r["source"], r["task"]): r for r in json.loads(report.read_text())["results"]}
    assert results["w300", "landmarks"]["count"] == 6
    assert "| w300 | landmarks | 6 | NME % " in card.read_text()
    low, high = results["w300", "landmarks"]["interval"]
    assert 0 < low <= results["w300", "landmarks"]["metrics"]["NME %"] <= high
    assert "age: 20-39" in results["utkface", "age"]["groups"]
    assert ("w300", "pose") not in results  # derived from the landmarks: nothing to measure by
    assert "NaN" not in report.read_text()
    assert results["fasseg", "parsing"]["metrics"].keys() >= {"mean F1 %", "F1 nose %"}
    training = json.loads((tmp_path / "run/model/training.json").read_text())
    assert {source["name"] for source in training["data"]} >= {"w300", "fer2013"}
    assert "non-commercial" in training["licence"] and training["use"] == "research"
    w300 = next(source for source in training["data"] if source["name"] == "w300")
    assert w300["samples"] == 6 and len(w300["sha256"]) == 64 and w300["terms"] == "research"
    assert (training["steps"], training["epochs"]) == (6, 2) and training["hours"] >= 0
    assert training["config"]["seed_everything"] == 0 and training["config"]["data"]["batch_size"] == 16
    assert "path" not in training["config"]["data"] and training["packages"]["torch"]
    assert (
        training["command"].startswith("faceperc train ") and "--trainer.max_epochs 2" in training["command"]
    )
    assert OnnxModel(out).metadata.training.keys() == {"data", "licence", "use"}


class HalfBlind:
    """Finds the labelled face of every other image it is shown, exactly."""

    def __init__(self) -> None:
        self.calls = 0

    def detect(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self.calls += 1
        found = int(self.calls % 2)
        return np.array([[20.0, 15.0, 75.0, 85.0]])[:found], np.array([0.9])[:found]


def test_faces_that_the_detector_misses_count_as_failures(tmp_path: Path, pack: Path) -> None:
    torch.manual_seed(0)
    path = tmp_path / "tiny.onnx"
    export_onnx(FaceModel(FaceModelConfig.from_dict(tiny_config())), path)
    sources = [source for source in load_sources() if source.name in ("w300", "utkface")]
    found = measure(OnnxModel(path), sources, pack, HalfBlind())  # type: ignore[arg-type]
    results = {each.task: summarise(each) for each in found}
    assert results["landmarks"].count == 6 and results["landmarks"].metrics["failure %"] >= 50
    assert np.isfinite(results["landmarks"].metrics["NME %"])
    assert results["age"].count == 3  # no answer is no error in years


class StopInTheMiddle(L.Callback):
    """A cut in the second epoch."""

    def on_train_batch_start(self, trainer: L.Trainer, *_: object) -> None:
        if trainer.current_epoch == 1:
            raise KeyboardInterrupt


def test_interrupted_run_resumes_from_its_last_whole_epoch(tmp_path: Path, pack: Path) -> None:
    path = recipe(tmp_path, pack)
    config = yaml.safe_load(path.read_text())
    config["trainer"] |= {"max_epochs": 2, "check_val_every_n_epoch": 2}  # no validation before the cut
    config["data"]["workers"] = 1
    whole = yaml.safe_dump(config)
    config["trainer"]["callbacks"] += [{"class_path": f"{__name__}.StopInTheMiddle"}]
    path.write_text(yaml.safe_dump(config))
    with pytest.raises((SystemExit, KeyboardInterrupt)):
        main([str(path)])
    last = tmp_path / "run/checkpoints/last.ckpt"
    assert torch.load(last, weights_only=True)["global_step"] == 3
    config = yaml.safe_load(whole)
    sources = yaml.safe_load((ROOT / "configs/data/pack.yaml").read_text())
    dropped = sources.pop()["class_path"].rpartition(".")[2].lower()
    config["data"]["sources"] = sources
    path.write_text(yaml.safe_dump(config))
    assert main([str(path), "--ckpt_path", str(last)]) == 0
    assert torch.load(last, weights_only=True)["global_step"] == 6
    training = json.loads((tmp_path / "run/model/training.json").read_text())
    assert dropped in {each["name"] for each in training["data"]}  # what was learned before the cut


def test_configurations_come_with_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # no configs/ here
    monkeypatch.delenv("FACEPERC_DATA", raising=False)
    with pytest.raises(DataError, match="FACEPERC_DATA"):  # the recipe was found; only the data is missing
        main(["configs/train/nano.yaml", "--trainer.accelerator", "cpu", "--trainer.logger", "false"])


def test_starting_from_a_saved_model(tmp_path: Path, pack: Path) -> None:
    path = recipe(tmp_path, pack)
    assert main([str(path)]) == 0
    start = FaceModel.load(tmp_path / "run/model")
    learned = {"data": [{"name": "elsewhere", "origin": "?", "licence": "secret"}], "licence": "?"}
    learned["started_from"] = [{"how": "start_from", "name": "before"}]  # type: ignore[assignment]
    (tmp_path / "run/model/training.json").write_text(json.dumps(learned))
    options = ["--model.start_from", str(tmp_path / "run/model"), "--model.optimiser.lr", "0.0"]
    assert main([str(path), *options, "--trainer.default_root_dir", str(tmp_path / "second")]) == 0
    training = json.loads((tmp_path / "second/model/training.json").read_text())
    assert {"elsewhere", "w300"} <= {source["name"] for source in training["data"]}  # nothing is forgotten
    (begun,) = training["started_from"]
    assert begun["how"] == "start_from" and begun["started_from"] == learned["started_from"]
    weights = (tmp_path / "run/model/model.safetensors").read_bytes()
    assert begun["weights_sha256"] == hashlib.sha256(weights).hexdigest()
    again = FaceModel.load(tmp_path / "second/model")
    for (name, before), after in zip(start.named_parameters(), again.parameters(), strict=True):
        assert torch.equal(before, after), name


def test_errors_name_the_cause(tmp_path: Path, pack: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError, match=r"nothing\.yaml"):
        main([str(tmp_path / "nothing.yaml")])
    with pytest.raises(UsageError, match="configuration files first"):
        main([])
    with pytest.raises(ConfigError, match="do not fit"):
        other = FaceModel(FaceModelConfig.from_dict(tiny_config(decoder={"pixel_dim": 8, "heads": 4})))
        options = ["--model.start_from", str(other.save(tmp_path / "other"))]
        main([str(recipe(tmp_path, pack)), *options, "--data.sources", str(ROOT / "configs/data/pack.yaml")])
    path = recipe(tmp_path, pack)
    with pytest.raises(DataError, match="nowhere"):
        main([str(path), "--data.path", str(tmp_path / "nowhere")])
    with pytest.raises(UsageError, match=r"nothing\.ckpt: there is no such checkpoint"):
        main([str(path), "--ckpt_path", str(tmp_path / "nothing.ckpt")])
    with pytest.raises(ConfigError, match="epoch_size is 2, less than a batch of 4"):
        main([str(path), "--data.batch_size", "4", "--data.epoch_size", "2"])
    with pytest.raises(ConfigError, match="batch_size is 1 or more; got 0"):
        main([str(path), "--data.batch_size", "0"])
    with pytest.raises(SystemExit):
        main([str(path), "--data.batch_sice", "3"])
    assert "batch_sice" in capsys.readouterr().err
