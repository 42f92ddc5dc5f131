"""Image files in, faces out: what a worker does with a batch, and how an answer is written."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from faceperc.errors import FacepercError, ImageError
from faceperc.image import read_image
from faceperc.mask import Mask
from faceperc.predict import Predictor
from faceperc.results import Face, Faces

Pixels = NDArray[np.uint8]


class Engine:
    """Answers batches. A picture that cannot be done does not harm the others of its batch."""

    def __init__(self, predictor: Predictor, max_pixels: int, max_faces: int) -> None:
        """Use an opened predictor.

        Args:
            predictor: with all the tasks that a request may want.
            max_pixels: images with more are refused.
            max_faces: faces that are looked at in an image.
        """
        self._predictor, self._max_pixels = predictor, max_pixels
        # one more than is given tells that there are more
        self._looked_at = max_faces + 1

    def __call__(self, files: Sequence[bytes]) -> list[Faces | Exception]:
        """The faces of each image file, or why there are none."""
        decoded = [self._decode(data) for data in files]
        usable = [each for each in decoded if not isinstance(each, Exception)]
        answers = iter(self._predict(usable))
        return [each if isinstance(each, Exception) else next(answers) for each in decoded]

    def _decode(self, data: bytes) -> Pixels | ImageError:
        try:
            return read_image(data, max_pixels=self._max_pixels)
        except ImageError as error:
            return error

    def _predict(self, images: Sequence[Pixels]) -> Sequence[Faces | Exception]:
        try:
            return self._predictor.batch(images, max_faces=self._looked_at)
        except FacepercError as error:
            if len(images) == 1:
                return [error]
            return [answer for image in images for answer in self._predict([image])]


def select(faces: Faces, tasks: Sequence[str] | None, min_score: float | None) -> Faces:
    """What a request wants of the faces.

    Args:
        faces: of its image.
        tasks: names of tasks, or None for all.
        min_score: in [0, 1]; faces with a lower score are left out.
    """
    kept = [face for face in faces if min_score is None or not face.score < min_score]
    return replace(faces, faces=tuple(_with_tasks(face, tasks) for face in kept))


def _with_tasks(face: Face, names: Sequence[str] | None) -> Face:
    if names is None:
        return face
    return replace(face, tasks={name: result for name, result in face.tasks.items() if name in names})


def to_json(faces: Faces, masks: bool) -> bytes:
    """``faces.to_dict()``; without the PNG of the masks where they are not wanted."""
    document = faces.to_dict()
    if not masks:
        for face in document["faces"]:
            for result in face["tasks"].values():
                _drop_png(result)
    return json.dumps(document, allow_nan=False, separators=(",", ":")).encode()


def _drop_png(result: dict[str, Any]) -> None:
    if result["kind"] == Mask.kind:
        del result["png"]


def to_jpeg(faces: Faces) -> bytes:
    """The image with everything drawn on it, as `Faces.save` writes it."""
    stream = io.BytesIO()
    faces.draw().save(stream, "JPEG", quality=92)
    return stream.getvalue()
