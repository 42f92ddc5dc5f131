"""Go through a data set in its authors' layout: what is there, what is damaged, who lies in two splits."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from faceperc.data.folder import FolderSource
from faceperc.data.rows import spread
from faceperc.data.source import Sample
from faceperc.errors import DataError


@dataclass
class SplitReport:
    """What a split holds.

    Attributes:
        split: its name.
        items: photographs that the label files list.
        usable: faces that can be learned from.
        labels: task -> faces that carry its label.
        classes: task -> value -> faces, for labels that are names, or single numbers, of a few values.
        problems: a line for each damaged photograph or label.
        identities: persons or videos, where the data set names them.
    """

    split: str
    items: int = 0
    usable: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    classes: dict[str, Counter[Any]] = field(default_factory=lambda: defaultdict(Counter))
    problems: list[str] = field(default_factory=list)
    identities: set[str] = field(default_factory=set)


def check_split(
    source: FolderSource, root: Path, split: str,
    limit: int | None = None, look: Callable[[Sample], None] | None = None,
) -> SplitReport:  # fmt: skip
    """Open every photograph and label of a split.

    Args:
        source: the adapter.
        root: the data set's folder.
        split: one of the source's splits.
        limit: open at most this many photographs, spread evenly over the split.
        look: called with every usable sample, e.g. to draw it.

    Raises:
        DataError: if a label file is missing; damaged photographs are reported, not raised.
    """
    items = source.split_items(root, split)
    report = SplitReport(split, len(items), identities={item.identity for item in items if item.identity})
    for item in tqdm(spread(items, limit), f"{source.name} {split}", leave=False):
        try:
            sample = source.open(item)
        except DataError as error:
            report.problems.append(str(error))
            continue
        if sample is None:
            continue
        report.usable += 1
        for task, label in sample.labels.items():
            report.labels[task] += 1
            if isinstance(label, int | str):
                report.classes[task][label] += 1
        if look:
            look(sample)
    return report


def shared_identities(reports: list[SplitReport]) -> dict[tuple[str, str], set[str]]:
    """Pairs of splits -> identities that lie in both."""
    return {
        (a.split, b.split): a.identities & b.identities
        for index, a in enumerate(reports)
        for b in reports[index + 1 :]
        if a.identities & b.identities
    }
