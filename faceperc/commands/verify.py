"""`faceperc verify`: whether a model file answers as the trained model does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from faceperc._files import check_json_target
from faceperc.cli_options import MODEL_HELP, split_names
from faceperc.commands.output import write_json
from faceperc.commands.training import run_training
from faceperc.errors import ModelError, UsageError
from faceperc.zoo import DEFAULT_MODEL, find_model


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
    check_json_target(json_file)
    path = find_model(file)
    if model is not None:
        wanted = run_training(
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
        write_json(json_file, {"model": str(path), **result.to_dict()})
    if json_file != "-":
        from faceperc.tables import print_verification

        print_verification(result, path)
    if not result.passed:
        raise typer.Exit(1)
