"""Fine-tuning on photographs of one's own: it learns, keeps the rest, and its folder needs nobody's code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from tiny_pack import tiny_config
from tiny_photos import photo, write_model, write_photos, write_table
from torch import Tensor

import faceperc
from faceperc.config import FaceModelConfig
from faceperc.data.augment import AugmentConfig
from faceperc.data.source import load_sources
from faceperc.data.table import CsvSource
from faceperc.errors import ConfigError, DataError, UsageError
from faceperc.finetune import FineTuning, classes, number, questions
from faceperc.heads.custom import Classes
from faceperc.model import FaceModel
from faceperc.publish import check_folder
from faceperc.train import main as train

BOX = [20, 15, 75, 85]
HEADS = tiny_config()["heads"]
STILL = AugmentConfig(rotation=0, scale=0.05, shift=0.02, tight=0, photometric=0)
QUICK: dict[str, Any] = {"batch_size": 8, "augment": STILL, "progress": False, "accelerator": "cpu"}
GLASSES = classes(["none", "sun"], description="what is worn before the eyes")


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that says what it learned from."""
    heads = {task: HEADS[task] for task in ("pose", "expression", "age", "gender")}
    folder = write_model(tmp_path_factory.mktemp("start") / "start", heads=heads)
    record = {"data": [{"name": "elsewhere", "origin": "?", "licence": "secret"}], "licence": "research only"}
    (folder / "training.json").write_text(json.dumps(record))
    return folder


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own")
    return write_table(folder / "labels.csv", write_photos(folder / "photos"))


def answers(model: FaceModel) -> dict[str, dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    crops = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8, generator=generator)
    with torch.inference_mode():
        return model.eval()(crops)


def test_it_learns_and_the_folder_is_all_that_is_needed(
    start: Path, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    modes: list[bool] = []
    heads = {"glasses": GLASSES, "gender": classes(["a", "b", "c"]), "hat": questions(["hat"])}
    tuning = FineTuning(start, heads, drop=["expression"])
    assert tuning.new_tasks == ("glasses", "gender", "hat")
    with pytest.raises(UsageError, match="call fit first"):
        tuning.save(tmp_path / "early")
    source = CsvSource(str(table), images="photos", name="first", val_percent=0)
    tuning.fit(source, epochs=1, **QUICK)
    source = CsvSource(str(table), images="photos", licence="CC0")
    watch = tuning.model.backbone.register_forward_hook(lambda module, *_: modes.append(module.training))
    metrics = tuning.fit(source, epochs=8, freeze=None, lr=3e-3, **QUICK)
    watch.remove()
    assert modes[0]  # in training mode, though frozen before
    assert metrics["labels/glasses/accuracy %"] >= 85  # chance is 50
    assert "labels/glasses/accuracy %" in capsys.readouterr().out

    folder = tuning.save(tmp_path / "mine")
    training = json.loads((folder / "training.json").read_text())
    assert {each["name"]: each["licence"] for each in training["data"]} == {
        "elsewhere": "secret",
        "first": "not stated",
        "labels": "CC0",
    }
    assert training["epochs"] == 9
    assert "research" in training["licence"]  # the terms of the weights that it started from
    predictor = faceperc.Predictor(folder)
    assert predictor.metadata.tasks["glasses"].labels == ("none", "sun")
    assert predictor.metadata.tasks["glasses"].description == "what is worn before the eyes"
    faces = [predictor(photo(100 + index, sun=index % 2 == 1), boxes=[BOX])[0] for index in range(8)]
    right = [face.glasses.label == ("none", "sun")[index % 2] for index, face in enumerate(faces)]
    assert sum(right) >= 7  # pictures that it has never seen
    assert faces[0].gender.labels == ("a", "b", "c") and 0 <= faces[0].hat["hat"] <= 1
    assert FineTuning(folder).new_tasks == ()  # loaded again without any code of the user's
    check_folder(folder)  # it can be published as it is
    text = (folder / "README.md").read_text()
    assert "Not measured" in text and "`labels`" in text and "None" not in text and "\n\n\n" not in text
    assert f"start_from .../{start.name} (sha256" in text
    (folder / "evaluation.json").write_text("{}")
    with pytest.raises(UsageError, match=r"evaluation\.json of an earlier model"):
        tuning.save(folder)


def test_what_is_frozen_stays_and_the_other_tasks_answer_as_before(start: Path, table: Path) -> None:
    before = FaceModel.load(start)
    tuning = FineTuning(start, {"glasses": GLASSES})
    source = CsvSource(str(table), images="photos")
    tuning.fit([source], epochs=1, lr=3e-2, **QUICK)
    weights = tuning.model.state_dict()
    for name, value in before.state_dict().items():  # with the statistics of batch norms
        after = weights[name][:, : value.shape[1]] if name == "decoder.identity" else weights[name]
        assert torch.equal(after, value), name
    own = before.decoder.identity.shape[1]
    fresh = FineTuning(start, {"glasses": GLASSES}).model.state_dict()
    for name in ("decoder.identity", "heads.glasses.mlp.2.weight"):  # of the same seed: what has learned
        assert not torch.equal(weights[name], fresh[name]), name
    assert torch.equal(fresh["decoder.identity"][:, :own], weights["decoder.identity"][:, :own])
    seen, kept = answers(tuning.model), answers(before)
    for task in before.tasks:
        for field, value in kept[task].items():
            torch.testing.assert_close(seen[task][field], value, rtol=1e-4, atol=1e-4)


def test_what_stays_apart_changes_no_other_answer(tmp_path: Path) -> None:
    whole = write_model(
        tmp_path / "whole", decoder={"heads": 4, "blocks": 2, "mlp_ratio": 2.0, "pixel_dim": 16}
    )
    kept = answers(FaceModel.load(whole))
    apart = answers(FineTuning(whole, {"glasses": GLASSES}).model)
    together = answers(FineTuning(whole, {"glasses": GLASSES}, apart=False).model)
    for task, fields in kept.items():
        for field, value in fields.items():
            torch.testing.assert_close(apart[task][field], value, rtol=1e-4, atol=1e-4)
    gap = together["pose"]["matrix"] - kept["pose"]["matrix"]
    assert gap.abs().max() > 1e-3  # else the test shows nothing


def test_apart_survives_export_beside_other_apart_tasks(start: Path, tmp_path: Path) -> None:
    heads = {"glasses": GLASSES, "tired": number(0, 10, "points")}
    tuning = FineTuning(start, heads)
    folder = tuning.model.save(tmp_path / "two")
    model = FaceModel.load(folder)
    assert [model.config.heads[task].apart for task in model.tasks][-3:] == [False, True, True]
    without = FineTuning(folder, drop=["tired"])
    torch.testing.assert_close(
        answers(without.model)["glasses"]["logits"], answers(model)["glasses"]["logits"], rtol=1e-4, atol=1e-4
    )
    spec = {"head": GLASSES.head, "options": GLASSES.options, "apart": True}
    first = FaceModelConfig.from_dict(tiny_config(heads={"glasses": spec} | HEADS))
    assert [*first.heads][-1] == "glasses"  # wherever it was put


def test_as_many_classes_of_other_names_are_another_task(start: Path) -> None:
    assert FineTuning(start, {"gender": classes(["young", "old"])}).new_tasks == ("gender",)
    assert FineTuning(start, {"gender": classes(["female", "male"])}).new_tasks == ()


def test_nothing_of_the_command_is_missing(start: Path, table: Path, tmp_path: Path) -> None:
    """`faceperc train` with the recipe for tables, and what it says of a freeze that makes no sense."""
    root = Path(__file__).parents[1]
    config = yaml.safe_load((root / "configs/train/finetune-csv.yaml").read_text())
    sources = config["data"]["sources"]
    sources[0]["init_args"] |= {"root": str(table), "images": str(table.parent / "photos")}
    assert load_sources_from(tmp_path, sources)[0].name == "labels"
    heads = config["model"]["network"]["heads"]
    network = tiny_config(heads={task: heads[task] for task in ("pose", "gender", "glasses")})
    network["heads"]["glasses"]["options"]["labels"] = ["none", "sun"]
    config["model"] |= {"network": network, "start_from": str(start)}
    config["trainer"] |= {"max_epochs": 1, "accelerator": "cpu", "precision": "32-true", "logger": False}
    config["trainer"] |= {"default_root_dir": str(tmp_path / "run"), "enable_progress_bar": False}
    callbacks = config["trainer"]["callbacks"]
    config["trainer"]["callbacks"] = [each for each in callbacks if "ProgressBar" not in each["class_path"]]
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(config))
    assert train([str(recipe), "--model.freeze", "backbone"]) == 0
    before, after = FaceModel.load(start), FaceModel.load(tmp_path / "run/model")
    for name, value in before.backbone.state_dict().items():
        assert torch.equal(after.backbone.state_dict()[name], value), name
    assert not torch.equal(before.decoder.layers.fusion, after.decoder.layers.fusion)
    text = (tmp_path / "run/model/training.json").read_text()
    assert "logger" not in json.loads(text)["config"]["trainer"]
    assert str(Path.home()) not in text and str(tmp_path) not in text
    with pytest.raises(ConfigError, match="start from a model first"):
        train([str(recipe), "--model.freeze", "backbone", "--model.start_from", "null"])
    averages = "--trainer.callbacks+=lightning.pytorch.callbacks.EMAWeightAveraging"
    with pytest.raises(ConfigError, match="KeepBest and a WeightAveraging callback exclude"):
        train([str(recipe), averages])


def load_sources_from(folder: Path, sources: list[object]) -> list[object]:
    path = folder / "sources.yaml"
    path.write_text(yaml.safe_dump(sources))
    return list(load_sources(path))


def test_freezing_everything_is_refused(start: Path, table: Path) -> None:
    with pytest.raises(ConfigError, match="no task is new"):
        FineTuning(start).fit(CsvSource(str(table), images="photos"), freeze="all_but_new")


def test_errors_name_the_cause(start: Path, table: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="did you mean 'expression'"):
        FineTuning(start, drop=["expresion"])
    with pytest.raises(ConfigError, match="cannot be the name"):
        FineTuning(start, {"my.task": GLASSES})
    other = classes(["none", "shades"])
    with pytest.raises(DataError, match=r"labels\.csv line \d+ .*glasses: unknown class 'sun'.*none, shades"):
        FineTuning(start, {"glasses": other}).fit(CsvSource(str(table), images="photos"), accelerator="cpu")
    with pytest.raises(DataError, match=r"unknown task 'glasses'.*no column is a task"):
        FineTuning(start).fit(CsvSource(str(table), images="photos"), accelerator="cpu")


def test_a_new_task_without_labels_is_refused(start: Path, table: Path, tmp_path: Path) -> None:
    data = CsvSource(str(table), images="photos")
    for name in ("person", "seen"):  # a column with another meaning, and none
        tuning = FineTuning(start, {name: classes(["a", "b"])})
        with pytest.raises(DataError, match=rf"(no training face has a label of|unknown task .*){name}"):
            tuning.fit(data, epochs=1, **QUICK)
        with pytest.raises(UsageError, match="call fit first"):
            tuning.save(tmp_path / "random")
    tuning = FineTuning(start, {"glasses": GLASSES, "seen": classes(["a", "b"])})
    with pytest.warns(UserWarning, match="no training face has a label of seen: .* stay random"):
        tuning.fit(data, epochs=1, **QUICK)


def test_a_unit_may_be_a_quotient(start: Path, tmp_path: Path) -> None:
    rows = write_photos(tmp_path, 8)
    for index, row in enumerate(rows):
        row["pulse"] = str(60 + index)
    data = CsvSource(str(write_table(tmp_path / "own.csv", rows)))
    metrics = FineTuning(start, {"pulse": number(0, 200, "beats/min")}).fit(data, epochs=1, **QUICK)
    assert "own/pulse/MAE beats/min" in metrics


def test_numbers_may_be_names_of_classes() -> None:
    numbers, names = Classes(["1", "2", "3"]), Classes(["none", "sun"])
    assert [numbers.from_text(each) for each in ("1", "3")] == [0, 2] and names.from_text("1") == 1
    with pytest.raises(DataError, match="unknown class '0'"):
        numbers.from_text("0")


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (classes(["one"]), "2 names at least"),
        (classes(["a", "a"]), "'a' stands there twice"),
        (classes(["a", "label"]), "'label' is the answer's own column"),
        (classes([True, False]), "quotes"),  # type: ignore[list-item]
        (questions([]), "1 names at least"),
        (number(3, 3), "low must be below high"),
        (classes(["a", "b"], label_smooth=0.1), "label_smoothing"),
    ],
)
def test_impossible_heads_are_refused(start: Path, head: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        FineTuning(start, {"task": head})  # type: ignore[dict-item]
