"""Files of other precisions and sizes: what they compute in, what they weigh, and how near they stay."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from tiny_pack import tiny_config, write_pack

from faceperc.config import FaceModelConfig
from faceperc.crop import CropRule
from faceperc.errors import DataError, UsageError
from faceperc.export.attention import attention_operator
from faceperc.export.cli import main
from faceperc.export.convert import add_precision_options, convert
from faceperc.export.nodes import group_of
from faceperc.export.onnx import ParityError, export_onnx
from faceperc.export.precision import round_weights, store_float16, to_float16
from faceperc.export.reference import reference_of
from faceperc.model import FaceModel
from faceperc.model_folder import reference_path
from faceperc.runtime import OnnxModel
from faceperc.verify import TOLERANCES, ReferenceSet, verify

CPU = ["CPUExecutionProvider"]
Convert = Callable[..., Path]
RULE = CropRule(64)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small model with a convolutional stem, as the default model has."""
    config = tiny_config()
    options = {"embed_dim": 96, "num_heads": 3, "depth": 2}
    config["backbone"] |= {"name": "vit_tiny_patch16_224", "conv_stem": True, "options": options}
    config["heads"] = {task: config["heads"][task] for task in ("landmarks", "pose", "gender", "parsing")}
    torch.manual_seed(0)
    return FaceModel(FaceModelConfig.from_dict(config)).save(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A list of two sources, whose photographs lie beside it."""
    folder = write_pack(tmp_path_factory.mktemp("pack"), rows=12)
    names = ("W300", "CelebAHQ")
    text = "\n".join(f"- {{ class_path: faceperc.data.pack.{name} }}" for name in names)
    (folder / "sources.yaml").write_text(text)
    return folder / "sources.yaml"


@pytest.fixture(scope="module")
def exported(model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Float32 files by their opset."""
    folder = tmp_path_factory.mktemp("export")
    loaded = FaceModel.load(model)
    for opset in (20, 23):
        export_onnx(loaded, folder / f"{opset}.onnx", opset=opset)
    return {opset: folder / f"{opset}.onnx" for opset in (20, 23)}


@pytest.fixture(scope="module")
def converted(exported: dict[int, Path], tmp_path_factory: pytest.TempPathFactory) -> Convert:
    """Convert the float32 file of an opset with the command's options, each combination once."""
    folder, done = tmp_path_factory.mktemp("convert"), dict[tuple[object, ...], Path]()

    def run(*words: str, opset: int = 20) -> Path:
        if (opset, *words) not in done:
            path = folder / f"{len(done)}.onnx"
            onnx.save(convert(onnx.load(exported[opset]), _options(*words), RULE), path)
            done[opset, *words] = path
        return done[opset, *words]

    return run


@pytest.fixture(scope="module")
def reference(model: Path, exported: dict[int, Path]) -> ReferenceSet:
    return reference_of(model, exported[20])


def _options(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_precision_options(parser)
    return parser.parse_args(words)


def _calibrated(sources: Path) -> tuple[str, ...]:
    return ("--calibration-data", str(sources), "--data", str(sources.parent), "--calibration-faces", "4")


def _operators(path: Path) -> Counter[str]:
    return Counter(node.op_type for node in onnx.load(path).graph.node)


def _sizes(path: Path) -> Counter[int]:
    """Data type -> bytes of weights."""
    sizes: Counter[int] = Counter()
    for weight in onnx.load(path).graph.initializer:
        sizes[weight.data_type] += len(weight.raw_data)
    return sizes


@pytest.mark.parametrize("opset", [20, 23])
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_answers_stay_within_the_precisions_tolerance(
    converted: Convert, reference: ReferenceSet, precision: str, opset: int
) -> None:
    path = converted("--precision", precision, opset=opset)
    graph = onnx.load(path)
    assert {node.domain for node in graph.graph.node} <= {"", "ai.onnx"}
    assert [entry.key for entry in graph.metadata_props] == ["faceperc"]
    result = verify(path, reference, CPU)
    assert result.precision == precision and result.tolerance == TOLERANCES[precision]
    assert [each for each in result.comparisons if not each.passed] == []


def test_command_does_all_of_it(model: Path, sources: Path, tmp_path: Path) -> None:
    path = tmp_path / "small.onnx"
    words = ["--precision", "int8", "--opset", "23", "--store", "fp16", *_calibrated(sources)]
    assert main([str(model), "-o", str(path), *words, "--tasks", "gender", "--drop-queries"]) == 0
    stored = ReferenceSet.load(reference_path(path))
    assert verify(path, stored, CPU).passed
    # torch's answers are those of the rounded model without the queries, as stored
    again = reference_of(model, path)
    assert list(again.outputs) == ["gender.probabilities"]
    np.testing.assert_allclose(again.outputs["gender.probabilities"], stored.outputs["gender.probabilities"])
    raw = OnnxModel(path).metadata.raw
    assert (raw["precision"], raw["stored"]) == ("int8", "fp16")
    rounded = FaceModel.load(model)
    round_weights(rounded)
    weights = {each.name: each for each in onnx.load(path).graph.initializer}
    halves = numpy_helper.to_array(weights["model.backbone.vit.pos_embed.half"])
    np.testing.assert_array_equal(halves.astype(np.float32), rounded.backbone.vit.pos_embed.detach().numpy())


def test_attention_is_one_operator_from_opset_23_on(exported: dict[int, Path]) -> None:
    old, new = (_operators(exported[opset]) for opset in (20, 23))
    assert "Attention" not in old and new["Attention"] == 2 + 1 + 3  # backbone, layer attention, two-way
    assert old.total() - new.total() >= 6 * new["Attention"]


def test_the_model_is_as_before_after_an_export_with_the_operator(model: Path) -> None:
    loaded = FaceModel.load(model)
    crops = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    with torch.inference_mode():
        before = loaded(crops)["pose"]
        with attention_operator(loaded):
            inside = loaded(crops)["pose"]
        after = loaded(crops)["pose"]
    for name, value in before.items():
        torch.testing.assert_close(inside[name], value)
        assert torch.equal(after[name], value)
    assert not any("forward" in vars(module) for module in loaded.modules())


def test_fp16_holds_half_the_bytes_and_float32_ends(converted: Convert, exported: dict[int, Path]) -> None:
    path = converted("--precision", "fp16")
    assert path.stat().st_size < 0.6 * exported[20].stat().st_size
    graph = onnx.load(path).graph
    assert {output.type.tensor_type.elem_type for output in graph.output} == {TensorProto.FLOAT}


def test_points_that_the_pixels_moved_stay_float32() -> None:
    """The last layer of such a head is the one that moves them; what it reads may be half precision."""
    nodes = [
        helper.make_node("Relu", ["x"], ["map"], "pixels.mix/Relu"),
        helper.make_node("Mul", ["map", "map"], ["product"], "heads.landmarks.evidence.key/Mul"),
        helper.make_node("Sub", ["product", "x"], ["points"], "heads.landmarks.evidence/Sub"),
    ]
    x, points = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in ("x", "points"))
    opset = [helper.make_opsetid("", 20)]
    model = helper.make_model(helper.make_graph(nodes, "g", [x], [points], []), opset_imports=opset)
    graph = to_float16(model).graph
    onnx.checker.check_model(helper.make_model(graph, opset_imports=opset), full_check=True)
    made_by = {name: node for node in graph.node for name in node.output}
    assert made_by["product"].input[0] == "map"
    assert list(made_by["points"].input) == ["product.float", "x"]


def test_only_what_stays_exact_is_stored_in_half() -> None:
    values = {"exact": np.full(2000, 0.5), "fine": np.full(2000, 0.1), "large": np.full(2000, 1e5)}
    weights = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in values.items()]
    node = helper.make_node("Sum", list(values), ["y"])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [2000])
    graph = store_float16(helper.make_model(helper.make_graph([node], "g", [], [out], weights))).graph
    assert {each.name: each.data_type for each in graph.initializer} == {
        "exact.half": TensorProto.FLOAT16, "fine": TensorProto.FLOAT, "large": TensorProto.FLOAT,
    }  # fmt: skip


def test_weights_too_large_for_half_are_refused() -> None:
    layer = torch.nn.Linear(2, 2)
    torch.nn.init.constant_(layer.weight, 1e6)
    with pytest.raises(UsageError, match="weight holds values too large"):
        round_weights(layer)


def test_int8_without_photographs_leaves_convolutions_in_float(
    converted: Convert, exported: dict[int, Path]
) -> None:
    path = converted("--precision", "int8")
    found = _operators(path)
    assert found["MatMulInteger"] > 20 and found["Conv"] == _operators(exported[20])["Conv"]
    assert "QuantizeLinear" not in found
    assert path.stat().st_size < 0.6 * exported[20].stat().st_size


def test_int8_with_photographs_quantises_convolutions_too(converted: Convert, sources: Path) -> None:
    path = converted("--precision", "int8", *_calibrated(sources))
    found = _operators(path)
    assert found["MatMulInteger"] > 20 and found["QuantizeLinear"] > 0
    assert _sizes(path)[TensorProto.INT8] > _sizes(converted("--precision", "int8"))[TensorProto.INT8]
    # what reads the image's three channels, or few others, stays in float
    produced = {name for node in onnx.load(path).graph.node for name in node.output}
    plain = {node.input[1] for node in onnx.load(path).graph.node if node.op_type == "Conv"} - produced
    stem = "model.backbone.vit.patch_embed.layers"
    assert plain == {
        "model.pixels.detail.weight", "model.pixels.mix.5.weight",
        f"{stem}.0.weight", f"{stem}.3.weight", f"{stem}.6.weight",
    }  # fmt: skip


def test_int8_for_tensorrt_is_symmetric(converted: Convert, sources: Path, reference: ReferenceSet) -> None:
    path = converted("--precision", "int8", "--for", "tensorrt", *_calibrated(sources))
    graph = onnx.load(path).graph
    assert "DynamicQuantizeLinear" not in {node.op_type for node in graph.node}
    constants = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    zeros = [constants[n.input[2]] for n in graph.node if n.op_type in ("QuantizeLinear", "DequantizeLinear")]
    assert len(zeros) > 50 and all(zero.dtype == np.int8 and not zero.any() for zero in zeros)
    assert verify(path, reference, CPU).passed


def test_layers_are_kept_in_float_by_name(converted: Convert) -> None:
    whole = _operators(converted("--precision", "int8"))["MatMulInteger"]
    path = converted("--precision", "int8", "--keep-float", "decoder.*", "--keep-float", "heads.pose.*")
    # a layer attention, whose queries are constant; three attentions and an MLP; the head's first layer
    assert _operators(path)["MatMulInteger"] == whole - (3 + 3 * 4 + 2) - 1


def test_sensitive_parts_are_kept_in_float(
    converted: Convert, sources: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "report.json"
    words = ["--precision", "int8", *_calibrated(sources), "--sensitivity", str(report)]
    words += ["--keep-float", "decoder.*", "--keep-float", "backbone.vit.blocks.*"]
    with pytest.raises(UsageError, match=r"leave no layer to quantise; export with --precision fp32"):
        converted(*words, "--max-change", "1e-9")
    parts = {each["part"]: each for each in json.loads(report.read_text())}
    assert set(parts) == {
        "backbone.vit", "pixels.spread", "pixels.mix",
        "heads.landmarks", "heads.pose", "heads.gender", "heads.parsing",
    }  # fmt: skip
    # a head's noise reaches its own output alone
    changes = parts["heads.pose"]["changes"]
    assert changes["pose.matrix"] > 0 and changes["gender.probabilities"] == 0
    assert "kept in float" in capsys.readouterr().out
    # the head that changes most stays in float; a head's layers have no convolutions
    heads = {part: max(each["changes"].values()) for part, each in parts.items() if "heads." in part}
    least = min(heads, key=lambda part: heads[part])
    words += ["--keep-float", "pixels.*", "--keep-float", "backbone.vit.patch_embed.*"]
    path = converted(*words, "--max-change", str(heads[least]))
    assert _operators(path)["MatMulInteger"] == len(parts[least]["layers"])


def test_nothing_left_to_quantise_is_said(converted: Convert) -> None:
    """ONNX Runtime would take an empty list for all layers."""
    with pytest.raises(UsageError, match="leave no layer to quantise"):
        converted("--precision", "int8", "--keep-float", "*")


@pytest.fixture
def fast(exported: dict[int, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Exports begin with the float32 file that is there already."""
    monkeypatch.setattr("faceperc.export.onnx._convert", lambda *_: onnx.load(exported[20]))


@pytest.mark.usefixtures("fast")
def test_file_outside_the_precisions_tolerance_is_not_written(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "small.onnx"
    for precision in ("fp16", "int8"):
        monkeypatch.setitem(TOLERANCES, precision, 1e-6)
        with pytest.raises(ParityError, match=rf"small\.onnx: is not written.*{precision}.*--keep-float"):
            main([str(model), "-o", str(path), "--precision", precision])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("fast")
def test_forms_of_other_precisions_are_compared(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["--form", "full"]
    for precision in ("fp16", "int8"):
        path = tmp_path / f"{precision}.onnx"
        assert main([str(model), "-o", str(path), *words, "--precision", precision]) == 0
        assert OnnxModel(path).metadata.form == "full"
    compared: list[str] = []

    def compare_forms(form: Path, crops: Path, _: str) -> dict[str, float]:
        compared.append(OnnxModel(crops).metadata.raw["precision"])
        return {"pose.matrix": 0.0 if len(compared) < 2 else 1.0}

    monkeypatch.setattr("faceperc.export.onnx.compare_forms", compare_forms)
    path = tmp_path / "bad.onnx"
    with pytest.raises(ParityError, match=r"bad\.onnx: is not written: output pose.matrix.*the crop form"):
        main([str(model), "-o", str(path), *words, "--precision", "fp16"])
    assert compared == ["fp32", "fp16"] and not path.exists()


@pytest.mark.parametrize(
    ("node", "group"),
    [
        ("backbone.vit.blocks.11.attn.qkv/MatMul", "backbone.vit.blocks.11.attn"),
        ("decoder.blocks.0.cross_attention.key/MatMul_2", "decoder.blocks.0.cross_attention"),
        ("backbone.vit.patch_embed.layers.4/Conv", "backbone.vit"),
        ("heads.pose.mlp.0/Gemm", "heads.pose"),
        ("/Softmax", ""),
    ],
)
def test_nodes_are_grouped_by_part(node: str, group: str) -> None:
    assert group_of(node) == group


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--keep-float", "heads.*"], "--keep-float: only for --precision int8"),
        (["--for", "tensorrt"], "--for tensorrt: only for --precision int8"),
        (["--precision", "int8", "--for", "tensorrt"], "needs photographs: --calibration-data"),
        (["--precision", "int8", "--sensitivity", "x.json"], "needs photographs: --calibration-data"),
        (["--precision", "int8", "--max-change", "0.1"], "needs --sensitivity"),
    ],
)
def test_contradictions_are_named_before_anything_is_done(words: list[str], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        main(["no-such-model", "-o", "x.onnx", *words])


def test_unknown_layers_are_named(converted: Convert) -> None:
    with pytest.raises(UsageError, match=r"haeds.*no layer has such a name.*heads.pose"):
        converted("--precision", "int8", "--keep-float", "haeds*")


def test_missing_photographs_are_named(converted: Convert, sources: Path, tmp_path: Path) -> None:
    words = ["--calibration-data", str(sources), "--data", str(tmp_path / "no")]
    with pytest.raises(DataError, match="no: the data folder does not exist"):
        converted("--precision", "int8", *words)
