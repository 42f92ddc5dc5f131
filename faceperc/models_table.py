"""What `faceperc models` and `faceperc info NAME` say about the zoo."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich.table import Table
from rich.text import Text

from faceperc._console import plain_console
from faceperc.model_folder import ONNX
from faceperc.zoo import ModelFile, ZooModel, names, whereabouts

_NONE = "-"
_HEADINGS = ("name", "tag", "MB", "U", "NME", "F1", "expr.", "age", "AP50", "use", "where")
#: Under which heading a figure of the model card stands.
_FIGURES = {
    "NME": "w300 NME %",
    "F1": "fasseg F1 %",
    "expr.": "fer2013 accuracy %",
    "age": "utkface age MAE years",
    "AP50": "mosaics AP50 % 48+ px",
}
_NOTES = (
    "MB: of the file. U: time for one face (a detector: for an image of 640 x 480) on one CPU thread, "
    "where timm's vit_tiny_patch16_224 takes 1 (docs/performance.md).",
    "NME: of 68 landmarks on w300, %. F1: of face parts on fasseg, %. expr.: expressions of fer2013, % "
    "right. age: mean error on utkface, years. AP50: of faces from 48 px on, %. All on validation "
    "photographs (MODEL_CARD.md).",
    "use: 'research' where the training data allows research only. where: in the package, cached by the "
    "Hub's client, to be fetched from the Hub, or so far only in a checkout of faceperc's repository.",
    "Licence, training data and recipe of one: faceperc info NAME.",
)
_WIDE = 200  # columns, more than any row takes


def print_models(all_tags: bool = False) -> None:
    """A line for every name of the zoo.

    Args:
        all_tags: each tag of a name, not only the one that the name alone stands for.
    """
    console = plain_console()
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in _HEADINGS:
        is_text = heading in ("name", "tag", "use", "where")
        table.add_column(heading, justify="left" if is_text else "right", no_wrap=not is_text)
    for name, (model, file) in names().items():
        plain, _, tag = name.partition(".")
        if tag and (all_tags or names()[plain] == (model, file)):
            table.add_row(*_cells(plain, model, file))
    if console.measure(table, options=console.options.update(width=_WIDE)).maximum > console.width:
        table.padding = (0, 1, 0, 0)
    console.print(table)
    console.print()
    for note in _NOTES:
        console.print(Text(note))


def print_row(model: ZooModel, file: str) -> None:
    """Everything that the registry says about a model, and where a file of it is."""
    where, path = whereabouts(model, file)
    figures = _metrics(model, file)
    facts = [
        ("name", model.full_name),
        ("what", model.description),
        (
            "network",
            f"{model.architecture}; {model.parameters / 1e6:.2f} M parameters; {model.input_size} px",
        ),
        ("tasks", ", ".join(model.tasks) or _NONE),
        ("use", {"research": "research only", "any": "any"}[model.use] if model.licence else _NONE),
        ("licence", model.licence or _NONE),
        ("trained on", ", ".join(model.training_data) or _NONE),
        ("figures", "\n".join(f"{name}: {value:g}" for name, value in figures.items()) or _NONE),
        ("where", where if path is None else f"{where}: {path}"),
        ("repo", _NONE if model.repo is None else f"{model.repo}@{model.revision}"),
        ("recipe", model.recipe or _NONE),
    ]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column()
    table.add_column(overflow="fold")
    for label, value in facts:
        table.add_row(label, value)
    plain_console().print(table)


def rows() -> list[dict[str, Any]]:
    """The registry for machines: every field of every row, ``full_name``, and ``where`` and ``path`` of the
    file that the name opens (docs/models.md)."""
    return [row_of(*entry) for name, entry in names().items() if name == entry[0].full_name]


def row_of(model: ZooModel, file: str) -> dict[str, Any]:
    """One of ``rows``, with the whereabouts of a certain file."""
    where, path = whereabouts(model, file)
    facts = {"full_name": model.full_name, "where": where, "path": None if path is None else str(path)}
    return asdict(model) | facts


def _cells(name: str, model: ZooModel, file: str) -> list[str]:
    entry = model.files.get(file)
    figures = _metrics(model, file)
    shown = (figures.get(figure) for figure in _FIGURES.values())
    return [
        name,
        model.tag if entry else _NONE,
        f"{entry.bytes / 1e6:.1f}" if entry else _NONE,
        f"{entry.latency:.2f}" if entry and entry.latency else _NONE,
        *(_NONE if value is None else f"{value:g}" for value in shown),
        model.use if entry else _NONE,
        whereabouts(model, file)[0].split()[-1],  # "in the package" -> "package", for 80 columns
    ]


def _metrics(model: ZooModel, file: str) -> dict[str, float]:
    """The figures of a file: the model's own are those of model.onnx."""
    entry = model.files.get(file, ModelFile("", 0))
    return model.metrics if file == ONNX else entry.metrics
