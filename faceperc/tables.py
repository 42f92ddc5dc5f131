"""What the command line prints for people: tables by rich."""

from __future__ import annotations

import math
import platform
from itertools import groupby
from pathlib import Path

from rich.table import Table
from rich.text import Text

from faceperc import __version__
from faceperc._console import plain_console
from faceperc.metadata import TaskInfo
from faceperc.provenance import file_sha256
from faceperc.providers import available_providers, conflict, runtime_packages
from faceperc.results import Faces
from faceperc.runtime import OnnxModel
from faceperc.verify import Verification


def print_faces(faces: Faces) -> None:
    """One image: a heading, and for each face one row per task."""
    height, width = faces.image.shape[:2]
    count = f"{len(faces)} face{'' if len(faces) == 1 else 's'}" if len(faces) else "no face found"
    console = plain_console()
    console.print(Text(f"{faces.source}: {width} x {height}, {count}", style="bold"), soft_wrap=True)
    for index, face in enumerate(faces):
        table = _table()
        corners = ", ".join(f"{value:.0f}" for value in face.box)
        score = "" if math.isnan(face.score) else f", score {face.score:.2f}"
        visibility = "" if math.isnan(face.visibility) else f", visibility {face.visibility:.2f}"
        quality = "" if math.isnan(face.quality) else f", quality {face.quality:.2f}"
        what = "head" if face.is_hidden else "face"
        table.add_row(f"{what} {index}", f"box {corners}{score}{visibility}{quality}", style="bold")
        for name, result in face.tasks.items():
            table.add_row(name, result.summary())
        console.print(table)


def print_installation() -> None:
    """What could run a model here: versions, providers, and whether packages stand in each other's way."""
    packages = ", ".join(f"{name} {number}" for name, number in runtime_packages().items())
    table = _table()
    table.add_row("faceperc", f"{__version__}, Python {platform.python_version()}, {platform.platform()}")
    table.add_row("runtimes", packages or "none")
    table.add_row("providers", ", ".join(available_providers()) or "none")
    if problem := conflict():
        table.add_row("conflict", Text(problem), style="bold")
    plain_console().print(table)


def print_model(model: OnnxModel) -> None:
    """Everything worth knowing about a model file, and what runs it."""
    metadata = model.metadata
    console = plain_console()
    table = _table()
    for name, value in _properties(model):
        table.add_row(name, value)
    console.print()
    console.print(table)
    if metadata.tasks:
        tasks = _table("task", "kind", "fields", "description")
        for task in metadata.tasks.values():
            tasks.add_row(task.name, task.kind, _fields(task), _about(task))
        console.print()
        console.print(tasks)


def print_verification(result: Verification, path: Path) -> None:
    """Each output's difference from the reference, by provider and batch size; then the verdict."""
    console = plain_console()
    for provider, rows in groupby(result.comparisons, key=lambda each: each.provider):
        table = _table("faces", "output", "largest", "relative", "rms", "")
        for each in rows:
            figures = (f"{value:.1e}" for value in (each.maximum, each.relative, each.rms))
            table.add_row(str(each.batch), each.output, *figures, "" if each.passed else "FAILED")
        console.print(Text(f"{provider} ({each.limit})", style="bold"))
        console.print(table)
    for provider, reason in result.unusable.items():
        console.print(Text(f"{provider} was not checked: {reason}"), soft_wrap=True)
    if result.changed:
        text = f"{path}: is not the file that was exported: its SHA-256 is not the reference set's"
        console.print(Text(text), soft_wrap=True)
    verdict = "verified" if result.passed else "FAILED"
    console.print(Text(f"{path}: {verdict}", style="bold"), soft_wrap=True)


def _properties(model: OnnxModel) -> list[tuple[str, str]]:
    metadata = model.metadata
    rows = [
        ("name", metadata.name),
        ("role", metadata.role),
        ("file", f"{model.path} ({_size(model.path)})"),
        ("", f"sha256 {file_sha256(model.path)}"),
        ("runs on", f"{model.provider} ({', '.join(model.providers)})"),
        ("written by", f"faceperc {metadata.version}"),
        ("precision", str(metadata.raw.get("precision", "fp32"))),
        ("input", " ".join(f"{key}={value}" for key, value in metadata.raw["input"].items())),
    ]
    if metadata.crop is not None:
        crop = metadata.crop
        rows.append(("form", metadata.form))
        rows.append(("crop", f"{crop.size} px, {crop.scale} x the box's longer side, shift {crop.shift}"))
    if metadata.detector is not None:
        finder = metadata.detector
        rows.append(("sizes", f"images to {finder.max_side} px, faces from {finder.min_face:.0f} px"))
        rows.append(
            (
                "defaults",
                f"score {finder.nms_score}, head {finder.nms_head}, overlap {finder.nms_iou}",
            )
        )
    rows.append(("weights", f"sha256 {metadata.weights_sha256 or 'not stated'}"))
    rows.append(("licence", str(metadata.training.get("licence", "not stated"))))
    for source in metadata.training.get("data", []):
        licence = source.get("licence", "licence not stated")
        rows.append(("trained on", f"{source.get('name', '?')} ({licence})"))
    return rows


def _fields(task: TaskInfo) -> str:
    return "\n".join(
        f"{name} ({', '.join(map(str, field.shape))}){' ' + field.unit if field.unit else ''}"
        for name, field in task.fields.items()
    )


def _about(task: TaskInfo) -> str:
    labels = f"{len(task.labels)} labels: {', '.join(task.labels)}" if task.labels else ""
    unit = f"in {task.unit}" if task.unit else ""
    return "\n".join(text for text in (task.description, unit, labels) if text)


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, show_header=bool(headings), padding=(0, 2, 0, 0))
    for heading in headings or ("", ""):
        table.add_column(heading, overflow="fold")
    return table


def _size(path: Path) -> str:
    return f"{path.stat().st_size / 1e6:.1f} MB" if path.is_file() else "missing"
