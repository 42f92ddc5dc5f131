"""Data sets with attributes, masks, expressions and ages, in their authors' layouts."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tiny_folders_classes as tiny
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_pack import SIZE, encoded, project, tiny_config

from faceperc.config import FaceModelConfig, build_heads
from faceperc.crop import box_from_landmarks
from faceperc.data.adapters import ADAPTERS
from faceperc.data.adapters._parts import parsing_label
from faceperc.data.adapters.ferplus import distribution, majority
from faceperc.data.augment import plain_view
from faceperc.data.boxes import box_from_five_points
from faceperc.data.check import check_split
from faceperc.data.cli import main
from faceperc.data.folder import FolderSource
from faceperc.data.prepared import Prepared, prepare
from faceperc.data.source import Sample, decode_labels
from faceperc.errors import DataError
from faceperc.heads.expression import EXPRESSIONS
from faceperc.heads.parsing import CLASSES, class_set
from faceperc.overlap import iou_matrix


@dataclass(frozen=True)
class Case:
    adapter: str
    write: Callable[[Path], Path]
    counts: dict[str, int]  # usable faces of each split
    labels: set[str]
    label_file: str  # without it nothing can be listed
    image: str  # or, where there is none, the file with the pixels


LATER = "affectnet, later layout"
LIST = "Manually_Annotated_file_lists/training.csv"
CASES = {
    "celeba": Case(
        "celeba", tiny.write_celeba, {"train": 2, "val": 2, "test": 2}, {"attributes", "gender"},
        "Eval/list_eval_partition.txt", "Img/img_align_celeba/000001.jpg",
    ),
    "celebamask-hq": Case(
        "celebamask-hq", tiny.write_celebamask_hq, {"train": 2, "val": 2, "test": 2},
        {"parsing", "attributes", "gender", "pose"},
        "CelebA-HQ-to-CelebA-mapping.txt", "CelebA-HQ-img/1998.jpg",
    ),
    "lapa": Case(
        "lapa", tiny.write_lapa, {"train": 2, "val": 1, "test": 1}, {"parsing", "landmarks106"},
        "train/images", "train/images/0_0.jpg",
    ),
    "helen": Case(
        "helen", tiny.write_helen, {"train": 1, "val": 1, "test": 1}, {"parsing"},
        "exemplars.txt", "images/100032541_1.jpg",
    ),
    "affectnet": Case(
        "affectnet", tiny.write_affectnet, {"train": 3, "val": 1}, {"expression", "valence", "arousal"},
        LIST, "Manually_Annotated_Images/0/train0.jpg",
    ),
    LATER: Case(
        "affectnet", tiny.write_affectnet_npy, {"train": 2, "val": 1}, {"expression", "valence", "arousal"},
        "train_set/images", "train_set/images/0.jpg",
    ),
    "raf-db": Case(
        "raf-db", tiny.write_raf_db, {"train": 2, "test": 1}, {"expression"},
        "basic/EmoLabel/list_patition_label.txt", "basic/Image/aligned/train_00001_aligned.jpg",
    ),
    "fer2013": Case(
        "fer2013", tiny.write_fer2013, {"train": 3, "val": 1, "test": 1}, {"expression"},
        "fer2013.csv", "fer2013.csv",
    ),
    "fer2013-folders": Case(
        "fer2013-folders", tiny.write_fer2013_folders, {"train": 2, "test": 2}, {"expression"},
        "train", "train/angry/PrivateTest_1.jpg",
    ),
    "ferplus": Case(
        "ferplus", tiny.write_ferplus, {"train": 2, "val": 1, "test": 1}, {"expression"},
        "fer2013new.csv", "fer2013.csv",
    ),
    "utkface": Case(
        "utkface", tiny.write_utkface, {"train": 2}, {"age", "gender"},
        "UTKFace", "UTKFace/26_0_4_20170104165327281.jpg.chip.jpg",
    ),
    "fairface": Case(
        "fairface", tiny.write_fairface, {"train": 2, "val": 1}, {"age", "gender"},
        "fairface_label_train.csv", "fairface-img-margin025-trainval/train/1.jpg",
    ),
}  # fmt: skip
MASKS = "CelebAMask-HQ-mask-anno/0/01998"
EVERY = pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))


def source_of(adapter: str, root: Path, **options: Any) -> FolderSource:
    return ADAPTERS[adapter](root=str(root), **options)


def samples(adapter: str, root: Path, split: str = "train") -> list[Sample]:
    """Read whole photographs, one after the other."""
    source = source_of(adapter, root)
    found = [source.open(item) for item in source.split_items(root, split)]
    return [sample for sample in found if sample is not None]


@EVERY
@pytest.mark.filterwarnings("ignore:utkface train. 1 of 3")
def test_official_splits_and_labels(case: Case, tmp_path: Path) -> None:
    root = case.write(tmp_path)
    source = source_of(case.adapter, root)
    assert source.splits == tuple(case.counts)
    config = FaceModelConfig.from_dict(tiny_config())
    heads = build_heads(config)
    truth = box_from_landmarks(tiny.FRONTAL) / SIZE
    for split, count in case.counts.items():
        found = source.read(None, split)
        assert len(found) == count
        for sample in found:
            assert set(sample.labels) == case.labels  # a race is never among them
            height, width = sample.pixels.shape[:2]
            if case.adapter in ("celeba", "celebamask-hq", "lapa", "helen", "affectnet"):  # no constant boxes
                assert iou_matrix(sample.box[None] / [width, height, width, height], truth[None])[0, 0] > 0.8
            for task, label in sample.labels.items():
                if task in heads:
                    heads[task].encode(label, plain_view(sample, config.crop_rule))


@EVERY
def test_what_is_missing_or_damaged_is_named(case: Case, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere: no such folder"):
        source_of(case.adapter, tmp_path / "nowhere").read(None, "train")
    root = case.write(tmp_path / "data")
    path = root / case.image
    if path.suffix == ".csv":
        path.write_text(path.read_text().replace(" ", " x", 1))  # the first pixels
    else:
        path.write_bytes(path.read_bytes()[:200])
    problems = check_split(source_of(case.adapter, root), root, "train").problems
    assert any(problem.startswith(str(path)) for problem in problems)
    label_file = root / case.label_file
    label_file.rename(label_file.with_name("elsewhere"))
    with pytest.raises(DataError) as error:
        source_of(case.adapter, root).read(None, "train")
    assert str(label_file) in str(error.value) or "expected is UTKFace/" in str(error.value)


EXPECTED = {
    "affectnet": ["neutral", "contempt", "surprise"],
    LATER: ["neutral", "contempt"],
    "raf-db": ["sadness", "surprise"],
    "fer2013": ["anger", "happiness", "neutral"],
    "fer2013-folders": ["anger", "sadness"],
}


@pytest.mark.parametrize("name", EXPECTED)
def test_expressions_mean_the_same_everywhere(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    found = samples(case.adapter, case.write(tmp_path))
    assert [EXPRESSIONS[sample.labels["expression"]] for sample in found] == EXPECTED[name]


def test_affectnets_lists_may_lack_a_header(tmp_path: Path) -> None:
    (sample,) = samples("affectnet", tiny.write_affectnet(tmp_path), "val")
    assert sample.labels == {"expression": EXPRESSIONS.index("anger"), "valence": -0.25, "arousal": 0.0}


def test_fer2013_keeps_every_pixel(tmp_path: Path) -> None:
    sample = samples("fer2013", tiny.write_fer2013(tmp_path))[1]
    grey = np.asarray(tiny.face(40).convert("L").resize((48, 48)))
    np.testing.assert_array_equal(sample.pixels, np.repeat(grey[..., None], 3, axis=2))
    assert sample.name.endswith("fer2013.csv line 3")


@pytest.mark.parametrize("folder", ["img_align_celeba", "img_celeba"])
def test_celeba(folder: str, tmp_path: Path) -> None:
    root = tiny.write_celeba(tmp_path, folder)
    for split, number in (("train", 1), ("val", 162_771), ("test", 182_638)):
        first = samples("celeba", root, split)[0]
        assert Path(first.name).name == f"{number:06d}.jpg"
        index = list(tiny.BORDERS).index(f"{number:06d}")
        wanted = np.array(tiny.attribute_values(index)) > 0
        np.testing.assert_array_equal(first.labels["attributes"], wanted)
        assert first.labels["gender"] == wanted[20] and first.identity == str(index // 2)


@settings(max_examples=30, deadline=None)
@given(roll=st.floats(-180, 180), scale=st.floats(0.5, 20))
def test_five_points_give_the_box_of_the_face(roll: float, scale: float) -> None:
    points = project(0, 0, roll, scale)
    five = np.array([points[36:42].mean(0), points[42:48].mean(0), points[30], points[48], points[54]])
    np.testing.assert_allclose(box_from_five_points(five), box_from_landmarks(points), atol=1e-6)


@pytest.mark.parametrize("name", ["celebamask-hq", "lapa", "helen"])
def test_masks_hold_the_drawn_classes_after_shrinking(name: str, tmp_path: Path) -> None:
    root = CASES[name].write(tmp_path)
    drawn = tiny.class_map()
    sample = source_of(name, root, side=200).read(None, "val")[0]
    sets = sample.labels["parsing"].sets
    assert sets.shape == sample.pixels.shape[:2]
    box = box_from_landmarks(tiny.FRONTAL)
    for index, part in enumerate(CLASSES[1:], start=1):
        rows, columns = np.nonzero(drawn == index)
        middle = len(rows) // 2  # a pixel of the part, not on its upper or lower border
        place = np.array([columns[middle], rows[middle]])
        # the region of a face in the middle of a small photograph is all of it
        x, y = ((place + 0.5) * sets.shape[0] / SIZE).astype(int)
        glasses = name == "celebamask-hq" and tiny.GLASSES[0].start <= place[1] < tiny.GLASSES[0].stop
        wanted = {class_set(part)} | ({0} if glasses and part == "skin" else set())
        assert int(sets[y, x]) in wanted, part
    row, column = (np.array(tiny.NECK) + 0.5) * sets.shape[0] / SIZE
    assert sets[int(row), int(column)] == (class_set("skin") if name == "celebamask-hq" else 0)
    assert sets[0, 0] == class_set("background")
    assert iou_matrix(sample.box[None] * SIZE / sets.shape[0], box[None])[0, 0] > 0.8


def test_what_glasses_cover_is_unknown_but_for_the_eyes(tmp_path: Path) -> None:
    (sample, _) = samples("celebamask-hq", tiny.write_celebamask_hq(tmp_path))
    covered = sample.labels["parsing"].sets[::2, ::2][tiny.GLASSES]
    drawn = tiny.class_map()[tiny.GLASSES]
    assert (covered[drawn == CLASSES.index("skin")] == 0).all()
    assert (covered[drawn == CLASSES.index("right_eye")] == class_set("right_eye")).all()


@settings(max_examples=20, deadline=None)
@given(roll=st.floats(-180, 180), lone=st.booleans(), yaw=st.floats(-20, 20))
def test_sides_are_the_subjects_whatever_the_names_and_the_turn(roll: float, lone: bool, yaw: float) -> None:
    ids = tiny.class_map(project(yaw, 0, roll, scale=8) + SIZE / 2, 2 * SIZE)
    if lone:  # a profile shows one eye and one brow
        ids[np.isin(ids, (CLASSES.index("left_brow"), CLASSES.index("left_eye")))] = CLASSES.index("skin")
    wanted = 1 << ids.astype(int)
    np.testing.assert_array_equal(parsing_label(ids).sets, wanted)
    np.testing.assert_array_equal(parsing_label(tiny.viewers(ids)).sets, wanted)


@pytest.mark.parametrize(
    ("votes", "wanted"),
    [
        ((4, 0, 0, 0, 3, 0, 3, 0, 0, 0), {"neutral": 0.4, "anger": 0.3, "fear": 0.3}),
        ((4, 0, 0, 1, 3, 2, 0, 0, 0, 0), {"neutral": 4 / 7, "anger": 3 / 7}),  # three quarters of the votes
        ((9, 1, 0, 0, 0, 0, 0, 0, 0, 0), {"neutral": 1.0}),  # a single vote does not count
        ((5, 0, 0, 0, 0, 0, 0, 2, 3, 0), None),  # half of the votes are not enough
        ((6, 0, 0, 0, 0, 0, 0, 0, 4, 0), {"neutral": 1.0}),
        ((4, 0, 0, 0, 0, 0, 0, 0, 6, 0), None),  # mostly unknown
        ((0, 0, 0, 0, 0, 0, 0, 0, 0, 10), None),  # no face
        ((2, 2, 2, 2, 2, 0, 0, 0, 0, 0), None),  # too many expressions
        ((0, 0, 0, 0, 0, 0, 5, 5, 0, 0), {"fear": 0.5, "contempt": 0.5}),
        ((1, 1, 1, 1, 1, 1, 1, 1, 1, 1), None),
    ],
)
def test_votes_become_distributions(votes: tuple[int, ...], wanted: dict[str, float] | None) -> None:
    found = distribution(votes)
    if wanted is None:
        assert found is None
    else:
        np.testing.assert_allclose(found, [wanted.get(name, 0.0) for name in EXPRESSIONS], atol=1e-6)


@pytest.mark.parametrize(
    ("votes", "wanted"),
    [
        ((6, 4, 0, 0, 0, 0, 0, 0, 0, 0), "neutral"),
        ((5, 5, 0, 0, 0, 0, 0, 0, 0, 0), None),  # half of the votes are not more than half
        ((4, 0, 0, 0, 3, 0, 3, 0, 0, 0), None),
        ((4, 0, 0, 1, 3, 0, 1, 1, 0, 0), "neutral"),  # single votes do not count: 4 of 7
        ((2, 0, 0, 0, 2, 0, 0, 0, 6, 0), None),  # mostly unknown
        ((4, 0, 0, 0, 0, 0, 0, 0, 5, 0), None),
        ((1, 1, 1, 1, 1, 1, 1, 1, 1, 1), None),
    ],
)
def test_what_is_measured_by_has_a_majority(votes: tuple[int, ...], wanted: str | None) -> None:
    found = majority(votes)
    assert (None if found is None else EXPRESSIONS[found.argmax()]) == wanted
    assert found is None or sorted(found) == [0.0] * 7 + [1.0]


def test_ferplus_measures_by_majorities(tmp_path: Path) -> None:
    """The same votes are a distribution in training; in the other splits one class, or no label."""
    root = tiny.write_ferplus(tmp_path)
    (before,) = samples("ferplus", root, "val")
    assert sorted(before.labels["expression"]) == [0.0] * 7 + [1.0]
    path = root / "fer2013new.csv"
    path.write_text(path.read_text().replace("4,0,0,6,0,0,0,0,0,0", "5,0,0,5,0,0,0,0,0,0"))
    with pytest.raises(DataError, match="no photographs of the split 'val'"):
        samples("ferplus", root, "val")


@pytest.mark.parametrize(
    ("name", "image", "other"),
    [
        ("lapa", "val/images/0_0.jpg", "0_0.jpeg"),
        (LATER, "val_set/images/0.jpg", "0.JPG"),
        ("fer2013-folders", "test/sad/PrivateTest_1.jpg", "PrivateTest_1.PNG"),
    ],
)
def test_photographs_are_found_by_any_usual_ending_or_their_lack_is_named(
    name: str, image: str, other: str, tmp_path: Path
) -> None:
    case = CASES[name]
    path = case.write(tmp_path) / image
    split = "test" if name == "fer2013-folders" else "val"
    renamed = path.rename(path.with_name(other))
    assert len(samples(case.adapter, tmp_path, split)) == case.counts[split]
    renamed.unlink()
    with pytest.raises(DataError, match=re.escape(f"{path.parent}/*: no photographs there (.jpg, .jpeg")):
        source_of(case.adapter, tmp_path).read(None, split)


def test_a_split_without_faces_is_refused(tmp_path: Path) -> None:
    root = tiny.write_fer2013(tmp_path)
    path = root / "fer2013.csv"
    path.write_text(path.read_text().replace("PublicTest", "PrivateTest"))
    told = re.escape(f"{root}: no photographs of the split 'val'; fer2013 expects there: fer2013.csv")
    with pytest.raises(DataError, match=told):
        source_of("fer2013", root).read(None, "val")
    with pytest.raises(DataError, match=told):
        check_split(source_of("fer2013", root), root, "val")
    root = tiny.write_affectnet_npy(tmp_path / "others")
    np.save(root / "val_set/annotations/0_exp.npy", np.array("8"))  # no expression: of no use
    with pytest.raises(DataError, match="none of the 1 photographs of affectnet val has a usable face"):
        source_of("affectnet", root).read(None, "val")


def test_votes_survive_preparation(tmp_path: Path) -> None:
    source = source_of("ferplus", tiny.write_ferplus(tmp_path / "data"))
    list(prepare([source], None, tmp_path / "out"))
    first, second = Prepared(str(tmp_path / "out/ferplus")).read(None, "train")
    assert first.labels["expression"].argmax() == EXPRESSIONS.index("neutral")
    assert second.labels["expression"][EXPRESSIONS.index("happiness")] == 1.0


def test_ferplus_needs_the_rows_of_fer2013(tmp_path: Path) -> None:
    root = tiny.write_ferplus(tmp_path)
    path = root / "fer2013new.csv"
    path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")
    with pytest.raises(DataError, match=r"fer2013new\.csv: other rows"):
        source_of("ferplus", root).read(None, "train")


def test_utkface(tmp_path: Path) -> None:
    root = tiny.write_utkface(tmp_path)
    report = check_split(source_of("utkface", root), root, "train")
    assert report.usable == 2 and len(report.problems) == 1
    assert "61_1_20170109142408075.jpg.chip.jpg: the name is not" in report.problems[0]
    with pytest.warns(UserWarning, match="1 of 3 photographs left out"):
        young, old = source_of("utkface", root).read(None, "train")
    assert young.labels == {"age": 26.0, "gender": 1} and young.groups["UTKFace group"] == "other"
    assert old.labels == {"age": 80.0, "gender": 0} and old.groups["age"] == "60+"


def test_a_share_of_a_set_without_splits_is_held_out(tmp_path: Path) -> None:
    for index in range(40):
        tiny.save(tiny.face().resize((16, 16)), tmp_path / f"{index}_0_0_2017010416532{index:04d}.jpg")
    source = source_of("utkface", tmp_path, val_percent=30)
    parts = [{item.image for item in source.split_items(tmp_path, split)} for split in source.splits]
    assert source.splits == ("train", "val")
    assert not parts[0] & parts[1] and len(parts[0] | parts[1]) == 40 and len(parts[1]) > 4


def test_fairface_ages_are_trusted_little_and_never_measured(tmp_path: Path) -> None:
    child, old = samples("fairface", tiny.write_fairface(tmp_path))
    assert child.labels == {"age": 6.0, "gender": 0} and old.labels == {"age": 75.0, "gender": 1}
    assert child.trust["age"] < 1 and child.derived == {"age"}
    assert child.groups == {"age": "3-9", "gender": "female", "FairFace group": "Indian"}


def test_fairface_margins_give_different_boxes(tmp_path: Path) -> None:
    root = tiny.write_fairface(tmp_path)
    narrow = samples("fairface", root)[0].box
    folder = root / "fairface-img-margin025-trainval"
    folder.rename(root / "fairface-img-margin125-trainval")
    wide = samples("fairface", root)[0].box
    # the same face in a crop that is 3.5 instead of 1.5 units wide
    np.testing.assert_allclose((wide[2:] - wide[:2]) * 3.5, (narrow[2:] - narrow[:2]) * 1.5, rtol=0.02)


def test_raf_dbs_original_photographs_have_boxes(tmp_path: Path) -> None:
    found = samples("raf-db", tiny.write_raf_db(tmp_path, aligned=False), "test")
    assert [sample.box.tolist() for sample in found] == [[12.5, 20.0, 80.0, 90.5]]
    assert found[0].labels == {"expression": EXPRESSIONS.index("neutral")}


@pytest.mark.parametrize(
    ("name", "file", "old", "new", "message"),
    [
        ("affectnet", LIST, ",7,", ",11,", r"training\.csv line 3.*'11'"),
        ("affectnet", LIST, ";", " x;", r"training\.csv line 2, landmarks"),
        ("affectnet", LIST, ",-0.25,", ",nan,", r"training\.csv line 2: nan is no finite number"),
        ("raf-db", "basic/EmoLabel/list_patition_label.txt", "2.jpg 1", "2.jpg 8", r"label\.txt line 2.*'8'"),
        ("fer2013", "fer2013.csv", "\n3,", "\n7,", r"fer2013\.csv line 3.*'7'"),
        ("fer2013", "fer2013.csv", "PublicTest", "Public", r"fer2013\.csv line 5: unknown usage 'Public'"),
        ("celeba", "Eval/list_eval_partition.txt", "70.jpg 0", "70.jpg 3", r"partition\.txt line 2.*'3'"),
        ("celeba", "Anno/list_attr_celeba.txt", "Arched_Eyebrows", "Brows", r"list_attr_celeba\.txt: line 2"),
        ("celeba", "Anno/list_attr_celeba.txt", "6\n", "7\n", r"list_attr_celeba\.txt: 6 rows.*cut off"),
        ("celeba", "Anno/list_attr_celeba.txt", " -1 ", " 2 ", r"000001\.jpg is neither -1 nor 1"),
        ("fairface", "fairface_label_train.csv", "3-9", "3-8", r"train\.csv line 2: unknown age '3-8'"),
        ("fairface", "fairface_label_train.csv", "gender", "sex", r"train\.csv: no column gender"),
        ("helen", "exemplars.txt", ",", ";", r"exemplars\.txt line 1: not a number, a comma"),
        ("celebamask-hq", "CelebA-HQ-to-CelebA-mapping.txt", "000001.jpg", "x", r"mapping\.txt line 2"),
    ],
)  # fmt: skip
def test_wrong_labels_are_named(
    name: str, file: str, old: str, new: str, message: str, tmp_path: Path
) -> None:
    path = CASES[name].write(tmp_path) / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(DataError, match=message):
        source_of(CASES[name].adapter, tmp_path).read(None, "train")


@pytest.mark.parametrize(
    ("name", "file", "content", "message"),
    [
        ("lapa", "train/labels/0_0.png", np.full((SIZE, SIZE), 11, np.uint8), "unknown class 11"),
        ("lapa", "train/labels/0_0.png", np.zeros((9, 9), np.uint8), r"\(9, 9\) pixels"),
        ("lapa", "train/landmarks/0_0.txt", "105\n1 2\n", "the first line should be 106"),
        ("lapa", "train/landmarks/0_0.txt", None, "0_0.txt: missing"),
        ("helen", "labels/100032541_1/100032541_1_lbl04.png", None, "lbl04.png: missing"),
        ("celebamask-hq", f"{MASKS}_skin.png", None, "01998_skin.png: missing"),
        ("celebamask-hq", f"{MASKS}_nose.png", np.zeros((9, 9), np.uint8), "the skin has"),
        (LATER, "train_set/annotations/0_lnd.npy", None, "0_lnd.npy: missing"),
        (LATER, "train_set/annotations/0_exp.npy", "text", "0_exp.npy: cannot be read"),
        (LATER, "train_set/annotations/0_exp.npy", [12.0], r"0_exp.npy: unknown class '12'"),
        (LATER, "train_set/annotations/0_val.npy", [1.0, 2.0], "2 numbers instead of 1"),
    ],
)  # fmt: skip
def test_damaged_labels_of_a_photograph_are_problems(
    name: str, file: str, content: Any, message: str, tmp_path: Path
) -> None:
    root = CASES[name].write(tmp_path)
    path = root / file
    path.unlink()
    if isinstance(content, str):
        path.write_text(content)
    elif isinstance(content, list):
        np.save(path, np.array(content))
    elif content is not None:
        tiny.save(tiny.Image.fromarray(content), path)
    report = check_split(source_of(CASES[name].adapter, root), root, "train")
    assert len(report.problems) == 1 and report.usable == CASES[name].counts["train"] - 1
    assert str(path) in report.problems[0] and re.search(message, report.problems[0])


@EVERY
def test_the_command_checks_and_draws_them(case: Case, tmp_path: Path) -> None:
    root, sheet = case.write(tmp_path / "data"), tmp_path / "sheet.png"
    code = main(["check", str(root), "--as", case.adapter, "--sheet", str(sheet)])
    assert code == (1 if case.adapter == "utkface" else 0)  # one of its names is damaged
    assert tiny.Image.open(sheet).height > 0


def test_masks_of_other_pixels_are_refused() -> None:
    def png(mode: str) -> bytes:
        return encoded(tiny.Image.new("L", (4, 3), 255).convert(mode))["bytes"]

    black_and_white = decode_labels(png("1"), "mask.png")
    assert black_and_white.dtype == np.uint8 and (black_and_white == 1).all()
    assert decode_labels(png("L"), "mask.png").max() == 255 and decode_labels(png("P"), "m").shape == (3, 4)
    for mode in ("I;16", "RGB", "LA"):
        with pytest.raises(DataError, match=f"mask.png: the mask's pixels are of Pillow's mode '{mode}'"):
            decode_labels(png(mode), "mask.png")


def test_a_pickled_label_is_not_opened(tmp_path: Path) -> None:
    root = tiny.write_affectnet_npy(tmp_path)
    np.save(root / "train_set/annotations/0_exp.npy", np.array({"a": 1}, dtype=object), allow_pickle=True)
    (problem,) = check_split(source_of("affectnet", root), root, "train").problems
    assert "0_exp.npy: cannot be read as numbers" in problem


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("box", [9.0, 9.0, 9.0, 40.0], "its face box is no box"),
        ("box", [9.0, 9.0], r"its face box has the shape \(2,\)"),
        ("image", b"no image", "the image cannot be decoded"),
    ],
)
def test_prepared_rows_are_checked(column: str, value: Any, message: str, tmp_path: Path) -> None:
    list(prepare([source_of("raf-db", tiny.write_raf_db(tmp_path / "data"))], None, tmp_path))
    path = tmp_path / "raf-db/train.parquet"
    table = pq.read_table(path)
    rows = table.to_pylist()
    rows[1][column] = value
    pq.write_table(pa.Table.from_pylist(rows, table.schema), path)
    with pytest.raises(DataError, match=rf"raf-db/train\.parquet row 1: {message}"):
        Prepared(str(path.parent)).read(None, "train")


def test_boxes_that_are_none_are_left_out_or_refused(tmp_path: Path) -> None:
    root = tiny.write_raf_db(tmp_path / "data", aligned=False)
    file = "basic/Annotation/boundingbox/train_00001_boundingbox.txt"
    (root / file).write_text("30 30 30 60\n")
    source = source_of("raf-db", root)
    with pytest.warns(
        UserWarning, match=r"1 of 2 photographs left out: .*train_00001\.jpg: its face box is no"
    ):
        assert len(source.read(None, "train")) == 1
    assert "its face box is no box" in check_split(source, root, "train").problems[0]
    (root / file).write_text("30 30 nan 60\n")
    with pytest.warns(UserWarning, match=r"train_00001_boundingbox\.txt: nan is no finite number"):
        source.read(None, "train")
