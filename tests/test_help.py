"""The help of every command: an example that works, and the nearest name beside an unknown one."""

from __future__ import annotations

import argparse
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from faceperc._parser import CommandParser
from faceperc.cli import PURPOSES, TRAINING, app

COMMANDS: dict[str, Any] = get_command(app).commands  # type: ignore[attr-defined]
RECIPES = ("train", "pretrain", "train-detector")  # Lightning reads their options
SUBCOMMANDS = [("data", each) for each in ("check", "prepare", "label", "agree", "render")]
SUBCOMMANDS += [("bench", each) for each in ("predict", "train", "video")]
ALL = [(name,) for name in COMMANDS] + SUBCOMMANDS


class Parsed(Exception):
    """The arguments were understood."""


@pytest.fixture
def only_parse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands with a parser of their own stop when they have read their arguments."""
    whole, known = argparse.ArgumentParser.parse_args, argparse.ArgumentParser.parse_known_args

    def parse_args(self: Any, *given: Any, **named: Any) -> None:
        whole(self, *given, **named)
        raise Parsed

    def parse_known_args(self: Any, *given: Any, **named: Any) -> Any:
        result = known(self, *given, **named)
        if self.prog == "faceperc bench train":  # the others are a recipe's
            raise Parsed
        return result

    monkeypatch.setattr(CommandParser, "parse_args", parse_args)
    monkeypatch.setattr(CommandParser, "parse_known_args", parse_known_args)


def help_of(words: tuple[str, ...]) -> str:
    result = CliRunner(env={"COLUMNS": "500"}).invoke(app, [*words, "--help"])
    assert result.exit_code == 0, result.output
    return result.stdout


def examples(words: tuple[str, ...]) -> list[list[str]]:
    """The command lines after "Example:", without what sets a variable before them."""
    text = help_of(words)
    match = re.search(r"Example: (.+)", text)
    assert match is not None, text
    lines = [line.strip() for line in match[1].split(";")]
    return [shlex.split(line[line.index("faceperc ") :])[1:] for line in lines]


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_every_command_shows_an_example_that_it_understands(words: tuple[str, ...], only_parse: None) -> None:
    for arguments in examples(words):
        name, *rest = arguments
        assert name == words[0]
        if name in RECIPES:
            assert Path(__file__).parents[1].joinpath(rest[0]).is_file() and rest[1].startswith("--")
        elif name in TRAINING:
            result = CliRunner().invoke(app, arguments)
            assert isinstance(result.exception, Parsed), result.output
        else:
            COMMANDS[name].make_context(name, rest)  # raises where an option is unknown


def test_an_example_with_a_wrong_option_would_be_noticed(only_parse: None) -> None:
    result = CliRunner().invoke(app, ["eval", "--htlm", "page.html"])
    assert result.exit_code == 2 and not isinstance(result.exception, Parsed)


def test_root__lists_every_command_by_purpose() -> None:
    text = help_of(())
    places = [text.index(f" {purpose} ") for purpose in PURPOSES]
    assert places == sorted(places) and "Example: faceperc predict --sample" in text
    for name, command in COMMANDS.items():
        assert command.rich_help_panel in PURPOSES, name
        assert f" {name} " in text


def test_predict__options_by_what_they_are_about() -> None:
    text = help_of(("predict",))
    for panel in ("Output", "What is looked for", "Model and speed"):
        assert f" {panel} " in text
    assert "ORG/NAME[@REVISION]" in text  # not taken for markup


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["predicct"], "Did you mean 'predict'?"),
        (["predict", "--taks", "pose"], "--tasks"),
        (["eval", "--bozes", "label"], "did you mean --boxes?"),
        (["eval", "--boxes", "labl"], "unknown choice 'labl': did you mean 'label'?"),
        (["data", "chekc"], "did you mean 'check'?"),
        (["data", "check", "x", "--as", "wlfw"], "did you mean 'wflw'?"),
        (["data", "check", "x", "--as", "wflw", "--shet", "a.png"], "did you mean --sheet?"),
        (["bench", "--rouns", "3"], "did you mean --rounds?; see 'faceperc bench --help'"),
        (["train", "configs/train/nan.yaml"], "did you mean configs/train/nano.yaml?"),
        (["train"], "give the configuration files first"),
        (["train-detector"], "give the configuration files first"),
        (["predict", "--sample", "--model", "faceperc-nan"], "did you mean 'faceperc-nano'?"),
        (["predict", "--sample", "--provider", "cuad"], "did you mean 'cuda'?"),
        (["predict", "--sample", "--tasks", "pos"], "did you mean 'pose'?"),
        (["predict", "phto.png"], "did you mean photo.png?"),
        (["predict", "none/photo.png"], "there is no folder none"),
        (["predict", "--sample", "--model", "tny.onnx"], "did you mean tiny.onnx?"),
        (["info", "tny.onnx"], "did you mean tiny.onnx?"),
        (["video", "clp.mp4", "--json", "-"], "did you mean clip.mp4?"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_unknown_names__suggest_the_nearest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, photo: Path, arguments: list[str], hint: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("tiny.onnx", "clip.mp4"):
        (tmp_path / name).touch()
    result = CliRunner(env={"COLUMNS": "300"}).invoke(app, arguments)
    assert result.exit_code in (1, 2) and hint in result.stderr
    assert isinstance(result.exception, SystemExit)  # no traceback


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (["predict", ""], "give the path of an image file"),
        (["predict", "C:\\photos\\a.jpg"], "separated by /"),
        (["predict", "https://example.org/a.jpg"], "fetch it first, and pass the file"),
        (["predict", "photo.png", "--model", "note.txt"], "or a name from 'faceperc models'"),
        (["predict", "photo.png", "--model", "."], "name a model folder, an ONNX file, or a name"),
        (["predict", "photo.png", "--detector", "faceperc-nano"], "not a detector; see 'faceperc models'"),
        (["predict", "photo.png", "--model", "detector-nano"], "not a face model; see 'faceperc models'"),
        (["models", "--json", "x"], "unexpected extra argument"),
        (["video", "note.txt", "--json", "-"], "whether it plays elsewhere"),
        (["push", "none", "org/name"], "no such folder; name the one that 'faceperc release' wrote"),
        (["push", ".", "org/name"], "'faceperc release' writes one"),
        (["pull", "faceperc-nano", "--out", "."], "name a new folder"),
        (["verify", "--model", "a", "--reference", "b"], "see 'faceperc verify --help'"),
        (["report", "photo.png", "-o", "a.txt"], "name it .html"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_errors__say_what_to_do_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, photo: Path, arguments: list[str], advice: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "note.txt").write_text("neither a picture nor a model")
    result = CliRunner(env={"COLUMNS": "300"}).invoke(app, arguments)
    assert result.exit_code in (1, 2) and advice in result.stderr
    assert isinstance(result.exception, SystemExit)  # no traceback


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's")
def test_errors__a_full_disk(photo: Path) -> None:
    result = CliRunner().invoke(app, ["predict", str(photo), "--json", "/dev/full"])
    assert result.exit_code == 2 and "No space left on device; make room" in result.stderr
