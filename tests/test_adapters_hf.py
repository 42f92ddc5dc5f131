"""Image data sets of the Hugging Face kind: columns that a mapping in YAML turns into labels."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tiny_folders_classes as tiny
import yaml
from tiny_pack import SIZE, encoded

from faceperc.crop import box_from_landmarks
from faceperc.data.source import load_sources
from faceperc.errors import ConfigError, DataError
from faceperc.heads.expression import EXPRESSIONS
from faceperc.heads.parsing import CLASSES, class_set
from faceperc.overlap import iou_matrix

COLUMNS = {
    "image": "picture",
    "box": {"column": "bbox", "format": "xywh"},
    "expression": {"column": "label", "map": {0: "anger", 1: "happiness", 2: None}, "trust": 0.5},
    "age": "years",
    "gender": "sex",
    "landmarks": "points",
    "identity": "person",
    "groups": ["country"],
}


def hf_rows() -> list[dict[str, Any]]:
    """Of the second, label and age are unknown; the third has no box."""
    points = tiny.FRONTAL.tolist()
    common = {"picture": encoded(tiny.face()), "points": points}
    common |= {"sex": "female", "person": "p", "country": "NZ"}
    return [
        common | {"bbox": [10, 20, 60, 70], "label": 1, "years": 31, "unused": 1},
        common | {"bbox": [10, 20, 60, 70], "label": 2, "years": None, "unused": 2},
        common | {"bbox": None, "label": 0, "years": 5, "unused": 3},
    ]


def write_hf(root: Path, rows: list[dict[str, Any]] | None = None) -> Path:
    (root / "data").mkdir(parents=True)
    for split in ("train", "validation"):
        table = pa.Table.from_pylist(hf_rows() if rows is None else rows)
        pq.write_table(table, root / f"data/{split}-00000-of-00001.parquet")
    return root


def hf_source(root: Path, tmp_path: Path, **options: Any) -> Any:
    """As a user gets it: from YAML."""
    arguments = {"path": str(root), "columns": COLUMNS} | options
    path = tmp_path / "sources.yaml"
    entry = {"class_path": "faceperc.data.hf.HuggingFaceDataset", "init_args": arguments}
    path.write_text(yaml.safe_dump([entry]))
    return load_sources(path)[0]


def test_columns_become_labels(tmp_path: Path) -> None:
    source = hf_source(write_hf(tmp_path / "faces"), tmp_path, licence="CC0")
    assert (source.name, source.licence) == ("faces", "CC0")
    for split in ("train", "val"):
        first, second = source.read(None, split)  # the third has no box
    assert len(source.read(None, "train", limit=1)) == 1
    assert set(first.labels) == {"expression", "age", "gender", "landmarks"}
    assert first.labels["expression"] == EXPRESSIONS.index("happiness") and first.trust == {"expression": 0.5}
    assert first.labels["age"] == 31.0 and first.labels["gender"] == 0
    assert set(second.labels) == {"gender", "landmarks"}  # label and age are unknown
    assert first.groups == {"country": "NZ"} and first.identity == "p"
    scale = first.pixels.shape[0] / SIZE
    np.testing.assert_allclose(first.labels["landmarks"], (tiny.FRONTAL + 0.5) * scale - 0.5, atol=1e-6)
    np.testing.assert_allclose(first.box, (np.array([10, 20, 70, 90]) + 0.5) * scale - 0.5, atol=1e-6)


def test_a_limit_takes_rows_from_all_over_the_files(tmp_path: Path) -> None:
    row = hf_rows()[0]
    root = write_hf(tmp_path / "faces", [row | {"person": f"a{index}"} for index in range(3)])
    table = pa.Table.from_pylist([row | {"person": f"b{index}"} for index in range(4)])
    pq.write_table(table, root / "data/train-00001-of-00002.parquet")
    source = hf_source(root, tmp_path)
    assert [sample.identity for sample in source.read(None, "train", 3)] == ["a0", "b0", "b3"]
    assert len(source.read(None, "train", 8)) == 7
    assert Path(source.read(None, "train", 3)[-1].name).name == "train-00001-of-00002.parquet row 3"


def test_a_file_belongs_to_the_split_that_its_path_names_last(tmp_path: Path) -> None:
    root = write_hf(tmp_path / "faces")
    (root / "data").rename(root / "train_aug")
    (root / "train_aug/train-00000-of-00001.parquet").rename(root / "train_aug/part-0.parquet")
    source = hf_source(root, tmp_path)
    for split, file in (("train", "part-0"), ("val", "validation-00000-of-00001")):
        names = {sample.name.rpartition(" row ")[0] for sample in source.read(None, split)}
        assert names == {str(root / f"train_aug/{file}.parquet")}


@pytest.mark.parametrize("box", [[10, 20, 0, 70], [10, 20, float("nan"), 70], [500, 20, 60, 70]])
def test_a_face_box_that_is_none_names_the_row(box: list[float], tmp_path: Path) -> None:
    rows = hf_rows()
    rows[1]["bbox"] = [float(value) for value in box]
    root = write_hf(tmp_path / "faces", rows)
    with pytest.raises(DataError, match=r"train-00000-of-00001\.parquet row 1: its face box"):
        hf_source(root, tmp_path).read(None, "train")


def test_points_may_have_visibility(tmp_path: Path) -> None:
    """29 points are given as they are, 68 also as x, y of all in one list."""
    rows = [row | {"points": np.ravel(row["points"]).tolist()} for row in hf_rows()]
    points = np.column_stack([np.arange(58.0).reshape(29, 2), np.arange(29) % 2])
    root = write_hf(tmp_path / "faces", [row | {"points29": points.tolist()} for row in rows])
    columns = {"image": "picture", "landmarks": "points", "landmarks29": "points29"}
    sample = hf_source(root, tmp_path, columns=columns).read(None, "train")[0]
    assert sample.labels["landmarks"].shape == (68, 2)
    np.testing.assert_array_equal(sample.labels["landmarks29"][:, 2], points[:, 2])


def test_what_is_nan_is_unknown(tmp_path: Path) -> None:
    """Tables of numbers have NaN where a value is missing."""
    rows = hf_rows()
    rows[0]["years"] = float("nan")
    rows[0]["points"] = [[float("nan")] * 2, *rows[0]["points"][1:]]
    rows[1]["points"] = [[float("nan")] * 2] * 68
    columns = {"image": "picture", "landmarks": "points", "age": "years"}
    found = hf_source(write_hf(tmp_path / "faces", rows), tmp_path, columns=columns).read(None, "train")
    first, third = found  # without points the second has no face box
    assert set(first.labels) == {"landmarks"} and set(third.labels) == {"landmarks", "age"}
    assert np.isfinite(first.box).all() and np.isnan(first.labels["landmarks"][0]).all()


def test_a_split_without_boxes_is_refused(tmp_path: Path) -> None:
    root = write_hf(tmp_path / "faces", [row | {"bbox": None} for row in hf_rows()[:2]] + hf_rows()[2:])
    with pytest.raises(DataError, match=r"none of the 3 rows read of the split 'train' has a face box"):
        hf_source(root, tmp_path, columns=COLUMNS | {"box": {"column": "bbox"}}).read(None, "train")


def test_boxes_without_a_column(tmp_path: Path) -> None:
    root = write_hf(tmp_path / "faces")
    columns = {"image": "picture", "landmarks": "points"}
    sample = hf_source(root, tmp_path, columns=columns).read(None, "train")[0]
    drawn = box_from_landmarks(tiny.FRONTAL) / SIZE
    assert iou_matrix(sample.box[None] / sample.pixels.shape[0], drawn[None])[0, 0] > 0.99
    columns = {"image": "picture", "box": {"fractions": [0.25, 0.25, 0.75, 0.75]}}
    sample = hf_source(root, tmp_path, columns=columns).read(None, "train")[0]
    np.testing.assert_allclose((sample.box[2:] - sample.box[:2]) / sample.pixels.shape[0], 0.5, atol=0.01)


def test_masks_become_sets(tmp_path: Path) -> None:
    ids = np.where(tiny.class_map() == 10, 7, 0).astype(np.uint8)
    row = {"picture": encoded(tiny.face()), "mask": encoded(tiny.Image.fromarray(ids))}
    root = write_hf(tmp_path / "faces", [row])
    rest = [name for name in CLASSES if name != "hair"]
    columns: dict[str, Any] = {"image": "picture", "box": {"fractions": [0.1, 0.1, 0.9, 0.9]}}
    columns["parsing"] = {"column": "mask", "map": {0: rest, 7: "hair"}}
    (sample,) = hf_source(root, tmp_path, columns=columns).read(None, "train")
    assert set(np.unique(sample.labels["parsing"].sets)) == {class_set("hair"), class_set(*rest)}
    assert set(sample.labels["parsing"].groups) == {class_set("hair"), class_set(*rest)}
    every: dict[int, str | list[str]] = {**dict(enumerate(CLASSES)), 11: ["skin", "left_eye", "right_eye"]}
    columns["parsing"] = {"column": "mask", "map": every}
    (sample,) = hf_source(root, tmp_path, columns=columns).read(None, "train")
    # what may be one of several is in none of the groups that are told apart, of which a head takes 11
    assert set(sample.labels["parsing"].groups) == {class_set(name) for name in CLASSES}


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"age": "age"}, r"columns\.age: .*train-00000-of-00001\.parquet: unknown column 'age'"),
        ({"groups": ["race"]}, r"columns\.groups: .*unknown column 'race'"),
        ({"expression": "label"}, r"columns\.expression: .*row 0: 1 in column 'label' is none of neutral"),
        ({"expression": {"column": "label", "map": {0: "anger"}}}, r"\.map: .*no entry for 1 .*label"),
        ({"expression": {"column": "label", "map": {1: "joy"}}}, r"expression\.map: unknown class 'joy'"),
        ({"expression": {"column": "points", "map": {1: "anger"}}}, r"\.map: .*no entry for .*points"),
        ({"expression": {"column": "label", "mapp": {}}}, r"columns\.expression: .*mapp"),
        ({"box": {"column": "bbox", "format": "yx"}}, r"columns\.box: unknown format 'yx'"),
        ({"box": "years"}, r"columns\.box: .*1 numbers in column 'years', not 4"),
        ({"box": {"format": "xywh"}}, r"columns\.box: no column"),
        ({"landmarks": "bbox"}, r"columns\.landmarks: .*row 0: column 'bbox' holds no points .*\(3,\)"),
        ({"age": {"column": "years", "trust": 0}}, r"columns\.age\.trust: lies in \(0, 1\]; got 0"),
        ({"age": {"column": "years", "trust": 1.5}}, r"columns\.age\.trust: .*got 1\.5"),
        ({"age": {"column": "years", "trust": "much"}}, r"columns\.age\.trust: .*got 'much'"),
        ({"age": "sex"}, r"columns\.age: .*column 'sex' holds no numbers"),
        ({"parsing": {"column": "picture", "map": {"skin": "skin"}}}, r"parsing\.map: 'skin' is no pixel"),
    ],
)  # fmt: skip
def test_a_wrong_mapping_names_the_column(columns: dict[str, Any], message: str, tmp_path: Path) -> None:
    rows = hf_rows()
    rows[0] |= {"bbox": [10, 20, 60]} if "landmarks" in columns else {}
    root = write_hf(tmp_path / "faces", rows)
    with pytest.raises(ConfigError, match=message):
        hf_source(root, tmp_path, columns=COLUMNS | columns).read(None, "train")


def test_a_mapping_needs_images_and_boxes(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"columns\.image: missing"):
        hf_source(tmp_path, tmp_path, columns={"box": "bbox"})
    with pytest.raises(ConfigError, match=r"columns\.box: missing"):
        hf_source(tmp_path, tmp_path, columns={"image": "picture"})


def test_data_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere: no such folder .*download: true"):
        hf_source(tmp_path / "nowhere", tmp_path).read(None, "train")
    root = write_hf(tmp_path / "faces")
    with pytest.raises(DataError, match="no parquet file of the split 'test'"):
        hf_source(root, tmp_path).read(None, "test")
    (root / "data/train-00000-of-00001.parquet").write_bytes(b"no parquet")
    with pytest.raises(DataError, match=r"train-00000-of-00001\.parquet: cannot be read"):
        hf_source(root, tmp_path).read(None, "train")
    rows = hf_rows()
    rows[1]["picture"] = {"bytes": b"no image", "path": None}
    root = write_hf(tmp_path / "others", rows)
    with pytest.raises(DataError, match=r"train-00000-of-00001\.parquet row 1: the image cannot be decoded"):
        hf_source(root, tmp_path).read(None, "train")


def test_other_forms_need_the_package_datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "images"
    path = tiny.save(tiny.face(), folder / "train/0.png")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ConfigError, match="pip install datasets"):
        hf_source(folder, tmp_path).read(None, "train")

    class Table(list[dict[str, Any]]):
        column_names = ("image", "label")

        def cast_column(self, name: str, feature: Any) -> Table:
            assert (name, feature) == ("image", "encoded")
            return self

    asked = []
    package: Any = ModuleType("datasets")
    package.Image = lambda decode: "decoded" if decode else "encoded"
    package.load_dataset = lambda where: (
        asked.append(where) or {"train": Table([{"image": {"bytes": None, "path": str(path)}, "label": 0}])}
    )
    monkeypatch.setitem(sys.modules, "datasets", package)
    columns = {"image": "image", "box": {"fractions": [0, 0, 1, 1]}, "expression": COLUMNS["expression"]}
    for place, download in ((str(folder), False), ("someone/faces", True)):
        source = hf_source(Path(place), tmp_path, columns=columns, download=download)
        (sample,) = source.read(None, "train")
        assert asked[-1] == place and sample.labels == {"expression": EXPRESSIONS.index("anger")}
    with pytest.raises(DataError, match=r"no split 'val'; it has train"):
        source.read(None, "val")
