"""Models on the Hub: the real client against a Hub on this computer."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from conftest import FakeDetector
from hub_server import TOKEN, Hub, Repo, running_hub
from numpy.typing import NDArray
from tiny_onnx import FACE_TASKS, build_detector, build_face_model

from faceperc import Predictor, zoo
from faceperc.errors import FacepercError, ModelError, UsageError
from faceperc.hub import Place, fetch
from faceperc.hub_errors import explain
from faceperc.publish import push
from faceperc.pull import copy_folder, pull
from faceperc.zoo import ModelFile, ZooModel

pytest.importorskip("huggingface_hub")

ROOT = Path(__file__).parents[1]
TINY = "me/tiny"
CARD = b"---\nlicense: mit\n---\n# tiny\n"
CONFIG = b'{"heads": {"landmarks": {}}}'


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A Hub of our own; the client in this process, with an empty cache and no login, uses it."""
    from huggingface_hub import constants

    with running_hub() as hub:
        template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
        settings = {
            "ENDPOINT": hub.url,
            "HUGGINGFACE_CO_URL_TEMPLATE": template,
            "HF_HUB_CACHE": str(tmp_path / "hf" / "hub"),
            "HF_TOKEN_PATH": str(tmp_path / "hf" / "token"),
            "HF_HUB_OFFLINE": False,
            "HF_HUB_DISABLE_XET": True,
        }
        for name, value in settings.items():
            monkeypatch.setattr(constants, name, value)
        monkeypatch.setattr(constants, "AGENT_HARNESSES_PATH", str(tmp_path / "agents"), raising=False)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield hub


@pytest.fixture(scope="session")
def onnx(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return build_face_model(tmp_path_factory.mktemp("hub") / "model.onnx").read_bytes()


@pytest.fixture(scope="session")
def other_onnx(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("hub") / "other.onnx"
    return build_face_model(path, {"pose": FACE_TASKS["pose"]}).read_bytes()


@pytest.fixture
def tiny(hub: Hub, onnx: bytes) -> Repo:
    """A repository with a model, tagged v1, and what must never be fetched."""
    repo = hub.repo(TINY)
    files = {"model.onnx": onnx, "config.json": CONFIG, "README.md": CARD, "last.ckpt": b"pickled"}
    repo.tag("v1", repo.commit(files))
    return repo


@pytest.fixture
def no_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client waits between its retries; whoever waits fails the test."""

    def refuse(seconds: float) -> None:
        raise AssertionError(f"the client waits {seconds} s")

    monkeypatch.setattr(time, "sleep", refuse)


def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def log_in(monkeypatch: pytest.MonkeyPatch, token: str = TOKEN) -> None:
    monkeypatch.setenv("HF_TOKEN", token)


def spoil(path: Path) -> None:
    """Change a byte of a file in the cache, through its link."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.resolve().write_bytes(data)


def row(**hashes: str) -> ZooModel:
    """A row of the zoo whose files are in TINY at v1."""
    files = {name.replace("__", "."): ModelFile(digest, 1) for name, digest in hashes.items()}
    return ZooModel("zoo-tiny", "v1", "face", "", "", 1, 32, files=files, repo=TINY, revision="v1")


def set_zoo(monkeypatch: pytest.MonkeyPatch, model: ZooModel) -> None:
    rows = zoo.registry()
    monkeypatch.setattr(zoo, "registry", lambda: (*rows, model))


# fetch: what is right


@pytest.mark.parametrize("name", [TINY, f"{TINY}@v1", f"{TINY}/model.onnx@v1"])
def test_predictor__takes_a_place_on_the_hub(
    hub: Hub, tiny: Repo, detector: FakeDetector, pixels: NDArray[np.uint8], name: str
) -> None:
    face = Predictor(name, detector=detector)(pixels, boxes=[[10, 20, 30, 40]])[0]
    assert float(face["redness"]) == pytest.approx(100, abs=1)
    assert hub.downloads() == ["model.onnx"]


def test_fetch__the_first_file_that_is_there(hub: Hub, onnx: bytes) -> None:
    hub.repo(TINY).commit({"model_int8.onnx": onnx})
    assert zoo.find_model(TINY).name == "model_int8.onnx"


def test_fetch__a_pinned_commit_is_not_asked_for_twice(hub: Hub, tiny: Repo, onnx: bytes) -> None:
    place = Place(TINY, tiny.refs["v1"])
    path = fetch(place, "model.onnx")
    asked = len(hub.requests)
    assert fetch(place, "model.onnx") == path and path.read_bytes() == onnx
    assert len(hub.requests) == asked


def test_fetch__a_damaged_note_in_the_cache(hub: Hub, tiny: Repo, onnx: bytes) -> None:
    path = zoo.find_model(TINY)
    for note in (path.parents[2] / "refs").iterdir():
        note.write_bytes(b"\xff\xfe")
    with pytest.raises(
        ModelError, match=r"notes of it in .*models--me--tiny are damaged; remove that folder"
    ):
        zoo.find_model(TINY)
    shutil.rmtree(path.parents[2])
    assert zoo.find_model(TINY).read_bytes() == onnx


def test_fetch__a_branch_that_moved(hub: Hub, tiny: Repo, onnx: bytes, other_onnx: bytes) -> None:
    assert fetch(Place(TINY), "model.onnx").read_bytes() == onnx
    tiny.commit({"model.onnx": other_onnx})
    assert fetch(Place(TINY), "model.onnx").read_bytes() == other_onnx
    assert fetch(Place(TINY, "v1"), "model.onnx").read_bytes() == onnx


def test_fetch__a_private_model(hub: Hub, tiny: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny.private = True
    with pytest.raises(ModelError, match=r"me/tiny: .* private: then log in with 'hf auth login'"):
        fetch(Place(TINY), "model.onnx")
    log_in(monkeypatch)
    assert fetch(Place(TINY), "model.onnx").is_file()


# fetch: broken transfers and wrong bytes


def test_fetch__resumes_where_the_connection_broke(
    hub: Hub, tiny: Repo, onnx: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 500)  # what it keeps of a broken transfer
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    hub.cut["model.onnx"] = 2200
    assert fetch(Place(TINY), "model.onnx").read_bytes() == onnx
    ranges = [each.range for each in hub.requests if each.method == "GET"]
    assert ranges == [None, "bytes=2000-"]


def test_fetch__stopped_in_mid_download(
    hub: Hub, tiny: Repo, onnx: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(seconds: float) -> None:
        raise KeyboardInterrupt

    hub.cut["model.onnx"] = 2200
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(time, "sleep", stop)
        fetch(Place(TINY), "model.onnx")
    assert hub.downloads() == ["model.onnx"]
    with monkeypatch.context() as patch, pytest.raises(ModelError, match=r"the cache has no model\.onnx"):
        offline(patch)  # no part of it is taken for the whole
        fetch(Place(TINY), "model.onnx")
    assert fetch(Place(TINY), "model.onnx").read_bytes() == onnx


def test_fetch__a_transfer_that_ends_too_early_every_time(
    hub: Hub, tiny: Repo, onnx: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: hub.cut.update({"model.onnx": 1000}))
    hub.cut["model.onnx"] = 1000
    with pytest.raises(ModelError, match="RemoteProtocolError"):
        fetch(Place(TINY), "model.onnx")
    hub.cut.clear()
    assert fetch(Place(TINY), "model.onnx").read_bytes() == onnx


@pytest.mark.parametrize("name", ["model.onnx", "config.json"])  # in LFS; in git
def test_fetch__wrong_bytes_of_the_right_length(hub: Hub, tiny: Repo, name: str) -> None:
    readme = fetch(Place(TINY), "README.md")
    right = tiny.commits[tiny.refs["v1"]][name]
    hub.served[name] = bytes(len(right))
    with pytest.raises(
        ModelError, match=rf"{TINY}: {name} is damaged: its .* is \w{{40,}}, the Hub's \w{{40,}}"
    ):
        fetch(Place(TINY), name)
    hub.served.clear()
    assert fetch(Place(TINY), name).read_bytes() == right
    assert fetch(Place(TINY), "README.md") == readme and readme.read_bytes() == CARD
    assert hub.downloads() == ["README.md", name, name]


@pytest.mark.parametrize("name", ["model.onnx", "config.json"])
@pytest.mark.parametrize("pinned", [True, False])
def test_fetch__a_file_that_was_changed_in_the_cache(hub: Hub, tiny: Repo, name: str, pinned: bool) -> None:
    place = Place(TINY, tiny.refs["v1"] if pinned else "v1")
    path = fetch(place, name)
    right = path.read_bytes()
    spoil(path)
    with pytest.raises(ModelError, match="removed from the cache; try again"):
        fetch(place, name)
    assert fetch(place, name).read_bytes() == right


def test_fetch__a_cache_without_links(
    hub: Hub, tiny: Repo, onnx: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_SYMLINKS", True)  # as on Windows
    path = fetch(Place(TINY), "model.onnx")
    assert not path.is_symlink()
    path.write_bytes(bytes(len(onnx)))
    with pytest.raises(ModelError, match="is damaged"):
        fetch(Place(TINY), "model.onnx")
    assert fetch(Place(TINY), "model.onnx").read_bytes() == onnx


def test_fetch__a_released_file_whose_tag_moved(hub: Hub, tiny: Repo, onnx: bytes, other_onnx: bytes) -> None:
    released = sha256(onnx).hexdigest()
    path = fetch(Place(TINY, "v1"), "model.onnx", released)
    tiny.tag("v1", tiny.commit({"model.onnx": other_onnx, "config.json": b"{}"}))
    asked = len(hub.requests)
    assert fetch(Place(TINY, "v1"), "model.onnx", released) == path  # the cache has it
    assert len(hub.requests) == asked
    shutil.rmtree(path.parents[2])
    found = sha256(other_onnx).hexdigest()
    with pytest.raises(ModelError, match=f"{TINY}@v1: .*is {found}, expected {released}.*update faceperc"):
        fetch(Place(TINY, "v1"), "model.onnx", released)
    assert hub.downloads() == ["model.onnx"]  # the wrong one was not even downloaded
    with pytest.raises(ModelError, match=r"config\.json is not the released file"):
        fetch(Place(TINY, "v1"), "config.json", released)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "last.ckpt", "../model.onnx", "a/model.onnx"])
def test_fetch__only_kinds_that_carry_no_code(hub: Hub, tiny: Repo, name: str) -> None:
    with pytest.raises(ModelError, match="is not fetched"):
        fetch(Place(TINY), name)
    assert not hub.requests


def test_fetch__a_file_that_is_too_large(hub: Hub, tiny: Repo) -> None:
    hub.sizes["model.onnx"] = 2_000_000_001
    with pytest.raises(ModelError, match=r"the size of model.onnx is 2.0 GB; at most 2 GB"):
        fetch(Place(TINY), "model.onnx")
    assert not hub.downloads()


# fetch: what the Hub refuses


def gate(hub: Hub, patch: pytest.MonkeyPatch) -> None:
    hub.repo(TINY).gated = True


def gate_with_login(hub: Hub, patch: pytest.MonkeyPatch) -> None:
    gate(hub, patch)
    log_in(patch)


REFUSALS: dict[str, tuple[Callable[[Hub, pytest.MonkeyPatch], object], str, str]] = {
    "gated, no login": (gate, TINY, r"gated: accept its terms at http.*/me/tiny, then log in.*HF_TOKEN"),
    "gated, not accepted": (gate_with_login, TINY, r"gated: accept its terms"),
    "a wrong token": (lambda hub, patch: log_in(patch, "no"), TINY, r"\(401\): Invalid credentials.*hf auth"),
    "no such repository": (lambda hub, patch: None, "me/tine", r"did you mean 'me/tiny'\?"),
    "no such organisation": (lambda hub, patch: None, "you/tiny", r"no such repository, or it is private"),
    "the zoo's own": (
        lambda hub, patch: None,
        "faceperc/detector-nano",
        r"may not be published yet; a checkout.*faceperc/models/detector-nano$",
    ),
    "a larger one of the zoo's": (
        lambda hub, patch: None,
        "faceperc/detector-small",
        r"may not be published yet.*detector-small; or use 'detector-nano', which is in the package",
    ),
    "no such revision": (lambda hub, patch: None, f"{TINY}@v2", r"no revision 'v2'; did you mean 'v1'\?"),
    "no such file": (
        lambda hub, patch: None,
        f"{TINY}/big.onnx",
        r"has no big.onnx; it has .*config.json",
    ),
    "no name of a repository": (lambda hub, patch: None, "me/ti--ny", r"is no name of a repository"),
    "rate limit": (lambda hub, patch: setattr(hub, "status", 429), TINY, r"cannot serve now \(429\)"),
    "the Hub is broken": (lambda hub, patch: setattr(hub, "status", 503), TINY, r"cannot serve now \(503\)"),
    "no Hub": (
        lambda hub, patch: setattr(hub, "status", 200),
        TINY,
        r"not answer as the Hub.*HF_ENDPOINT",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_fetch__refusals_say_what_to_do(
    hub: Hub, tiny: Repo, no_retries: None, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    prepare, name, message = REFUSALS[case]
    prepare(hub, monkeypatch)
    with pytest.raises(ModelError, match=message) as caught:
        zoo.find_model(name)
    assert str(caught.value).startswith(name)
    assert not hub.downloads()


def test_fetch__no_room_on_the_disc(hub: Hub, tiny: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("huggingface_hub.file_download.http_get", fail)
    with pytest.raises(ModelError, match=r"no room is left in .*hub; make some, or set HF_HOME"):
        fetch(Place(TINY), "model.onnx")


def test_fetch__no_client(hub: Hub, tiny: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ModelError, match=r'pip install "faceperc\[hub\]"; or use .faceperc-nano.'):
        fetch(Place(TINY), "model.onnx")
    with pytest.raises(ModelError, match=r'pip install "faceperc\[hub\]"$'):  # the package has no weights
        fetch(Place(TINY), "model.safetensors")
    set_zoo(monkeypatch, row(model__onnx="0" * 64))
    with pytest.raises(
        ModelError, match=r'"faceperc\[hub\]"; a checkout .* has it in faceperc/models/zoo-tiny; '
    ):
        zoo.find_model("zoo-tiny")


def test_fetch__a_client_that_is_too_old(hub: Hub, tiny: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.__version__", "0.36.0")
    with pytest.raises(ModelError, match=r"1\.0 or later, not 0\.36\.0: pip install"):
        fetch(Place(TINY), "model.onnx")


def test_fetch__a_path_that_was_mistyped(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    for name in ("runs/nano", "run/nano/model.onnx"):
        with pytest.raises(
            ModelError, match=f"^{name}: there is no such file or folder here; the Hub has no"
        ):
            zoo.find_model(name)


def test_messages_tell_no_secrets() -> None:
    said = "403 for url 'https://me:pw@hub.example/a/b?X-Amz-Signature=abc&x=y' with b'Bearer hf_token'"
    text = str(explain(OSError(said), Place(TINY)))
    assert "403 for url 'https://hub.example/a/b' with b'Bearer '" in text


# fetch: without network


@pytest.mark.parametrize("status", [503, None])
def test_fetch__the_hub_is_down(
    hub: Hub, tiny: Repo, no_retries: None, monkeypatch: pytest.MonkeyPatch, status: int | None
) -> None:
    fetch(Place(TINY, "v1"), "model.onnx")
    hub.requests.clear()
    hub.status = status
    if status is None:  # nothing listens there
        dead = "http://127.0.0.1:9"
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", dead)
        template = dead + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
    with pytest.warns(RuntimeWarning, match=r"me/tiny@v1: .*cannot .*Used is the copy of me/tiny@v1"):
        fetch(Place(TINY, "v1"), "model.onnx")
    with pytest.raises(ModelError, match=r"me/tiny@v2: .*cannot .*the cache has me/tiny@v1"):
        fetch(Place(TINY, "v2"), "model.onnx")
    with pytest.raises(ModelError, match=r"me/other: .*cannot .*'faceperc-nano', which is in the package"):
        fetch(Place("me/other"), "model.onnx")
    assert len(hub.requests) == (3 if status else 0)  # one each, no retry


def test_fetch__offline(hub: Hub, tiny: Repo, onnx: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    fetch(Place(TINY, "v1"), "model.onnx")
    hub.requests.clear()
    offline(monkeypatch)
    assert zoo.find_model(f"{TINY}@v1").read_bytes() == onnx
    assert zoo.find_model(f"{TINY}@{tiny.refs['v1']}").read_bytes() == onnx
    with pytest.raises(ModelError, match=r"HF_HUB_OFFLINE is set.*the cache has me/tiny@v1"):
        zoo.find_model(TINY)
    with pytest.raises(ModelError, match=r"HF_HUB_OFFLINE is set.*'faceperc-nano'"):
        zoo.find_model("me/other")
    assert not hub.requests


def test_fetch__a_damaged_copy_is_not_used_offline(
    hub: Hub, tiny: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(fetch(Place(TINY, "v1"), "model.onnx"))
    offline(monkeypatch)
    with pytest.raises(ModelError, match="is damaged"):
        fetch(Place(TINY, "v1"), "model.onnx")


# pull


def test_pull__the_files_of_the_format_of_one_commit(
    hub: Hub, tiny: Repo, onnx: bytes, tmp_path: Path
) -> None:
    folder = pull(f"{TINY}@v1")
    assert {path.name for path in folder.iterdir()} == {"model.onnx", "config.json", "README.md"}
    copy = copy_folder(folder, tmp_path / "copy")
    assert {path.name: path.read_bytes() for path in copy.iterdir()} == {
        "model.onnx": onnx,
        "config.json": CONFIG,
        "README.md": CARD,
    }
    assert not any(path.is_symlink() for path in copy.iterdir())
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    with pytest.raises(UsageError, match="exists already"):
        copy_folder(folder, copy)
    hub.requests.clear()
    assert pull(f"{TINY}@v1") == folder and not hub.downloads()


def test_pull__offline(hub: Hub, tiny: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = pull(f"{TINY}@v1")
    offline(monkeypatch)
    assert pull(f"{TINY}@v1") == folder


def test_pull__a_model_of_the_zoo_has_the_released_files(
    hub: Hub, tiny: Repo, onnx: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashes = {"model__onnx": sha256(onnx).hexdigest(), "config__json": sha256(CONFIG).hexdigest()}
    with monkeypatch.context() as patch:
        set_zoo(patch, row(**hashes))
        folder = pull("zoo-tiny")
        assert folder.name == tiny.refs["v1"] and (folder / "README.md").read_bytes() == CARD
        assert zoo.find_model("zoo-tiny") == folder / "model.onnx"
    with monkeypatch.context() as patch:
        set_zoo(patch, row(**hashes, reference__npz="0" * 64))
        with pytest.raises(ModelError, match=r"has no reference\.npz; it has"):
            pull("zoo-tiny")
    with monkeypatch.context() as patch:
        set_zoo(patch, row(**hashes | {"config__json": "0" * 64}))
        with pytest.raises(ModelError, match=r"config\.json is not the released file"):
            pull("zoo-tiny")
    with monkeypatch.context() as patch:
        set_zoo(patch, row(model__onnx="0" * 64))
        with pytest.raises(ModelError, match=r"model\.onnx is not the released file"):
            pull("zoo-tiny")
    assert pull(TINY) == folder  # the file stays usable under its own name


def test_pull__what_is_here_is_not_fetched(hub: Hub) -> None:
    assert pull("faceperc-nano") == zoo.find_model("faceperc-nano").parent
    assert not hub.requests


def test_pull__a_folder_that_is_here(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path(TINY).mkdir(parents=True)
    with pytest.raises(UsageError, match="me/tiny: is a folder here"):
        pull(TINY)
    assert not hub.requests


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("faceperc-nan", "did you mean 'faceperc-nano'"),
        ("faceperc-nano.v9", "unknown tag 'v9'"),
        ("faceperc-base", "no released files; train it"),
        (f"{TINY}/model.onnx", "names a file"),
        ("me/empty", "has no model.onnx or model_int8.onnx or model.safetensors; it has README.md"),
    ],
)
def test_pull__refusals(hub: Hub, name: str, message: str) -> None:
    hub.repo("me/empty").commit({"README.md": CARD})
    with pytest.raises(FacepercError, match=message):
        pull(name)


# push


@pytest.fixture
def folder(tmp_path: Path, onnx: bytes) -> Path:
    """A model folder with what must never be uploaded."""
    path = tmp_path / "model"
    (path / "checkpoints").mkdir(parents=True)
    for name, data in {"model.onnx": onnx, "README.md": CARD, "last.ckpt": b"x", "todo.md": b"x"}.items():
        (path / name).write_bytes(data)
    (path / "checkpoints" / "model.onnx").write_bytes(b"x")
    return path


def test_push__round_trip(
    hub: Hub, folder: Path, onnx: bytes, other_onnx: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_in(monkeypatch)
    (folder / "training.json").write_text("{}")
    first = push(folder, TINY, private=True, tag="v1", message="The first")
    repo = hub.repo(TINY)
    assert repo.private and repo.refs == {"main": first.revision, "v1": first.revision}
    uploaded = {*repo.commits[first.revision]} - {".gitattributes"}
    assert uploaded == {"model.onnx", "README.md", "training.json"}
    assert zoo.find_model(str(first)).read_bytes() == onnx

    (folder / "model.onnx").write_bytes(other_onnx)
    (folder / "training.json").unlink()
    second = push(folder, TINY, tag="v2")
    assert {*repo.commits[second.revision]} - {".gitattributes"} == {"model.onnx", "README.md"}
    assert zoo.find_model(f"{TINY}@v2").read_bytes() == other_onnx
    assert zoo.find_model(f"{TINY}@v1").read_bytes() == onnx

    hub.requests.clear()
    with pytest.raises(ModelError, match="has a tag v1 already, and tags are not moved"):
        push(folder, TINY, tag="v1")
    assert all(each.method == "GET" for each in hub.requests)

    branched = push(folder, TINY, branch="next")
    assert repo.refs["next"] == branched.revision


def test_push__a_private_model_never_goes_to_a_public_repository(
    hub: Hub, tiny: Repo, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_in(monkeypatch)
    with pytest.raises(ModelError, match="is public already"):
        push(folder, TINY, private=True)
    assert not hub.uploads


@pytest.mark.parametrize(
    ("repo", "token", "message"),
    [
        (TINY, None, r"Invalid username or password.*hf auth login.*token that has the right"),
        ("you/tiny", TOKEN, r"\(403\).*the rights to create a model"),
        (TINY, "no", r"\(401\): Invalid credentials"),
        ("tiny", TOKEN, "give 'org/name'"),
        ("me/tiny@v1", TOKEN, "give 'org/name'"),
    ],
)
def test_push__the_hub_refuses(
    hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch, repo: str, token: str | None, message: str
) -> None:
    if token:
        log_in(monkeypatch, token)
    with pytest.raises(FacepercError, match=message):
        push(folder, repo)
    assert not hub.uploads


def test_push__offline(hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offline(monkeypatch)
    with pytest.raises(ModelError, match="unset it to publish"):
        push(folder, TINY)


def no_card(folder: Path) -> None:
    (folder / "README.md").unlink()


def write(name: str, data: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(data) and None


def other_reference(folder: Path) -> None:
    from faceperc.verify import ReferenceSet

    arrays = {"x": np.zeros(1, np.float32)}
    ReferenceSet(arrays, arrays, ("0" * 64,)).save(folder / "reference.npz")


def weights_alone(folder: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"a": np.zeros(1, np.float32)}, folder / "model.safetensors")


def other_weights(folder: Path) -> None:
    """A release's files of two trainings."""
    from safetensors.numpy import load_file, save_file

    release = zoo.find_model("faceperc-nano").parent
    for name in ("model.onnx", "config.json"):
        (folder / name).write_bytes((release / name).read_bytes())
    arrays = load_file(release / "model.safetensors")
    first = sorted(arrays)[0]
    save_file(arrays | {first: arrays[first] + 1}, folder / "model.safetensors")


def other_precision(folder: Path) -> None:
    build_detector(folder / "model_int8.onnx", [[0, 0, 1, 1]], [0.5])
    text = (folder / "model_int8.onnx").read_bytes().replace(b"0" * 64, b"1" * 64)
    (folder / "model_int8.onnx").write_bytes(text)


BAD_FOLDERS: dict[str, tuple[Callable[[Path], None], str]] = {
    "no card": (no_card, r"README.md: there is no model card; write one"),
    "no front matter": (write("README.md", b"# tiny\n"), "names no license"),
    "no license": (write("README.md", b"---\nlanguage: en\n---\n"), "names no license"),
    "spoilt front matter": (write("README.md", b"---\nlicense: [\n---\n"), "front matter cannot be read"),
    "no model": (lambda folder: (folder / "model.onnx").unlink(), "is no model folder"),
    "spoilt ONNX": (write("model.onnx", b"no model"), "model.onnx: is not a usable ONNX model"),
    "spoilt weights": (write("model.safetensors", b"no weights at all"), "is no safetensors file"),
    "weights alone": (weights_alone, "is of no use without config.json"),
    "spoilt configuration": (write("config.json", b"{"), "config.json: cannot be read"),
    "another configuration": (write("config.json", CONFIG), r"has the tasks age, .*which config.json lacks"),
    "another reference set": (other_reference, "is not the reference set of model.onnx"),
    "other weights": (other_precision, "is of other weights than model.onnx"),
    "other weights to train on": (other_weights, r"model\.onnx: is of other weights than model\.safetensors"),
    "deep configuration": (write("config.json", b"[" * 100_000), "config.json: cannot be read"),
}


@pytest.mark.parametrize("case", BAD_FOLDERS)
def test_push__a_folder_that_is_not_fit(
    hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    log_in(monkeypatch)
    spoil_folder, message = BAD_FOLDERS[case]
    spoil_folder(folder)
    with pytest.raises(ModelError, match=message):
        push(folder, TINY)
    assert not hub.requests


# FaceModel


def test_face_model__round_trip(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    from tiny_pack import tiny_config

    from faceperc.config import FaceModelConfig
    from faceperc.model import FaceModel, read_training

    log_in(monkeypatch)
    model = FaceModel(FaceModelConfig.from_dict(tiny_config()))
    model.record = {"data": [], "licence": "ours"}
    card = tmp_path / "card.md"
    card.write_bytes(CARD)
    place = model.push_to_hub(TINY, card, tag="v1", commit_message="The first")
    assert place == f"{TINY}@{hub.repo(TINY).refs['v1']}"
    same = FaceModel.from_pretrained(TINY, revision="v1")
    assert same.weights_sha256() == model.weights_sha256() and not same.training
    assert same.record == model.record
    folder = same.save_pretrained(tmp_path / "saved")
    assert read_training(folder) == model.record
    assert FaceModel.from_pretrained(folder).weights_sha256() == model.weights_sha256()
    for name, revision in ((folder, "v1"), ("faceperc-nano", "v1"), (f"{TINY}@v1", "v1")):
        with pytest.raises(UsageError, match="takes no revision"):
            FaceModel.from_pretrained(name, revision=revision)
    hub.uploads.clear()
    with pytest.raises(UsageError, match=r"none\.md: cannot be read"):
        model.push_to_hub(TINY, tmp_path / "none.md")
    assert not hub.uploads


@pytest.mark.parametrize("text", ["[]", "[1]", '{"data": ["w300"]}', '{"data": [{}]}', "{"])
def test_face_model__a_record_of_somebody_elses_that_is_none(tmp_path: Path, text: str) -> None:
    pytest.importorskip("torch")
    from faceperc.model import read_training

    (tmp_path / "training.json").write_text(text)
    with pytest.raises(ModelError, match=r"training\.json: (is no record|not readable)"):
        read_training(tmp_path)


# the commands, each in a process of its own


@pytest.fixture
def run(hub: Hub, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    environment = {
        **os.environ,
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(tmp_path / "home"),
        "HF_TOKEN": TOKEN,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "PYTHONPATH": str(ROOT),
    }

    def run(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "faceperc.cli", *arguments]
        return subprocess.run(command, env=environment | settings, capture_output=True, text=True)

    return run


def test_commands(
    hub: Hub, folder: Path, tmp_path: Path, run: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    done = run("push", str(folder), TINY, "--tag", "v1", "--message", "The first")
    commit = hub.repo(TINY).refs["v1"]
    assert done.returncode == 0, done.stderr
    assert f"commit {commit}, tag v1" in done.stdout and f'Predictor("{TINY}@{commit}")' in done.stdout
    out = tmp_path / "out"
    done = run("pull", f"{TINY}@v1", "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert str(out) in done.stdout and "model.onnx" in done.stdout
    assert (out / "model.onnx").read_bytes() == (folder / "model.onnx").read_bytes()
    hub.requests.clear()
    done = run("info", f"{TINY}@v1", "--json", HF_HUB_OFFLINE="1")
    assert done.returncode == 0 and json.loads(done.stdout)["name"] == "tiny" and not hub.requests


def test_a_bundled_model_needs_no_client() -> None:
    code = (
        "import sys, faceperc; faceperc.Predictor()(faceperc.sample_image());"
        "assert not {'huggingface_hub', 'torch'} & {*sys.modules}"
    )
    settings = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=settings, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
