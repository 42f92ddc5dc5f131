"""Options that several commands share, and what they are made into."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from faceperc.draw import DrawOptions

# Without the backslash the bracket is markup.
MODEL_HELP = (
    "A name from 'faceperc models', an ONNX file, a model folder, or ORG/NAME\\[@REVISION] on the Hub."
)
PROVIDER_HELP = "What runs it: cpu, cuda, tensorrt or openvino."

# Options that several commands have, by what they are about.
WHAT, OUTPUT, MANY, RUNS = "What is looked for", "Output", "Many images", "Model and speed"
DRAWING = "Drawing"
TasksOption = Annotated[
    str | None, typer.Option("--tasks", metavar="A,B", help="Only these tasks.", rich_help_panel=WHAT)
]
MinScoreOption = Annotated[
    float | None,
    typer.Option("--min-score", help="Drop faces with a lower score (0 to 1).", rich_help_panel=WHAT),
]
HeadsOption = Annotated[
    bool,
    typer.Option("--heads", help="Also find heads without a face, e.g. from behind.", rich_help_panel=WHAT),
]
TilesOption = Annotated[
    bool,
    typer.Option(
        "--tiles",
        help="Look at large images tile by tile too, for small faces.",
        rich_help_panel=WHAT,
    ),
]
ModelOption = Annotated[str, typer.Option("--model", help=MODEL_HELP, rich_help_panel=RUNS)]
DetectorOption = Annotated[
    str | None,
    typer.Option("--detector", help="Another detector: a name or an ONNX file.", rich_help_panel=RUNS),
]
ThreadsOption = Annotated[
    int | None, typer.Option("--threads", help="Threads within an operator.", rich_help_panel=RUNS)
]
ProviderOption = Annotated[str | None, typer.Option("--provider", help=PROVIDER_HELP, rich_help_panel=RUNS)]


class Captions(StrEnum):
    """Where text about the faces stands."""

    ON = "on"
    OFF = "off"
    MARGIN = "margin"


class Pose(StrEnum):
    """How a rotation is drawn."""

    AXES = "axes"
    CUBE = "cube"


DrawSizeOption = Annotated[
    int | None,
    typer.Option(
        "--draw-size",
        metavar="PIXELS",
        min=1,
        max=16384,
        help="Longer side of the drawings; enlarge small images to make room for text.",
        rich_help_panel=DRAWING,
    ),
]
CaptionsOption = Annotated[
    Captions | None,
    typer.Option(
        "--captions", help="Text beside the faces (on), none, or all in a margin.", rich_help_panel=DRAWING
    ),
]
PoseOption = Annotated[
    Pose | None,
    typer.Option("--pose", help="Draw rotations as axes (default) or a cube.", rich_help_panel=DRAWING),
]


def draw_options(size: int | None, captions: Captions | None, pose: Pose | None) -> DrawOptions:
    """Those that were given, as ``faceperc.draw.draw_faces`` takes them."""
    options: DrawOptions = {}
    if size is not None:
        options["size"] = size
    if captions is not None:
        options["captions"] = "margin" if captions is Captions.MARGIN else captions is Captions.ON
    if pose is not None:
        options["pose"] = "cube" if pose is Pose.CUBE else "axes"
    return options


def split_names(text: str | None) -> tuple[str, ...] | None:
    """Names that an option gives separated by commas; None where it is not given."""
    return None if text is None else tuple(name.strip() for name in text.split(",") if name.strip())
