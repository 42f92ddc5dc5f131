"""The figures of evaluations as rows of a card's tables, and the gaps between groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Row = tuple[str, ...]

#: A group of fewer faces says little: such groups are marked.
SMALL = 30

#: Of the columns that ``quality_rows`` gives.
QUALITY_HEADINGS = ("set", "crops", "median quality", "below 0.5", "better than no face")

#: Figures that `faceperc models` shows; all others are called ``SET TASK METRIC``.
_REGISTRY_NAMES = {
    ("w300", "landmarks"): "w300 NME %",
    ("ytf68", "landmarks"): "ytf68 NME %",
    ("celebahq1k", "pose"): "celebahq1k yaw+pitch MAE deg",
    ("fasseg", "parsing"): "fasseg F1 %",
    ("fer2013", "expression"): "fer2013 accuracy %",
}


@dataclass(frozen=True)
class Gap:
    """By how much the main metric differs between the groups of one kind.

    Attributes:
        source, task, kind: e.g. ``utkface``, ``age`` and ``gender``.
        metric: its name, with the unit.
        low, high: the groups with the smallest and the largest value.
        values: these two values.
        faces: how many faces these two groups have.
    """

    source: str
    task: str
    kind: str
    metric: str
    low: str
    high: str
    values: tuple[float, float]
    faces: tuple[int, int]

    @property
    def size(self) -> float:
        """Largest minus smallest."""
        return self.values[1] - self.values[0]


def metric_rows(evaluation: Mapping[str, Any]) -> list[Row]:
    """Set, task, faces, main metric and the others, each with its interval."""
    rows: list[Row] = []
    for result in evaluation["results"]:
        main, *others = [
            interval_text(name, value, result["intervals"].get(name))
            for name, value in result["metrics"].items()
            if value is not None
        ] or ["-"]
        rows.append((result["source"], result["task"], str(result["count"]), main, ", ".join(others)))
    return rows


def group_rows(evaluation: Mapping[str, Any]) -> list[Row]:
    """Set, task, group, faces and metrics with their intervals."""
    rows: list[Row] = []
    for result in evaluation["results"]:
        for group, metrics in result["groups"].items():
            limits = result.get("group_intervals", {}).get(group, {})
            figures = [
                interval_text(name, value, limits.get(name))
                for name, value in metrics.items()
                if name != "faces" and value is not None
            ]
            rows.append(
                (result["source"], result["task"], group, _faces(int(metrics["faces"])), ", ".join(figures))
            )
    return rows


def gaps(evaluation: Mapping[str, Any]) -> list[Gap]:
    """The gaps of the main metric between the groups of every kind that has two or more."""
    found = []
    for result in evaluation["results"]:
        metric = next(iter(result["metrics"]))
        for kind, groups in _by_kind(result["groups"]).items():
            known = {g: m[metric] for g, m in groups.items() if m.get(metric) is not None}
            if len(known) < 2:
                continue
            low, high = min(known, key=known.__getitem__), max(known, key=known.__getitem__)
            faces = int(groups[low]["faces"]), int(groups[high]["faces"])
            found.append(
                Gap(
                    *(result["source"], result["task"], kind, metric, low, high),
                    values=(known[low], known[high]),
                    faces=faces,
                )
            )
    return found


def gap_rows(found: Sequence[Gap]) -> list[Row]:
    """Set and task, kind of group, metric, the smallest, the largest, and the gap."""
    return [
        (
            f"{gap.source} {gap.task}",
            gap.kind,
            gap.metric,
            f"{gap.values[0]:.1f} ({gap.low}, {_faces(gap.faces[0])})",
            f"{gap.values[1]:.1f} ({gap.high}, {_faces(gap.faces[1])})",
            f"{gap.size:.1f}",
        )
        for gap in found
    ]


def conditions(evaluation: Mapping[str, Any]) -> list[str]:
    """The harder conditions under which the model was measured too."""
    return list(dict.fromkeys(each["condition"] for each in evaluation.get("robustness", ())))


def robustness_rows(evaluation: Mapping[str, Any]) -> list[Row]:
    """Set, task, main metric, and for each condition the loss with the value; empty where not measured."""
    rows: dict[tuple[str, str], list[str]] = {}
    for each in evaluation.get("robustness", ()):
        start = [each["source"], each["task"], f"{each['metric']} {each['plain']:.2f}"]
        row = rows.setdefault((each["source"], each["task"]), start)
        value = interval_text("", each["value"], each["interval"]).strip()
        row.append("-" if each["loss"] is None else f"{100 * each['loss']:+.0f} % ({value})")
    return [tuple(row) for row in rows.values()]


def quality_rows(evaluation: Mapping[str, Any]) -> list[Row]:
    """Set, crops, median quality, share below 0.5, and how often better than a crop without a face."""
    return [
        (
            *(each["source"], str(each["count"]), f"{each['median']:.3f}", f"{each['low']:.1f} %"),
            "-" if each["better"] is None else f"{each['better']:.2f} %",
        )
        for each in evaluation.get("quality", ())
    ]


def main_figures(evaluation: Mapping[str, Any]) -> dict[str, float]:
    """Each set's and task's main metric, by the names that the registry's rows have."""
    figures = {}
    for result in evaluation["results"]:
        metric, value = next(iter(result["metrics"].items()))
        name = _REGISTRY_NAMES.get(
            (result["source"], result["task"]), f"{result['source']} {result['task']} {metric}"
        )
        if value is not None:
            figures[name] = round(value, 2)
    return figures


def detector_rows(evaluation: Mapping[str, Any]) -> list[Row]:
    """Set, images, faces, recall and AP50 by size in %, and false positives per image."""
    return [
        (
            *(each["name"], str(each["images"]), str(each["faces"])),
            *(_percent(value) for value in (*each["recall"].values(), *each["ap50"].values())),
            f"{each['false_positives']:.3f}",
        )
        for each in evaluation["sets"]
    ]


def head_rows(evaluation: Mapping[str, Any]) -> list[Row]:
    """Set, heads, shares found and called faces in %, rotation, five points, yaw and pitch."""
    return [
        (
            *(each["name"], str(each["heads"]), _percent(each["found"]), _percent(each["faces"])),
            _listed(each["degrees"] or ()),
            _listed([each["points"]]),
            _listed([each["yaw"], each["pitch"]]),
        )
        for each in evaluation["sets"]
    ]


def interval_text(name: str, value: float, interval: Sequence[float | None] | None) -> str:
    """``NAME VALUE (LOW-HIGH)``, without brackets where no interval is known."""
    text = f"{name} {value:.2f}"
    if interval is None or None in interval:
        return text
    return f"{text} ({interval[0]:.2f}-{interval[1]:.2f})"


def _by_kind(groups: Mapping[str, dict[str, float]]) -> dict[str, dict[str, dict[str, float]]]:
    kinds: dict[str, dict[str, dict[str, float]]] = {}
    for name, metrics in groups.items():
        kind, _, value = name.partition(": ")
        kinds.setdefault(kind, {})[value] = metrics
    return kinds


def _faces(count: int) -> str:
    return f"{count}*" if count < SMALL else str(count)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def _listed(values: Sequence[float | None]) -> str:
    return ", ".join(f"{value:.1f}" for value in values if value is not None) or "-"
