"""Many images in, one file out: inputs, rows, the three formats, interruption and resumption."""

from __future__ import annotations

import base64
import errno
import io
import itertools
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import FakeDetector
from PIL import Image
from typer.testing import CliRunner, Result

import faceperc
from faceperc.batch import job, predict_files
from faceperc.batch.coco import coco_rle
from faceperc.batch.formats import JsonLines
from faceperc.batch.inputs import Input, find_images, read_list
from faceperc.batch.rows import arrow_schema, columns, face_rows
from faceperc.batch.store import Store, Tally
from faceperc.batch.worker import Settings, Work
from faceperc.cli import app
from faceperc.errors import UsageError
from faceperc.predict import Predictor

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")
coco = pytest.importorskip("pycocotools.mask")

ROOT = Path(__file__).parents[1]


@pytest.fixture
def photos(tmp_path: Path, photo: Path) -> Path:
    """A folder of ten images, one more below it, and what is no image."""
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    (folder / ".hidden").mkdir()
    for name in [*(f"{number:02}.png" for number in range(10)), "sub/Last.PNG", ".hidden/no.png", ".no.png"]:
        shutil.copy(photo, folder / name)
    (folder / "notes.txt").write_text("no image")
    return folder


@pytest.fixture
def models(face_model: Path, detector_model: Path) -> dict[str, str]:
    return {"model": str(face_model), "detector": str(detector_model)}


@pytest.fixture
def options(models: dict[str, str]) -> dict[str, Any]:
    return {**models, "threads": 1, "workers": 1}


@pytest.fixture
def predict(models: dict[str, str]) -> Callable[..., Result]:
    def run(*arguments: str | Path, **further: Any) -> Result:
        words = [word for name, path in models.items() for word in (f"--{name}", path)]
        return CliRunner().invoke(app, ["predict", *map(str, arguments), *words], **further)

    return run


# Inputs


def test_folder__is_searched_in_order_without_what_is_hidden(photos: Path) -> None:
    found = [os.path.relpath(image.path, photos) for image in find_images([photos])]
    assert found == [*(f"{number:02}.png" for number in range(10)), "sub/Last.PNG"]


def test_inputs__each_image_once_and_named_files_whatever_their_name(photos: Path) -> None:
    text = str(photos / "notes.txt")
    names = [str(photos / "03.png"), text, str(photos), str(photos / "sub" / ".." / "04.png"), "no.jpg"]
    found = [image.path for image in find_images(names)]
    assert len(found) == 13 and found[:2] == names[:2] and found[-1] == "no.jpg"


@pytest.mark.parametrize(("pattern", "count"), [("0[0-4].png", 5), ("**/*.PNG", 1), ("**/*.*", 12)])
def test_inputs__pattern(photos: Path, pattern: str, count: int) -> None:
    assert len([*find_images([str(photos / pattern)])]) == count


@pytest.mark.parametrize(("name", "reason"), [("empty", "holds no image"), ("*.gif", "no file fits")])
def test_inputs__that_name_nothing(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=reason):
        list(find_images([str(tmp_path / name)]))


def test_inputs__folder_that_cannot_be_read_is_a_failure(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan = os.scandir

    def refuse(path: Any) -> Any:
        if str(path).endswith("sub"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    found = list(find_images([str(photos)]))
    assert [image.error is None for image in found] == [True] * 10 + [False]
    assert found[-1].path.endswith("sub") and "Permission denied" in str(found[-1].error)


def test_list__of_any_names(tmp_path: Path) -> None:
    (tmp_path / "list").write_bytes(b"a.jpg\n\n  b c.jpg\r\n\xff.jpg\n")
    assert read_list(str(tmp_path / "list")) == ["a.jpg", "  b c.jpg", "\udcff.jpg"]
    with pytest.raises(UsageError, match="the list cannot be read: No such file"):
        read_list(str(tmp_path / "none"))


def test_inputs__links_that_go_in_circles(photos: Path) -> None:
    (photos / "sub" / "up").symlink_to(photos)
    (photos / "same.png").symlink_to(photos / "00.png")  # another name is another image
    assert len([*find_images([str(photos / "**" / "*.[pP][nN][gG]")])]) == 12
    assert len([*find_images([str(photos)])]) == 12


def test_inputs__missing_file_with_brackets_is_a_failure_of_its_own(photos: Path) -> None:
    assert [image.path for image in find_images(["me [2].jpg", str(photos / "0[12].png")])] == [
        "me [2].jpg",
        str(photos / "01.png"),
        str(photos / "02.png"),
    ]


def test_inputs__pattern_that_fits_folders(photos: Path) -> None:
    assert [os.path.relpath(image.path, photos) for image in find_images([f"{photos}/s*"])] == [
        "sub/Last.PNG"
    ]


# Rows


@pytest.fixture(scope="module")
def sample(face_model: Path, heads_model: Path) -> tuple[Predictor, faceperc.Faces]:
    """Two faces, and a head from behind that has a rotation only."""
    predictor = Predictor(face_model, detector=heads_model, heads=True, threads=1)
    return predictor, predictor(Image.new("RGB", (200, 100), "red"))


@pytest.mark.parametrize("masks", ["png", "rle", "none"])
def test_rows__fit_the_columns(sample: tuple[Predictor, faceperc.Faces], masks: str) -> None:
    predictor, faces = sample
    types = columns(predictor.tasks, masks)
    rows = face_rows(faces, masks, "a.jpg")
    assert len(rows) == 3 and set(rows[0]) == set(types) - {"error"}
    assert set(rows[2]) < set(rows[0]) and "pose.yaw" in rows[2] and "redness.value" not in rows[2]
    table = pa.Table.from_pylist(rows, arrow_schema(types))
    assert table["source"].to_pylist() == ["a.jpg"] * 3 and table["face"].to_pylist() == [0, 1, 2]
    assert table["redness.value"].to_pylist() == [*[pytest.approx(100.0)] * 2, None]
    assert table["landmarks.points"][0].as_py() == pytest.approx(faces[0].landmarks.points, abs=1e-3)


def test_rows__flat_columns_are_those_of_dataframes(sample: tuple[Predictor, faceperc.Faces]) -> None:
    pytest.importorskip("pandas")
    predictor, faces = sample
    theirs = {name for name in faces.to_dataframe() if not name.startswith("landmarks")}
    assert theirs < set(columns(predictor.tasks, "none"))


def test_rows__rle_is_the_mask_in_the_image() -> None:
    predictor = Predictor(tasks="parsing", threads=1)
    for box in ([180, 60, 290, 210], [-40, -30, 60, 80], [400, 380, 560, 600]):  # the last two cross borders
        mask = predictor(faceperc.sample_image(), boxes=[box])[0].parsing
        classes = np.zeros(mask.image_shape, np.uint8)
        for code in coco_rle(mask):
            pixels = coco.decode({"size": code["size"], "counts": code["counts"].encode()})
            classes[pixels.astype(bool)] = mask.labels.index(code["label"])
        assert (classes == mask.to_image()).all() and classes.any()


# Files


def read(path: Path) -> list[dict[str, Any]]:
    """A file of any format as rows that have ``source``, ``face``, ``error`` and ``redness.value``."""
    if path.suffix == ".parquet":
        return parquet.read_table(path).to_pylist()
    if path.suffix == ".csv":
        import pandas

        table = pandas.read_csv(path).astype(object)
        return table.where(table.notna(), None).to_dict("records")
    rows = []
    for document in map(json.loads, path.read_text().splitlines()):
        faces = document.get("faces", [{}])
        rows += [
            {
                "source": document["source"],
                "face": index if "faces" in document else None,
                "error": document.get("error"),
                "redness.value": face["tasks"]["redness"]["value"] if face else None,
            }
            for index, face in enumerate(faces)
        ]
    return rows


@pytest.mark.parametrize("suffix", ["parquet", "csv", "jsonl"])
def test_out__rows_of_all_images_and_failures(
    predict: Callable[..., Result],
    photos: Path,
    tmp_path: Path,
    models: dict[str, str],
    suffix: str,
) -> None:
    (photos / "05.png").write_text("no image")
    out = tmp_path / f"out.{suffix}"
    result = predict(
        photos, tmp_path / "gone.jpg", "--out", out, "--workers", "2" if suffix == "csv" else "1"
    )
    assert result.exit_code == 1 and result.stdout == ""
    assert "12 images" in result.stderr and "20 faces, 2 failed" in result.stderr
    assert f"{photos / '05.png'}: is not an image of a known format" in result.stderr
    rows = read(out)
    sources = [row["source"] for row in rows]
    assert sources == [*sorted(sources[:-1]), str(tmp_path / "gone.jpg")] and len({*sources}) == 12
    failed = {row["source"]: row["error"] for row in rows if row["error"]}
    assert failed[str(tmp_path / "gone.jpg")] == "no such file; check the path" and len(failed) == 2
    good = [row for row in rows if not row["error"]]
    assert [row["face"] for row in good] == [0, 1] * 10
    expected = [face.redness.value for face in Predictor(**models, threads=1)(photos / "00.png")]
    assert [row["redness.value"] for row in good] == pytest.approx(expected * 10, abs=1e-3)
    assert {each.name for each in tmp_path.iterdir()} == {"photos", "photo.png", out.name}


def test_out__image_without_a_face_has_a_row(
    predict: Callable[..., Result], photo: Path, tmp_path: Path
) -> None:
    result = predict(photo, "--out", tmp_path / "out.parquet", "--min-score", "1")
    assert result.exit_code == 0 and "; no face in 1 image" in result.stderr
    (row,) = read(tmp_path / "out.parquet")
    assert row["face"] is None and row["error"] is None and (row["width"], row["height"]) == (100, 80)


def test_parquet__says_what_it_is_of(photo: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    predict_files([photo], tmp_path / "out.parquet", tasks=["pose", "parsing"], **options)
    file = parquet.ParquetFile(tmp_path / "out.parquet")
    about = json.loads(file.schema_arrow.metadata[b"faceperc"])
    assert about["job"]["model"] == "tiny" and about["weights_sha256"] == "0" * 64
    assert about["job"]["faceperc"] == faceperc.__version__ and len(about["job"]["model_sha256"]) == 64
    assert set(about["tasks"]) == {"pose", "parsing"} and about["tasks"]["parsing"]["labels"][1] == "skin"
    (row, _) = file.read().to_pylist()
    assert Image.open(io.BytesIO(row["parsing.png"])).size == (8, 8)


def test_csv__lists_are_json_and_png_is_base64(photo: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    predict_files([photo], tmp_path / "out.csv", **options)
    row = read(tmp_path / "out.csv")[0]
    assert np.shape(json.loads(row["landmarks.points"])) == (4, 2)
    assert Image.open(io.BytesIO(base64.b64decode(row["parsing.png"]))).size == (8, 8)


def test_jsonl__lines_are_those_of_the_predictor(
    photo: Path, tmp_path: Path, models: dict[str, str], options: dict[str, Any]
) -> None:
    predict_files([photo], tmp_path / "png.jsonl", **options)
    predict_files([photo], tmp_path / "rle.jsonl", masks="rle", **options)
    expected = Predictor(**models, threads=1)(photo).to_dict()
    assert json.loads((tmp_path / "png.jsonl").read_text()) == expected
    masks = json.loads((tmp_path / "rle.jsonl").read_text())["faces"][0]["tasks"]["parsing"]
    assert "png" not in masks and {code["label"] for code in masks["rle"]} == {"skin", "hair"}


def test_out__names_that_are_no_text(photo: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    name = os.fsdecode(bytes(tmp_path) + b"/caf\xe9.png")
    shutil.copy(photo, name)
    predict_files([name], tmp_path / "out.parquet", **options)
    assert read(tmp_path / "out.parquet")[0]["source"] == rf"{tmp_path}/caf\xe9.png"


NAMES = [
    "=1+1.png",
    "@x.png",
    "new\nline.png",
    "cr\rx.png",
    'com,ma"q".png',
    "\x1b[31mred.png",
    "a" * 250 + ".png",
]


@pytest.mark.parametrize("suffix", ["parquet", "csv", "jsonl"])
def test_out__hostile_names(
    predict: Callable[..., Result],
    photo: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    suffix: str,
) -> None:
    """Also a folder that looks like a column of a table, and reasons with bytes that are no text."""
    folder = tmp_path / "width=2024"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name in NAMES:
        shutil.copy(photo, name)
    shutil.copy(photo, os.fsdecode(b"caf\xe9.png"))
    bad = ["\x1b[2Jgone.png", os.fsdecode(b"caf\xe8.png")]
    result = predict("--out", f"out.{suffix}", "--workers", "1", *NAMES, *bad)
    assert result.exit_code == 1, result.stderr
    assert "\x1b" not in result.stderr and "\\x1b[2Jgone" in result.stderr
    rows = read(folder / f"out.{suffix}")
    shown = [f"./{name}" if suffix == "csv" and name[0] in "=@" else name for name in NAMES]
    assert [row["source"] for row in rows[:-2:2]] == shown
    assert all(Path(name).exists() for name in shown) and rows[-2]["error"].startswith("no such file")
    assert rows[-1]["error"] == r"no such file; did you mean caf\xe9.png?"


def test_out__task_may_be_one_name(photo: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    predict_files([photo], tmp_path / "out.parquet", tasks="age", **options)
    names = parquet.read_schema(tmp_path / "out.parquet").names
    assert [name for name in names if "." in name and not name.startswith("box")] == ["age.value", "age.std"]


def test_out__detector_of_ones_own_is_refused(photo: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="give its name or its file"):
        predict_files([photo], tmp_path / "out.csv", **{**options, "detector": FakeDetector()})


def test_results_that_cannot_be_written_are_a_failure_of_their_image(
    photo: Path, models: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    do = Work(Settings(**models, threads=1), JsonLines("png"))()
    monkeypatch.setattr(faceperc.Faces, "to_dict", lambda _: [][1])
    outcome = do(Input(str(photo)))
    assert outcome.error is not None and "unexpected IndexError" in outcome.error
    assert json.loads(str(outcome.encoded)) == {"source": str(photo), "error": outcome.error}


def test_list__from_standard_input(predict: Callable[..., Result], photos: Path, tmp_path: Path) -> None:
    result = predict(
        "--list", "-", "--out", tmp_path / "out.jsonl", input=f"{photos}/01.png\n{photos}/02.png\n"
    )
    assert result.exit_code == 0 and len(read(tmp_path / "out.jsonl")) == 4


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--out", "a.txt"], "use .parquet, .csv, .jsonl"),
        (["--out", "a"], "a file without suffix"),
        (["--out", "no/such/a.csv"], "cannot be written"),
        (["--out", "a.csv", "--workers", "0"], "workers is a positive integer"),
        (["--out", "a.csv", "--masks", "gif"], "masks is one of png, rle, none"),
        (["--out", "a.csv", "--tasks", "pos"], "did you mean 'pose'"),
        (["--out", "a.csv", "--json", "-"], "goes without --json and --save"),
        (["--workers", "2"], "go with --out"),
        (["--overwrite"], "go with --out"),
    ],
)
def test_out__wrong_usage(
    predict: Callable[..., Result],
    photo: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    reason: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    result = predict(photo, *arguments)
    assert result.exit_code == 2 and reason in result.stderr
    assert {each.name for each in tmp_path.iterdir()} == {"photo.png"}


def test_out__empty_folder_leaves_nothing(predict: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    result = predict(tmp_path / "none", "--out", tmp_path / "out.csv")
    assert result.exit_code == 2 and "holds no image" in result.stderr
    assert [each.name for each in tmp_path.iterdir()] == ["none"]


@pytest.mark.parametrize("package", ["pyarrow", "pycocotools"])
def test_out__missing_package_is_named(
    predict: Callable[..., Result],
    photo: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    package: str,
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    result = predict(photo, "--out", tmp_path / "out.parquet", "--masks", "rle")
    assert result.exit_code == 2 and 'pip install "faceperc[batch]"' in result.stderr


def test_out__is_replaced_only_where_that_is_wanted(
    predict: Callable[..., Result], photo: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.jsonl"
    out.write_text("mine")
    result = predict(photo, "--out", out)
    assert result.exit_code == 2 and "--overwrite" in result.stderr and out.read_text() == "mine"
    assert predict(photo, "--out", out, "--overwrite").exit_code == 0 and len(read(out)) == 2


# Interruption


def watch(monkeypatch: pytest.MonkeyPatch, at: int, act: Callable[[], object]) -> None:
    """Small parts; and something happens after so many images."""
    real = job.progress

    @contextmanager
    def progress(total: int, done: int) -> Iterator[Callable[[Tally], None]]:
        with real(total, done) as advance:

            def count(tally: Tally) -> None:
                advance(tally)
                if tally.images == at:
                    act()

            yield count

    monkeypatch.setattr(job, "PART_IMAGES", 4)
    monkeypatch.setattr(job, "progress", progress)


def interrupt() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("suffix", ["parquet", "csv", "jsonl"])
def test_interruption__a_later_run_goes_on(
    predict: Callable[..., Result],
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    suffix: str,
) -> None:
    out = tmp_path / f"out.{suffix}"
    with monkeypatch.context() as patch:
        watch(patch, 6, interrupt)
        result = predict(photos, "--out", out, "--workers", "1")
    assert result.exit_code == 130 and f"{out}.part" in result.stderr and not out.exists()
    # meanwhile one that was to come is lost, and one comes that would have been the first
    (photos / "08.png").unlink()
    shutil.copy(photos / "00.png", photos / "00-new.png")
    (photos / "00.png").write_text("was done, is not looked at again")
    result = predict(photos, "--out", out, "--workers", "1")
    assert result.exit_code == 1 and "12 images (6 of them by an earlier run)" in result.stderr
    rows = read(out)
    assert len({row["source"] for row in rows}) == 12 and rows[-1]["source"].endswith("00-new.png")
    assert [row["source"][-6:] for row in rows if row["error"]] == ["08.png"]
    assert len(rows) == len({(row["source"], row["face"]) for row in rows}) == 2 * 11 + 1
    assert not Path(f"{out}.part").exists()


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_interruption__by_the_system(
    photos: Path, tmp_path: Path, options: dict[str, Any], name: str, code: int
) -> None:
    """Ctrl-C reaches the whole group of processes: no worker complains, and what was done is kept.

    So does the end of a service; to stop a container tells its first process only, which is easier.
    """
    program = f"""
import os, signal, sys
sys.path.insert(0, {str(ROOT / "tests")!r})
import pytest
from test_batch import watch
from faceperc.batch.cli import run

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
    watch(pytest.MonkeyPatch(), 6, lambda: os.killpg(0, signal.{name}))
    sys.exit(run([{str(photos)!r}], "out.jsonl", masks=None, **{options!r}))
"""
    (tmp_path / "main.py").write_text(program)
    command = [sys.executable, "main.py"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        command, cwd=tmp_path, env=environment, start_new_session=True, capture_output=True, text=True
    )
    assert result.returncode == code, result.stderr
    assert result.stderr.splitlines() == [
        "faceperc: stopped; what was done is in out.jsonl.part, the same command goes on"
    ]
    records = sorted(Path(f"{tmp_path}/out.jsonl.part").glob("*.json"))
    assert [each.name for each in records] == ["000000000.json", "000000004.json", "job.json"]


@pytest.mark.parametrize("call", [3, 6, 7, 11])
def test_interruption__between_a_result_and_its_count(
    photos: Path, tmp_path: Path, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    calls = itertools.count(1)
    add = Tally.add

    def interrupted(self: Tally, *arguments: Any) -> None:
        if next(calls) == call:
            raise KeyboardInterrupt
        add(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(job, "PART_IMAGES", 4)
        patch.setattr(Tally, "add", interrupted)
        with pytest.raises(KeyboardInterrupt):
            predict_files([photos], tmp_path / "out.jsonl", **options)
    predict_files([photos], tmp_path / "out.jsonl", **options)
    sources = [row["source"] for row in read(tmp_path / "out.jsonl")]
    assert len(sources) == 22 and sources[::2] == sorted({*sources})


def test_resumption__elsewhere_is_refused_where_names_are_relative(
    photos: Path, tmp_path: Path, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        watch(patch, 4, interrupt)
        predict_files(["photos"], "out.jsonl", **options)
    monkeypatch.chdir(photos)
    with pytest.raises(UsageError, match="working_folder was"):
        predict_files(["../photos"], "../out.jsonl", **options)
    monkeypatch.chdir(tmp_path)
    assert predict_files(["photos"], "out.jsonl", **options).images == 11


def test_out__that_another_process_has_finished_meanwhile_is_kept(
    photo: Path, tmp_path: Path, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.jsonl"
    enter = Store.__enter__

    def late(self: Store) -> Store:
        out.write_text("theirs")
        return enter(self)

    monkeypatch.setattr(Store, "__enter__", late)
    with pytest.raises(UsageError, match="is there already"):
        predict_files([photo], out, **options)
    assert out.read_text() == "theirs" and not Path(f"{out}.part").exists()


def test_out__on_a_full_disk_is_put_together_by_a_later_run(
    photo: Path, tmp_path: Path, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: JsonLines, parts: Any, target: Path, about: Any) -> None:
        target.write_text("half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch, pytest.raises(UsageError, match=r"No space left .* has the results"):
        patch.setattr(JsonLines, "join", full)
        predict_files([photo], tmp_path / "out.jsonl", **options)
    assert not (tmp_path / "out.jsonl").exists()
    (tmp_path / "out.jsonl.part" / ".killed").mkdir()  # the draft of a process that was killed
    photo.unlink()  # it has been done
    assert predict_files([photo], tmp_path / "out.jsonl", **options).faces == 2
    assert {each.name for each in tmp_path.iterdir()} == {"out.jsonl"}


def test_worker_that_imports_an_unguarded_program_is_told(
    photo: Path, tmp_path: Path, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(multiprocessing.current_process(), "_inheriting", True, raising=False)
    with pytest.raises(UsageError, match='under: if __name__ == "__main__":'):
        predict_files([photo], tmp_path / "out.csv", **options)


def test_killed_worker_costs_nothing(
    photos: Path, tmp_path: Path, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    watch(monkeypatch, 5, lambda: multiprocessing.active_children()[0].kill())
    tally = predict_files([photos], tmp_path / "out.parquet", **options)
    assert (tally.images, tally.faces, tally.failed) == (11, 22, 0)
    keys = [(row["source"], row["face"]) for row in read(tmp_path / "out.parquet")]
    assert len(keys) == len({*keys}) == 22


def test_resumption__other_settings_are_refused(
    predict: Callable[..., Result], photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.csv"
    with monkeypatch.context() as patch:
        watch(patch, 4, interrupt)
        predict(photos, "--out", out)
    for change in (["--masks", "none"], ["--tasks", "pose"], [str(tmp_path / "photo.png")]):
        result = predict(photos, "--out", out, *change)
        assert result.exit_code == 2 and "unfinished job with other settings" in result.stderr
        assert "was" in result.stderr and (tmp_path / "out.csv.part" / "000000000.part").exists()


def test_store__is_for_one_process(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    with Store(tmp_path / "a.csv"), pytest.raises(UsageError, match="another process works on this job"):
        Store(tmp_path / "a.csv")
    Store(tmp_path / "a.csv").__exit__()


def test_store__part_without_its_record_does_not_count(tmp_path: Path) -> None:
    images = [*find_images(["a.jpg", "b.jpg", "c.jpg"])]
    with Store(tmp_path / "a.csv") as store:
        store.begin({}, images)
        store.add(b"1", Tally(images=1))
        store.add(b"2", Tally(images=1))
        store.parts()[1].with_suffix(".json").unlink()
    with Store(tmp_path / "a.csv") as store:
        store.begin({}, images)
        assert store.tally.images == 1 and [part.read_bytes() for part in store.parts()] == [b"1"]
        assert [image.path for image in store.images(1)] == ["b.jpg", "c.jpg"]


@pytest.mark.parametrize("damage", [lambda part: part.write_bytes(b"2 222"), lambda part: part.unlink()])
def test_store__part_that_is_not_whole_does_not_count(
    tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    images = [*find_images(["a.jpg", "b.jpg", "c.jpg"])]
    with Store(tmp_path / "a.csv") as store:
        store.begin({}, images)
        for data in (b"1", b"2 2222", b"3"):
            store.add(data, Tally(images=1))
        damage(store.parts()[1])
    with Store(tmp_path / "a.csv") as store:
        store.begin({}, images)
        assert [part.read_bytes() for part in store.parts()] == [b"1"]
        store.add(b"2", Tally(images=1))
        assert not store.parts()[1].with_name("000000002.json").exists()  # what came after it is done again


@pytest.mark.parametrize("file", ["images.jsonl", "job.json"])
def test_store__damaged_job_is_named(tmp_path: Path, file: str) -> None:
    with Store(tmp_path / "a.csv") as store:
        store.begin({}, find_images(["a.jpg"]))
        store.add(b"1", Tally(images=1))
        (store.path / file).write_text("[")
    with (
        pytest.raises(UsageError, match=rf"{file}: is damaged .* remove the folder"),
        Store(tmp_path / "a.csv") as store,
    ):
        store.begin({}, [])


def test_store__folder_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a.csv.part").mkdir()
    (tmp_path / "a.csv.part" / "mine").touch()
    with pytest.raises(UsageError, match="is no unfinished job"):
        Store(tmp_path / "a.csv")
    assert (tmp_path / "a.csv.part" / "mine").exists()


def test_store__is_beside_the_file_that_a_link_means(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "a.csv").symlink_to(tmp_path / "disk" / "b.csv")
    with Store(tmp_path / "a.csv") as store:
        assert store.path == tmp_path / "disk" / "b.csv.part"
