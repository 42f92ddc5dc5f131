"""The command line. `faceperc --help` is the manual.

Exit codes: 0 done, 1 some inputs failed (each named, the rest done), 2 wrong usage, 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from faceperc import __version__
from faceperc.commands.models import info, models, pull, push
from faceperc.commands.output import complain
from faceperc.commands.predict import predict
from faceperc.commands.report import report
from faceperc.commands.training import run_training
from faceperc.commands.verify import verify
from faceperc.commands.video import video
from faceperc.errors import ConfigError, FacepercError, UsageError
from faceperc.serve.cli import serve

# The commands by purpose, as `faceperc --help` shows them.
PURPOSES = ("Use", "Models", "Train", "Measure", "Export and publish")
USE, MODELS, TRAIN, MEASURE, EXPORT = PURPOSES

# Commands with options of their own: function -> (purpose, example), in the help's order within a purpose.
COMMANDS: dict[Callable[..., None], tuple[str, str]] = {
    predict: (USE, "faceperc predict a.jpg b.png --tasks pose,age --json out.json --save drawn"),
    report: (USE, "faceperc report photos/ -o report.html"),
    video: (USE, "faceperc video clip.mp4 --out drawn.mp4 --json faces.jsonl"),
    serve: (USE, "faceperc serve --port 8000"),
    models: (MODELS, "faceperc models --all"),
    pull: (MODELS, "faceperc pull faceperc-nano --out nano"),
    push: (EXPORT, "faceperc push runs/nano/model my-org/my-model --private --tag v1"),
    info: (MODELS, "faceperc info faceperc-nano"),
    verify: (EXPORT, "faceperc verify faceperc-nano.onnx --json -"),
}

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
            complain(error)
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


def _add_training_command(name: str, panel: str, module: str, summary: str) -> None:
    # The command's own parser gets all arguments, --help too.
    settings = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}

    @app.command(name, help=summary, rich_help_panel=panel, context_settings=settings)
    def command(context: typer.Context) -> None:
        code = run_training(name, module, lambda imported: imported.main(list(context.args)))
        raise typer.Exit(code or 0)


for _command, (_panel, _example) in COMMANDS.items():
    app.command(rich_help_panel=_panel, epilog=f"Example: {_example}")(_command)
for _name, (_panel, _module, _summary) in TRAINING.items():
    _add_training_command(_name, _panel, _module, _summary)


if __name__ == "__main__":
    main()
