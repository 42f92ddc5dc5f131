"""Models on the Hugging Face Hub, by its own client: cache, login and offline mode are the client's.

Whatever comes from there is checked against its SHA-256 before it is used: the client itself accepts any
bytes of the right number. Its import takes 0.4 s, so it is imported where it is used.
"""

from __future__ import annotations

import hashlib
import os
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from faceperc import __version__
from faceperc.errors import ModelError
from faceperc.provenance import file_sha256

if TYPE_CHECKING:
    from huggingface_hub.file_download import HfFileMetadata

#: Kinds of files that are ever fetched; none of them can carry code that runs when it is read.
SUFFIXES = (".onnx", ".safetensors", ".json", ".npz", ".md")
#: The largest file that is fetched, bytes.
LARGEST = 2_000_000_000
#: How long to wait for the Hub's first answer, seconds, where HF_HUB_ETAG_TIMEOUT does not say.
PATIENCE = 5.0

_INSTALL = 'pip install "faceperc[hub]"'

# no part begins with a dot: the client makes paths in its cache of them
_PART = r"[\w-][\w.-]*"
_PLACE = re.compile(
    rf"(?P<repo>{_PART}/{_PART})(/(?P<file>{_PART}\.onnx))?(@(?P<revision>{_PART}(/{_PART})*))?"
)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Place:
    """Where a model is on the Hub.

    Attributes:
        repo: ``org/name``.
        revision: branch, tag or commit; the client's default branch where None.
        file: a file in it, where one is named.
    """

    repo: str
    revision: str | None = None
    file: str | None = None

    def __str__(self) -> str:
        """As ``parse_place`` reads it."""
        file = f"/{self.file}" if self.file else ""
        return f"{self.repo}{file}" + (f"@{self.revision}" if self.revision else "")

    @property
    def is_pinned(self) -> bool:
        """Whether the revision is a whole commit, which never changes."""
        return self.revision is not None and _COMMIT.fullmatch(self.revision) is not None


class NotOnHubError(ModelError):
    """The Hub was asked, and has no such file in a repository that it has."""


def parse_place(text: str) -> Place | None:
    """``org/name``, ``org/name@revision`` or ``org/name/file.onnx@revision``; None for any other text."""
    found = _PLACE.fullmatch(text)
    if found is None or (found["file"] is None and found["repo"].lower().endswith(".onnx")):
        return None
    return Place(found["repo"], found["revision"], found["file"])


def fetch(place: Place, file: str | Sequence[str], sha256: str | None = None) -> Path:
    """A file of a model on the Hub, from the client's cache or downloaded into it.

    The Hub is not asked for what cannot have changed: a file of a pinned commit, or one with the wanted hash.
    Where the Hub cannot be reached, the cached copy of the revision is used, with a warning.

    Args:
        place: the repository and revision.
        file: its name; of several the first one that is there.
        sha256: what its bytes must have; the Hub's own record of them where None.

    Raises:
        NotOnHubError: if the repository has no such file.
        ModelError: if it cannot be had, or is not what it should be.
    """
    names = (file,) if isinstance(file, str) else tuple(file)
    for name in names:
        if not name.endswith(SUFFIXES) or "/" in name or "\\" in name:
            raise ModelError(f"{place}: {name} is not fetched; only {', '.join(SUFFIXES)} files are")
    _check_client(place, names)
    _check_name(place)
    missing: NotOnHubError | None = None
    for name in names:
        try:
            return _fetch_one(place, name, names, sha256)
        except NotOnHubError as error:
            missing = missing or error
    assert missing is not None, "no file was named"
    raise missing


def fetch_folder(
    place: Place,
    needed: Sequence[str],
    welcome: Sequence[str] = (),
    hashes: Mapping[str, str] = MappingProxyType({}),
) -> Path:
    """Files of one and the same commit of a repository.

    Args:
        place: the repository and revision.
        needed: files that must be there.
        welcome: files that are fetched too where they are there.
        hashes: SHA-256 of files that are known.

    Returns:
        The folder in the client's cache that has them.

    Raises:
        NotOnHubError: if the repository lacks a file that is needed.
        ModelError: if a file cannot be had, or is not what it should be.
    """
    folder = fetch(place, needed[0], hashes.get(needed[0])).parent
    pinned = Place(place.repo, folder.name)  # the others are of the same commit, even if the branch moves
    there = [name for name in _there(pinned, folder, welcome) if name not in needed]
    for name in (*needed[1:], *there):
        fetch(pinned, name, hashes.get(name))
    return folder


def cached(place: Place, file: str, sha256: str) -> Path | None:
    """The cache's copy of a file, if it has this hash. The Hub is not asked, and no client is needed."""
    if find_spec("huggingface_hub") is None:
        return None
    path = _cached(place, file)
    return path if path and _hash(path, 64) == sha256 else None


def _there(pinned: Place, folder: Path, names: Sequence[str]) -> list[str]:
    """Which of the files a commit has; without the Hub, which of them the cache has."""
    from faceperc.hub_errors import explain, is_unreachable

    here = [name for name in names if (folder / name).exists()]
    if len(here) == len(names) or is_offline():
        return here
    try:
        listed = list_files(pinned)
    except Exception as error:  # the client raises its own, the HTTP library's and the system's
        if not is_unreachable(error):
            raise explain(error, pinned) from error
        warnings.warn(
            f"{explain(error, pinned)}. Of its files only those in the cache are used",
            RuntimeWarning,
            stacklevel=4,
        )
        return here
    return [name for name in names if name in listed]


def _check_name(place: Place) -> None:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    from faceperc.hub_errors import explain

    try:
        validate_repo_id(place.repo)
    except HFValidationError as error:
        raise explain(error, place) from error


def import_client() -> None:
    """Check that the Hub's client is installed, and is not too old for us.

    Raises:
        ModelError: if not.
    """
    try:
        import huggingface_hub
    except ImportError as error:
        raise ModelError(f"the Hub needs the package huggingface_hub ({error}): {_INSTALL}") from error
    version = huggingface_hub.__version__
    if version.startswith("0."):
        raise ModelError(f"the Hub needs huggingface_hub 1.0 or later, not {version}: {_INSTALL}")


def _check_client(place: Place, files: Sequence[str]) -> None:
    """As ``import_client``, with what else could be used. Without it nobody looks at the Hub, so a place may
    as well be a path that was mistyped."""
    from faceperc.hub_errors import not_here, otherwise

    try:
        import_client()
    except ModelError as error:
        raise ModelError(f"{place}: {not_here(place)}{error}{otherwise(place, files)}") from error


def _fetch_one(place: Place, name: str, names: Sequence[str], sha256: str | None) -> Path:
    from faceperc.hub_errors import explain, is_unreachable

    copy = _cached(place, name)
    if copy and place.is_pinned:
        return _checked(copy, place, sha256)
    if copy and sha256 and _hash(copy, 64) == sha256:
        return copy
    try:
        return _download(place, name, sha256)
    except ModelError:
        raise
    except Exception as error:  # the client raises its own, the HTTP library's, Xet's and the system's
        # several are named where any of them does
        copy = next((path for each in names if (path := _cached(place, each))), None)
        if copy is None or not is_unreachable(error):
            raise explain(error, place, names) from error
        if not is_offline():
            text = f"{explain(error, place)}. Used is the copy of {place} in the cache: {copy}"
            warnings.warn(text, RuntimeWarning, stacklevel=5)
        return _checked(copy, place, sha256)


def is_offline() -> bool:
    """Whether HF_HUB_OFFLINE forbids the client to ask the Hub."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def _cached(place: Place, name: str) -> Path | None:
    """The cache's copy of a file at a revision, as the Hub last said what that is."""
    from huggingface_hub import try_to_load_from_cache

    try:
        found = try_to_load_from_cache(place.repo, name, revision=place.revision)
    except (OSError, ValueError):  # a damaged note of the client's: the download says what is wrong
        return None
    return Path(found) if isinstance(found, str) else None


def _download(place: Place, name: str, sha256: str | None) -> Path:
    """Ask the Hub what the file is, then download what the cache lacks."""
    from huggingface_hub import hf_hub_download

    about = ask_about(place, name)
    if about.size is None or about.size > LARGEST:
        size = "unknown" if about.size is None else f"{about.size / 1e9:.1f} GB"
        raise ModelError(f"{place}: the size of {name} is {size}; at most {LARGEST / 1e9:.0f} GB are fetched")
    etag = about.etag or ""
    if sha256 and _SHA256.fullmatch(etag) and etag != sha256:
        raise _moved(place, name, sha256, etag)
    path = Path(
        hf_hub_download(
            place.repo,
            name,
            revision=place.revision,
            library_name="faceperc",
            library_version=__version__,
            etag_timeout=patience(),
        )
    )
    # the revision may have moved between the two requests
    return _checked(path, place, sha256, etag if path.parent.name == about.commit_hash else None)


def ask_about(place: Place, name: str) -> HfFileMetadata:
    """What the Hub says about a file: commit, hash, size. One request, without the client's retries."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import FileMetadataError

    url = hf_hub_url(place.repo, name, revision=place.revision)
    about = get_hf_file_metadata(url, timeout=patience())
    if about.commit_hash is None:
        raise FileMetadataError(f"{url} does not answer as the Hub does")
    return about


def list_files(place: Place) -> list[str]:
    """Names of all files of a revision. One request; errors are the client's."""
    from huggingface_hub import HfApi

    about = HfApi(library_name="faceperc", library_version=__version__).model_info(
        place.repo, revision=place.revision, timeout=patience()
    )
    return [each.rfilename for each in about.siblings or ()]


def patience() -> float:
    """Seconds to wait for an answer: what the user set for the client, else less than its own 10."""
    from huggingface_hub import constants

    told = constants.HF_HUB_ETAG_TIMEOUT
    return PATIENCE if told == constants.DEFAULT_ETAG_TIMEOUT else told


def _checked(path: Path, place: Place, sha256: str | None, etag: str | None = None) -> Path:
    """The path, if its bytes are the right ones.

    A copy that is not what the Hub recorded is damaged: it leaves the cache, so that the next call downloads
    it again. One that is, but not what ``sha256`` wants, is of another version: it stays.
    """
    recorded = _record(path) if etag is None else etag
    digits = len(recorded) if re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", recorded) else 0
    found = _hash(path, digits) if digits else recorded
    if found != recorded:
        _discard(path)
        raise ModelError(
            f"{place}: {path.name} is damaged: its {'SHA-256' if digits == 64 else 'git SHA-1'} is {found}, "
            f"the Hub's {recorded}. It was removed from the cache; try again to download it anew"
        )
    if sha256 and digits != 64:
        found = _hash(path, 64)
    if sha256 and found != sha256:
        if not digits:
            _discard(path)
        raise _moved(place, path.name, sha256, found)
    if not digits and not sha256:
        warnings.warn(
            f"{place}: nothing is known of the hash of {path.name}; it was not checked",
            RuntimeWarning,
            stacklevel=6,
        )
    return path


def _moved(place: Place, name: str, wanted: str, found: str) -> ModelError:
    return ModelError(
        f"{place}: {name} is not the released file: its SHA-256 is {found}, expected {wanted}. The "
        f"revision was changed since this version of faceperc; update faceperc, or name the commit that you "
        f"trust: {place.repo}@COMMIT"
    )


def _record(path: Path) -> str:
    """The hash by which the cache names a file; empty where the cache has no links (Windows)."""
    return Path(os.readlink(path)).name if path.is_symlink() else ""


def _hash(path: Path, digits: int) -> str:
    """The SHA-256 of a file (64 digits), or the SHA-1 by which git names one that is not in LFS (40)."""
    try:
        if digits == 64:
            return file_sha256(path)
        data = path.read_bytes()
        return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror or error}") from error


def _discard(path: Path) -> None:
    """Remove a file of the cache: the link in the snapshot, and all that it leads to."""
    chain = [path]
    while chain[-1].is_symlink():
        chain.append(chain[-1].parent / os.readlink(chain[-1]))
    try:
        for each in reversed(chain):
            each.unlink(missing_ok=True)
    except OSError as error:
        raise ModelError(f"{chain[-1]}: is damaged, and cannot be removed: {error}; delete it") from error
