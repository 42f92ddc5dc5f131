"""`faceperc eval-heads [MODEL.onnx] --rendered DIR`: heads from every side, their rotation and five points.

Held-out pictures:

- rendered heads (`faceperc data render`) on scenes, by how far the head is turned away from the camera;
- photographs of hair from behind (figaro1k), whose boxes are rough: found at an IoU of 0.3;
- photographs with landmarks (w300, ytf68): the five points, in % of the distance between the eyes' centres;
- portraits with an annotated yaw and pitch (celebahq1k) or yaw (turned heads of fasseg).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from faceperc._files import check_json_target, write_file
from faceperc._parser import CommandParser
from faceperc.data.rows import decode_image, read_rows
from faceperc.data.source import data_folder
from faceperc.detect import FaceDetector
from faceperc.detector.mosaic import Canvas, decode, paste, place
from faceperc.detector.sources import Photo, load_photos, load_rendered
from faceperc.detector.targets import BOX, HEAD, POINTS, ROTATION, WEIGHT
from faceperc.evaluate.saved import description
from faceperc.overlap import iou_matrix
from faceperc.provenance import command_line
from faceperc.rotations import angles_of, geodesic_degrees
from faceperc.zoo import DEFAULT_DETECTOR, find_model

Array = NDArray[np.float64]
Example = tuple[NDArray[np.uint8], Array]  # picture, and the (WIDTH,) row of its head

SEED = 13
SIDE = 320  # of the pictures of rendered heads, px
TURNS = {"to 60": (0, 60), "60 to 90": (60, 90), "90 to 120": (90, 120), "beyond 120": (120, 181)}


@dataclass(frozen=True)
class Heads:
    """The figures of one set; None where the set cannot tell.

    Attributes:
        name: of the set.
        heads: number of labelled heads.
        found: share of them found as heads, in [0, 1].
        faces: share of them called faces, in [0, 1].
        degrees: median and mean angle between the rotations of those found.
        points: mean distance of the five points, % of the distance between the centres of the eyes.
        yaw, pitch: mean absolute error in degrees.
    """

    name: str
    heads: int
    found: float | None
    faces: float | None
    degrees: tuple[float, float] | None = None
    points: float | None = None
    yaw: float | None = None
    pitch: float | None = None


def evaluate_heads(
    detector: FaceDetector, name: str, examples: Iterable[Example], overlap: float = 0.5
) -> Heads:
    """Run a detector over pictures of one labelled head each.

    Args:
        detector: one that tells heads.
        name: of the set.
        examples: the pictures.
        overlap: smallest IoU of a head that counts as found.
    """
    found, faces, degrees, points = [], [], [], []
    for image, row in examples:
        seen = detector.find(image, heads=True)
        overlaps = iou_matrix(seen.boxes, row[None, BOX])[:, 0]
        hit = len(seen) > 0 and overlaps.max() >= overlap
        found.append(hit)
        best = int(overlaps.argmax()) if hit else 0
        faces.append(hit and bool(seen.scores[best] >= detector.min_score))
        if hit and seen.rotations is not None and np.isfinite(row[ROTATION]).all():
            degrees.append(_angle(seen.rotations[best], row[ROTATION].reshape(3, 3)))
        if hit and seen.points is not None and np.isfinite(row[POINTS]).all():
            truth = row[POINTS].reshape(5, 2)
            gaps = np.linalg.norm(seen.points[best] - truth, axis=1)
            points.append(100 * gaps.mean() / np.linalg.norm(truth[0] - truth[1]))
    return Heads(
        name,
        len(found),
        _mean(found),
        _mean(faces),
        (float(np.median(degrees)), float(np.mean(degrees))) if degrees else None,
        _mean(points),
    )


def evaluate_angles(detector: FaceDetector, name: str, rows: Iterable[dict[str, float | bytes]]) -> Heads:
    """Yaw and pitch of the surest face of portraits: rows of "image" (encoded), "yaw" and perhaps "pitch"."""
    found, gaps = [], []
    for row in rows:
        assert isinstance(row["image"], bytes)
        seen = detector.find(decode_image(row["image"], name))
        found.append(len(seen) > 0)
        if len(seen) and seen.rotations is not None:
            yaw, pitch, _ = angles_of(seen.rotations[0])
            gaps.append([abs(yaw - row["yaw"]), abs(pitch - row.get("pitch", np.nan))])
    yaw, pitch = np.mean(gaps, axis=0) if gaps else (np.nan, np.nan)
    share = _mean(found)
    return Heads(name, len(found), share, share, yaw=_number(yaw), pitch=_number(pitch))


def on_scenes(heads: list[Photo], scenes: list[Photo]) -> Iterator[Example]:
    """Each rendered head once on a scene, 30 to 200 px large, the same pictures in every run."""
    for i, head in enumerate(heads):
        rng = np.random.default_rng([SEED, i])
        image = cv2.resize(decode(scenes[i % len(scenes)]), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        canvas = Canvas(np.array(image, np.uint8), [])
        side = float(np.exp(rng.uniform(np.log(30), np.log(200))))
        centre = rng.uniform(0.5 * side, SIDE - 0.5 * side, 2)
        paste(canvas, head, place(head, side, centre, 0.0, False), (0, 0, SIDE, SIDE))
        yield from ((canvas.image, row) for row in canvas.targets if row[WEIGHT] == HEAD)


def evaluate_all(
    detector: FaceDetector, rendered: str | Path | None, root: str | Path | None = None
) -> list[Heads]:
    """All sets of the module's docstring; without a folder of rendered heads the others.

    Raises:
        DataError: if the pack or the rendered heads are missing.
        ModelError: if the detector tells no heads.
    """
    reports = []
    if rendered is not None:
        scenes = [photo for photo in load_photos(root, "scenes", "val") if not len(photo.targets)]
        examples = list(on_scenes(load_rendered(rendered, "val"), scenes))
        turns = np.array([_turn(row) for _, row in examples])
        for label, (low, high) in TURNS.items():
            some = [each for each, turn in zip(examples, turns, strict=True) if low <= turn < high]
            reports.append(evaluate_heads(detector, f"rendered, {label} degrees", some))
    backs = [photo for photo in load_photos(root, "figaro1k", "val") if len(photo.heads) > len(photo.faces)]
    reports.append(evaluate_heads(detector, "hair from behind", _pictures(backs), overlap=0.3))
    for source in ("w300", "ytf68"):
        reports.append(evaluate_heads(detector, source, _pictures(load_photos(root, source, "val"))))
    folder = data_folder(root)
    celebs = (
        {"image": row["image"]["bytes"], "yaw": row["pose_yaw"], "pitch": row["pose_pitch"]}
        for row in read_rows(folder / "celebahq1k" / "val.parquet", {"image", "pose_yaw", "pose_pitch"})
    )
    reports.append(evaluate_angles(detector, "celebahq1k", celebs))
    turned = (
        {"image": row["image"]["bytes"], "yaw": row["yaw"]}
        for row in read_rows(folder / "fasseg" / "val.parquet", {"image", "yaw"})
        if row["yaw"] is not None
    )
    reports.append(evaluate_angles(detector, "fasseg, turned", turned))
    return reports


def _pictures(photos: list[Photo]) -> Iterator[Example]:
    for photo in photos:
        yield decode(photo), photo.targets[photo.targets[:, WEIGHT] == HEAD][0].astype(np.float64)


def _angle(a: Array, b: Array) -> float:
    """Degrees between two rotations (3, 3)."""
    return float(geodesic_degrees(torch.from_numpy(a)[None], torch.from_numpy(b)[None]))


def _turn(row: Array) -> float:
    """Degrees by which the face of a head looks away from the camera, in [0, 180]."""
    return float(np.degrees(np.arccos(np.clip(row[ROTATION][8], -1, 1))))


def show(reports: list[Heads], title: str) -> None:
    """Print the figures as a table."""
    from rich.table import Table

    from faceperc._console import plain_console

    table = Table(title=title)
    table.add_column("set")
    for heading in ("heads", "found %", "faces %", "median deg", "mean deg", "points %", "yaw", "pitch"):
        table.add_column(heading, justify="right")
    for each in reports:
        median, mean = each.degrees or (None, None)
        figures = (median, mean, each.points, each.yaw, each.pitch)
        table.add_row(
            each.name,
            str(each.heads),
            *("-" if share is None else f"{100 * share:.1f}" for share in (each.found, each.faces)),
            *("-" if value is None else f"{value:.1f}" for value in figures),
        )
    plain_console(150).print(table)


def main(args: list[str]) -> None:
    """Evaluate a detector file; `--help` lists the options."""
    parser = CommandParser(
        prog="faceperc eval-heads",
        description="Heads from every side: found or not, their rotation and five points.",
        epilog="Example: faceperc eval-heads detector-nano --rendered rendered --data /data/faces",
    )
    parser.add_argument("model", nargs="?", default=DEFAULT_DETECTOR, help="a name or an ONNX file")
    parser.add_argument("--rendered", default=None, help="folder with val.parquet of rendered heads")
    parser.add_argument("--data", default=None, help="folder of the data pack; else FACEPERC_DATA")
    parser.add_argument("--score", type=float, default=None, help="score to judge; else the file's own")
    parser.add_argument("--threads", type=int, default=None, help="threads of ONNX Runtime")
    parser.add_argument("--json", default=None, help="also write the figures to this file; - prints them")
    options = parser.parse_args(args)
    from faceperc.runtime import OnnxModel

    check_json_target(options.json)
    model = OnnxModel(find_model(options.model), threads=options.threads)
    detector = FaceDetector(model, options.score)
    reports = evaluate_all(detector, options.rendered, options.data)
    sets = [asdict(each) for each in reports]
    document = {
        **description("heads", model, command_line("eval-heads", args)),
        "score": detector.min_score,
        "head": detector.min_head,
        "sets": sets,
    }
    if options.json == "-":
        print(json.dumps(document, indent=2))
        return
    scores = f"faces at score {detector.min_score:.2f}, heads at {detector.min_head:.2f}"
    show(reports, f"{model.metadata.name}: {scores}")
    if options.json:
        write_file(options.json, (json.dumps(document, indent=2) + "\n").encode())


def _mean(values: list[Any]) -> float | None:
    return float(np.mean(values)) if values else None


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
