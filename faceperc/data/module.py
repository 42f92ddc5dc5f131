"""The data module: reads the sources once into memory and serves the mix to the trainer."""

from __future__ import annotations

from functools import partial
from typing import Any

import lightning as L
from torch.utils.data import DataLoader

from faceperc.data.augment import Augment, AugmentConfig
from faceperc.data.mix import Collate, FaceDataset, MixSampler
from faceperc.data.source import ParquetSource, Sample, data_folder
from faceperc.model import FaceModel


class FaceData(L.LightningDataModule):
    """All sources, mixed in every epoch.

    Args:
        sources: where the samples come from; each has a weight in the mix.
        path: folder of the parquet pack; the environment variable FACEPERC_DATA where None.
        batch_size: samples per step, of all processes together.
        epoch_size: samples per epoch.
        augment: strength of the random views.
        workers: loader processes; with 0 the trainer's process loads.
        seed: seed of the order and of the views.
        limit: read at most this many rows of each file (for trials).
        val_limit: validate on at most this many samples of each source.
    """

    def __init__(
        self,
        sources: list[ParquetSource],
        path: str | None = None,
        batch_size: int = 128,
        epoch_size: int = 32_000,
        augment: AugmentConfig | None = None,
        workers: int = 1,
        seed: int = 0,
        limit: int | None = None,
        val_limit: int | None = 500,
    ) -> None:
        super().__init__()
        self.sources = sources
        self.path = path
        self.batch_size = batch_size
        self.epoch_size = epoch_size
        self.augment = augment or AugmentConfig()
        self.workers = workers
        self.seed = seed
        self.limit = limit
        self.val_limit = val_limit
        self._train: list[list[Sample]] = []
        self._val: dict[str, list[Sample]] = {}

    @property
    def model(self) -> FaceModel:
        """The model that the trainer trains: its heads encode the labels, its crop rule makes the crops."""
        assert self.trainer is not None
        model = self.trainer.lightning_module.model
        assert isinstance(model, FaceModel)
        return model

    def setup(self, stage: str) -> None:
        """Read the files. Raises DataError if one is missing or damaged."""
        if self._train:
            return
        folder = data_folder(self.path)
        self._train = [
            source.read(folder, "train", self.limit) if "train" in source.splits else []
            for source in self.sources
        ]
        self._val = {
            source.name: source.read(folder, "val", self.val_limit)
            for source in self.sources
            if "val" in source.splits
        }

    def train_dataloader(self) -> DataLoader[Any]:
        """The mix."""
        heads = {task: self.model.head(task) for task in self.model.tasks}
        rule = self.model.config.crop_rule
        augment = Augment(self.augment, rule, self.seed + self.rank)
        sampler = MixSampler(
            [len(samples) for samples in self._train],
            [source.weight for source in self.sources],
            self.epoch_size,
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

    def val_dataloader(self) -> list[DataLoader[Any]]:
        """One loader per source that has a validation split, in the order of ``val_names``.

        With several processes each gets its part of the samples.
        """
        heads = {task: self.model.head(task) for task in self.model.tasks}
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
    """Give every loader process its own random views."""
    from torch.utils.data import get_worker_info

    info = get_worker_info()
    assert info is not None and isinstance(info.dataset, FaceDataset)
    dataset = info.dataset
    assert dataset.augment is not None
    dataset.augment = Augment(dataset.augment.config, dataset.rule, seed + worker + 1)
