"""The pictures of docs/tasks/, one per task, from the bundled photograph: python docs/pictures.py

The face is found in the photograph, then cut out and enlarged with its box, so that what is drawn can
be seen. Run it again when the models or the drawing change.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

import faceperc

FOLDER = Path(__file__).parent / "pictures"
WIDTH, HEIGHT = 640, 480
#: Which part of the photograph, x0, y0, x1, y1 in pixels; the face's box is about (175, 66, 271, 178).
FACE = (91, 22, 347, 214)
QUALITY = 88


def main() -> None:
    """Write a picture for each task, and one of the boxes alone."""
    FOLDER.mkdir(exist_ok=True)
    with Image.open(faceperc.sample_image()) as photograph:
        whole = photograph.convert("RGB")
    found = faceperc.Predictor(tasks="pose")(whole)
    boxes = tuple(faceperc.Face(face.box, face.score) for face in found)
    save(faceperc.Faces(boxes, found.image), "detection")

    x0, y0, x1, _ = FACE
    enlarged = np.asarray(whole.crop(FACE).resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS))
    box = (found[0].box + 0.5 - [x0, y0, x0, y0]) * WIDTH / (x1 - x0) - 0.5
    for task in faceperc.list_tasks():
        save(faceperc.Predictor(tasks=task)(enlarged, boxes=[box]), task)


def save(faces: faceperc.Faces, name: str) -> None:
    """Draw the faces."""
    path = FOLDER / f"{name}.jpg"
    faces.draw().save(path, quality=QUALITY, optimize=True)
    print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
