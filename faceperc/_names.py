"""One wording for "this name is unknown": what was given, the nearest known name, and the list."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

MAX_ENTRIES = 2000  # of a folder, that are compared with a name: more would take long


def readable(name: str, longest: int | None = None) -> str:
    """A name from a model as people write it, on one line.

    Args:
        name: it may have underscores, breaks of lines and other control characters.
        longest: letters at most; what is longer ends in an ellipsis.
    """
    words = "".join(letter if letter.isprintable() else " " for letter in name.replace("_", " ")).split(" ")
    text = " ".join(word for word in words if word)
    return text if longest is None or len(text) <= longest else f"{text[: longest - 1].rstrip()}…"


def unknown_name(what: str, name: object, known: Iterable[str]) -> str:
    """Message for a name that is not among the known ones.

    Args:
        what: the kind of thing that is named, e.g. ``"task"``.
        name: the name that was given.
        known: the names that exist.

    Returns:
        A message such as ``unknown task 'pos': did you mean 'pose'? Known: landmarks, pose``.
    """
    names = list(known)
    near = nearest(str(name), names)
    hint = f": did you mean {near!r}?" if near else "."
    return f"unknown {what} {name!r}{hint} Known: {', '.join(names) or 'none'}"


def nearest(name: str, known: Iterable[str], likeness: float = 0.5) -> str | None:
    """The known name that is most like a name, or None if none has this likeness, in [0, 1]."""
    lower = {each.lower(): each for each in known}
    near = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=likeness)
    return lower[near[0]] if near else None


def no_such_file(path: str | Path, what: str = "file") -> str:
    """What to say of a file that is not there.

    Args:
        path: where it was looked for.
        what: the kind of file.

    Returns:
        E.g. ``no such file; did you mean photos/anna.jpg?``, or that the folder is missing.
    """
    path = Path(path)
    hint = "check the path"
    try:
        if not path.parent.is_dir():
            hint = f"there is no folder {path.parent}"
        elif "\\" in path.name:
            hint = "here the parts of a path are separated by /"
        else:
            entries = islice(path.parent.iterdir(), MAX_ENTRIES)
            near = nearest(path.name, (each.name for each in entries), likeness=0.7)
            hint = f"did you mean {path.parent / near}?" if near else hint
    except (OSError, ValueError):  # a folder that cannot be read, a NUL in the name
        pass
    return f"no such {what}; {hint}"
