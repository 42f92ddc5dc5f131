"""`faceperc report`: many faces in one HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from faceperc.cli_options import (
    DetectorOption,
    HeadsOption,
    MinScoreOption,
    ModelOption,
    ProviderOption,
    TasksOption,
    ThreadsOption,
    TilesOption,
    split_names,
)
from faceperc.commands.output import complain
from faceperc.zoo import DEFAULT_MODEL


def report(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="PHOTOS...", help="Images and folders of them; or what 'predict --out' or '--json' wrote."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE.html", help="The page to write.")],
    title: Annotated[str, typer.Option(help="Heading of the page.")] = "Faces",
    max_faces: Annotated[
        int, typer.Option(help="Show at most so many faces: those that the models are least sure of.")
    ] = 1000,
    crops_only: Annotated[
        bool, typer.Option("--crops-only", help="Leave the whole pictures out: smaller, and shows less.")
    ] = False,
    tasks: TasksOption = None,
    model: ModelOption = DEFAULT_MODEL,
    detector: DetectorOption = None,
    min_score: MinScoreOption = None,
    threads: ThreadsOption = None,
    provider: ProviderOption = None,
    heads: HeadsOption = False,
    tiles: TilesOption = False,
) -> None:
    """Look through many faces in one HTML page: filters, distributions, the least sure first."""
    from faceperc.html_report.run import Options, needs_predictor, open_target, write_report
    from faceperc.settings import Settings

    options = Options(title, max_faces, crops_only)
    open_target(out, inputs)
    settings = Settings(model, detector, split_names(tasks), threads, provider, min_score, heads, tiles)
    predictor = settings.open() if needs_predictor(inputs) else None
    written = write_report(inputs, out, options, predictor)
    for failure in written.failures:
        complain(f"{failure.source}: {failure.reason}")
    print(f"{out}: {len(written.cards)} of {len(written.all_facts)} faces, {out.stat().st_size / 1e6:.1f} MB")
    if written.failures:
        raise typer.Exit(1)
