"""`faceperc predict`: faces of images, as tables, JSON and pictures."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from faceperc._files import check_json_target, make_folder
from faceperc.cli_options import (
    MANY,
    OUTPUT,
    CaptionsOption,
    DetectorOption,
    DrawSizeOption,
    HeadsOption,
    MinScoreOption,
    ModelOption,
    PoseOption,
    ProviderOption,
    TasksOption,
    ThreadsOption,
    TilesOption,
    draw_options,
    split_names,
)
from faceperc.commands.output import complain, write_json
from faceperc.errors import FacepercError, ImageError, UsageError
from faceperc.zoo import DEFAULT_MODEL, sample_image

if TYPE_CHECKING:
    from faceperc.batch.inputs import Input


def predict(
    images: Annotated[
        list[str] | None,
        typer.Argument(metavar="IMAGE...", help="Images, folders, patterns such as '*.jpg'."),
    ] = None,
    sample: Annotated[bool, typer.Option("--sample", help="Predict on the bundled photograph.")] = False,
    json_file: Annotated[
        str | None,
        typer.Option(
            "--json", metavar="FILE", help="Write JSON; - for standard output.", rich_help_panel=OUTPUT
        ),
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Draw the results, save the pictures there.", rich_help_panel=OUTPUT
        ),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Write one .parquet, .csv or .jsonl of many images, in parallel.",
            rich_help_panel=MANY,
        ),
    ] = None,
    listed: Annotated[
        str | None,
        typer.Option(
            "--list",
            metavar="FILE",
            help="Images named in a file, one per line; - is stdin.",
            rich_help_panel=MANY,
        ),
    ] = None,
    masks: Annotated[
        str | None,
        typer.Option(help="With --out: masks as png (default), rle or none.", rich_help_panel=MANY),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(help="With --out: processes; by default one per core.", rich_help_panel=MANY),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="With --out: replace the file.", rich_help_panel=MANY)
    ] = False,
    draw_size: DrawSizeOption = None,
    captions: CaptionsOption = None,
    pose: PoseOption = None,
    tasks: TasksOption = None,
    model: ModelOption = DEFAULT_MODEL,
    detector: DetectorOption = None,
    min_score: MinScoreOption = None,
    threads: ThreadsOption = None,
    provider: ProviderOption = None,
    heads: HeadsOption = False,
    tiles: TilesOption = False,
) -> None:
    """Find the faces of images, and everything about them. Thousands of images: --out."""
    from faceperc.batch.inputs import read_list
    from faceperc.settings import Settings

    inputs = [*(images or []), *([str(sample_image())] if sample else [])]
    if listed is not None:
        inputs += read_list(listed)
    if not inputs:
        raise UsageError("give an image, or --sample for the bundled one; see 'faceperc predict --help'")
    settings = Settings(model, detector, split_names(tasks), threads, provider, min_score, heads, tiles)
    drawing = draw_options(draw_size, captions, pose)
    if drawing and save is None:
        raise UsageError(
            "--draw-size, --captions and --pose go with --save DIR; see 'faceperc predict --help'"
        )
    if out is not None:
        if json_file is not None or save is not None:
            raise UsageError("--out goes without --json and --save: it writes one file and draws nothing")
        from faceperc.batch.cli import run

        options = asdict(settings)
        raise typer.Exit(run(inputs, out, masks=masks, workers=workers, overwrite=overwrite, **options))
    if masks is not None or workers is not None or overwrite:
        raise UsageError(
            "--masks, --workers and --overwrite go with --out FILE; see 'faceperc predict --help'"
        )
    found = _images(inputs)
    predictor = settings.open()
    pictures = None if save is None else _Pictures(save, [image.path for image in found])
    check_json_target(json_file)
    results: list[dict[str, Any]] = []
    failures: list[dict[str, str]] = []
    for image in found:
        source = image.path
        try:
            if image.error is not None:
                raise ImageError(image.error)
            faces = predictor(source)
            if pictures is not None:
                faces.save(pictures.path(source), **drawing)
        except FacepercError as error:  # of this image: the others are done
            complain(error)
            failures.append({"source": source, "error": str(error)})
            continue
        if json_file is not None:
            results.append(faces.to_dict())
        if json_file != "-":
            from faceperc.tables import print_faces

            print_faces(faces)
    if pictures is not None and json_file != "-":
        count = len(found) - len(failures)
        print(f"{count} picture{'' if count == 1 else 's'} in {save}")
    if json_file is not None:
        write_json(json_file, {"model": predictor.metadata.name, "results": results, "errors": failures})
    if failures:
        raise typer.Exit(1)


def _images(names: list[str]) -> list[Input]:
    """The images that are named; one that is named twice is done twice, and a bad name is a failure."""
    from faceperc.batch.inputs import Input, find_images

    found: list[Input] = []
    for name in names:
        try:
            found += find_images([name])
        except UsageError as error:
            found.append(Input(name, str(error)))
    return found


class _Pictures:
    """File names for the drawings: DIR/<stem>.jpg, numbered where two inputs have the same stem.

    No drawing ever replaces one of the inputs.
    """

    def __init__(self, folder: Path, inputs: list[str]) -> None:
        make_folder(folder)
        self._folder = folder
        self._taken = {str(Path(source).resolve()).lower() for source in inputs}

    def path(self, source: str) -> Path:
        stem, number = Path(source).stem, 1
        path = self._folder / f"{stem}.jpg"
        while str(path.resolve()).lower() in self._taken:
            number += 1
            path = self._folder / f"{stem}-{number}.jpg"
        self._taken.add(str(path.resolve()).lower())
        return path
