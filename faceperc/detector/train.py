"""Training of the face detector: `faceperc train-detector configs/detector/nano.yaml [--key value ...]`."""

from __future__ import annotations

import warnings
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities.rank_zero import rank_zero_info
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torchvision.ops import box_iou, nms  # type: ignore[import-untyped]

from faceperc._recipes import RecipeCommand, fit_words
from faceperc.detector.data import Batch, DetectorData
from faceperc.detector.loss import detection_loss
from faceperc.detector.metrics import Matches, average_precision, false_positives, judge, recall, score_at
from faceperc.detector.model import FaceDetector, Predictions
from faceperc.detector.sources import LICENCES
from faceperc.detector.targets import HEAD, POINTS, ROTATION, SEEN, WEIGHT
from faceperc.errors import ModelError, UsageError
from faceperc.model import read_training
from faceperc.rotations import geodesic_degrees, matrix_from_6d

#: In a checkpoint: names of the sources that its weights learned from.
TRAINED_ON = "trained_on"


class DetectorModule(pl.LightningModule):
    """The network, its loss and its optimiser.

    Args:
        widths: see `FaceDetector`.
        depths: see `FaceDetector`.
        neck: see `FaceDetector`.
        patches: see `FaceDetector`.
        start_from: a checkpoint or a .safetensors file (`faceperc/models/`) whose weights to begin with,
            where names and shapes agree.
        lr: highest learning rate of AdamW.
        weight_decay: of AdamW, for weights of two and more dimensions.
        warmup: steps of linear warm-up.
        cooldown: last part of the steps, in which the learning rate falls linearly to zero. Until then it is
            constant, so a resumed run with another `max_epochs` loses nothing.
    """

    def __init__(
        self,
        widths: tuple[int, int, int, int] = (32, 48, 64, 96),
        depths: tuple[int, int, int, int] = (0, 2, 2, 3),
        neck: int = 32,
        patches: bool = True,
        start_from: str | None = None,
        lr: float = 3e-3,
        weight_decay: float = 0.02,
        warmup: int = 300,
        cooldown: float = 0.35,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.model = FaceDetector(tuple(widths), tuple(depths), neck, patches)  # type: ignore[arg-type]
        self.start_from = start_from
        self.inherited: list[str] = []
        self.model.to(memory_format=torch.channels_last)
        self.lr, self.weight_decay, self.warmup, self.cooldown = lr, weight_decay, warmup, cooldown
        self.matches: list[Matches] = []
        self.gaps: list[Tensor] = []

    def on_fit_start(self) -> None:
        """Take the weights to begin with, unless the run is resumed: its weights are there already."""
        if self.start_from is not None and self.trainer.ckpt_path is None:
            self.inherited = sources_of(self.start_from)
            rank_zero_info(
                f"{start_from(self, self.start_from)} of {len(self.state_dict())} arrays taken over"
            )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Say what all the weights learned from, those that the run began with too."""
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        names = data.names if isinstance(data, DetectorData) else []
        checkpoint[TRAINED_ON] = list(dict.fromkeys([*self.inherited, *names]))

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep what an interrupted run said."""
        self.inherited = list(checkpoint.get(TRAINED_ON, ()))

    def forward(self, image: Tensor) -> Predictions:
        """(N, H, W, 3) uint8 -> predictions, see `FaceDetector.forward`."""
        return self.model(image)

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """Loss of one batch."""
        losses = detection_loss(self.model(batch.image), batch.targets)
        self.log_dict({f"train/{key}": value for key, value in losses.items()}, batch_size=len(batch.image))
        self.log("loss", losses["loss"], prog_bar=True, logger=False)
        return losses["loss"]

    def validation_step(self, batch: Batch, index: int) -> None:
        """Match the detections of one batch with its faces."""
        predictions = self.model(batch.image)
        losses = detection_loss(predictions, batch.targets)
        self.log("val/loss", losses["loss"], batch_size=len(batch.image))
        for i, target in enumerate(batch.targets):
            boxes, scores = select(predictions.boxes[i], predictions.logits[i].sigmoid())
            self.matches.append(judge(_numpy(boxes), _numpy(scores), _numpy(target))[0])
            self.gaps.append(gaps_of(predictions, i, target))

    def on_validation_epoch_end(self) -> None:
        """Log AP at IoU 0.5, and recall where there is one false positive in ten images."""
        matches = Matches.join(self.matches)
        self.matches.clear()
        score = score_at(matches, 0.1)
        gaps = torch.cat(self.gaps)
        self.gaps.clear()
        values = {
            "val/points": float(gaps[:, 0].nanmean()),
            "val/degrees": float(gaps[:, 1].nanmedian()),
            "val/back": float(gaps[gaps[:, 2] == 0, 3].mean()),
            "val/ap50": average_precision(matches),
            "val/recall": recall(matches, score),
            "val/recall48": recall(matches, score, (48.0, float("inf"))),
            "val/score": score,
            "val/fp_at_05": false_positives(matches, 0.5),
        }
        self.log_dict({k: torch.tensor(v, dtype=torch.float32) for k, v in values.items()}, prog_bar=True)

    def configure_optimizers(self) -> Any:
        """AdamW with warm-up, a constant phase and a linear cool-down."""
        groups = [
            {"params": [p for p in self.parameters() if p.ndim > 1], "weight_decay": self.weight_decay},
            {"params": [p for p in self.parameters() if p.ndim <= 1], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=self.lr)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self._factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _factor(self, step: int) -> float:
        total = int(self.trainer.estimated_stepping_batches)
        rest = (total - step) / max(1.0, self.cooldown * total)
        return max(0.0, min(1.0, (step + 1) / self.warmup, rest))


def start_from(module: pl.LightningModule, path: str) -> int:
    """Copy the arrays of a checkpoint, or of weights in safetensors, whose names and shapes agree.

    Returns:
        How many were copied.

    Raises:
        ModelError: if the file is missing or no checkpoint, or nothing agrees.
    """
    given = _read_weights(path) if _is_plain(path) else _read_checkpoint(path)["state_dict"]
    own = module.state_dict()
    same = {name: value for name, value in given.items() if name in own and own[name].shape == value.shape}
    if not same:
        raise ModelError(f"{path}: no array has the name and the shape of one of this network's")
    module.load_state_dict(same, strict=False)
    return len(same)


def sources_of(path: str) -> list[str]:
    """Names of the sources that weights to start from learned from; the file's own name where nothing says.

    Args:
        path: a checkpoint, or weights with the ``training.json`` of a model folder beside them.

    Raises:
        ModelError: if it is no checkpoint, or the record is damaged.
    """
    if not _is_plain(path):
        return trained_on(path)
    record = read_training(Path(path).parent)
    return [str(each["name"]) for each in record.get("data", ())] or [Path(path).name]


def trained_on(path: str | Path) -> list[str]:
    """Names of the sources that a checkpoint learned from; all of the pack's where it does not say.

    Raises:
        ModelError: if it is no checkpoint.
    """
    return list(_read_checkpoint(path).get(TRAINED_ON) or LICENCES)


def _is_plain(path: str | Path) -> bool:
    """Whether a file holds weights alone, not a run's checkpoint."""
    return Path(path).suffix == ".safetensors"


def _read_weights(path: str) -> dict[str, Tensor]:
    """The arrays of a .safetensors file, by their names in DetectorModule."""
    try:
        return {f"model.{name}": value for name, value in load_file(path).items()}
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path}: is no checkpoint to start from: {error}") from error


def _read_checkpoint(path: str | Path) -> dict[str, Any]:
    try:
        checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        checkpoint["state_dict"]
    except (EOFError, OSError, KeyError, TypeError, RuntimeError, UnpicklingError) as error:
        raise ModelError(f"{path}: is no checkpoint to start from: {error}") from error
    return checkpoint


def gaps_of(predictions: Predictions, index: int, target: Tensor) -> Tensor:
    """What the cell of the best overlap says about each head of one image.

    Returns:
        (H, 4): mean distance of the five points over the box's side; degrees between the rotations; whether
        the face can be seen; and the score of a face. NaN where the label is unknown.
    """
    heads = target[target[:, WEIGHT] == HEAD]
    if not len(heads):
        return target.new_zeros(0, 4)
    best = box_iou(heads[:, :4], predictions.boxes[index]).argmax(1)
    side = (heads[:, 2:4] - heads[:, :2]).amax(1)
    wanted = heads[:, POINTS].unflatten(1, (5, 2))
    distance = (predictions.points[index, best] - wanted).square().sum(-1).sqrt().mean(1) / side
    rotations = matrix_from_6d(predictions.rotations[index, best])
    degrees = geodesic_degrees(rotations, heads[:, ROTATION].unflatten(1, (3, 3)))
    return torch.stack([distance, degrees, heads[:, SEEN], predictions.logits[index, best].sigmoid()], 1)


def select(
    boxes: Tensor, scores: Tensor, low: float = 0.05, overlap: float = 0.45, most: int = 200
) -> tuple[Tensor, Tensor]:
    """Score threshold and non-maximum suppression for validation while training.

    Args:
        boxes: (A, 4).
        scores: (A,).
        low: smallest score.
        overlap: boxes that overlap a better one by this IoU are dropped.
        most: at most so many boxes are returned.

    Returns:
        (K, 4) and (K,), by descending score.
    """
    keep = scores > low
    boxes, scores = boxes[keep].float(), scores[keep].float()
    kept = nms(boxes, scores, overlap)[:most]
    return boxes[kept], scores[kept]


def _numpy(values: Tensor) -> NDArray[np.float64]:
    return values.double().cpu().numpy()


class _Command(RecipeCommand):
    """Trains in one process, and not where another run's checkpoints lie, whose names are fixed."""

    def before_fit(self) -> None:
        """Check where and how it is about to run.

        Raises:
            UsageError: if there are several processes, each of which would take whole batches and judge a
                part of the validation set; or if a checkpoint of an earlier run would be overwritten.
        """
        if self.trainer.world_size > 1:
            raise UsageError("a detector is trained in one process: --trainer.devices 1")
        if self.ckpt_path is not None:
            return
        for callback in self.trainer.checkpoint_callbacks:
            if not isinstance(callback, ModelCheckpoint) or callback.dirpath is None:
                continue
            path = Path(callback.dirpath, f"{callback.filename}.ckpt")
            if path.is_file():
                raise UsageError(
                    f"{path}: is another run's, which this one would overwrite; go on with it by --ckpt_path "
                    f"{path.with_name('last.ckpt')}, or move the folder away"
                )


def main(args: list[str]) -> None:
    """Train: YAML files, later ones are laid over earlier ones, then options (`--trainer.max_epochs 3`).

    Resume with `--ckpt_path runs/.../last.ckpt`.
    """
    words: Any = fit_words(
        "train-detector", args, "Train a detector of faces and heads.", "configs/detector/nano.yaml"
    )
    if not words:
        return
    torch.set_float32_matmul_precision("high")
    warnings.filterwarnings("ignore", message=".*args parameter is intended to run from within Python.*")
    _Command(
        DetectorModule,
        DetectorData,
        args=words,
        save_config_kwargs={"overwrite": True},
        parser_kwargs={"prog": "faceperc train-detector", "fit": {"default_env": False}},
    )


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
