"""The tables of docs/tasks/ and docs/limits.md, from the models' evaluation.json: python docs/figures.py

A table stands between two comments that name it; all else on the pages is written by hand.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from faceperc.bench.report import update_page
from faceperc.card.figures import SMALL, detector_rows, gap_rows, gaps, group_rows, metric_rows
from faceperc.model_folder import EVALUATION
from faceperc.zoo import DEFAULT_DETECTOR, DEFAULT_MODEL, list_tasks, model_info

DOCS = Path(__file__).parent
METRICS = ("set", "faces", "main metric (95 % interval)", "others (95 % interval)")
DETECTOR = ("set", "images", "faces", "recall %", "10-16 px", "16-48", "48+")
DETECTOR += ("AP50 %", "10-16 px", "16-48", "48+", "false positives / image")


def tables() -> dict[str, dict[str, str]]:
    """Page -> name of the table -> Markdown."""
    face, detector = evaluation(DEFAULT_MODEL), evaluation(DEFAULT_DETECTOR)
    pages = {f"tasks/{task}.md": {f"figures of {task}": of_task(face, task)} for task in list_tasks()}
    pages["tasks/detection.md"] = {
        "figures of detection": stated(detector, DETECTOR, detector_rows(detector))
    }
    pages["limits.md"] = {
        "gaps between groups": stated(
            face, ("set and task", "groups by", "metric", "smallest", "largest", "gap"), gap_rows(gaps(face))
        ),
        "figures of groups": stated(face, ("set", "task", "group", "faces", "metrics"), group_rows(face)),
    }
    return pages


def evaluation(model: str) -> dict[str, Any]:
    """The first evaluation of a model's float file: of a face model, boxes from the label."""
    document = json.loads((model_info(model).folder / EVALUATION).read_text())
    found: dict[str, Any] = document["evaluations"][0]
    return found


def of_task(face: dict[str, Any], task: str) -> str:
    """The rows of one task."""
    rows = [(row[0], *row[2:]) for row in metric_rows(face) if row[1] == task]
    return stated(face, METRICS, rows)


def stated(measured: dict[str, Any], headings: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A table under the command that measured it."""
    small = f" * fewer than {SMALL} faces." if any("*" in cell for row in rows for cell in row) else ""
    lines = ("| " + " | ".join(row) + " |\n" for row in (headings, ("---",) * len(headings), *rows))
    return f"`{measured['command']}`, {measured['date']}.{small}\n\n{''.join(lines)}"


def main() -> None:
    """Write the tables into the pages of a folder, by default this one."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else DOCS
    for page, named in tables().items():
        for name, text in named.items():
            update_page(folder / page, text, name)


if __name__ == "__main__":
    main()
