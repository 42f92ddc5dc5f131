"""Reading, label spaces, derived labels, views and the mix."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tiny_pack import ROWS, SIZE, SOURCES, project, tiny_config, write_pack

from faceperc.config import FaceModelConfig, build_heads
from faceperc.crop import FaceCrop
from faceperc.data.augment import Augment, AugmentConfig, plain_view
from faceperc.data.derive import narrowed, parsing_from_landmarks, pose_from_landmarks
from faceperc.data.mix import Collate, FaceDataset, MixSampler, balanced_repeats
from faceperc.data.pack import Fasseg
from faceperc.data.region import shrink
from faceperc.data.sheet import contact_sheet
from faceperc.data.source import Sample, data_folder, load_sources
from faceperc.data.view import View
from faceperc.errors import ConfigError, DataError
from faceperc.heads.parsing import CLASSES, SetMask, class_set
from faceperc.rotations import matrix_from_angles

CONFIG = FaceModelConfig.from_dict(tiny_config())


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pack(tmp_path_factory.mktemp("pack"))


def samples(pack: Path, name: str, split: str = "train") -> list[Sample]:
    return next(source for source in load_sources() if source.name == name).read(pack, split)


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_gives_labels_that_the_heads_take(pack: Path, name: str) -> None:
    found = samples(pack, name)
    assert len(found) == (ROWS // 2 if name == "figaro1k" else ROWS)  # half have no detected face
    heads = build_heads(CONFIG)
    for sample in found:
        assert sample.labels and set(sample.labels) <= set(heads)
        assert all(0 < trust < 1 for trust in sample.trust.values())
        view = plain_view(sample, CONFIG.crop_rule)
        for task, label in sample.labels.items():
            heads[task].encode(label, view)


def test_gender_means_the_same_in_both_sources(pack: Path) -> None:
    utkface = [sample.labels["gender"] for sample in samples(pack, "utkface")]
    assert utkface == [1, 0, 1, 0, 1, 0]  # UTKFace's 0 is male, ours is female
    for sample in samples(pack, "celebahq1k"):
        assert sample.labels["gender"] == sample.labels["attributes"][20]


def test_coarse_masks_become_sets(pack: Path) -> None:
    sets = set(np.unique(samples(pack, "fasseg")[0].labels["parsing"].sets).tolist())
    assert sets == set(Fasseg.groups)
    assert class_set("upper_lip", "inner_mouth", "lower_lip") in sets
    hair, rest = (
        int(v) for v in sorted(np.unique(samples(pack, "figaro1k")[0].labels["parsing"].sets))[::-1]
    )
    assert hair == class_set("hair") and rest == class_set(*CLASSES[:-1])


def test_ibug_landmarks_are_moved_back_where_they_are_learned(pack: Path) -> None:
    """And only there: what is measured is compared with the labels as they are published."""
    source = next(each for each in load_sources(None) if each.name == "w300")
    for split, shift in (("train", 0.0085), ("val", 0.0)):
        sample = source.read(pack, split)[0]
        row = pq.read_table(pack / f"w300/{split}.parquet").to_pylist()[0]
        published = np.reshape(row["landmarks"], (68, 2))
        ocular = np.hypot(*(published[45] - published[36]))
        moved = published - sample.labels["landmarks"]
        np.testing.assert_allclose(moved, np.tile([shift * ocular, 0.0], (68, 1)), atol=1e-4)


def test_ytf_landmarks_are_moved_back_by_their_known_error(pack: Path) -> None:
    truth = project(-30.0, 0, 0)
    moved = samples(pack, "ytf68")[0].labels["landmarks"] - truth
    ocular = np.hypot(*(truth[45] - truth[36]))
    np.testing.assert_allclose(moved, np.tile([-0.028, -0.012], (68, 1)) * ocular, atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(yaw=st.floats(-50, 50), pitch=st.floats(-30, 30), roll=st.floats(-60, 60))
def test_pose_from_landmarks_has_the_signs_of_the_convention(yaw: float, pitch: float, roll: float) -> None:
    still = pose_from_landmarks(project(0, 0, 0))
    assert abs(still[0]) < 0.1 and abs(still[2]) < 0.1
    found = pose_from_landmarks(project(yaw, 0, 0))
    assert found[0] == pytest.approx(yaw, abs=3.0)
    assert pose_from_landmarks(project(0, pitch, 0))[1] - still[1] == pytest.approx(pitch, abs=0.5)
    assert pose_from_landmarks(project(0, 0, roll))[2] == pytest.approx(roll, abs=0.5)


def test_parts_from_landmarks_are_the_subjects_sides() -> None:
    points = project(0, 0, 0)
    sets = parsing_from_landmarks(points, (SIZE, SIZE))
    x, y = points[42:48].mean(axis=0).round().astype(int)  # the eye at the image's right
    assert sets[y, x] == class_set("left_eye") and x > SIZE / 2
    x, y = points[[51, 62]].mean(axis=0).round().astype(int)
    assert sets[y, x] == class_set("upper_lip")
    assert not sets[0, 0] & class_set("left_eye", "right_eye", "upper_lip", "lower_lip", "inner_mouth")


@settings(max_examples=30, deadline=None)
@given(yaw=st.floats(-20, 20), pitch=st.floats(-20, 20), roll=st.floats(-180, 180))
def test_parts_from_landmarks_leave_no_hole_in_the_face(yaw: float, pitch: float, roll: float) -> None:
    points = project(yaw, pitch, roll)
    sets = parsing_from_landmarks(points, (SIZE, SIZE))
    x, y = points[[29, 31, 35]].mean(axis=0).round().astype(int)
    assert sets[y, x] == class_set("nose")
    for eye, corner in ((points[36:42].mean(0), points[48]), (points[42:48].mean(0), points[54])):
        x, y = (0.5 * eye + 0.5 * corner).round().astype(int)  # on a cheek
        assert sets[y, x] & class_set("skin") and not sets[y, x] & class_set("background")
    down = points[8] - points[17:27].mean(0)
    clear = sets & class_set("skin") == 0
    y, x = np.nonzero(clear & (sets & class_set("background") > 0))
    assert ((np.column_stack([x, y]) - points[8]) @ down <= 0).all()  # never below the chin: necks are skin


def test_a_mask_of_few_classes_is_narrowed_by_landmarks() -> None:
    points = project(0, 0, 0)
    hair = class_set("hair")
    other = class_set(*CLASSES) & ~hair
    own = np.full((SIZE, SIZE), other)
    own[:, : SIZE // 2] = hair  # also over an eye, which the landmarks contradict
    own[0] = 0
    alone = parsing_from_landmarks(points, (SIZE, SIZE))
    both = narrowed(SetMask(own), SetMask(alone)).sets
    np.testing.assert_array_equal(both[0], alone[0])  # where the source knows nothing
    assert (both[1:, : SIZE // 2] == hair).all()
    np.testing.assert_array_equal(both[1:, SIZE // 2 :], alone[1:, SIZE // 2 :] & ~hair)


angles = st.floats(-180, 180)


@settings(max_examples=50, deadline=None)
@given(angle=angles, x=st.floats(20, 70), side=st.floats(30, 200), flip=st.booleans(), yaw=angles)
def test_rotations_follow_the_pixels(angle: float, x: float, side: float, flip: bool, yaw: float) -> None:
    """Points of a head that are projected and viewed = the viewed head's points."""
    head = np.random.default_rng(0).normal(size=(10, 3)) * 5
    rotation = matrix_from_angles(yaw, 20, 10)
    view = View(FaceCrop((x, 50.0), side, 64, angle), flip)
    image = (head @ rotation.T)[:, :2] * [1, -1] + [x, 50.0]
    mirror = np.array([-1.0, 1.0, 1.0]) if flip else np.ones(3)
    inside = ((head * mirror) @ view.rotation(rotation).T)[:, :2] * [1, -1] * view.crop.scale + 31.5
    np.testing.assert_allclose(view.points(image), inside, atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(angle=angles, flip=st.booleans())
def test_label_maps_follow_the_points(angle: float, flip: bool) -> None:
    labels = np.zeros((60, 80), np.int32)
    labels[20:29, 50:59] = 3
    view = View(FaceCrop((45.0, 30.0), 70.0, 64, angle), flip)
    x, y = view.points([54.0, 24.0])
    if 1 < x < 62 and 1 < y < 62:
        assert view.labels(labels, 64)[round(y), round(x)] == 3


def test_augmented_views_keep_the_face_in_sight(pack: Path) -> None:
    augment = Augment(AugmentConfig(), CONFIG.crop_rule, seed=0)
    (sample,) = samples(pack, "w300")[1:2]
    for _ in range(50):
        view = augment.view(sample)
        pixels = augment.pixels(sample, view)
        assert pixels.shape == (64, 64, 3) and pixels.dtype == np.uint8
        nose = view.points(sample.labels["landmarks"][30])
        assert (nose > 8).all() and (nose < 55).all()


def test_batches_say_which_labels_they_carry(pack: Path) -> None:
    heads = build_heads(CONFIG)
    sources = [samples(pack, "w300"), samples(pack, "fer2013")]
    dataset = FaceDataset(sources, heads, CONFIG.crop_rule, None)
    batch = Collate(heads)([dataset[0], dataset[ROWS]])
    assert batch.crops.shape == (2, 64, 64, 3)
    assert batch.source.tolist() == [0, 1]
    assert batch.valid["landmarks"].tolist() == [1.0, 0.0]
    assert batch.valid["expression"].tolist() == [0.0, 1.0]
    assert batch.valid["pose"].tolist() == [0.5, 0.0]  # derived, so trusted less
    assert batch.valid["age"].tolist() == [0.0, 0.0]


def test_mix_gives_every_source_its_share_and_visits_all_of_it() -> None:
    sampler = MixSampler([np.arange(10), 10 + np.arange(100), np.arange(0)], [1.0, 3.0, 5.0], 40, seed=0)
    seen: Counter[int] = Counter()
    for epoch in range(10):
        sampler.set_epoch(epoch)
        indices = list(sampler)
        assert len(indices) == len(sampler) == 40
        assert sum(index < 10 for index in indices) == 10  # a quarter; the empty source has no share
        assert indices == list(sampler)  # depends on seed and epoch only: a resumed run goes on the same
        seen.update(indices)
    assert all(seen[index] == 10 for index in range(10))
    assert set(range(10, 110)) <= set(seen) and max(seen[i] for i in range(10, 110)) == 3


def photograph(x: float, y: float, side: int = 240) -> np.ndarray:
    """Black, with a white disc of radius 6 around a place."""
    rows, columns = np.mgrid[:side, : side + 60]
    disc = np.hypot(columns - x, rows - y) < 6
    return np.repeat((255 * disc)[..., None], 3, axis=2).astype(np.uint8)


@settings(max_examples=30, deadline=None)
@given(x=st.floats(90, 150), y=st.floats(90, 150), half=st.floats(20, 100), side=st.integers(40, 200))
def test_labels_follow_a_photograph_that_shrinks(x: float, y: float, half: float, side: int) -> None:
    """Points, with and without visibility, and masks stay on the disc; other labels stay as they are."""
    image = photograph(x, y)
    points = np.array([[x, y], [np.nan, np.nan]])
    rotation = matrix_from_angles(20, 10, 0)
    labels = {
        "points": points,
        "seen": np.column_stack([points, [0.0, np.nan]]),
        "mask": SetMask((image[..., 0] > 0).astype(np.int16), (1,)),
        "rotation": rotation,
        "class": 3,
    }
    box = np.array([120 - half, 120 - half, 120 + half, 120 + half])
    small = shrink(Sample(image, box, labels, name="p"), side)
    pixels = small.pixels[..., 0].astype(float)
    assert max(pixels.shape) <= side and small.name == "p"
    scale = small.box[2] - small.box[0]
    assert scale == pytest.approx(small.box[3] - small.box[1], rel=0.1) and scale <= 2 * half + 1e-9
    rows, columns = np.mgrid[: pixels.shape[0], : pixels.shape[1]]
    centre = np.array([(pixels * columns).sum(), (pixels * rows).sum()]) / pixels.sum()
    np.testing.assert_allclose(small.labels["points"][0], centre, atol=0.5)
    np.testing.assert_array_equal(small.labels["seen"][:, :2], small.labels["points"])
    np.testing.assert_array_equal(small.labels["seen"][:, 2], [0.0, np.nan])
    row, column = small.labels["points"][0, ::-1].round().astype(int)
    assert small.labels["mask"].sets.shape == pixels.shape and small.labels["mask"].sets[row, column] == 1
    np.testing.assert_array_equal(small.labels["rotation"], rotation)
    assert small.labels["class"] == 3


def test_only_classes_are_balanced() -> None:
    image, box = np.zeros((8, 8, 3), np.uint8), np.array([0.0, 0.0, 4.0, 4.0])
    labels: list[dict[str, Any]] = [{"expression": 0}] * 9 + [{"expression": 1}, {"age": 30.0}, {}]
    samples = [Sample(image, box, label) for label in labels]
    assert balanced_repeats(samples, "expression").tolist() == [1] * 9 + [3, 1, 1]
    assert balanced_repeats(samples, "age").tolist() == [1] * 12
    assert balanced_repeats(samples, None).tolist() == [1] * 12
    samples = [Sample(image, box, {"glasses": each}) for each in [0.0] * 9 + [1.0]]  # of a mapping
    assert balanced_repeats(samples, "glasses").tolist() == [1] * 9 + [3]
    votes = [[0.9, 0.1]] * 9 + [[0.4, 0.6]]
    samples = [Sample(image, box, {"expression": np.array(each)}) for each in votes]
    assert balanced_repeats(samples, "expression").tolist() == [1] * 9 + [3]


def test_axes_on_a_contact_sheet_point_where_the_face_does() -> None:
    """The blue axis leaves the face: to the image's left for a positive yaw."""
    image, box = np.zeros((100, 100, 3), np.uint8), np.array([30.0, 30.0, 70.0, 70.0])
    labels = [np.array([60.0, 0.0, 0.0]), matrix_from_angles(-60, 0, 0)]
    samples = [Sample(image, box, {"pose": label}) for label in labels]
    with Image.open(io.BytesIO(contact_sheet(samples, columns=2))) as picture:
        tiles = np.split(np.asarray(picture).astype(int), 2, axis=1)
    for tile, side in zip(tiles, (-1, 1), strict=True):
        blue = (tile[..., 2] > 200) & (tile[..., 0] < 120)
        columns = np.nonzero(blue)[1] - tile.shape[1] / 2
        assert np.sign(columns.mean()) == side


def test_missing_and_damaged_data_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FACEPERC_DATA", raising=False)
    with pytest.raises(DataError, match="FACEPERC_DATA"):
        data_folder()
    with pytest.raises(DataError, match="does not exist"):
        data_folder(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"w300.train\.parquet: missing"):
        samples(tmp_path, "w300")
    (tmp_path / "w300").mkdir()
    (tmp_path / "w300/train.parquet").write_bytes(b"no parquet")
    with pytest.raises(DataError, match="not a readable parquet file"):
        samples(tmp_path, "w300")
    pack = write_pack(tmp_path / "pack", rows=2)
    table = pq.read_table(pack / "fer2013/train.parquet").to_pylist()
    table[1]["image"]["bytes"] = table[1]["image"]["bytes"][:100]
    import pyarrow as pa

    pq.write_table(pa.Table.from_pylist(table), pack / "fer2013/train.parquet")
    with pytest.raises(DataError, match=r"fer2013.train\.parquet row 1: the image cannot be decoded"):
        samples(pack, "fer2013")
    pq.write_table(
        pq.read_table(pack / "utkface/train.parquet").drop(["age"]), pack / "utkface/train.parquet"
    )
    with pytest.raises(DataError, match="no column 'age'"):
        samples(pack, "utkface")


def test_unknown_sources_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "sources.yaml"
    path.write_text("- {class_path: faceperc.data.pack.W3000}")
    with pytest.raises(ConfigError, match="W3000"):
        load_sources(path)


def test_a_limit_takes_rows_from_all_over_the_file(tmp_path: Path) -> None:
    """Data sets are sorted by class or person: their first rows are no fair choice."""
    pack = write_pack(tmp_path, rows=300)  # more than are in memory at a time
    (source,) = (source for source in load_sources() if source.name == "fer2013")
    rows = [int(sample.name.rpartition(" ")[2]) for sample in source.read(pack, "train", limit=4)]
    assert rows == [0, 99, 199, 299]
    assert [sample.name for sample in source.read(pack, "train", limit=301)] == [
        f"{pack / 'fer2013/train.parquet'} row {index}" for index in range(300)
    ]
    assert source.read(pack, "train", limit=0) == []
