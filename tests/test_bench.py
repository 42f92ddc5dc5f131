"""`faceperc bench` on tiny models: what it reports, never how long something took."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tiny_onnx import FACE_TASKS, build_detector, build_face_model, face_metadata

from faceperc.bench.cli import main
from faceperc.bench.clock import Spread, Times, ratio, time_in_turn
from faceperc.bench.report import BEGIN, COMMAND, END, update_page
from faceperc.bench.work import multiply_adds
from faceperc.errors import ModelError, UsageError

QUICK = ["--rounds", "1", "--starts", "1", "--no-unit"]


def test_everything_is_done_twice_a_round_in_changing_order() -> None:
    calls: list[str] = []
    times = time_in_turn({name: lambda name=name: calls.append(name) for name in "abc"}, rounds=4)  # type: ignore[misc]
    assert calls[::2] == calls[1::2]
    rounds = [calls[i : i + 6 : 2] for i in range(0, len(calls), 6)]
    assert len(rounds) == 4 and all(sorted(each) == ["a", "b", "c"] for each in rounds)
    assert len({tuple(each) for each in rounds}) > 1
    assert all(len(each.wall) == len(each.cpu) == 4 for each in times.values())


def test_ratios_are_of_the_same_round() -> None:
    assert ratio([1.0, 10.0, 3.0], [1.0, 5.0, 1.0]).median == 2.0
    times = Times(wall=(5.0,), cpu=(1.0,))
    assert times.fair(threads=1) == (1.0,) and times.fair(threads=2) == (5.0,)
    assert str(Spread.of([1.0, 2.0, 3.0, 4.0, 5.0])) == "3 (2-4)"


def test_report_of_two_models(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = (build_face_model(tmp_path / f"{name}.onnx") for name in ("first", "second"))
    page, out = tmp_path / "page.md", tmp_path / "bench.json"
    page.write_text(f"# Speed\n\nBefore.\n\n{BEGIN}\nold figures\n{END}\n\nAfter.\n")
    options = ["--threads", "1,2", "--json", str(out), "--update", str(page), *QUICK]
    assert main(["predict", str(first), str(second), "--reference", str(first), *options]) == 0
    printed = capsys.readouterr().out
    for text in ("first", "second", "detector-nano", "GFLOP/s", "detection", "decoding", "memory MB"):
        assert text in printed
    found = json.loads(out.read_text())
    runs = {(each["name"], each["threads"], each["batch"]): each for each in found["speeds"]}
    assert {key for key in runs if key[0] == "second"} == {("second", t, b) for t in (1, 2) for b in (1, 8)}
    assert runs["first", 1, 1]["ratio"]["median"] == 1.0
    assert runs["second", 2, 8]["ratio"]["median"] > 0 and runs["second", 1, 1]["units"] is None
    assert runs["detector-nano, 640 x 480", 1, 1]["ratio"] is None
    assert runs["peak: matrix product", 1, 1]["of_peak"]["median"] == 1.0
    assert [part["name"] for part in found["parts"]] == [
        "read the file", "detection", "crop", "network", "decoding",
    ]  # fmt: skip
    assert math.isclose(sum(part["share"] for part in found["parts"]), 1.0)
    assert {start["model"] for start in found["starts"]} == {"first", "second"}
    assert all(start["peak_mb"] > 10 and start["cpu_ms"]["median"] > 0 for start in found["starts"])
    text = page.read_text()
    assert text.startswith("# Speed\n\nBefore.") and text.endswith("\n\nAfter.\n")
    assert "old figures" not in text and "| second | 2 | 8 |" in text and text.count(BEGIN) == 1


def test_the_default_model_is_the_reference_and_measured_once(tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    assert main(["faceperc-nano", "--threads", "1", "--json", str(out), *QUICK]) == 0
    found = json.loads(out.read_text())
    (nano,) = (each for each in found["speeds"] if each["name"] == "faceperc-nano" and each["batch"] == 1)
    assert nano["ratio"]["median"] == 1.0 and nano["of_peak"]["median"] > 0
    assert found["machine"]["cores"] >= 1


def test_update_changes_nothing_but_the_figures(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"a\n{BEGIN}{END}\nb\n")
    update_page(page, "figures")
    once = page.read_text()
    update_page(page, "figures")
    assert page.read_text() == once == f"a\n{BEGIN}\n\nfigures\n{END}\nb\n"
    page.write_text("no markers")
    with pytest.raises(UsageError, match=r"page\.md.*lacks the lines"):
        update_page(page, "figures")
    with pytest.raises(UsageError, match="cannot be read"):
        update_page(tmp_path / "missing.md", "figures")


def test_wrong_models_are_named(tmp_path: Path) -> None:
    detector = build_detector(tmp_path / "finder.onnx", [[1, 2, 3, 4]], [0.9])
    with pytest.raises(ModelError, match=r"finder\.onnx: is a detector"):
        main([str(detector), "--reference", str(detector), *QUICK])
    full = build_face_model(tmp_path / "full.onnx", metadata=face_metadata(FACE_TASKS) | {"form": "full"})
    with pytest.raises(ModelError, match=r"full\.onnx: is in the form 'full'.*faceperc export --form crop"):
        main([str(full), "--reference", str(full), *QUICK])
    face = build_face_model(tmp_path / "face.onnx")
    (tmp_path / "other").mkdir()
    other = build_face_model(tmp_path / "other" / "face.onnx")
    with pytest.raises(UsageError, match="another model is called face"):
        main([str(other), "--reference", str(face), *QUICK])


@pytest.mark.parametrize(
    "words", [["--rounds", "0"], ["--starts", "0"], ["--threads", "1,0"], ["--rounds", "x"]]
)
@pytest.mark.parametrize("what", [[], ["train", "recipe.yaml"]])
def test_nothing_to_time_is_wrong_usage(
    words: list[str], what: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    if what and words[0] != "--rounds":
        pytest.skip("an option of the prediction")
    with pytest.raises(SystemExit) as stop:
        main([*what, *words])
    assert stop.value.code == 2 and "a whole number from 1 on" in capsys.readouterr().err


def test_multiply_adds_of_products_and_convolutions(tmp_path: Path) -> None:
    def tensor(name: str, *shape: int) -> onnx.TensorProto:
        return numpy_helper.from_array(np.zeros(shape, np.float32), name)

    nodes = [
        helper.make_node("Conv", ["x", "kernel"], ["maps"], strides=[2, 2], pads=[1, 1, 1, 1], group=2),
        helper.make_node("Flatten", ["maps"], ["row"]),
        helper.make_node("Gemm", ["row", "weights"], ["hidden"], transB=1),
        helper.make_node("MatMul", ["hidden", "last"], ["y"]),
        helper.make_node("Add", ["y", "y"], ["z"]),
    ]
    weights = [tensor("kernel", 6, 2, 3, 3), tensor("weights", 5, 6 * 4 * 4), tensor("last", 5, 7)]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4, 8, 8])
    z = helper.make_tensor_value_info("z", TensorProto.FLOAT, ["N", 7])

    def save(nodes: list[onnx.NodeProto]) -> Path:
        graph = helper.make_graph(nodes, "tiny", [x], [z], weights)
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("custom", 1)]
        onnx.save(helper.make_model(graph, opset_imports=opsets), tmp_path / "x.onnx")
        return tmp_path / "x.onnx"

    assert multiply_adds(save(nodes)) == 6 * 4 * 4 * (2 * 3 * 3) + 5 * (6 * 4 * 4) + 7 * 5
    nodes[1] = helper.make_node("Mystery", ["maps"], ["row"], domain="custom")
    assert multiply_adds(save(nodes)) is None


def test_update_page__each_command_has_its_own_place(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    lines = [line.replace(COMMAND, f"{COMMAND} video") for line in (BEGIN, END)]
    page.write_text(f"{BEGIN}\nold\n{END}\n{lines[0]}{lines[1]}\n")
    update_page(page, "of video", f"{COMMAND} video")
    assert page.read_text() == f"{BEGIN}\nold\n{END}\n{lines[0]}\n\nof video\n{lines[1]}\n"
