"""Fonts. Pillow's own has Latin letters only; for labels in other scripts another one is looked for."""

from __future__ import annotations

import os
import warnings
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from PIL import ImageFont

from faceperc.errors import UsageError

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

VARIABLE = "FACEPERC_FONT"  # path of a font file, where no other is given
# Pillow finds them by name in the folders of the system's fonts
SYSTEM_FONTS = (
    "DejaVuSans.ttf",
    "NotoSans-Regular.ttf",
    "NotoSansCJK-Regular.ttc",
    "Arial Unicode.ttf",
    "arial.ttf",
    "PingFang.ttc",
    "msgothic.ttc",
    "msyh.ttc",
    "malgun.ttf",
)
PROBE = 16.0  # pixels: the size at which a font is asked which letters it has


class Fonts:
    """Fonts of one drawing: the one that the caller wishes, then Pillow's, then those of the computer."""

    def __init__(self, path: str | Path | None = None) -> None:
        """Choose a font file; by default the one that the environment variable FACEPERC_FONT names, if any.

        Raises:
            UsageError: if the file cannot be read as a font.
        """
        wish = str(path) if path is not None else os.environ.get(VARIABLE, "")
        if wish and _load(wish, PROBE) is None:
            raise UsageError(f"{wish}: is no font file that can be read; give a TrueType or OpenType font")
        self._wish = wish

    def get(self, text: str, size: float) -> Font:
        """A font with all letters of the text, ``size`` pixels high.

        Where there is none, the first one, which draws a box for a letter that it lacks, and a warning.
        """
        font = _load(_family(text, self._wish), round(size, 1))
        assert font is not None  # it was loaded before, if in another size
        return font

    def width(self, text: str, size: float) -> float:
        """How wide the text is, pixels."""
        return _width(text, round(size, 1), self._wish)


@lru_cache(maxsize=4096)
def _width(text: str, size: float, wish: str) -> float:
    font = _load(_family(text, wish), size)
    assert font is not None
    return font.getlength(text)


@lru_cache(maxsize=1024)
def _family(text: str, wish: str) -> str:
    """The first font with all letters of the text; '' is Pillow's own."""
    families = [wish, ""] if wish else [""]
    for family in families:
        if _has(family, text):
            return family
    for family in (*_matplotlib_font(), *SYSTEM_FONTS):
        if _load(family, PROBE) is not None and _has(family, text):
            return family
    warnings.warn(
        f"no font here has all letters of {text!r}: give draw() a font file with font=..., "
        f"or name one in the environment variable {VARIABLE}",
        stacklevel=2,
    )
    return families[0]


def _matplotlib_font() -> tuple[str, ...]:
    """The path of the DejaVu font that comes with matplotlib, where that is installed; it is not imported."""
    found = find_spec("matplotlib")
    if found is None or not found.submodule_search_locations:
        return ()
    path = Path(found.submodule_search_locations[0], "mpl-data", "fonts", "ttf", "DejaVuSans.ttf")
    return (str(path),) if path.is_file() else ()


def _has(family: str, text: str) -> bool:
    return all(_has_letter(family, letter) for letter in set(text) if not letter.isspace())


@lru_cache(maxsize=4096)
def _has_letter(family: str, letter: str) -> bool:
    """Whether the letter looks other than one that no font has."""
    if letter.isascii():
        return True
    return _picture(family, letter) != _picture(family, "\U0010fffe")


def _picture(family: str, letter: str) -> tuple[tuple[int, int], bytes]:
    font = _load(family, PROBE)
    assert font is not None
    mask = font.getmask(letter)
    return mask.size, bytes(mask)


@lru_cache(maxsize=256)
def _load(family: str, size: float) -> Font | None:
    if not family:
        return ImageFont.load_default(size)
    try:
        return ImageFont.truetype(family, size)
    except (OSError, ValueError):
        return None
