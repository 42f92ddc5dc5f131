"""`faceperc video`: the faces of a video, followed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from faceperc.cli_options import (
    CaptionsOption,
    DetectorOption,
    DrawSizeOption,
    MinScoreOption,
    ModelOption,
    PoseOption,
    ProviderOption,
    TasksOption,
    ThreadsOption,
    draw_options,
    split_names,
)
from faceperc.zoo import DEFAULT_MODEL


def video(
    source: Annotated[
        str,
        typer.Argument(metavar="IN", help="A video file, a camera's number, a URL, or a folder of images."),
    ],
    out: Annotated[
        Path | None, typer.Option(metavar="OUT.mp4", help="Write the drawn frames, without the sound.")
    ] = None,
    json_file: Annotated[
        str | None,
        typer.Option("--json", metavar="FILE", help="Write a line of JSON per frame; - for standard output."),
    ] = None,
    show: Annotated[bool, typer.Option("--show", help="Show the drawn frames; q or Esc ends.")] = False,
    tasks: TasksOption = None,
    no_track: Annotated[
        bool, typer.Option("--no-track", help="Detect in each frame; no identities.")
    ] = False,
    no_smooth: Annotated[
        bool, typer.Option("--no-smooth", help="Leave the results as they are seen.")
    ] = False,
    redetect: Annotated[float, typer.Option(help="Look for new faces after so many seconds.")] = 0.5,
    fps: Annotated[float | None, typer.Option(help="Frames per second of a folder; 25 by default.")] = None,
    draw_size: DrawSizeOption = None,
    captions: CaptionsOption = None,
    pose: PoseOption = None,
    model: ModelOption = DEFAULT_MODEL,
    detector: DetectorOption = None,
    min_score: MinScoreOption = None,
    threads: ThreadsOption = None,
    provider: ProviderOption = None,
) -> None:
    """Follow the faces of a video. Ctrl-C ends it and keeps what is done by then."""
    from faceperc.settings import Settings
    from faceperc.video.cli import Outputs, run
    from faceperc.video.stream import FaceStream

    outputs = Outputs(out, json_file, show, draw_options(draw_size, captions, pose))
    predictor = Settings(model, detector, split_names(tasks), threads, provider, min_score).open()
    code = run(source, outputs, FaceStream(predictor, not no_track, not no_smooth, redetect), fps)
    if code:
        raise typer.Exit(code)
