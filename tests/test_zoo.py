"""The zoo: a registry that tells the truth about the files, names that open the right ones, and the table."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import faceperc
from faceperc.cli import app
from faceperc.errors import ModelError
from faceperc.hub import Place
from faceperc.model_folder import CONFIG, ONNX, ONNX_INT8, TRAINING, WEIGHTS
from faceperc.registry import ModelFile, ZooModel, read_registry, registry
from faceperc.runtime import OnnxModel
from faceperc.zoo import UnknownModelError, find_model, find_weights, list_models, names, whereabouts

NANO = faceperc.model_info("faceperc-nano")
TAG = NANO.tag
LATER, UNKNOWN = "v90", "v99"  # tags that no release has
ROW = asdict(NANO)
RELEASED = [row for row in registry() if row.files]
SHA = "0" * 64


# ---- the file: what it says is so


@pytest.mark.parametrize("folder", sorted({row.folder for row in RELEASED}), ids=lambda path: path.name)
def test_every_file_in_the_package_is_the_one_of_a_row(folder: Path) -> None:
    rows = [row for row in RELEASED if row.folder == folder]
    known = {name for row in rows for name in row.files}
    found = [path.name for path in folder.iterdir() if path.name in known]
    assert found
    for name in found:
        assert any(row.bundled(name) for row in rows), f"{folder / name} is not what registry.json says"


@pytest.mark.parametrize("row", RELEASED, ids=lambda row: row.full_name)
def test_a_row_agrees_with_the_models_own_metadata(row: ZooModel) -> None:
    for path in filter(None, (row.bundled(file) for file in (ONNX, ONNX_INT8))):
        metadata = OnnxModel(path, threads=1).metadata
        shape = metadata.crop.size if metadata.crop else metadata.detector and metadata.detector.max_side
        assert (metadata.role, tuple(metadata.tasks), shape) == (row.role, row.tasks, row.input_size)
        assert metadata.name.startswith(row.name)
        check_sources(row, metadata.training)
    if path := row.bundled(TRAINING):
        check_sources(row, json.loads(path.read_text()))
    if path := row.bundled(CONFIG):
        config = json.loads(path.read_text())
        assert (config["name"], [*config["heads"]]) == (row.name, [*row.tasks])
        assert config["backbone"]["image_size"] == row.input_size


def check_sources(row: ZooModel, training: dict[str, Any]) -> None:
    """Sources, licence and use are those of the record."""
    assert {source["name"] for source in training["data"]} == set(row.training_data)
    assert row.licence.lower() in training["licence"].lower()
    terms = " ".join([training["licence"], *(source["licence"] for source in training["data"])]).lower()
    assert row.use == ("research" if "research" in terms or "non-commercial" in terms else "any")


def test_parameters_are_counted_from_the_weights() -> None:
    """What the optimiser changes: no running statistics, no constants."""
    import yaml

    from faceperc._find_config import find_config
    from faceperc.detector.model import FaceDetector
    from faceperc.model import FaceModel

    for row in RELEASED:
        path = row.bundled(WEIGHTS)
        if path is None:
            continue
        if row.role == "face":
            module: Any = FaceModel.load(path.parent)
        else:
            from safetensors.torch import load_file

            network: dict[str, Any] = {}
            for word in row.recipe.split():
                if word.endswith(".yaml"):
                    network |= yaml.safe_load(find_config(word).read_text())["model"]
            shape = {key: network[key] for key in ("widths", "depths", "neck", "patches")}
            module = FaceDetector(**shape)
            module.load_state_dict(load_file(path))
        assert sum(each.numel() for each in module.parameters()) == row.parameters, row.full_name


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"lisence": "any"}, "unknown key 'lisence': did you mean 'licence'"),
        ({"use": "commercial"}, "'use'"),
        ({"role": "faces"}, "'role'"),
        ({"tag": "v3.1"}, "'tag'"),
        ({"name": "mine-int8"}, "'name'"),
        ({"tasks": []}, "'tasks'"),
        ({"parameters": 0}, "'parameters'"),
        ({"parameters": "many"}, "not a registry"),
        ({"licence": ""}, "'licence'"),
        ({"training_data": []}, "'training_data'"),
        ({"metrics": {"w300 NME %": float("nan")}}, "'metrics'"),
        ({"repo": "https://huggingface.co/a/b"}, "'repo'"),
        ({"files": {}, "recipe": ""}, "'files'"),
        ({"files": []}, "'files' must map"),
        ({"files": {"model.pkl": {"sha256": SHA, "bytes": 1}}}, "'files.model.pkl'"),
        ({"files": {ONNX: {"sha256": "abc", "bytes": 1}}}, "'files.model.onnx.sha256'"),
        ({"files": {ONNX: {"sha256": SHA}}}, "file 'model.onnx': the key 'bytes' is missing"),
        ({"files": {ONNX: {"sha256": SHA, "bytes": 0}}}, "'files.model.onnx.bytes'"),
    ],
)
def test_a_wrong_row_is_named(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    path = tmp_path / "registry.json"
    path.write_text(json.dumps({"models": [{**ROW, "tag": "v0"}, {**ROW, **change}]}))
    with pytest.raises(ModelError, match=r"registry\.json: ") as caught:
        read_registry(path)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [("{", "is not a registry"), ("[]", "is not a registry"), ('{"models": [3]}', "expected a mapping"),
     (json.dumps({"models": [ROW, ROW]}), f"faceperc-nano.{TAG} is there twice"),
     (json.dumps({"models": [{"name": "x"}]}), "registry row 'x': the key 'tag' is missing")],
)  # fmt: skip
def test_a_damaged_registry_is_named(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "registry.json"
    path.write_text(text)
    with pytest.raises(ModelError, match=reason):
        read_registry(path)
    with pytest.raises(ModelError, match="is not a registry"):
        read_registry(tmp_path / "missing.json")


def test_a_row_survives_being_written_and_read() -> None:
    assert all(ZooModel.from_dict(json.loads(json.dumps(asdict(row)))) == row for row in registry())


# ---- names


def test_a_name_stands_for_its_first_tag() -> None:
    assert find_model("faceperc-nano") == find_model(f"faceperc-nano.{TAG}") == NANO.folder / ONNX
    assert (
        find_model("faceperc-nano-int8") == find_model(f"faceperc-nano-int8.{TAG}") == NANO.folder / ONNX_INT8
    )
    assert (
        faceperc.model_info(f"faceperc-nano-int8.{TAG}") is NANO and NANO.full_name == f"faceperc-nano.{TAG}"
    )
    assert list_models() == ["faceperc-nano", "faceperc-nano-int8", "faceperc-small"]


@pytest.mark.parametrize("ask", [find_model, find_weights, faceperc.model_info])
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (f"faceperc-nano.{UNKNOWN}", f"unknown tag '{UNKNOWN}' of faceperc-nano; it has: {TAG}"),
        (f"faceperc-nano-int8.{UNKNOWN}", f"unknown tag '{UNKNOWN}' of faceperc-nano-int8; it has: {TAG}"),
        ("faceperc-nono", "unknown model 'faceperc-nono': did you mean 'faceperc-nano'"),
        ("detector-smal.v1", "did you mean 'detector-small'"),
        ("../faceperc/nano", "unknown model"),
        ("org/name@../../refs", "unknown model"),
        ("org/name@/etc/passwd", "unknown model"),
    ],
)
def test_an_unknown_name_is_answered_with_the_known(
    ask: Callable[[str], object], name: str, reason: str
) -> None:
    with pytest.raises(UnknownModelError) as caught:
        ask(name)
    assert reason in str(caught.value)


@pytest.mark.parametrize("ask", [find_model, find_weights])
def test_a_recipe_has_no_file(ask: Callable[[str], object]) -> None:
    with pytest.raises(ModelError, match=r"no released .*; train it: faceperc train .*base.yaml"):
        ask("faceperc-base")


class Hub:
    """In the place of the Hub: notes what is fetched, and gives a file of that name in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[tuple[Place, str, str | None]] = []

    def __call__(self, place: Place, file: str, sha256: str | None = None) -> Path:
        self.asked.append((place, file, sha256))
        return self.folder / file


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    fake = Hub(tmp_path / "hub")
    for module in ("zoo", "hub"):
        monkeypatch.setattr(f"faceperc.{module}.fetch", fake)
    return fake


@pytest.fixture
def newer(monkeypatch: pytest.MonkeyPatch) -> ZooModel:
    """A second tag that became the default, whose files have the sizes of the first one's, as retrained
    weights have; the package still holds the first one's."""
    files = {name: replace(file, sha256=SHA) for name, file in NANO.files.items()}
    row = replace(NANO, tag=LATER, files=files, revision=LATER, published=True)
    monkeypatch.setattr("faceperc.zoo.registry", lambda: (row, *registry()))
    return row


def test_another_tag_never_opens_the_bundled_file(newer: ZooModel, hub: Hub) -> None:
    assert newer.bundled(ONNX) is None and NANO.bundled(ONNX) == NANO.folder / ONNX
    assert find_model("faceperc-nano") == find_model(f"faceperc-nano.{LATER}") == hub.folder / ONNX
    assert hub.asked == [(Place("faceperc/faceperc-nano", LATER), ONNX, SHA)] * 2
    assert find_model(f"faceperc-nano.{TAG}") == NANO.folder / ONNX
    assert find_weights(f"faceperc-nano.{TAG}") == NANO.folder
    assert faceperc.model_info("faceperc-nano") == newer
    with pytest.raises(UnknownModelError, match=f"it has: {LATER}, {TAG}"):
        faceperc.model_info(f"faceperc-nano.{UNKNOWN}")


def test_weights_are_not_gathered_from_two_places(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wheel holds config.json and not the weights; the licence travels in training.json."""
    monkeypatch.setattr("faceperc.registry._PACKAGE", tmp_path)
    folder = tmp_path / "models" / "faceperc-nano"
    folder.mkdir(parents=True)
    config = find_weights_folder() / CONFIG
    (folder / CONFIG).write_bytes(config.read_bytes())
    assert NANO.bundled(CONFIG) == folder / CONFIG
    assert find_weights("faceperc-nano") == hub.folder
    repo = "faceperc/faceperc-nano"
    commit = Place(repo, hub.folder.name)  # of the first file: a tag may move between two requests
    assert {(each, file) for each, file, _ in hub.asked} == {
        (Place(repo, TAG), WEIGHTS), (commit, CONFIG), (commit, TRAINING)
    }  # fmt: skip
    assert all(sha == NANO.files[file].sha256 for _, file, sha in hub.asked)


def find_weights_folder() -> Path:
    return Path(faceperc.__file__).parent / "models" / "faceperc-nano"


def test_whereabouts(newer: ZooModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    assert whereabouts(NANO, ONNX) == ("in the package", NANO.folder / ONNX)
    assert whereabouts(faceperc.model_info("faceperc-base"), ONNX) == ("recipe", None)
    assert whereabouts(newer, ONNX) == ("on the Hub", None)
    elsewhere = replace(newer, name="faceperc-nowhere")
    assert whereabouts(elsewhere, ONNX) == ("on the Hub", None)
    assert whereabouts(replace(elsewhere, repo=None), ONNX) == ("missing", None)
    repo, commit = tmp_path / "models--faceperc--faceperc-nano", "a" * 40
    cached = repo / "snapshots" / commit / ONNX
    for path, text in ((cached, "weights"), (repo / "refs" / LATER, commit)):
        path.parent.mkdir(parents=True)
        path.write_text(text)
    assert whereabouts(newer, ONNX) == ("on the Hub", None)  # the copy is another file: it has to be fetched
    released = ModelFile(hashlib.sha256(b"weights").hexdigest(), 7)
    assert whereabouts(replace(newer, files={ONNX: released}), ONNX) == ("cached", cached)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert whereabouts(replace(newer, files={ONNX: released}), ONNX) == ("on the Hub", None)
    assert whereabouts(replace(elsewhere, published=False), ONNX) == ("in a checkout", None)


def test_a_missing_file_of_a_model_that_is_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    row = replace(NANO, name="faceperc-nowhere", repo=None)
    monkeypatch.setattr("faceperc.zoo.registry", lambda: (row,))
    with pytest.raises(ModelError, match=r"model\.onnx did not come with this installation"):
        find_model("faceperc-nowhere")
    with pytest.raises(ModelError, match=r"model\.safetensors and config\.json and training\.json did not"):
        find_weights("faceperc-nowhere")


def test_a_changed_file_of_the_package_is_never_replaced_by_a_download(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The default model asks no network, and what somebody trained anew is not silently another model."""
    monkeypatch.setattr("faceperc.registry._PACKAGE", tmp_path)
    folder = tmp_path / "models" / "faceperc-nano"
    folder.mkdir(parents=True)
    (folder / ONNX).write_bytes(b"exported again")
    (folder / WEIGHTS).write_bytes(b"trained again")
    for ask, file in ((find_model, ONNX), (find_weights, WEIGHTS)):
        with pytest.raises(ModelError, match=rf"nano.{file}: was changed or damaged.*reinstall") as caught:
            ask("faceperc-nano")
        assert str(caught.value).startswith(str(folder / file))
    assert whereabouts(NANO, ONNX) == ("changed", None)
    assert hub.asked == []


# ---- the commands


def run(*arguments: str, columns: int = 100) -> str:
    result = CliRunner(env={"COLUMNS": str(columns)}).invoke(app, list(arguments))
    assert result.exit_code == 0, result.output
    return result.stdout


def test_models__one_line_each(newer: ZooModel) -> None:
    text = run("models")
    lines = {line.split()[0]: line.split() for line in text.splitlines() if line.strip()}
    assert max(map(len, text.splitlines())) <= 100
    assert text.count("faceperc-nano ") == 1 and TAG not in lines["faceperc-nano"]
    file = newer.files[ONNX]
    measured = ("w300 NME %", "fasseg F1 %", "fer2013 accuracy %", "utkface age MAE years")
    figures = [f"{newer.metrics[key]:.4g}" for key in measured]
    cells = [f"{file.bytes / 1e6:.1f}", f"{file.latency:.2f}", *figures]
    assert lines["faceperc-nano"][1:9] == [LATER, *cells, "-"]
    assert lines["faceperc-nano"][9:] == ["research", "Hub"]
    assert lines["detector-nano"][4:9] == ["-", "-", "-", "-", "97.7"]
    assert lines["faceperc-base"][1:] == ["-"] * 9 + ["recipe"]
    assert "one CPU thread" in text
    everything = run("models", "--all")
    assert everything.count("faceperc-nano ") == 2 and TAG in everything and LATER in everything


def test_models__eighty_columns_lose_nothing() -> None:
    narrow, wide = (run("models", columns=columns).splitlines() for columns in (80, 120))
    assert max(map(len, narrow)) <= 80
    rows = len(list_models()) + 5  # the heading, a recipe and three detectors
    assert [line.split() for line in narrow[:rows]] == [line.split() for line in wide[:rows]]
    assert len(wide[1].rstrip()) > len(narrow[1].rstrip())


def test_models__json_has_every_row_and_field() -> None:
    rows = json.loads(run("models", "--json"))["models"]
    assert [row["full_name"] for row in rows] == [row.full_name for row in registry()]
    assert set(rows[0]) == {
        "name", "tag", "role", "description", "architecture", "parameters", "input_size", "tasks", "use",
        "licence", "training_data", "metrics", "files", "repo", "revision", "published", "recipe",
        "full_name", "where", "path",
    }  # fmt: skip
    nano = next(row for row in rows if row["name"] == "faceperc-nano")
    assert Path(nano["path"]) == NANO.folder / ONNX and nano["where"] == "in the package"
    assert hashlib.sha256(Path(nano["path"]).read_bytes()).hexdigest() == nano["files"][ONNX]["sha256"]


def test_info__shows_the_row_beside_the_metadata() -> None:
    text = run("info", f"faceperc-nano-int8.{TAG}", columns=200)
    accuracy = NANO.files[ONNX_INT8].metrics["fer2013 accuracy %"]  # the file's own, not the row's
    for word in (NANO.full_name, f"fer2013 accuracy %: {accuracy:g}", "research only", "precision"):
        assert word in text
    assert f"faceperc/faceperc-nano@{TAG}" in text and "faceperc train configs/train/nano.yaml" in text
    document = json.loads(run("info", "faceperc-nano", "--json"))
    assert document["schema"] == 1 and document["zoo"]["tag"] == TAG


def test_info__downloads_nothing(newer: ZooModel, hub: Hub) -> None:
    text = run("info", "faceperc-nano", columns=200)
    assert newer.full_name in text and "on the Hub" in text
    assert f"w300 NME %: {newer.metrics['w300 NME %']:g}" in text
    assert json.loads(run("info", "faceperc-nano", "--json"))["zoo"]["path"] is None
    assert "recipe" in run("info", "faceperc-base")
    assert hub.asked == []


def test_registry_does_not_load_the_hub_client() -> None:
    """Its import takes longer than opening a model."""
    import subprocess

    code = "import sys, faceperc; faceperc.list_models(); sys.exit('huggingface_hub' in sys.modules)"
    root = Path(__file__).parents[1]
    env = {**os.environ, "PYTHONPATH": str(root)}
    assert subprocess.run([sys.executable, "-c", code], cwd=root, env=env).returncode == 0
    assert set(names()) >= {"detector-nano-int8", "faceperc-base.v0"}
