"""The forms that take whole images answer as the runtime does with the crop form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, version_converter
from PIL import Image
from tiny_onnx import FACE_TASKS, SIZE, build_detector
from tiny_pack import tiny_config

from faceperc.config import FaceModelConfig
from faceperc.crop import CropRule, FaceCrop
from faceperc.errors import ModelError, UsageError
from faceperc.evaluate.measure import crop_rule
from faceperc.export.crop import add_crops
from faceperc.export.forms import compare_forms, in_form
from faceperc.export.graph import GraphBuilder, model_of, tensor
from faceperc.export.onnx import export_onnx
from faceperc.model import FaceModel
from faceperc.predict import Predictor
from faceperc.runtime import OnnxModel
from faceperc.zoo import find_model, sample_image

OPSET = 20


def crops_in_graph(rule: CropRule) -> Any:
    """A function (image, boxes) -> crops by the nodes that the forms are made of."""
    op = GraphBuilder()
    crops = add_crops(op, "image", "boxes", rule).crops
    inputs = [tensor("image", TensorProto.UINT8, "H", "W", 3), tensor("boxes", TensorProto.FLOAT, "N", 4)]
    outputs = [tensor(crops, TensorProto.UINT8, "N", rule.size, rule.size, 3)]
    like = helper.make_model(onnx.GraphProto(), opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
    model = model_of(op.graph("crops", inputs, outputs), like)
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return lambda image, boxes: session.run(None, {"image": image, "boxes": np.float32(boxes)})[0]


@pytest.fixture(scope="module")
def photograph() -> NDArray[np.uint8]:
    """(512, 512, 3); the face is at 175, 68, 275, 203."""
    return np.asarray(Image.open(sample_image()).convert("RGB"))


@pytest.fixture(scope="module")
def network(face_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny crop form in an opset of this day."""
    path = tmp_path_factory.mktemp("forms") / "network.onnx"
    model = version_converter.convert_version(onnx.load(face_model), OPSET)
    onnx.save(model, path)
    return path


def made(network: Path, form: str, detector: Path | str = "detector-nano") -> Path:
    path = network.with_name(f"{form}.onnx")
    onnx.save(in_form(onnx.load(network), form, detector), path)
    return path


BOXES = {
    "a face": [175, 68, 275, 203],
    "enlarged": [200, 120, 230, 150.5],
    "the whole picture": [40.3, 10, 480, 500],
    "over the top left corner": [-60, -40, 90.7, 110],
    "over the bottom right corner": [430, 440, 560, 580],
    "larger than the picture": [-300, -200, 900, 700],
    "nearly outside": [505, 100, 700, 300],
    "outside": [1000, 1000, 1100, 1150],
}


@pytest.mark.parametrize("zoom", [0.3, 1.0, 2.7])
def test_crops_are_those_of_the_runtime(photograph: NDArray[np.uint8], zoom: float) -> None:
    """From 8 times enlarged to 30 times shrunk: no grey level differs by more than 1, few do."""
    rule = CropRule(128, 1.5, (0.0, -0.05))
    side = round(512 * zoom)
    image = np.asarray(Image.fromarray(photograph).resize((side, side - 9), Image.Resampling.BICUBIC))
    boxes = np.float32(list(BOXES.values())) * np.float32(zoom)
    got = crops_in_graph(rule)(image, boxes)
    for name, box, crop in zip(BOXES, boxes, got, strict=True):
        wanted = FaceCrop.from_box(box, rule).warp(image)
        difference = np.abs(crop.astype(int) - wanted)
        assert difference.max() <= 1, name
        assert difference.mean() < 0.25, name
        assert name == "outside" or wanted.any()
    assert not got[list(BOXES).index("outside")].any()


@pytest.fixture(scope="module")
def small_crops() -> Any:
    return crops_in_graph(CropRule(16, 1.5, (0.0, -0.125)))


# eighths are exact in float32 and float64, so that both agree which pixels lie just outside the image
@settings(max_examples=60, deadline=None)
@given(
    size=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    corner=st.tuples(st.integers(-320, 560), st.integers(-320, 560)),
    extent=st.tuples(st.integers(8, 700), st.integers(8, 700)),
    seed=st.integers(0, 9),
)
def test_crops_of_any_box_in_any_image(
    small_crops: Any, size: tuple[int, int], corner: tuple[int, int], extent: tuple[int, int], seed: int
) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    box = np.array([*corner, corner[0] + extent[0], corner[1] + extent[1]]) / 8
    wanted = FaceCrop.from_box(box, CropRule(16, 1.5, (0.0, -0.125))).warp(image)
    assert np.abs(small_crops(image, box[None])[0].astype(int) - wanted).max() <= 1


def test_full__answers_in_the_image(network: Path, pixels: NDArray[np.uint8]) -> None:
    boxes = [[20, 30, 40, 60], [70, 30, 80, 40], [-20, -10, 60, 70]]
    faces = Predictor(network)(pixels, boxes=boxes)
    got = OnnxModel(made(network, "full")).run({"image": pixels, "boxes": np.float32(boxes)})
    assert len(got) == 1 + 9
    for index, face in enumerate(faces):
        np.testing.assert_allclose(got["landmarks.points"][index], face.landmarks.points, atol=1e-4)
        np.testing.assert_allclose(got["landmarks.sigma"][index], face.landmarks.sigma, rtol=1e-5)
        np.testing.assert_allclose(got["pose.matrix"][index], face.pose.matrix, atol=1e-6)
        np.testing.assert_allclose(got["parsing.scores"][index], face.parsing.scores, atol=1e-6)
        np.testing.assert_allclose(got["regions"][index], face.parsing.box, atol=1e-4)
        assert got["redness.value"][index] == pytest.approx(float(face.redness), abs=0.1)
    assert got["redness.value"].std() > 1


@pytest.mark.parametrize("form", ["full", "pipeline"])
def test_no_face_is_no_answer(
    network: Path, detector_model: Path, pixels: NDArray[np.uint8], form: str
) -> None:
    model = OnnxModel(made(network, form, detector_model))
    nobody = (
        {"boxes": np.zeros((0, 4), np.float32)}
        if form == "full"
        else {"min_score": np.float32([0.99]).squeeze()}
    )
    got = model.run({"image": pixels} | nobody)
    assert got["landmarks.points"].shape == (0, 4, 2) and got["regions"].shape == (0, 4)
    assert all(len(value) == 0 for value in got.values())


@pytest.fixture(scope="module", params=[20, 23])
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network with attention, which wants at least one crop."""
    config = tiny_config()
    config["heads"] = {task: config["heads"][task] for task in ("landmarks", "parsing", "age")}
    path = tmp_path_factory.mktemp("trained") / "network.onnx"
    export_onnx(FaceModel(FaceModelConfig.from_dict(config)), path, opset=request.param)
    return path


@pytest.mark.parametrize("form", ["full", "pipeline"])
def test_no_face_is_no_answer_of_a_network_with_attention_too(
    trained: Path, detector_model: Path, pixels: NDArray[np.uint8], form: str
) -> None:
    model = OnnxModel(made(trained, form, detector_model))
    nobody, two = ({"min_score": np.array(score, np.float32)} for score in (0.99, 0.5))
    if form == "full":
        nobody = {"boxes": np.zeros((0, 4), np.float32)}
        two = {"boxes": np.float32([[10, 12, 30, 40], [50, 20, 80, 60]])}
    got, others = (model.run({"image": pixels} | faces) for faces in (nobody, two))
    assert {len(value) for value in others.values()} == {2}
    assert {name: value.shape for name, value in got.items()} == {
        name: (0, *value.shape[1:]) for name, value in others.items()
    }


def test_pipeline__finds_what_the_predictor_finds(
    network: Path, detector_model: Path, pixels: NDArray[np.uint8]
) -> None:
    """The picture is smaller than what the detector wants to see: 160 px."""
    faces = Predictor(network, detector=detector_model)(pixels)
    model = OnnxModel(made(network, "pipeline", detector_model))
    got = model.run({"image": pixels})
    assert len(faces) == len(got["boxes"]) == 2
    for index, face in enumerate(faces):
        np.testing.assert_allclose(got["boxes"][index], face.box, atol=1e-4)
        assert got["scores"][index] == pytest.approx(face.score)
        np.testing.assert_allclose(got["landmarks.points"][index], face.landmarks.points, atol=1e-4)
        assert got["redness.value"][index] == pytest.approx(float(face.redness), abs=0.1)
    surer = model.run({"image": pixels, "min_score": np.array(0.7, np.float32)})
    first = model.run({"image": pixels, "max_faces": np.array(1)})
    for fewer in (surer, first):
        np.testing.assert_array_equal(fewer["boxes"], got["boxes"][:1])


@pytest.fixture(scope="module")
def heads_detector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three faces, of which one is found by two cells, and two heads that show none, surer than any face."""
    boxes = [[10, 12, 30, 40], [50, 20, 80, 60], [51, 20, 80, 60], [90, 5, 120, 45], [40, 70, 70, 100]]
    boxes += [[100, 70, 130, 100]]
    heads = np.array([0.92, 0.90, 0.94, 0.99, 0.98, 0.97])
    path = tmp_path_factory.mktemp("forms") / "heads.onnx"
    points, rotations = np.zeros((6, 5, 2)), np.tile(np.eye(3), (6, 1, 1))
    scores = [0.6, 0.9, 0.8, 0.01, 0.02, 0.7]
    return build_detector(path, boxes, scores, heads=heads, points=points, rotations=rotations)


@pytest.mark.parametrize(("min_score", "count"), [(0.5, 3), (0.75, 1), (0.95, 0), (0.0, 5)])
def test_pipeline__finds_the_faces_of_a_detector_that_knows_heads(
    network: Path, heads_detector: Path, pixels: NDArray[np.uint8], min_score: float, count: int
) -> None:
    faces = Predictor(network, detector=heads_detector, min_score=min_score)(pixels)
    path = made(network, "pipeline", heads_detector)
    got = OnnxModel(path).run({"image": pixels, "min_score": np.array(min_score, np.float32)})
    assert len(faces) == len(got["boxes"]) == count
    assert all(len(value) == count for value in got.values())
    for index, face in enumerate(faces):
        np.testing.assert_allclose(got["boxes"][index], face.box, atol=1e-4)
        assert got["scores"][index] == pytest.approx(face.score)
    first = OnnxModel(path).run({"image": pixels, "max_faces": np.array(2)})
    np.testing.assert_allclose(first["scores"], [0.9, 0.7])  # no head takes a face's place
    names = {tensor.name for tensor in onnx.load(path).graph.initializer}
    assert not any("heads" in name or "rotations" in name for name in names)


@pytest.mark.parametrize("form", ["full", "pipeline"])
def test_file_says_what_it_takes_and_gives(network: Path, detector_model: Path, form: str) -> None:
    model = onnx.load(made(network, form, detector_model))
    onnx.checker.check_model(model, full_check=True)
    bodies = [
        attribute.g for node in model.graph.node for attribute in node.attribute if attribute.HasField("g")
    ]
    assert {node.domain for graph in (model.graph, *bodies) for node in graph.node} == {""}
    document = json.loads(next(entry.value for entry in model.metadata_props if entry.key == "faceperc"))
    assert document["form"] == form and document["input"]["layout"] == "HWC"
    assert {value.name for value in model.graph.input} == {
        each["name"] for each in document["inputs"].values()
    }
    fields = [field for task in document["tasks"].values() for field in task["fields"].values()]
    assert {value.name for value in model.graph.output} == {
        *document["outputs"],
        *(field["output"] for field in fields),
    }
    if form == "pipeline":
        assert document["inputs"]["min_score"]["default"] == 0.5
        assert document["detector"]["name"] == "tiny-detector"
    whole = json.loads(next(e.value for e in onnx.load(network).metadata_props if e.key == "faceperc"))
    assert list(document["tasks"]) == list(whole["tasks"]) == [*FACE_TASKS, "redness"]
    assert document["crop"]["size"] == SIZE


def test_runtime_refuses_what_takes_whole_images(network: Path) -> None:
    path = made(network, "full")
    with pytest.raises(ModelError, match=r"full\.onnx.*takes whole images.*--form crop"):
        Predictor(path)
    with pytest.raises(ModelError, match="--form crop"):
        crop_rule(OnnxModel(path))
    with pytest.raises(UsageError, match=r"pipelin.*pipeline"):
        in_form(onnx.load(network), "pipelin")
    with pytest.raises(ModelError, match="form full; wanted is a face model"):
        in_form(onnx.load(path), "pipeline")
    with pytest.raises(ModelError, match=r"is a face model.*wanted is a detector"):
        in_form(onnx.load(network), "pipeline", network)


@pytest.mark.parametrize("side", [150, 512, 2400])
def test_shipped_pipeline_sees_what_the_predictor_sees(
    photograph: NDArray[np.uint8], tmp_path: Path, side: int
) -> None:
    """Faces of 40, 135 and 630 px; the crops are 128 px."""
    image = np.asarray(Image.fromarray(photograph).resize((side, side), Image.Resampling.BICUBIC))
    path = tmp_path / "pipeline.onnx"
    onnx.save(in_form(onnx.load(find_model("faceperc-nano")), "pipeline"), path)
    got = OnnxModel(path, threads=1).run({"image": image})
    (face,) = Predictor(threads=1)(image)
    assert len(got["boxes"]) == 1
    unit = max(face.box[2:] - face.box[:2]) / 256  # image pixels that a pixel of a 256 px face takes
    np.testing.assert_allclose(got["boxes"][0], face.box, atol=unit)
    np.testing.assert_allclose(got["landmarks.points"][0], face.landmarks.points, atol=0.5 * unit)
    np.testing.assert_allclose(got["pose.matrix"][0], face.pose.matrix, atol=0.02)
    assert (got["parsing.scores"][0].argmax(axis=0) == face.parsing.mask).mean() > 0.99


def test_comparison_sees_a_wrong_file(network: Path, tmp_path: Path) -> None:
    path = made(network, "full")
    assert max(compare_forms(path, network).values()) < 1e-2
    model = onnx.load(path)
    made_by = {name: node for node in model.graph.node for name in node.output}
    scaled = made_by[made_by["landmarks.sigma"].input[0]]
    made_by["landmarks.sigma"].input[0] = scaled.input[0]  # crop pixels
    onnx.save(model, path)
    assert compare_forms(path, network)["landmarks.sigma"] > 0.1


def test_comparison_needs_a_face(network: Path, tmp_path: Path) -> None:
    nobody = build_detector(tmp_path / "nobody.onnx", [[1, 2, 30, 40]], [0.1])
    with pytest.raises(ModelError, match=r"nobody\.onnx: finds no face in the bundled photograph"):
        compare_forms(made(network, "pipeline", nobody), network, nobody)


def test_comparison_sees_a_file_that_answers_without_a_face(network: Path, tmp_path: Path) -> None:
    path = made(network, "full")
    model = onnx.load(path)
    for node in model.graph.node:
        if "redness.value" in node.output:
            node.input[0] = "network/redness.value"  # also that of the crop that stands for none
    onnx.save(model, path)
    with pytest.raises(ModelError, match=r"redness\.value has 1 rows where there is no face"):
        compare_forms(path, network)
