"""`faceperc verify`: a file that answers as the model does passes, and any other fails."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from tiny_pack import tiny_config
from typer.testing import CliRunner, Result

from faceperc.cli import app
from faceperc.config import FaceModelConfig
from faceperc.errors import ModelError
from faceperc.export.cli import main
from faceperc.model import FaceModel
from faceperc.model_folder import reference_path
from faceperc.runtime import OnnxModel
from faceperc.verify import ReferenceSet, verify

CPU = ["cpu"]


def _model() -> FaceModel:
    config = tiny_config()
    config["heads"] = {task: config["heads"][task] for task in ("pose", "gender", "parsing")}
    return FaceModel(FaceModelConfig.from_dict(config))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    return _model().save(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def exported(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("export") / "tiny.onnx"
    assert main([str(folder), "-o", str(path)]) == 0
    return path


@pytest.fixture
def copy(exported: Path, tmp_path: Path) -> Path:
    """The file and its reference set, to be damaged."""
    for path in (exported, reference_path(exported)):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path / exported.name


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["verify", *map(str, arguments)])


def _change_weight(path: Path, factor: float) -> None:
    """Multiply the first value of the pose head's first layer."""
    graph = onnx.load(path)
    weight = next(each for each in graph.graph.initializer if each.name == "model.heads.pose.mlp.0.weight")
    values = numpy_helper.to_array(weight).copy()
    values.flat[np.abs(values).argmax()] *= factor
    weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    onnx.save(graph, path)


def test_untouched_file_passes_one_by_one_and_as_a_batch(exported: Path) -> None:
    result = verify(exported, ReferenceSet.load(reference_path(exported)), CPU)
    assert result.passed and not result.changed and result.tolerance == 1e-4
    assert {(each.batch, each.output) for each in result.comparisons} == {
        (batch, output)
        for batch in (1, 4)
        for output in ("pose.matrix", "gender.probabilities", "parsing.scores")
    }
    assert max(each.relative for each in result.comparisons) < 1e-5


def test_reference_set_is_small_and_shows_faces(exported: Path) -> None:
    reference = ReferenceSet.load(reference_path(exported))
    assert len(reference) == 4 and reference.inputs["crops"].dtype == np.uint8
    assert reference_path(exported).stat().st_size < 1e6
    spread = reference.outputs["pose.matrix"].std(axis=0)
    assert spread.max() > 0  # the faces differ


def test_command_prints_a_table(exported: Path) -> None:
    result = run(exported)
    assert result.exit_code == 0, result.output
    assert "cpu (fp32, relative deviation up to 1e-04)" in result.stdout and "pose.matrix" in result.stdout
    assert result.stdout.rstrip().endswith(": verified")


def test_command_prints_json(exported: Path) -> None:
    document = json.loads(run(exported, "--json", "-", "--providers", *CPU).stdout)
    assert document["passed"] and document["precision"] == "fp32" and len(document["comparisons"]) == 6


def test_changed_weight_fails_by_its_answers(copy: Path) -> None:
    _change_weight(copy, -1.0)
    reference = replace(ReferenceSet.load(reference_path(copy)), file_sha256=())
    result = verify(copy, reference, CPU)
    assert not result.passed and not result.changed
    assert {each.output for each in result.comparisons if not each.passed} == {"pose.matrix"}


def test_changed_weight_fails_by_the_hash_even_where_no_answer_shows_it(copy: Path) -> None:
    _change_weight(copy, 1 + 1e-6)
    result = run(copy)
    assert result.exit_code == 1
    assert "is not the file that was exported" in result.stdout and "FAILED" in result.stdout


def test_answers_that_are_no_numbers_fail(copy: Path) -> None:
    _change_weight(copy, float("nan"))
    assert not verify(copy, ReferenceSet.load(reference_path(copy)), CPU).passed
    document = json.loads(run(copy, "--json", "-").stdout)
    assert not document["passed"]


def test_answers_without_end_are_null_in_json(copy: Path) -> None:
    reference = ReferenceSet.load(reference_path(copy))
    wanted = {name: np.full_like(value, np.inf) for name, value in reference.outputs.items()}
    result = verify(copy, replace(reference, outputs=wanted), CPU)
    assert not result.passed
    json.dumps(result.to_dict(), allow_nan=False)
    assert {each["maximum"] for each in result.to_dict()["comparisons"]} == {None}


@pytest.mark.parametrize(
    ("asked", "runs", "limit"),
    [
        ("tensorrt", "tensorrt", "fp16, rms"),
        ("TensorrtExecutionProvider", "tensorrt", "fp16, rms"),
        ("openvino", "openvino", "bf16, rms"),
        ("OpenVINOExecutionProvider", "OpenVINOExecutionProvider", "bf16, rms"),
        ("CPUExecutionProvider", "cpu", "fp32, relative"),
    ],
)
def test_tolerance_is_that_of_what_runs(
    exported: Path, monkeypatch: pytest.MonkeyPatch, asked: str, runs: str, limit: str
) -> None:
    class Model(OnnxModel):
        """Runs on the CPU under another provider's name."""

        def __init__(self, path: Path, threads: int, provider: str) -> None:
            super().__init__(path, threads, "cpu")

        @property
        def provider(self) -> str:
            return runs

    monkeypatch.setattr("faceperc.verify.OnnxModel", Model)
    result = verify(exported, ReferenceSet.load(reference_path(exported)), [asked])
    assert {each.limit.split(" deviation")[0] for each in result.comparisons} == {limit}


def test_file_made_from_another_is_held_to_the_others_answers(copy: Path, exported: Path) -> None:
    graph = onnx.load(copy)
    graph.producer_name = "another tool"
    onnx.save(graph, copy)
    assert run(copy).exit_code == 1
    assert run(copy, "--reference", reference_path(exported)).exit_code == 0


def test_torch_takes_the_place_of_the_stored_set(exported: Path, folder: Path, copy: Path) -> None:
    reference_path(copy).unlink()
    assert run(copy, "--model", folder).exit_code == 0
    _change_weight(copy, -1.0)
    assert run(copy, "--model", folder).exit_code == 1


def test_model_with_other_weights_is_refused(exported: Path, tmp_path: Path) -> None:
    torch.manual_seed(1)
    other = _model().save(tmp_path / "other")
    result = run(exported, "--model", other)
    assert result.exit_code == 1 and "exported from other weights" in result.stderr


@pytest.mark.parametrize("tolerance", ["0", "-1", "nan", "inf"])
def test_tolerance_is_a_positive_number(exported: Path, tolerance: str) -> None:
    result = run(exported, "--tolerance", tolerance)
    assert result.exit_code == 2 and "positive" in result.stderr


def test_another_tolerance(exported: Path) -> None:
    assert run(exported, "--tolerance", "1e-12").exit_code == 1


def test_missing_reference_set_says_what_to_do(copy: Path) -> None:
    reference_path(copy).unlink()
    result = run(copy)
    assert result.exit_code == 1 and "--model FOLDER" in result.stderr


@pytest.mark.parametrize("seed", range(40))
def test_spoilt_bytes_of_a_reference_set_are_our_error(copy: Path, seed: int) -> None:
    """Or change nothing that is read; whatever the archive's parts are damaged in."""
    path, rng = reference_path(copy), np.random.default_rng(seed)
    data = bytearray(path.read_bytes())
    for place in rng.integers(0, len(data), 20):
        data[place] = rng.integers(256)
    path.write_bytes(data)
    with suppress(ModelError):
        ReferenceSet.load(path)


def test_only_the_crop_form_is_verified(copy: Path) -> None:
    graph = onnx.load(copy)
    document = json.loads(graph.metadata_props[0].value)
    for entries, message in (
        ({"form": "full"}, "takes whole images"),
        ({"precision": ["fp32"]}, "is of the unknown precision"),
    ):
        onnx.helper.set_model_props(graph, {"faceperc": json.dumps(document | entries)})
        onnx.save(graph, copy)
        result = run(copy)
        assert result.exit_code == 1 and message in result.stderr


def test_the_model_of_a_file_without_configuration(copy: Path, folder: Path) -> None:
    graph = onnx.load(copy)
    document = json.loads(graph.metadata_props[0].value)
    document.pop("config")
    onnx.helper.set_model_props(graph, {"faceperc": json.dumps(document)})
    onnx.save(graph, copy)
    assert run(copy, "--model", folder).exit_code == 0
    result = run("detector-nano", "--model", folder)
    assert result.exit_code == 1 and "is a detector, not a face model" in result.stderr


def test_the_reference_set_of_a_name_with_dots() -> None:
    assert reference_path("a/nano-v1.1").name == "nano-v1.1.reference.npz"
    assert reference_path("nano-v1.1.onnx").name == "nano-v1.1.reference.npz"
    assert reference_path("a/model_int8.onnx") == Path("a/reference.npz")


@pytest.mark.parametrize("content", [b"", b"no archive", "cut"])
def test_damaged_reference_set_is_named(copy: Path, content: bytes | str) -> None:
    path = reference_path(copy)
    path.write_bytes(content if isinstance(content, bytes) else path.read_bytes()[:5000])
    with pytest.raises(ModelError, match=r"tiny.reference.npz: is no usable reference set"):
        ReferenceSet.load(path)


def test_array_is_no_reference_set(exported: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "crops.npy", np.zeros(3))
    result = run(exported, "--reference", tmp_path / "crops.npy")
    assert result.exit_code == 1 and "crops.npy: is no usable reference set" in result.stderr


def test_reference_set_of_another_model_is_named(exported: Path) -> None:
    reference = ReferenceSet.load(reference_path(exported))
    other = replace(reference, outputs={"smile.value": np.zeros(4, np.float32)}, file_sha256=())
    with pytest.raises(ModelError, match=r"smile.value: it belongs to another model"):
        verify(exported, other, CPU)


def test_provider_that_was_asked_for_must_exist(exported: Path) -> None:
    result = run(exported, "--providers", "MagicExecutionProvider")
    assert result.exit_code == 1 and "MagicExecutionProvider" in result.stderr


def test_reference_and_model_together_are_refused(exported: Path, folder: Path) -> None:
    result = run(exported, "--model", folder, "--reference", reference_path(exported))
    assert result.exit_code == 2 and "not both" in result.stderr
