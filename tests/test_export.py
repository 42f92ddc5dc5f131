"""The exported file answers as the model does, and says everything that a consumer needs."""

from __future__ import annotations

import copy
import json
import os
import re
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from tiny_onnx import build_detector
from tiny_pack import draw_face, project, tiny_config

import faceperc
from faceperc.config import FaceModelConfig
from faceperc.crop import FaceCrop
from faceperc.errors import UsageError
from faceperc.export.cli import main
from faceperc.export.fold import fold
from faceperc.export.onnx import TOLERANCE, ParityError, compare, export_onnx
from faceperc.export.reference import write_reference
from faceperc.head import KIND_FIELDS
from faceperc.kinds import KINDS
from faceperc.layers import Attention, channel_softmax
from faceperc.model import FaceModel
from faceperc.runtime import OnnxModel
from faceperc.transfer import subset


@pytest.fixture(scope="module")
def model() -> FaceModel:
    torch.manual_seed(0)
    return FaceModel(FaceModelConfig.from_dict(tiny_config())).eval()


@pytest.fixture(scope="module")
def exported(model: FaceModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("export") / "tiny.onnx"
    export_onnx(model, path, training={"data": [{"name": "drawn", "licence": "CC0"}], "licence": "CC0"})
    return path


def test_exporting_says_nothing_that_nobody_can_act_on(
    model: FaceModel, tmp_path: Path, caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder
) -> None:
    export_onnx(model, tmp_path / "quiet.onnx", ["gender"])
    assert not [each.getMessage() for each in caplog.records if each.levelname != "DEBUG"] and not list(
        recwarn
    )


def test_every_output_agrees_with_torch(model: FaceModel, exported: Path) -> None:
    differences = compare(model, exported, model.tasks)
    assert len(differences) == 9
    assert max(differences.values()) <= TOLERANCE


def test_answers_that_are_no_numbers_are_refused(model: FaceModel, tmp_path: Path) -> None:
    """Also where torch gives them too: NaN is within no tolerance."""
    spoilt = copy.deepcopy(model)
    with torch.no_grad():
        next(spoilt.head("gender").parameters()).fill_(torch.nan)
    with pytest.raises(ParityError, match=r"x\.onnx: is not written: output gender.probabilities"):
        export_onnx(spoilt, tmp_path / "x.onnx", ["gender"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", ["", "file/x.onnx"])
def test_file_that_cannot_be_written_is_named_before_the_work(
    model: FaceModel, tmp_path: Path, path: str
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"cannot be written|cannot be made"):
        export_onnx(model, tmp_path / path)
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_no_file_of_another_kind_is_replaced(model: FaceModel, tmp_path: Path) -> None:
    folder = model.save(tmp_path / "model")
    before = (folder / "model.safetensors").read_bytes()
    for words, message in (
        (["-o", str(folder / "model.safetensors")], r"is no \.onnx file, so it is not replaced"),
        (["-o", os.devnull], "is no regular file"),
        (["-o", str(tmp_path / "a.onnx"), "--engine", str(folder / "config.json")], "is not replaced"),
    ):
        with pytest.raises(UsageError, match=message):
            main([str(folder), *words])
    assert (folder / "model.safetensors").read_bytes() == before and not (tmp_path / "a.onnx").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--tasks", ""], r"unknown task \(none\)"),
        (["--detector", "detector-nano"], "--detector: only for --form pipeline"),
        (["--calibration-faces", "4"], "--calibration-faces: only for --precision int8"),
        (["--precision", "int8", "--calibration-faces", "-4"], "--calibration-faces is 1 or more"),
        (["--engine", "a.engine", "--form", "full"], "an engine is built of the crop form"),
        (["--engine-batch", "8,4,2"], "three ascending numbers"),
        (["--engine-batch", "a,b"], "three ascending numbers"),
    ],
)
def test_options_that_would_be_ignored_or_fail_are_told_before_the_work(
    model: FaceModel, tmp_path: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = model.save(tmp_path / "model")
    with pytest.raises((UsageError, SystemExit)) as stop:
        main([str(folder), "-o", str(tmp_path / "a.onnx"), *words])
    assert re.search(message, f"{stop.value}{capsys.readouterr().err}")
    assert not (tmp_path / "a.onnx").exists()


def test_a_file_is_no_model_folder(model: FaceModel, tmp_path: Path) -> None:
    folder = model.save(tmp_path / "model")
    with pytest.raises(UsageError, match=r"is a file; name the folder that holds model\.safetensors"):
        main([str(folder / "model.safetensors"), "-o", str(tmp_path / "a.onnx")])


def test_a_file_that_loses_its_reference_set_is_named(model: FaceModel, tmp_path: Path) -> None:
    export_onnx(model, tmp_path / "model.onnx", ["gender"])
    export_onnx(model, tmp_path / "model_int8.onnx", ["age"])
    write_reference(model, tmp_path / "model.onnx")
    with pytest.warns(RuntimeWarning, match=r"model\.onnx: has no reference set any more"):
        write_reference(model, tmp_path / "model_int8.onnx")


def test_file_holds_plain_operators_and_one_json_document(model: FaceModel, exported: Path) -> None:
    graph = onnx.load(exported)
    onnx.checker.check_model(graph, full_check=True)
    assert {node.domain for node in graph.graph.node} <= {"", "ai.onnx"}
    assert [entry.key for entry in graph.metadata_props] == ["faceperc"]
    document = json.loads(graph.metadata_props[0].value)
    assert document["input"]["size"] == [64, 64] and document["crop"]["size"] == 64
    assert document["weights_sha256"] == model.weights_sha256()
    assert document["training"]["data"][0]["licence"] == "CC0"
    outputs = {value.name for value in graph.graph.output}
    fields = [field for task in document["tasks"].values() for field in task["fields"].values()]
    assert outputs == {field["output"] for field in fields}
    assert document["tasks"]["expression"]["labels"][1] == "happiness"
    assert document["tasks"]["landmarks"]["fields"]["sigma"]["unit"] == "crop px"
    assert document["tasks"]["age"]["fields"]["value"]["unit"] == "years"
    assert len(document["tasks"]["age"]["bins"]) == 101


@pytest.fixture(scope="module")
def exported_subset(model: FaceModel, exported: Path) -> Path:
    path = exported.with_name("subset.onnx")
    export_onnx(model, path, ["pose", "age"])
    return path


def is_smaller(path: Path, other: Path) -> bool:
    nodes, others = (len(onnx.load(each).graph.node) for each in (path, other))
    return path.stat().st_size < other.stat().st_size and nodes < others


def test_subset_is_smaller_and_answers_the_same(exported_subset: Path, exported: Path) -> None:
    path = exported_subset
    assert is_smaller(path, exported)
    crops = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    whole, part = (OnnxModel(p).run({"crops": crops}) for p in (exported, path))
    assert set(part) == {"pose.matrix", "age.value", "age.distribution"}
    for name, value in part.items():
        np.testing.assert_allclose(value, whole[name], atol=1e-5)


def test_folding_keeps_the_answers_and_the_model(model: FaceModel) -> None:
    trained = copy.deepcopy(model)
    with torch.no_grad():
        for weight in trained.parameters():  # biases that are not zero
            weight.add_(
                0.05 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(weight.numel()))
            )
    before = trained.weights_sha256()
    folded = fold(trained)
    assert trained.weights_sha256() == before
    attentions = [each for each in folded.modules() if isinstance(each, Attention)]
    assert len(attentions) > len([each for each in trained.modules() if isinstance(each, Attention)])
    assert all(each.key.bias is None and each.value.bias is None for each in attentions)
    crops = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    with torch.inference_mode():
        wanted, got = (each.decode(each(crops)) for each in (trained, folded))
    for task, fields in wanted.items():
        for field, value in fields.items():
            torch.testing.assert_close(got[task][field], value, rtol=1e-4, atol=1e-4)


def test_attention_with_more_than_the_plain_four_layers_is_left_alone() -> None:
    config = tiny_config()
    config["backbone"]["options"] = {"qk_norm": True}
    odd = FaceModel(FaceModelConfig.from_dict(config)).eval()
    crops = torch.randint(0, 256, (1, 64, 64, 3), dtype=torch.uint8)
    with torch.inference_mode():
        wanted, got = (each(crops)["age"]["logits"] for each in (odd, fold(odd)))
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-4)


def test_channel_softmax_is_the_softmax() -> None:
    logits = 200 * torch.randn(2, 5, 3, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(channel_softmax(logits), logits.softmax(dim=1))


def test_subset_without_the_other_queries_is_smaller_still(
    model: FaceModel, exported: Path, exported_subset: Path, tmp_path: Path
) -> None:
    path = tmp_path / "own.onnx"
    export_onnx(model, path, ["pose", "age"], drop_queries=True, opset=18)
    part = subset(model, ["pose", "age"])
    assert max(compare(part, path, part.tasks).values()) <= TOLERANCE
    assert path.stat().st_size < exported_subset.stat().st_size
    assert is_smaller(path, exported)
    document = OnnxModel(path).metadata.raw
    assert list(document["config"]["heads"]) == ["pose", "age"]
    assert document["weights_sha256"] == part.weights_sha256() != model.weights_sha256()


def test_both_halves_mean_the_same_by_a_kind() -> None:
    # the halves share no code, so each states the contract's fields; here they meet
    assert {name: dict(kind.fields) for name, kind in KINDS.items()} == KIND_FIELDS


def test_unknown_task_is_named(model: FaceModel, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"smile.*landmarks"):
        export_onnx(model, tmp_path / "x.onnx", ["smile"])
    assert list(tmp_path.iterdir()) == []


def test_predictor_answers_in_the_image_what_the_model_answers_in_the_crop(
    model: FaceModel, exported: Path
) -> None:
    image = np.asarray(draw_face(project(0, 0, 0), 80))
    box = [20.0, 15.0, 75.0, 85.0]
    face = faceperc.Predictor(exported)(image, boxes=[box])[0]
    crop = FaceCrop.from_box(box, model.config.crop_rule)
    with torch.inference_mode():
        wanted = model.decode(model(torch.from_numpy(crop.warp(image))[None]))
    np.testing.assert_allclose(
        face.landmarks.points, crop.to_image(wanted["landmarks"]["points"][0].numpy()), atol=1e-2
    )
    np.testing.assert_allclose(face.pose.matrix, wanted["pose"]["matrix"][0].numpy(), atol=1e-4)
    assert face.age.value == pytest.approx(float(wanted["age"]["value"][0]), abs=1e-2)
    assert face.parsing.labels == model.head("parsing").info.labels
    assert set(face.tasks) == set(model.tasks)


def test_command_writes_the_file(
    model: FaceModel, tmp_path: Path, trtexec: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = model.save(tmp_path / "model")
    training = {"data": [{"name": "drawn", "licence": "CC0"}], "licence": "CC0"}
    (folder / "training.json").write_text(json.dumps(training))
    out = tmp_path / "deep" / "tiny.onnx"
    engine = tmp_path / "tiny.engine"
    wanted = ["--tasks", "gender,age", "--engine", str(engine), "--engine-batch", "1,1,2"]
    assert main([str(folder), "-o", str(out), *wanted]) == 0
    assert "gender.probabilities" in capsys.readouterr().out
    metadata = OnnxModel(out).metadata
    assert list(metadata.tasks) == ["gender", "age"] and metadata.training["licence"] == "CC0"
    # nothing temporary is left
    assert sorted(path.name for path in out.parent.iterdir()) == ["tiny.onnx", "tiny.reference.npz"]
    options = json.loads(engine.read_text())
    assert options["onnx"] == str(out) and options["maxShapes"] == "crops:2x64x64x3"


def test_command_writes_other_forms_and_opsets(tmp_path: Path) -> None:
    config = tiny_config()
    config["heads"] = {task: config["heads"][task] for task in ("landmarks", "gender")}
    folder = FaceModel(FaceModelConfig.from_dict(config)).save(tmp_path / "model")
    out = tmp_path / "tiny.onnx"
    detector = build_detector(tmp_path / "detector.onnx", [[175, 68, 275, 203]], [0.9])
    options = ["--form", "pipeline", "--opset", "23", "--detector", str(detector)]
    assert main([str(folder), "-o", str(out), *options]) == 0
    model = OnnxModel(out)
    assert model.metadata.form == "pipeline" and [*model.metadata.tasks] == ["landmarks", "gender"]
    assert model.metadata.tasks["landmarks"].fields["sigma"].unit == "px"
    assert [each.version for each in onnx.load(out).opset_import] == [23]
    answers = model.run({"image": np.zeros((300, 300, 3), np.uint8)})
    np.testing.assert_allclose(answers["boxes"], [[175, 68, 275, 203]])
    assert answers["gender.probabilities"].sum() == pytest.approx(1)
