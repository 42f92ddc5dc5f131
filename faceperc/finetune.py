"""Fine-tuning in ten lines: a trained model learns a task of yours from a table or folders of photographs.

    from faceperc.data.table import CsvSource
    from faceperc.finetune import FineTuning, classes

    tuning = FineTuning("faceperc-nano", {"glasses": classes(["none", "reading", "sun"])})
    print(tuning.fit(CsvSource("labels.csv", images="photos"), epochs=10))
    tuning.save("my-model")

    faceperc.Predictor("my-model")("photo.jpg")[0].glasses.label

docs/finetuning.md explains it. It is the training of ``faceperc train``; that command does the same from a
file (configs/train/finetune-csv.yaml).
"""

from __future__ import annotations

import logging
import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import lightning as L
from lightning.pytorch.utilities.rank_zero import rank_zero_info

from faceperc._files import write_file
from faceperc._loggers import quieter
from faceperc._names import unknown_name
from faceperc.callbacks import KeepBest, PrintMetrics, SaveModel
from faceperc.card.facts import gather
from faceperc.card.render import render
from faceperc.config import FaceModelConfig, HeadConfig
from faceperc.data.augment import AugmentConfig
from faceperc.data.module import FaceData
from faceperc.data.source import Source
from faceperc.errors import ConfigError, UsageError
from faceperc.export.onnx import export_onnx
from faceperc.export.reference import write_reference
from faceperc.freeze import Freeze
from faceperc.licences import weights_licence
from faceperc.model import FaceModel, write_training
from faceperc.model_folder import CARD, EVALUATION, ONNX, ONNX_INT8
from faceperc.optimiser import OptimiserConfig
from faceperc.record import merged
from faceperc.train import FaceTraining
from faceperc.zoo import find_weights

#: Learning rate where none is given: what is random may move faster than what is learned.
_RATES: dict[Freeze | None, float] = {"all_but_new": 1e-3, "backbone": 3e-4, None: 1e-4}


def classes(labels: Sequence[str], **options: Any) -> HeadConfig:
    """A task that asks which of some classes a face is of.

    Args:
        labels: their names.
        options: others of ``faceperc.heads.custom.Classes``, such as ``description``.
    """
    return HeadConfig("faceperc.heads.custom.Classes", {"labels": list(labels), **options})


def questions(labels: Sequence[str], **options: Any) -> HeadConfig:
    """A task of yes/no questions that do not exclude each other.

    Args:
        labels: what is asked, e.g. ``["hat", "mask"]``.
        options: others of ``faceperc.heads.custom.Probabilities``.
    """
    return HeadConfig("faceperc.heads.custom.Probabilities", {"labels": list(labels), **options})


def number(low: float, high: float, unit: str | None = None, **options: Any) -> HeadConfig:
    """A task that asks for a number.

    Args:
        low: least value.
        high: largest value.
        unit: of the number.
        options: others of ``faceperc.heads.custom.Scalar``.
    """
    return HeadConfig("faceperc.heads.custom.Scalar", {"low": low, "high": high, "unit": unit, **options})


class FineTuning:
    """A trained model, perhaps with other tasks, that goes on learning.

    Args:
        start: a model's name in the zoo or on the Hub (``org/name``), or its folder.
        heads: tasks to add, by name: from ``classes``, ``questions`` or ``number``, or any HeadConfig. One
            of a name that the model has replaces that task.
        drop: tasks to leave out.
        apart: the other tasks do not see the added ones. Where they are frozen their answers then stay what
            they were, but for rounding; see HeadConfig.
        name: of the new model, in its files.
        seed: of the layers that start afresh, and of the order of the photographs.

    Attributes:
        model: the network.
        new_tasks: the tasks that start afresh, which are also printed. Everything else keeps what it learned.

    Raises:
        ModelError: if the model's weights cannot be had.
        UsageError: if ``drop`` names an unknown task.
        ConfigError: if a head is not possible.
    """

    def __init__(
        self,
        start: str | os.PathLike[str],
        heads: Mapping[str, HeadConfig] | None = None,
        drop: Sequence[str] = (),
        apart: bool = True,
        name: str | None = None,
        seed: int = 0,
    ) -> None:
        L.seed_everything(seed, verbose=False)
        self.seed = seed
        config = FaceModel.load(find_weights(start)).config
        network = _with_heads(config, heads or {}, drop, apart, name)
        self.training = FaceTraining(network, start_from=os.fspath(start))
        self._record: dict[str, Any] = {}
        kept = [task for task in self.model.tasks if task not in self.new_tasks]
        rank_zero_info(f"taken over: {', '.join(kept) or 'the backbone and the decoder alone'}")

    @property
    def model(self) -> FaceModel:
        """The network."""
        return self.training.model

    @property
    def new_tasks(self) -> tuple[str, ...]:
        """The tasks that start afresh."""
        return self.training.new_tasks

    def fit(
        self,
        data: Source | Sequence[Source],
        epochs: int = 10,
        freeze: Freeze | Literal["auto"] | None = "auto",
        lr: float | None = None,
        batch_size: int = 16,
        augment: AugmentConfig | None = None,
        workers: int = 0,
        accelerator: str = "auto",
        progress: bool = True,
    ) -> dict[str, float]:
        """Learn. The weights of the epoch with the least validation loss stay. It may be called again, with
        other data or less frozen: then the record names the data of all calls.

        Args:
            data: labelled photographs, e.g. a CsvSource or ClassFolders.
            epochs: how often every photograph is seen.
            freeze: ``"backbone"``: decoder and heads learn. ``"all_but_new"``: the new tasks alone learn.
                None: everything learns. By default the second where there are new tasks, else the first.
            lr: peak learning rate; by default 1e-3, 3e-4 or 1e-4, the less is frozen the lower.
            batch_size: photographs per step.
            augment: random views; ``AugmentConfig(flip=0)`` where left and right matter.
            workers: processes that load photographs beside the training.
            accelerator: Lightning's: ``"auto"``, ``"cpu"``, ``"gpu"``.
            progress: show a bar. A line with the metrics is printed after every epoch in any case.

        Returns:
            ``source/task/metric`` -> value, of the validation of that epoch; nothing without a validation.

        Raises:
            DataError: if photographs or labels are missing or not understood, or no photograph has a label of
                any task that starts afresh.
            ConfigError: if nothing would learn.
        """
        if freeze == "auto":
            freeze = "all_but_new" if self.new_tasks else "backbone"
        self.training.freeze_parts(freeze)
        if self._record:  # an earlier call has taught them
            self.training.must_learn = ()
        self.training.train()  # Lightning would leave it in evaluation mode after an earlier call
        # without weight decay: it would wear down the heads of tasks that the data does not label
        rate = _RATES[freeze] if lr is None else lr
        self.training.optimiser = OptimiserConfig(lr=rate, weight_decay=0.0, warmup=0.1)
        module = FaceData(
            [data] if isinstance(data, Source) else list(data),
            batch_size=batch_size,
            epoch_size=None,
            augment=augment,
            workers=workers,
            seed=self.seed,
            val_limit=None,
        )
        best, saver = KeepBest(), SaveModel()
        with tempfile.TemporaryDirectory(prefix="faceperc-finetune-") as scratch, _quiet():
            trainer = L.Trainer(
                accelerator=accelerator,
                devices=1,
                max_epochs=epochs,
                gradient_clip_val=1.0,
                num_sanity_val_steps=0,
                default_root_dir=scratch,
                logger=False,
                enable_checkpointing=True,  # of SaveModel alone
                enable_model_summary=False,
                enable_progress_bar=progress,
                callbacks=[best, PrintMetrics(), saver],
            )
            try:
                trainer.fit(self.training, module)
            finally:  # what was learned before an interruption is in the weights as well
                self._record = _added(self._record, saver.record(trainer))
        if trainer.interrupted:  # by Ctrl-C, which Lightning takes for a wish to stop early
            raise KeyboardInterrupt
        self.model.eval()
        return best.metrics

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write a model folder: weights, configuration, training record, `model.onnx`, its reference set, and
        a model card.

        It can be predicted with, trained on, exported in other forms, and published. The record names the
        photographs of the model that this one started from as well: what their owners allow still holds.
        The card says what is recorded; figures come into it by `faceperc eval` and `faceperc card`, and what
        you know about use and limits by a file `notes.md`.

        Args:
            folder: is made where it does not exist.

        Raises:
            UsageError: if nothing was learned yet, the folder cannot be written, or it holds files of another
                model that would stay.
            ParityError: if the exported file does not answer as the model does.
        """
        if not self._record:
            raise UsageError("nothing was learned yet: call fit first")
        if old := [name for name in (ONNX_INT8, EVALUATION) if Path(folder, name).exists()]:
            raise UsageError(f"{folder}: holds {' and '.join(old)} of an earlier model; name another folder")
        target = self.model.save(folder)
        write_training(target, self._record)
        with _quiet():
            export_onnx(self.model, target / ONNX, training=self._record)
        write_reference(self.model, target / ONNX)
        write_file(target / CARD, render(gather(target)).encode())
        return target


def _with_heads(
    config: FaceModelConfig,
    heads: Mapping[str, HeadConfig],
    drop: Sequence[str],
    apart: bool,
    name: str | None,
) -> FaceModelConfig:
    """The configuration with other tasks."""
    for task in drop:
        if task not in config.heads:
            raise UsageError(f"drop: {unknown_name('task', task, config.heads)}")
    for task in heads:
        if not task.isidentifier():
            raise ConfigError(f"{task!r} cannot be the name of a task: letters, digits and _ only")
    kept = {task: spec for task, spec in config.heads.items() if task not in {*drop, *heads}}
    added = {task: replace(spec, apart=apart) for task, spec in heads.items()}
    return replace(config, heads={**kept, **added}, name=name or f"{config.name}-finetuned")


def _added(before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """The record of two trainings, one after the other."""
    if not before or not now:
        return now or before
    data = merged([*before["data"], *now["data"]])
    sums = {key: round(before[key] + now[key], 3) for key in ("steps", "epochs", "hours")}
    return now | {"data": data, **weights_licence(data), **sums}


@contextmanager
def _quiet() -> Iterator[None]:
    """Lightning and torch without their hints for people who write training loops."""
    with warnings.catch_warnings(), quieter(logging.WARNING, "lightning.pytorch", "torch.onnx"):
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*Checkpoint directory .* exists.*")
        warnings.filterwarnings("ignore", message="Total length of .* is zero.*")  # no validation
        warnings.filterwarnings("ignore", message=".*in eval mode at the start of training.*")
        warnings.filterwarnings("ignore", category=FutureWarning)
        yield
