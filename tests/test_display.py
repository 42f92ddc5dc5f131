"""Faces in notebooks and in figures of matplotlib."""

from __future__ import annotations

import base64
import io
import math
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from faceperc.errors import UsageError
from faceperc.kind import Kind
from faceperc.kinds import Classes, Points, Rotation, Scalar
from faceperc.results import Face, Faces

BOX = np.array([20.0, 20.0, 60.0, 70.0])
EVIL = '<script>alert("x")</script>'


def faces(*each: Face, width: int = 200, source: str | None = None) -> Faces:
    return Faces(each, np.full((width // 2, width, 3), 90, dtype=np.uint8), source, "tiny")


def face(track: int | None = None, **tasks: Kind) -> Face:
    return Face(BOX, 0.9, tasks, track=track)


class Page(HTMLParser):
    """The tags, the texts of the table's cells and the picture of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.cells: list[str] = []
        self.sources: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_data(self, data: str) -> None:
        if self.tags[-1] in ("td", "th") and self.cells:
            self.cells[-1] += data

    @property
    def picture(self) -> Image.Image:
        (source,) = self.sources
        kind, data = source.split(",", 1)
        assert kind == "data:image/jpeg;base64"
        return Image.open(io.BytesIO(base64.b64decode(data, validate=True)))


@pytest.mark.parametrize("width, wanted", [(100, 480), (700, 700), (3000, 1024)])
def test_pictures_have_a_size_that_fits_a_notebook(width: int, wanted: int) -> None:
    given = faces(face(), width=width)
    png = Image.open(io.BytesIO(given._repr_png_()))
    assert png.format == "PNG" and png.size == (wanted, wanted // 2)
    assert Page(given._repr_html_()).picture.size == (wanted, wanted // 2)


def test_html__has_a_row_for_each_face() -> None:
    mood = Classes(np.array([0.8, 0.2]), ("glad", "sad"))
    head = Face(np.array([100.0, 20.0, 140.0, 70.0]), 0.02, {"pose": Rotation(np.eye(3))}, visibility=0.02)
    page = Page(faces(face(mood=mood, points=Points(np.ones((1, 2)))), head)._repr_html_())
    assert page.cells[:4] == ["", "score", "mood", "pose"]
    assert page.cells[4:8] == ["[0]", "90%", "glad 80%", ""]
    assert page.cells[8:] == ["[1]", "face not seen", "", "yaw 0°, pitch 0°, roll 0°"]
    assert Page(faces(face(track=3))._repr_html_()).cells[2] == "face 3"
    assert Page(faces(Face(BOX, math.nan))._repr_html_()).cells == ["", "score", "[0]", ""]


def test_html__of_no_face_and_of_many() -> None:
    none = faces()._repr_html_()
    assert "0 faces" in none and "table" not in Page(none).tags
    many = faces(*[face()] * 50)._repr_html_()
    assert Page(many).tags.count("tr") == 21 and "and 30 more" in many


def test_html__holds_nothing_foreign() -> None:
    mood = Classes(np.array([1.0]), (EVIL,))
    given = faces(face(**{EVIL: mood, "age": Scalar(3.0, EVIL)}), source=f'a"onerror="x{EVIL}.jpg')
    page = Page(given._repr_html_())
    allowed = {"div", "img", "table", "thead", "tbody", "tr", "th", "td"}
    assert set(page.tags) <= allowed and page.picture
    assert f"{EVIL} 100%" in page.cells and "onerror" not in "".join(page.tags)
    assert 'a"onerror' not in given._repr_html_()


@pytest.mark.parametrize(
    "options", [{}, {"size": 400}, {"captions": "margin"}, {"size": 90, "captions": False}]
)
def test_plot__in_pixels_of_the_image(options: dict[str, object]) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    given = faces(face(age=Scalar(31.0, "years")))
    _, ax = plt.subplots()
    assert given.plot(ax, **options) is ax  # type: ignore[arg-type]
    (image,) = ax.get_images()
    left, right, bottom, top = image.get_extent()
    assert (left, top) == (-0.5, -0.5)
    if options.get("captions") != "margin":
        assert (right, bottom) == pytest.approx((199.5, 99.5))
    else:
        assert right > 250
    plt.close("all")
    assert given.plot().figure is not ax.figure
    plt.close("all")


def test_plot__without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(UsageError, match="pip install matplotlib"):
        faces().plot()
