"""What runs a model: names, missing and conflicting packages, providers that do not start, OpenVINO."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import numpy as np
import onnxruntime
import pytest
from conftest import FakeDetector
from numpy.typing import NDArray
from tiny_onnx import SIZE, build_face_model
from typer.testing import CliRunner

import faceperc
from faceperc.cli import app
from faceperc.errors import ModelError, UsageError
from faceperc.providers import conflict, input_ranges, ort_name, with_options
from faceperc.runtime import OnnxModel


@pytest.fixture
def two_builds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that holds the records of onnxruntime and of onnxruntime-gpu."""
    for name in ("onnxruntime", "onnxruntime_gpu"):
        folder = tmp_path / f"{name}-1.99.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.99.0\n")
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.fixture
def build_without_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """ONNX Runtime as onnxruntime-gpu is where there is no GPU: it has the providers and runs on the CPU."""
    built_in = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: built_in)


@pytest.mark.parametrize("name", ["cpu", "CPUExecutionProvider"])
def test_provider__by_our_name_or_onnxruntimes(face_model: Path, name: str) -> None:
    model = OnnxModel(face_model, provider=name)
    assert model.provider == "cpu" and model.providers == ("CPUExecutionProvider",)
    assert repr(model).endswith("CPUExecutionProvider>")


def test_provider__unknown_name_is_corrected(face_model: Path) -> None:
    with pytest.raises(UsageError, match="'openvno': did you mean 'openvino'"):
        OnnxModel(face_model, provider="openvno")


@pytest.mark.parametrize(
    ("provider", "hint"),
    [
        ("cuda", r'pip uninstall -y onnxruntime, then pip install "faceperc\[gpu\]"'),
        ("tensorrt", r"faceperc\[gpu\].*TensorRT"),
        ("OpenVINOExecutionProvider", r'faceperc\[openvino\]" and ask for the provider "openvino"'),
        ("CoreMLExecutionProvider", "another build"),
    ],
)
def test_provider__that_this_build_lacks(
    face_model: Path, monkeypatch: pytest.MonkeyPatch, provider: str, hint: str
) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(ModelError, match=f"has no {ort_name(provider)}; available: CPUExec.*{hint}"):
        OnnxModel(face_model, provider=provider)


@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
@pytest.mark.filterwarnings("ignore:Specified provider")  # ONNX Runtime's own, beside its fallback
def test_provider__that_does_not_start_is_an_error(
    face_model: Path, build_without_gpu: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, provider: str
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(ModelError, match=f"{ort_name(provider)} did not start.*fell back to CPU.*cuDNN"):
        OnnxModel(face_model, provider=provider)


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_default__that_does_not_start_is_a_warning(face_model: Path, build_without_gpu: None) -> None:
    with pytest.warns(RuntimeWarning, match="CUDAExecutionProvider did not start"):
        predictor = faceperc.Predictor(face_model)
    assert predictor.provider == "cpu" and repr(predictor).endswith("redness; cpu>")


def test_default__of_the_cpu_build_is_silent(face_model: Path, recwarn: pytest.WarningsRecorder) -> None:
    if conflict() or "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this is not the CPU build alone")
    assert OnnxModel(face_model).provider == "cpu" and not recwarn.list


def test_tensorrt__knows_the_shapes_and_keeps_its_engines(
    face_model: Path, detector_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    face, detector = (OnnxModel(path).metadata for path in (face_model, detector_model))
    assert input_ranges(face) == {"crops": tuple((count, SIZE, SIZE, 3) for count in (1, 8, 64))}
    assert input_ranges(detector) == {"image": ((1, 32, 32, 3), (1, 480, 640, 3), (1, 640, 640, 3))}
    (name, options), (second, _), last = with_options("TensorrtExecutionProvider", face)
    assert [name, second, last] == [ort_name(each) for each in ("tensorrt", "cuda", "cpu")]
    assert options["trt_profile_max_shapes"] == f"crops:64x{SIZE}x{SIZE}x3"
    assert Path(options["trt_engine_cache_path"]).is_relative_to(tmp_path / "faceperc")
    assert Path(options["trt_engine_cache_path"]).is_dir()


def test_conflict__is_explained_with_the_repair(face_model: Path, two_builds: None) -> None:
    problem = conflict()
    assert problem is not None and "onnxruntime 1.99.0, onnxruntime-gpu 1.99.0" in problem
    assert "pip uninstall -y onnxruntime onnxruntime-gpu, then pip install" in problem
    with pytest.warns(RuntimeWarning, match="installed together"):
        result = CliRunner().invoke(app, ["info", str(face_model)])
    assert "conflict" in result.stdout and "onnxruntime-gpu 1.99.0" in result.stdout


def test_broken_onnxruntime__is_explained(face_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # what is left of the module where both builds were installed and one was removed
    monkeypatch.setitem(sys.modules, "onnxruntime", ModuleType("onnxruntime"))
    with pytest.raises(ModelError, match=r"broken.*pip uninstall -y onnxruntime onnxruntime-gpu"):
        OnnxModel(face_model)


def test_openvino__not_installed_names_the_extra(face_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ModelError, match=r'pip install "faceperc\[openvino\]"'):
        OnnxModel(face_model, provider="openvino")


class TestOpenVino:
    """The optional runtime itself."""

    @pytest.fixture(autouse=True)
    def _installed(self) -> None:
        pytest.importorskip("openvino")

    def test_answers_as_onnxruntime(self, face_model: Path, detector_model: Path) -> None:
        crops = np.random.default_rng(0).integers(0, 256, (3, SIZE, SIZE, 3), dtype=np.uint8)
        ours, wanted = (OnnxModel(face_model, 1, each) for each in ("openvino", "cpu"))
        assert ours.provider == "openvino" and ours.providers[0] in ("OpenVINO bf16", "OpenVINO f32")
        assert ours.metadata == wanted.metadata
        for batch in (crops, crops[:1], crops[::-1]):
            answers = ours.run({"crops": batch})
            for name, value in wanted.run({"crops": batch}).items():
                scale = max(float(np.abs(value).max()), 1e-6)
                np.testing.assert_allclose(answers[name] / scale, value / scale, atol=0.02)  # bfloat16
        assert [*ours.run({"crops": crops}, ["redness.value"])] == ["redness.value"]
        assert OnnxModel(detector_model, provider="openvino").metadata.role == "detector"

    def test_predicts(self, face_model: Path, detector: FakeDetector, photo: Path) -> None:
        predictor = faceperc.Predictor(face_model, detector=detector, provider="openvino", threads=1)
        red, black = sorted(predictor(photo), key=lambda face: face.box[0])
        assert predictor.provider == "openvino"
        assert red["redness"].value > 50 > black["redness"].value

    def test_answers_of_several_threads_do_not_mix(self, face_model: Path) -> None:
        model = OnnxModel(face_model, 1, "openvino")

        def redness(level: int) -> float:
            crops = np.full((1, SIZE, SIZE, 3), level, dtype=np.uint8)
            return float(model.run({"crops": crops})["redness.value"][0])

        levels = [0, 64, 128, 255] * 20
        with ThreadPoolExecutor(4) as pool:
            values = list(pool.map(redness, levels))
        np.testing.assert_allclose(values, np.array(levels) / 2.55, atol=1)

    @pytest.mark.parametrize(
        ("inputs", "reason"),
        [
            ({"crops": np.zeros((1, SIZE, SIZE, 3), dtype=np.float32)}, "u8"),
            ({"crops": np.zeros((2, 3), dtype=np.uint8)}, "incompatible"),
            ({"other": np.zeros((1, SIZE, SIZE, 3), dtype=np.uint8)}, "the inputs are crops; got other"),
            ({}, "got none"),
        ],
    )
    def test_refused_inputs(
        self, face_model: Path, inputs: dict[str, NDArray[np.uint8]], reason: str
    ) -> None:
        with pytest.raises(ModelError, match=rf"tiny\.onnx: failed on the inputs.*{reason}"):
            OnnxModel(face_model, provider="openvino").run(inputs)

    def test_bad_files(self, tmp_path: Path) -> None:
        path = tmp_path / "bad.onnx"
        path.write_bytes(b"this is no model")
        with pytest.raises(ModelError, match=r"bad\.onnx: cannot be opened by openvino"):
            OnnxModel(path, provider="openvino")
        with pytest.raises(ModelError, match="not a faceperc model"):
            OnnxModel(build_face_model(tmp_path / "a.onnx", metadata={}), provider="openvino")
