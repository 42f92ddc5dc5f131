"""The browser page, in a real browser: it agrees with the Python package, and says what it cannot do."""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chromium import Chromium
from numpy.typing import NDArray
from PIL import Image
from tiny_onnx import FACE_TASKS, build_detector, build_face_model, face_metadata

import faceperc
from faceperc.crop import CropRule, FaceCrop
from faceperc.detect import FaceDetector, fit
from faceperc.runtime import OnnxModel
from faceperc.zoo import DEFAULT_DETECTOR, list_models, sample_image

WEB = Path(__file__).parents[1] / "web"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

SETTLED = """new Promise((resolve) => {
  const look = () => {
    const state = document.body?.dataset.state;
    if (state !== 'ready' && state !== 'error') return setTimeout(look, 50);
    resolve(`${state}: ${document.getElementById('status').textContent}`);
  };
  look();
})"""
# typed arrays become lists; the mask's scores are left out, for they are large
FACES = """faceperc.faces.map(({ box, score, tasks }) => ({ box, score, tasks: Object.fromEntries(
  Object.entries(tasks).map(([name, { scores, classes, ...rest }]) =>
    [name, classes ? { ...rest, classes: Array.from(classes) } : rest])) }))"""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    if not (WEB / "vendor").is_dir():
        pytest.skip("onnxruntime-web is not here: python web/vendor.py")
    command = [sys.executable, str(WEB / "serve.py"), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        yield next(word for word in server.stdout.readline().split() if word.startswith("http"))
        server.terminate()


@pytest.fixture(scope="module")
def browser(address: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    if CHROMIUM is None:
        pytest.skip("Chromium is not here: apt-get install chromium")
    video = tmp_path_factory.mktemp("video") / "camera.mjpeg"
    video.write_bytes(sample_image().read_bytes())  # a film of one frame
    flags = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    with Chromium(
        CHROMIUM, tmp_path_factory.mktemp("profile"), *flags, f"--use-file-for-fake-video-capture={video}"
    ) as chromium:
        yield chromium


@pytest.fixture
def page(browser: Chromium, address: str) -> Chromium:
    """The page, just opened, with the bundled models."""
    return open_page(browser, address)


@pytest.fixture(scope="module")
def any_page(browser: Chromium, address: str) -> Chromium:
    """The page in whatever state the tests before left it."""
    return open_page(browser, address)


def open_page(browser: Chromium, address: str, model: str = "faceperc-nano") -> Chromium:
    browser.call("Page.navigate", url=f"{address}?provider=wasm&model={model}")
    assert browser.evaluate(SETTLED) == "ready: faceperc-nano is ready."
    return browser


def test_page_answers_as_the_predictor(page: Chromium, tmp_path: Path) -> None:
    page.choose_file("#photo", sample_image())
    assert page.evaluate(SETTLED).startswith("ready: 1 face in ")
    page.screenshot(tmp_path / "wide.png", 1200, 900)
    page.screenshot(tmp_path / "phone.png", 390, 844, dark=True)
    print(f"screenshots: {tmp_path}")

    [face] = page.evaluate(FACES)
    [wanted] = faceperc.Predictor(threads=1)(sample_image())
    assert face["box"] == pytest.approx(wanted.box.tolist(), abs=0.5)
    assert face["score"] == pytest.approx(wanted.score, abs=0.01)
    assert list(face["tasks"]) == list(wanted.tasks)
    to_256 = 256 / max(wanted.box[2:] - wanted.box[:2])
    for name, result in wanted.tasks.items():
        check(face["tasks"][name], result.to_dict(), to_256)
    agree = np.reshape(face["tasks"]["parsing"]["classes"], wanted.parsing.mask.shape) == wanted.parsing.mask
    assert agree.mean() > 0.99


def test_the_int8_model_runs_too(browser: Chromium, address: str) -> None:
    page = open_page(browser, address, "faceperc-nano-int8")
    page.choose_file("#photo", sample_image())
    assert page.evaluate(SETTLED).startswith("ready: 1 face in ")
    [face] = page.evaluate(FACES)
    [wanted] = faceperc.Predictor("faceperc-nano-int8", threads=1)(sample_image())
    to_256 = 256 / max(wanted.box[2:] - wanted.box[:2])
    # the ranges of eight bits are those of the picture, and the browser resizes it a little differently
    check(face["tasks"]["landmarks"], wanted.landmarks.to_dict(), to_256, pixels=1.0, sigma=0.1)


def check(
    given: dict[str, Any], wanted: dict[str, Any], to_256: float, pixels: float = 0.5, sigma: float = 0.02
) -> None:
    """One result of the page against ``to_dict()`` of the same one in Python."""
    assert given["kind"] == wanted["kind"]
    if given["kind"] == "points":
        errors = np.linalg.norm(np.subtract(given["points"], wanted["points"]), axis=1) * to_256
        assert errors.max() <= pixels
        assert given["sigma"] == pytest.approx(wanted["sigma"], rel=sigma)
    elif given["kind"] == "rotation":
        assert {name: given[name] for name in ("yaw", "pitch", "roll")} == pytest.approx(
            {name: wanted[name] for name in ("yaw", "pitch", "roll")}, abs=0.2
        )
    elif given["kind"] == "mask":
        assert given["box"] == pytest.approx(wanted["box"], abs=0.5)
        assert given["labels"] == wanted["labels"]
    elif given["kind"] == "scalar":
        # a box that is off by a third of a pixel makes half a year, and 2 % of a gender
        assert given["value"] == pytest.approx(wanted["value"], abs=1.0)
        assert given["std"] == pytest.approx(wanted["std"], abs=0.5)
    else:
        assert given["probabilities"] == pytest.approx(wanted["probabilities"], abs=0.03)
        assert given.get("label") == wanted.get("label")


@pytest.mark.parametrize(
    "box",
    [
        (175.15, 65.78, 270.97, 178.3),  # the face
        (10.5, 20.25, 500.0, 480.0),  # shrunk 5 times, beyond the border
        (-40.0, -30.0, 60.0, 90.0),  # a corner
        (300.0, 300.0, 309.0, 311.0),  # enlarged
        (900.0, 10.0, 990.0, 120.0),  # outside
    ],
)
def test_crop_is_pythons(any_page: Chromium, box: tuple[float, ...]) -> None:
    rule = CropRule(128, 1.5, (0.03, -0.05))
    wanted = FaceCrop.from_box(box, rule).warp(pixels_of(sample_image()))
    crop = f"FaceCrop.fromBox({list(box)}, {{ size: 128, scale: 1.5, shift: [0.03, -0.05] }})"
    given = in_page(any_page, "FaceCrop", "crop.js", f"{crop}.warp(image)").reshape(wanted.shape)
    assert np.abs(given.astype(int) - wanted).max() <= 1  # rounding
    assert (given == wanted).mean() > 0.999


@pytest.mark.parametrize("side", [640, 300, 101])  # enlarged; shrunk; shrunk in two steps
def test_input_of_the_detector_is_pythons(any_page: Chromium, side: int) -> None:
    wanted, _ = fit(pixels_of(sample_image()), side, 64, enlarge=2.0)
    given = in_page(any_page, "fit", "detector.js", f"fit(image, {side}, 64, 2).data").reshape(wanted.shape)
    gaps = np.abs(given.astype(int) - wanted)
    assert gaps.max() <= 2 and (gaps <= 1).mean() > 0.999 and (gaps == 0).mean() > 0.75  # Pillow rounds twice


def test_faces_of_a_detector_that_knows_heads_are_pythons(any_page: Chromium, tmp_path: Path) -> None:
    """A face that two cells find, a surer head that shows none, and another face."""
    boxes = [[10, 12, 30, 40], [11, 12, 31, 40], [50, 20, 80, 60], [100, 20, 130, 60]]
    scores, heads = [0.9, 0.6, 0.02, 0.8], [0.91, 0.95, 0.99, 0.85]
    path = build_detector(tmp_path / "heads.onnx", boxes, scores, heads=np.array(heads))
    wanted, wanted_scores = FaceDetector(OnnxModel(path, 1)).detect(np.zeros((512, 512, 3), np.uint8))
    given = any_page.evaluate(f"""(async () => {{
      const {{ detect }} = await import('./js/detector.js');
      const outputs = {{ boxes: {{ data: {np.ravel(boxes).tolist()} }}, scores: {{ data: {scores} }},
                         heads: {{ data: {heads} }} }};
      const metadata = {{ max_side: 640, stride: 32, nms: {{ iou: 0.5, score: 0.5 }} }};
      return detect({{ metadata, run: async () => outputs }}, new ImageData(512, 512));
    }})()""")
    assert [face["box"] for face in given] == wanted.tolist() == [boxes[0], boxes[3]]
    np.testing.assert_allclose([face["score"] for face in given], wanted_scores, rtol=1e-6)


def pixels_of(path: Path) -> NDArray[np.uint8]:
    return np.asarray(Image.open(path).convert("RGB"))


def in_page(page: Chromium, name: str, module: str, expression: str) -> NDArray[np.uint8]:
    """Bytes that an expression of a module makes of ``image``, the sample photograph."""
    text = page.evaluate(f"""(async () => {{
      const {{ {name} }} = await import('./js/{module}');
      const {{ readImage }} = await import('./js/image.js');
      const image = await readImage(await (await fetch('sample.jpg')).blob());
      return btoa(Array.from({expression}, (byte) => String.fromCharCode(byte)).join(''));
    }})()""")
    return np.frombuffer(base64.b64decode(text), np.uint8)


def test_page_presents_any_task_by_its_kind(page: Chromium, face_model: Path) -> None:
    page.choose_file("#file", face_model)
    assert page.evaluate(SETTLED) == "ready: tiny is ready."
    page.choose_file("#photo", sample_image())
    assert page.evaluate(SETTLED).startswith("ready: 1 face in ")
    toggles = page.evaluate("document.getElementById('tasks').innerText.toLowerCase().split(/\\s+/)")
    assert toggles == ["landmarks", "pose", "parsing"]
    text = page.evaluate("document.getElementById('faces').innerText")
    for words in ("4 points", "yaw 0°, pitch 0°, roll 90°", "skin", "happiness", "Smiling", "20 ± 7 years"):
        assert words in text
    # the one task whose answer depends on the pixels
    wanted = faceperc.Predictor(face_model, threads=1)(sample_image())[0]["redness"].value
    assert page.evaluate("faceperc.faces[0].tasks.redness.value") == pytest.approx(wanted, abs=0.01)


def test_camera(page: Chromium) -> None:
    """Chromium shows the sample photograph to the camera."""
    seen = page.evaluate("""new Promise((resolve) => {
      const camera = document.getElementById('camera');
      const look = () => faceperc.faces.length ? resolve(camera.ariaPressed) : setTimeout(look, 50);
      camera.click();
      look();
    })""")
    assert seen == "true"
    assert page.evaluate("faceperc.faces[0].tasks.expression.label") == "happiness"
    page.evaluate("document.getElementById('camera').click()")
    page.choose_file("#photo", sample_image())  # waits its turn behind the last frame
    assert page.evaluate(SETTLED).startswith("ready: 1 face in ")
    assert page.evaluate("document.getElementById('camera').ariaPressed") == "false"


def test_bad_files_are_named(page: Chromium, tmp_path: Path, detector_model: Path) -> None:
    note = tmp_path / "note.txt"
    note.write_text("neither a picture nor a model")
    page.choose_file("#photo", note)
    assert page.evaluate(SETTLED) == "error: note.txt is not an image that this browser can read"
    page.choose_file("#file", note)
    assert page.evaluate(SETTLED) == "error: note.txt is not an ONNX file, or it is damaged"
    page.choose_file("#file", detector_model)
    assert page.evaluate(SETTLED) == "error: tiny-detector does not read face crops"
    full = face_metadata(FACE_TASKS) | {"name": "whole", "form": "full"}
    page.choose_file("#file", build_face_model(tmp_path / "full.onnx", metadata=full))
    assert page.evaluate(SETTLED) == (
        "error: whole takes whole images (its form is “full”); use its crop form: faceperc export --form crop"
    )
    page.choose_file("#photo", sample_image())  # the model that was open before still is
    assert page.evaluate(SETTLED).startswith("ready: 1 face in ")


def test_page_has_threads_and_reaches_no_other_host(any_page: Chromium) -> None:
    assert any_page.evaluate("crossOriginIsolated") is True
    refused = any_page.evaluate("""new Promise((resolve) => {
      document.addEventListener('securitypolicyviolation', (event) => resolve(event.effectiveDirective));
      fetch('http://localhost:1/').catch(() => null);
    })""")
    assert refused == "connect-src"


def test_server_names_every_model_of_the_package(any_page: Chromium) -> None:
    index = any_page.evaluate("fetch('models/index.json').then((answer) => answer.json())")
    assert index == {"detector": DEFAULT_DETECTOR, "face": list_models()}
    chosen = any_page.evaluate("[...document.getElementById('model').options].map(({ value }) => value)")
    assert chosen == index["face"]


def test_vendor_refuses_another_archive(tmp_path: Path) -> None:
    archive = tmp_path / "onnxruntime-web.tgz"
    archive.write_bytes(b"not what was asked for")
    command = [sys.executable, str(WEB / "vendor.py"), "--file", str(archive)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 2 and "SHA-512" in result.stderr


@pytest.mark.parametrize("port", ["99999", "-1", "http"])
def test_server_refuses_what_is_no_port(port: str) -> None:
    command = [sys.executable, str(WEB / "serve.py"), f"--port={port}"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 2 and "from 0 to 65535" in result.stderr and "Traceback" not in result.stderr


def test_every_module_is_used_and_there() -> None:
    """Also where there is no browser to find it out."""
    texts = {path.name: path.read_text() for path in (WEB / "js").glob("*.js")}
    imported = {name for text in texts.values() for name in re.findall(r"from '\./(.+?)'", text)}
    assert imported | {"main.js"} == set(texts)
    assert 'src="js/main.js"' in (WEB / "index.html").read_text()
