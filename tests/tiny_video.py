"""What tests of video need: a tiny face model and detector that see red rectangles, and clips of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper
from PIL import Image
from tiny_onnx import SCALE, SIZE, _save, face_metadata

from faceperc.video.frames import Frame

Array = NDArray[np.float64]

FPS = 30
FACE = (48.0, 60.0)  # width and height of a red face, pixels
RED, GREY = (220, 30, 30), (90, 90, 90)


def face_points() -> Array:
    """(68, 2) points whose face box, which adds 25 % of their height, is x, y in [-0.5, 0.5]."""
    points = np.random.default_rng(0).uniform([-0.5, -0.3], [0.5, 0.5], (68, 2))
    points[:4] = [[-0.5, -0.3], [0.5, -0.3], [-0.5, 0.5], [0.5, 0.5]]
    return points


def build_red_model(path: Path) -> Path:
    """A face model that finds a red rectangle in its crop: 68 points, with large errors where there is none,
    and the rotation task, always upright."""
    grid = np.arange(SIZE, dtype=np.float32)
    full = (SIZE / SCALE) ** 2 * FACE[0] / FACE[1]  # crop pixels that a whole face covers
    constants: dict[str, Any] = {
        "zero": np.array(0), "one": np.array(1), "axes": np.array([1, 2]), "last": np.array([1]),
        "x": grid[None, None, :], "y": grid[None, :, None], "tiny": np.float32(1e-3), "255": np.float32(255),
        "12": np.float32(12), "nought": np.float32(0), "full": np.float32(full), "0.7": np.float32(0.7),
        "steep": np.float32(8), "usual": np.float32(0.4), "template": face_points().astype(np.float32)[None],
        "ones": np.ones((1, 68), np.float32), "eye": np.eye(3, dtype=np.float32)[None],
        "flat": np.array([-1, 1, 1]), "pair": np.array([-1, 1, 2]),
    }  # fmt: skip
    nodes = []

    def add(kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    add("Cast", ["crops"], "pixels", to=TensorProto.FLOAT)
    add("Gather", ["pixels", "zero"], "red", axis=3)
    add("Gather", ["pixels", "one"], "green", axis=3)
    add("Sub", ["red", "green"], "difference")
    add("Relu", ["difference"], "positive")
    add("Div", ["positive", "255"], "weight")
    add("ReduceSum", ["weight", "axes"], "mass", keepdims=0)
    add("Max", ["mass", "tiny"], "some")
    for axis in "xy":
        add("Mul", ["weight", axis], f"{axis}w")
        add("Mul", [f"{axis}w", axis], f"{axis}ww")
        for power in ("w", "ww"):
            add("ReduceSum", [f"{axis}{power}", "axes"], f"{axis}{power}sum", keepdims=0)
            add("Div", [f"{axis}{power}sum", "some"], f"{axis}{power}mean")
        add("Mul", [f"{axis}wmean", f"{axis}wmean"], f"{axis}square")
        add("Sub", [f"{axis}wwmean", f"{axis}square"], f"{axis}variance")
        add("Max", [f"{axis}variance", "tiny"], f"{axis}positive")
        add("Mul", [f"{axis}positive", "12"], f"{axis}12")  # of a uniform distribution: length squared / 12
        add("Sqrt", [f"{axis}12"], f"{axis}length")
    for what in ("wmean", "length"):
        for axis in "xy":
            add("Unsqueeze", [f"{axis}{what}", "last"], f"{axis}{what}1")
        add("Concat", [f"x{what}1", f"y{what}1"], f"{what}2", axis=1)
        add("Reshape", [f"{what}2", "pair"], f"{what}3")
    add("Mul", ["template", "length3"], "spread")
    add("Add", ["spread", "wmean3"], "landmarks.points")
    add("Div", ["mass", "full"], "share")
    add("Sub", ["0.7", "share"], "lack")
    add("Relu", ["lack"], "lacking")
    add("Mul", ["lacking", "steep"], "doubt")
    add("Add", ["doubt", "usual"], "error")
    add("Unsqueeze", ["error", "last"], "error1")
    add("Mul", ["error1", "ones"], "landmarks.sigma")
    add("Mul", ["mass", "nought"], "zeros")
    add("Reshape", ["zeros", "flat"], "zeros3")
    add("Add", ["zeros3", "eye"], "pose.matrix")
    add("Mul", ["share", "255"], "redness.value")
    tasks: dict[str, Any] = {
        "landmarks": ({"kind": "points"}, {"points": np.zeros((68, 2)), "sigma": np.zeros(68)}),
        "pose": ({"kind": "rotation"}, {"matrix": np.eye(3)}),
    }
    shapes = {
        "landmarks.points": [68, 2],
        "landmarks.sigma": [68],
        "pose.matrix": [3, 3],
        "redness.value": [],
    }
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *shape])
        for name, shape in shapes.items()
    ]
    crops = helper.make_tensor_value_info("crops", TensorProto.UINT8, ["N", SIZE, SIZE, 3])
    return _save(path, nodes, [crops], outputs, constants, face_metadata(tasks))


class RedDetector:
    """Finds red rectangles that do not share a column; counts how often it was asked."""

    def __init__(self, score: float = 0.9) -> None:
        self.calls = 0
        self.score = score

    def detect(self, image: NDArray[np.uint8]) -> tuple[Array, Array]:
        self.calls += 1
        red = image[..., 0].astype(int) - image[..., 1] > 100
        columns = np.flatnonzero(red.any(axis=0))
        boxes = []
        for run in np.split(columns, np.flatnonzero(np.diff(columns) > 1) + 1):
            rows = np.flatnonzero(red[:, run].any(axis=1)) if len(run) else []
            if len(run) > 8 and len(rows) > 8:
                boxes.append([run[0] - 0.5, rows[0] - 0.5, run[-1] + 0.5, rows[-1] + 0.5])
        return np.reshape(boxes, (-1, 4)).astype(np.float64), np.full(len(boxes), self.score)


Path2D = Callable[[float], tuple[float, float] | None]


def red_clip(
    paths: Sequence[Path2D], seconds: float, size: tuple[int, int] = (320, 160), fps: float = FPS
) -> Iterator[Frame]:
    """Frames with a red face around the point of each path; none where a path gives None.

    Args:
        paths: the faces' centres (x, y) at a time in seconds.
        seconds: length.
        size: width and height of the frames.
        fps: frames per second.
    """
    for index in range(round(seconds * fps)):
        image = np.full((size[1], size[0], 3), GREY, np.uint8)
        for path in paths:
            if (centre := path(index / fps)) is not None:
                (x, y), (width, height) = centre, FACE
                left, top = (max(0, round(low)) for low in (x - width / 2, y - height / 2))
                right, bottom = (max(0, round(high)) for high in (x + width / 2, y + height / 2))
                image[top:bottom, left:right] = RED
        yield Frame(image, index, Fraction(1) / Fraction(fps).limit_denominator(1001))


def write_video(
    path: Path,
    images: Sequence[NDArray[np.uint8]],
    times: Sequence[float] | None = None,
    rotation: int = 0,
    options: dict[str, str] | None = None,
    form: str | None = None,
    aspect: Fraction = Fraction(1),
) -> Path:
    """A video file, H.264, all of whose frames can be decoded without another.

    Args:
        path: the file.
        images: (H, W, 3) uint8 of even sizes.
        times: of the frames, in seconds and whole milliseconds; by default 30 per second.
        rotation: degrees, counter-clockwise, by which a player is to turn the frames.
        options: of the container.
        form: of the container.
        aspect: width of a pixel over its height.
    """
    base = Fraction(1, 1000)
    with av.open(str(path), "w", options=options or {}, format=form) as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.sample_aspect_ratio = aspect
        stream.time_base = stream.codec_context.time_base = base
        stream.codec_context.options = {"g": "1", "bf": "0", "crf": "10", "preset": "ultrafast"}
        if rotation:
            stream.set_display_rotation(rotation)
        for index, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            time = index / FPS if times is None else times[index]
            frame.pts, frame.time_base = round(1000 * time), base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def read_video(path: Path) -> list[tuple[float, NDArray[np.uint8]]]:
    """Time and image of each frame of a file."""
    with av.open(str(path)) as container:
        return [(frame.time, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]


def portrait(size: int = 140) -> Image.Image:
    """The astronaut's face, its box about 45 % of the picture's side."""
    from faceperc import sample_image

    return Image.open(sample_image()).convert("RGB").crop((110, 10, 340, 240)).resize((size, size))
