"""Training with Lightning: `faceperc train configs/train/nano.yaml`."""

from __future__ import annotations

import warnings
from collections import defaultdict
from contextlib import suppress
from importlib import import_module
from typing import Any, Literal, Self

import lightning as L
import numpy as np
import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_info, rank_zero_warn
from torch import Tensor

from faceperc._recipes import RecipeCommand, fit_words
from faceperc.config import FaceModelConfig
from faceperc.consistency import rotation_consistency
from faceperc.data.module import FaceData
from faceperc.errors import ConfigError, DataError
from faceperc.freeze import Freeze, freeze
from faceperc.head import Batch
from faceperc.mae import MaskedAutoencoder
from faceperc.model import FaceModel, labelled_rows, masked_losses, read_backbone
from faceperc.optimiser import OptimiserConfig, create_optimiser
from faceperc.provenance import command_line
from faceperc.record import RecordConfig, Start
from faceperc.teacher import Teacher, TeacherConfig
from faceperc.transfer import query_rows, take_backbone, take_weights
from faceperc.weighting import UncertaintyWeighting
from faceperc.widen import widened
from faceperc.zoo import find_weights


class ModelTraining(L.LightningModule):
    """What training and pretraining share.

    Attributes:
        model: the network; it saves itself.
        optimiser: learning rate and decay.
        starts: saved weights that the training started from, or follows.
        beside: what learns with the model and is no part of it.
    """

    model: FaceModel | MaskedAutoencoder
    optimiser: OptimiserConfig
    starts: tuple[Start, ...] = ()
    beside: tuple[torch.nn.Module, ...] = ()

    def configure_optimizers(self) -> Any:
        """AdamW and one warm-up/cosine cycle over all steps."""
        steps = int(self.trainer.estimated_stepping_batches)
        return create_optimiser(self.model, self.optimiser, steps, self.beside)

    @property
    def data(self) -> FaceData:
        """The trainer's data module."""
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        assert isinstance(data, FaceData)
        return data


class FaceTraining(ModelTraining):
    """A FaceModel with its losses, metrics and optimiser.

    Args:
        network: the model's configuration.
        optimiser: learning rate and decay.
        compile: compile the forward pass (needs a C++ compiler).
        start_from: folder of a saved model, or its name in the zoo or on the Hub, whose weights the training
            starts from. Tasks that it lacks, or has with other shapes, start afresh.
        widen_from: folder or name of a saved model, narrower than this one but otherwise alike, with whose
            answers the training starts; see ``faceperc.widen``.
        start_backbone_from: folder of a pretrained backbone, or of a saved model: of its weights only the
            backbone's are taken.
        weighting: how the tasks' losses are summed: by the weights of their heads, or by learned
            uncertainties that start there.
        teacher: a saved model that the training follows where labels are missing.
        rotation_consistency: weight of the loss that a turned crop's head pose must be the turned head pose,
            labelled or not; costs a second forward and backward pass.
        freeze: the part of the model that keeps the weights it started from; see ``faceperc.freeze``.

    Attributes:
        new_tasks: the tasks that start afresh; all of them where no weights are given to start from.
        must_learn: the tasks of which there must be labels: those that start afresh beside trained ones, if
            no teacher has answers.

    Raises:
        ConfigError: if the weights to start from do not fit the model, or there are none to freeze.
    """

    model: FaceModel

    def __init__(
        self,
        network: FaceModelConfig,
        optimiser: OptimiserConfig | None = None,
        compile: bool = False,
        start_from: str | None = None,
        widen_from: str | None = None,
        start_backbone_from: str | None = None,
        weighting: Literal["plain", "uncertainty"] = "plain",
        teacher: TeacherConfig | None = None,
        rotation_consistency: float = 0.0,
        freeze: Freeze | None = None,
    ) -> None:
        super().__init__()
        for spec in network.heads.values():  # the user's own recipe may name the user's own heads
            with suppress(ImportError, ValueError):  # FaceModel says what is wrong with it
                import_module(spec.head.rpartition(".")[0])
        if start_from is not None and widen_from is not None:
            raise ConfigError("give start_from or widen_from, not both: each brings all of the weights")
        given = {
            "start_from": start_from,
            "widen_from": widen_from,
            "start_backbone_from": start_backbone_from,
        }
        start_from, widen_from = (
            None if each is None else str(find_weights(each)) for each in (start_from, widen_from)
        )
        if widen_from is None:
            self.model = FaceModel(network)
        else:
            self.model = widened(FaceModel.load(widen_from), network)
        self.optimiser = optimiser or OptimiserConfig()
        self.compile_model = compile
        folders = {
            "start_from": start_from,
            "widen_from": widen_from,
            "start_backbone_from": start_backbone_from,
            "teacher": teacher.folder if teacher is not None else None,
        }
        self.starts = tuple(
            Start(how, given.get(how) or folder, folder) for how, folder in folders.items() if folder
        )
        self.rotation_consistency = rotation_consistency
        self.new_tasks = () if widen_from is not None else self.model.tasks
        if start_from is not None:
            self._start_from(FaceModel.load(start_from))
        if start_backbone_from is not None:
            self._start_backbone_from(start_backbone_from)
        self.must_learn = self.new_tasks if start_from is not None and teacher is None else ()
        self.weighting = UncertaintyWeighting(self.model.tasks) if weighting == "uncertainty" else None
        self.teacher = Teacher(teacher, self.model) if teacher is not None else None
        self.beside = tuple(each for each in (self.weighting, self.teacher) if each is not None)
        self._statistics: dict[tuple[str, str], list[np.ndarray]] = {}
        self._frozen: tuple[torch.nn.Module, ...] = ()
        self.freeze_parts(freeze)

    def _start_from(self, other: FaceModel) -> None:
        self.new_tasks = take_weights(self.model, other)
        if self.new_tasks:
            rank_zero_info(
                f"start_from: nothing in it fits these tasks, which start afresh: {', '.join(self.new_tasks)}"
            )

    def _start_backbone_from(self, folder: str) -> None:
        try:
            take_backbone(self.model.backbone, read_backbone(folder))
        except ConfigError as error:
            raise ConfigError(f"start_backbone_from: {folder}: {error}") from error

    def setup(self, stage: str) -> None:
        """Look whether there are labels of what starts afresh, once the data is read.

        Raises:
            DataError: if no training face has a label of any task of ``must_learn``.
        """
        found = self.data.training_samples.values() if self.must_learn else ()
        labelled = {task for samples in found for sample in samples for task in sample.labels}
        missing = [task for task in self.must_learn if task not in labelled]
        message = (
            f"no training face has a label of {', '.join(missing)}: a table's column has the name of its "
            "task, which is none of the columns with another meaning (docs/finetuning.md)"
        )
        if missing and len(missing) == len(self.must_learn):
            raise DataError(message)
        if missing:
            rank_zero_warn(f"{message}; its answers stay random")

    def freeze_parts(self, what: Freeze | None) -> None:
        """Freeze a part of the model, and nothing else; before the optimiser is made.

        Raises:
            ConfigError: if nothing would learn, or the part has no weights that are worth keeping.
        """
        untrained = not self.starts and not self.model.config.backbone.pretrained
        if what is not None and untrained:
            raise ConfigError(
                "freeze: the weights are random; start from a model first (start_from, widen_from or "
                "start_backbone_from)"
            )
        self._frozen = freeze(self.model, what, self.new_tasks)
        rows = query_rows(self.model)
        # one parameter holds the queries of all tasks: those of frozen tasks lose their gradient instead
        self._frozen_queries = [
            rows[task] for task in self.model.tasks if what == "all_but_new" and task not in self.new_tasks
        ]

    def train(self, mode: bool = True) -> Self:
        """Training mode, but not for frozen parts."""
        super().train(mode)
        for part in self._frozen:
            part.eval()
        return self

    def on_after_backward(self) -> None:
        """Drop the gradients of frozen queries. They have no weight decay, so they stay as they are."""
        gradient = self.model.decoder.identity.grad
        if gradient is not None:
            for rows in self._frozen_queries:
                gradient[:, rows] = 0

    def on_fit_start(self) -> None:
        """Compile once the model is where it will run."""
        if self.compile_model:
            # beside a teacher the model is called by another method than its forward
            model = self.model
            parts = [model] if self.teacher is None else [model.backbone, model.decoder, model.pixels]
            for part in parts:
                if part is not None:  # without a dense head there are no pixels
                    part.compile(dynamic=False)

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """The weighted sum of all tasks' losses."""
        followed: dict[str, Tensor] = {}
        targets, valid = batch.targets, batch.valid
        if self.teacher is None and not self.rotation_consistency and not self.compile_model:
            rows = labelled_rows(valid)
            raw = self.model.forward_rows(batch.crops, rows)
            targets = {
                task: {name: each[rows[task]] for name, each in fields.items()}
                for task, fields in targets.items()
            }
            valid = {task: weight[rows[task]] for task, weight in valid.items()}
        elif self.teacher is None:
            raw = self.model(batch.crops)
        else:
            raw, tokens = self.model.forward_with_tokens(batch.crops)
            unlabelled = self.teacher.unlabelled(batch.valid)
            shares = self._label_totals(unlabelled)
            followed = self.teacher(self.model, batch.crops, raw, tokens, unlabelled, shares)
        totals = self._label_totals(batch.valid)
        losses = masked_losses(self.model, raw, targets, valid, totals)
        weighted = {task: self.model.head(task).weight * loss for task, loss in losses.items()}
        if self.weighting is not None:
            labelled = {task: valid.sum() / totals[task] for task, valid in batch.valid.items()}
            weighted = self.weighting(weighted, labelled)
            self.log_dict({f"weight/{task}": value for task, value in self.weighting.factors().items()})
        total = sum((*weighted.values(), *followed.values()), torch.zeros(()))
        size = len(batch.crops)
        if self.rotation_consistency > 0:
            term = rotation_consistency(self.model, batch.crops, raw)
            total = total + self.rotation_consistency * term
            self.log("train/rotation_consistency", term.detach(), batch_size=size)
        self.log("loss", total, prog_bar=True, batch_size=size)
        self.log_dict({f"train/{task}": loss.detach() for task, loss in losses.items()}, batch_size=size)
        self.log_dict({f"teacher/{name}": loss.detach() for name, loss in followed.items()}, batch_size=size)
        return total

    def _label_totals(self, valid: dict[str, Tensor]) -> dict[str, Tensor]:
        """Labels of each task in the step's whole batch, per process: the mean of all processes' gradients is
        then that of one process with the whole batch, however the labels fell."""
        if not valid:
            return {}
        totals = torch.stack([weight.sum() for weight in valid.values()])
        if self.trainer.world_size > 1:
            torch.distributed.all_reduce(totals)
        shares = totals.clamp_min(1.0) / self.trainer.world_size
        return dict(zip(valid, shares.unbind(), strict=True))

    def validation_step(self, batch: Batch, batch_index: int, dataloader_idx: int = 0) -> None:
        """Collect each task's statistics over the samples that carry its label."""
        source = self.data.val_names[dataloader_idx]
        with torch.autocast(self.device.type, enabled=False):
            raw = self.model(batch.crops)
            output = self.model.decode(raw)
        for task, valid in batch.valid.items():
            kept = valid > 0
            if not kept.any():
                continue
            head = self.model.head(task)
            own, answers, target = (
                {key: value[kept] for key, value in of.items()}
                for of in (raw[task], output[task], batch.targets[task])
            )
            # the loss of each sample stands behind its statistics
            rows = torch.cat([head.statistics(answers, target), head.loss(own, target)[:, None]], dim=1)
            self._statistics.setdefault((source, task), []).append(rows.float().cpu().numpy())

    def on_validation_epoch_end(self) -> None:
        """Log the metrics as `source/task/metric`, and as `val_loss` the weighted sum of the tasks' mean
        losses over all sources."""
        losses = defaultdict(list)
        for (source, task), parts in of_all_processes(self.trainer, self._statistics).items():
            rows = np.concatenate(parts)
            losses[task].append(rows[:, -1])
            metrics = self.model.head(task).summarise(rows[:, :-1])
            finite = {
                f"{source}/{task}/{name}": value for name, value in metrics.items() if np.isfinite(value)
            }
            self.log_dict(finite)
        if losses:
            means = {task: float(np.concatenate(each).mean()) for task, each in losses.items()}
            self.log("val_loss", sum(self.model.head(task).weight * mean for task, mean in means.items()))
        self._statistics.clear()


def of_all_processes(
    trainer: L.Trainer, statistics: dict[tuple[str, str], list[np.ndarray]]
) -> dict[tuple[str, str], list[np.ndarray]]:
    """The statistics, (source, task) -> arrays, of all processes together."""
    if trainer.world_size == 1:
        return statistics
    parts: list[Any] = [None] * trainer.world_size
    torch.distributed.all_gather_object(parts, statistics)
    return {
        key: [rows for part in parts for rows in part.get(key, [])]
        for key in sorted({key for part in parts for key in part})
    }


def main(args: list[str]) -> int:
    """`faceperc train CONFIG... [--key value ...]`: train, or go on with the run's last checkpoint.

    Args:
        args: configuration files, later ones override earlier ones, then LightningCLI's own options.
            `--ckpt_path last` resumes.

    Raises:
        UsageError: if a configuration file does not exist or none is given.
    """
    about = (
        "Train a face model from recipes. An own task on top of a trained model: "
        "faceperc train my-task.yaml (docs/finetuning.md)."
    )
    return fit(FaceTraining, "train", args, about)


def fit(module: type[ModelTraining], name: str, args: list[str], about: str) -> int:
    """Run a command of Lightning's: see ``main``.

    Args:
        module: what is trained.
        name: of the command, for messages.
        args: the command's arguments.
        about: what it does, for its help.
    """
    words = fit_words(name, args, about, f"configs/{name}/nano.yaml")
    if not words:
        return 0
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*args parameter is intended to run from within Python.*")
    RecipeCommand(
        module,
        FaceData,
        args=words,
        save_config_callback=RecordConfig,
        save_config_kwargs={"overwrite": True, "command": command_line(name, args)},
        # FaceData deals the samples out itself
        trainer_defaults={"use_distributed_sampler": False},
        parser_kwargs={"prog": f"faceperc {name}", "fit": {"default_env": False}},
    )
    return 0
