"""The data module: reads the sources once into memory and serves the mix to the trainer."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import cv2
import lightning as L
import numpy as np
from torch.utils.data import DataLoader

from faceperc.data.augment import Augment, AugmentConfig
from faceperc.data.mix import Collate, FaceDataset, MixSampler, balanced_repeats
from faceperc.data.own import understood
from faceperc.data.source import Sample, Source, check_names
from faceperc.errors import ConfigError, DataError
from faceperc.head import Head
from faceperc.mae import MaskedAutoencoder
from faceperc.model import FaceModel


class FaceData(L.LightningDataModule):
    """All sources, mixed in every epoch.

    Args:
        sources: where the samples come from; each has a weight in the mix.
        path: folder of the parquet pack; the environment variable FACEPERC_DATA where None.
        batch_size: samples per step, of all processes together.
        epoch_size: samples per epoch; every sample once, filled up to whole batches, where None.
        temperature: T of p ~ weight * n^(1/T), where n is a source's number of samples (as in multilingual
            BERT and T5); infinite, the weights alone, by default.
        augment: strength of the random views.
        workers: loader processes; with 0 the trainer's process loads.
        seed: seed of the order and of the views.
        limit: read at most this many rows of each file, spread evenly over it (for trials).
        val_limit: validate on at most this many samples of each source, spread evenly over them.

    Raises:
        ConfigError: if two sources have the same name, or the batch size is no size.
    """

    def __init__(
        self,
        sources: list[Source],
        path: str | None = None,
        batch_size: int = 128,
        epoch_size: int | None = 32_000,
        temperature: float = math.inf,
        augment: AugmentConfig | None = None,
        workers: int = 1,
        seed: int = 0,
        limit: int | None = None,
        val_limit: int | None = 500,
    ) -> None:
        super().__init__()
        check_names(sources)
        if batch_size < 1:
            raise ConfigError(f"data.batch_size is 1 or more; got {batch_size}")
        self.sources = sources
        self.path = path
        self.batch_size = batch_size
        self.epoch_size = epoch_size
        self.temperature = temperature
        self.augment = augment or AugmentConfig()
        self.workers = workers
        self.seed = seed
        self.limit = limit
        self.val_limit = val_limit
        self._train: list[list[Sample]] = []
        self._val: dict[str, list[Sample]] = {}

    @property
    def model(self) -> FaceModel | MaskedAutoencoder:
        """The model that the trainer trains: its heads encode the labels, its crop rule makes the crops."""
        assert self.trainer is not None
        model = self.trainer.lightning_module.model
        assert isinstance(model, FaceModel | MaskedAutoencoder)
        return model

    @property
    def heads(self) -> dict[str, Head]:
        """The model's heads by task; none where it is pretrained, or nothing is trained, so that labels are
        left out."""
        if self.trainer is None:
            return {}
        model = self.model
        return {task: model.head(task) for task in model.tasks} if isinstance(model, FaceModel) else {}

    def setup(self, stage: str) -> None:
        """Read the files.

        Raises:
            ConfigError: if two sources turn out to have the same name.
            DataError: if a file is missing or damaged, or the model's heads do not understand a label.
        """
        if self._train:
            return
        heads = self.heads
        self._train = [
            understood(source.read(self.path, "train", self.limit), heads) if "train" in source.splits else []
            for source in self.sources
        ]
        samples = [
            (source, understood(source.read(self.path, "val", self.val_limit), heads))
            for source in self.sources
            if "val" in source.splits
        ]
        check_names(self.sources)  # some sources know their names only now
        self._val = {source.name: [each.to_measure_by() for each in found] for source, found in samples}

    def train_dataloader(self) -> DataLoader[Any]:
        """The mix.

        Raises:
            ConfigError: if an epoch is shorter than a batch.
            DataError: if there is nothing to learn from.
        """
        if not any(
            source.weight for source, samples in zip(self.sources, self._train, strict=True) if samples
        ):
            names = ", ".join(source.name for source in self.sources) or "none are given"
            raise DataError(
                f"no source with a weight above 0 has training faces (sources: {names}); look at their "
                "folders with 'faceperc data check', or add a source whose splits include train"
            )
        heads = self.heads
        rule = self.model.config.crop_rule
        augment = Augment(self.augment, rule, self.seed + self.rank)
        sampler = MixSampler(
            self._turns(),
            [
                source.weight * len(samples) ** (1 / self.temperature)
                for source, samples in zip(self.sources, self._train, strict=True)
            ],
            self._epoch_size(),
            self.seed,
            self.rank,
            self.world,
        )
        return DataLoader(
            FaceDataset(self._train, heads, rule, augment),
            self.batch_size // self.world,
            sampler=sampler,
            drop_last=True,
            collate_fn=Collate(heads),
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
            worker_init_fn=partial(_seed_worker, seed=self.seed * 1000 + self.rank * 100),
        )

    def _epoch_size(self) -> int:
        if self.epoch_size is not None:
            if self.epoch_size < self.batch_size:
                raise ConfigError(
                    f"data.epoch_size is {self.epoch_size}, less than a batch of {self.batch_size}, so "
                    "nothing would be learned; make data.batch_size smaller"
                )
            return self.epoch_size
        return math.ceil(sum(map(len, self._train)) / self.batch_size) * self.batch_size

    def _turns(self) -> list[np.ndarray]:
        """Of each source the indices into the joined data set, those of rare classes repeated."""
        turns, offset = [], 0
        for source, samples in zip(self.sources, self._train, strict=True):
            repeats = balanced_repeats(samples, source.balance)
            turns.append(offset + np.repeat(np.arange(len(samples)), repeats))
            offset += len(samples)
        return turns

    def val_dataloader(self) -> list[DataLoader[Any]]:
        """One loader per source that has a validation split, in the order of ``val_names``.

        With several processes each gets its part of the samples.
        """
        heads = self.heads
        rule = self.model.config.crop_rule
        return [
            DataLoader(
                FaceDataset([samples[self.rank :: self.world]], heads, rule, None),
                self.batch_size // self.world,
                collate_fn=Collate(heads),
            )
            for samples in self._val.values()
        ]

    @property
    def training_samples(self) -> dict[str, list[Sample]]:
        """Source name -> its training samples."""
        return {source.name: each for source, each in zip(self.sources, self._train, strict=True)}

    @property
    def rank(self) -> int:
        """Number of this process."""
        return self.trainer.global_rank if self.trainer else 0

    @property
    def world(self) -> int:
        """Number of processes."""
        return self.trainer.world_size if self.trainer else 1

    @property
    def val_names(self) -> list[str]:
        """Names of the sources behind the validation loaders."""
        return list(self._val)


def _seed_worker(worker: int, seed: int) -> None:
    """Give every loader process its own random views, and one thread: there are as many as cores already."""
    from torch.utils.data import get_worker_info

    cv2.setNumThreads(0)
    info = get_worker_info()
    assert info is not None and isinstance(info.dataset, FaceDataset)
    dataset = info.dataset
    assert dataset.augment is not None
    dataset.augment = Augment(dataset.augment.config, dataset.rule, seed + worker + 1)
