"""The report as one HTML page that needs nothing else: pictures, style and script are inside it.

Its content security policy lets the browser run this script only and load nothing at all; whatever comes from
a file, such as its name, is escaped.
"""

from __future__ import annotations

import base64
import hashlib
import math
from typing import Any

from faceperc import __version__
from faceperc._names import readable
from faceperc.drawing.palette import AXIS_COLOURS, POINT_COLOURS
from faceperc.html_report.distributions import Histogram, choice_bars, histograms, label_bars
from faceperc.html_report.facts import Number
from faceperc.html_report.overlay import UNITS
from faceperc.html_report.report import Card, Report
from faceperc.html_report.template import asset, environment

MASK_OPACITY = 0.36  # firmer than in drawings, whose masks have a border
SCRIPTS = ("filters.js", "gallery.js", "viewer.js", "main.js")
STYLES = ("base.css", "page.css")


def render(report: Report) -> str:
    """The page of a report."""
    style = "\n".join(map(asset, STYLES))
    script = "\n".join(map(asset, SCRIPTS))
    return (
        environment()
        .from_string(asset("page.html"))
        .render(
            report=report,
            version=__version__,
            style=style,
            script=script,
            style_hash=_hash(style),
            script_hash=_hash(script),
            unsure=[number for number in _numbers(report) if number.unsure],
            empty=[picture for picture in report.pictures if not picture.faces],
            data=_data(report),
        )
    )


def _hash(text: str) -> str:
    """A source of a content security policy: this text and no other."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode('utf-8')).digest()).decode('ascii')}"


def _numbers(report: Report) -> list[Number]:
    return list(dict.fromkeys(number for facts in report.all_facts for number in facts.numbers))


def _data(report: Report) -> dict[str, Any]:
    """What the script shows; values of a face are in the order of ``numbers``, ``choices`` and ``labels``."""
    numbers = histograms(report.all_facts)
    choices, labels = choice_bars(report.all_facts), label_bars(report.all_facts)
    tasks = list(dict.fromkeys(task for card in report.cards for task in card.overlay.shapes))
    shown = sorted({card.picture for card in report.cards})
    place = {picture: index for index, picture in enumerate(shown)}
    return {
        "units": UNITS,
        "numbers": [_number(each) for each in numbers],
        "choices": [{"title": readable(each.task), **_bars(each)} for each in choices],
        "labels": [{"title": readable(each.task), **_bars(each)} for each in labels],
        "layers": [readable(task) for task in tasks],
        "colours": {
            "points": [_css(colour) for colour in POINT_COLOURS],
            "axes": [_css(colour) for colour in AXIS_COLOURS],
            "mask": MASK_OPACITY,
        },
        "pictures": [
            {"name": each.name, "size": each.size, "image": each.image, "missing": each.missing}
            for each in (report.pictures[index] for index in shown)
        ],
        "faces": [
            {
                "picture": place[card.picture],
                "number": card.number,
                "of": report.pictures[card.picture].faces,
                "thumbnail": card.thumbnail,
                "region": card.overlay.region,
                "box": card.overlay.box,
                "shapes": [card.overlay.shapes.get(task) for task in tasks],
                "confidence": None if math.isnan(card.confidence) else round(card.confidence, 4),
                "numbers": [_rounded(card.facts.numbers.get(each.number), each) for each in numbers],
                "choices": [_percent(card, "choices", each.task, each.labels) for each in choices],
                "labels": [_percent(card, "labels", each.task, each.labels) for each in labels],
            }
            for card in report.cards
        ],
    }


def _number(histogram: Histogram) -> dict[str, Any]:
    number = histogram.number
    return {
        "title": number.title,
        "unit": number.unit,
        "unsure": number.unsure,
        "isAnswer": number.is_answer,
        "start": round(histogram.start, 9),
        "step": histogram.step,
        "digits": histogram.digits,
        "counts": histogram.counts,
    }


def _bars(bars: Any) -> dict[str, Any]:
    return {"labels": [readable(label) for label in bars.labels], "counts": bars.counts}


def _rounded(value: float | None, histogram: Histogram) -> float | None:
    return None if value is None else round(value, histogram.digits + 1)


def _percent(card: Card, kind: str, task: str, labels: list[str]) -> list[float | None] | None:
    """The probabilities of a face in %, in the order of the labels; None where it has no such task."""
    values = getattr(card.facts, kind).get(task)
    if values is None:
        return None
    return [None if label not in values else round(100 * values[label], 1) for label in labels]


def _css(colour: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
