"""`faceperc release MODEL`: a trained model -> the complete folder of ``faceperc.model_folder``, and its row
of the registry.

Everything is made in a temporary folder beside the one that is to be, which then gets its name: nobody ever
sees half a release.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import save

from faceperc._files import check_target, make_folder, write_file
from faceperc._find_config import find_config
from faceperc._parser import CommandParser
from faceperc.card.facts import Facts, check_evaluations, gather, read_json
from faceperc.card.figures import main_figures
from faceperc.card.render import render
from faceperc.data.source import data_folder
from faceperc.errors import ConfigError, UsageError
from faceperc.evaluate.cli import main as evaluate
from faceperc.evaluate.report import json_text
from faceperc.evaluate.saved import together
from faceperc.export.cli import main as export
from faceperc.export.precision import round_weights
from faceperc.licences import for_metadata
from faceperc.model import FaceModel, read_training, write_training
from faceperc.model_folder import (
    CARD,
    CONFIG,
    EVALUATION,
    FILES,
    NOTES,
    ONNX,
    REFERENCE,
    RUNNABLE,
    TRAINING,
    WEIGHTS,
)
from faceperc.provenance import command_line, file_sha256
from faceperc.registry import ZooModel, check_names, read_registry
from faceperc.runtime import OnnxModel
from faceperc.zoo import find_weights

_RECIPE = "configs/release/default.yaml"
#: The files that a row of the registry vouches for.
_VOUCHED = (WEIGHTS, CONFIG, TRAINING, *RUNNABLE, REFERENCE)


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Which files a release has.

    Attributes:
        files: name of an ONNX file -> options of `faceperc export`, without their dashes.
        store: ``fp16`` stores the weights' matrices and filters in half precision, which halves the file.
    """

    files: dict[str, dict[str, Any]]
    store: str = "fp32"

    @classmethod
    def read(cls, path: Path, precisions: Sequence[str] | None) -> Recipe:
        """From a YAML file such as configs/release/default.yaml.

        Args:
            path: the file.
            precisions: only the files of these; all where None.

        Raises:
            ConfigError: if it is no such file, or has no file of a precision.
        """
        try:
            recipe = cls(**yaml.safe_load(path.read_text()))
            files = {name: dict(options or {}) for name, options in recipe.files.items()}
        except (OSError, yaml.YAMLError, TypeError, ValueError, AttributeError) as error:
            raise ConfigError(f"{path}: no recipe of a release ({error}); see {_RECIPE}") from error
        if recipe.store not in ("fp32", "fp16"):
            raise ConfigError(f"{path}: store is fp32 or fp16; got {recipe.store!r}")
        if unknown := sorted(set(files) - set(RUNNABLE)):
            raise ConfigError(f"{path}: a release has {' and '.join(RUNNABLE)}; got {', '.join(unknown)}")
        known = {name: str(options.get("precision", "fp32")) for name, options in files.items()}
        if precisions is not None:
            if missing := sorted(set(precisions) - set(known.values())):
                raise ConfigError(f"{path}: has no file of the precision {', '.join(missing)}")
            files = {name: options for name, options in files.items() if known[name] in precisions}
        return cls(files, recipe.store)


def compose(
    source: Path, folder: Path, name: str, tag: str, recipe: Recipe, notes: Path | None = None
) -> None:
    """Write weights, configuration, record and ONNX files with their reference set into an empty folder.

    Args:
        source: a folder with the weights and the configuration.
        folder: where everything goes.
        name: of the model.
        tag: of the training run.
        recipe: which files.
        notes: the hand-written part of the card.

    Raises:
        ModelError: if the source is no saved model.
        ParityError: if an ONNX file does not answer as the model does.
    """
    model = FaceModel.load(source)
    model.config.name = name
    if recipe.store == "fp16":
        round_weights(model)
    model.save(folder)
    if recipe.store == "fp16":
        _halve(model, folder / WEIGHTS)
    training = read_training(source)
    # what the ONNX files say of licence and use, the record says too
    record = training | for_metadata(training) | {"name": name, "tag": tag}
    write_training(folder, record)
    if notes is not None:
        shutil.copyfile(notes, folder / NOTES)
    for file, options in recipe.files.items():
        export([str(folder), "-o", str(folder / file), *_words(options)])


def measure(folder: Path, options: Sequence[str], robustness: bool = False) -> list[dict[str, Any]]:
    """The documents of `faceperc eval --groups` of every ONNX file of a folder.

    Args:
        folder: with the files.
        options: further ones of `faceperc eval`.
        robustness: measure the first file under harder conditions too.
    """
    documents: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="faceperc-release-") as scratch:
        for file in RUNNABLE:
            if (folder / file).is_file():
                target = Path(scratch, f"{file}.json")
                words = ["--groups", *options, *(["--robustness"] if robustness and not documents else [])]
                evaluate([str(folder / file), *words, "--json", str(target)])
                command = command_line("eval", [file, *words, "--json", EVALUATION])
                documents.append(read_json(target) | {"command": command})
    return documents


def registry_row(
    facts: Facts, folder: Path, old: Mapping[str, Any], given: Mapping[str, Any]
) -> dict[str, Any]:
    """The row of ``registry.json`` for a composed folder; ``faceperc.zoo.ZooModel`` says what is in it.

    Args:
        facts: of the folder.
        folder: the folder.
        old: the row that it replaces, whose words and whose latencies of unchanged files stay; {} if none.
        given: words that the user gives, None where not.
    """
    model = FaceModel.load(folder)
    backbone = model.config.backbone
    words = {
        "description": ", ".join(facts.metadata.tasks),
        "architecture": f"{backbone.name}, task-query decoder",
        "repo": None,
        "revision": facts.tag,
        "recipe": facts.training.get("command", ""),
    }
    words |= {key: old[key] for key in words if old.get(key)}
    words |= {key: value for key, value in given.items() if value is not None}
    figures = {each["file"]["name"]: main_figures(each) for each in facts.evaluations_of("face")[::-1]}
    files = {name: _entry(folder / name, old, figures) for name in _VOUCHED if (folder / name).is_file()}
    return {
        "name": facts.name,
        "tag": facts.tag,
        "role": facts.metadata.role,
        "description": words["description"],
        "architecture": words["architecture"],
        "parameters": sum(each.numel() for each in model.parameters()),
        "input_size": backbone.image_size,
        "tasks": list(facts.metadata.tasks),
        "use": facts.use,
        "licence": facts.licence,
        "training_data": list(dict.fromkeys(each["name"] for each in facts.sources)),
        "metrics": figures.get(ONNX, {}),
        "files": files,
        "repo": words["repo"],
        "revision": words["revision"],
        "published": bool(old.get("published")),  # by hand, once it is
        "recipe": words["recipe"],
    }


def write_row(path: Path, row: Mapping[str, Any]) -> None:
    """Insert a row into a registry, or replace that of the same name and tag.

    Raises:
        ModelError: if the registry is damaged, or would be.
    """
    ZooModel.from_dict(dict(row))
    rows = _rows(path)
    keys = [(each["name"], each["tag"]) for each in rows]
    key = (row["name"], row["tag"])
    place = keys.index(key) if key in keys else len(rows)
    rows[place : place + 1] = [row]
    write_file(path, (json.dumps({"models": rows}, indent=2) + "\n").encode())


def _rows(path: Path) -> list[Any]:
    """The rows of a registry; none where there is no file."""
    if path.is_file():
        read_registry(path)  # which checks them
    return list(read_json(path).get("models", []))


def _entry(path: Path, old: Mapping[str, Any], figures: Mapping[str, dict[str, float]]) -> dict[str, Any]:
    entry: dict[str, Any] = {"sha256": file_sha256(path), "bytes": path.stat().st_size}
    before = old.get("files", {}).get(path.name, {})
    if before.get("latency") is not None and before["sha256"] == entry["sha256"]:
        entry["latency"] = before["latency"]
    if path.name != ONNX and figures.get(path.name):  # those of model.onnx are the row's
        entry["metrics"] = figures[path.name]
    return entry


def _halve(model: FaceModel, path: Path) -> None:
    """Store the matrices and filters, which ``round_weights`` has rounded, in half precision: loading them
    gives the same weights."""
    matrices = {name for name, parameter in model.named_parameters() if parameter.ndim > 1}
    arrays = {
        name: (value.to(torch.float16) if name in matrices else value).contiguous()
        for name, value in model.state_dict().items()
    }
    write_file(path, save(arrays))


def _words(options: Mapping[str, Any]) -> list[str]:
    """``{"keep-float": ["a", "b"]}`` -> ``--keep-float a --keep-float b``."""
    words = []
    for key, value in options.items():
        for each in value if isinstance(value, list) else [value]:
            words += [f"--{key}", str(each)]
    return words


def main(args: list[str]) -> int:
    """Compose a release; `--help` lists the options."""
    options = _parser().parse_args(args)
    recipe = Recipe.read(
        Path(find_config(options.recipe)), options.precision.split(",") if options.precision else None
    )
    _check(options)
    old_row = _old_row(options)
    source = find_weights(options.model)
    out: Path = options.out
    _check_out(out, source, options.replace)
    notes = options.notes or next(
        (path for path in (out / NOTES, Path(options.model, NOTES)) if path.is_file()), None
    )
    make_folder(out.parent)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".release-") as scratch:
        draft = Path(scratch, "folder")
        draft.mkdir()
        compose(source, draft, options.name, options.tag, recipe, notes)
        documents = [read_json(path) for path in options.evaluation] or measure(
            draft, _eval_options(options), options.robustness
        )
        evaluation = together(documents)
        models = [OnnxModel(draft / file, 1).metadata for file in recipe.files]
        check_evaluations(draft / EVALUATION, evaluation["evaluations"], models)
        write_file(draft / EVALUATION, json_text(evaluation).encode())
        facts = gather(draft, options.name, options.tag)
        given = {key: getattr(options, key) for key in ("description", "architecture", "repo")}
        row = registry_row(facts, draft, old_row, given)
        write_file(draft / CARD, render(facts).encode())
        put(draft, out, Path(scratch, "old"))
    if options.registry:
        write_row(options.registry, row)
    else:
        print(json.dumps(row, indent=2))
    return 0


def _check_out(out: Path, source: Path, replace: bool) -> None:
    """Raise UsageError if a folder is there that must not be replaced."""
    if not out.exists():
        return
    if not replace:
        raise UsageError(f"{out}: exists already; name another folder, or give --replace")
    if not (out / CONFIG).is_file():
        raise UsageError(f"{out}: is no model folder, so it is not replaced; name another one")
    if out.resolve() == source.resolve():
        raise UsageError(f"{out}: is where the weights come from, so it is not replaced; name another folder")
    if others := sorted({path.name for path in out.iterdir()} - {*FILES, NOTES}):
        raise UsageError(
            f"{out}: has other files too, which replacing it would remove ({', '.join(others[:3])}); "
            "move them away, or name another folder"
        )


def put(draft: Path, out: Path, old: Path) -> None:
    """Give the finished folder its name.

    Args:
        draft: the folder.
        out: the name.
        old: where what has that name now is moved to; it comes back if this fails.

    Raises:
        UsageError: if it fails.
    """
    try:
        if out.exists():
            os.replace(out, old)
        os.replace(draft, out)
    except OSError as error:
        if old.exists():
            os.replace(old, out)
        raise UsageError(f"{out}: cannot be written: {error.strerror or error}") from error


def _check(options: argparse.Namespace) -> None:
    """Raise UsageError before the work at what would end it."""
    check_names(options.name, options.tag, options.repo)
    for path in (options.notes, *options.evaluation):
        if path and not path.is_file():
            raise UsageError(f"{path}: no such file")
    if not options.evaluation:
        data_folder(options.data)
    if options.registry:
        check_target(options.registry)


def _old_row(options: argparse.Namespace) -> dict[str, Any]:
    rows = _rows(options.registry) if options.registry else []
    same: dict[str, Any] = next(
        (each for each in rows if (each["name"], each["tag"]) == (options.name, options.tag)), {}
    )
    return same


def _eval_options(options: argparse.Namespace) -> list[str]:
    given = {name: getattr(options, name) for name in ("data", "sources", "split", "limit", "threads")}
    return [word for name, value in given.items() if value is not None for word in (f"--{name}", str(value))]


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="faceperc release",
        description="Compose the complete folder of a trained model: weights, configuration, record, ONNX "
        "files with their reference set, evaluation and model card; and its row of the registry.",
        epilog="Example: faceperc release runs/nano/model --name faceperc-nano --tag v2 --out release",
    )
    parser.add_argument("model", help="folder of a saved model, or its name in the zoo or on the Hub")
    parser.add_argument("--name", required=True, help="of the model, e.g. faceperc-nano")
    parser.add_argument("--tag", required=True, help="of the training run, e.g. v2")
    parser.add_argument("--out", type=Path, required=True, help="the folder to write")
    parser.add_argument("--replace", action="store_true", help="replace the folder if it exists")
    parser.add_argument("--recipe", default=_RECIPE, help="YAML with the options of each ONNX file's export")
    parser.add_argument("--precision", metavar="A,B", help="only the recipe's files of these: fp32,int8")
    parser.add_argument("--notes", type=Path, help="the card's hand-written part; notes.md of either folder")
    parser.add_argument(
        "--evaluation", type=Path, action="append", default=[], metavar="FILE",
        help="what 'faceperc eval --groups --json' wrote of these weights; measured now by default",
    )  # fmt: skip
    parser.add_argument("--data", help="folder of the evaluation's data; else FACEPERC_DATA")
    parser.add_argument("--sources", help="of the evaluation: YAML list of sources; else the pack's")
    parser.add_argument("--split", help="of the evaluation; val by default")
    parser.add_argument("--limit", type=int, help="of the evaluation: at most this many faces of a source")
    parser.add_argument("--threads", type=int, help="of the evaluation")
    parser.add_argument(
        "--robustness", action="store_true", help="of the evaluation: model.onnx under harder conditions too"
    )
    parser.add_argument("--registry", type=Path, help="insert or replace the row in this registry.json")
    parser.add_argument("--description", help="of the row: one line for people")
    parser.add_argument("--architecture", help="of the row: the network in a few words")
    parser.add_argument("--repo", help="of the row: ORG/NAME on the Hub")
    return parser
