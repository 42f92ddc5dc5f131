"""Pictures inside a page: data URIs of bounded size."""

from __future__ import annotations

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, features

from faceperc.crop import CropRule, FaceCrop

THUMBNAIL = CropRule(size=192, scale=1.5)  # a face with some of what is around it
WHOLE_SIDE = 640  # longer side of a whole picture, pixels

_FORMAT = "WEBP" if features.check("webp") else "JPEG"  # half the bytes; a few builds of Pillow lack it


def data_uri(picture: NDArray[np.uint8], quality: int = 85) -> str:
    """An RGB picture (H, W, 3) with losses, to stand in the page itself."""
    return _uri(Image.fromarray(picture), _FORMAT, quality=quality)


def png_uri(picture: Image.Image) -> str:
    """A picture without loss, such as a mask."""
    return _uri(picture, "PNG", optimize=True)


def thumbnail(pixels: NDArray[np.uint8], box: NDArray[np.float64]) -> str:
    """The face of a box (4,) in an image (H, W, 3), as `THUMBNAIL` cuts it out."""
    return data_uri(FaceCrop.from_box(box, THUMBNAIL).warp(pixels), quality=78)


def whole(pixels: NDArray[np.uint8]) -> str:
    """An image (H, W, 3), shrunk where its longer side has more than `WHOLE_SIDE` pixels."""
    picture = Image.fromarray(pixels)
    picture.thumbnail((WHOLE_SIDE, WHOLE_SIDE))
    return data_uri(np.asarray(picture), quality=75)


def _uri(picture: Image.Image, image_format: str, **options: int) -> str:
    stream = io.BytesIO()
    picture.save(stream, image_format, **options)
    data = base64.b64encode(stream.getvalue()).decode("ascii")
    return f"data:image/{image_format.lower()};base64,{data}"
