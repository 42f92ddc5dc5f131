"""Rendered heads: geometry, visibility and files, on a hand-made head that needs no data."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tiny_head import write_tiny_model

from faceperc.crop import box_from_landmarks
from faceperc.data import cli
from faceperc.data.mean_face import MEAN_FACE
from faceperc.errors import DataError, UsageError
from faceperc.rotations import matrix_from_angles
from faceperc.synthetic import store
from faceperc.synthetic.camera import Camera, random_view, rotation_of_view
from faceperc.synthetic.hair import random_hair
from faceperc.synthetic.headwear import random_headwear
from faceperc.synthetic.model import FaceModel, load_model
from faceperc.synthetic.raster import Buffer, rasterise
from faceperc.synthetic.render import Rendered, render
from faceperc.synthetic.skull import skull_map
from faceperc.synthetic.store import Order, read_heads, render_file

MIRROR = np.diag([-1.0, 1.0, 1.0])
#: Index of the point that mirrors each of the 68 points.
SWAPPED = np.array([
    *range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1),
    45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40,
    *range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), *range(67, 64, -1),
])  # fmt: skip
angles = st.tuples(st.floats(-180, 180), st.floats(-85, 85), st.floats(-180, 180))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def model(data: Path) -> FaceModel:
    return load_model(data)


def head(model: FaceModel, seed: int, *view: float, size: int = 48) -> Rendered:
    turn, pitch, roll = view
    return render(np.random.default_rng(seed), model, size, (turn, pitch, roll))


@given(st.floats(-180, 180))
@settings(max_examples=20, deadline=None)
def test_each_angle_alone_is_the_contracts(angle: float) -> None:
    for place in range(3):
        view = [0.0, 0.0, 0.0]
        view[place] = angle
        np.testing.assert_allclose(rotation_of_view(*view), matrix_from_angles(*view), atol=1e-12)


@given(angles)
@settings(max_examples=30, deadline=None)
def test_a_mirrored_head_has_mirrored_points(view: tuple[float, float, float]) -> None:
    turn, pitch, roll = view
    rotation = rotation_of_view(turn, pitch, roll)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    mirrored = rotation_of_view(-turn, pitch, -roll)
    np.testing.assert_allclose(mirrored, MIRROR @ rotation @ MIRROR, atol=1e-12)
    centre = np.array([63.5, 63.5])
    points = Camera(rotation, np.zeros(3), 60.0, 4.0, centre).project(MEAN_FACE)
    others = Camera(mirrored, np.zeros(3), 60.0, 4.0, centre).project(MEAN_FACE)[SWAPPED]
    np.testing.assert_allclose(others[:, 0], 127 - points[:, 0], atol=1e-3)
    np.testing.assert_allclose(others[:, 1:], points[:, 1:], atol=1e-3)


def test_the_camera_magnifies_what_is_near_and_keeps_to_the_contracts_axes() -> None:
    camera = Camera(np.eye(3), np.array([0.0, 1.0, 2.0]), 50.0, 3.0, np.array([20.0, 30.0]))
    np.testing.assert_allclose(camera.project(np.array([0.0, 1.0, 2.0])), [20, 30, 0], atol=1e-6)
    left_and_up = camera.project(np.array([1.0, 2.0, 2.0]))
    np.testing.assert_allclose(left_and_up, [23, 27, 0], atol=1e-5)  # the subject's left is the image's right
    nearer = camera.project(np.array([1.0, 1.0, 27.0]))
    np.testing.assert_allclose(nearer, [26, 30, 25], atol=1e-5)
    assert np.isnan(camera.project(np.array([0.0, 0.0, 60.0]))[:2]).all()


def test_a_camera_keeps_clear_of_what_it_must_see() -> None:
    camera = Camera(rotation_of_view(0, 70, 0), np.zeros(3), 40.0, 3.0, np.array([20.0, 30.0]))
    body = np.array([[0.0, -60.0, 0.0], [0.0, 9.0, 5.0]])
    assert np.isnan(camera.project(body)).any()
    clear = camera.clear_of(body)
    assert np.isfinite(clear.project(body)).all() and clear.distance < 100
    np.testing.assert_allclose(clear.project(np.zeros(3)), camera.project(np.zeros(3)))
    assert clear.clear_of(body) == clear  # far enough stays where it is


@pytest.mark.parametrize("pitch", [-85.0, -40.0, 40.0, 85.0])
def test_no_part_of_a_body_stands_behind_the_camera(
    model: FaceModel, monkeypatch: pytest.MonkeyPatch, pitch: float
) -> None:
    drawn = []

    def spy(points: NDArray[np.float32], *rest: object) -> Buffer:
        drawn.append(points)
        return rasterise(points, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr("faceperc.synthetic.render.random_distance", lambda rng: 35.0)
    monkeypatch.setattr("faceperc.synthetic.render.rasterise", spy)
    for turn in (0.0, 180.0):
        head(model, 1, turn, pitch, 0)
    assert drawn and all(np.isfinite(points).all() for points in drawn)


def test_an_enlarged_picture_shows_the_same_places() -> None:
    camera = Camera(rotation_of_view(20, 10, 5), np.zeros(3), 60.0, 2.0, np.array([9.0, 11.5]))
    small, large = camera.project(MEAN_FACE)[:, :2], camera.enlarged(2).project(MEAN_FACE)[:, :2]
    # pixel i of the small picture covers the pixels 2 i and 2 i + 1 of the large one
    np.testing.assert_allclose(large, 2 * small + 0.5, atol=1e-4)


def test_a_larger_picture_has_the_same_head(model: FaceModel) -> None:
    small, large = (head(model, 2, 30, 10, 0, size=size) for size in (40, 80))
    np.testing.assert_allclose(large.points68, 2 * small.points68 + 0.5, atol=1e-3)
    reduced = large.image[..., 3].reshape(40, 2, 40, 2).mean((1, 3))
    inner = np.abs(reduced - small.image[..., 3])[6:-6, 6:-6]  # the borders fade, each at random
    assert inner.mean() < 4 and np.ptp(small.image[6:-6, 6:-6, 3]) == 255


def test_views_cover_all_sides() -> None:
    rng = np.random.default_rng(0)
    turn, pitch, roll = np.array([random_view(rng) for _ in range(4000)]).T
    shares = np.histogram(turn, 8, (-180, 180))[0] / len(turn)
    assert np.abs(shares - 1 / 8).max() < 0.03
    assert (np.abs(pitch) <= 85).all() and 0.02 < (np.abs(pitch) > 60).mean() < 0.05
    assert 0.04 < (np.abs(roll) > 45).mean() < 0.1


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_the_z_buffer_agrees_with_a_loop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    size = 12
    points = rng.uniform([-4, -4, -5], [16, 16, 5], (15, 3)).astype(np.float32)
    points[0] = np.nan
    triangles = rng.permuted(np.tile(np.arange(15), (8, 1)), axis=1)[:, :3].astype(np.int32)
    two_sided = rng.random(8) < 0.5
    buffer = rasterise(points, triangles, size, two_sided)
    expected = np.full((size, size), -np.inf)
    for corners, both in zip(triangles, two_sided, strict=True):
        for row in range(size):
            for column in range(size):
                depth = _depth_at(points[corners].astype(np.float64), column, row, bool(both))
                expected[row, column] = max(expected[row, column], depth)
    np.testing.assert_allclose(buffer.depth, expected, atol=1e-3)
    seen = buffer.triangle >= 0
    np.testing.assert_array_equal(seen, np.isfinite(expected))
    found = (buffer.weights[..., None] * points[triangles[buffer.triangle]]).sum(2)[seen]
    rows, columns = np.nonzero(seen)
    np.testing.assert_allclose(found[:, :2], np.stack([columns, rows], 1), atol=1e-2)


def _depth_at(corners: NDArray[np.float64], column: int, row: int, two_sided: bool) -> float:
    """Depth of one triangle at one pixel by solving for its barycentric weights; -inf outside."""
    system = np.vstack([corners[:, :2].T, np.ones(3)])
    if not np.isfinite(system).all():
        return -np.inf
    area = np.linalg.det(system)
    if area > 0 and not two_sided:
        return -np.inf
    weights = np.linalg.solve(system, [column, row, 1])
    return float(weights @ corners[:, 2]) if weights.min() >= 0 else -np.inf


def test_dropped_parts_are_not_drawn(model: FaceModel) -> None:
    assert not model.is_part("eye_blend").any()
    assert len(model.part) == len(model.triangles) > 1000


@pytest.mark.parametrize("seed", range(4))
def test_a_face_is_seen_from_the_front_and_not_from_behind(model: FaceModel, seed: int) -> None:
    inner = slice(27, 68)  # nose, eyes, mouth
    front, back = head(model, seed, 0, 0, 0), head(model, seed, 180, 0, 0)
    assert front.visible68[29:36].all() and front.visible68[48:68].all()  # glasses may hide the rest
    assert not back.visible68[inner].any()
    left = head(model, seed, 80, 0, 0)  # towards the image's left: the subject's right side is hidden
    assert not left.visible68[[36, 37, 48]].any() and left.visible68[[23, 24, 54]].all()


@pytest.mark.parametrize("turn", [0.0, 50.0, -130.0, 180.0])
def test_labels_belong_together(model: FaceModel, turn: float) -> None:
    given = head(model, 3, turn, 20, -15)
    assert given.image.shape == (48, 48, 4) and given.image.dtype == np.uint8
    np.testing.assert_array_equal(given.box, box_from_landmarks(given.points68))
    np.testing.assert_allclose(given.rotation, rotation_of_view(turn, 20, -15))
    inside = (given.points68 >= given.box[:2] - 1e-6) & (given.points68 <= given.box[2:] + 1e-6)
    assert inside.all()
    eyes = [given.points68[36:42].mean(0), given.points68[42:48].mean(0)]
    np.testing.assert_allclose(given.points5, [*eyes, *given.points68[[30, 48, 54]]])
    # points and picture belong together: there is a head at every point, or beside it on the outline
    columns, rows = given.points68.round().astype(int).T
    assert (cv2.dilate(given.image[..., 3], np.ones((3, 3)))[rows, columns] > 127).all()


def test_the_subjects_right_eye_is_left_in_a_frontal_picture_and_right_from_behind(model: FaceModel) -> None:
    front, back = head(model, 0, 0, 0, 0).points5, head(model, 0, 180, 0, 0).points5
    assert front[0, 0] < front[2, 0] < front[1, 0] and front[3, 0] < front[4, 0]
    assert back[1, 0] < back[0, 0] and back[4, 0] < back[3, 0]
    assert front[0, 1] < front[2, 1] < front[3, 1]


def test_heads_from_behind_show_hair(model: FaceModel) -> None:
    # the same person has the same skin in both pictures; where the face would be, hair differs from it
    differ = []
    for seed in range(6):
        pictures = [head(model, seed, turn, 0, 0) for turn in (0.0, 180.0)]
        colours = []
        for each in pictures:
            x, y = each.points5[:2].mean(0).round().astype(int)
            colours.append(each.image[y : y + 3, x - 1 : x + 2, :3].mean((0, 1)))
        differ.append(np.abs(colours[0] - colours[1]).max() > 15)
    assert np.mean(differ) > 0.6


def test_long_hair_does_not_hang_out_of_a_hood(model: FaceModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("faceperc.synthetic.hair._STYLES", {"bob": 0.5, "long": 0.5})
    for wear in ("none", "hood"):
        monkeypatch.setattr("faceperc.synthetic.hair._WEAR", {wear: 1.0})
        for seed in range(4):
            meshes = random_hair(np.random.default_rng(seed), skull_map(model), model.neutral).meshes
            lowest = {mesh.kind: mesh.vertices[:, 1].min() for mesh in meshes}
            ends = lowest["hair"] > lowest["cloth_head"] + 3 if wear == "hood" else lowest["hair"] < -1
            assert ends, (wear, seed, lowest)


def test_a_cap_has_a_smooth_peak(model: FaceModel) -> None:
    """Its outer edge is one curve, although the cloth around the head is uneven."""
    surface = skull_map(model).surface(model.neutral)
    for seed in range(4):
        peak = random_headwear(np.random.default_rng(seed), "cap", skull_map(model), surface)[1]
        edge = peak.vertices.reshape(8, -1, 3)[-1, 5:-5]
        bends = np.diff(edge, 2, axis=0)
        assert np.linalg.norm(bends, axis=1).max() < 0.25


def test_a_seed_fixes_everything(model: FaceModel) -> None:
    first, again, other = (render(np.random.default_rng(seed), model, 32) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.points68, again.points68)
    assert np.abs(first.points68 - other.points68).max() > 1


def test_an_interrupted_file_goes_on(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "PART", 2)
    order = Order(5, 32, 7, str(data))
    assert list(render_file(order, tmp_path / "whole.parquet")) == [0, 2, 4, 5]
    broken = render_file(order, tmp_path / "broken.parquet")
    assert [next(broken), next(broken)] == [0, 2]
    broken.close()
    assert not (tmp_path / "broken.parquet").exists()
    with pytest.raises(UsageError, match="parts of another run"):
        list(render_file(Order(5, 32, 8, str(data)), tmp_path / "broken.parquet"))
    assert list(render_file(order, tmp_path / "broken.parquet")) == [2, 4, 5]
    assert (tmp_path / "broken.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken.parquet", "whole.parquet"]


def test_files_of_others_among_the_parts_stay(data: Path, tmp_path: Path) -> None:
    order, out = Order(1, 32, 7, str(data)), tmp_path / "new" / "heads.parquet"
    parts = Path(f"{out}.parts")
    parts.mkdir(parents=True)
    (parts / "mine.txt").touch()
    with pytest.raises(UsageError, match=r"parts: cannot be used: it has other files"):
        list(render_file(order, out))
    (parts / "mine.txt").unlink()
    rendering = render_file(order, out)
    next(rendering)
    (parts / "mine.txt").touch()
    assert list(rendering) == [1] and out.exists()
    assert [path.name for path in parts.iterdir()] == ["mine.txt"]


def test_heads_come_back_from_a_file_as_they_were(data: Path, tmp_path: Path) -> None:
    path = tmp_path / "heads.parquet"
    assert (
        cli.main(["render", "3", "--out", str(path), "--size", "40", "--seed", "9", "--data", str(data)]) == 0
    )
    heads = list(read_heads(path))
    assert len(heads) == 3
    for number, found in enumerate(heads):
        drawn = render(np.random.default_rng([9, number]), load_model(data), 40)
        np.testing.assert_array_equal(found.image, drawn.image)
        np.testing.assert_array_equal(found.visible68, drawn.visible68)
        for name in ("points68", "points5", "rotation", "box"):
            np.testing.assert_allclose(getattr(found, name), getattr(drawn, name), rtol=1e-6, atol=1e-5)
    row = pq.read_table(path).to_pylist()[0]
    assert (row["width"], row["height"], len(row["landmarks"]), len(row["visible"])) == (40, 40, 136, 68)
    assert b"USC Institute for Creative Technologies" in pq.read_schema(path).metadata[b"faceperc"]


def test_processes_render_what_one_does(data: Path, tmp_path: Path) -> None:
    order = Order(2, 32, 1, str(data))
    for workers in (1, 2):
        list(render_file(order, tmp_path / f"{workers}.parquet", workers))
    assert (tmp_path / "1.parquet").read_bytes() == (tmp_path / "2.parquet").read_bytes()


def test_what_is_wrong_is_said(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="count >= 1"):
        Order(0)
    with pytest.raises(UsageError, match="1 worker or more"):
        list(render_file(Order(1, data=str(data)), tmp_path / "heads.parquet", workers=0))
    with pytest.raises(DataError, match=r"ict_face_model\.npz: missing"):
        list(render_file(Order(1, data=str(tmp_path)), tmp_path / "heads.parquet"))
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be made"):
        list(render_file(Order(1, data=str(data)), tmp_path / "file" / "heads.parquet"))
    (tmp_path / "photo.jpg").touch()
    with pytest.raises(UsageError, match=r"is no \.parquet file, so it is not replaced"):
        list(render_file(Order(1, data=str(data)), tmp_path / "photo.jpg"))
    damaged = write_tiny_model(tmp_path / "damaged") / "ict_facekit" / "ict_face_model.npz"
    damaged.write_bytes(damaged.read_bytes()[:2000])
    with pytest.raises(DataError, match="no readable ICT face model"):
        load_model(tmp_path / "damaged")
    table = {name: [[0.0]] for name in ("landmarks", "points5", "rotation", "face_box")}
    columns = pa.table({"image": [{"bytes": b"none", "path": "a.png"}], **table, "visible": [[True]]})
    pq.write_table(columns, tmp_path / "odd.parquet")
    with pytest.raises(DataError, match="row 0: no rendered head"):
        list(read_heads(tmp_path / "odd.parquet"))
