"""`faceperc card FOLDER`: write the model card of a model folder."""

from __future__ import annotations

from pathlib import Path

from faceperc._files import write_file
from faceperc._parser import CommandParser
from faceperc.card.facts import gather
from faceperc.card.render import page, render
from faceperc.model_folder import CARD
from faceperc.provenance import command_line


def main(args: list[str]) -> int:
    """Write a card; `--help` lists the options."""
    parser = CommandParser(
        prog="faceperc card",
        description="Write the model card from what is in a model folder: training.json, evaluation.json, "
        "config.json, the ONNX files, and notes.md for what no program can know.",
        epilog="Example: faceperc card runs/release",
    )
    parser.add_argument("folder", type=Path, help="the model folder")
    parser.add_argument(
        "-o", "--out", type=Path, help="the file to write; README.md in the folder by default"
    )
    parser.add_argument(
        "--page", action="store_true", help="write a page for the source tree instead: no front matter, but "
        "links to its documents",
    )  # fmt: skip
    parser.add_argument(
        "--other", type=Path, action="append", default=[], metavar="FOLDER",
        help="of a page: also list this model, by the card in its folder; may be repeated",
    )  # fmt: skip
    options = parser.parse_args(args)
    facts = gather(options.folder)
    if options.page:
        others = [(gather(folder), (folder / CARD).as_posix()) for folder in options.other]
        text = page(facts, others, command_line("card", args))
    else:
        text = render(facts)
    print(write_file(options.out or options.folder / CARD, text.encode()))
    return 0
