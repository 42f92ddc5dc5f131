"""One wording for "this name is unknown": what was given, the nearest known name, and the list."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


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
    lower = {each.lower(): each for each in names}
    near = difflib.get_close_matches(str(name).lower(), lower, n=1, cutoff=0.5)
    hint = f": did you mean {lower[near[0]]!r}?" if near else "."
    return f"unknown {what} {name!r}{hint} Known: {', '.join(names) or 'none'}"
