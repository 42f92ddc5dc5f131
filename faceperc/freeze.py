"""Fine-tuning a part of a model: the rest keeps its weights and stays in evaluation mode.

In evaluation mode batch norms keep their running statistics and no path is dropped: a frozen layer answers in
training as it will in use.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from torch import nn

from faceperc.errors import ConfigError
from faceperc.model import FaceModel

#: ``backbone``: decoder and heads learn. ``all_but_new``: heads and queries of new tasks learn.
Freeze = Literal["backbone", "all_but_new"]


def freeze(model: FaceModel, what: Freeze | None, new: Collection[str] = ()) -> tuple[nn.Module, ...]:
    """Stop the gradients of a part of a model; those of the rest flow again.

    With ``all_but_new`` the queries of all tasks, one parameter, keep their gradient: the caller must drop
    that of the old tasks' (``faceperc.transfer.query_rows``).

    Args:
        model: is changed in place.
        what: the part; None freezes nothing.
        new: the tasks that start afresh.

    Returns:
        The frozen modules, which the caller keeps in evaluation mode.

    Raises:
        ConfigError: if everything would be frozen, as no task is new.
    """
    model.requires_grad_(True)
    if what is None:
        return ()
    frozen: list[nn.Module] = [model.backbone]
    if what == "all_but_new":
        if not new:
            raise ConfigError(
                "freeze: all_but_new freezes everything, for no task is new; freeze the backbone"
            )
        old = [model.head(task) for task in model.tasks if task not in new]
        frozen += [model.decoder, *old]
        if model.pixels is not None and any(head.is_dense for head in old):  # else they are new as well
            frozen.append(model.pixels)
    for part in frozen:
        part.requires_grad_(False).eval()
    if what == "all_but_new":
        model.decoder.identity.requires_grad_(True)
    return tuple(frozen)
