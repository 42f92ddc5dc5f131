"""Augmentation: bent views, covers, rotation consistency, and the timing of it all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_train import ROOT, recipe
from tiny_pack import project, tiny_config, write_pack

from faceperc.bench.cli import main as bench
from faceperc.bench.train import Stage, summarise, time_rounds
from faceperc.config import FaceModelConfig, build_heads
from faceperc.consistency import rotation_consistency, turned
from faceperc.crop import CropRule, FaceCrop, bent
from faceperc.data.augment import Augment, AugmentConfig
from faceperc.data.cover import SHAPES, random_cover
from faceperc.data.derive import fit_rotation
from faceperc.data.mean_face import MEAN_FACE
from faceperc.data.mix import FaceDataset
from faceperc.data.source import Sample
from faceperc.data.view import FOCAL, View
from faceperc.errors import ConfigError
from faceperc.heads.parsing import SetMask, class_set
from faceperc.rotations import geodesic_degrees, matrix_from_angles, roll_matrix
from faceperc.train import main as train

CONFIG = FaceModelConfig.from_dict(tiny_config())
STRONG = AugmentConfig(perspective=20, aspect=0.15, occlusion=0.5, harshness=1.0)
SIZE = 64


@st.composite
def views(draw: st.DrawFn) -> View:
    """Any view, nearly always bent, of the middle of a 120 x 120 image."""
    number = lambda low, high: draw(st.floats(low, high))  # noqa: E731
    crop = FaceCrop((number(50, 70), number(50, 70)), number(50, 110), SIZE, number(-180, 180))
    turn = (number(-30, 30), number(-30, 30))
    return View(crop, draw(st.booleans()), turn=turn, aspect=number(0.8, 1.25))


@settings(max_examples=40, deadline=None)
@given(view=views())
def test_points_go_through_a_bent_view_and_back(view: View) -> None:
    points = np.random.default_rng(0).uniform(30, 90, (20, 2))
    inside = view.points(points)
    if view.flip:
        inside = inside * [-1, 1] + [SIZE - 1, 0]
    bend = view.bend(SIZE)
    back = inside if bend is None else bent(np.linalg.inv(bend), inside)
    np.testing.assert_allclose(view.crop.to_image(back), points, atol=1e-8)
    middle = np.full(2, (SIZE - 1) / 2)
    np.testing.assert_allclose(view.points(view.crop.centre), middle, atol=1e-8)


@settings(max_examples=40, deadline=None)
@given(view=views())
def test_pixels_and_labels_lie_where_the_points_say(view: View) -> None:
    """Every pixel of the image carries its own place."""
    rows, columns = np.mgrid[:120, :120]
    points = np.random.default_rng(0).uniform(5, 114, (400, 2))
    inside = view.points(points)
    shown = ((inside > 1) & (inside < SIZE - 2)).all(1)
    if shown.sum() < 50:
        return
    points, inside = points[shown], inside[shown].astype(np.float32)
    image = np.stack([2 * columns, 2 * rows, 0 * rows], axis=2).astype(np.uint8)
    found = cv2.remap(view.pixels(image).astype(np.float32), inside[:, None], None, cv2.INTER_LINEAR)
    places = (found[:, 0, :2] + 0.5) / 2  # Pillow cuts values off or rounds them, as it resamples: up to 0.25
    np.testing.assert_allclose(places, points, atol=0.4)
    assert np.abs((places - points).mean(0)).max() < 0.3
    labels = view.labels(rows * 120 + columns + 1, SIZE)
    y, x = np.nonzero(labels)
    source = labels[y, x] - 1
    taken = np.stack([source % 120, source // 120], axis=1)
    gap = view.points(taken) - np.stack([x, y], axis=1)
    # the nearest pixel of the image: at most half a one off, in each direction
    halves = [view.points(taken + half) - view.points(taken) for half in ([0.5, 0.0], [0.0, 0.5])]
    assert (np.abs(gap) <= np.abs(halves).sum(0) + 0.02).all()


@settings(max_examples=20, deadline=None)
@given(view=views())
def test_mirroring_a_mirrored_view_is_the_view(view: View) -> None:
    random = np.random.default_rng(0)
    image, labels = random.integers(0, 256, (120, 120, 3), np.uint8), random.integers(0, 9, (120, 120))
    mirrored = replace(view, flip=not view.flip)
    np.testing.assert_array_equal(mirrored.pixels(image)[:, ::-1], view.pixels(image))
    np.testing.assert_array_equal(mirrored.labels(labels, 32)[:, ::-1], view.labels(labels, 32))
    np.testing.assert_allclose(
        mirrored.points([10.0, 90.0]) * [-1, 1] + [SIZE - 1, 0], view.points([10.0, 90.0])
    )
    mirror = np.diag([-1.0, 1.0, 1.0])
    rotation = matrix_from_angles(20, 10, 5)
    np.testing.assert_allclose(mirror @ mirrored.rotation(rotation) @ mirror, view.rotation(rotation))


def photographed(rotation: np.ndarray, crop: FaceCrop) -> np.ndarray:
    """(68, 2) image pixels of the mean face before a pinhole camera that looks at the crop's centre; the crop
    is 22 cm wide where the head is."""
    head = (MEAN_FACE - MEAN_FACE.mean(0)) @ rotation.T * [1, -1, -1] + [0, 0, FOCAL * 22]
    return FOCAL * crop.side * head[:, :2] / head[:, 2:] + crop.centre


@settings(max_examples=40, deadline=None)
@given(
    turn=st.tuples(st.floats(-25, 25), st.floats(-25, 25)),
    yaw=st.floats(-60, 60),
    pitch=st.floats(-30, 30),
    angle=st.floats(-60, 60),
)
def test_rotations_explain_what_a_turned_camera_sees(
    turn: tuple[float, float], yaw: float, pitch: float, angle: float
) -> None:
    """A calibrated camera finds the label from the view's points, along its line of sight to the centre."""
    crop = FaceCrop((60.0, 50.0), 80.0, SIZE, angle)
    view = View(crop, turn=turn)
    rotation = matrix_from_angles(yaw, pitch, 10)
    points = view.points(photographed(rotation, crop))
    sight = cv2.Rodrigues(np.radians([*turn, 0.0]))[0][:, 2]  # to the centre, in the turned camera's axes
    focal, middle = FOCAL * SIZE, (SIZE - 1) / 2
    principal = middle - focal * sight[:2] / sight[2]
    camera = np.array([[focal, 0, principal[0]], [0, focal, principal[1]], [0, 0, 1.0]])
    ok, vector, _ = cv2.solvePnP(MEAN_FACE, points, camera, None, flags=cv2.SOLVEPNP_SQPNP)
    assert ok
    axis = np.cross([0, 0, 1.0], sight)  # the shortest turn from the optical axis to the line of sight
    sine = np.linalg.norm(axis)
    look = cv2.Rodrigues(axis / sine * np.arcsin(sine))[0] if sine > 1e-9 else np.eye(3)
    found = np.diag([1.0, -1.0, -1.0]) @ look.T @ cv2.Rodrigues(vector)[0]
    np.testing.assert_allclose(found, view.rotation(rotation), atol=1e-3)


@settings(max_examples=40, deadline=None)
@given(
    turn=st.tuples(st.floats(-20, 20), st.floats(-20, 20)),
    aspect=st.floats(0.9, 1.1),
    yaw=st.floats(-50, 50),
    pitch=st.floats(-25, 25),
)
def test_the_pose_that_landmarks_show_hardly_changes(
    turn: tuple[float, float], aspect: float, yaw: float, pitch: float
) -> None:
    """What an uncalibrated look at the points says before and after a turn of up to 28 degrees."""
    crop = FaceCrop((60.0, 50.0), 80.0, SIZE)
    points = photographed(matrix_from_angles(yaw, pitch, 0), crop)
    before, after = (
        torch.from_numpy(fit_rotation(view.points(points), MEAN_FACE))[None]
        for view in (View(crop), View(crop, turn=turn, aspect=aspect))
    )
    assert float(geodesic_degrees(before, after)) < 4.0


def test_a_part_of_a_photograph_is_cropped_like_the_whole() -> None:
    random = np.random.default_rng(0)
    image = random.integers(0, 256, (300, 400, 3), np.uint8)
    crop, moved = FaceCrop((210.3, 151.7), 150.0, 32, 20.0), FaceCrop((110.3, 103.7), 150.0, 32, 20.0)
    bend = View(crop, turn=(12.0, -8.0)).bend(32)
    for args in ((), (0, bend)):
        whole, part = crop.warp(image, *args), moved.warp(image[48:, 100:], *args)
        assert np.abs(whole.astype(int) - part).max() <= 1 and whole.std() > 5
    outside = FaceCrop((-900.0, 50.0), 150.0, 32)
    assert (outside.warp(image, 7) == 7).all() and (outside.warp(image, 7, bend) == 7).all()


def face_sample(**labels: Any) -> Sample:
    points = project(10, 0, 0)
    image = np.random.default_rng(1).integers(0, 256, (96, 96, 3), np.uint8)
    box = np.array([20.0, 10.0, 76.0, 80.0])
    return Sample(image, box, labels or {"landmarks": points, "pose": np.array([10.0, 0.0, 0.0])})


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("flip", [False, True])
def test_covers_hide_a_part_and_leave_the_rest(shape: str, flip: bool) -> None:
    sample = face_sample()
    plain = View(FaceCrop.from_box(sample.box, CONFIG.crop_rule), flip)
    before = plain.pixels(sample.image)
    shares = []
    for seed in range(10):
        random = np.random.default_rng(seed)
        cover = random_cover(shape, plain.points(sample.labels["landmarks"]), SIZE, random)
        view = replace(plain, cover=cover)
        after = Augment(AugmentConfig(photometric=0), CONFIG.crop_rule, seed).change(before, cover)
        np.testing.assert_array_equal(after[cover.opacity == 0], before[cover.opacity == 0])
        hidden = cover.hidden(SIZE)
        shares.append(hidden.mean())
        assert (after[hidden] != before[hidden]).any()
        sets = np.full((96, 96), class_set("skin"), np.int32)
        target = build_heads(CONFIG)["parsing"].encode(SetMask(sets), view)["sets"]
        half = cover.hidden(SIZE // 2)
        unknown = shape in ("patch", "hand")
        assert (target[half] == (0 if unknown else class_set("background"))).all()
        seen = plain.labels(sets, SIZE // 2)
        np.testing.assert_array_equal(target[~half], seen[~half])
        landmarks = build_heads(CONFIG)["landmarks"]
        label = sample.labels["landmarks"]
        np.testing.assert_array_equal(
            landmarks.encode(label, view)["points"], landmarks.encode(label, plain)["points"]
        )
    assert min(shares) > 0 and max(shares) < 0.6


def test_masks_hide_the_mouth_and_sunglasses_the_eyes() -> None:
    points = project(0, 0, 0) * SIZE / 96
    eyes, mouth = points[[37, 44]].round().astype(int), points[[51, 57]].round().astype(int)
    for seed in range(5):
        mask = random_cover("mask", points, SIZE, np.random.default_rng(seed)).opacity
        glasses = random_cover("sunglasses", points, SIZE, np.random.default_rng(seed)).opacity
        assert (mask[mouth[:, 1], mouth[:, 0]] == 255).all() and (mask[eyes[:, 1], eyes[:, 0]] == 0).all()
        assert (glasses[eyes[:, 1], eyes[:, 0]] > 180).all()
        assert (glasses[mouth[:, 1], mouth[:, 0]] == 0).all()


def test_labels_that_a_thing_may_refute_are_left_out() -> None:
    heads = build_heads(CONFIG)
    every = {"landmarks": project(0, 0, 0), "attributes": np.ones(40), "age": 30.0}
    augment = Augment(AugmentConfig(occlusion=1.0), CONFIG.crop_rule, seed=0)
    dataset = FaceDataset([[face_sample(**every)], [face_sample(age=30.0)]], heads, CONFIG.crop_rule, augment)
    kept = [frozenset(dataset[0][1]) for _ in range(30)]
    assert set(kept) == {frozenset({"landmarks"}), frozenset(every)}  # a thing; a patch
    for _ in range(10):  # nothing would be left to learn: only patches hide this face
        assert set(dataset[1][1]) == {"age"}


@pytest.mark.parametrize("labels", [{}, {"age": 30.0}])
def test_seeds_reproduce_views_and_pixels(labels: dict[str, Any]) -> None:
    sample = face_sample(**labels)

    def crops(seed: int) -> list[np.ndarray]:
        augment = Augment(STRONG, CONFIG.crop_rule, seed)
        return [augment.pixels(sample, augment.view(sample)) for _ in range(12)]

    first, again, other = crops(3), crops(3), crops(4)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(first, other, strict=True))
    assert all(crop.shape == (SIZE, SIZE, 3) and crop.dtype == np.uint8 for crop in first)


def test_options_that_are_off_leave_the_views_alone() -> None:
    plain, rule = AugmentConfig(), CropRule(SIZE)
    for options in ({"perspective": 10.0}, {"aspect": 0.1}, {"occlusion": 1.0}, {"harshness": 1.0}):
        first, second = (Augment(c, rule, 0).view(face_sample()) for c in (plain, replace(plain, **options)))
        assert (first.crop, first.flip, first.visible) == (second.crop, second.flip, second.visible)
        assert first.bend(SIZE) is None and first.cover is None


class Compass(torch.nn.Module):
    """A head pose "network": the rotation in the image plane that brings the top to the brightest spot, and
    ``excess`` times as much again."""

    tasks = ("pose",)

    def __init__(self, excess: float) -> None:
        super().__init__()
        self.excess = torch.nn.Parameter(torch.tensor(excess))

    def head(self, task: str) -> Any:
        return SimpleNamespace(info=SimpleNamespace(kind="rotation"), decode=lambda raw: raw)

    def forward(self, crops: torch.Tensor) -> dict[str, dict[str, torch.Tensor]]:
        place = torch.arange(crops.shape[1]) - (crops.shape[1] - 1) / 2
        x, y = (crops[..., 0] * place).sum((1, 2)), (crops[..., 0] * place[:, None]).sum((1, 2))
        return {"pose": {"matrix": roll_matrix(torch.atan2(x, -y) * (1 + self.excess))}}


def spot(angle: float) -> torch.Tensor:
    """(1, 65, 65, 3) a spot at this clockwise angle from the top, radians."""
    rows, columns = torch.meshgrid(torch.arange(65) - 32.0, torch.arange(65) - 32.0, indexing="ij")
    x, y = 15 * np.sin(angle), -15 * np.cos(angle)
    grey = 255 * torch.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 18)
    return grey.to(torch.uint8)[None, ..., None].repeat(1, 1, 1, 3)


def test_crops_turn_clockwise() -> None:
    crops = torch.randint(0, 256, (2, 32, 32, 3), dtype=torch.uint8)
    quarter = turned(crops, torch.tensor([np.pi / 2, 0.0]))
    assert torch.equal(quarter[0], torch.rot90(crops[0], -1)) and torch.equal(quarter[1], crops[1])


def test_rotation_consistency_is_zero_for_what_turns_with_the_crop() -> None:
    torch.manual_seed(0)
    crops = torch.cat([spot(angle) for angle in (0.3, -1.0, 2.0, 2.9)])
    right, wrong = Compass(0.0), Compass(1.0)
    assert rotation_consistency(right, crops, right(crops)) < 0.01  # type: ignore[arg-type]
    loss = rotation_consistency(wrong, crops, wrong(crops))  # type: ignore[arg-type]
    assert loss > 0.1
    loss.backward()
    assert wrong.excess.grad is not None and wrong.excess.grad.abs() > 0


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pack(tmp_path_factory.mktemp("pack"), rows=2)


def test_training_with_strong_augmentation(tmp_path: Path, pack: Path) -> None:
    path = recipe(tmp_path, pack)
    assert train([str(path), str(ROOT / "configs/train/strong.yaml"), "--data.epoch_size", "16"]) == 0
    assert (tmp_path / "run/model/model.safetensors").is_file()
    heads = {task: spec for task, spec in tiny_config()["heads"].items() if task != "pose"}
    poseless = recipe(tmp_path, pack, heads=heads)
    with pytest.raises(ConfigError, match="rotation_consistency needs"):
        train([str(poseless), "--model.rotation_consistency", "0.1"])


def test_bench_compares_the_stages_of_a_recipe(
    tmp_path: Path, pack: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--rounds", "1", "--data.batch_size", "4"]
    for source in ([], ["--synthetic", "--data.path", "nowhere"]):
        assert bench(["train", str(recipe(tmp_path, pack)), *options, *source]) == 0
        printed = capsys.readouterr().out
        for stage in ("data: decode", "data: whole loader", "fp32 forward", "bf16 backward", "whole step"):
            assert stage in printed


def test_ratios_are_medians_over_rounds_of_the_same_run() -> None:
    calls: list[str] = []
    stages = [Stage(name, lambda name=name: calls.append(name)) for name in "ab"]  # type: ignore[misc]
    rows = time_rounds(stages, {"both": ["a", "b"]}, rounds=2)
    assert calls == ["a", "b"] * 3  # in turn; the first round does not count
    assert len(rows) == 2 and all(row["both"] == row["a"] + row["b"] for row in rows)
    rows = [{"a": 1.0, "b": 2.0}, {"a": 10.0, "b": 10.0}, {"a": 1.0, "b": 4.0}]
    timing = {timing.name: timing for timing in summarise(rows, 8, "b")}["a"]
    assert (timing.ratio, timing.lowest, timing.highest) == (2.0, 1.0, 4.0)
    assert timing.images_per_second == 8.0


def test_a_backdrop_fills_what_lies_outside_and_nothing_else() -> None:
    face, other = np.full((64, 64, 3), 200, np.uint8), np.full((300, 300, 3), 90, np.uint8)
    tight = Sample(face, np.array([8.0, 8.0, 56.0, 56.0]), {})
    wide = Sample(other, np.array([100.0, 100.0, 200.0, 200.0]), {})
    plain = AugmentConfig(rotation=0, scale=0, shift=0, flip=0, tight=0, photometric=0, backdrop=1.0)
    rule = CropRule(SIZE, scale=2.0)
    augment = Augment(plain, rule, seed=0)
    view = augment.view(tight)
    crop = augment.pixels(tight, view, around=wide)
    inside = view.pixels(np.full_like(face, 255))[..., 0]
    assert (crop[inside == 255] == 200).all() and (crop[inside == 0] == 90).all()
    assert (inside == 0).any() and (inside == 255).any()
    # the data set asks for one where the recipe says so, and only there
    always, never = (
        FaceDataset([[tight], [wide]], {}, rule, Augment(replace(plain, backdrop=share), rule, seed=0))
        for share in (1.0, 0.0)
    )
    assert any((always[0][0] == 90).any() for _ in range(8)) and not (never[0][0] == 90).all(-1).any()
