"""What `train`, `pretrain` and `train-detector` share: recipes, and Lightning's command line."""

from __future__ import annotations

from itertools import takewhile
from pathlib import Path

from lightning.pytorch.cli import LightningCLI

from faceperc._find_config import find_config
from faceperc._parser import print_recipe_help
from faceperc.errors import UsageError


class RecipeCommand(LightningCLI):
    """Lightning's, which tells before the model is built that there is nothing to go on from."""

    @property
    def ckpt_path(self) -> str | None:
        """The checkpoint that the run is to go on from."""
        path = self.config[self.config["subcommand"]].get("ckpt_path")
        return None if path is None else str(path)

    def before_instantiate_classes(self) -> None:
        """Raises UsageError if the checkpoint is neither there, nor a keyword or address of Lightning's."""
        path = self.ckpt_path or "last"
        is_name = path in ("last", "best", "hpc") or path.startswith("registry") or "://" in path
        if not is_name and not Path(path).exists():  # a sharded one is a folder
            raise UsageError(
                f"--ckpt_path {path}: there is no such checkpoint; see the run's folder checkpoints"
            )
        if path.endswith(".safetensors"):
            raise UsageError(
                f"--ckpt_path {path}: are weights, not the state of a run; begin with them by "
                "--model.start_from"
            )


def fit_words(name: str, args: list[str], about: str, example: str) -> list[str]:
    """What Lightning is given for a command: recipes first, each laid over those before it, then its options.

    Args:
        name: of the command.
        args: the command's arguments.
        about: what it does, for its help.
        example: a recipe of it.

    Returns:
        The words; none where help was asked for and printed.

    Raises:
        UsageError: if a recipe does not exist or none is given.
    """
    recipes = [find_config(path) for path in takewhile(lambda arg: not arg.startswith("-"), args)]
    if not recipes and {"--help", "-h"} & {*args}:
        print_recipe_help(name, about, f"faceperc {name} {example} --trainer.max_epochs 3")
        return []
    if not recipes:
        raise UsageError(f"give the configuration files first: faceperc {name} {example} [--key value]")
    files = [word for path in recipes for word in ("--config", str(path))]
    # a checkpoint is only tensors and numbers: never unpickle anything else
    return ["fit", *files, "--weights_only", "true", *args[len(recipes) :]]
