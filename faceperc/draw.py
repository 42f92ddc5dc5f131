"""Drawing by KIND: which task a result belongs to makes no difference. docs/drawing.md shows the pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, TypedDict

from PIL import Image

from faceperc._names import unknown_name
from faceperc.drawing.captions import draw_captions
from faceperc.drawing.fonts import Fonts
from faceperc.drawing.margin import add_margin
from faceperc.drawing.masks import draw_masks
from faceperc.drawing.resize import resize_faces
from faceperc.drawing.strokes import Pose, draw_strokes
from faceperc.errors import UsageError
from faceperc.kinds import Rotation
from faceperc.results import Faces

Captions = bool | Literal["margin"]

SIZES = (1, 16384)  # pixels


class DrawOptions(TypedDict, total=False):
    """The options of ``draw_faces``, for functions that hand them on."""

    tasks: Sequence[str] | None
    captions: Captions
    boxes: bool
    pose: Pose
    size: int | None
    font: str | Path | None


def draw_faces(
    faces: Faces,
    captions: Captions = True,
    *,
    tasks: Sequence[str] | None = None,
    boxes: bool = True,
    pose: Pose = "axes",
    size: int | None = None,
    font: str | Path | None = None,
) -> Image.Image:
    """The image with what was found drawn on it.

    Args:
        faces: the faces of one image.
        captions: write beside each face what cannot be drawn, and a legend of the masks. Text covers no
            face: where there is no room a face gets a shorter text or none, and one that fills the picture
            a line on hair, forehead or neck. ``"margin"`` makes the picture wider: all text stands beside it.
        tasks: names of the tasks to draw; None for all.
        boxes: draw the box of each face; a head that shows no face has a dashed one.
        pose: how a rotation is drawn: the head's axes (to the image's right, up, out of the face), or a cube
            around the head, filled where the face looks out.
        size: the longer side of the image in pixels; enlarge small ones to make room for text. None keeps it.
        font: a font file for the text. By default the one that the environment variable ``FACEPERC_FONT``
            names, else Pillow's own and, for letters that it lacks, a font of the computer.

    Returns:
        An RGB picture of the size of the image but for ``size`` and a margin.

    Raises:
        UsageError: if no face could have a task of that name, an option has a value that it does not know, or
            the font cannot be read.
    """
    if captions not in (True, False, "margin"):
        raise UsageError(f'captions is True, False or "margin"; got {captions!r}')
    if pose not in ("axes", "cube"):
        raise UsageError(f'pose is "axes" or "cube"; got {pose!r}')
    if tasks is not None:
        faces = _with_tasks(faces, tasks)
    if size is not None:
        if not SIZES[0] <= size <= SIZES[1]:
            raise UsageError(f"size lies in {SIZES[0]} to {SIZES[1]} pixels; got {size!r}")
        faces = resize_faces(faces, size)
    picture = Image.fromarray(faces.image).copy()
    draw_masks(picture, faces)
    for face in faces:
        draw_strokes(picture, face, boxes, pose)
    if captions == "margin":
        return add_margin(picture, faces, Fonts(font))
    if captions:
        draw_captions(picture, faces, Fonts(font))
    return picture


def _with_tasks(faces: Faces, names: Sequence[str]) -> Faces:
    """The faces with these tasks only.

    Raises:
        UsageError: if a name is unknown to all faces, where there are any.
    """
    if isinstance(names, str):
        raise UsageError(f"tasks is a list of names; got the text {names!r}, write [{names!r}]")
    # faces of which the detector alone has told something do not show which tasks there are
    known = {
        name: None
        for face in faces
        for name in face.tasks
        if not all(isinstance(result, Rotation) for result in face.tasks.values())
    }
    for name in names:
        if known and name not in known:
            raise UsageError(unknown_name("task", name, known))
    kept = tuple(
        replace(face, tasks={name: result for name, result in face.tasks.items() if name in names})
        for face in faces
    )
    return replace(faces, faces=kept)
