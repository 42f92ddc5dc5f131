"""A release of a tiny model, from its training's folder to a card that the Hub understands."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from tiny_pack import tiny_config, write_pack
from typer.testing import CliRunner

import faceperc
from faceperc.card.cli import main as card
from faceperc.cli import app
from faceperc.config import FaceModelConfig
from faceperc.errors import ConfigError, FacepercError, UsageError
from faceperc.model import FaceModel
from faceperc.release import main as release
from faceperc.release import put
from faceperc.runtime import OnnxModel

SOURCES = ("W300", "UTKFace")
FILES = {
    *("README.md", "config.json", "evaluation.json", "model.onnx", "model.safetensors", "model_int8.onnx"),
    *("notes.md", "reference.npz", "training.json"),
}


OTHER = {
    **{
        "name": "other",
        "tag": "v1",
        "role": "face",
        "description": "another model",
        "architecture": "a network",
    },
    **{"parameters": 1, "input_size": 64, "tasks": ["age"], "recipe": "faceperc train other.yaml"},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the release ``out``, its registry, and all that it was made from."""
    folder = tmp_path_factory.mktemp("release")
    write_pack(folder / "pack", rows=4)
    listed = [{"class_path": f"faceperc.data.pack.{name}"} for name in SOURCES]
    (folder / "sources.yaml").write_text(yaml.safe_dump(listed))
    files = {"model.onnx": {"store": "fp16"}, "model_int8.onnx": {"precision": "int8", "store": "fp16"}}
    (folder / "recipe.yaml").write_text(yaml.safe_dump({"store": "fp16", "files": files}))
    torch.manual_seed(0)
    heads = {task: tiny_config()["heads"][task] for task in ("landmarks", "age")}
    model = FaceModel(FaceModelConfig.from_dict(tiny_config(heads=heads)))
    run = model.save(folder / "run")
    data = [
        {
            "name": "drawn",
            "origin": "tests",
            "licence": "CC0",
            "terms": "own",
            "samples": 7,
            "sha256": "5" * 64,
        },
        {"name": "faces", "origin": "tests", "licence": "ask us"},
    ]
    # the licence claims more than the second source allows
    training = {"data": data, "licence": "Apache-2.0", "command": "faceperc train tiny.yaml"}
    (run / "training.json").write_text(json.dumps(training))
    (run / "notes.md").write_text("## Intended use\n\nTo be tested.\n\n## Thanks\n\nTo the drawer.\n")
    (folder / "registry.json").write_text(json.dumps({"models": [OTHER]}))
    assert release([*arguments(folder), "--registry", str(folder / "registry.json")]) == 0
    return folder


def arguments(folder: Path, **more: object) -> list[str]:
    given: dict[str, Any] = {
        "name": "tiny-face", "tag": "v7", "out": folder / "out", "recipe": folder / "recipe.yaml",
        "data": folder / "pack", "sources": folder / "sources.yaml", "threads": 1, **more,
    }  # fmt: skip
    words = [text for key, value in given.items() for text in (f"--{key}", str(value))]
    return [str(folder / "run"), *words]


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


def test_the_folder_is_complete_and_nothing_else_is_left(made: Path) -> None:
    assert {path.name for path in (made / "out").iterdir()} == FILES
    left = {"out", "pack", "recipe.yaml", "registry.json", "run", "sources.yaml"}
    assert {path.name for path in made.iterdir()} == left


@pytest.mark.parametrize("file", ["model.onnx", "model_int8.onnx"])
def test_both_files_verify_against_the_one_reference_set(made: Path, file: str) -> None:
    result = CliRunner().invoke(app, ["verify", str(made / "out" / file), "--providers", "cpu"])
    assert result.exit_code == 0, result.output


def test_the_weights_are_those_of_the_files_at_half_the_size(made: Path) -> None:
    released, run = FaceModel.load(made / "out"), made / "run/model.safetensors"
    assert released.weights_sha256() == OnnxModel(made / "out/model.onnx", 1).metadata.weights_sha256
    assert (made / "out/model.safetensors").stat().st_size < 0.6 * run.stat().st_size
    before = dict(FaceModel.load(made / "run").named_parameters())
    for name, after in released.named_parameters():
        torch.testing.assert_close(after, before[name], atol=1e-3, rtol=1e-3)


def test_the_folder_predicts(made: Path) -> None:
    predictor = faceperc.Predictor(made / "out", threads=1)
    assert predictor.metadata.name == "tiny-face"
    assert len(predictor(faceperc.sample_image())[0].landmarks.points) == 68


def test_the_licence_follows_from_the_sources_everywhere(made: Path) -> None:
    training, row = read(made / "out/training.json"), read(made / "registry.json")["models"][1]
    metadata = OnnxModel(made / "out/model.onnx", 1).metadata
    for each in (training, metadata.training, row):
        assert each["use"] == "research" and each["licence"].endswith(": faces"), each
    assert row["training_data"] == ["drawn", "faces"]


def test_the_registry_has_the_row(made: Path) -> None:
    rows = read(made / "registry.json")["models"]
    assert rows[0] == OTHER
    row = rows[1]
    assert (row["name"], row["tag"], row["input_size"], row["revision"]) == ("tiny-face", "v7", 64, "v7")
    assert set(row["files"]) == FILES - {"README.md", "evaluation.json", "notes.md"}
    for name, entry in row["files"].items():
        data = (made / "out" / name).read_bytes()
        assert (entry["sha256"], entry["bytes"]) == (hashlib.sha256(data).hexdigest(), len(data))
    results = read(made / "out/evaluation.json")["evaluations"][0]["results"]
    nme = next(each["metrics"]["NME %"] for each in results if each["source"] == "w300")
    assert row["metrics"]["w300 NME %"] == pytest.approx(nme, abs=0.005)
    assert row["files"]["model_int8.onnx"]["metrics"].keys() == row["metrics"].keys()


def test_the_card_is_one_that_the_hub_reads(made: Path) -> None:
    from huggingface_hub import ModelCard

    card = ModelCard.load(made / "out/README.md")
    data = card.data.to_dict()
    assert data["license"] == "other" and data["license_name"] == "research-and-non-commercial-use"
    assert data["library_name"] == "faceperc" and data["pipeline_tag"] == "keypoint-detection"
    assert "datasets" not in data  # the Hub's own ids, which our sources have not
    assert {"landmarks", "age"} <= set(data["tags"])
    figures = {(each.dataset_name, each.task_name): each for each in card.data.eval_results}
    first = read(made / "out/evaluation.json")["evaluations"][0]["results"][0]
    nme = figures["w300", "landmarks"]
    assert nme.metric_value == round(first["metrics"]["NME %"], 2) and nme.metric_type == "nme"
    assert nme.metric_args["faces"] == 4
    for text in (
        "To be tested.",
        "To the drawer.",
        "faceperc train tiny.yaml",
        "| 7 |",
        "## Limits\n\nNot stated.",
    ):
        assert text in card.text, text


def test_the_figures_of_one_evaluation_go_into_the_card(made: Path, tmp_path: Path) -> None:
    for name in ("model.onnx", "training.json"):
        shutil.copyfile(made / "out" / name, tmp_path / name)
    one = read(made / "out/evaluation.json")["evaluations"][0]
    (tmp_path / "evaluation.json").write_text(json.dumps(one))  # as `faceperc eval --json` writes it
    assert card([str(tmp_path)]) == 0
    text = (tmp_path / "README.md").read_text()
    assert "| w300 | landmarks | 4 | NME %" in text and "Not measured" not in text


def test_a_second_release_keeps_words_and_times_of_unchanged_files(made: Path, tmp_path: Path) -> None:
    registry, figures = tmp_path / "registry.json", tmp_path / "fp32.json"
    document = read(made / "registry.json")
    row = document["models"][1]
    row["description"] = "said by a person"
    row["files"]["model.onnx"]["latency"] = 0.5
    registry.write_text(json.dumps(document))
    figures.write_text(json.dumps(read(made / "out/evaluation.json")["evaluations"][0]))
    words = ["--precision", "fp32", "--evaluation", str(figures), "--registry", str(registry)]
    with pytest.raises(UsageError, match="exists already"):
        release([*arguments(made), *words])
    assert release([*arguments(made, out=tmp_path / "out"), *words]) == 0
    again = read(registry)["models"]
    assert len(again) == 2 and again[1]["description"] == "said by a person"
    assert again[1]["files"]["model.onnx"]["latency"] == 0.5  # the same bytes again
    assert "model_int8.onnx" not in again[1]["files"]


def test_only_a_model_folder_is_replaced_and_comes_back_where_that_fails(made: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="is no model folder, so it is not replaced"):
        release([*arguments(made, out=tmp_path), "--replace"])
    before = sorted(path.name for path in (made / "run").iterdir())
    with pytest.raises(UsageError, match="is where the weights come from"):
        release([*arguments(made, out=made / "run"), "--replace"])
    copy = shutil.copytree(made / "out", tmp_path / "copy")
    (copy / "last.ckpt").touch()
    with pytest.raises(UsageError, match=r"has other files too, .*\(last\.ckpt\)"):
        release([*arguments(made, out=copy), "--replace"])
    assert (copy / "last.ckpt").exists() and before == sorted(path.name for path in (made / "run").iterdir())
    draft, out = tmp_path / "draft", tmp_path / "out"
    out.mkdir()
    (out / "old").touch()
    with pytest.raises(UsageError, match=r"out: cannot be written"):
        put(draft, out, tmp_path / "aside")  # there is no draft
    assert (out / "old").exists()


def test_what_would_end_it_is_told_before_the_work(made: Path, tmp_path: Path) -> None:
    odd = tmp_path / "odd.json"
    odd.write_text(json.dumps({"foo": 1}))
    for words, message in (
        (["--name", "My Model"], "'My Model'"),
        (["--tag", "../v1"], "'../v1'"),
        (["--repo", "https://huggingface.co/a/b"], "is no 'org/name'"),
        (["--notes", str(tmp_path / "none.md")], r"none\.md: no such file"),
        (["--evaluation", str(tmp_path / "none.json")], r"none\.json: no such file"),
        (["--registry", str(tmp_path / "nowhere" / "r.json")], "no such folder; make it first"),
        (["--registry", str(odd)], "is not a registry"),
    ):
        with pytest.raises(FacepercError, match=message):
            release([*arguments(made, out=tmp_path / "out"), *words])
    assert [path.name for path in tmp_path.iterdir()] == ["odd.json"] and odd.read_text() == '{"foo": 1}'


def test_recipes_that_cannot_be_are_named(made: Path, tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    for text, message in (
        ("files: [1]", "no recipe"),
        ("files: {other.onnx: {}}", r"got other\.onnx"),
        ("files: {model.onnx: {}}\nstore: int4", "got 'int4'"),
    ):
        path.write_text(text)
        with pytest.raises(ConfigError, match=message):
            release(arguments(made, out=tmp_path / "out", recipe=path))
    with pytest.raises(ConfigError, match="no file of the precision fp16"):
        release(arguments(made, out=tmp_path / "out", precision="fp16"))
