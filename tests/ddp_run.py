"""Training steps without chance on N processes: `python ddp_run.py PACK N OUT` writes weights and losses."""

from __future__ import annotations

import sys
from typing import Any

import lightning as L
import torch
from safetensors.torch import save_file
from tiny_pack import tiny_config
from torch import Tensor, nn

from faceperc.config import FaceModelConfig
from faceperc.data.module import FaceData
from faceperc.data.source import load_sources
from faceperc.optimiser import OptimiserConfig
from faceperc.train import FaceTraining


class PlainData(FaceData):
    """The mix as it is dealt out to the processes, but upright crops instead of random views."""

    def train_dataloader(self) -> Any:
        loader = super().train_dataloader()
        loader.dataset.augment = None  # type: ignore[attr-defined]
        return loader


class Watch(L.Callback):
    """Keeps the loss of every step. Batch norm takes its running statistics, which are the same everywhere:
    those of a process's part of the batch would differ from the whole batch's."""

    def __init__(self) -> None:
        self.losses: list[Tensor] = []

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        for module in pl_module.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, *_: Any
    ) -> None:
        self.losses.append(trainer.strategy.reduce(outputs["loss"].detach(), reduce_op="mean"))


def run(pack: str, processes: int, out: str) -> None:
    L.seed_everything(0)
    training = FaceTraining(FaceModelConfig.from_dict(tiny_config()), OptimiserConfig(lr=1e-3))
    watch = Watch()
    trainer = L.Trainer(
        accelerator="cpu", devices=processes, strategy="ddp" if processes > 1 else "auto", max_epochs=1,
        callbacks=[watch], logger=False, enable_checkpointing=False, enable_progress_bar=False,
        limit_val_batches=0, use_distributed_sampler=False,
    )  # fmt: skip
    trainer.fit(training, PlainData(load_sources(), pack, batch_size=16, epoch_size=64, workers=0))
    if trainer.is_global_zero:
        weights = {name: value.clone() for name, value in training.model.state_dict().items()}
        save_file(weights | {"losses": torch.stack(watch.losses)}, out)


if __name__ == "__main__":
    torch.set_num_threads(1)
    run(sys.argv[1], int(sys.argv[2]), sys.argv[3])
