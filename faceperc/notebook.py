"""Faces in notebooks: a picture, a table, and axes of matplotlib."""

from __future__ import annotations

import base64
import io
import math
from html import escape
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from faceperc.draw import DrawOptions, draw_faces
from faceperc.errors import UsageError
from faceperc.kinds import Points
from faceperc.mask import Mask
from faceperc.results import Face, Faces

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHORTEST, LONGEST = 480, 1024  # pixels of the picture's longer side
MAX_ROWS = 20  # of the table

# Colours are the page's own, which may be dark or light. A notebook would align the table to the right.
TABLE = "border-collapse:collapse;color:inherit;font-size:12px;margin:6px 0"
CELL = (
    "text-align:left;padding:2px 10px 2px 0;border-bottom:1px solid rgba(128,128,128,.4);vertical-align:top"
)


def picture(faces: Faces) -> Image.Image:
    """The drawing, its longer side between 480 and 1024 pixels."""
    longest = max(faces.image.shape[:2])
    size = min(max(longest, SHORTEST), LONGEST)
    return draw_faces(faces, size=None if size == longest else size)


def page(faces: Faces) -> str:
    """The drawing above a table of the faces: HTML with everything inside, without a script or a link."""
    stream = io.BytesIO()
    picture(faces).save(stream, "JPEG", quality=88)
    data = base64.b64encode(stream.getvalue()).decode("ascii")
    height, width = faces.image.shape[:2]
    count = f"{len(faces)} face{'' if len(faces) == 1 else 's'}"
    moment = "" if faces.time is None else f", frame {faces.index} at {faces.time:.2f} s"
    where = f"{faces.source or 'an image'} ({width} x {height}){moment}"
    title = f"{count} in {where}, model {faces.model or 'unknown'}"
    return (
        f'<div><img alt="{escape(title)}" style="max-width:100%;height:auto" '
        f'src="data:image/jpeg;base64,{data}">'
        f'<div style="font-size:12px;opacity:.75">{escape(title)}</div>{_table(faces)}</div>'
    )


def plot(faces: Faces, ax: Axes | None, options: DrawOptions) -> Axes:
    """Show the drawing on axes of matplotlib, whose coordinates are the image's pixels.

    Raises:
        UsageError: if matplotlib is not installed, or an option cannot be served.
    """
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise UsageError("plot needs matplotlib: pip install matplotlib") from error
    drawn = draw_faces(faces, **options)
    if ax is None:
        _, ax = plt.subplots(layout="constrained")
    height, width = faces.image.shape[:2]
    # a margin for captions, if any, lies right of the image or below
    scale = (options.get("size") or max(height, width)) / max(height, width)
    ax.imshow(np.asarray(drawn), extent=(-0.5, drawn.width / scale - 0.5, drawn.height / scale - 0.5, -0.5))
    ax.set_axis_off()
    return ax


def _table(faces: Faces) -> str:
    """A row per face, a column per task."""
    if not len(faces):
        return ""
    tasks = dict.fromkeys(
        name
        for face in faces
        for name, result in face.tasks.items()
        if not isinstance(result, Points | Mask)  # the picture shows them
    )
    head = "".join(f'<th style="{CELL}">{escape(name)}</th>' for name in ["", "score", *tasks])
    rows = "".join(_row(face, index, list(tasks)) for index, face in enumerate(faces.faces[:MAX_ROWS]))
    rest = len(faces) - MAX_ROWS
    more = f'<div style="font-size:12px;opacity:.75">and {rest} more</div>' if rest > 0 else ""
    return f'<table style="{TABLE}"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{more}'


def _row(face: Face, index: int, tasks: list[str]) -> str:
    name = f"[{index}]" if face.track is None else f"face {face.track}"
    score = "" if math.isnan(face.score) else f"{face.score:.0%}"
    cells = [name, "face not seen" if face.is_hidden else score]
    cells += [face.tasks[task].summary() if task in face.tasks else "" for task in tasks]
    return "<tr>" + "".join(f'<td style="{CELL}">{escape(cell)}</td>' for cell in cells) + "</tr>"
