"""`faceperc eval-wider DIR [MODEL.onnx]`: the official average precision of a detector on WIDER FACE.

DIR holds WIDER_val/images and the authors' ground truth (eval_tools.zip). Every photograph is looked at once,
whole and at one scale; with `--tiles` large ones a second time, in parts of their own resolution. That is a
second scale: say so with the figure, as the output does. Many published figures were taken at several scales.

The detector's boxes are brought to WIDER FACE's convention, which ours is not: the inverse of what
`faceperc.detector.adapters.read_wider` does to labels. `--as-is` leaves them as they are.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from faceperc._files import check_json_target, make_folder, write_file
from faceperc._parser import CommandParser
from faceperc.data.boxes import yunet_from_box
from faceperc.data.folder import existing
from faceperc.data.rows import decode_image
from faceperc.detect import FaceDetector, Tiles
from faceperc.detector.wider_ap import SETS, Truth, average_precisions, read_truth
from faceperc.errors import DataError
from faceperc.zoo import DEFAULT_DETECTOR, find_model

Array = NDArray[np.float64]

LOWEST = 0.02  # detections below this score are not looked at


@dataclass(frozen=True)
class Settings:
    """How the photographs were looked at.

    Attributes:
        model: the detector's file.
        max_side: larger photographs were shrunk to this longer side, px.
        scales: number of sizes at which the whole of each was looked at.
        tiles: whether photographs larger than that were looked at in parts as well, see `FaceDetector`.
        mirrored: whether the mirror image was looked at, too.
        lowest_score: detections below it were not looked at.
        nms_iou: a box that overlaps a better one by more was dropped.
        boxes: "wider", brought to WIDER FACE's convention, or "as is".
    """

    model: str
    max_side: int
    lowest_score: float
    nms_iou: float
    boxes: str
    scales: int = 1
    tiles: Tiles = False
    mirrored: bool = False


@dataclass(frozen=True)
class WiderReport:
    """The figures.

    Attributes:
        ap: set (easy, medium, hard) -> official average precision in [0, 1]; None without faces.
        faces: set -> number of faces that count.
        images: number of photographs.
        unreadable: damaged ones; nothing was found in them, and their faces count as missed.
        settings: how they were looked at.
    """

    ap: dict[str, float | None]
    faces: dict[str, int]
    images: int
    unreadable: list[str]
    settings: Settings


def detections_in(detector: FaceDetector, image: NDArray[np.uint8], as_is: bool = False) -> Array:
    """(D, 5) x, y, width, height, score of an image's faces as WIDER FACE's prediction files give them.

    Args:
        detector: finds the faces.
        image: (H, W, 3) uint8 RGB.
        as_is: leave the boxes in our convention.
    """
    boxes, scores = detector.detect(image)
    corners = (boxes if as_is else yunet_from_box(boxes)) + 0.5  # from the first pixel's border
    return np.column_stack([corners[:, :2], corners[:, 2:] - corners[:, :2], scores])


def photograph(root: str | Path, truth: Truth) -> Path:
    """Where a photograph of the validation set lies."""
    return Path(root) / "WIDER_val" / "images" / truth.event / f"{truth.name}.jpg"


def detect_all(
    detector: FaceDetector, root: str | Path, truths: Sequence[Truth], as_is: bool = False
) -> Iterator[Array | DataError]:
    """Each photograph's ``detections_in``, or what is wrong with it."""
    for truth in truths:
        path = photograph(root, truth)
        try:
            yield detections_in(detector, decode_image(path.read_bytes(), str(path)), as_is)
        except (OSError, DataError) as error:
            yield error if isinstance(error, DataError) else DataError(f"{path}: cannot be read ({error})")


def write_predictions(folder: str | Path, truth: Truth, detections: Array) -> None:
    """Write a photograph's prediction file: its name, how many, and x, y, width, height, score of each.

    Args:
        folder: receives ``<event>/<name>.txt``.
        truth: the photograph.
        detections: (D, 5); every digit is written, so the authors' program computes the same figures.
    """
    target = Path(folder) / truth.event
    make_folder(target)
    rows = [" ".join(map(repr, row)) for row in detections.tolist()]
    write_file(target / f"{truth.name}.txt", "\n".join([truth.name, str(len(rows)), *rows, ""]).encode())


def evaluate(
    detector: FaceDetector, root: str | Path, model: str, as_is: bool = False, out: str | Path | None = None
) -> WiderReport:
    """Measure a detector on the validation set.

    Args:
        detector: with ``min_score`` as low as the curve should reach, and the ``tiles`` to be judged.
        root: folder of WIDER FACE, see ``read_truth``, with ``WIDER_val/images``.
        model: name of the detector, for the report.
        as_is: leave the boxes in our convention.
        out: write the prediction files into this folder, too.

    Raises:
        DataError: if the ground truth or a photograph is missing; a damaged photograph is recorded instead.
        UsageError: if ``out`` cannot be written.
    """
    truths = read_truth(root)
    for truth in truths:
        existing(photograph(root, truth), "a photograph of WIDER_val.zip; unpack it there")
    found, unreadable = [], []
    outcomes = detect_all(detector, root, truths, as_is)
    for truth, outcome in tqdm(zip(truths, outcomes, strict=True), "WIDER_val", len(truths), leave=False):
        if isinstance(outcome, DataError):
            unreadable.append(str(outcome))
        found.append(np.empty((0, 5)) if isinstance(outcome, DataError) else outcome)
        if out is not None:
            write_predictions(out, truth, found[-1])
    info = detector.info
    convention = "as is" if as_is else "wider"
    settings = Settings(
        model, info.max_side, detector.min_score, info.nms_iou, convention, tiles=detector.tiles
    )
    figures = average_precisions(truths, found)
    return WiderReport(
        {name: None if np.isnan(value) else value for name, value in figures.items()},
        {name: sum(len(truth.counted[name]) for truth in truths) for name in SETS},
        len(truths),
        unreadable,
        settings,
    )


def show(report: WiderReport) -> None:
    """Print the figures as a table, and how they came about."""
    from rich.table import Table

    from faceperc._console import plain_console

    settings = report.settings
    table = Table(title="WIDER FACE, validation")
    for heading in ("set", "faces", "AP %"):
        table.add_column(heading, justify="left" if heading == "set" else "right")
    for name, value in report.ap.items():
        table.add_row(name, str(report.faces[name]), "-" if value is None else f"{100 * value:.1f}")
    console = plain_console(100)
    console.print(table)
    boxes = "as the detector gives them" if settings.boxes == "as is" else "in WIDER FACE's convention"
    tiles = ", those in tiles of their own resolution as well" if settings.tiles else "; one scale, no tiles"
    console.print(
        f"{Path(settings.model).name}: {report.images} photographs, shrunk to a longer side of "
        f"{settings.max_side} px where larger{tiles}; no mirror images; scores from "
        f"{settings.lowest_score}, suppression above IoU {settings.nms_iou}; boxes {boxes}"
    )
    for message in report.unreadable:
        console.print(f"damaged, its faces count as missed: {message}")


def main(args: list[str]) -> None:
    """Evaluate a detector file; `--help` lists the options."""
    parser = CommandParser(
        prog="faceperc eval-wider",
        description="The official average precision of a detector on WIDER FACE.",
        epilog="Example: faceperc eval-wider /data/WIDER detector.onnx --tiles --json wider.json",
    )
    parser.add_argument("folder", help="WIDER FACE: WIDER_val/images and the official ground truth")
    parser.add_argument("model", nargs="?", default=DEFAULT_DETECTOR, help="a name or an ONNX file")
    parser.add_argument("--max-side", type=int, default=None, help="override the file's largest side, px")
    parser.add_argument("--score", type=float, default=LOWEST, help="lowest score that is looked at")
    parser.add_argument("--tiles", action="store_true", help="look at larger photographs in tiles as well")
    parser.add_argument("--as-is", action="store_true", help="leave boxes in the detector's convention")
    parser.add_argument("--out", default=None, help="write the official prediction files into this folder")
    parser.add_argument("--threads", type=int, default=None, help="threads of ONNX Runtime")
    parser.add_argument("--json", default=None, help="also write the figures to this file; - prints them")
    options = parser.parse_args(args)
    from faceperc.runtime import OnnxModel

    check_json_target(options.json)
    opened = OnnxModel(find_model(options.model), threads=options.threads)
    detector = FaceDetector(opened, options.score, tiles=options.tiles)
    if options.max_side is not None:
        detector.info = replace(detector.info, max_side=options.max_side)
    report = evaluate(detector, options.folder, options.model, options.as_is, options.out)
    document = json.dumps(asdict(report), indent=2) + "\n"
    if options.json == "-":
        print(document, end="")
        return
    show(report)
    if options.json:
        write_file(options.json, document.encode())


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
