"""The optimiser of training and pretraining: AdamW and one warm-up/cosine cycle over all steps."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from timm.optim import create_optimizer_v2
from torch import nn


@dataclass
class OptimiserConfig:
    """AdamW with a linear warm-up and a cosine decay to zero.

    Attributes:
        lr: peak learning rate.
        weight_decay: of the layers' matrices; biases, norms, positions and identities have none.
        warmup: share of the steps that the learning rate rises.
        betas: decay rates of AdamW's two running means.
        layer_decay: factor in (0, 1] of the learning rate from each layer of the backbone to the one before,
            so that pretrained layers change the less, the earlier they are (BEiT; Bao et al., ICLR 2022).
            The decoder and the heads have the full rate. All layers have it where None.
    """

    name: str = "adamw"
    lr: float = 6e-4
    weight_decay: float = 0.05
    warmup: float = 0.05
    betas: tuple[float, float] = (0.9, 0.999)
    layer_decay: float | None = None


def create_optimiser(
    model: nn.Module, config: OptimiserConfig, steps: int, beside: Iterable[nn.Module] = ()
) -> dict[str, Any]:
    """The optimiser and the schedule of a run, as ``LightningModule.configure_optimizers`` returns them.

    Args:
        model: its ``no_weight_decay`` names the parameters without weight decay, its ``group_matcher`` orders
            them by depth.
        config: rates.
        steps: optimiser steps of the whole run.
        beside: modules that learn with the model, at the full rate and without weight decay.
    """
    optimiser = create_optimizer_v2(
        model,
        opt=config.name,
        lr=config.lr,
        weight_decay=config.weight_decay,
        betas=config.betas,
        layer_decay=config.layer_decay,
    )
    for module in beside:
        if parameters := list(module.parameters()):
            optimiser.add_param_group({"params": parameters, "weight_decay": 0.0})
    for group in optimiser.param_groups:
        group["lr"] *= group.get("lr_scale", 1.0)  # timm leaves its layer decay to its own schedules
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, partial(_warmup_cosine, steps, config.warmup))
    return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def _warmup_cosine(total: int, warmup: float, step: int) -> float:
    """Factor of the learning rate after ``step`` of ``total`` steps."""
    rising = warmup * total
    if step < rising:
        return (step + 1) / (rising + 1)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - rising) / max(1.0, total - rising))))
