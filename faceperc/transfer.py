"""Starting a model from another one's weights, which may have fewer, more, or other heads."""

from __future__ import annotations

import torch

from faceperc.errors import ConfigError
from faceperc.model import FaceModel

_IDENTITY = "decoder.identity"  # (1, Q, D): the queries of all tasks, one after the other


def take_weights(model: FaceModel, other: FaceModel) -> tuple[str, ...]:
    """Take over all that fits: backbone, decoder, and the heads and queries of tasks whose shapes agree.

    Args:
        model: gets the weights.
        other: gives them.

    Returns:
        The tasks of ``model`` that keep the weights they had, since ``other`` lacks them or has others, e.g.
        of another number of classes.

    Raises:
        ConfigError: if the backbones or decoders differ.
    """
    theirs, ours = other.state_dict(), model.state_dict()
    new = tuple(task for task in model.tasks if not _same_head(task, model, other))
    skipped = tuple(f"heads.{task}." for task in new)
    weights = {
        name: theirs[name] for name in ours if name in theirs and not name.startswith((_IDENTITY, *skipped))
    }
    identity = ours[_IDENTITY].clone()
    here, there = _rows(model), _rows(other)
    try:
        for task in set(model.tasks) - set(new):
            identity[:, here[task]] = theirs[_IDENTITY][:, there[task]]
        missing, _ = model.load_state_dict({**weights, _IDENTITY: identity}, strict=False)
    except RuntimeError as error:
        raise ConfigError(f"start_from: its weights do not fit this model ({error})") from error
    if left := [name for name in missing if not name.startswith(skipped)]:
        raise ConfigError(f"start_from: its weights lack {', '.join(sorted(left)[:5])}")
    return new


def _same_head(task: str, model: FaceModel, other: FaceModel) -> bool:
    if task not in other.tasks:
        return False
    ours, theirs = model.head(task), other.head(task)
    return ours.num_queries == theirs.num_queries and _shapes(ours) == _shapes(theirs)


def _shapes(module: torch.nn.Module) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in module.state_dict().items()}


def _rows(model: FaceModel) -> dict[str, slice]:
    """Where each task's queries stand."""
    rows, start = {}, 0
    for task in model.tasks:
        end = start + model.head(task).num_queries
        rows[task] = slice(start, end)
        start = end
    return rows
