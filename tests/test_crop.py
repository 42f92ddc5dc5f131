"""FaceCrop: coordinates, pixels, labels and rotations agree, at any scale and angle."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from faceperc.crop import CropRule, FaceCrop, box_from_landmarks, check_box
from faceperc.errors import UsageError

relaxed = settings(deadline=None, max_examples=40)

coordinates = st.floats(-500, 500)
angles = st.floats(-180, 180)
crops = st.builds(
    FaceCrop,
    centre=st.tuples(coordinates, coordinates),
    side=st.floats(4, 2000),
    size=st.sampled_from([16, 64, 127, 128, 224]),
    angle=angles,
)


@relaxed
@given(crop=crops, x=coordinates, y=coordinates)
def test_points__round_trip(crop: FaceCrop, x: float, y: float) -> None:
    np.testing.assert_allclose(crop.to_image(crop.to_crop([x, y])), [x, y], atol=1e-6)


@relaxed
@given(crop=crops, x=coordinates, y=coordinates, dx=coordinates, dy=coordinates)
def test_lengths__scale_like_distances(crop: FaceCrop, x: float, y: float, dx: float, dy: float) -> None:
    first, second = crop.to_image([[x, y], [x + dx, y + dy]])
    np.testing.assert_allclose(np.hypot(*(second - first)), crop.length_to_image(np.hypot(dx, dy)), atol=1e-6)


@relaxed
@given(crop=crops)
def test_border__of_the_crop_is_the_border_of_the_region(crop: FaceCrop) -> None:
    upright = FaceCrop(crop.centre, crop.side, crop.size)
    corners = upright.to_image([[-0.5, -0.5], [crop.size - 0.5, crop.size - 0.5]])
    np.testing.assert_allclose(corners.ravel(), upright.region, atol=1e-6)


def test_from_box__rule() -> None:
    crop = FaceCrop.from_box([10, 20, 30, 60], CropRule(64, scale=1.5, shift=(0.1, -0.25)))
    assert crop.centre == (24.0, 30.0) and crop.side == 60.0 and crop.size == 64


@relaxed
@given(
    width=st.floats(30, 800),  # of the region, so the crop magnifies up to 4 times or shrinks up to 12 times
    size=st.sampled_from([64, 112, 128]),
    angle=angles,
    where=st.tuples(st.floats(0.25, 0.75), st.floats(0.25, 0.75)),
    part=st.floats(0, 0.999),
)
def test_warp__a_spot_lands_where_the_coordinates_say(
    width: float, size: int, angle: float, where: tuple[float, float], part: float
) -> None:
    crop = FaceCrop((420.0 + part, 431.3), width, size, angle)
    target = np.array(where) * (size - 1)
    spot = crop.to_image(target)
    image = gaussian(900, 880, spot, sigma=max(2.5 * crop.side / size, 1.0))
    found = centroid(crop.warp(image))
    np.testing.assert_allclose(found, target, atol=0.06)


def test_warp__far_shrunk_image_does_not_alias() -> None:
    stripes = np.zeros((1600, 1600), dtype=np.uint8)
    stripes[:, ::2] = 255
    crop = FaceCrop((800.0, 800.0), 1200.0, 64).warp(stripes)
    assert abs(crop.astype(int) - 128).max() <= 2


def test_warp__identity_copies_the_pixels() -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    np.testing.assert_array_equal(FaceCrop((15.5, 17.5), 16.0, 16).warp(image), image[10:26, 8:24])


@pytest.mark.parametrize("side", [20.0, 400.0])
def test_warp__outside_the_image_is_filled(side: float) -> None:
    image = np.full((100, 100, 3), 200, dtype=np.uint8)
    crop = FaceCrop((0.0, 50.0), side, 16).warp(image, fill=7)
    assert (crop[:, :7] == 7).all()
    assert (crop[8, 8 : 8 + round(min(8, 100 * 16 / side)) - 1] == 200).all()


def test_warp__region_far_outside_is_all_fill() -> None:
    assert (FaceCrop((5000.0, -900.0), 300.0, 16).warp(np.full((50, 50, 3), 9, dtype=np.uint8)) == 0).all()


@relaxed
@given(crop=crops, size=st.sampled_from([8, 32, 57]))
def test_warp_labels__each_pixel_has_the_label_at_its_place(crop: FaceCrop, size: int) -> None:
    labels = np.arange(300 * 280).reshape(300, 280)
    crop = FaceCrop((140.2, 150.7), crop.side / 5 + 5, crop.size, crop.angle)
    warped = crop.warp_labels(labels, size, fill=-1)
    assert warped.shape == (size, size) and warped.dtype == np.int32
    grid = np.stack(np.meshgrid(np.arange(size), np.arange(size)), axis=-1)
    places = FaceCrop(crop.centre, crop.side, size, crop.angle).to_image(grid)
    nearest = np.round(places).astype(int)
    inside = ((nearest >= 0) & (nearest < [280, 300])).all(axis=-1)
    clear = (abs(places - nearest) < 0.499).all(axis=-1)  # not on the line between two pixels
    expected = labels[nearest[..., 1].clip(0, 299), nearest[..., 0].clip(0, 279)]
    np.testing.assert_array_equal(warped[inside & clear], expected[inside & clear])
    assert (warped[~inside & clear] == -1).all()


@relaxed
@given(crop=crops, angle=angles)
def test_rotation__round_trip(crop: FaceCrop, angle: float) -> None:
    rotation = FaceCrop((0.0, 0.0), 1.0, 1, angle).rotation_to_image(np.eye(3))
    np.testing.assert_allclose(crop.rotation_to_image(crop.rotation_to_crop(rotation)), rotation, atol=1e-9)


@relaxed
@given(crop=crops)
def test_rotation__turns_like_the_points(crop: FaceCrop) -> None:
    up_in_crop = np.eye(3)[:, 1]  # of a head that stands upright in the crop
    up = crop.rotation_to_image(np.eye(3)) @ up_in_crop
    middle = (crop.size - 1) / 2
    step = crop.to_image([middle, middle - 1]) - crop.to_image([middle, middle])
    np.testing.assert_allclose([up[0], -up[1]], step / np.hypot(*step), atol=1e-9)


@pytest.mark.parametrize("box", [[0, 0, 1], [0, 0, 0, 5], [5, 5, 1, 9], [0, 0, np.nan, 5], [[0, 0, 1, 1]]])
def test_check_box__refuses(box: list[float]) -> None:
    with pytest.raises(UsageError, match="face box"):
        check_box(box)


def test_box_from_landmarks() -> None:
    points = [[10, 20], [30, 100]]
    np.testing.assert_allclose(box_from_landmarks(points), [10, 0, 30, 100])
    np.testing.assert_allclose(box_from_landmarks([*points, [np.nan, np.nan]]), [10, 0, 30, 100])


def gaussian(width: int, height: int, centre: NDArray[np.float64], sigma: float) -> NDArray[np.uint8]:
    x = np.exp(-((np.arange(width) - centre[0]) ** 2) / (2 * sigma**2))
    y = np.exp(-((np.arange(height) - centre[1]) ** 2) / (2 * sigma**2))
    return np.round(255 * np.outer(y, x)).astype(np.uint8)


def centroid(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    weight = np.where(image > 25, image.astype(float), 0.0)  # the rounded tail would pull
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    return np.array([(weight * x).sum(), (weight * y).sum()]) / weight.sum()
