"""`faceperc models`, `pull`, `push` and `info`: which models there are, where, and what they do."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from faceperc.cli_options import MODEL_HELP, ProviderOption
from faceperc.commands.output import write_json
from faceperc.zoo import DEFAULT_MODEL, find_model, names, whereabouts


def models(
    all_tags: Annotated[
        bool, typer.Option("--all", help="All tags of each name, not only the default.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print every row of the registry as JSON.")] = False,
) -> None:
    """List the models of the zoo: size, speed, accuracy, allowed use, and where they are."""
    from faceperc.models_table import print_models, rows

    if as_json:
        write_json("-", {"models": rows()})
    else:
        print_models(all_tags)


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
        write_json("-", document if row is None else document | {"zoo": row_of(*row)})
    elif opened is not None:
        print_model(opened)
