"""What the errors of the Hub's client mean, in words: which model, what is wrong, what to do."""

from __future__ import annotations

import difflib
import errno
import re
from collections.abc import Callable, Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from faceperc.errors import ModelError
from faceperc.model_folder import RUNNABLE

if TYPE_CHECKING:
    from huggingface_hub import HfApi

    from faceperc.hub import Place
    from faceperc.registry import ZooModel

T = TypeVar("T")

_LOGIN = "log in with 'hf auth login', or set HF_TOKEN"
_RIGHT = "with a token that has the right to do this"
#: In what the client quotes: logins and signatures in addresses, tokens. Messages end up in logs.
_SECRETS = re.compile(r"(?<=://)[^/@\s]+@|(?<=[\w/])\?[^\s'\"]*=[^\s'\"]*|(?<=Bearer )[^\s'\"]+")


def is_unreachable(error: Exception) -> bool:
    """Whether the Hub gave no answer to the question: then a copy in the cache may serve."""
    from huggingface_hub.errors import FileMetadataError, HTTPError, LocalEntryNotFoundError

    if status := _status(error):
        return status in (408, 429) or status >= 500
    # HTTPError is the base of all that the client's HTTP library raises, whichever that is
    kinds = (FileMetadataError, HTTPError, LocalEntryNotFoundError, ConnectionError, TimeoutError)
    return isinstance(error, kinds)


def explain(error: Exception, place: Place, files: Sequence[str] = (), writing: bool = False) -> ModelError:
    """Our error for one of the client's.

    Args:
        error: what the client raised.
        place: what was asked for.
        files: the files of which one was asked for.
        writing: whether it was to be written.
    """
    from huggingface_hub.errors import (
        EntryNotFoundError,
        FileMetadataError,
        GatedRepoError,
        HFValidationError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    from faceperc.hub import NotOnHubError, list_files

    if isinstance(error, LocalEntryNotFoundError) and isinstance(error.__cause__, Exception):
        return explain(error.__cause__, place, files, writing)  # it only says that the cache cannot help
    status = _status(error)
    names = " or ".join(files) or "its files"
    match error:
        case OfflineModeIsEnabled() if writing:
            text = "HF_HUB_OFFLINE is set; unset it to publish"
        case OfflineModeIsEnabled():
            text = f"{not_here(place)}HF_HUB_OFFLINE is set, and the cache has no {names} of it"
            text += otherwise(place, files)
        case GatedRepoError():
            page = f"{_endpoint()}/{place.repo}"
            text = f"is gated: accept its terms at {page}, then {_LOGIN}, as the user who did"
        case RepositoryNotFoundError() if writing:
            text = f"there is no such repository, or you may not write to it; {_LOGIN}, {_RIGHT}"
        case RepositoryNotFoundError() if own := _row_of(place):
            text = (
                f"the Hub has no such repository: {own.name} may not be published yet"
                f"{otherwise(place, files)}"
            )
        case RepositoryNotFoundError():
            text = (
                f"{not_here(place)}the Hub has no such repository, or it is private: then {_LOGIN}"
                f"{_nearest(place.repo, _others_of(place))}"
            )
        case RevisionNotFoundError():
            text = (
                f"the repository has no revision {place.revision!r}{_nearest(place.revision, _refs(place))}"
            )
        case LocalEntryNotFoundError():
            text = f"{names} could not be downloaded, and the cache has none{otherwise(place, files)}"
        case EntryNotFoundError():
            found = _listing(lambda: list_files(place))
            holds = f"; it has {', '.join(found[:12])}" if found else ""
            return NotOnHubError(f"{place}: the repository has no {names}{holds}")
        case HFValidationError():
            text = f"is no name of a repository: {_line(error)}"
        case FileMetadataError():
            text = f"{_line(error)}; check HF_ENDPOINT, proxy and network{otherwise(place, files)}"
        case _ if status == 401 or status == 403:
            text = f"the Hub refuses ({status}): {_line(error)}; {_LOGIN}, {_RIGHT}"
        case _ if status and is_unreachable(error):
            text = f"the Hub cannot serve now ({status}); try again later{otherwise(place, files)}"
        case _ if status:
            text = f"the Hub refuses ({status}): {_line(error)}"
        case OSError(errno=errno.ENOSPC | errno.EDQUOT):
            text = f"no room is left in {_cache()}; make some, or set HF_HOME to another folder"
        case OSError(errno=errno.EACCES | errno.EROFS | errno.EPERM):
            text = f"the cache cannot be written: {error}; set HF_HOME to another folder"
        case UnicodeDecodeError():
            text = f"the client's notes of it in {_folder(place.repo)} are damaged; remove that folder"
        case _ if is_unreachable(error):
            text = f"{_endpoint()} cannot be reached ({type(error).__name__}: {_line(error)}); try again"
            text = text if writing else f"{not_here(place)}{text}{otherwise(place, files)}"
        case _:
            done = "be published" if writing else "be downloaded; try again"
            text = f"could not {done} ({type(error).__name__}: {_line(error)})"
    return ModelError(f"{place}: {_SECRETS.sub('', text)}")


def _status(error: Exception) -> int | None:
    """The HTTP status of the answer, if there was one."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    return status if isinstance(status, int) else None


def _line(error: Exception) -> str:
    """What the Hub said, or else the first line of an error's text that says something."""
    if said := getattr(error, "server_message", None):
        return str(said)
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _endpoint() -> str:
    from huggingface_hub import constants

    return constants.ENDPOINT


def _cache() -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def _folder(repo: str) -> Path:
    """Where the client caches a repository."""
    from huggingface_hub.file_download import repo_folder_name

    return _cache() / repo_folder_name(repo_id=repo, repo_type="model")


def _api() -> HfApi:
    from huggingface_hub import HfApi

    return HfApi(library_name="faceperc")


def otherwise(place: Place, files: Sequence[str]) -> str:
    """The end of a sentence: what can be used without the Hub, if one of the files was asked for."""
    from faceperc.zoo import DEFAULT_DETECTOR, DEFAULT_MODEL

    if others := _cached_revisions(place.repo, files):
        return f"; the cache has {', '.join(f'{place.repo}@{each}' for each in others)}"
    own = _row_of(place)
    text = f"; a checkout of faceperc's repository has it in faceperc/models/{own.name}" if own else ""
    default = DEFAULT_DETECTOR if own and own.role == "detector" else DEFAULT_MODEL
    if not set(files) & set(RUNNABLE) or (own and own.name == default):
        return text  # weights to train on, timm's too: the package has none
    return f"{text}; or use {default!r}, which is in the package"


def not_here(place: Place) -> str:
    """The beginning of a sentence: a place on the Hub looks like a path, and may have been meant for one."""
    path = Path(str(place))
    is_like_path = not place.revision and (place.file or Path(place.repo).parent.is_dir())
    return "there is no such file or folder here; " if is_like_path and not path.exists() else ""


def _cached_revisions(repo: str, files: Iterable[str]) -> list[str]:
    """Tags, branches and commits of a repository of which the cache has one of the files."""
    if find_spec("huggingface_hub") is None:
        return []
    folder = _folder(repo)
    names = {
        path.read_text(errors="replace").strip(): path.relative_to(folder / "refs").as_posix()
        for path in sorted((folder / "refs").rglob("*"))
        if path.is_file()
    }
    snapshots = sorted((folder / "snapshots").glob("*"))
    wanted = tuple(files)
    return [
        names.get(each.name, each.name)
        for each in snapshots
        if any((each / file).exists() for file in wanted)
    ]


def _row_of(place: Place) -> ZooModel | None:
    """The zoo's model that is to be in a repository."""
    from faceperc.zoo import registry

    return next((row for row in registry() if row.repo == place.repo), None)


def _others_of(place: Place) -> list[str]:
    """The repositories of an organisation."""
    organisation = place.repo.partition("/")[0]
    return _listing(lambda: [each.id for each in _api().list_models(author=organisation, limit=500)])


def _refs(place: Place) -> list[str]:
    refs = _listing(lambda: [_api().list_repo_refs(place.repo)])
    return [each.name for found in refs for each in (*found.tags, *found.branches)]


def _nearest(name: str | None, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name or "", known, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    return f"{hint} There are: {', '.join(known[:12])}" if known else ""


def _listing(ask: Callable[[], list[T]]) -> list[T]:
    """What the Hub lists, to make a message better; nothing if it does not."""
    try:
        return ask()
    except Exception:
        return []
