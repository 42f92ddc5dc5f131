"""`faceperc eval-detector [MODEL.onnx]`: recall by face size, false positives and AP of a detector file.

Five kinds of pictures, but for two all of the pack's val split:

- photographs of each source, as they are and enlarged so that the face fills a large image ("large");
- mosaics of those photographs on held-out scenes, from a fixed seed; once with faces about upright
  ("mosaics"), once turned by any angle ("turned");
- photographs of hair from behind ("backs"): a face found there is a wrong one;
- scenes with people whose faces YuNet is sure of, of both splits ("people"): all but 9 of these faces were
  trained on, and yet the set says most of small faces in ordinary photographs;
- scenes without faces; also those of both splits ("all scenes"), of which the detector was trained on most.

Labels: landmark boxes (w300, ytf68), YuNet's boxes mapped to that convention elsewhere. What counts as a
false positive: w300 and ytf68 label one face, but other people can be in the picture; there (also where such
a photograph is part of a mosaic) a detection that does not touch the labelled face (IoU below 0.1) is
"unjudged": counted apart, neither right nor wrong. The other sources show one person, and all their wrong
detections count, as they do in scenes, unless half of one lies in an ignored region (unsure proposals, faces
under 10 px or mostly hidden).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from faceperc._files import check_json_target, write_file
from faceperc._parser import CommandParser
from faceperc.detect import FaceDetector
from faceperc.detector.metrics import (
    Matches,
    average_precision,
    false_positives,
    judge,
    recall,
    score_at,
)
from faceperc.detector.mosaic import compose, decode, pool_of
from faceperc.detector.sources import FACE_SOURCES, Photo, load_photos
from faceperc.detector.targets import BOX
from faceperc.errors import UsageError
from faceperc.evaluate.saved import description
from faceperc.provenance import command_line
from faceperc.zoo import DEFAULT_DETECTOR, find_model

Image = NDArray[np.uint8]
Example = tuple[Image, NDArray[np.float32]]  # picture and its targets (M, WIDTH)

SEED = 7
LOWEST = 0.02  # detections below this score are not looked at
SIZES = {"10-16": (10.0, 16.0), "16-48": (16.0, 48.0), "48+": (48.0, np.inf)}  # longer side of a face, px
LARGE = 1280  # longer side of the enlarged photographs, px


@dataclass(frozen=True)
class Report:
    """The figures of one set of pictures.

    Attributes:
        name: of the set.
        images: number of pictures.
        faces: number of labelled faces.
        recall: at IoU 0.5 and the file's default score, by the face's longer side in px, and of "all".
        false_positives: per image, at the default score.
        ap50: average precision at IoU 0.5, by the face's longer side in px, and of "all".
        recall_at_01: recall at the score that leaves 0.1 false positives per image, and that score.
        unjudged: detections per image that may be unlabelled people, at the default score.
    """

    name: str
    images: int
    faces: int
    recall: dict[str, float | None]
    false_positives: float
    ap50: dict[str, float | None]
    recall_at_01: tuple[float | None, float]
    unjudged: float


def evaluate(detector: FaceDetector, name: str, examples: Iterable[Example]) -> Report:
    """Run a detector over a set of pictures; `detector.min_score` is the default score that is judged."""
    curve = FaceDetector(detector.model, min_score=LOWEST, tiles=detector.tiles)
    curve.info = detector.info  # with another max_side, if one was asked for
    parts, unjudged = [], 0
    for image, targets in examples:
        matches, doubtful = judge(*curve.detect(image), targets)
        unjudged += int((doubtful >= detector.min_score).sum())
        parts.append(matches)
    return _report(name, Matches.join(parts), detector.min_score, unjudged)


def _report(name: str, matches: Matches, score: float, unjudged: int) -> Report:
    sizes = {"all": (0.0, np.inf), **SIZES}
    by_size = {label: recall(matches, score, sides) for label, sides in sizes.items()}
    precision = {label: average_precision(matches, sides) for label, sides in sizes.items()}
    strict = score_at(matches, 0.1)
    return Report(
        name=name,
        images=matches.images,
        faces=len(matches.sides),
        recall={label: _number(value) for label, value in by_size.items()},
        false_positives=false_positives(matches, score),
        ap50={label: _number(value) for label, value in precision.items()},
        recall_at_01=(_number(recall(matches, strict)), strict),
        unjudged=unjudged / max(1, matches.images),
    )


def photographs(photos: list[Photo], longer: int | None = None) -> Iterator[Example]:
    """Photographs as they are, or enlarged to a longer side in px."""
    for photo in photos:
        image, targets = decode(photo), photo.targets.copy()
        if longer is not None:
            factor = longer / max(image.shape[:2])
            image = np.asarray(cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC))
            targets[:, BOX] = (targets[:, BOX] + 0.5) * factor - 0.5
        yield image, targets


def mosaics(photos: list[Photo], scenes: list[Photo], count: int, turned: float = 0.0) -> Iterator[Example]:
    """Canvases of 320 and 640 px in turn, without augmentation, the same ones in every run.

    ``turned``: share of the photographs that are rotated by any angle.
    """
    weights = {photo.source: 1.0 for photo in photos}
    pool = pool_of([*photos, *scenes], weights)
    for i in range(count):
        canvas = compose(np.random.default_rng([SEED, i]), pool, (320, 640)[i % 2], turned=turned)
        yield canvas.image, canvas.target_array()


def evaluate_all(detector: FaceDetector, root: str | Path | None = None, count: int = 300) -> list[Report]:
    """All sets of the module's docstring.

    Args:
        detector: the detector, with the score to be judged.
        root: folder of the pack; None takes FACEPERC_DATA.
        count: number of mosaics.

    Raises:
        DataError: if the pack is missing or incomplete.
    """
    by_source = {source: load_photos(root, source, "val") for source in FACE_SOURCES}
    scenes = load_photos(root, "scenes", "val")
    reports = [evaluate(detector, name, photographs(photos)) for name, photos in by_source.items()]
    photos = [photo for group in by_source.values() for photo in group]
    reports.append(evaluate(detector, "photographs", photographs(photos)))
    sample = [photo for group in by_source.values() for photo in group[:40]]
    reports.append(evaluate(detector, "large", photographs(sample, LARGE)))
    reports.append(evaluate(detector, "mosaics", mosaics(photos, scenes, count)))
    reports.append(evaluate(detector, "turned", mosaics(photos, scenes, count, turned=1.0)))
    backs = [photo for photo in load_photos(root, "figaro1k", "val") if not len(photo.faces)]
    reports.append(evaluate(detector, "backs", photographs(backs)))
    everywhere = [*scenes, *load_photos(root, "scenes", "train")]
    people = [photo for photo in everywhere if len(photo.faces)]
    reports.append(evaluate(detector, "people", photographs(people)))
    empty = [photo for photo in scenes if not len(photo.targets)]
    reports.append(evaluate(detector, "scenes", photographs(empty)))
    empty = [photo for photo in everywhere if not len(photo.targets)]
    reports.append(evaluate(detector, "all scenes", photographs(empty)))
    return reports


def show(reports: list[Report], title: str) -> None:
    """Print the figures as a table."""
    from rich.table import Table

    from faceperc._console import plain_console

    table = Table(title=title)
    table.add_column("set")
    columns = [f"{name} {label}" for name in ("R", "AP") for label in ("all", *SIZES)]
    for heading in ("images", "faces", *columns, "FP/img", "R @ 0.1 FP", "unjudged/img"):
        table.add_column(heading, justify="right")
    for report in reports:
        strict, score = report.recall_at_01
        table.add_row(
            report.name,
            str(report.images),
            str(report.faces),
            *(_percent(value) for value in (*report.recall.values(), *report.ap50.values())),
            f"{report.false_positives:.3f}",
            "-" if strict is None else f"{_percent(strict)} ({score:.2f})",
            f"{report.unjudged:.3f}",
        )
    plain_console(170).print(table)


def main(args: list[str]) -> None:
    """Evaluate a detector file; `--help` lists the options."""
    parser = CommandParser(
        prog="faceperc eval-detector",
        description="Recall by face size, false positives and average precision of a detector.",
        epilog="Example: faceperc eval-detector detector.onnx --data /data/faces --json detector.json",
    )
    parser.add_argument("model", nargs="?", default=DEFAULT_DETECTOR, help="a name or an ONNX file")
    parser.add_argument("--data", default=None, help="folder of the data pack; else FACEPERC_DATA")
    parser.add_argument("--score", type=float, default=None, help="score to judge; else the file's own")
    parser.add_argument("--max-side", type=int, default=None, help="override the file's largest side, px")
    parser.add_argument("--mosaics", type=int, default=300, help="number of mosaics")
    parser.add_argument("--threads", type=int, default=None, help="threads of ONNX Runtime")
    parser.add_argument("--json", default=None, help="also write the figures to this file; - prints them")
    options = parser.parse_args(args)
    from faceperc.runtime import OnnxModel

    check_json_target(options.json)
    if options.mosaics < 1:
        raise UsageError(f"--mosaics is 1 or more; got {options.mosaics}")
    model = OnnxModel(find_model(options.model), threads=options.threads)
    detector = FaceDetector(model, options.score)
    if options.max_side is not None:
        detector.info = replace(detector.info, max_side=options.max_side)
    reports = evaluate_all(detector, options.data, options.mosaics)
    document = {
        **description("detector", model, command_line("eval-detector", args)),
        "score": detector.min_score,
        "sets": [asdict(each) for each in reports],
    }
    if options.json == "-":
        print(json.dumps(document, indent=2))
        return
    show(reports, f"{model.metadata.name}: recall at IoU 0.5 and score {detector.min_score:.2f}")
    if options.json:
        write_file(options.json, (json.dumps(document, indent=2) + "\n").encode())


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
