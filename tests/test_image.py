"""read_image: every kind of source, the limits, and a clear error for whatever is no usable image."""

from __future__ import annotations

import io
import os
import random
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFile

from faceperc.errors import ImageError, ImageFormatError, ImageTooLargeError
from faceperc.image import image_size, read_image

RED_GREEN = np.zeros((12, 20, 3), dtype=np.uint8)
RED_GREEN[:, :10, 0] = 200
RED_GREEN[:, 10:, 1] = 100


def encode(picture: Image.Image, image_format: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, image_format, **options)
    return stream.getvalue()


@pytest.mark.parametrize("kind", ["str", "path", "bytes", "pillow", "array"])
def test_source__same_pixels_however_given(tmp_path: Path, kind: str) -> None:
    picture = Image.fromarray(RED_GREEN)
    path = tmp_path / "a b ü.png"
    picture.save(path)
    sources = {
        "str": str(path), "path": path, "bytes": path.read_bytes(), "pillow": picture, "array": RED_GREEN
    }  # fmt: skip
    result = read_image(sources[kind])
    assert result.dtype == np.uint8 and result.flags.c_contiguous
    np.testing.assert_array_equal(result, RED_GREEN)


def test_array__grey_becomes_three_channels() -> None:
    result = read_image(np.full((9, 11), 7, dtype=np.uint8))
    assert result.shape == (9, 11, 3) and (result == 7).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif__every_orientation_is_undone(orientation: int) -> None:
    upright = Image.fromarray(RED_GREEN)
    operations = [
        None,
        Image.Transpose.FLIP_LEFT_RIGHT,
        Image.Transpose.ROTATE_180,
        Image.Transpose.FLIP_TOP_BOTTOM,
        Image.Transpose.TRANSPOSE,
        Image.Transpose.ROTATE_90,  # stored turned the other way than it is to be turned back
        Image.Transpose.TRANSVERSE,
        Image.Transpose.ROTATE_270,
    ]
    operation = operations[orientation - 1]
    stored = upright if operation is None else upright.transpose(operation)
    exif = Image.Exif()
    exif[0x0112] = orientation
    np.testing.assert_array_equal(read_image(encode(stored, exif=exif)), RED_GREEN)


def test_exif__broken_block_is_ignored() -> None:
    data = encode(Image.fromarray(RED_GREEN), "JPEG", exif=b"Exif\0\0this is no TIFF header")
    assert read_image(data).shape == RED_GREEN.shape


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "LAB", "I;16"])
def test_mode__all_become_rgb(mode: str) -> None:
    grey = Image.fromarray(np.full((10, 10), 255, dtype=np.uint8))
    picture = Image.new("I;16", (10, 10), 65535) if mode == "I;16" else None
    if picture is None:
        source = grey.convert("RGB") if mode in ("HSV", "CMYK", "YCbCr") else grey
        picture = Image.new("LAB", (10, 10), (255, 128, 128)) if mode == "LAB" else source.convert(mode)
    result = read_image(picture)
    assert result.shape == (10, 10, 3) and (result >= 253).all()


def test_transparency__lies_over_white() -> None:
    clear = np.zeros((10, 10, 4), dtype=np.uint8)
    clear[:5] = (10, 20, 30, 255)
    result = read_image(encode(Image.fromarray(clear)))
    assert (result[:5] == (10, 20, 30)).all() and (result[5:] == 255).all()


def test_transparency__of_a_palette() -> None:
    picture = Image.new("P", (10, 10), 1)
    picture.putpalette([0, 0, 0, 200, 0, 0])
    picture.paste(0, (0, 0, 10, 5))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = read_image(encode(picture, transparency=0))
    assert (result[:5] == 255).all() and (result[5:] == (200, 0, 0)).all()


@pytest.mark.parametrize("image_format", ["PNG", "TIFF", "PPM"])
def test_sixteen_bit_grey__is_scaled_not_clipped(image_format: str) -> None:
    ramp = np.linspace(0, 65535, 16 * 16).round().astype(np.uint16).reshape(16, 16)
    result = read_image(encode(Image.fromarray(ramp), image_format))
    np.testing.assert_allclose(result[..., 0], ramp / 257, atol=0.51)


@pytest.mark.parametrize("image_format", [None, "TIFF"])
def test_integers__of_eight_bits_stay_what_they_are(image_format: str | None) -> None:
    """Mode "I" has 32 bits, whatever it was made from."""
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16)
    picture = Image.fromarray(ramp).convert("I")
    result = read_image(picture if image_format is None else encode(picture, image_format))
    np.testing.assert_array_equal(result[..., 0], ramp)
    np.testing.assert_array_equal(read_image(Image.fromarray(ramp.astype(np.int32) * 257))[..., 0], ramp)


@pytest.mark.parametrize("image_format", ["PNG", "PPM", "TIFF"])
def test_sixteen_bit_grey__that_is_dark_stays_dark(image_format: str) -> None:
    dark = np.full((16, 16), 255, dtype=np.uint16)
    assert read_image(encode(Image.fromarray(dark), image_format)).max() <= 1


def test_threads__leave_the_warnings_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Image.open

    def slowly(*arguments: Any, **options: Any) -> Image.Image:
        time.sleep(0.001 * random.random())
        return opened(*arguments, **options)

    monkeypatch.setattr(Image, "open", slowly)
    data, before = encode(Image.fromarray(RED_GREEN)), list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(read_image, [data] * 64))
    assert warnings.filters == before


def test_animation__first_frame() -> None:
    first, second = (Image.new("RGB", (10, 10), colour) for colour in ("red", "blue"))
    result = read_image(encode(first, "GIF", save_all=True, append_images=[second]))
    assert (result == (255, 0, 0)).all()


def test_large_image__no_warning_below_the_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 150)  # Pillow would warn from here on
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_image(encode(Image.fromarray(RED_GREEN))).shape == RED_GREEN.shape


def broken_jpeg() -> bytes:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    data = encode(Image.fromarray(noise), "JPEG")
    return data[: len(data) // 2]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"hello, I am no image", "not an image"),
        (b"\x89PNG\r\n\x1a\n", "is "),  # a header that stops at once
        (broken_jpeg(), "truncated"),
        (encode(Image.fromarray(RED_GREEN))[:-30], "truncated"),
        (encode(Image.new("RGB", (1, 1))), "too small: 1 x 1"),
        (encode(Image.new("RGB", (400, 5))), "too small: 400 x 5"),
        (encode(Image.new("F", (10, 10)), "TIFF"), "floats"),
        (encode(Image.new("I", (10, 10), 70000), "TIFF"), "16 bits"),
        (encode(Image.new("RGB", (20, 20)), "EPS"), "not an image of a known format"),
        (encode(Image.new("RGB", (32, 32)), "ICO"), "not an image of a known format"),
    ],
)
def test_bad_data__error_names_the_file_and_the_reason(tmp_path: Path, data: bytes, reason: str) -> None:
    path = tmp_path / "input.jpg"
    path.write_bytes(data)
    with pytest.raises(ImageError, match=reason) as caught:
        read_image(path)
    assert str(path) in str(caught.value)
    with pytest.raises(ImageError, match=reason):
        read_image(data)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"nothing\.jpg: no such file"):
        read_image(tmp_path / "nothing.jpg")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("", "empty path"),
        (".", "directory"),
        ("a\0b", "cannot be read"),
        ("x" * 5000, "cannot be read"),
        ("https://example.com/a.jpg", "URL"),
        (None, "NoneType"),
        (3, "int"),
    ],
)
def test_bad_source(source: Any, reason: str) -> None:
    with pytest.raises(ImageError, match=reason):
        read_image(source)


def test_directory(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="is a directory"):
        read_image(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_pipe__is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(ImageError, match="not a regular file"):
        read_image(tmp_path / "pipe.jpg")


def test_limits__pixels_before_decoding() -> None:
    data = encode(Image.new("RGB", (100, 100)))
    assert read_image(data, max_pixels=10_000).shape == (100, 100, 3)
    with pytest.raises(
        ImageError, match=r"too large: 100 x 100 pixels.*shrink it, or give Predictor a larger max_pixels"
    ):
        read_image(data[:60], max_pixels=9_999)  # the pixels are not there: only the header was read


def test_limits__bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encode(Image.fromarray(RED_GREEN)))
    with pytest.raises(ImageError, match=r"too large: \d+ bytes, more than 50; shrink it$"):
        read_image(path, max_bytes=50)


def test_limits__beyond_pillows_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(ImageError, match="too large"):
        read_image(encode(Image.fromarray(RED_GREEN)))


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.zeros((20, 20, 3)), r"float64.*\(255 \* array\)"),
        (np.zeros((20, 20, 3), dtype=np.int32), "int32"),
        (np.zeros((20, 20), dtype=bool), "bool"),
        (np.zeros((20, 20, 4), dtype=np.uint8), "RGBA"),
        (np.zeros((3, 20, 20), dtype=np.uint8), "transpose"),
        (np.zeros((2, 20, 20, 3), dtype=np.uint8), r"\(2, 20, 20, 3\)"),
        (np.zeros((20, 20, 2), dtype=np.uint8), r"\(20, 20, 2\)"),
        (np.zeros(20, dtype=np.uint8), r"\(20,\)"),
        (np.zeros((0, 0, 3), dtype=np.uint8), "too small"),
        (np.zeros((1, 1, 3), dtype=np.uint8), "too small"),
    ],
)
def test_bad_array__says_what_is_expected(array: Any, reason: str) -> None:
    with pytest.raises(ImageError, match=reason):
        read_image(array)


def test_size_comes_from_the_header_alone() -> None:
    stream = io.BytesIO()
    Image.new("RGB", (120, 90)).save(stream, "PNG")
    data = stream.getvalue()
    assert image_size(data[:60]) == (120, 90)  # the pixels are missing
    with pytest.raises(ImageTooLargeError, match="120 x 90 pixels, more than 100"):
        image_size(data, max_pixels=100)
    with pytest.raises(ImageTooLargeError):
        read_image(data, max_bytes=50)
    with pytest.raises(ImageFormatError, match="not an image of a known format"):
        image_size(b"hello")


@pytest.mark.parametrize(
    "image_format", ["AVIF", "BMP", "GIF", "ICO", "JPEG", "JPEG2000", "MPO", "PNG", "PPM", "TIFF", "WEBP"]
)
def test_no_format_is_decoded_to_tell_its_size(image_format: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode(Image.new("RGB", (64, 48)), image_format)
    decoded = []
    load = ImageFile.ImageFile.load
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: decoded.append(self) or load(self))
    if image_format == "ICO":  # Pillow's reader of icons decodes what is in them
        with pytest.raises(ImageFormatError):
            image_size(data)
    else:
        assert image_size(data) == (64, 48)
    assert not decoded
