"""The report of the tables that a job writes: that of its JSON lines, as far as a format holds the same."""

from __future__ import annotations

import csv as table
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from test_html_report import data_of, run

from faceperc.batch.formats import choose_format
from faceperc.html_report.rows import read_table
from faceperc.predict import Predictor
from faceperc.zoo import sample_image

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """results-MASKS.jsonl, .parquet and .csv about one face, an image without any, and one that failed."""
    folder = tmp_path_factory.mktemp("results")
    predictor = Predictor(threads=1)
    shutil.copy(sample_image(), folder / "photo.jpg")
    Image.new("RGB", (60, 40)).save(folder / "empty.png")
    found = [predictor(str(folder / name)) for name in ("photo.jpg", "empty.png")]
    about = {
        "job": {"model": predictor.metadata.name},
        "tasks": {name: predictor.metadata.raw["tasks"][name] for name in predictor.tasks},
    }
    for masks in ("png", "rle", "none"):
        for suffix in (".jsonl", ".parquet", ".csv"):
            target = folder / f"results-{masks}{suffix}"
            form = choose_format(target, predictor.tasks, masks)
            part = folder / "part"
            part.write_bytes(form.part([*map(form.encode, found), form.failed("bad.png", "is none")]))
            form.join([part], target, about)
    return folder


def report(results: Path, name: str, tmp_path: Path) -> dict[str, Any]:
    out = tmp_path / f"{name}.html"
    result = run(results / name, "-o", out)
    assert result.exit_code == 1 and "1 of 1 faces" in result.stdout and "bad.png: is none" in result.stderr
    assert "1 face in 2 pictures, 1 of them without a face" in out.read_text()
    return data_of(out)


@pytest.mark.parametrize("masks", ["png", "rle", "none"])
@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_table__gives_the_report_of_json_lines(
    results: Path, masks: str, suffix: str, tmp_path: Path
) -> None:
    wanted, got = (report(results, f"results-{masks}{each}", tmp_path) for each in (".jsonl", suffix))
    assert got["layers"] == wanted["layers"] == ["landmarks", "pose", "parsing"][: 2 + (masks == "png")]
    assert got["choices"] == wanted["choices"] and got["labels"] == wanted["labels"]
    assert [each["title"] for each in got["numbers"]] == [each["title"] for each in wanted["numbers"]]
    units = [each["unit"] for each in wanted["numbers"]]
    if suffix == ".csv":  # nothing in it says what the number of a task is measured in
        units = ["" if unit == "years" else unit for unit in units]
    assert [each["unit"] for each in got["numbers"]] == units
    (theirs,), (ours,) = wanted["faces"], got["faces"]
    np.testing.assert_allclose(ours["numbers"], theirs["numbers"], atol=0.02)
    for kind in ("choices", "labels"):
        np.testing.assert_allclose(np.concatenate(ours[kind]), np.concatenate(theirs[kind]), atol=0.11)
    assert ours["box"] == theirs["box"] and ours["thumbnail"]
    for shape, known in zip(ours["shapes"], theirs["shapes"], strict=True):
        lines = shape.pop("lines", None)  # of Parquet, whose metadata has them
        assert lines is None or bool(lines) == (suffix == ".parquet")
        known.pop("lines", None)
        assert shape.keys() == known.keys()
        for name in {"mask", "points"} & shape.keys():
            mine, others = (re.findall(r"-?[\d.]+", str(each[name])) for each in (shape, known))
            # tables have fewer digits, so a coordinate can be rounded to the next step
            np.testing.assert_allclose(np.array(mine, float), np.array(others, float), atol=1.01)


def test_parquet_without_metadata__is_read_as_csv_is(results: Path, tmp_path: Path) -> None:
    whole = parquet.read_table(results / "results-none.parquet").replace_schema_metadata(None)
    whole = whole.append_column("meta.key", pa.array(["a"] * len(whole)))  # a column that somebody added
    parquet.write_table(whole, tmp_path / "bare.parquet")
    bare, csv = (
        [json.loads(json.dumps(each)) for each in read_table(path)]
        for path in (tmp_path / "bare.parquet", results / "results-none.csv")
    )
    assert [each.get("source") for each in bare] == [each.get("source") for each in csv]
    assert {**bare[0]["faces"][0]["tasks"]}.keys() == csv[0]["faces"][0]["tasks"].keys()
    assert "parsing" not in csv[0]["faces"][0]["tasks"]  # shares, and nothing to show


def test_faces_of_one_image__stay_together(tmp_path: Path) -> None:
    """Also where the same image comes twice, and where images have no name."""
    head = "source,face,error,width,height,box.x0,box.y0,box.x1,box.y1,score,visibility"
    head += ",pose.yaw,pose.pitch,pose.roll"
    rows = [f"{source},{face},,90,80,1,2,30,40,0.9,,10,0,-170" for source, face in
            (("a", 0), ("a", 1), ("a", 0), ("", 0), ("", 0), ("b", 0))]  # fmt: skip
    path = tmp_path / "faces.csv"
    path.write_text("\n".join([head, *rows, "c,,,90,80,,,,,,,,,"]))
    documents = list(read_table(path))
    counts = [(each["source"], len(each["faces"])) for each in documents]
    assert counts == [("a", 2), ("a", 1), (None, 1), (None, 1), ("b", 1), ("c", 0)]
    run(path, "-o", tmp_path / "page.html")
    titles = [each["title"] for each in data_of(tmp_path / "page.html")["numbers"]]
    assert titles == ["pose: yaw", "pose: pitch", "pose: roll", "detector score"]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.csv", b"source,face\nx,1\n", "it lacks the columns error, width"),
        ("a.csv", b"", "it lacks the columns source"),
        ("a.csv", b"\xff\xfe\x00", "is no CSV that can be read"),
        ("a.parquet", b"PAR1 no", "is no Parquet file that can be read"),
        ("gone.parquet", None, "no such file"),
    ],
)
def test_no_table_of_ours__is_told(tmp_path: Path, name: str, content: bytes | None, reason: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    result = run(tmp_path / name, "-o", tmp_path / "page.html")
    assert result.exit_code == 1 and reason in result.stderr and "Traceback" not in result.stderr
    assert isinstance(result.exception, SystemExit) and not (tmp_path / "page.html").exists()


def test_damaged_rows_and_metadata__stop_nothing_else(results: Path, tmp_path: Path) -> None:
    lines = (results / "results-png.csv").read_text().splitlines()
    names = lines[0].split(",")
    for column, cell, reason in (
        ("box.x0", "left", "could not convert"),
        ("landmarks.points", "[[1", "Expecting"),
        ("width", "0", "0 x 512"),
        ("pose.pitch", "", "lacks 'pitch'"),
        ("parsing.png", "aGVsbG8=", "mask cannot be read"),
    ):
        row = next(table.reader([lines[1]]))
        row[names.index(column)] = cell
        with (tmp_path / "bad.csv").open("w", newline="") as file:
            table.writer(file).writerows([names, row, next(table.reader([lines[1]]))])
        result = run(tmp_path / "bad.csv", "-o", tmp_path / "page.html")
        assert result.exit_code == 1 and reason in result.stderr, (column, result.stderr)
        assert "1 of 1 faces" in result.stdout
    whole = parquet.read_table(results / "results-png.parquet")
    for about in (
        b"[]",
        b"{",
        b'{"tasks": []}',
        b'{"tasks": {"pose": 3}}',
        b'{"tasks": {"pose": {"kind": "no"}}}',
    ):
        parquet.write_table(whole.replace_schema_metadata({b"faceperc": about}), tmp_path / "odd.parquet")
        result = run(tmp_path / "odd.parquet", "-o", tmp_path / "page.html")
        assert isinstance(result.exception, SystemExit), about
