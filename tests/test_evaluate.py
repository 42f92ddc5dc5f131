"""Evaluation and comparison through their commands, on tiny models that always answer the same."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from PIL import Image
from tiny_onnx import build_face_model
from tiny_pack import draw_face, encoded, project, tiny_config, write_pack

from faceperc.config import FaceModelConfig
from faceperc.crop import FaceCrop
from faceperc.data.source import ParquetSource, Sample, load_sources
from faceperc.errors import DataError, UsageError
from faceperc.evaluate.bands import with_yaw_band
from faceperc.evaluate.bootstrap import intervals
from faceperc.evaluate.cli import main as evaluate
from faceperc.evaluate.compare import compare
from faceperc.evaluate.compare import main as compare_command
from faceperc.evaluate.measure import Measurement, measure
from faceperc.evaluate.page import worst_cases
from faceperc.evaluate.report import summarise
from faceperc.export.onnx import metadata
from faceperc.model import FaceModel
from faceperc.rotations import matrix_from_angles
from faceperc.runtime import OnnxModel
from faceperc.train import main as train

ROOT = Path(__file__).parents[1]
BOX = np.array([20.0, 15.0, 75.0, 85.0])
YAWS = (0.0, 5.0, -5.0, 10.0, -10.0, 15.0, 20.0, 30.0, 50.0, 105.0)
CONFIG = FaceModelConfig.from_dict(tiny_config(backbone={"name": "test_vit", "image_size": 32, "blocks": 2}))


class Drawn(ParquetSource):
    """Drawn faces; a face may be in both groups, and a pose beyond 99 degrees is no label."""

    name = "drawn"
    origin = "drawn"
    licence = "CC0"

    def sample(self, row: dict[str, Any], image: np.ndarray) -> Sample:
        labels: dict[str, Any] = {"landmarks": np.reshape(row["landmarks"], (68, 2))}
        if abs(row["yaw"]) <= 99:
            labels["pose"] = np.array([row["yaw"], 0.0, 0.0])
        groups = {"large pose": abs(row["yaw"]) > 12, "dark": row["dark"]}
        return Sample(image, BOX, labels, groups={name: "yes" for name, is_in in groups.items() if is_in})


class Blind:
    """Finds no face."""

    def detect(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.zeros((0, 4)), np.zeros(0)


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The drawn faces, whose background tells the rows apart, and the list of sources that names them."""
    folder = tmp_path_factory.mktemp("pack")
    (folder / "drawn").mkdir()
    for split, count in (("val", len(YAWS)), ("test", 4)):
        rows = []
        for index, yaw in enumerate(YAWS[:count]):
            points = project(yaw, 0.0, 0.0)
            image = encoded(draw_face(points, 25 * index))
            rows.append({"image": image, "landmarks": points.ravel(), "yaw": yaw, "dark": index % 2 == 1})
        pq.write_table(pa.Table.from_pylist(rows), folder / f"drawn/{split}.parquet")
    source = {"class_path": f"{__name__}.Drawn", "init_args": {"splits": ["val", "test"]}}
    (folder / "sources.yaml").write_text(yaml.safe_dump([source]))
    return folder


def constant_model(path: Path, shift: float = 0.0) -> Path:
    """A model that sees the same frontal face in every crop, its points ``shift`` pixels too far right."""
    torch.manual_seed(0)
    model = FaceModel(CONFIG).eval()
    with torch.inference_mode():
        output = model.decode(model(torch.zeros(1, 32, 32, 3, dtype=torch.uint8)))
    answers = {
        task: {field: np.asarray(value[0]) for field, value in fields.items()}
        for task, fields in output.items()
    }
    crop = FaceCrop.from_box(BOX, CONFIG.crop_rule)
    answers["landmarks"]["points"] = crop.to_crop(project(0, 0, 0)) + np.array([shift, 0.0])
    answers["pose"]["matrix"] = np.eye(3)
    tasks = {task: ({}, fields) for task, fields in answers.items()}
    return build_face_model(path, tasks, metadata(model, model.tasks, {}))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return constant_model(tmp_path_factory.mktemp("models") / "good.onnx")


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return constant_model(tmp_path_factory.mktemp("models") / "bad.onnx", shift=4.0)


def options(pack: Path, *more: object) -> list[str]:
    given = ["--data", pack, "--sources", pack / "sources.yaml", "--threads", 1, *more]
    return [str(each) for each in given]


def measured(model: Path, pack: Path, **how: Any) -> dict[str, Measurement]:
    found = measure(OnnxModel(model, 1), load_sources(pack / "sources.yaml"), pack, **how)
    return {each.task: each for each in found}


def pictures(page: str) -> list[np.ndarray]:
    """The JPEGs inside a page, in order."""
    data = re.findall(r'src="data:image/(?:jpeg|webp);base64,([^"]+)"', page)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(each)))) for each in data]


def test_page_shows_the_worst_case_and_needs_nothing_else(good: Path, pack: Path, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    assert evaluate([str(good), *options(pack, "--html", path, "--worst", 2)]) == 0
    page = path.read_text()
    assert "photographs of people" in page
    worst = page[page.index("Worst cases") :]
    landmarks, pose = worst[worst.index("drawn: landmarks") :].split("drawn: pose")
    names = re.findall(r'"quiet">([^<]+)<', landmarks)
    assert names == ["drawn/val.parquet row 9", "drawn/val.parquet row 8"]  # no path of this machine
    assert re.findall(r'"quiet">([^<]+)<', pose) == ["drawn/val.parquet row 8", "drawn/val.parquet row 7"]
    predicted, labelled, *_ = pictures(landmarks)
    for picture in (predicted, labelled):  # row 9, by its background
        np.testing.assert_allclose(picture[20, 60].astype(int), (30, 60, 225), atol=12)
    assert np.abs(predicted.astype(int) - labelled).max() > 60  # each with its own points
    rest = re.sub(r'"data:[^"]+"', '""', page)
    assert not re.search(r"https?:|<script|<link|@import|url\(", rest)
    assert "<polyline" in rest and "NME %" in rest


def test_page_shows_every_kind(good: Path, tmp_path: Path) -> None:
    pack = write_pack(tmp_path / "pack", rows=3)
    names = ("CelebAHQ", "UTKFace", "Fer2013")
    sources = [{"class_path": f"faceperc.data.pack.{name}"} for name in names]
    (pack / "sources.yaml").write_text(yaml.safe_dump(sources))
    assert evaluate([str(good), *options(pack, "--html", tmp_path / "page.html", "--worst", 1)]) == 0
    page = (tmp_path / "page.html").read_text()
    worst = page[page.index("Worst cases") :]
    titles = re.findall(r"<h3>([^<]+)</h3>", worst)
    assert [title.split(": ")[1] for title in titles] == [
        *("pose", "parsing", "gender", "attributes", "age", "gender", "expression")
    ]
    assert len(pictures(worst)) == 9  # pose and parsing are drawn twice: predicted and labelled
    assert "labelled: male" in worst and "wrongly predicted: " in worst and "years" in worst
    assert "fer2013: expression" in page[page.index("Confusion") : page.index("Worst cases")]
    assert "age: 20-39" in page


def test_a_face_that_was_not_found_is_the_worst(good: Path, pack: Path) -> None:
    measurement = measured(good, pack, detector=Blind())["landmarks"]
    assert summarise(measurement).metrics["failure %"] == 100.0
    cases = worst_cases(OnnxModel(good, 1), measurement, 3)
    assert [case.error for case in cases] == ["not found"] * 3


def test_every_metric_has_an_interval(good: Path, pack: Path, tmp_path: Path) -> None:
    assert evaluate([str(good), *options(pack, "--json", tmp_path / "good.json")]) == 0
    document = json.loads((tmp_path / "good.json").read_text())
    for result in document["results"]:
        assert list(result["intervals"]) == list(result["metrics"])
        assert result["interval"] == next(iter(result["intervals"].values()))
        for name, value in result["metrics"].items():
            low, high = result["intervals"][name]
            assert low <= value <= high, name
        assert len(result["data_sha256"]) == 64
        for group, metrics in result["groups"].items():
            limits = result["group_intervals"][group]
            assert list(limits) == [name for name in metrics if name != "faces"]
            known = {name: each for name, each in limits.items() if each[0] is not None}
            assert all(low <= metrics[name] <= high for name, (low, high) in known.items())
    assert document["file"]["sha256"] == hashlib.sha256(good.read_bytes()).hexdigest()
    assert document["command"].startswith("faceperc eval ") and document["kind"] == "face"


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    random = np.random.default_rng(0)
    covered = 0
    for _ in range(60):
        values = random.exponential(3.0, 80)
        low, high = intervals(80, lambda chosen, v=values: {"mean": v[chosen].mean()})["mean"]  # type: ignore[misc]
        covered += low <= 3.0 <= high
    assert 51 <= covered < 60


def test_groups_may_overlap(good: Path, pack: Path) -> None:
    groups = summarise(measured(good, pack)["landmarks"]).groups
    assert {name: metrics["faces"] for name, metrics in groups.items()} == {
        "dark: yes": 5,  # rows 1, 3, 5, 7, 9
        "large pose: yes": 5,  # rows 5 to 9
        "yaw (degrees): 0-14": 5,
        "yaw (degrees): 15-29": 2,
        "yaw (degrees): 30-59": 2,  # row 9 has no label of its pose
    }
    rows = measured(good, pack)["landmarks"].rows
    assert groups["dark: yes"]["NME %"] == pytest.approx(rows[1::2, 0].mean())
    assert groups["large pose: yes"]["NME %"] == pytest.approx(rows[5:, 0].mean())


@pytest.mark.parametrize(
    ("pose", "band"),
    [
        (np.array([-14.9, 80.0, 3.0]), "0-14"),
        (np.array([-29.0, np.nan, np.nan]), "15-29"),  # a yaw alone
        (matrix_from_angles(75.0, -10.0, 20.0), "60+"),
        (np.array([np.nan, 5.0, 0.0]), None),
        (3, None),  # a class, of somebody's own head of this name
        (None, None),
    ],
)
def test_a_face_is_in_the_band_of_its_yaw(pose: Any, band: str | None) -> None:
    labels = {"landmarks": np.zeros((68, 2))} | ({} if pose is None else {"pose": pose})
    sample = Sample(
        np.zeros((9, 9, 3), np.uint8), BOX, labels, groups={"dark": "yes"}, derived=frozenset({"pose"})
    )
    found = with_yaw_band(sample)
    assert found.groups == {"dark": "yes"} | ({} if band is None else {"yaw (degrees)": band})
    assert sample.groups == {"dark": "yes"} and found.labels is sample.labels


def test_a_derived_pose_tells_the_band_and_is_not_measured(good: Path, pack: Path) -> None:
    class Derived(Drawn):
        def sample(self, row: dict[str, Any], image: np.ndarray) -> Sample:
            return replace(super().sample(row, image), derived=frozenset({"pose"}))

    (found,) = measure(OnnxModel(good, 1), [Derived()], pack)
    assert found.task == "landmarks"
    assert summarise(found).groups["yaw (degrees): 15-29"]["faces"] == 2


def test_a_source_leaves_out_what_its_protocol_excludes(good: Path, pack: Path) -> None:
    found = measured(good, pack)
    assert len(found["landmarks"].rows) == 10 and len(found["pose"].rows) == 9


def test_the_split_is_chosen(good: Path, pack: Path) -> None:
    test = measured(good, pack, split="test")["landmarks"]
    assert test.names == [f"drawn/test.parquet row {index}" for index in range(4)]
    with pytest.raises(UsageError, match="no source has the split 'train'; they have: test, val"):
        measured(good, pack, split="train")


def test_compare__a_model_with_itself(good: Path, pack: Path) -> None:
    found = measured(good, pack).values()
    differences = list(compare(found, found))
    assert {each.task for each in differences} == {"landmarks", "pose"}
    for each in differences:
        assert each.first == each.second and each.interval == (0.0, 0.0) and not each.sure


def test_compare__the_sign_and_tighter_intervals(good: Path, bad: Path, pack: Path) -> None:
    first, second = measured(good, pack), measured(bad, pack)
    differences = {each.metric: each for each in compare(first.values(), second.values())}
    nme = differences["NME %"]
    assert nme.sure and nme.interval[0] > 0 and nme.second > nme.first and nme.count == 10
    back = {each.metric: each for each in compare(second.values(), first.values())}["NME %"]
    assert back.interval == pytest.approx((-nme.interval[1], -nme.interval[0]))
    low, high = summarise(first["landmarks"]).interval
    assert nme.interval[1] - nme.interval[0] < high - low
    assert not differences["yaw MAE deg"].sure


def test_compare__pairs_by_name(good: Path, bad: Path, pack: Path) -> None:
    first, second = measured(good, pack)["landmarks"], measured(bad, pack, limit=4)["landmarks"]
    second.names.reverse()
    second.rows = second.rows[::-1]
    nme = next(compare([first], [second]))
    assert nme.count == 4 and nme.first == pytest.approx(first.rows[::3, 0].mean())


def test_compare__files_and_models(
    good: Path, bad: Path, pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = {path: tmp_path / f"{path.stem}.json" for path in (good, bad)}
    for model, path in saved.items():
        assert evaluate([str(model), *options(pack, "--json", path)]) == 0
    capsys.readouterr()
    tables = []
    for pair in ((saved[good], saved[bad]), (good, saved[bad]), (good, bad)):
        assert compare_command([*map(str, pair), *options(pack)]) == 0
        tables.append(capsys.readouterr().out.partition("┏")[2])  # without the title, which names the two
    assert "landmarks" in tables[0] and tables[0] == tables[1] == tables[2]


def test_compare__errors_say_what_to_do(good: Path, pack: Path, tmp_path: Path) -> None:
    path, other = tmp_path / "val.json", tmp_path / "test.json"
    for each, split in ((path, "val"), (other, "test")):
        assert evaluate([str(good), *options(pack, "--json", each, "--split", split)]) == 0
    with pytest.raises(UsageError, match="no task and face in common"):
        compare_command([str(path), str(other)])
    other.with_suffix(".npz").unlink()
    with pytest.raises(DataError, match=r"test\.json and test\.npz beside it.*keep both files together"):
        compare_command([str(path), str(other)])
    path.with_suffix(".npz").write_bytes(b"no rows")
    with pytest.raises(DataError, match=r"val\.json and val\.npz"):
        compare_command([str(path), str(other)])


def test_what_cannot_be_is_told_before_the_work(good: Path, pack: Path, tmp_path: Path) -> None:
    other = tmp_path / "model.onnx"
    other.write_bytes(b"no JSON")
    for wrong, message in (
        (["--markdown", str(tmp_path / "no/a.md")], "no such folder"),
        (["--html", str(tmp_path / "no/a.html")], "no such folder"),
        (["--json", str(other)], "holds no JSON"),
        (["--import", "no_module_of_that_name"], "no_module_of_that_name: cannot be imported"),
        (["--limit", "-1"], "a limit is a number from 0 on"),
    ):
        with pytest.raises(UsageError, match=message):
            evaluate([str(good), *options(pack, *wrong)])
    assert list(tmp_path.iterdir()) == [other] and other.read_bytes() == b"no JSON"


def test_no_file_of_another_kind_is_replaced(good: Path, pack: Path, tmp_path: Path) -> None:
    for name in ("photo.jpg", "a.reference.npz", "b.npz"):
        (tmp_path / name).write_bytes(b"precious")
    np.savez(tmp_path / "c.npz", mine=np.zeros(3))
    for wrong, message in (
        (["--html", "photo.jpg"], r"is no \.html or \.htm file, so it is not replaced"),
        (["--markdown", "photo.jpg"], r"is no \.md or .*, so it is not replaced"),
        (["--json", "a.reference.json"], r"a\.reference\.npz: is there, and is not what"),
        (["--json", "b.json"], r"b\.npz: is there"),
        (["--json", "c.json"], r"c\.npz: is there"),
    ):
        with pytest.raises(UsageError, match=message):
            evaluate([str(good), *options(pack, wrong[0], tmp_path / wrong[1])])
    assert (tmp_path / "photo.jpg").read_bytes() == (tmp_path / "b.npz").read_bytes() == b"precious"
    again = options(pack, "--json", tmp_path / "d.json")
    assert evaluate([str(good), *again]) == evaluate([str(good), *again]) == 0  # its own it replaces


EVERY_ABLATION = set((ROOT / "configs/ablation").glob("*.yaml"))
LEVERS = {  # of configs/train/full.yaml: left out by no-NAME.yaml, and where the recipes then differ
    "teacher": {"model.network", "data.sources"},
    "pretraining": {"model.start_backbone_from"},
    "sets": {"model.network"},
    "uncertainty": {"model.weighting"},
}
ABLATIONS = sorted(EVERY_ABLATION - {ROOT / f"configs/ablation/no-{lever}.yaml" for lever in LEVERS})


def merged(capsys: pytest.CaptureFixture[str], *configs: Path) -> dict[str, Any]:
    """The configuration that the training would run with."""
    with pytest.raises(SystemExit) as stop:
        train([str(ROOT / "configs/train/nano.yaml"), *map(str, configs), "--print_config"])
    assert not stop.value.code
    return yaml.safe_load(capsys.readouterr().out)


@pytest.mark.parametrize("path", ABLATIONS, ids=lambda path: path.stem)
def test_ablations_change_one_thing_and_build(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base, changed = merged(capsys), merged(capsys, path)
    assert "runs/nano" not in yaml.safe_dump(
        changed["trainer"]
    )  # it writes nothing into the recipe's folders
    networks = [config["model"].pop("network") for config in (base, changed)]
    assert base["model"] == changed["model"] and base["data"] == changed["data"]
    assert [key for key in networks[0] if networks[0][key] != networks[1][key]] in (
        ["backbone"], ["heads"], ["decoder"],
    )  # fmt: skip
    model = FaceModel(FaceModelConfig.from_dict(networks[1])).eval()
    size = model.config.backbone.image_size
    with torch.inference_mode():
        assert set(model(torch.zeros(1, size, size, 3, dtype=torch.uint8))) == set(networks[1]["heads"])


@pytest.mark.parametrize("lever", LEVERS)
def test_a_lever_is_left_out_alone(lever: str, capsys: pytest.CaptureFixture[str]) -> None:
    full = ROOT / "configs/train/full.yaml"
    base, changed = merged(capsys, full), merged(capsys, full, ROOT / f"configs/ablation/no-{lever}.yaml")
    assert "runs/nano" not in yaml.safe_dump(changed["trainer"])
    differing = {
        f"{part}.{key}"
        for part in ("model", "data")
        for key in base[part]
        if base[part][key] != changed[part][key]
    }
    assert differing == LEVERS[lever]
    FaceModel(FaceModelConfig.from_dict(changed["model"]["network"]))
