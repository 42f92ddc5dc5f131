"""Photographs of one's own: drawn faces with and without sunglasses, and a table of them."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw
from tiny_pack import draw_face, project, tiny_config

from faceperc.config import FaceModelConfig
from faceperc.model import FaceModel

BOX = {"x0": 20, "y0": 15, "x1": 75, "y1": 85}


def photo(index: int, sun: bool) -> Image.Image:
    """A drawn face of 96 px, another one for every index."""
    random = np.random.default_rng(index)
    points = project(float(random.uniform(-25, 25)), float(random.uniform(-10, 10)), 0.0)
    image = draw_face(points, int(random.integers(256)))
    if sun:
        (x0, y0), (x1, y1) = points[36:48].min(0) - 6, points[36:48].max(0) + 6
        ImageDraw.Draw(image).rectangle([x0, y0, x1, y1], fill=(10, 10, 10))
    return image


def write_photos(folder: Path, count: int = 40) -> list[dict[str, Any]]:
    """Photographs as PNG files, and a row of a table for each, half of them with sunglasses."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for index in range(count):
        sun = index % 2 == 1
        photo(index, sun).save(folder / f"{index:02}.png")
        rows.append({"image": f"{index:02}.png", **BOX, "glasses": "sun" if sun else "none"})
    return rows


def write_table(path: Path, rows: list[dict[str, Any]]) -> Path:
    """A CSV file of rows, with the columns of all of them."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_model(folder: Path, **changes: Any) -> Path:
    """A tiny untrained model to start from."""
    import torch

    torch.manual_seed(0)
    return FaceModel(FaceModelConfig.from_dict(tiny_config(**changes))).save(folder)
