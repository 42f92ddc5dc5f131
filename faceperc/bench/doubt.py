"""`python -m faceperc.bench.doubt`: how well the landmarks' expected errors tell faces from what is none.

The thresholds of `faceperc.video.stream` come from these figures. Needs the training extra and the data pack.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from faceperc.detector.mosaic import decode
from faceperc.detector.sources import Photo, load_photos
from faceperc.kinds import Points
from faceperc.predict import Predictor
from faceperc.video.smooth import face_size

Array = NDArray[np.float64]

PERCENTILES = (1, 5, 50, 95, 99)
MOVES = (0.1, 0.2, 0.35, 0.5, 0.75, 1.0)  # of the face's size
FACES = ("w300", "ytf68")


def relative_error(predictor: Predictor, image: NDArray[np.uint8], box: Array) -> float:
    """Mean expected error of the first landmarks in a box (4,), in units of its longer side.

    The box may lie outside the image, which goes on in black there.
    """
    margin = int(face_size(box))
    image = np.pad(image, ((margin, margin), (margin, margin), (0, 0)))
    tasks = predictor(image, boxes=box[None] + margin)[0].tasks.values()
    sigma = next(each.sigma for each in tasks if isinstance(each, Points) and each.sigma is not None)
    return float(sigma.mean()) / face_size(box)


def crops(photo: Photo, random: np.random.Generator) -> Iterator[tuple[str, NDArray[np.uint8], Array]]:
    """What to look at in one photograph of a face: name, image and box."""
    image = decode(photo)
    box = photo.faces[0]
    size, angle = face_size(box), random.uniform(0, 2 * np.pi)
    yield "faces", image, box
    for move in MOVES:
        yield f"moved by {move}", image, box + move * size * np.tile([np.cos(angle), np.sin(angle)], 2)
    x0, y0, x1, y1 = (int(value) for value in box.clip(min=0))
    for name, region in (
        ("left half covered", np.s_[:, : (x0 + x1) // 2]),
        ("lower 40 % covered", np.s_[round(y0 + 0.6 * (y1 - y0)) :]),
        ("all covered", np.s_[y0:y1, x0:x1]),
    ):
        covered = image.copy()
        covered[region] = 128
        yield name, covered, box


def scene_boxes(photo: Photo, random: np.random.Generator) -> Iterator[Array]:
    """Two boxes anywhere in a photograph without faces."""
    width, height = photo.size
    for _ in range(2):
        size = random.uniform(40, min(150, width, height))
        x, y = random.uniform(0, width - 0.8 * size), random.uniform(0, height - size)
        yield np.array([x, y, x + 0.8 * size, y + size])


def measure(root: str | None = None) -> dict[str, list[float]]:
    """Relative errors by what was looked at; the pack is in ``root``, or the folder of FACEPERC_DATA."""
    predictor, random = Predictor(threads=1), np.random.default_rng(0)
    errors: dict[str, list[float]] = {}
    for source in FACES:
        for photo in load_photos(root, source, "val"):
            if len(photo.faces):
                for name, image, box in crops(photo, random):
                    errors.setdefault(name, []).append(relative_error(predictor, image, box))
    for split in ("val", "train"):
        for photo in load_photos(root, "scenes", split)[:500]:
            if not len(photo.targets):  # nothing in it was ever taken for a face
                for box in scene_boxes(photo, random):
                    errors.setdefault("scenes", []).append(relative_error(predictor, decode(photo), box))
    return errors


def main() -> int:
    """Print the percentiles."""
    print(f"{'percentile':22s}", *(f"{each:6d}" for each in PERCENTILES))
    for name, values in measure().items():
        numbers = " ".join(f"{value:6.3f}" for value in np.percentile(values, PERCENTILES))
        print(f"{name:22s} {numbers}   {len(values)} crops")
    return 0


if __name__ == "__main__":
    sys.exit(main())
