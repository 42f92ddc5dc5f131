"""Files are written completely or not at all, and nothing but a file is ever replaced."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Thread

import pytest

from faceperc._files import check_target, write_file
from faceperc.errors import UsageError

posix = pytest.mark.skipif(os.name != "posix", reason="of POSIX file systems")


def test_write__replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    for data in (b"first", b"second"):
        assert write_file(path, data) == path and path.read_bytes() == data
    assert [each.name for each in tmp_path.iterdir()] == ["a.json"]


@posix
def test_write__a_device_stays_a_device(tmp_path: Path) -> None:
    link = tmp_path / "null"
    link.symlink_to("/dev/null")
    write_file(link, b"nothing")
    assert Path("/dev/null").is_char_device() and link.is_symlink()


@posix
def test_write__into_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    write_file(pipe, b"through")
    reader.join(timeout=10)
    assert read == [b"through"] and pipe.is_fifo()


@posix
def test_write__a_link_stays_and_its_file_is_written(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    target, link = tmp_path / "deep" / "a.json", tmp_path / "link.json"
    target.write_bytes(b"old")
    link.symlink_to(target)
    write_file(link, b"new")
    assert link.is_symlink() and target.read_bytes() == b"new"


@posix
def test_write__mode_is_that_of_any_new_file_or_of_the_old_one(tmp_path: Path) -> None:
    plain, made = tmp_path / "plain", tmp_path / "made"
    plain.touch()
    write_file(made, b"")
    assert made.stat().st_mode == plain.stat().st_mode
    made.chmod(0o600)
    write_file(made, b"private")
    assert made.stat().st_mode & 0o777 == 0o600


def test_write__from_many_threads(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    texts = [bytes([65 + number]) * 100_000 for number in range(16)]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda text: write_file(path, text), texts * 4))
    assert path.read_bytes() in texts and len(list(tmp_path.iterdir())) == 1


def test_write__the_longest_name(tmp_path: Path) -> None:
    path = tmp_path / ("a" * 251 + ".txt")
    assert write_file(path, b"text").read_bytes() == b"text"


@pytest.mark.parametrize("name", [".", "", "missing/a.json", "a\0.json", "b" * 300])
def test_write__refusals_name_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="cannot be written") as caught:
        write_file(name, b"text")
    assert str(caught.value).startswith(name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", [".", "missing/a.json", "a\0.json"])
def test_check__refuses_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="cannot be written"):
        check_target(name)
    check_target("a.json")
    check_target(os.devnull)
    assert list(tmp_path.iterdir()) == []
