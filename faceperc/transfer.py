"""Starting a model from another one's weights, which may have fewer, more, or other heads. Subsets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from timm.layers import resample_abs_pos_embed
from torch import Tensor, nn

from faceperc.backbone import Backbone
from faceperc.errors import ConfigError
from faceperc.head import Head
from faceperc.model import FaceModel

_IDENTITY = "decoder.identity"  # (1, Q, D): the queries of all tasks, one after the other
_POSITIONS = ("backbone.vit.pos_embed", "decoder.layers.position")  # (1, prefix + grid * grid, D)


def take_weights(model: FaceModel, other: FaceModel) -> tuple[str, ...]:
    """Take over all that fits: backbone, decoder, and the heads and queries of tasks that mean the same.

    Layers that the other model lacks may stay as they are where they start as no change at all: the
    convolutions of ``stem_blocks`` and ``token_convs``. Where the crops are of another size, positions are
    resampled, and heads whose outputs are in crop pixels fit them to the new ones.

    Args:
        model: gets the weights.
        other: gives them.

    Returns:
        The tasks of ``model`` that keep the weights they had, since ``other`` lacks them or has others, e.g.
        of other classes.

    Raises:
        ConfigError: if the backbones or decoders differ.
    """
    theirs, ours = _at_grid(other.state_dict(), model.backbone.grid, other.backbone.grid), model.state_dict()
    new = tuple(task for task in model.tasks if not _same_head(task, model, other))
    skipped = tuple(f"heads.{task}." for task in new)
    if other.pixels is None:  # it has no dense head, nor what only dense heads need
        last = len(other.decoder.blocks) - 1
        skipped += ("pixels.", "decoder.token_norm.", f"decoder.blocks.{last}.back_")
    weights = {
        name: theirs[name] for name in ours if name in theirs and not name.startswith((_IDENTITY, *skipped))
    }
    identity = ours[_IDENTITY].clone()
    here, there = query_rows(model), query_rows(other)
    try:
        for task in set(model.tasks) - set(new):
            identity[:, here[task]] = theirs[_IDENTITY][:, there[task]]
        missing, _ = model.load_state_dict({**weights, _IDENTITY: identity}, strict=False)
    except RuntimeError as error:
        raise ConfigError(f"start_from: its weights do not fit this model ({error})") from error
    ratio = model.config.backbone.image_size / other.config.backbone.image_size
    for task in set(model.tasks) - set(new):
        model.head(task).resize_crops(ratio)
    if left := [name for name in missing if not name.startswith((*skipped, *_silent(model)))]:
        raise ConfigError(f"start_from: its weights lack {', '.join(sorted(left)[:5])}")
    return new


def take_backbone(backbone: Backbone, weights: Mapping[str, Tensor]) -> None:
    """Take over a backbone's weights; as in ``take_weights``, layers that start as no change may be missing.

    Args:
        backbone: gets the weights.
        weights: by their names in it.

    Raises:
        ConfigError: if they are those of another backbone.
    """
    ours = backbone.state_dict()
    if unexpected := weights.keys() - ours.keys():
        raise ConfigError(f"this model's backbone has no {', '.join(sorted(unexpected)[:5])}")
    if missing := [name for name in ours if name not in weights and not name.startswith(_silent(backbone))]:
        raise ConfigError(f"its weights lack {', '.join(sorted(missing)[:5])}")
    try:
        backbone.load_state_dict(ours | dict(weights))
    except RuntimeError as error:
        raise ConfigError(f"its weights do not fit this model's backbone ({error})") from error


def _silent(model: nn.Module) -> tuple[str, ...]:
    """What the names of the weights begin with that change nothing before they have learned something."""
    return tuple(
        f"{name}." for name, module in model.named_modules() if getattr(module, "starts_silent", False)
    )


def _at_grid(weights: dict[str, Tensor], grid: int, before: int) -> dict[str, Tensor]:
    """Weights with the learned positions of another grid of tokens, as FixRes (Touvron et al., NeurIPS 2019)
    takes them to a higher resolution."""
    if grid == before:
        return weights
    resampled = {
        name: resample_abs_pos_embed(
            each, [grid, grid], [before, before], num_prefix_tokens=each.shape[1] - before**2
        )
        for name, each in weights.items()
        if name in _POSITIONS
    }
    return weights | resampled


def subset(model: FaceModel, tasks: Sequence[str]) -> FaceModel:
    """A smaller model with some of a model's tasks and its weights, in evaluation mode.

    The other tasks' heads and queries are gone, and what only they used. Queries see each other, so the
    answers are not those of the whole model (docs/export.md).

    Args:
        model: is left as it is.
        tasks: some of its tasks, in the order that the new model is to have.
    """
    config = replace(
        model.config,
        heads={task: model.config.heads[task] for task in tasks},
        backbone=replace(model.config.backbone, pretrained=False),  # the weights are right here
    )
    part = FaceModel(config)
    take_weights(part, model)
    return part.eval()


def _same_head(task: str, model: FaceModel, other: FaceModel) -> bool:
    if task not in other.tasks:
        return False
    ours, theirs = model.head(task), other.head(task)
    return (
        ours.num_queries == theirs.num_queries
        and _shapes(ours) == _shapes(theirs)
        and _meaning(ours) == _meaning(theirs)
    )


def _meaning(head: Head) -> tuple[object, ...]:
    """What the numbers that a head gives stand for: as many classes may be others, or in another order."""
    return head.info.kind, head.info.labels, head.info.unit, head.info.bins


def _shapes(module: nn.Module) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in module.state_dict().items()}


def query_rows(model: FaceModel) -> dict[str, slice]:
    """Where each task's queries stand among those of all tasks."""
    rows, start = {}, 0
    for task in model.tasks:
        end = start + model.head(task).num_queries
        rows[task] = slice(start, end)
        start = end
    return rows
