"""What colour a pixel of a mesh has, before light falls on it. Linear RGB."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from faceperc.synthetic.colour import linear
from faceperc.synthetic.look import Look
from faceperc.synthetic.mesh import Floats
from faceperc.synthetic.model import FaceModel


def head_albedo(
    model: FaceModel, look: Look, scalp: float, triangle: NDArray[np.int64], weights: Floats
) -> tuple[Floats, Floats]:
    """(N, 3) colour and (N,) openness of pixels of the head.

    Args:
        model: the face model.
        look: the person's colours.
        scalp: how much of the hair's colour the scalp has.
        triangle: (N,) the model's triangle that a pixel shows.
        weights: (N, 3) barycentric weights.
    """
    corners = model.triangles[triangle]

    def mixed(values: NDArray[np.floating]) -> Floats:
        result: Floats = np.einsum("nc...,nc->n...", values[corners], weights).astype(np.float32)
        return result

    place = mixed(model.neutral)
    openness = mixed(model.openness)
    colour = np.broadcast_to(look.skin, place.shape).copy()

    x, y, z = place.T
    ears = mixed(model.is_region("ear_left", "ear_right").astype(np.float32))
    cheeks = np.exp(-((np.abs(x) - 4.6) ** 2 + (y - 0.3) ** 2) / 6) * (z > 4)
    nose = np.exp(-(x**2 + (y - 0.4) ** 2) / 1.5) * (z > 11)
    warm = cheeks + nose + 0.7 * ears
    colour *= 1 - look.redness * warm[:, None] * np.array([0.1, 0.45, 0.4], np.float32)

    outside = model.is_part("face", "head_neck")[triangle]
    hairy = scalp * np.clip(mixed(model.hairline) / 1.2 + 0.3, 0, 1) * outside * (1 - ears)
    shaven = look.beard * _beard(place)
    region = _region_of(model, triangle, weights)
    names = model.region_names
    brow = np.isin(region, [names.index("brow_left"), names.index("brow_right")])
    hairy = np.maximum(np.maximum(hairy, shaven), look.brow * brow)
    lips = np.isin(region, [names.index("lip_upper"), names.index("lip_lower")])
    colour = np.where(lips[:, None], look.lips, colour)
    hairy = np.where(lips, 0, hairy)[:, None]
    colour = colour * (1 - hairy) + look.hair * hairy

    for part, value in (("teeth", "e8e2d0"), ("gums_tongue", "b0605c"), ("mouth_socket", "6a2a2a")):
        chosen = model.is_part(part)[triangle]
        colour[chosen] = linear(value)
    eyes = model.is_part("sclera")[triangle]
    colour[eyes] = _eye(model, look, place[eyes])
    return colour.astype(np.float32), openness


def _beard(place: Floats) -> Floats:
    """(N,) in [0, 1]: the beard's region of points (N, 3) of the neutral face."""
    x, y, z = place.T
    jaw = np.clip((-2.0 - y) / 1.5 + np.clip((np.abs(x) - 5.2) / 1.0, 0, 2.5), 0, 1)
    lip = np.exp(-((np.abs(x) / 2.6) ** 4)) * np.clip((-0.9 - y) / 0.5, 0, 1) * (z > 9)
    inside = np.clip((z - 1.8) / 1.0, 0, 1) * np.clip((y + 10) / 1.5, 0, 1) * np.clip((2.5 - y) / 1.5, 0, 1)
    weight: Floats = np.maximum(jaw, lip) * inside
    return weight


def _region_of(model: FaceModel, triangle: NDArray[np.int64], weights: Floats) -> NDArray[np.int64]:
    """(N,) index of the face's region; -1 outside of the face's texture."""
    uv = np.einsum("nck,nc->nk", model.uv[triangle], weights)
    side = len(model.region_map)
    column = (uv[:, 0] * side).astype(np.int64).clip(0, side - 1)
    row = ((1 - uv[:, 1]) * side).astype(np.int64).clip(0, side - 1)
    region = model.region_map[row, column].astype(np.int64)
    return np.where(model.is_part("face")[triangle], region, -1)


def _eye(model: FaceModel, look: Look, place: Floats) -> Floats:
    """(N, 3) colour of points of the eyeballs: iris and pupil painted around the gaze."""
    left = place[:, 0] > 0
    offset = place - np.where(left[:, None], model.eye_centre[0], model.eye_centre[1])
    across, up = np.radians(look.gaze)
    gaze = np.array([np.sin(across) * np.cos(up), np.sin(up), np.cos(across) * np.cos(up)], np.float32)
    along = offset @ gaze
    aside = np.sqrt(np.maximum((offset**2).sum(1) - along**2, 0))
    aside = np.where(along > 0, aside, 9.0)
    colour = np.broadcast_to(linear("c8c2bc"), place.shape).copy()
    colour[aside < model.iris_radius] = look.iris
    colour[aside < 0.4 * model.iris_radius] = 0.004
    return colour


def sample_texture(texture: Floats, uv: Floats) -> Floats:
    """(N, ...) bilinear values of a texture at (N, 2) coordinates in [0, 1]; u runs along its columns."""
    height, width = texture.shape[:2]
    x = (uv[:, 0] * (width - 1)).astype(np.float32)
    y = (uv[:, 1] * (height - 1)).astype(np.float32)
    # OpenCV maps at most 32767 rows
    lines = int(np.ceil(max(len(uv), 1) / 1024))
    padded = np.zeros((2, lines * 1024), np.float32)
    padded[:, : len(uv)] = x, y
    found = cv2.remap(texture, padded[0].reshape(lines, -1), padded[1].reshape(lines, -1), cv2.INTER_LINEAR)
    return np.asarray(found, np.float32).reshape(lines * 1024, *texture.shape[2:])[: len(uv)]
