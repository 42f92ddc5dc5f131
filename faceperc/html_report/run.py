"""The work of `faceperc report`: read or predict, choose the faces, fetch their pictures, write the page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from faceperc._console import progress_bar
from faceperc._files import check_target, write_file
from faceperc.errors import DataError, ImageError, UsageError
from faceperc.html_report.inputs import expand, is_results
from faceperc.html_report.page import render
from faceperc.html_report.pictures import thumbnail, whole
from faceperc.html_report.report import Card, Options, Report, gather
from faceperc.image import read_image
from faceperc.predict import Predictor

T = TypeVar("T")


def open_target(out: Path, names: Sequence[str]) -> None:
    """Check that the report can be written, before the work.

    Raises:
        UsageError: if it cannot, or it is one of the inputs, or no HTML file by its name.
    """
    if out.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"{out}: a report is an HTML page; name it .html")
    if any(Path(name).resolve() == out.resolve() for name in names):
        raise UsageError(f"{out}: is one of the inputs; write to another file")
    check_target(out)


def needs_predictor(names: Iterable[str]) -> bool:
    """Whether any input is a picture, rather than results that were written before."""
    return not all(is_results(name) for name in names)


def write_report(
    names: Sequence[str], out: Path, options: Options, predictor: Predictor | None = None
) -> Report:
    """Make a report and write it.

    Args:
        names: images, folders and files of results.
        out: the HTML file.
        options: what goes into it.
        predictor: what looks at the images; not needed where all inputs are results.

    Raises:
        UsageError: if a folder holds no images, or the page cannot be written.
        DataError: if none of the inputs could be used.
    """
    report = gather(_progress(expand(names), "images", is_long=predictor is not None), options, predictor)
    if report.failures and not report.pictures:
        first = report.failures[0]
        more = f", and {len(report.failures) - 1} more" if len(report.failures) > 1 else ""
        raise DataError(f"there is nothing to report: {first.source}: {first.reason}{more}")
    _add_pictures(report)
    # names of files that are no text are shown with escapes
    write_file(out, render(report).encode("utf-8", "backslashreplace"))
    return report


def _add_pictures(report: Report) -> None:
    """Fetch the pictures of the faces that are shown."""
    shown: dict[int, list[Card]] = {}
    for card in report.cards:
        shown.setdefault(card.picture, []).append(card)
    for index, cards in _progress(list(shown.items()), "pictures", is_long=len(shown) > 100):
        picture = report.pictures[index]
        if picture.path is None:
            picture.missing = "where it was is not known"
            continue
        try:
            pixels = read_image(picture.path)
        except ImageError as error:
            picture.missing = str(error).removeprefix(f"{picture.path}: ")
            continue
        size = (pixels.shape[1], pixels.shape[0])
        if size != picture.size:
            now, then = ("{} x {}".format(*each) for each in (size, picture.size))
            picture.missing = f"it has changed: it is {now} pixels, and was {then}; predict again"
            continue
        for card in cards:
            card.thumbnail = thumbnail(pixels, card.box)
        if not report.options.crops_only:
            picture.image = whole(pixels)


def _progress(items: Sequence[T], what: str, is_long: bool) -> Iterator[T]:
    """The items; on a terminal a bar shows how far they are."""
    with progress_bar(len(items), what, hidden=not is_long, transient=True) as advance:
        for number, item in enumerate(items, start=1):
            yield item
            advance(number, "")
