"""The command line. `faceperc --help` is the manual.

Exit codes: 0 done, 1 some inputs failed (each named, the rest done), 2 wrong usage, 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import importlib
import json
import shlex
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from typer.core import TyperGroup

from faceperc import __version__
from faceperc._files import check_target, write_file
from faceperc.cli_options import (
    MANY,
    MODEL_HELP,
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
from faceperc.errors import ConfigError, FacepercError, ImageError, ModelError, UsageError
from faceperc.serve.cli import serve
from faceperc.zoo import DEFAULT_MODEL, find_model, names, sample_image, whereabouts

if TYPE_CHECKING:
    from faceperc.batch.inputs import Input

T = TypeVar("T")

# The commands by purpose, as `faceperc --help` shows them.
PURPOSES = ("Use", "Models", "Train", "Measure", "Export and publish")
USE, MODELS, TRAIN, MEASURE, EXPORT = PURPOSES

# Commands of the training half, and bench. They are imported when called, and read their own arguments.
TRAINING = {
    "train": (TRAIN, "faceperc.train", "Train a model."),
    "pretrain": (TRAIN, "faceperc.pretrain", "Pretrain a model's backbone without labels."),
    "train-detector": (TRAIN, "faceperc.detector.train", "Train a detector."),
    "data": (TRAIN, "faceperc.data.cli", "Check, look at and prepare a data set."),
    "eval": (MEASURE, "faceperc.evaluate.cli", "Measure a model on labelled data."),
    "compare": (MEASURE, "faceperc.evaluate.compare", "By how much two models differ on the same faces."),
    "eval-detector": (MEASURE, "faceperc.detector.evaluate", "Measure a detector on labelled data."),
    "eval-wider": (MEASURE, "faceperc.detector.evaluate_wider", "The official measure on WIDER FACE."),
    "eval-heads": (MEASURE, "faceperc.detector.evaluate_heads", "A detector on heads from every side."),
    "bench": (MEASURE, "faceperc.bench.cli", "Time prediction, or the stages of a training."),
    "export": (EXPORT, "faceperc.export.cli", "Write a trained model as an ONNX file."),
    "export-detector": (EXPORT, "faceperc.detector.export", "Write a detector's checkpoint as an ONNX file."),
    "export-engine": (EXPORT, "faceperc.export.tensorrt", "Build a TensorRT engine from an ONNX file."),
    "card": (EXPORT, "faceperc.card.cli", "Write the model card of a model folder."),
    "release": (EXPORT, "faceperc.release", "Compose the complete folder of a trained model."),
}


class _Commands(TyperGroup):
    """Our own errors become one line on stderr and an exit code; any other is a bug and shows up whole."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The commands by purpose, for the help."""

        def place(name: str) -> int:
            purpose = getattr(self.commands[name], "rich_help_panel", None)
            return PURPOSES.index(purpose) if purpose in PURPOSES else 0

        return sorted(super().list_commands(ctx), key=place)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except FacepercError as error:
            _complain(error)
            raise typer.Exit(2 if isinstance(error, UsageError | ConfigError) else 1) from error


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="One look at a face, every answer.",
    epilog="Example: faceperc predict --sample. Each command has its own: faceperc predict --help",
)


def main() -> None:
    """Entry point of the command `faceperc`."""
    # a file name that the terminal cannot show is printed with escapes instead of failing
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    app(prog_name="faceperc")


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"faceperc {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command(
    rich_help_panel=USE,
    epilog="Example: faceperc predict a.jpg b.png --tasks pose,age --json out.json --save drawn",
)
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
    if json_file not in (None, "-"):
        check_target(json_file)
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
            _complain(error)
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
        _write_json(json_file, {"model": predictor.metadata.name, "results": results, "errors": failures})
    if failures:
        raise typer.Exit(1)


@app.command(rich_help_panel=USE, epilog="Example: faceperc report photos/ -o report.html")
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
        print(f"faceperc: {failure.source}: {failure.reason}", file=sys.stderr)
    print(f"{out}: {len(written.cards)} of {len(written.all_facts)} faces, {out.stat().st_size / 1e6:.1f} MB")
    if written.failures:
        raise typer.Exit(1)


@app.command(
    rich_help_panel=USE, epilog="Example: faceperc video clip.mp4 --out drawn.mp4 --json faces.jsonl"
)
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


app.command(rich_help_panel=USE, epilog="Example: faceperc serve --port 8000")(serve)


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
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"{folder}: cannot be made: {error.strerror or error}; name another folder"
            ) from error
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


@app.command(rich_help_panel=MODELS, epilog="Example: faceperc models --all")
def models(
    all_tags: Annotated[
        bool, typer.Option("--all", help="All tags of each name, not only the default.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print every row of the registry as JSON.")] = False,
) -> None:
    """List the models of the zoo: size, speed, accuracy, allowed use, and where they are."""
    from faceperc.models_table import print_models, rows

    if as_json:
        _write_json("-", {"models": rows()})
    else:
        print_models(all_tags)


@app.command(rich_help_panel=MODELS, epilog="Example: faceperc pull faceperc-nano --out nano")
def pull(
    model: Annotated[str, typer.Argument(help="A name from 'faceperc models', or ORG/NAME[@REVISION].")],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Copy the files there, into a new folder.")
    ] = None,
) -> None:
    """Get the whole folder of a model: from the package, the Hub client's cache or the Hub."""
    from faceperc.pull import check_free, copy_folder, files_of
    from faceperc.pull import pull as fetch_folder

    if out is not None:
        check_free(out)
    folder = fetch_folder(model)
    if out is not None:
        folder = copy_folder(folder, out)
    print(folder)
    for path in files_of(folder):
        print(f"  {path.name}  {path.stat().st_size:,} bytes")
    print(f"what it is: faceperc info {shlex.quote(str(folder))}")


@app.command(
    rich_help_panel=EXPORT, epilog="Example: faceperc push runs/nano/model my-org/my-model --private --tag v1"
)
def push(
    folder: Annotated[Path, typer.Argument(help="A model folder, with a README.md that names a license.")],
    repo: Annotated[str, typer.Argument(metavar="ORG/NAME", help="The repository; made if there is none.")],
    private: Annotated[bool, typer.Option("--private", help="For nobody but you and ORG.")] = False,
    tag: Annotated[str | None, typer.Option(help="A name for this version, such as v1.")] = None,
    message: Annotated[str | None, typer.Option(help="Message of the commit.")] = None,
) -> None:
    """Publish a model folder on the Hugging Face Hub: its files and nothing else, after a check."""
    from faceperc.publish import push as publish

    place = publish(folder, repo, private=private, tag=tag, message=message)
    print(f"published as commit {place.revision}" + (f", tag {tag}" if tag else ""))
    print(f'use it: faceperc.Predictor("{place}")')


@app.command(rich_help_panel=MODELS, epilog="Example: faceperc info faceperc-nano")
def info(
    model: Annotated[str, typer.Argument(help=MODEL_HELP)] = DEFAULT_MODEL,
    as_json: Annotated[bool, typer.Option("--json", help="Print the metadata as JSON.")] = False,
    provider: ProviderOption = None,
) -> None:
    """Show what is installed here, what a model does (tasks, licence, training data) and what runs it.

    Of a model of the zoo that is not on this computer it shows what the registry says; nothing is downloaded.
    """
    from faceperc.models_table import print_row, row_of
    from faceperc.runtime import OnnxModel
    from faceperc.tables import print_installation, print_model

    row = names().get(model)
    if not as_json:
        print_installation()  # first: it helps where the model cannot be opened
        if row is not None:
            print()
            print_row(*row)
    is_here = row is None or whereabouts(*row)[1] is not None
    opened = OnnxModel(find_model(model), 1, provider) if is_here else None
    if as_json:
        document = {} if opened is None else opened.metadata.raw
        _write_json("-", document if row is None else document | {"zoo": row_of(*row)})
    elif opened is not None:
        print_model(opened)


@app.command(rich_help_panel=EXPORT, epilog="Example: faceperc verify faceperc-nano.onnx --json -")
def verify(
    file: Annotated[str, typer.Argument(help=MODEL_HELP)] = DEFAULT_MODEL,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER", help="Compare with this saved model in torch instead of the stored set."
        ),
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The reference set of another file, from which this one was made."),
    ] = None,
    providers: Annotated[
        str | None, typer.Option(metavar="A,B", help="Only these, which must start: cpu, cuda, ....")
    ] = None,
    tolerance: Annotated[
        float | None, typer.Option(help="Largest relative deviation; else by the file's precision.")
    ] = None,
    json_file: Annotated[
        str | None, typer.Option("--json", metavar="FILE", help="Write JSON; - for standard output.")
    ] = None,
) -> None:
    """Check that a model file answers as the trained model does, on every provider. Exit code 1 if not."""
    from faceperc.model_folder import reference_path
    from faceperc.verify import ReferenceSet
    from faceperc.verify import verify as check

    if model is not None and reference is not None:
        raise UsageError("give --model or --reference, not both; see 'faceperc verify --help'")
    path = find_model(file)
    if model is not None:
        wanted = _run_training(
            "verify --model", "faceperc.export.reference", lambda imported: imported.reference_of(model, path)
        )
    elif reference is not None:
        # the file was made from another: the hash in the set is the other one's
        wanted = replace(ReferenceSet.load(reference), file_sha256=())
    else:
        stored = reference_path(path)
        if not stored.is_file():
            raise ModelError(
                f"{path}: has no reference set {stored.name} beside it; export the model again, or compare "
                "with the saved model: --model FOLDER"
            )
        wanted = ReferenceSet.load(stored)
    result = check(path, wanted, split_names(providers), tolerance)
    if json_file is not None:
        _write_json(json_file, {"model": str(path), **result.to_dict()})
    if json_file != "-":
        from faceperc.tables import print_verification

        print_verification(result, path)
    if not result.passed:
        raise typer.Exit(1)


def _add_training_command(name: str, panel: str, module: str, summary: str) -> None:
    # The command's own parser gets all arguments, --help too.
    settings = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}

    @app.command(name, help=summary, rich_help_panel=panel, context_settings=settings)
    def command(context: typer.Context) -> None:
        code = _run_training(name, module, lambda imported: imported.main(list(context.args)))
        raise typer.Exit(code or 0)


def _run_training(command: str, module: str, run: Callable[[ModuleType], T]) -> T:
    """Call into a module of the training half, which may not be installed."""
    try:
        return run(importlib.import_module(module))
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "faceperc":
            raise UsageError(f"'{command}' is not in this installation, which lacks {error.name}") from error
        raise UsageError(
            f"'{command}' needs the package {error.name}; install the training extra: "
            'pip install "faceperc[cpu,train]"'
        ) from error


for _name, (_panel, _module, _summary) in TRAINING.items():
    _add_training_command(_name, _panel, _module, _summary)


def _write_json(target: str, document: dict[str, Any]) -> None:
    text = json.dumps(document, indent=2, allow_nan=False) + "\n"
    if target == "-":
        sys.stdout.write(text)
    else:
        write_file(target, text.encode("ascii"))


def _complain(error: Exception) -> None:
    print(f"faceperc: {error}", file=sys.stderr)


if __name__ == "__main__":
    main()
