"""Mixing: every epoch draws from every source by its weight, whatever the sources' sizes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler

from faceperc.crop import CropRule
from faceperc.data.augment import Augment, plain_view
from faceperc.data.source import Sample
from faceperc.data.view import View
from faceperc.head import Batch, Head, Target

#: Kinds whose labels hold for a face that is partly hidden. What the others ask may be what nobody can see.
_HOLDS_WHEN_HIDDEN = ("points", "rotation", "mask")

Item = tuple[np.ndarray, dict[str, Target], dict[str, float], int]


class FaceDataset(Dataset[Item]):
    """Samples of several sources behind one index: pixels of a view, and targets for the heads.

    Args:
        sources: the samples of each source.
        heads: task -> head, which encodes the labels.
        rule: crop rule of the model.
        augment: random views; the upright crop of the box where None.
    """

    def __init__(
        self,
        sources: Sequence[Sequence[Sample]],
        heads: Mapping[str, Head],
        rule: CropRule,
        augment: Augment | None,
    ) -> None:
        self.samples = [(sample, index) for index, source in enumerate(sources) for sample in source]
        self.heads = dict(heads)
        self.rule = rule
        self.augment = augment
        self.lasting = {task for task, head in heads.items() if head.info.kind in _HOLDS_WHEN_HIDDEN}

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Item:
        """(crop (S, S, 3) uint8, task -> target, task -> trust, index of the source)."""
        sample, source = self.samples[index]
        if self.augment is None:
            view = plain_view(sample, self.rule)
            crop = view.pixels(sample.pixels)
        else:
            view = self.augment.view(sample, things=not self.lasting.isdisjoint(sample.labels))
            around = self._another() if self.augment.wants_backdrop() else None
            crop = self.augment.pixels(sample, view, around)
        targets = self.targets(sample, view)
        return crop, targets, {task: sample.trust.get(task, 1.0) for task in targets}, source

    def _another(self) -> Sample:
        assert self.augment is not None
        return self.samples[self.augment.random.integers(len(self.samples))][0]

    def targets(self, sample: Sample, view: View) -> dict[str, Target]:
        """task -> target in the view. Labels that a thing in front of the face may refute are left out."""
        hidden = view.cover is not None and view.cover.is_thing
        return {
            task: self.heads[task].encode(label, view)
            for task, label in sample.labels.items()
            if task in (self.lasting if hidden else self.heads)
        }


class Collate:
    """Items -> Batch. The place of a missing label is taken by zeros and marked invalid."""

    def __init__(self, heads: Mapping[str, Head]) -> None:
        self.empty = {task: head.empty_target() for task, head in heads.items()}

    def __call__(self, items: Sequence[Item]) -> Batch:
        """Stack the items."""
        targets, valid = {}, {}
        for task, empty in self.empty.items():
            rows = [item[1].get(task, empty) for item in items]
            targets[task] = {key: torch.from_numpy(np.stack([row[key] for row in rows])) for key in empty}
            valid[task] = torch.tensor([item[2].get(task, 0.0) for item in items])
        crops = torch.from_numpy(np.stack([item[0] for item in items]))
        return Batch(crops, targets, valid, torch.tensor([item[3] for item in items]))


def balanced_repeats(samples: Sequence[Sample], task: str | None) -> np.ndarray:
    """(N,) how often each sample takes its turn, so that a class of n samples counts about as sqrt(n).

    Args:
        samples: of one source.
        task: an exclusive-class task; every sample takes one turn where None or where it has no such label.
            The class of votes is that of most of them.
    """
    classes = [_class_of(sample.labels.get(task)) if task else None for sample in samples]
    counts = Counter(each for each in classes if each is not None)
    most = max(counts.values(), default=0)
    turns = [1 if each is None else round((most / counts[each]) ** 0.5) for each in classes]
    return np.array(turns, int)


def _class_of(label: Any) -> int | None:
    """The class of an index or of votes (C,); None for labels of another kind."""
    if isinstance(label, np.ndarray) and label.ndim == 1:
        return int(label.argmax())
    # a mapping's column of the user's own gives whole numbers as floats
    return int(label) if isinstance(label, int | float | np.integer) and float(label).is_integer() else None


class MixSampler(Sampler[int]):
    """Indices of an epoch: every source gives its share; small ones repeat, large ones go on next epoch.

    Args:
        turns: of each source the indices into FaceDataset; one that stands there twice has two turns.
        weights: relative share of each source.
        length: samples per epoch.
        seed: the order depends on it and on the epoch only, so that a resumed run goes on as it would have.
        rank: number of this process; every process takes its own part of each step's batch.
        world: number of processes.
    """

    def __init__(
        self,
        turns: Sequence[np.ndarray],
        weights: Sequence[float],
        length: int,
        seed: int,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.turns = list(turns)
        self.length = length
        self.seed = seed
        self.rank = rank
        self.world = world
        self.epoch = 0
        shares = np.asarray(weights, dtype=np.float64) * np.array([len(each) > 0 for each in turns])
        edges = np.round(np.cumsum(shares) / shares.sum() * length).astype(int)
        self.counts = np.diff(edges, prepend=0)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; Lightning calls it."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.length // self.world

    def __iter__(self) -> Iterator[int]:
        order = np.concatenate(
            [
                turns[self._walk(source, len(turns), int(count))]
                for source, (turns, count) in enumerate(zip(self.turns, self.counts, strict=True))
                if count
            ]
        )
        np.random.default_rng((self.seed, self.epoch)).shuffle(order)
        return iter(order[self.rank :: self.world][: len(self)].tolist())

    def _walk(self, source: int, size: int, count: int) -> np.ndarray:
        """The next ``count`` places of an endless walk over the source that visits all before it repeats."""
        start, stop = self.epoch * count, (self.epoch + 1) * count
        turns = range(start // size, (stop - 1) // size + 1)
        walk = np.concatenate(
            [np.random.default_rng((self.seed, source, turn)).permutation(size) for turn in turns]
        )
        return walk[start - turns.start * size :][:count]
