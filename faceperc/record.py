"""`training.json`: what a model's weights learned from, and all that is needed to train them again.

Keys: `data` (the sources and teachers: name, origin, licence, terms, and of this run's own sources the number
of training samples and a hash of their photographs), `licence` and `use` (``faceperc.licences``),
`started_from`, `command`, `config`, `code`, `packages`, `steps`, `epochs`, `hours`, `date`. What is not known
is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import yaml
from lightning.pytorch.cli import SaveConfigCallback

from faceperc.data.fingerprint import fingerprint
from faceperc.data.source import Sample, Source
from faceperc.hub import parse_place
from faceperc.licences import RESEARCH, terms_of, use_of, use_of_weights
from faceperc.model import read_training
from faceperc.model_folder import WEIGHTS
from faceperc.provenance import file_sha256, package_versions, publishable, source_tree


@dataclass(frozen=True)
class Start:
    """Saved weights that a training started from, or follows.

    Attributes:
        how: the option that named them, e.g. ``start_from``.
        name: what the option said: a name of the zoo, a folder, a place on the Hub.
        folder: where they lie.
    """

    how: str
    name: str
    folder: str

    def describe(self) -> dict[str, Any]:
        """For the record: also the repository on the Hub where they are from there, the hash of the weights'
        file, and what those weights started from."""
        entry: dict[str, Any] = {"how": self.how, "name": publishable(self.name)}
        if not Path(self.name).is_dir() and (place := parse_place(self.name)):
            entry["repo"] = place.repo
        weights = Path(self.folder, WEIGHTS)
        if weights.is_file():
            entry["weights_sha256"] = file_sha256(weights)
        if before := read_training(self.folder).get("started_from"):
            entry["started_from"] = before
        return entry

    def sources(self) -> list[dict[str, Any]]:
        """What they learned from. Where that is not recorded, or their maker allows less than it does, the
        weights themselves are a source for research only: else what is trained from them would allow more.
        """
        training = read_training(self.folder)
        data: list[dict[str, Any]] = training.get("data", [])
        if data and use_of_weights(training) == use_of(data):
            return data
        licence = str(training.get("licence") or "not stated")
        origin = "trained weights" if data else "trained weights; what they learned from is not recorded"
        entry = {"name": publishable(self.name), "origin": origin, "licence": licence, "terms": RESEARCH}
        return [*data, entry]


class RecordConfig(SaveConfigCallback):
    """Lightning's callback that keeps the resolved configuration, which also knows the command.

    Args:
        command: as one would type it.
        options: of Lightning's callback.
    """

    def __init__(self, *args: Any, command: str = "", **options: Any) -> None:
        super().__init__(*args, **options)
        self.command = command

    def describe(self) -> dict[str, Any]:
        """`command` and `config`, without the place of the data on this machine, and the loggers, which may
        hold somebody's login."""
        config = publishable(yaml.safe_load(self.parser.dump(self.config, skip_none=False)))
        config.pop("config", None)
        config.get("data", {}).pop("path", None)
        config.get("trainer", {}).pop("logger", None)
        return {"command": self.command, "config": config}


def sources_of(
    starts: Sequence[Start], sources: Sequence[Source], samples: Mapping[str, Sequence[Sample]]
) -> list[dict[str, Any]]:
    """What the weights learned from: a run's own sources and teachers, and those of the weights that it
    started from or follows.

    Args:
        starts: these weights.
        sources: all sources of the run.
        samples: source name -> its training samples. They are counted and hashed.
    """
    found = [each for start in starts for each in start.sources()]
    for source in sources:
        if "train" in source.splits and source.weight > 0:
            own, *others = source.facts()
            seen = samples.get(source.name)
            found.append(own | ({"samples": len(seen), "sha256": fingerprint(seen)} if seen else {}))
            found += others
    return merged(found)


def merged(sources: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Sources without those that a later one repeats. Two that share the name alone both stay: somebody's
    own "w300" does not lift the terms of the weights that the training started from."""
    found: list[dict[str, Any]] = []
    for source in sources:
        found = [each for each in found if not _is_same(each, source)]
        found.append(dict(source))
    return found


def _is_same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two entries are of the same photographs under the same terms, as far as they say."""
    stated = all(one.get(key) == other.get(key) for key in ("name", "origin", "licence"))
    hashes = {each["sha256"] for each in (one, other) if "sha256" in each}
    return stated and terms_of(one) == terms_of(other) and len(hashes) < 2


def run_facts(trainer: L.Trainer, starts: Sequence[Start]) -> dict[str, Any]:
    """What is known when a training begins: its command, configuration, code, packages, and starts."""
    facts: dict[str, Any] = {}
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, RecordConfig):
            facts |= callback.describe()
    if tree := source_tree():
        facts["code"] = tree
    facts["packages"] = package_versions()
    if starts:
        facts["started_from"] = [start.describe() for start in starts]
    return facts
