"""Callbacks of Lightning for training and pretraining: what is saved, which weights stay, what is printed."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Checkpoint, WeightAveraging
from torch import Tensor

from faceperc.errors import ConfigError
from faceperc.licences import terms_of, weights_licence
from faceperc.model import write_training
from faceperc.provenance import today
from faceperc.record import merged, run_facts, sources_of
from faceperc.train import ModelTraining


class SaveModel(Checkpoint):
    """Writes `model.safetensors`, `config.json` and `training.json` beside the checkpoints after every epoch.

    Once more when the training has ended, for by then a WeightAveraging callback has put its averages into
    the model: Lightning calls what derives from Checkpoint after all other callbacks.

    Args:
        folder: where the model goes; a name under the trainer's ``default_root_dir`` where relative.
        licence: under which the weights may be used, where that is to be stricter than what the sources allow
            (``faceperc.licences``); it travels with them.
    """

    def __init__(self, folder: str = "model", licence: str | None = None) -> None:
        self.folder = folder
        self.licence = licence
        self._facts: dict[str, Any] = {}
        self._resumed: list[dict[str, Any]] = []  # what the runs before this one learned from
        self._seconds: float | None = 0.0  # of the runs before this one; None where that is not known
        self._began = 0.0

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Gather once what the record says of the data and the run.

        Raises:
            ConfigError: if the licence allows more than the sources do.
        """
        assert isinstance(pl_module, ModelTraining)
        data = merged([*self._resumed, *_sources(pl_module)])
        self._facts = {
            "data": data,
            **weights_licence(data, self.licence),
            **run_facts(trainer, pl_module.starts),
        }
        self._began = time.monotonic()

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """A run that goes on from a checkpoint without its hours cannot say how many there were."""
        if trainer.global_step > 0 and not self._seconds:
            self._seconds = None

    def state_dict(self) -> dict[str, Any]:
        """Sources and hours go into the checkpoint, so that a resumed run adds to them."""
        state = {"data": self._facts["data"]} if self._facts else {}
        seconds = self._so_far()
        return state if seconds is None else state | {"seconds": seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Of the run that is resumed."""
        self._resumed = state_dict.get("data", [])
        self._seconds = state_dict.get("seconds")

    def _so_far(self) -> float | None:
        return None if self._seconds is None else self._seconds + time.monotonic() - self._began

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Save the epoch's weights."""
        self._save(trainer, pl_module)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Save the final weights."""
        self._save(trainer, pl_module)

    def record(self, trainer: L.Trainer) -> dict[str, Any]:
        """The training's record until now, see ``faceperc.record``; {} before it has begun."""
        if not self._facts:
            return {}
        # not current_epoch, which does not yet count the epoch that ends
        epochs = trainer.fit_loop.epoch_progress.current.processed  # type: ignore[attr-defined]
        record = self._facts | {"steps": trainer.global_step, "epochs": epochs}
        if (seconds := self._so_far()) is not None:
            record["hours"] = round(seconds / 3600, 3)
        return record | {"date": today()}

    def _save(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Only the first process of a distributed run saves."""
        assert isinstance(module, ModelTraining)
        if trainer.is_global_zero:
            folder = module.model.save(Path(trainer.default_root_dir) / self.folder)
            write_training(folder, self.record(trainer))


def _sources(module: ModelTraining) -> list[dict[str, Any]]:
    """See ``faceperc.record.sources_of``; with the backbone that came from timm."""
    data = module.data
    found = sources_of(module.starts, data.sources, data.training_samples)
    backbone = module.model.config.backbone
    if backbone.pretrained:
        licence = str(module.model.backbone.vit.default_cfg.get("license") or "not stated")
        entry = {"name": backbone.name, "origin": "weights of timm", "licence": licence}
        found.append(entry | {"terms": terms_of(entry)})
    return found


class KeepBest(L.Callback):
    """Puts the weights of the epoch with the least `val_loss` back into the model when the training ends.

    What a few photographs teach is soon learned by heart: the last epoch need not be the best. Without a
    validation nothing is put back. It does not go with a WeightAveraging callback, whose averages lie in the
    model while it is validated, but no longer when this one could keep them.

    Attributes:
        loss: the least so far.
        metrics: of that validation, `source/task/metric` -> value.
    """

    def __init__(self) -> None:
        self.loss = math.inf
        self.metrics: dict[str, float] = {}
        self._weights: dict[str, Tensor] = {}

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Raises ConfigError beside a WeightAveraging callback."""
        if any(isinstance(each, WeightAveraging) for each in trainer.callbacks):  # type: ignore[attr-defined]
            raise ConfigError("callbacks: KeepBest and a WeightAveraging callback exclude each other")

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Keep the weights if they are the best."""
        loss = float(trainer.callback_metrics.get("val_loss", math.inf))
        if trainer.state.fn == "fit" and not trainer.sanity_checking and loss < self.loss:
            assert isinstance(pl_module, ModelTraining)
            self.loss = loss
            self.metrics = _metrics(trainer)
            weights = pl_module.model.state_dict()
            self._weights = {name: value.detach().cpu().clone() for name, value in weights.items()}

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Put the best weights back; what derives from Checkpoint, such as SaveModel, comes later."""
        assert isinstance(pl_module, ModelTraining)
        if self._weights:
            pl_module.model.load_state_dict(self._weights)

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"loss": self.loss, "metrics": self.metrics, "weights": self._weights}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """From a checkpoint."""
        self.loss, self.metrics = state_dict["loss"], state_dict["metrics"]
        self._weights = state_dict["weights"]


class PrintMetrics(L.Callback):
    """Prints each validation's metrics as plain lines, so that a log file keeps them."""

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Print the main metrics of every source and task."""
        if trainer.sanity_checking or not trainer.is_global_zero:
            return
        line = "  ".join(f"{name} {value:.2f}" for name, value in sorted(_metrics(trainer).items()))
        trainer.print(f"epoch {trainer.current_epoch} step {trainer.global_step}: {line}")


def _metrics(trainer: L.Trainer) -> dict[str, float]:
    """Those of the last validation, `source/task/metric` -> value; a metric's unit may have a `/` too."""
    return {key: float(value) for key, value in trainer.callback_metrics.items() if key.count("/") >= 2}
