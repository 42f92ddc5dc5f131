"""Tables and folders of one's own photographs: what a row means, who is held out, what is wrong with it."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tiny_photos import BOX, photo, write_photos, write_table

from faceperc.backbone import BackboneConfig
from faceperc.config import FaceModelConfig, HeadConfig, build_heads
from faceperc.data.class_folders import ClassFolders
from faceperc.data.cli import main as data
from faceperc.data.own import understood
from faceperc.data.prepared import pack_label, unpack_label
from faceperc.data.source import Sample
from faceperc.data.table import CsvSource
from faceperc.errors import ConfigError, DataError
from faceperc.finetune import classes, number, questions
from faceperc.head import Head
from faceperc.zoo import sample_image


@pytest.fixture
def asked() -> dict[str, Head]:
    """The heads of a model that learns from a table."""
    specs = {
        "glasses": classes(["none", "Reading", "sun"]),
        "wears": questions(["hat", "mask"]),
        "tired": number(0, 10, "points"),
        "pose": HeadConfig("faceperc.heads.pose.Pose"),
    }
    return build_heads(FaceModelConfig("test", BackboneConfig(), specs))


def table(folder: Path, *rows: dict[str, Any]) -> CsvSource:
    """A table of one drawn photograph after another, each with its box."""
    full = []
    for index, row in enumerate(rows):
        photo(index, sun=False).save(folder / f"{index}.png")
        full.append({"image": f"{index}.png"} | BOX | row)
    return CsvSource(str(write_table(folder / "own.csv", full)), val_percent=0)


def labels(samples: list[Sample]) -> list[dict[str, Any]]:
    return [sample.labels for sample in samples]


def test_every_cell_is_read_by_the_kind_of_its_task(tmp_path: Path, asked: dict[str, Head]) -> None:
    source = table(
        tmp_path,
        {"glasses": "reading", "wears.hat": "yes", "wears.mask": "0", "tired": "2.5"},
        {"glasses": "2", "wears.mask": "True", "weight": "0.5"},
        {"glasses": "", "tired": "10"},
    )
    first, second, third = understood(source.read(None, "train"), asked)
    assert first.labels["glasses"] == 1 and first.labels["tired"] == 2.5
    np.testing.assert_array_equal(first.labels["wears"], [1, 0])
    np.testing.assert_array_equal(second.labels["wears"], [np.nan, 1])
    assert second.labels["glasses"] == 2 and "tired" not in second.labels
    assert second.trust == {"glasses": 0.5, "wears": 0.5} and first.trust == {}
    assert third.labels == {"tired": 10.0}
    assert "own.csv line 4" in third.name


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"glasses": "sunn"}, r"own\.csv line 2 .*unknown class 'sunn': did you mean 'sun'\? Known: none"),
        ({"glasses": "3"}, "unknown class '3'"),
        ({"glasses.sun": "1"}, "one with the class's name is wanted"),
        ({"wears.hatt": "1"}, "unknown label 'hatt': did you mean 'hat'"),
        ({"wears.hat": "perhaps"}, "'perhaps' is none of 1, 0, yes"),
        ({"wears": "1"}, r"a column for each label is wanted, such as TASK\.hat"),
        ({"tired": "11"}, "'11' is no number from 0 to 10 points"),
        ({"tired": "very"}, "'very' is no number"),
        ({"pose": "1 2 3"}, "cannot give labels of the kind rotation"),
        ({"glases": "sun"}, r"unknown task 'glases': did you mean 'glasses'.*no column is a task"),
    ],
)
def test_a_label_that_makes_no_sense_is_named(
    tmp_path: Path, asked: dict[str, Head], row: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        understood(table(tmp_path, row).read(None, "train"), asked)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("picture,glasses\na.png,sun\n", "no column 'image'"),
        ("image,x0,y0\na.png,1,2\n", "all of the columns x0, y0, x1, y1"),
        ("image,glasses,glasses\na.png,sun,sun\n", "two columns are called 'glasses'"),
        ("image,glasses\na.png,sun,sun\n", "line 2: 3 cells, but 2 columns"),
        ("image,split\na.png,training\n", "line 2: unknown split 'training': did you mean 'train'"),
        ("image,weight\na.png,2\n", r"line 2: weight: lies in \(0, 1\]; got 2"),
        ("image,x0,y0,x1,y1\na.png,1,2,many,4\n", "line 2: x1: 'many' is no number"),
        ("image,x0,y0,x1,y1\na.png,1,2,,4\n", "line 2: a part of the face box is missing"),
    ],
)
def test_a_table_that_makes_no_sense_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "own.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        CsvSource(str(tmp_path / "own.csv")).read(None, "train")


def test_semicolons_marks_and_another_folder(tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", 2)
    box = "20;15;75;85"
    text = f"\ufeffimage;x0;y0;x1;y1;glasses\n00.png;{box};none\n\n01.png;{box};sun\n"
    (tmp_path / "own.csv").write_text(text, encoding="utf-8")
    source = CsvSource(str(tmp_path / "own.csv"), images="photos", val_percent=0)
    assert labels(source.read(None, "train")) == [{"glasses": "none"}, {"glasses": "sun"}]
    with pytest.raises(ConfigError, match="no such folder of images"):
        CsvSource(str(tmp_path / "own.csv"), images="nowhere").read(None, "train")
    with pytest.raises(DataError, match=r"nothing\.csv: missing"):
        CsvSource(str(tmp_path / "nothing.csv")).read(None, "train")


def test_what_spreadsheets_and_pandas_write(tmp_path: Path) -> None:
    for folder in ("anna", "berta"):
        (tmp_path / folder).mkdir()
        photo(0, sun=False).save(tmp_path / folder / "Gesicht ä.png")
    text = ",image,x0,y0,x1,y1,note,glasses,\n"  # a nameless index, and a nameless end
    text += '0,anna/Gesicht ä.png,20,15,75,85,"dark, and\nblurred ""a bit""",sun,\n'
    text += "1,berta/Gesicht ä.png,20,15,75,85,,none,\n\n"
    (tmp_path / "own.csv").write_text(text, encoding="utf-8")
    source = CsvSource(str(tmp_path / "own.csv"))  # two people: namesakes in two folders are not one
    assert labels(source.read(None, "train") + source.read(None, "val")) in (
        [first, second]
        for first, second in itertools.permutations(
            [{"glasses": "sun", "note": 'dark, and\nblurred "a bit"'}, {"glasses": "none"}]
        )
    )
    (tmp_path / "own.csv").write_bytes("image,glasses\nä.png,sun\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"own\.csv: is not written in UTF-8"):
        source.read(None, "train")


def test_nobody_is_in_two_splits(tmp_path: Path) -> None:
    rows = write_photos(tmp_path, 20)
    for index, row in enumerate(rows):
        row["person"] = f"p{index // 4}"
    rows[0]["split"] = "train"  # and with it this person's three other photographs
    source = CsvSource(str(write_table(tmp_path / "own.csv", rows)), val_percent=40)
    train, val = ({each.identity for each in source.read(None, split)} for split in ("train", "val"))
    assert not train & val and train | val == {f"p{index}" for index in range(5)}
    assert "p0" in train and len(val) == 2
    again = CsvSource(str(write_table(tmp_path / "own.csv", rows[::-1])), val_percent=40)
    assert {each.identity for each in again.read(None, "val")} == val  # whatever the order
    rows[1]["split"] = "val"  # of p0
    torn = CsvSource(str(write_table(tmp_path / "torn.csv", rows)))
    with pytest.raises(
        DataError, match=r"torn\.csv line 3: p0 is in the split val here, in train by another"
    ):
        torn.read(None, "train")
    few = CsvSource(str(write_table(tmp_path / "few.csv", rows[4:12])), val_percent=1)
    assert len({each.identity for each in few.read(None, "val")}) == 1


def test_faces_are_found_and_photographs_without_one_are_named(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    photograph = Image.open(sample_image()).convert("RGB")
    for name in ("none", "sun"):
        (tmp_path / name).mkdir()
        photograph.save(tmp_path / name / "face.jpg")
    turned = photograph.transpose(Image.Transpose.ROTATE_90)  # as a camera held upright stores it
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(tmp_path / "sun" / "turned.jpg", exif=exif, quality=95)
    Image.new("RGB", (200, 200)).save(tmp_path / "sun" / "black.png")
    (tmp_path / "sun" / "broken.jpg").write_bytes(b"no image")
    source = ClassFolders(str(tmp_path), "glasses", val_percent=0)
    assert source.classes == ["none", "sun"]
    samples = source.read(None, "train")
    assert labels(samples) == [{"glasses": "none"}, {"glasses": "sun"}, {"glasses": "sun"}]
    upright, again = samples[1], samples[2]
    np.testing.assert_allclose(upright.box, again.box, atol=6)
    told = next(str(each.message) for each in recwarn if "left out" in str(each.message))
    assert "2 of 5 photographs" in told and "black.png: no face is found" in told and "broken.jpg" in told


def test_folders_hold_out_a_part_of_every_class_or_have_splits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    box = np.array([20.0, 15.0, 75.0, 85.0])
    monkeypatch.setattr(ClassFolders, "box_of", lambda *_: box)
    for name in ("a", "b"):
        write_photos(tmp_path / "plain" / name, 5)
    source = ClassFolders(str(tmp_path / "plain"), "task")
    assert [each["task"] for each in labels(source.read(None, "train"))] == ["a"] * 4 + ["b"] * 4
    assert [each["task"] for each in labels(source.read(None, "val"))] == ["a", "b"]
    for split, count in (("train", 3), ("val", 2)):
        write_photos(tmp_path / "split" / split / "a", count)
    parted = ClassFolders(str(tmp_path / "split"), "task")
    assert parted.classes == ["a"] and len(parted.read(None, "train")) == 3
    assert len(parted.read(None, "val")) == 2
    write_photos(tmp_path / "tested" / "test" / "a", 2)
    tested = ClassFolders(str(tmp_path / "tested"), "task", splits=("test",))
    assert len(tested.read(None, "test")) == 2


def test_texts_survive_being_prepared(tmp_path: Path) -> None:
    own = table(tmp_path, {"glasses": "sun", "wears.hat": "yes", "wears.mask": "no"})
    [sample] = own.read(None, "train")
    assert sample.labels == {"glasses": "sun", "wears": {"hat": "yes", "mask": "no"}}
    for label in sample.labels.values():
        assert unpack_label(pack_label(label)) == label


def test_check_counts_classes_and_draws_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_table(tmp_path / "own.csv", write_photos(tmp_path, 10))
    sheet = tmp_path / "sheet.png"
    assert data(["check", str(path), "--as", "csv", "--sheet", str(sheet), "--faces", "4"]) == 0
    printed = capsys.readouterr().out
    assert "the user's own photographs" in printed and "licence: not stated" in printed
    assert "glasses 8" in printed and "none: " in printed
    assert Image.open(sheet).size == (6 * 224, 224)
