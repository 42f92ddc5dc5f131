"""Data sets of landmarks and head pose in their authors' layouts, on miniature copies."""

from __future__ import annotations

import functools
import re
import shutil
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from tiny_folders import SIZE, WRITERS, Drawn
from tiny_pack import tiny_config

from faceperc.config import FaceModelConfig
from faceperc.crop import FaceCrop, box_from_landmarks
from faceperc.data.adapters import ADAPTERS
from faceperc.data.check import check_split
from faceperc.data.cli import main
from faceperc.data.folder import FolderSource
from faceperc.data.mean_face import MEAN_FACE
from faceperc.data.module import FaceData
from faceperc.data.prepared import Prepared, prepare
from faceperc.data.source import Sample, Source, load_sources
from faceperc.data.view import View
from faceperc.errors import ConfigError, DataError
from faceperc.heads.pose import Pose
from faceperc.model import FaceModel
from faceperc.rotations import angles_of, matrix_from_angles

NAMES = tuple(WRITERS)
#: Faces of each split: listed, usable.
COUNTS = {
    "300w": {"train": (4, 4), "test": (3, 3), "private": (2, 2)},
    "300w-lp": {"train": (32, 32)},
    "wflw": {"train": (2, 2), "test": (2, 2)},
    "cofw": {"train": (3, 3), "test": (3, 3)},
    "aflw2000": {"test": (5, 4)},
    "biwi": {"test": (24, 24)},
    "pointing04": {"train": (30, 30)},
}
#: A label file of each, and what is said when it is not there.
LABEL_FILES = {
    "300w": ("afw/134212_2.pts", "missing; it should hold 68 points"),
    "300w-lp": ("LFPW/LFPW_image_train_0001_1.mat", "missing; it should hold Pose_Para"),
    "wflw": ("WFLW_annotations/list_98pt_rect_attr_train_test/list_98pt_rect_attr_train.txt", "missing"),
    "cofw": ("COFW_train_color.mat", "missing; it should hold COFW's photographs and points"),
    "aflw2000": ("image00002.mat", "missing; it should hold Pose_Para, pt3d_68"),
    "biwi": ("07/rgb.cal", "missing; it should hold the colour camera's calibration"),
    "pointing04": ("Person03/person03146+0+30.txt", "missing; it should hold the face's centre and size"),
}
EYES, MOUTH, SKIN = (20, 20, 60), (180, 40, 40), (220, 180, 150)


@pytest.fixture(scope="module")
def miniature(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """name -> (folder, what was drawn); written once."""

    @functools.cache
    def write(name: str) -> tuple[Path, Drawn]:
        if name == "cofw":
            pytest.importorskip("h5py")
        root = tmp_path_factory.mktemp(name)
        return root, WRITERS[name](root)

    return write


def source_of(name: str, root: Path, **options: Any) -> FolderSource:
    return ADAPTERS[name](root=str(root), **options)


def all_splits(name: str) -> tuple[str, ...]:
    return tuple(COUNTS[name])


def rotation_of(label: np.ndarray) -> np.ndarray:
    return label if label.shape == (3, 3) else matrix_from_angles(*label)


def places(sample: Sample) -> dict[str, np.ndarray]:
    """Where the labels say that eyes, mouth and nose are: by its points, or by the pose and the box."""
    labels = sample.labels
    if "landmarks29" in labels:
        points = labels["landmarks29"][:, :2]
        return {
            "eye": points[16],
            "other eye": points[17],
            "mouth": points[[24, 27]].mean(0),
            "nose": points[20],
        }
    points = labels.get("landmarks")
    if points is None:
        turned = (MEAN_FACE @ rotation_of(labels["pose"]).T)[:, :2] * [1, -1]
        box = box_from_landmarks(turned)
        size = sample.box[2:] - sample.box[:2]
        points = (turned - box[:2]) * size / (box[2:] - box[:2]) + sample.box[:2]
    parts = {"eye": slice(36, 42), "other eye": slice(42, 48), "mouth": slice(48, 60), "nose": slice(30, 31)}
    return {name: points[part].mean(0) for name, part in parts.items()}


@pytest.mark.parametrize("name", NAMES)
def test_labels_lie_where_the_face_is_drawn(name: str, miniature: Any) -> None:
    """Half the resolution is left after reading: boxes, points and rotations still fit the pixels."""
    root, _ = miniature(name)
    source = source_of(name, root, splits=all_splits(name), side=SIZE // 2)
    for split in source.splits:
        samples = source.read(None, split)
        assert len(samples) == COUNTS[name][split][1]
        for sample in samples:
            pixels = sample.pixels.astype(int)
            assert max(pixels.shape) <= SIZE // 2
            grey = np.ptp(pixels, axis=2).max() < 30
            for part, (x, y) in places(sample).items():
                colour = np.array(MOUTH if part == "mouth" else SKIN if part == "nose" else EYES)
                found = pixels[round(y), round(x)]
                if grey:  # luma
                    colour, found = colour @ [0.299, 0.587, 0.114], found.mean()
                assert np.abs(found - colour).max() < 40, (sample.name, part)
            assert (sample.box[2:] - sample.box[:2] > SIZE / 6).all()


@pytest.mark.parametrize("name", ["300w", "300w-lp", "wflw"])
def test_points_are_the_drawn_ones_from_zero(name: str, miniature: Any) -> None:
    root, drawn = miniature(name)
    source = source_of(name, root, splits=all_splits(name))
    seen = set()
    for split in source.splits:
        for item in source.items(root, split):
            sample = source.open(item)
            assert sample is not None
            key = item.image.relative_to(root).as_posix()
            gap = np.abs(sample.labels["landmarks"] - drawn[key]).max()
            # WFLW divides the lids otherwise: a quarter of a step of theirs
            assert gap < (0.01 if name != "wflw" else 5.0), key
            seen.add(key)
    assert seen == set(drawn)


def test_wflw_has_98_points_subsets_and_a_derived_68(miniature: Any) -> None:
    root, drawn = miniature("wflw")
    plain, hard = source_of("wflw", root).read(None, "test")
    assert plain.groups == {} and hard.groups == {"subset pose": "yes", "subset occlusion": "yes"}
    assert plain.labels["landmarks98"].shape == (98, 2)
    assert plain.derived == {"landmarks"} and plain.trust == {"landmarks": 0.5}
    # the pupils are the eyes' middles, which 300-W has no points for
    points = drawn["WFLW_images/7--Cheering/7_Cheering_Cheering_7_16.jpg"]
    item = source_of("wflw", root).items(root, "test")[0]
    label = item.label[:196].reshape(98, 2)
    np.testing.assert_allclose(label[96:], [points[36:42].mean(0), points[42:48].mean(0)], atol=1e-4)


def test_300w_names_its_subsets(miniature: Any) -> None:
    root, _ = miniature("300w")
    source = source_of("300w", root, splits=all_splits("300w"))
    assert source_of("300w", root).splits == ("train", "test")  # the private test only where asked for
    groups = {
        split: Counter(sample.groups.get("subset") for sample in source.read(None, split))
        for split in source.splits
    }
    assert groups["train"] == {None: 4}
    assert groups["test"] == {"common": 2, "challenge": 1}
    assert groups["private"] == {"indoor": 1, "outdoor": 1}
    sample = source.read(None, "train")[0]
    assert sample.derived == {"pose", "parsing"}


def test_300w_leaves_mirrored_copies_out(tmp_path: Path) -> None:
    WRITERS["300w"](tmp_path)
    for suffix in (".jpg", ".pts"):
        copy = (tmp_path / "afw/134212_1").with_suffix(suffix)
        copy.with_stem("134212_1_mirror").write_bytes(copy.read_bytes())
    assert len(source_of("300w", tmp_path).items(tmp_path, "train")) == 4


def test_300w_lp_faces_of_one_photograph_are_one_identity(tmp_path: Path) -> None:
    """As in 300-W: else one photograph would lie on both sides of a split."""
    WRITERS["300w-lp"](tmp_path)
    for name in ("AFW/AFW_134212_{}_0.jpg", "HELEN_Flip/HELEN_100032540_{}_0.jpg"):
        (tmp_path / name.format(2)).write_bytes((tmp_path / name.format(1)).read_bytes())
    items = source_of("300w-lp", tmp_path).items(tmp_path, "train")
    assert {item.identity for item in items} == {
        "AFW_134212", "HELEN_100032540", "IBUG_image_003_1", "LFPW_image_train_0001",
    }  # fmt: skip


def test_300w_lp_mirrors_the_points_of_its_flipped_copies(miniature: Any) -> None:
    root, _ = miniature("300w-lp")
    samples = {
        Path(s.name).relative_to(root).as_posix(): s for s in source_of("300w-lp", root).read(None, "train")
    }
    turned, flipped = samples["AFW/AFW_134212_1_1.jpg"], samples["AFW_Flip/AFW_134212_1_1.jpg"]
    np.testing.assert_allclose(turned.labels["pose"], [35, 0, 0], atol=1e-6)
    np.testing.assert_allclose(flipped.labels["pose"], [-35, 0, 0], atol=1e-6)
    # the first eye stays at the image's left
    assert flipped.labels["landmarks"][36, 0] < flipped.labels["landmarks"][45, 0]
    assert turned.trust == {"landmarks": 0.5} and samples["AFW/AFW_134212_1_0.jpg"].trust == {}


def test_aflw2000_drops_angles_beyond_99_degrees(miniature: Any) -> None:
    root, _ = miniature("aflw2000")
    names = [Path(sample.name).name for sample in source_of("aflw2000", root).read(None, "test")]
    assert names == [f"image{index:05}.jpg" for index in range(4)]


def test_biwi_angles_are_those_of_the_field(miniature: Any) -> None:
    """By the formula of FSA-Net's preparation of BIWI, which most papers share."""
    root, _ = miniature("biwi")
    source = source_of("biwi", root)
    for item in source.items(root, "test")[:4]:
        lines = item.image.with_name(item.image.name.replace("rgb.png", "pose.txt")).read_text().split()
        r = np.array(lines[:9], dtype=float).reshape(3, 3).T
        yaw = -np.arctan2(-r[2, 0], np.hypot(r[2, 1], r[2, 2]))
        pitch, roll = np.arctan2(r[2, 1], r[2, 2]), -np.arctan2(r[1, 0], r[0, 0])
        sample = source.open(item)
        assert sample is not None
        np.testing.assert_allclose(
            angles_of(sample.labels["pose"]), np.degrees([yaw, pitch, roll]), atol=1e-3
        )


def test_biwi_knows_who_came_twice(miniature: Any) -> None:
    root, _ = miniature("biwi")
    persons = {item.image.parent.name: item.identity for item in source_of("biwi", root).items(root, "test")}
    assert len(persons) == 24 and len(set(persons.values())) == 20
    for first, second in (("02", "21"), ("03", "15"), ("05", "18"), ("07", "22")):
        assert persons[first] == persons[second]


@pytest.mark.parametrize(
    ("tilt", "pan", "gaze"),
    [(0, 90, (-1, 0, 0)), (0, -90, (1, 0, 0)), (90, 0, (0, 1, 0)), (-30, 60, (-0.75, -0.5, 3**0.5 / 4))],
)
def test_pointing04_looks_at_the_mark(tmp_path: Path, tilt: int, pan: int, gaze: tuple[float, ...]) -> None:
    """The face's axis points at the mark; the eyes stay level, since nobody was told to roll."""
    WRITERS["pointing04"](tmp_path)
    image = tmp_path / "Person01/person01146+0+30.jpg"
    for path in (image, image.with_suffix(".txt")):
        path.rename(path.with_stem(f"person01146{tilt:+}{pan:+}"))
    source = source_of("pointing04", tmp_path)
    item = next(item for item in source.items(tmp_path, "train") if item.label == (tilt, pan))
    sample = source.open(item)
    assert sample is not None
    rotation = sample.labels["pose"]
    np.testing.assert_allclose(rotation @ [0, 0, 1], gaze, atol=1e-9)
    assert abs((rotation @ [1, 0, 0])[1]) < 1e-9


@pytest.mark.parametrize("flip", [False, True])
def test_pose_takes_a_matrix_as_well_as_angles(flip: bool) -> None:
    view, angles = View(FaceCrop((40.0, 40.0), 60.0, 64, 20.0), flip), np.array([30.0, -20.0, 10.0])
    first, second = (Pose().encode(label, view) for label in (angles, matrix_from_angles(*angles)))
    assert first.keys() == second.keys()
    for key in first:
        np.testing.assert_allclose(first[key], second[key], atol=1e-5, err_msg=key)


def test_cofw_says_which_points_are_visible(miniature: Any) -> None:
    root, _ = miniature("cofw")
    first, second, _ = source_of("cofw", root).read(None, "train")
    assert first.labels["landmarks29"].shape == (29, 3)
    np.testing.assert_array_equal(first.labels["landmarks29"][:, 2], np.arange(29) % 2)
    np.testing.assert_array_equal(second.labels["landmarks29"][:, 2], 1 - np.arange(29) % 2)


def test_cofw_without_h5py_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    (tmp_path / "COFW_train_color.mat").write_bytes(b"")
    with pytest.raises(DataError, match=r"COFW_train_color\.mat.*pip install h5py"):
        source_of("cofw", tmp_path).read(None, "train")


@pytest.mark.parametrize("name", NAMES)
def test_check_counts_and_draws(
    name: str, miniature: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, _ = miniature(name)
    source = source_of(name, root, splits=all_splits(name))
    for split, (listed, usable) in COUNTS[name].items():
        report = check_split(source, root, split)
        assert (report.items, report.usable, report.problems) == (listed, usable, [])
    sheet = tmp_path / "sheet.png"
    assert (
        main(["check", str(root), "--as", name, "--sheet", str(sheet), "--faces", "3", "--limit", "2"]) == 0
    )
    assert source.licence.split()[0] in capsys.readouterr().out
    with Image.open(sheet) as picture:
        picture.load()
        assert np.asarray(picture).any()


@pytest.mark.parametrize("name", NAMES)
def test_damage_is_named(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if name == "cofw":
        pytest.importorskip("h5py")
    split = next(iter(COUNTS[name]))
    with pytest.raises(DataError, match=r"nowhere: no such folder.*" + re.escape(ADAPTERS[name].layout)):
        source_of(name, tmp_path / "nowhere").read(None, split)
    with pytest.raises(ConfigError, match="has no split holiday"):
        source_of(name, tmp_path, splits=("holiday",))
    drawn = WRITERS[name](tmp_path)
    if name != "cofw":  # a photograph that is cut off
        broken = tmp_path / next(iter(drawn))
        broken.write_bytes(broken.read_bytes()[:400])
        assert main(["check", str(tmp_path), "--as", name, "--split", split]) == 1
        out = capsys.readouterr().out.replace("\n", "")
        assert f"{broken}: the image cannot be decoded" in out
    file, message = LABEL_FILES[name]
    (tmp_path / file).unlink()
    told = re.escape(f"{file}: {message}")
    source = source_of(name, tmp_path)
    if name in ("wflw", "cofw", "biwi"):  # the file of many faces
        with pytest.raises(DataError, match=told):
            source.read(None, split)
    else:
        with pytest.warns(UserWarning, match=told):
            assert len(source.read(None, split)) == COUNTS[name][split][1] - 2


@pytest.mark.parametrize(
    ("name", "file", "text", "message"),
    [
        ("300w", "afw/134212_1.pts", "version: 1\n1 2\n", "no points between braces"),
        ("300w", "afw/134212_1.pts", "n_points: 1\n{\n1 2\n}\n", "2 numbers instead of 136"),
        ("aflw2000", "image00000.mat", "no .mat file", "cannot be read as a .mat file"),
        ("biwi", "01/frame_00003_pose.txt", "1 0 0\n", "3 numbers instead of 12"),
        ("pointing04", "Person01/person01146+0+30.txt", "x.jpg\nFace\n1\n2\n3\nfour\n", "four"),
    ],
)
def test_damaged_label_files_are_named(name: str, file: str, text: str, message: str, tmp_path: Path) -> None:
    WRITERS[name](tmp_path)
    (tmp_path / file).write_text(text)
    split = next(iter(COUNTS[name]))
    report = check_split(source_of(name, tmp_path), tmp_path, split)
    (problem,) = report.problems
    assert str(tmp_path / file) in problem and message in problem


@pytest.mark.parametrize("name", NAMES)
def test_prepared_faces_are_the_same(name: str, miniature: Any, tmp_path: Path) -> None:
    root, _ = miniature(name)
    split = next(iter(COUNTS[name]))
    source = source_of(name, root, splits=(split,))
    ((path, count),) = prepare([source], None, tmp_path)
    ready = Prepared(str(path.parent), splits=(split,))
    before, after = source.read(None, split), ready.read(None, split)
    assert count == len(before) == len(after)
    assert (ready.name, ready.origin, ready.licence) == (source.name, source.origin, source.licence)
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one.pixels, other.pixels)
        np.testing.assert_array_equal(one.box, other.box)
        assert one.labels.keys() == other.labels.keys()
        for task, label in one.labels.items():
            if task == "parsing":
                np.testing.assert_array_equal(label.sets, other.labels[task].sets)
            else:
                np.testing.assert_array_equal(label, other.labels[task])
        for field in ("trust", "derived", "name", "groups", "identity"):
            assert getattr(one, field) == getattr(other, field)


def test_a_limit_takes_faces_from_all_over_the_split(miniature: Any, tmp_path: Path) -> None:
    root, _ = miniature("biwi")
    source = source_of("biwi", root)
    ((path, _),) = prepare([source], None, tmp_path)
    for each in (source, Prepared(str(path.parent), splits=("test",))):
        names = [Path(sample.name).parent.name for sample in each.read(None, "test", limit=3)]
        assert names == ["01", "12", "24"]
        assert len(each.read(None, "test", limit=99)) == 24


@pytest.mark.parametrize("name", ["300w", "300w-lp", "pointing04"])
def test_held_out_faces_share_nobody_with_the_others(name: str, miniature: Any) -> None:
    root, _ = miniature(name)
    everything = source_of(name, root).items(root, "train")
    source = source_of(name, root, val_percent=40.0, splits=("train", "val"))
    train, val = (source.split_items(root, split) for split in ("train", "val"))
    assert train and val and len(train) + len(val) == len(everything)
    assert not {item.identity for item in train} & {item.identity for item in val}
    # all copies of a photograph, and all photographs of a person, are one identity
    persons = {"300w": 3, "300w-lp": 4, "pointing04": 15}
    assert len({item.identity for item in everything}) == persons[name]


def test_the_documented_list_of_sources_is_one(tmp_path: Path) -> None:
    text = (Path(__file__).parents[1] / "docs/data.md").read_text()
    path = tmp_path / "sources.yaml"
    path.write_text(text.split("```yaml\n")[1].split("```")[0])
    splits = {source.name: source.splits for source in load_sources(path)}
    assert splits == {"300w-lp": ("train", "val"), "wflw": ("train",), "biwi": ("test",)}
    for name in NAMES:
        assert f"| `{name}` `{ADAPTERS[name].__name__}` |" in text


def test_a_split_that_nobody_made_is_refused_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"300w has no split val: train, test, private; val_percent"):
        source_of("300w", tmp_path, splits=("train", "val"))


class Drawers(Source):
    """So many faces of each expression."""

    origin = licence = "drawn"

    def __init__(self, name: str, counts: dict[int, int], **options: Any) -> None:
        super().__init__(splits=("train",), **options)
        self.name = name
        self.counts = counts

    def read(self, folder: object, split: str, limit: int | None = None) -> list[Sample]:
        image, box = np.zeros((8, 8, 3), np.uint8), np.array([1.0, 1.0, 7.0, 7.0])
        return [
            Sample(image, box, {"expression": value})
            for value, count in self.counts.items()
            for _ in range(count)
        ]


def drawn_per_source(sources: list[Source], **options: Any) -> list[Counter[int]]:
    """How often each source's expressions come up in an epoch of 1,200."""
    data = FaceData(sources, epoch_size=1200, batch_size=100, workers=0, **options)
    model = FaceModel(FaceModelConfig.from_dict(tiny_config()))
    data.trainer = SimpleNamespace(  # type: ignore[assignment]
        lightning_module=SimpleNamespace(model=model), global_rank=0, world_size=1
    )
    data.setup("fit")
    loader = data.train_dataloader()
    counts: list[Counter[int]] = [Counter() for _ in sources]
    for index in loader.sampler:
        sample, source = loader.dataset.samples[index]  # type: ignore[attr-defined]
        counts[source][sample.labels["expression"]] += 1
    return counts


def test_sources_of_one_name_are_refused(miniature: Any, tmp_path: Path) -> None:
    """The figures and files of one would replace those of the other."""
    root, _ = miniature("300w")
    twins = [source_of("300w", root), source_of("300w", root)]
    told = "2 sources are called '300w'.*argument 'name'"
    with pytest.raises(ConfigError, match=told):
        FaceData(twins)
    with pytest.raises(ConfigError, match=told):
        list(prepare(twins, None, tmp_path))
    entry = {"class_path": "faceperc.data.adapters.W300", "init_args": {"root": str(root)}}
    path = tmp_path / "sources.yaml"
    path.write_text(yaml.safe_dump([entry, entry]))
    with pytest.raises(ConfigError, match=told):
        load_sources(path)
    other = entry | {"init_args": {"root": str(root), "name": "again"}}
    path.write_text(yaml.safe_dump([entry, other]))
    assert [source.name for source in load_sources(path)] == ["300w", "again"]


def test_prepared_sources_of_one_name_are_refused_once_it_is_known(miniature: Any, tmp_path: Path) -> None:
    root, _ = miniature("300w")
    ((path, _),) = prepare([source_of("300w", root, splits=("train",))], None, tmp_path)
    copy = shutil.copytree(path.parent, tmp_path / "copy")
    folders, splits = (str(path.parent), str(copy)), ("train",)
    with pytest.raises(ConfigError, match="2 sources are called '300w'"):
        FaceData([Prepared(folder, splits=splits) for folder in folders]).setup("fit")
    named = [Prepared(folder, splits=splits, name=f"part {i}") for i, folder in enumerate(folders)]
    FaceData(named).setup("fit")
    assert [source.facts()[0]["name"] for source in named] == ["part 0", "part 1"]


def test_derived_labels_teach_but_nothing_is_measured_by_them(miniature: Any) -> None:
    root, _ = miniature("300w")
    data = FaceData([source_of("300w", root, val_percent=40.0, splits=("train", "val"))], batch_size=2)
    model = FaceModel(FaceModelConfig.from_dict(tiny_config()))
    data.trainer = SimpleNamespace(  # type: ignore[assignment]
        lightning_module=SimpleNamespace(model=model), global_rank=0, world_size=1
    )
    data.setup("fit")
    taught = {task for sample, _ in data.train_dataloader().dataset.samples for task in sample.labels}
    assert taught == {"landmarks", "pose", "parsing"}
    (loader,) = data.val_dataloader()
    assert {task for batch in loader for task, valid in batch.valid.items() if valid.any()} == {"landmarks"}


@pytest.mark.parametrize("source", [Drawers("empty", {}), Drawers("unwanted", {0: 3}, weight=0.0)])
def test_nothing_to_learn_from_is_refused(source: Source) -> None:
    with pytest.raises(DataError, match=rf"no source with a weight above 0 .*sources: {source.name}\)"):
        drawn_per_source([source])


@pytest.mark.parametrize(
    ("temperature", "shares"),
    [(1.0, (1 / 17, 16 / 17)), (2.0, (1 / 5, 4 / 5)), (float("inf"), (1 / 2, 1 / 2))],
)
def test_temperature_evens_out_the_sources(temperature: float, shares: tuple[float, float]) -> None:
    """p is proportional to n^(1/T): 10 and 160 samples."""
    sources: list[Source] = [Drawers("small", {0: 10}), Drawers("large", {0: 160})]
    counts = [count.total() for count in drawn_per_source(sources, temperature=temperature)]
    np.testing.assert_allclose(np.array(counts) / 1200, shares, atol=1e-3)


def test_balance_draws_rare_classes_more_often() -> None:
    """A class of n samples counts as sqrt(n) does: 90 and 10 samples, so 3 to 1 instead of 9 to 1."""
    (plain,) = drawn_per_source([Drawers("plain", {0: 90, 1: 10})])
    (balanced,) = drawn_per_source([Drawers("balanced", {0: 90, 1: 10}, balance="expression")])
    assert plain[0] / plain[1] == pytest.approx(9.0)
    assert balanced[0] / balanced[1] == pytest.approx(3.0)
