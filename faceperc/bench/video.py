"""`faceperc bench video`: how fast, how steady and how late faces in a video are."""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from faceperc._files import check_json_target, write_file
from faceperc._parser import CommandParser
from faceperc.bench.cli import count, counts
from faceperc.bench.clip import FPS, Portrait, clip
from faceperc.bench.clock import Spread, digits, milliseconds, ratio, time_in_turn
from faceperc.bench.predict import machine
from faceperc.bench.report import Table, machine_line, markdown_tables, show_tables, update_page
from faceperc.kinds import Points, Rotation
from faceperc.predict import Predictor
from faceperc.results import Face, Faces
from faceperc.video.frames import Frame
from faceperc.video.smooth import rotation_vector
from faceperc.video.stream import FaceStream
from faceperc.zoo import DEFAULT_MODEL

Array = NDArray[np.float64]

FACES = (1, 3, 10)
SIZE = (640, 480)
LARGE = 256  # px, longer side of the face's box where jitter and lag are measured
SPEEDS = (0.25, 1.0, 3.0)  # face sizes per second
_SETTLE = 1.0  # seconds that do not count
#: Jitter and lag are measured with: name -> options of FaceStream.
MODES: dict[str, dict[str, Any]] = {
    "each frame for itself": {"track": False},
    "tracked": {"smooth": False},
    "tracked and smoothed": {},
}


@dataclass(frozen=True)
class Speed:
    """How fast faces are followed through frames that are in memory.

    Attributes:
        faces: in each frame.
        threads: of ONNX Runtime.
        tracked: whether they are tracked, or detected in each frame.
        wall_ms, cpu_ms: milliseconds per frame, on the wall and of processor time.
        ratio: time as a multiple of that without tracking in the same round.
    """

    faces: int
    threads: int
    tracked: bool
    wall_ms: Spread
    cpu_ms: Spread
    ratio: Spread


@dataclass(frozen=True)
class Jitter:
    """How results tremble on a still face of 256 px, seen with the noise of a sensor.

    Attributes:
        mode: see MODES.
        points: RMS distance of the landmarks from their means over time, pixels.
        box: the same of the box's corners.
        pose: RMS angle between the rotations and one of them in the middle of their time, degrees.
    """

    mode: str
    points: float
    box: float
    pose: float


@dataclass(frozen=True)
class Lag:
    """By how much landmarks stay behind a face of 256 px that moves at constant speed.

    Attributes:
        mode: see MODES.
        speed: in face sizes per second.
        pixels: mean distance behind.
        frames: the same in frames at 30 per second.
    """

    mode: str
    speed: float
    pixels: float
    frames: float


def main(args: list[str]) -> int:
    """Measure; `--help` lists the options."""
    parser = CommandParser(
        prog="faceperc bench video",
        description="Follow copies of the face in the bundled photograph through made-up clips: frames per "
        "second with 1, 3 and 10 faces, with tracking and without, in turn; jitter on a still face with the "
        "noise of a sensor; lag behind a moving one.",
        epilog="Example: faceperc bench video --update docs/performance.md",
    )
    parser.add_argument("model", nargs="?", default=DEFAULT_MODEL, help=f"default: {DEFAULT_MODEL}")
    parser.add_argument("--threads", type=counts, default=[1, 2], metavar="1,2", help="default: 1,2")
    parser.add_argument("--rounds", type=count, default=5, help="how often each is timed (default: 5)")
    parser.add_argument(
        "--seconds", type=_seconds, default=2.0, help="length of the timed clips (default: 2)"
    )
    parser.add_argument("--no-speed", action="store_true", help="only jitter and lag, which no load disturbs")
    parser.add_argument("--json", metavar="FILE", help="also write everything as JSON")
    parser.add_argument("--update", metavar="PAGE", type=Path, help="also put it into a Markdown page")
    options = parser.parse_args(args)
    check_json_target(options.json)
    where = machine()
    speeds: list[Speed] = []
    if not options.no_speed:
        for threads in options.threads:
            speeds += measure_speed(
                Predictor(options.model, threads=threads), threads, options.rounds, options.seconds
            )
    predictor = Predictor(options.model, threads=max(options.threads))
    jitters = measure_jitter(predictor)
    lags = measure_lag(predictor)
    found = tables(speeds, jitters, lags)
    show_tables(machine_line(where), found)
    if options.json:
        document = {"machine": where} | {
            name: [dataclasses.asdict(each) for each in rows]
            for name, rows in (("speeds", speeds), ("jitters", jitters), ("lags", lags))
        }
        write_file(options.json, (json.dumps(document, indent=2) + "\n").encode())
    if options.update:
        command = shlex.join(["faceperc", "bench", "video", *args])
        update_page(
            options.update, markdown_tables(command, machine_line(where), found), "faceperc bench video"
        )
    return 0


def _seconds(text: str) -> float:
    """A length of time, from an argument, that holds a frame.

    Raises:
        ArgumentTypeError: if it is none.
    """
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 1 / FPS <= seconds < math.inf:
        raise argparse.ArgumentTypeError(f"is a number of seconds that hold a frame; got {text!r}")
    return seconds


def measure_speed(predictor: Predictor, threads: int, rounds: int, seconds: float) -> list[Speed]:
    """Time whole clips in memory, with tracking and without in turn."""
    portrait = Portrait.find(predictor)
    work: dict[tuple[int, bool], Callable[[], object]] = {}
    for faces in FACES:
        frames = list(clip(portrait, 100 if faces < 10 else 70, SIZE, _circles(faces), seconds))
        for tracked in (True, False):
            work[faces, tracked] = partial(_follow, predictor, frames, track=tracked)
    times = time_in_turn(work, rounds)
    count = round(seconds * FPS)
    speeds = []
    for (faces, tracked), each in times.items():
        reference = times[faces, False].fair(threads)
        wall, cpu = ([value / count for value in values] for values in (each.wall, each.cpu))
        ratios = ratio(each.fair(threads), reference)
        speeds.append(Speed(faces, threads, tracked, milliseconds(wall), milliseconds(cpu), ratios))
    return speeds


def measure_jitter(predictor: Predictor, seconds: float = 5.0) -> list[Jitter]:
    """Look at a still face with the noise of a sensor."""
    frames = list(
        clip(
            Portrait.find(predictor),
            LARGE,
            SIZE,
            [lambda _: np.array([320.3, 240.4])],
            seconds,
            np.random.default_rng(0),
        )
    )
    found = []
    for mode, options in MODES.items():
        faces = _settled(_follow(predictor, frames, **options))
        points = np.stack([_points(face) for face in faces])
        corners = np.stack([face.box.reshape(2, 2) for face in faces])
        rotations = [
            each.matrix for face in faces for each in face.tasks.values() if isinstance(each, Rotation)
        ]
        found.append(Jitter(mode, _rms(points), _rms(corners), _rms_angle(rotations)))
    return found


def measure_lag(predictor: Predictor, seconds: float = 3.0, speeds: Sequence[float] = SPEEDS) -> list[Lag]:
    """Look at a face that moves to the right at constant speed."""
    portrait = Portrait.find(predictor)
    found = []
    for speed in speeds:
        pixels = speed * LARGE  # per second
        start, width = 256.0, round(512 + pixels * seconds)
        frames = list(clip(portrait, LARGE, (width, SIZE[1]), [partial(_straight, start, pixels)], seconds))
        still = _follow(predictor, frames[:1], track=False)[0][0]
        for mode, options in MODES.items():
            all_faces = _follow(predictor, frames, **options)
            behind = [
                _points(still)[:, 0].mean() + pixels * (faces.time or 0.0) - _points(faces[0])[:, 0].mean()
                for faces in all_faces
                if (faces.time or 0.0) >= _SETTLE
            ]
            found.append(Lag(mode, speed, float(np.mean(behind)), float(np.mean(behind)) / (pixels / FPS)))
    return found


def tables(speeds: Sequence[Speed], jitters: Sequence[Jitter], lags: Sequence[Lag]) -> list[Table]:
    """All figures, as text."""
    speed_rows = [
        (
            str(each.faces),
            str(each.threads),
            "tracked" if each.tracked else "detected in each frame",
            str(each.wall_ms),
            digits(each.cpu_ms.median),
            digits(1e3 / each.wall_ms.median),
            f"{each.ratio.median:.3f}",
        )
        for each in speeds
    ]
    speed_heads = ("faces", "threads", "", "wall ms/frame", "CPU ms/frame", "frames/s", "ratio")
    jitter_rows = [
        (each.mode, f"{each.points:.3f}", f"{each.box:.3f}", f"{each.pose:.3f}") for each in jitters
    ]
    jitter_heads = ("", "landmarks, px", "box, px", "pose, degrees")
    lag_rows = [
        (each.mode, digits(each.speed), f"{each.pixels:z.2f}", f"{each.frames:z.2f}") for each in lags
    ]
    lag_heads = ("", "face sizes/s", "px", "frames")
    found = [
        Table(f"Frames of {SIZE[0]} x {SIZE[1]} in memory", speed_heads, speed_rows),
        Table(
            "RMS jitter on a still face of 256 px, sensor noise of 4 to 8 grey levels",
            jitter_heads,
            jitter_rows,
        ),
        Table("Lag behind a face of 256 px at constant speed, 30 frames/s", lag_heads, lag_rows),
    ]
    return [table for table in found if table.rows]


def _follow(predictor: Predictor, frames: Sequence[Frame], **options: Any) -> list[Faces]:
    stream = FaceStream(predictor, **options)
    return [stream(frame) for frame in frames]


def _circles(count: int) -> list[Callable[[float], Array]]:
    """Faces on small circles around the places of a grid, in different phases."""
    columns = min(count, 5)
    rows = math.ceil(count / columns)
    places = [
        ((column + 0.5) * SIZE[0] / columns, (row + 0.5) * SIZE[1] / rows)
        for row in range(rows)
        for column in range(columns)
    ]
    return [partial(_circle, place, phase) for phase, place in enumerate(places[:count])]


def _circle(place: tuple[float, float], phase: int, time: float) -> Array:
    angle = 2 * math.pi * time / 2 + phase
    return np.array(place) + 12 * np.array([math.cos(angle), math.sin(angle)])


def _straight(start: float, speed: float, time: float) -> Array:
    return np.array([start + speed * time, SIZE[1] / 2])


def _settled(all_faces: Sequence[Faces]) -> list[Face]:
    """The first face of each frame after the filters have settled."""
    return [faces[0] for faces in all_faces if (faces.time or 0.0) >= _SETTLE]


def _points(face: Face) -> Array:
    """(K, 2) of the first points."""
    return next(each.points for each in face.tasks.values() if isinstance(each, Points))


def _rms(points: Array) -> float:
    """Root of the mean square distance of (T, K, 2) points from their means over T."""
    return float(np.sqrt(np.square(points - points.mean(axis=0)).sum(axis=-1).mean()))


def _rms_angle(rotations: Sequence[Array]) -> float:
    """The same of (3, 3) rotations from their mean, degrees; of small turns it is that of their vectors."""
    vectors = np.stack([rotation_vector(rotations[0].T @ each) for each in rotations])
    return math.degrees(_rms(vectors[:, None]))
