"""`faceperc bench video`: what it measures on the shipped models, never how long something took."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from faceperc import Predictor
from faceperc.bench.cli import main
from faceperc.bench.clip import Portrait, clip, sensor_noise
from faceperc.bench.video import MODES, measure_jitter, measure_lag
from faceperc.crop import check_box


def test_sensor_noise_is_what_it_says() -> None:
    random = np.random.default_rng(0)
    for grey, wanted in ((100, np.sqrt(16 + 48 * 100 / 255)), (200, np.sqrt(16 + 48 * 200 / 255))):
        noisy = sensor_noise(np.full((200, 200, 3), grey, np.uint8), random).astype(float)
        assert noisy.mean() == pytest.approx(grey, abs=0.1) and noisy.std() == pytest.approx(wanted, rel=0.02)


def test_clips_move_by_fractions_of_a_pixel() -> None:
    predictor = Predictor(threads=1, tasks="landmarks")
    portrait = Portrait.find(predictor)
    frames = clip(portrait, 100, (240, 240), [lambda t: np.array([120 + 15.0 * t, 120.0])], 0.1)
    found = [predictor(frame.image, boxes=[[75, 65, 165, 175]])[0].landmarks.points for frame in frames]
    steps = [float((after - before).mean(axis=0)[0]) for before, after in pairwise(found)]
    assert steps == pytest.approx([0.5, 0.5], abs=0.15)
    check_box(predictor(next(clip(portrait, 100, (240, 240), [lambda t: np.full(2, 120.0)], 1)).image)[0].box)


def test_smoothing_takes_jitter_and_gives_little_lag() -> None:
    predictor = Predictor(threads=1, tasks=["landmarks", "pose"])
    alone, tracked, smooth = measure_jitter(predictor, seconds=1.6)
    assert [alone.mode, tracked.mode, smooth.mode] == list(MODES)
    assert smooth.points < 0.6 * tracked.points < 0.6 * alone.points
    assert smooth.pose < 0.6 * tracked.pose and smooth.box < 0.6 * tracked.box
    lags = measure_lag(predictor, seconds=1.3, speeds=[1.0])
    assert [each.mode for each in lags] == list(MODES)
    assert abs(lags[0].frames) < 0.2 and abs(lags[1].frames) < 0.2 and abs(lags[2].frames) < 0.5


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "long"])
def test_clips_hold_a_frame(seconds: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["video", f"--seconds={seconds}"])
    assert "--seconds: is a number of seconds" in capsys.readouterr().err


def test_report(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("faceperc.bench.video.measure_jitter", lambda _: [])
    monkeypatch.setattr("faceperc.bench.video.measure_lag", lambda _: [])
    monkeypatch.setattr("faceperc.bench.video.FACES", (1, 3))
    page, out = tmp_path / "page.md", tmp_path / "out.json"
    page.write_text("# Speed\n\n<!-- faceperc bench video -->\n<!-- end of faceperc bench video -->\n")
    options = [
        "--threads",
        "1",
        "--rounds",
        "1",
        "--seconds",
        "0.2",
        "--json",
        str(out),
        "--update",
        str(page),
    ]
    assert main(["video", *options]) == 0
    speeds = json.loads(out.read_text())["speeds"]
    assert [(each["faces"], each["tracked"]) for each in speeds] == [
        (1, True), (1, False), (3, True), (3, False)
    ]  # fmt: skip
    assert all(each["ratio"]["median"] == 1.0 for each in speeds if not each["tracked"])
    assert "frames/s" in capsys.readouterr().out and "| 3 | 1 | tracked |" in page.read_text()
