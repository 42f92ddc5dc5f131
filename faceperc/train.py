"""Training with Lightning: `faceperc train configs/train/nano.yaml`."""

from __future__ import annotations

import json
import math
import warnings
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from itertools import takewhile
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.cli import LightningCLI
from timm.optim import create_optimizer_v2
from torch import Tensor

from faceperc._files import write_file
from faceperc.config import FaceModelConfig, find_config
from faceperc.data.module import FaceData
from faceperc.errors import ConfigError, UsageError
from faceperc.head import Batch
from faceperc.model import FaceModel, masked_losses, read_training


@dataclass
class OptimiserConfig:
    """AdamW with a linear warm-up and a cosine decay to zero.

    Attributes:
        lr: peak learning rate.
        weight_decay: of the layers' matrices; biases, norms, positions and identities have none.
        warmup: share of the steps that the learning rate rises.
    """

    lr: float = 6e-4
    weight_decay: float = 0.05
    warmup: float = 0.05


class FaceTraining(L.LightningModule):
    """A FaceModel with its losses, metrics and optimiser.

    Args:
        network: the model's configuration.
        optimiser: learning rate and decay.
        compile: compile the forward pass (needs a C++ compiler).
        start_from: folder of a saved model whose weights the training starts from.
    """

    def __init__(
        self,
        network: FaceModelConfig,
        optimiser: OptimiserConfig | None = None,
        compile: bool = False,
        start_from: str | None = None,
    ) -> None:
        super().__init__()
        for spec in network.heads.values():  # the user's own recipe may name the user's own heads
            with suppress(ImportError, ValueError):  # FaceModel says what is wrong with it
                import_module(spec.head.rpartition(".")[0])
        self.model = FaceModel(network)
        self.optimiser = optimiser or OptimiserConfig()
        self.compile_model = compile
        self.start_from = start_from
        if start_from is not None:
            self._start_from(FaceModel.load(start_from))
        self._statistics: dict[tuple[str, str], list[np.ndarray]] = {}

    def _start_from(self, other: FaceModel) -> None:
        try:
            self.model.load_state_dict(other.state_dict())
        except RuntimeError as error:
            raise ConfigError(f"start_from: its weights do not fit this model ({error})") from error

    def on_fit_start(self) -> None:
        """Compile once the model is where it will run."""
        if self.compile_model:
            self.model.compile(dynamic=False)

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """The weighted sum of all tasks' losses."""
        raw = self.model(batch.crops)
        losses = masked_losses(self.model, raw, batch.targets, batch.valid, self._label_totals(batch))
        total = sum((self.model.head(task).weight * loss for task, loss in losses.items()), torch.zeros(()))
        size = len(batch.crops)
        self.log("loss", total, prog_bar=True, batch_size=size)
        self.log_dict({f"train/{task}": loss.detach() for task, loss in losses.items()}, batch_size=size)
        return total

    def _label_totals(self, batch: Batch) -> dict[str, Tensor]:
        """Labels of each task in the step's whole batch, per process: the mean of all processes' gradients is
        then that of one process with the whole batch, however the labels fell."""
        totals = torch.stack([valid.sum() for valid in batch.valid.values()])
        if self.trainer.world_size > 1:
            torch.distributed.all_reduce(totals)
        shares = totals.clamp_min(1.0) / self.trainer.world_size
        return dict(zip(batch.valid, shares.unbind(), strict=True))

    def validation_step(self, batch: Batch, batch_index: int, dataloader_idx: int = 0) -> None:
        """Collect each task's statistics over the samples that carry its label."""
        source = self._data.val_names[dataloader_idx]
        with torch.autocast(self.device.type, enabled=False):
            output = self.model.decode(self.model(batch.crops))
        for task, valid in batch.valid.items():
            kept = valid > 0
            if not kept.any():
                continue
            rows = self.model.head(task).statistics(
                {key: value[kept] for key, value in output[task].items()},
                {key: value[kept] for key, value in batch.targets[task].items()},
            )
            self._statistics.setdefault((source, task), []).append(rows.float().cpu().numpy())

    def on_validation_epoch_end(self) -> None:
        """Log the metrics as `source/task/metric`."""
        for (source, task), rows in self._all_statistics().items():
            metrics = self.model.head(task).summarise(np.concatenate(rows))
            finite = {
                f"{source}/{task}/{name}": value for name, value in metrics.items() if np.isfinite(value)
            }
            self.log_dict(finite)
        self._statistics.clear()

    def _all_statistics(self) -> dict[tuple[str, str], list[np.ndarray]]:
        """The statistics of all processes."""
        if self.trainer.world_size == 1:
            return self._statistics
        parts: list[Any] = [None] * self.trainer.world_size
        torch.distributed.all_gather_object(parts, self._statistics)
        return {
            key: [rows for part in parts for rows in part.get(key, [])]
            for key in sorted({key for part in parts for key in part})
        }

    def configure_optimizers(self) -> Any:
        """AdamW and one warm-up/cosine cycle over all steps."""
        optimiser = create_optimizer_v2(
            self.model, opt="adamw", lr=self.optimiser.lr, weight_decay=self.optimiser.weight_decay
        )
        total = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimiser, partial(_warmup_cosine, total, self.optimiser.warmup)
        )
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    @property
    def _data(self) -> FaceData:
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        assert isinstance(data, FaceData)
        return data


def _warmup_cosine(total: int, warmup: float, step: int) -> float:
    """Factor of the learning rate after ``step`` of ``total`` steps."""
    rising = warmup * total
    if step < rising:
        return (step + 1) / (rising + 1)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - rising) / max(1.0, total - rising))))


class SaveModel(L.Callback):
    """Writes `model.safetensors`, `config.json` and `training.json` beside the checkpoints after every epoch.

    Args:
        folder: where the model goes; a name under the trainer's ``default_root_dir`` where relative.
        licence: under which the weights may be used; it travels with them.
    """

    def __init__(self, folder: str = "model", licence: str = "not stated") -> None:
        self.folder = folder
        self.licence = licence

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Save; only the first process of a distributed run does."""
        assert isinstance(pl_module, FaceTraining)
        if trainer.is_global_zero:
            folder = pl_module.model.save(Path(trainer.default_root_dir) / self.folder)
            document = {"data": _sources(trainer, pl_module), "licence": self.licence}
            write_file(folder / "training.json", json.dumps(document, indent=2).encode())


def _sources(trainer: L.Trainer, module: FaceTraining) -> list[dict[str, str]]:
    """What the weights learned from: this run's sources, and those of the model that it started from."""
    sources = {}
    if module.start_from is not None:
        sources = {source["name"]: source for source in read_training(module.start_from).get("data", [])}
    backbone = module.model.config.backbone
    if backbone.pretrained:
        licence = str(module.model.backbone.vit.default_cfg.get("license") or "not stated")
        sources[backbone.name] = {"name": backbone.name, "origin": "weights of timm", "licence": licence}
    data = trainer.datamodule  # type: ignore[attr-defined]
    for each in data.sources:
        if "train" in each.splits and each.weight > 0:
            sources[each.name] = {"name": each.name, "origin": each.origin, "licence": each.licence}
    return list(sources.values())


class PrintMetrics(L.Callback):
    """Prints each validation's metrics as plain lines, so that a log file keeps them."""

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Print the main metrics of every source and task."""
        if trainer.sanity_checking or not trainer.is_global_zero:
            return
        values = {k: float(v) for k, v in trainer.callback_metrics.items() if k.count("/") == 2}
        line = "  ".join(f"{name} {value:.2f}" for name, value in sorted(values.items()))
        trainer.print(f"epoch {trainer.current_epoch} step {trainer.global_step}: {line}")


def main(args: list[str]) -> int:
    """`faceperc train CONFIG... [--key value ...]`: train, or go on with the run's last checkpoint.

    Args:
        args: configuration files, later ones override earlier ones, then LightningCLI's own options.
            `--ckpt_path last` resumes.

    Raises:
        UsageError: if a configuration file does not exist or none is given.
    """
    configs = [find_config(path) for path in takewhile(lambda arg: not arg.startswith("-"), args)]
    if not configs and "--help" not in args:
        raise UsageError(
            "give the configuration files first: faceperc train configs/train/nano.yaml [--key value]"
        )
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*args parameter is intended to run from within Python.*")
    files = [part for path in configs for part in ("--config", str(path))]
    # a checkpoint is only tensors and numbers: never unpickle anything else
    command = ["fit", *files, "--weights_only", "true", *args[len(configs) :]]
    LightningCLI(
        FaceTraining,
        FaceData,
        args=command,
        save_config_kwargs={"overwrite": True},
        # FaceData deals the samples out itself
        trainer_defaults={"use_distributed_sampler": False},
        parser_kwargs={"fit": {"default_env": False}},
    )
    return 0
