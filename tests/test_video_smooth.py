"""The One-Euro filters: constants stay, new values are reached, and units do not matter."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from faceperc.kinds import Classes, Points, Probabilities, Rotation, Scalar
from faceperc.video.smooth import (
    OneEuro,
    RotationOneEuro,
    Smoother,
    face_size,
    rotation_matrix,
    rotation_vector,
)

Array = NDArray[np.float64]

BOX = np.array([100.0, 100.0, 180.0, 200.0])
vectors = st.lists(st.floats(-1.7, 1.7), min_size=3, max_size=3).map(np.array)
lengths = st.floats(0.01, 100.0)
steps = st.lists(st.floats(0.001, 0.2), min_size=5, max_size=30)


def angle(first: Array, second: Array) -> float:
    return float(np.linalg.norm(rotation_vector(first.T @ second)))


def motion(time: float) -> Array:
    """(3, 2) points that speed up, slow down and turn, in face sizes."""
    wave = np.array([np.sin(2 * time), 0.5 * np.cos(3 * time)])
    return np.array([[0.0, 0.0], [0.3, 0.1], [0.1, 0.4]]) + wave


def filtered(rate: float, seconds: float = 3.0, size: float = 1.0) -> list[Array]:
    one_euro = OneEuro()
    count = round(rate * seconds)
    return [one_euro(size * motion(i / rate), 1 / rate if i else 0.0, size) for i in range(count)]


@given(vectors)
def test_rotation_vectors_are_their_matrices_inverse(vector: Array) -> None:
    turn = np.linalg.norm(vector)
    wanted = vector if turn <= np.pi else vector * (1 - 2 * np.pi / turn)  # the shorter way round
    matrix = rotation_matrix(vector)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(rotation_vector(matrix), wanted, atol=1e-7)


@pytest.mark.parametrize("axis", [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.6, 0, 0.8]])
def test_rotation_vector__half_a_turn(axis: list[float]) -> None:
    found = rotation_vector(rotation_matrix(np.pi * np.array(axis)))
    assert abs(found @ axis) == pytest.approx(np.pi)


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=2).map(np.array), steps)
def test_a_constant_stays(value: Array, seconds: list[float]) -> None:
    one_euro = OneEuro()
    for each in seconds:
        np.testing.assert_allclose(one_euro(value[None], each), value[None], rtol=1e-12, atol=1e-9)


@given(vectors, steps)
def test_a_constant_rotation_stays(vector: Array, seconds: list[float]) -> None:
    matrix, turn = rotation_matrix(vector), RotationOneEuro()
    for each in seconds:
        assert angle(turn(matrix, each), matrix) < 1e-6


def test_a_new_value_is_reached_without_overshoot() -> None:
    one_euro = OneEuro()
    one_euro(np.zeros((1, 2)), 0.0)
    way = [float(one_euro(np.ones((1, 2)), 1 / 30)[0, 0]) for _ in range(90)]
    assert way == sorted(way) and way[-1] <= 1 and way[-1] == pytest.approx(1, abs=1e-3)


@given(lengths, st.lists(st.floats(-5e3, 5e3), min_size=2, max_size=2).map(np.array))
@settings(max_examples=20)
def test_points_know_no_camera(scale: float, offset: Array) -> None:
    one, other = OneEuro(), OneEuro()
    for index in range(20):
        seconds, points = 1 / 30 if index else 0.0, motion(index / 30)
        wanted = scale * one(points, seconds, 1.0) + offset
        np.testing.assert_allclose(
            other(scale * points + offset, seconds, scale), wanted, rtol=1e-6, atol=1e-6
        )


@pytest.mark.parametrize("rate", [15, 60, 120])
def test_points_hardly_know_the_frame_rate(rate: int) -> None:
    # compared where both have frames, after the first of them have passed
    common = 30 if rate > 30 else rate
    usual, other = filtered(30)[:: 30 // common], filtered(rate)[:: rate // common]
    gap = np.array([np.linalg.norm(a - b, axis=1).max() for a, b in zip(usual, other, strict=True)])
    assert gap[common // 2 :].max() < 0.02  # of the face's size; the motion spans 2


def test_time_counts_not_frames() -> None:
    """Frames that come late are weighted as much as the time that has gone by."""
    even, uneven = OneEuro(), OneEuro()
    times = np.cumsum(np.random.default_rng(0).uniform(0.01, 0.06, 100))
    last, found = 0.0, {}
    for time in times:
        found[time] = uneven(motion(time), time - last)
        last = time
    fine = [even(motion(i / 1000), 1e-3 if i else 0.0) for i in range(int(times[-1] * 1000) + 2)]
    gaps = [np.abs(found[time] - fine[round(time * 1000)]).max() for time in times[30:]]
    assert max(gaps) < 0.03


@given(vectors, vectors, st.integers(0, 1000))
@settings(max_examples=30)
def test_a_rotation_stays_a_rotation_and_knows_no_axes(first: Array, second: Array, seed: int) -> None:
    """It is smoothed on SO(3): turning the camera and then smoothing is smoothing and then turning."""
    turn, turned = RotationOneEuro(), RotationOneEuro()
    camera, random = rotation_matrix(second), np.random.default_rng(seed)
    for _ in range(10):
        matrix = rotation_matrix(first) @ rotation_matrix(0.3 * random.standard_normal(3))
        found = turn(matrix, 1 / 30)
        np.testing.assert_allclose(found @ found.T, np.eye(3), atol=1e-9)
        assert np.linalg.det(found) == pytest.approx(1)
        assert angle(turned(camera @ matrix, 1 / 30), camera @ found) < 1e-6


def test_a_rotation_takes_the_shortest_way_over_half_a_turn() -> None:
    """Yaw goes from 170 to -170 degrees: through 180, not through 0."""
    turn = RotationOneEuro()
    start, end = (rotation_matrix(np.radians([0, degrees, 0])) for degrees in (170.0, -170.0))
    turn(start, 0.0)
    for _ in range(60):
        found = turn(end, 1 / 30)
        assert angle(start, found) <= np.radians(20) + 1e-6
    assert angle(found, end) < np.radians(0.5)


def test_a_steady_turn_is_followed() -> None:
    """Two radians per second: 3 degrees behind, where a filter that knows no speed is 23 degrees behind."""
    turn = RotationOneEuro()
    for index in range(60):
        matrix = rotation_matrix(np.array([0.0, 2 * index / 30, 0.0]))
        found = turn(matrix, 1 / 30)
    assert 0 < angle(found, matrix) < np.radians(4)


def noisy(smoother: Smoother, sigma: float, frames: int = 120, noise: float = 0.2) -> Array:
    """(frames, 4, 2) smoothed points of a still face with noise, pixels."""
    random = np.random.default_rng(0)
    still = np.array([[110.0, 120], [170, 120], [140, 150], [140, 190]])
    out = []
    for index in range(frames):
        points = Points(still + noise * random.standard_normal(still.shape), np.full(4, sigma))
        tasks, _ = smoother({"anything": points}, BOX, index / 30)
        out.append(tasks["anything"].points)  # type: ignore[attr-defined]
    return np.stack(out[30:])


def spread(points: Array) -> float:
    return float(points.std(axis=0).mean())


def test_smoothing_calms() -> None:
    assert spread(noisy(Smoother(), 2.0)) < 0.5 * 0.2


def test_uncertain_points_are_smoothed_more() -> None:
    sure, unsure = spread(noisy(Smoother(), 2.0)), spread(noisy(Smoother(), 8.0))
    assert unsure < 0.7 * sure


def test_uncertainty_counts_in_units_of_the_face() -> None:
    """The same face at half the distance: twice the pixels, the same smoothing."""
    size = face_size(BOX)
    for scale in (0.5, 2.0):
        one, other = Smoother(), Smoother()
        random = np.random.default_rng(1)
        for index in range(30):
            points = 100 + 50 * random.standard_normal((4, 2))
            a, box_a = one({"p": Points(points, np.full(4, 0.03 * size))}, BOX, index / 30)
            scaled = Points(scale * points, np.full(4, scale * 0.03 * size))
            b, box_b = other({"p": scaled}, scale * BOX, index / 30)
            np.testing.assert_allclose(b["p"].points, scale * a["p"].points)  # type: ignore[attr-defined]
            np.testing.assert_allclose(box_b, scale * box_a)


def test_every_kind_is_smoothed_whatever_its_name() -> None:
    smoother = Smoother()
    labels = ("a", "b")
    bins = np.array([10.0, 20.0])
    for index, first in enumerate([0.0, 1.0]):
        tasks: dict[str, Any] = {
            "x1": Classes(np.array([first, 1 - first]), labels),
            "x2": Probabilities(np.array([first, 0.5]), labels),
            "x3": Scalar(10 + 10 * first, "years", bins, np.array([1 - first, first])),
            "x4": Rotation(rotation_matrix(np.array([0.0, 0.2 * first, 0.0]))),
            "x5": Points(np.full((2, 2), 100 + 10 * first), None, visibility=np.array([first, 1 - first])),
        }
        smooth: dict[str, Any] = smoother(tasks, BOX, index / 30)[0]
    assert 0 < smooth["x1"].probabilities[0] < 0.5 and smooth["x1"].probabilities.sum() == pytest.approx(1)
    assert 0 < smooth["x2"].values[0] < 0.5 and smooth["x2"].values[1] == pytest.approx(0.5)
    assert 10 < smooth["x3"].value < 15
    assert smooth["x3"].value == pytest.approx(smooth["x3"].distribution @ bins)
    assert 0 < angle(np.eye(3), smooth["x4"].matrix) < 0.2
    assert 100 < smooth["x5"].points[0, 0] < 110 and 0 < smooth["x5"].visibility[0] < 0.5


def test_results_may_be_changed_by_whoever_gets_them() -> None:
    """As by dividing points by the picture's size: the filters remember what they gave."""
    random, kept, spoilt = np.random.default_rng(0), Smoother(), Smoother()
    for index in range(5):
        share = random.uniform()
        tasks: dict[str, Any] = {
            "p": Points(random.uniform(100, 180, (4, 2)), visibility=random.uniform(size=4)),
            "r": Rotation(rotation_matrix(random.standard_normal(3))),
            "c": Classes(np.array([share, 1 - share]), ("a", "b")),
            "a": Probabilities(random.uniform(size=2), ("a", "b")),
        }
        wanted, wanted_box = kept(tasks, BOX + share, index / 30)
        found, box = spoilt(tasks, BOX + share, index / 30)
        np.testing.assert_array_equal(box, wanted_box)
        box[:] = 0
        fields = {"p": ("points", "visibility"), "r": ("matrix",), "c": ("probabilities",), "a": ("values",)}
        for name, attributes in fields.items():
            for attribute in attributes:
                array = getattr(found[name], attribute)
                np.testing.assert_array_equal(array, getattr(wanted[name], attribute))
                array[:] = 0
        # the wanted ones stay as they are, but what came in may be spoilt with what went out
        assert tasks["c"].probabilities.sum() == pytest.approx(1)


def test_two_frames_of_one_time_are_no_error() -> None:
    smoother = Smoother()
    for _ in range(2):
        tasks, box = smoother({"p": Points(np.full((4, 2), 120.0)), "r": Rotation(np.eye(3))}, BOX, 1.0)
    np.testing.assert_array_equal(tasks["p"].points, np.full((4, 2), 120.0))  # type: ignore[attr-defined]
    np.testing.assert_array_equal(box, BOX)
