"""A miniature of the parquet pack: a few drawn faces per source, in the real files' layout."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from faceperc.data.mean_face import MEAN_FACE
from faceperc.rotations import matrix_from_angles

SIZE = 96  # side of the images, pixels
ROWS = 6
EXPRESSIONS = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger")
SOURCES = ("w300", "ytf68", "celebahq1k", "fasseg", "figaro1k", "utkface", "muxspace", "fer2013")


def project(yaw: float, pitch: float, roll: float, scale: float = 4.0) -> NDArray[np.float64]:
    """(68, 2) image pixels of the mean face under a rotation, centred in the image."""
    turned = MEAN_FACE @ matrix_from_angles(yaw, pitch, roll).T
    return turned[:, :2] * [scale, -scale] + (SIZE - 1) / 2


def draw_face(points: NDArray[np.float64], shade: int) -> Image.Image:
    """Skin, eyes and mouth where the points say."""
    image = Image.new("RGB", (SIZE, SIZE), (30, 60, shade))
    pen = ImageDraw.Draw(image)
    outline = [tuple(p) for p in [*points[:17], *(points[26:16:-1] - [0, 8])]]
    pen.polygon(outline, fill=(220, 180, 150))
    for part in (points[36:42], points[42:48]):
        pen.polygon([tuple(p) for p in part], fill=(20, 20, 60))
    pen.polygon([tuple(p) for p in points[48:60]], fill=(180, 40, 40))
    return image


def encoded(image: Image.Image, kind: str = "PNG") -> dict[str, Any]:
    stream = io.BytesIO()
    image.save(stream, kind)
    return {"bytes": stream.getvalue(), "path": "drawn"}


def _mask(points: NDArray[np.float64], classes: int) -> dict[str, Any]:
    """Bands from top to bottom: every class occurs."""
    rows = np.arange(SIZE) * classes // SIZE
    return encoded(Image.fromarray(np.repeat(rows[:, None], SIZE, axis=1).astype(np.uint8)))


def row(source: str, index: int) -> dict[str, Any]:
    """One row of a source."""
    yaw = float((index % 3 - 1) * 30)
    points = project(yaw, 0.0, 0.0)
    image = draw_face(points, 40 * index)
    box = [*points.min(0).tolist(), *points.max(0).tolist()]
    common = {"image": encoded(image), "width": SIZE, "height": SIZE}
    detected = {"det_box": box, "det_points": None, "det_score": 0.9, "face_box": None}
    match source:
        case "w300":
            return common | {"landmarks": points.ravel().tolist(), "face_box": box, "subset": "afw"}
        case "ytf68":
            return (
                common | detected | {"landmarks": points.ravel().tolist(), "person": f"p{index}", "video": 0}
            )
        case "celebahq1k":
            pose = {"pose_yaw": yaw, "pose_pitch": 0.0, "pose_roll": 3.0, "index": index}
            attributes = [(index + k) % 2 for k in range(40)]
            return common | detected | pose | {"hair_mask": _mask(points, 2), "attributes": attributes}
        case "figaro1k":
            seen = detected if index % 2 else detected | {"det_box": None}
            return common | seen | {"hair_mask": _mask(points, 2), "hair_type": "wavy"}
        case "fasseg":
            angle = {"yaw": yaw if index % 2 else None, "subset": "multipose", "person": "p"}
            return common | detected | angle | {"mask": _mask(points, 6), "source_folder": "x"}
        case "utkface":
            return common | detected | {"age": 10 * index + 5, "gender": index % 2, "race": index % 5}
        case "muxspace":
            return common | detected | {"expression": EXPRESSIONS[index % 7], "person": f"p{index}"}
        case "fer2013":
            grey = image.convert("L").resize((48, 48))
            return {
                "image": encoded(grey, "JPEG"),
                "width": 48,
                "height": 48,
                "expression": EXPRESSIONS[index % 7],
            }
    raise ValueError(source)


def write_pack(folder: Path, rows: int = ROWS) -> Path:
    """Write train and val of every source."""
    for source in SOURCES:
        (folder / source).mkdir(parents=True, exist_ok=True)
        for split, offset in (("train", 0), ("val", 1)):
            table = pa.Table.from_pylist([row(source, index + offset) for index in range(rows)])
            pq.write_table(table, folder / source / f"{split}.parquet")
    return folder


def tiny_config(**changes: Any) -> dict[str, Any]:
    """The default model's configuration on timm's tiny test network, 64 px crops."""
    import yaml

    config = yaml.safe_load((Path(__file__).parents[1] / "configs/model/nano.yaml").read_text())
    config["name"] = "tiny"
    config["backbone"] = {"name": "test_vit", "image_size": 64, "blocks": 2}
    config["decoder"] = {"heads": 4, "blocks": 1, "mlp_ratio": 2.0, "pixel_dim": 16}
    return json.loads(json.dumps(config | changes))
