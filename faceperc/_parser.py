"""The parser of the commands that read their own arguments, and what the help of a recipe's commands says."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any, NoReturn

from faceperc._names import nearest, unknown_name
from faceperc.errors import UsageError


class CommandParser(argparse.ArgumentParser):
    """argparse's, with the nearest name beside one that is unknown, and where to read on."""

    def error(self, message: str) -> NoReturn:
        """Print what is wrong with the arguments, and leave with the code 2."""
        known = [option for parser in _parsers(self) for option in parser._option_string_actions]
        unknown = re.match(r"unrecognized arguments: (-[^\s=]+)", message)
        near = nearest(unknown[1], known) if unknown else None
        command = self.prog.partition(" [")[0]
        hint = f": did you mean {near}?" if near else ""
        self.exit(2, f"{self.prog}: {message}{hint}; see '{command} --help'\n")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            choices = map(str, action.choices)
            raise argparse.ArgumentError(action, unknown_name("choice", value, choices))


def add_import_option(parser: argparse.ArgumentParser) -> None:
    """``--import MODULE``: see ``import_heads``."""
    parser.add_argument("--import", dest="modules", action="append", default=[], help="module with a head")


def import_heads(modules: Sequence[str]) -> None:
    """Import the modules with heads of the user's own, by which a model's configuration finds them.

    Raises:
        UsageError: naming the module that cannot be imported.
    """
    for module in modules:
        try:
            import_module(module)
        except ImportError as error:
            raise UsageError(
                f"--import {module}: cannot be imported ({error}); is its folder in PYTHONPATH?"
            ) from error


def _parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """A parser and those of its subcommands."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for each in action.choices.values():
                yield from _parsers(each)


def print_recipe_help(command: str, about: str, example: str) -> None:
    """The help of a command that takes recipes: what people need; the recipe itself has hundreds of options.

    Args:
        command: its name.
        about: what it does.
        example: of its use.
    """
    parser = CommandParser(
        prog=f"faceperc {command}",
        usage=f"faceperc {command} CONFIG [CONFIG ...] [--KEY VALUE ...]",
        description=about,
        epilog=f"Example: {example}",
        add_help=False,
    )
    parser.add_argument(
        "CONFIG", help="a recipe: a YAML file, or one of ours by its name in configs/; later ones override"
    )
    parser.add_argument("--KEY", metavar="VALUE", help="overrides a value, e.g. --trainer.max_epochs 3")
    parser.add_argument(
        "--ckpt_path", metavar="FILE", help="go on with an interrupted training: its checkpoint, or last"
    )
    parser.add_argument("--print_config", action="store_true", help="print the whole configuration, and end")
    parser.add_argument(
        "--help", action="store_true", help="this; after a CONFIG, every key that there is (long)"
    )
    parser.print_help()
