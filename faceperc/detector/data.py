"""Batches of mosaics for training and validation, reproducible from one seed."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from faceperc._names import unknown_name
from faceperc.detector.augment import photometric
from faceperc.detector.mosaic import Pool, compose, pool_of
from faceperc.detector.sources import RENDERED, SOURCES, load_folder, load_photos, load_rendered
from faceperc.errors import ConfigError

VAL_SEED = 20261121


class Batch(NamedTuple):
    """Images and what is known about them.

    Attributes:
        image: (N, S, S, 3) uint8 RGB.
        targets: N tensors (M, WIDTH), as in `faceperc.detector.targets`.
    """

    image: Tensor
    targets: list[Tensor]


class MosaicBatches(Dataset[Batch]):
    """Whole batches: small canvases come in large batches, so every batch costs about the same.

    Args:
        pool: photographs and scenes.
        sizes: sides of the canvases in px, multiples of 64.
        shares: how often each size is taken, in proportion.
        batch_size: canvases of the first size per batch.
        length: batches per epoch.
        seed: with the index it fixes everything about a batch.
        augment: change exposure, colour and sharpness.
        turned: share of the photographs that are rotated by any angle.
    """

    def __init__(
        self,
        pool: Pool,
        sizes: tuple[int, ...],
        shares: tuple[float, ...],
        batch_size: int,
        length: int,
        seed: int | tuple[int, int],
        augment: bool = True,
        turned: float = 0.0,
    ) -> None:
        self.turned = turned
        self.pool, self.sizes, self.length = pool, sizes, length
        self.shares = np.array(shares) / np.sum(shares)
        self.batch_size, self.augment = batch_size, augment
        self.seed = (seed,) if isinstance(seed, int) else seed

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Batch:
        """Batch number ``index`` of the epoch."""
        rng = np.random.default_rng([*self.seed, index])
        size = int(rng.choice(self.sizes, p=self.shares))
        images, targets = [], []
        for _ in range(max(1, self.batch_size * self.sizes[0] ** 2 // size**2)):
            canvas = compose(rng, self.pool, size, turned=self.turned)
            images.append(photometric(rng, canvas.image) if self.augment else canvas.image)
            targets.append(torch.from_numpy(canvas.target_array()))
        return Batch(torch.from_numpy(np.stack(images)), targets)


class DetectorData(pl.LightningDataModule):
    """The parquet pack as mosaics. Needs `trainer.reload_dataloaders_every_n_epochs: 1` for fresh ones.

    Args:
        root: folder of the pack; None takes the environment variable FACEPERC_DATA.
        weights: how often each source of photographs is taken, in proportion; unnamed ones are not read. None
            takes all alike.
        sizes: sides of the training canvases in px, multiples of 64.
        shares: how often each size is taken, in proportion.
        batch_size: canvases of the first size per batch.
        epoch_batches: training batches per epoch.
        val_batches: validation batches.
        folders: data sets of the user's by name, in their authors' layouts (`faceperc.detector.adapters`);
            each needs a weight.
        labels: folder with a face model's labels of the pack, for points and rotations; see
            `faceperc.detector.sources`.
        rendered: folder with `faceperc data render`'s train.parquet and val.parquet, the source "rendered".
        turned: share of the training photographs that are rotated by any angle.
        workers: processes that compose mosaics; 0 composes them in the training process.
        seed: fixes every canvas.
    """

    def __init__(
        self,
        root: str | None = None,
        weights: dict[str, float] | None = None,
        sizes: tuple[int, ...] = (256, 384, 512),
        shares: tuple[float, ...] = (0.6, 0.2, 0.2),
        batch_size: int = 32,
        epoch_batches: int = 500,
        val_batches: int = 12,
        folders: dict[str, str] | None = None,
        labels: str | None = None,
        rendered: str | None = None,
        turned: float = 0.25,
        workers: int = 1,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()  # a checkpoint says what it learned from
        self.root, self.sizes, self.shares, self.seed = root, sizes, shares, seed
        own = [RENDERED] if rendered is not None else []
        self.weights = dict.fromkeys([*SOURCES[:-1], *own], 1.0) if weights is None else weights
        self.batch_size, self.epoch_batches, self.val_batches = batch_size, epoch_batches, val_batches
        self.folders = folders or {}
        if missing := [name for name in (*self.folders, *own) if not self.weights.get(name)]:
            raise ConfigError(
                f"data.weights gives no weight to {', '.join(missing)}; give one, or name no data for it "
                "(data.folders, data.rendered)"
            )
        known = (*SOURCES, RENDERED, *self.folders)
        if unknown := [name for name in self.weights if name not in known]:
            raise ConfigError(
                f"data.weights: {unknown_name('source', unknown[0], known)}; one of your own is named in "
                "data.folders too"
            )
        self.names: list[str] = []
        self.labels, self.rendered, self.turned = labels, rendered, turned
        self.workers = workers
        self.pools: dict[str, Pool] = {}

    def setup(self, stage: str | None = None) -> None:
        """Read the encoded photographs into memory (about 130 MB)."""
        for split in ("train", "val") if stage != "validate" else ("val",):
            names = [name for name in SOURCES if name == "scenes" or self.weights.get(name, 0) > 0]
            photos = [photo for name in names for photo in load_photos(self.root, name, split, self.labels)]
            if self.rendered is not None and self.weights.get(RENDERED, 0) > 0:
                photos += load_rendered(self.rendered, split)
                names.append(RENDERED)
            if split == "train":
                self.names = [*names, *self.folders]
                for name, folder in self.folders.items():
                    photos += load_folder(name, folder)
            self.pools[split] = pool_of(photos, self.weights)

    def train_dataloader(self) -> DataLoader[Batch]:
        """Batches of the current epoch; every epoch has other ones."""
        epoch = self.trainer.current_epoch if self.trainer else 0
        batches = MosaicBatches(
            self.pools["train"],
            self.sizes,
            self.shares,
            self.batch_size,
            self.epoch_batches,
            (self.seed, epoch),
            turned=self.turned,
        )
        return self._loader(batches)

    def val_dataloader(self) -> DataLoader[Batch]:
        """Always the same mosaics of held-out photographs, without augmentation."""
        sizes, shares = self.sizes[:1], (1.0,)
        size = min(16, self.batch_size)
        return self._loader(
            MosaicBatches(self.pools["val"], sizes, shares, size, self.val_batches, VAL_SEED, augment=False)
        )

    def _loader(self, batches: MosaicBatches) -> DataLoader[Batch]:
        return DataLoader(
            batches,
            batch_size=None,
            num_workers=self.workers,
            worker_init_fn=_one_thread,
            prefetch_factor=4 if self.workers else None,
        )


def _one_thread(worker: int) -> None:
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
