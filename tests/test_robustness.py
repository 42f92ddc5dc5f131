"""Harder conditions: what they do to a face, and what the evaluation says of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_evaluate import bad, good, measured, options, pack

from faceperc.card.figures import conditions, robustness_rows
from faceperc.crop import CropRule
from faceperc.evaluate.cli import main as evaluate
from faceperc.evaluate.conditions import HARDER, PLAIN, Condition
from faceperc.evaluate.robustness import robustness

RULE = CropRule(64, 1.5, (0.0, -0.05))
NAMES = {condition.name: condition for condition in HARDER}
boxes = st.tuples(st.floats(0, 100), st.floats(0, 100), st.floats(20, 200), st.floats(20, 200)).map(
    lambda box: np.array([box[0], box[1], box[0] + box[2], box[1] + box[3]])
)


def photograph() -> np.ndarray:
    """Smooth colours with fine stripes, nowhere black."""
    y, x = np.mgrid[:240, :320]
    return np.stack([80 + x / 3, 80 + y / 2, 120 + 60 * (x % 4 > 1)], axis=-1).astype(np.uint8)


@given(boxes, st.integers(0, 11))
def test_a_wrong_box_is_off_by_15_percent(box: np.ndarray, index: int) -> None:
    longer = max(box[2] - box[0], box[3] - box[1])
    plain, off = (each.view(box, RULE, index).crop for each in (PLAIN, NAMES["box off by 15 %"]))
    moved = np.subtract(off.centre, plain.centre)
    if index % 6 < 4:
        assert np.hypot(*moved) == pytest.approx(0.15 * longer, rel=1e-6) and off.side == pytest.approx(
            plain.side
        )
    else:
        assert off.side / plain.side == pytest.approx(1.15 if index % 6 == 4 else 1 / 1.15)


@given(boxes)
def test_turned_faces_alternate_and_keep_their_place(box: np.ndarray) -> None:
    condition = NAMES["turned 30 degrees"]
    first, second = (condition.view(box, RULE, index).crop for index in (0, 1))
    assert (first.angle, second.angle) == (30.0, -30.0)
    assert first.centre == second.centre == PLAIN.view(box, RULE, 0).crop.centre


@given(boxes)
def test_the_patch_hides_the_mouth_and_not_the_eyes(box: np.ndarray) -> None:
    view = NAMES["mouth covered"].view(box, RULE, 0)
    assert view.cover is not None
    x0, y0, x1, y1 = box
    height = y1 - y0
    eyes, mouth = view.points([((x0 + x1) / 2, y0 + 0.4 * height), ((x0 + x1) / 2, y0 + 0.8 * height)])
    hidden = view.cover.hidden(RULE.size)
    assert not hidden[round(eyes[1]), round(eyes[0])] and hidden[round(mouth[1]), round(mouth[0])]


@pytest.mark.parametrize("condition", HARDER, ids=lambda condition: condition.name)
def test_pixels(condition: Condition) -> None:
    image, box = photograph(), np.array([100.0, 60.0, 180.0, 150.0])
    view = condition.view(box, RULE, 0)
    seen, plain = condition.pixels(view, image), PLAIN.pixels(PLAIN.view(box, RULE, 0), image)
    assert seen.shape == plain.shape and seen.dtype == np.uint8
    assert np.array_equal(seen, condition.pixels(view, image))  # nothing is random
    assert not np.array_equal(seen, plain)
    if condition.name == "low light":
        assert seen.mean() < 0.5 * plain.mean()
    if condition.name == "half resolution":
        assert (
            np.abs(np.diff(seen[..., 2].astype(int))).max() < np.abs(np.diff(plain[..., 2].astype(int))).max()
        )


def test_the_loss_of_an_error_and_of_an_accuracy(good: Path, bad: Path, pack: Path) -> None:
    plain, harder = measured(good, pack), measured(bad, pack)
    found = {each.task: each for each in robustness("worse points", list(plain.values()), harder.values())}
    points = found["landmarks"]
    assert points.plain > 0 and points.loss == pytest.approx((points.value - points.plain) / points.plain)
    assert points.loss > 0 and points.interval[0] <= points.value <= points.interval[1]
    assert found["pose"].loss == pytest.approx(0.0)
    # of an accuracy less is worse
    accurate = {task: replace(each) for task, each in harder.items()}
    accurate["landmarks"].head.lower_is_better = False
    [turned] = [
        each for each in robustness("", list(plain.values()), accurate.values()) if each.task == "landmarks"
    ]
    assert turned.loss == pytest.approx(-points.loss)


def test_command(
    good: Path,
    pack: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "figures.json"
    assert evaluate([str(good), *options(pack, "--robustness", "--json", out)]) == 0
    document = json.loads(out.read_text())
    found = {(each["condition"], each["task"]): each for each in document["robustness"]}
    assert {name for name, _ in found} == set(NAMES)
    # the model answers the same whatever it sees: what the frontal face in the middle of each crop is worth
    assert found["JPEG quality 30", "landmarks"]["loss"] == pytest.approx(0.0)
    assert found["box off by 15 %", "landmarks"]["loss"] > 0.1
    assert found["turned 30 degrees", "pose"]["loss"] == pytest.approx(
        0.0, abs=0.02
    )  # yaw and pitch of the image
    assert "main metrics under harder conditions" in capsys.readouterr().out
    assert conditions(document) == [each.name for each in HARDER]
    rows = robustness_rows(document)
    assert {len(row) for row in rows} == {3 + len(HARDER)} and {row[1] for row in rows} == {
        "landmarks",
        "pose",
    }
