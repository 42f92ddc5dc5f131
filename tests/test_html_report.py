"""The HTML report: what it counts, what it leaves out, and how it behaves in a real browser."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chromium import Chromium
from PIL import Image
from tiny_onnx import FACE_TASKS, build_face_model, face_metadata
from typer.testing import CliRunner, Result

from faceperc.cli import app
from faceperc.errors import DataError
from faceperc.html_report.confidence import confidences
from faceperc.html_report.distributions import histograms
from faceperc.html_report.documents import read_document
from faceperc.html_report.facts import HIGH, LOW, Facts, Number
from faceperc.html_report.overlay import overlay_of
from faceperc.kinds import Points
from faceperc.mask import Mask
from faceperc.predict import Predictor
from faceperc.results import Face, Faces
from faceperc.zoo import sample_image

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
HOSTILE = "<img src=x onerror=alert(1)>&'.png"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["report", *map(str, arguments)])


def data_of(page: Path) -> dict[str, Any]:
    """What the page's script is given."""
    match = re.search(r'<script type="application/json" id="data">(.*?)</script>', page.read_text(), re.S)
    assert match is not None
    document: dict[str, Any] = json.loads(match[1])
    return document


def made_up(source: str, happiness: float, age: float, size: int = 100) -> dict[str, Any]:
    """A document with one face; the happier it is, the surer is everything."""
    return {
        "source": source,
        "model": "made-up",
        "image": {"width": size, "height": size},
        "faces": [
            {
                "box": [20, 20, 60, 70],
                "score": happiness,
                "visibility": None,
                "tasks": {
                    "mood": {
                        "kind": "classes",
                        "probabilities": {"happy": happiness, "sad": 1 - happiness},
                    },
                    "years": {"kind": "scalar", "value": age, "unit": "years", "std": 10 - 9 * happiness},
                    "marks": {"kind": "probabilities", "probabilities": {"hat": age / 100, "beard": 0.1}},
                    "turn": {"kind": "rotation", "matrix": np.eye(3).tolist()},
                    "corners": {"kind": "points", "points": [[20, 20], [60, 70]], "sigma": None},
                },
            }
        ],
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures a.png ... e.png, one with a hostile name, and results.jsonl about them and a missing one."""
    folder = tmp_path_factory.mktemp("pictures")
    names = ["a.png", "b.png", "c.png", "d.png", "e.png", HOSTILE]
    for index, name in enumerate(names):
        Image.new("RGB", (100, 100), (40 * index, 90, 160)).save(folder / name)
    moods = [0.9, 0.6, 0.8, 0.7, 0.95, 0.55]
    ages = range(10, 100, 15)
    lines = [json.dumps(made_up(*each)) for each in zip(names, moods, ages, strict=True)]
    lines += [
        json.dumps(made_up("gone.png", 0.99, 90)),
        json.dumps({"source": "x.png", "error": "x.png: bad"}),
    ]
    (folder / "results.jsonl").write_text("\n".join(lines) + "\nno json\n")
    return folder


@pytest.fixture(scope="module")
def page(folder: Path) -> Path:
    out = folder / "out" / "report.html"
    out.parent.mkdir()
    result = run(folder / "results.jsonl", "-o", out)
    assert result.exit_code == 1 and "7 of 7 faces" in result.stdout
    assert "x.png: bad" in result.stderr and "line 9: is not JSON" in result.stderr
    return out


def test_results__become_values_by_kind(page: Path) -> None:
    data = data_of(page)
    titles = {each["title"]: each for each in data["numbers"]}
    assert titles["years"]["unit"] == "years" and sum(titles["years"]["counts"]) == 7
    assert titles["turn: yaw"]["unit"] == "°" and titles["years: standard deviation"]["unsure"] == "high"
    assert data["choices"] == [{"title": "mood", "labels": ["happy", "sad"], "counts": [7, 0]}]
    assert data["labels"] == [{"title": "marks", "labels": ["hat", "beard"], "counts": [4, 0]}]
    assert data["layers"] == ["turn", "corners"]
    names = [data["pictures"][face["picture"]]["name"] for face in data["faces"]]
    assert names == [HOSTILE, "b.png", "d.png", "c.png", "a.png", "e.png", "gone.png"]
    missing = data["pictures"][data["faces"][-1]["picture"]]
    assert "no such file" in missing["missing"] and data["faces"][-1]["thumbnail"] is None
    assert data["faces"][0]["thumbnail"].startswith("data:image/")
    box, region = data["faces"][0]["box"], data["faces"][0]["region"]
    assert region[2] == 75 and box == [233, 167, 767, 833]  # 50 px of a square of 75


def test_page__loads_nothing_and_escapes(page: Path) -> None:
    text = page.read_text()
    addresses = re.findall(r"\bhttps?://[^'\" ]+", text)
    assert "<img src=x" not in text and addresses == ["http://www.w3.org/2000/svg"]  # a name, not a place
    assert "default-src 'none'" in text and "unsafe" not in text
    assert "This page holds photographs of people" in text


def test_max_faces__keeps_the_least_sure_and_counts_all(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "few.html"
    assert "2 of 7 faces" in run(folder / "results.jsonl", "-o", out, "--max-faces", 2).stdout
    data = data_of(out)
    names = [each["name"] for each in data["pictures"]]
    assert sorted(names) == sorted([HOSTILE, "b.png"]) and data["choices"][0]["counts"] == [7, 0]
    assert "5 were left out" in out.read_text()


def test_crops_only__leaves_the_whole_pictures_out(folder: Path, page: Path, tmp_path: Path) -> None:
    run(folder / "results.jsonl", "-o", tmp_path / "a.html", "--crops-only")
    images = [each["image"] for each in data_of(tmp_path / "a.html")["pictures"]]
    assert images == [None] * 7 and [each["image"] for each in data_of(page)["pictures"]] != images
    assert "crops of their faces" in (tmp_path / "a.html").read_text()


def test_folder_that_cannot_be_read__is_named(
    folder: Path, face_model: Path, detector_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "photos" / "closed").mkdir(parents=True)
    shutil.copy(folder / "a.png", tmp_path / "photos")
    scan = os.scandir

    def refuse(path: Any) -> Any:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    models = ["--model", face_model, "--detector", detector_model]
    result = run(tmp_path / "photos", "-o", tmp_path / "page.html", *models)
    assert result.exit_code == 1 and "closed: the folder cannot be read: Permission denied" in result.stderr


def test_photographs__a_custom_task_too(face_model: Path, detector_model: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    (photos / "deep").mkdir(parents=True)
    shutil.copy(sample_image(), photos / "deep" / "sample.jpg")
    (photos / "broken.jpg").write_text("no picture")
    models = ["--model", face_model, "--detector", detector_model]
    out = tmp_path / "report.html"
    result = run(photos, "-o", out, *models)
    assert result.exit_code == 1 and "broken.jpg: is not an image" in result.stderr
    data = data_of(out)
    assert len(data["faces"]) == 2 and data["layers"] == ["landmarks", "pose", "parsing"]
    assert "redness" in [each["title"] for each in data["numbers"]]
    shapes = dict(zip(data["layers"], data["faces"][0]["shapes"], strict=True))
    assert shapes["landmarks"]["lines"].count("L") == 3  # 0, 1, 2, 0
    assert shapes["parsing"]["mask"].startswith("data:image/png")
    # what `faceperc predict --json` writes gives the same report, but for the lines, which it does not hold
    arguments = [
        "predict",
        str(photos / "deep" / "sample.jpg"),
        "--json",
        str(tmp_path / "out.json"),
        *models,
    ]
    CliRunner().invoke(app, list(map(str, arguments)))
    run(tmp_path / "out.json", "-o", tmp_path / "again.html")
    again = data_of(tmp_path / "again.html")
    assert again["choices"] == data["choices"] and again["labels"] == data["labels"]
    assert again["faces"][0]["thumbnail"] == data["faces"][0]["thumbnail"]
    assert again["faces"][0]["shapes"][2] == shapes["parsing"]


def test_documents__are_the_same_read_back(face_model: Path, detector_model: Path) -> None:
    faces = Predictor(face_model, detector=detector_model)(sample_image())
    document = faces.to_dict()
    again = read_document(json.loads(json.dumps(document)))
    assert [face.to_dict() for face in again.faces] == document["faces"]
    assert again.size == (512, 512) and again.model == "tiny"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"faces": 3}, "damaged"),
        ({"image": {}}, "lacks 'width'"),
        ({"image": {"width": 0, "height": 5}}, "0 x 5 pixels"),
        ({"faces": [{"score": 1}]}, "lacks 'box'"),
        ({"faces": [{"box": [1, 1, 0, 0]}]}, "face 0"),
        ({"faces": [{"box": [0, 0, 1, 1], "tasks": {"a": {"kind": "maks"}}}]}, "did you mean 'mask'"),
        ({"faces": [{"box": [0, 0, 1, 1], "tasks": {"a": {"kind": "rotation", "matrix": [1]}}}]}, "task 'a'"),
        ({"faces": [{"box": [0, 0, 1, 1], "tasks": {"a": {"kind": "scalar", "value": "x"}}}]}, "damaged"),
        (
            {
                "faces": [
                    {
                        "box": [0, 0, 1, 1],
                        "tasks": {"a": {"kind": "mask", "labels": [], "box": [0, 0, 1, 1], "png": "AAAA"}},
                    }
                ]
            },
            "mask cannot be read",
        ),
    ],
)
def test_documents__damaged(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        read_document(made_up("a", 0.5, 1) | change)


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (["missing.jsonl", "-o", "a.html"], 1, "no such file"),
        (["results.jsonl", "-o", "a.pdf"], 2, "name it .html"),
        (["results.jsonl", "-o", "no/such/a.html"], 2, "cannot be written"),
        (["results.jsonl", "-o", "a.html", "--max-faces", "0"], 2, "1 or more"),
        (["empty", "-o", "a.html"], 2, "holds no image"),
        (["resluts.jsonl", "-o", "a.html"], 1, "did you mean results.jsonl"),
    ],
)
def test_report__wrong_usage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, reason: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "results.jsonl").write_text(json.dumps(made_up("a.png", 0.5, 3)))
    result = run(*arguments)
    assert result.exit_code == code and reason in result.stderr and len(result.stderr.splitlines()) == 1
    assert not list(tmp_path.glob("a.*"))


def test_confidence__is_the_mean_share_of_less_sure_faces() -> None:
    score, error, age = Number("score", unsure=LOW), Number("error", unsure=HIGH), Number("age")
    faces = [
        Facts({score: 0.9, error: 1.0, age: 5}),
        Facts({score: 0.5, error: 3.0}),
        Facts({score: 0.7, error: 3.0}),
        Facts({score: 0.1}),
        Facts({age: 7}),
    ]
    # by score 3, 1, 2 and 0 of the three others are less sure; by error 2, a tie of the other two, and none
    wanted = [(3 / 3 + 1) / 2, (1 / 3 + 1 / 4) / 2, (2 / 3 + 1 / 4) / 2, 0.0, np.nan]
    np.testing.assert_allclose(confidences(faces), wanted)


@pytest.mark.parametrize("values", [[3.0], [0.0, 0.0], [-0.3, 0.0, 0.7], [1e6, 1e6 + 1], [17.0, 90.0, 33.3]])
def test_histogram__holds_every_value_once(values: list[float]) -> None:
    number = Number("x")
    (histogram,) = histograms([Facts({number: value}) for value in values])
    assert sum(histogram.counts) == len(values) and 1 <= len(histogram.counts) <= 30
    edges = histogram.start + histogram.step * np.arange(len(histogram.counts) + 1)
    assert edges[0] <= min(values) + 1e-6 and edges[-1] >= max(values) - 1e-6


# In the browser


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    if CHROMIUM is None:
        pytest.skip("Chromium is not here: apt-get install chromium")
    with Chromium(CHROMIUM, tmp_path_factory.mktemp("profile")) as chromium:
        yield chromium


SETTLED = """new Promise((resolve) => {
  const look = () => document.getElementById('count')?.textContent && document.readyState === 'complete'
    ? resolve(document.getElementById('count').textContent) : setTimeout(look, 20);
  look();
})"""
NAMES = "[...document.querySelectorAll('.card')].map(({ title }) => title)"
# Before the page's own script: what it complains of, and what it asks the network for.
WATCH = """
window.complaints = [];
addEventListener('error', (event) => complaints.push(String(event.message)), true);
addEventListener('securitypolicyviolation', (event) => complaints.push(event.violatedDirective));
console.error = console.warn = (...words) => complaints.push(words.join(' '));
window.alert = () => complaints.push('alert');
"""


@pytest.fixture
def opened(browser: Chromium, page: Path) -> Chromium:
    browser.call("Page.enable")
    script = browser.call("Page.addScriptToEvaluateOnNewDocument", source=WATCH)["identifier"]
    browser.call("Page.navigate", url=page.as_uri())
    assert browser.evaluate(SETTLED) == "7 of 7 faces"
    browser.call("Page.removeScriptToEvaluateOnNewDocument", identifier=script)
    return browser


def test_browser__shows_the_least_sure_first_and_complains_of_nothing(opened: Chromium) -> None:
    names = opened.evaluate(NAMES)
    assert names == [HOSTILE, "b.png", "d.png", "c.png", "a.png", "e.png", "gone.png"]
    requests = opened.evaluate("performance.getEntriesByType('resource').map(({ name }) => name.slice(0, 5))")
    assert set(requests) <= {"data:"}
    opened.evaluate("document.querySelectorAll('.card').forEach((card) => card.click())")
    assert opened.evaluate("complaints") == []


def test_browser__filters_combine_and_are_cleared(opened: Chromium) -> None:
    count = "document.getElementById('count').textContent"
    opened.evaluate("""(() => {
      const hat = document.querySelector('select[aria-label="hat"]');
      hat.value = 'yes';
      hat.dispatchEvent(new Event('change'));
    })()""")
    assert opened.evaluate(count) == "4 of 7 faces"
    opened.evaluate("""(() => {
      const low = [...document.querySelectorAll('input[type=range]')]
        .find(({ ariaLabel }) => ariaLabel === 'years, highest');
      low.value = 0;
      low.dispatchEvent(new Event('input'));
    })()""")  # only the youngest
    assert opened.evaluate(count) == "0 of 7 faces"
    opened.evaluate("document.getElementById('reset').click()")
    assert opened.evaluate(count) == "7 of 7 faces"
    opened.evaluate("document.querySelector('#filters label input[type=checkbox]').click()")  # happy
    assert opened.evaluate(count) == "7 of 7 faces"
    opened.evaluate("document.querySelectorAll('#filters label input[type=checkbox]')[1].click()")
    assert opened.evaluate(count) == "7 of 7 faces"  # happy or sad
    opened.evaluate("document.querySelector('#filters label input[type=checkbox]').click()")  # sad alone
    assert opened.evaluate(count) == "0 of 7 faces" and opened.evaluate(NAMES) == []


def test_browser__orders_by_any_number(opened: Chromium) -> None:
    choose = """(() => {
      const order = document.getElementById('order');
      order.value = [...order.options].find(({ text }) => text === 'years, lowest first').value;
      order.dispatchEvent(new Event('change'));
    })()"""
    opened.evaluate(choose)
    wanted = ["a.png", "b.png", "c.png", "d.png", "e.png", HOSTILE, "gone.png"]
    assert opened.evaluate(NAMES) == wanted
    opened.evaluate("document.getElementById('reverse').click()")
    assert opened.evaluate(NAMES) == wanted[::-1]


def test_browser__one_face_by_keyboard(opened: Chromium) -> None:
    title = "document.getElementById('viewer-title').textContent"

    def press(key: str, code: int) -> None:
        for kind in ("rawKeyDown", "keyUp"):
            opened.call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code)

    opened.evaluate("document.querySelectorAll('.card')[1].focus(), document.activeElement.click()")
    assert opened.evaluate(title) == "b.png"
    press("ArrowRight", 39)
    assert opened.evaluate(title) == "d.png"
    press("ArrowLeft", 37)
    press("ArrowLeft", 37)
    assert opened.evaluate(title) == HOSTILE
    values = opened.evaluate("document.getElementById('viewer-values').innerText")
    assert "85.0 years" in values and "55.0%" in values
    assert opened.evaluate("document.querySelector('#viewer-picture image').href.baseVal").startswith("data:")
    press("Escape", 27)
    assert opened.evaluate("document.getElementById('viewer').open") is False
    assert opened.evaluate("document.activeElement.title") == "b.png"


def test_browser__shapes_can_be_switched_off(opened: Chromium) -> None:
    seen = """(selector) => {
      const shape = document.querySelector(`.card ${selector}`);
      return shape.getBoundingClientRect().width > 0 && getComputedStyle(shape).display !== 'none';
    }"""
    assert opened.evaluate(f"({seen})('.axis')") is True
    opened.evaluate("document.querySelector('#layers input').click()")  # turn
    assert opened.evaluate(f"({seen})('.axis')") is False and opened.evaluate(f"({seen})('.frame')") is True
    opened.evaluate("document.getElementById('drawn').click()")
    assert opened.evaluate(f"({seen})('.frame')") is False


def test_a_model_of_any_names(detector_model: Path, photo: Path, tmp_path: Path) -> None:
    """Labels and tasks come from a model's file: they are no markup."""
    document = face_metadata(FACE_TASKS)
    document["tasks"]["expression"]["labels"] = ["</script><b>", "{{ x }}", "'\"&"]
    model = build_face_model(tmp_path / "odd.onnx", metadata=document)
    out = tmp_path / "a.html"
    assert run(photo, "-o", out, "--model", model, "--detector", detector_model).exit_code == 0
    assert "</script><b>" not in out.read_text()
    assert data_of(out)["choices"][0]["labels"] == ["</script><b>", "{{ x }}", "'\"&"]


def test_mask__does_not_reach_over_the_picture() -> None:
    mask = Mask(np.ones((4, 4), np.uint8), np.array([-20.0, 0.0, 20.0, 40.0]), ("none", "skin"), (100, 100))
    shape = overlay_of(Face(np.array([0.0, 10.0, 15.0, 30.0]), 0.9, {"parts": mask})).shapes["parts"]
    picture = Image.open(io.BytesIO(base64.b64decode(shape["mask"].partition(",")[2])))
    assert np.asarray(picture).tolist() == [[0, 0, 1, 1]] * 4 and picture.info["transparency"] == 0


@pytest.mark.parametrize("points", [[[1e308, -1e308]], [[5.0, 5.0]]])
def test_numbers__that_no_face_has_are_left_out(points: list[list[float]], tmp_path: Path) -> None:
    document = made_up("a.png", 0.5, 3)
    results = {
        "kept": {"kind": "scalar", "value": 3.0},
        "dropped": {"kind": "scalar", "value": -1.7e308, "std": 1.7e308},
        "marks": {"kind": "points", "points": points, "sigma": [1e308]},
    }
    document["faces"] = [{"box": [0, 0, 9, 9], "tasks": results}]
    (tmp_path / "a.json").write_text(json.dumps(document))
    assert run(tmp_path / "a.json", "-o", tmp_path / "a.html").exit_code == 0
    titles = [each["title"] for each in data_of(tmp_path / "a.html")["numbers"]]
    assert "kept" in titles and "dropped" not in titles


def test_points__of_which_there_are_none() -> None:
    faces = Faces(
        (Face(np.array([1.0, 1.0, 9.0, 9.0]), 0.9, {"marks": Points(np.zeros((0, 2)))}),),
        np.zeros((10, 10, 3), np.uint8),
    )
    (face,) = read_document(json.loads(faces.to_json())).faces
    assert face.marks.points.shape == (0, 2) and overlay_of(face).shapes["marks"]["points"] == ""
