"""Pretraining of a backbone without labels: `faceperc pretrain configs/pretrain/nano.yaml`."""

from __future__ import annotations

import numpy as np
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor
from torchvision.utils import make_grid  # type: ignore[import-untyped]

from faceperc.config import FaceModelConfig
from faceperc.head import Batch
from faceperc.mae import AutoencoderConfig, MaskedAutoencoder
from faceperc.optimiser import OptimiserConfig
from faceperc.train import ModelTraining, fit, of_all_processes


class Pretraining(ModelTraining):
    """A MaskedAutoencoder with its loss and optimiser.

    Args:
        network: configuration of the model to be, as `faceperc train` takes it: its backbone is trained, on
            crops by its rule; its decoder and heads play no part.
        autoencoder: what is hidden, and the decoder that paints it.
        optimiser: learning rate and decay.
    """

    model: MaskedAutoencoder

    def __init__(
        self,
        network: FaceModelConfig,
        autoencoder: AutoencoderConfig | None = None,
        optimiser: OptimiserConfig | None = None,
    ) -> None:
        super().__init__()
        self.model = MaskedAutoencoder(network, autoencoder or AutoencoderConfig())
        self.optimiser = optimiser or OptimiserConfig()
        self._losses: dict[tuple[str, str], list[np.ndarray]] = {}
        self._pictures: list[Tensor] = []

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """The mean error of randomly hidden patches."""
        size = len(batch.crops)
        loss = self.model.loss(batch.crops, self.model.choose(size)).mean()
        self.log("loss", loss, prog_bar=True, batch_size=size)
        return loss

    def validation_step(self, batch: Batch, batch_index: int, dataloader_idx: int = 0) -> None:
        """Collect each source's errors, with the same patches hidden in every epoch, and two of its faces."""
        visible = self.model.choose(len(batch.crops), torch.Generator().manual_seed(batch_index))
        key = (self.data.val_names[dataloader_idx], "reconstruction")
        losses = self.model.loss(batch.crops, visible)
        self._losses.setdefault(key, []).append(losses.float().cpu().numpy())
        if batch_index == 0:
            self._pictures.append(self.model.pictures(batch.crops[:2], visible[:2]).cpu())

    def on_validation_epoch_end(self) -> None:
        """Log the errors as `source/reconstruction/loss`, and the faces as a picture to TensorBoard."""
        for (source, task), rows in of_all_processes(self.trainer, self._losses).items():
            self.log(f"{source}/{task}/loss", float(np.concatenate(rows).mean()))
        for logger in self.loggers:
            if isinstance(logger, TensorBoardLogger) and self._pictures:
                picture = make_grid(torch.cat(self._pictures), nrow=2)
                logger.experiment.add_image("input, visible, reconstruction", picture, self.current_epoch)
        self._losses.clear()
        self._pictures.clear()


def main(args: list[str]) -> int:
    """`faceperc pretrain CONFIG... [--key value ...]`: pretrain, or go on with the run's last checkpoint.

    Args:
        args: as those of `faceperc train`.

    Raises:
        UsageError: if a configuration file does not exist or none is given.
    """
    return fit(Pretraining, "pretrain", args, "Pretrain a model's backbone on photographs without labels.")
