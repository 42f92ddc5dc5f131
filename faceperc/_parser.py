"""The parser of the commands that read their own arguments, and what the help of a recipe's commands says."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from typing import Any, NoReturn

from faceperc._names import nearest, unknown_name


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
