"""One random head, rendered, with its labels."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from faceperc.crop import box_from_landmarks
from faceperc.data.boxes import five_points
from faceperc.synthetic.body import random_torso
from faceperc.synthetic.camera import Camera, random_distance, random_view, rotation_of_view
from faceperc.synthetic.colour import to_srgb
from faceperc.synthetic.glasses import random_glasses
from faceperc.synthetic.hair import random_hair
from faceperc.synthetic.light import random_light
from faceperc.synthetic.look import random_look
from faceperc.synthetic.mesh import Floats, Mesh, Rng
from faceperc.synthetic.model import FaceModel, random_expression, random_identity
from faceperc.synthetic.neck import random_neck
from faceperc.synthetic.noise import smooth_noise
from faceperc.synthetic.paint import paint
from faceperc.synthetic.raster import Buffer, rasterise
from faceperc.synthetic.skull import skull_map

Array = NDArray[np.float64]

_SUPERSAMPLING = 2
_HIDDEN = 0.35  # cm by which something must lie before a point to hide it
_ATTEMPTS = 20  # a given view from below may be hidden by every body
_MOST_HIDDEN = 0.25  # share of the skull that shoulders may hide
_FLAT_EARS = 0.25  # how far they stand out under a hood, as a share
_FRAMED = -9.0  # cm: what lies above, chin and hair, is what the camera frames


@dataclass(frozen=True)
class Rendered:
    """A picture of a head and its labels, pixel coordinates ((0, 0) is the centre of the top left pixel).

    Attributes:
        image: (S, S, 4) uint8 RGBA, not premultiplied.
        points68: (68, 2) the 68 points (fixed on the surface, "3D" style), wherever they are.
        points5: (5, 2) subject's right eye, left eye, nose tip, right mouth corner, left mouth corner.
        visible68: (68,) whether the point can be seen: neither turned away nor covered.
        rotation: (3, 3) the head's, relative to the viewing ray; see docs/contract.md.
        box: (4,) the face's box from the points, as if one could look through the head.
    """

    image: NDArray[np.uint8]
    points68: Array
    points5: Array
    visible68: NDArray[np.bool_]
    rotation: Array
    box: Array


def render(
    rng: Rng, model: FaceModel, size: int = 160, view: tuple[float, float, float] | None = None
) -> Rendered:
    """A random head. One that its own body hides is drawn again.

    Args:
        rng: source of all randomness.
        model: the face model.
        size: side of the picture in pixels.
        view: turn, pitch and roll in degrees, as `camera.rotation_of_view` takes them; random by default.
    """
    for _ in range(_ATTEMPTS):
        head, hidden = _attempt(rng, model, size, random_view(rng) if view is None else view)
        if hidden < _MOST_HIDDEN:
            break
    return head


def _attempt(
    rng: Rng, model: FaceModel, size: int, view: tuple[float, float, float]
) -> tuple[Rendered, float]:
    """A head, and the share of the skull that its body hides."""
    vertices = model.vertices(random_identity(rng), random_expression(rng, model.expression_names))
    skull = skull_map(model)
    hair = random_hair(rng, skull, vertices)
    if hair.wear == "hood":
        vertices = _with_flat_ears(model, vertices)
    bare = model.is_region("neck", "shoulders") & (model.neutral[:, 1] < -8)
    torso = random_torso(rng, vertices[bare])
    neck = random_neck(rng, view)
    bent = neck.bend(vertices, model.neutral)
    meshes = [Mesh(bent, model.triangles, "head")]
    worn = (*hair.meshes, *random_glasses(rng, vertices[model.landmarks]), torso)
    meshes += [replace(mesh, vertices=neck.bend(mesh.vertices)) for mesh in worn]
    camera = _camera(rng, vertices[model.landmarks], meshes, rotation_of_view(*view), size)
    look, light = random_look(rng), random_light(rng)

    fine = camera.enlarged(_SUPERSAMPLING)
    points = [fine.project(mesh.vertices) for mesh in meshes]
    buffer = _fill(points, meshes, size * _SUPERSAMPLING)
    colour = paint(buffer, meshes, model, look, light, hair.scalp, camera.rotation)
    image = _finish(rng, colour, buffer.triangle >= 0)

    landmarks = vertices[model.landmarks]
    points68 = camera.project(landmarks)[:, :2].astype(np.float64)
    head = Rendered(
        image=image,
        points68=points68,
        points5=five_points(points68),
        visible68=visible(buffer, fine.project(landmarks)),
        rotation=camera.rotation,
        box=box_from_landmarks(points68),
    )
    return head, _hidden_by(buffer, len(torso.triangles), fine.project(skull.surface(vertices)[::8, ::8]))


def _with_flat_ears(model: FaceModel, vertices: Floats) -> Floats:
    """(V, 3) vertices of a head whose ears are pressed flat: they would poke through a hood."""
    flat = vertices.copy()
    for name in ("ear_left", "ear_right"):
        ear = model.is_region(name)
        out = vertices[ear, 0]
        root = np.sign(out) * np.abs(out).min(initial=np.inf)
        flat[ear, 0] = root + _FLAT_EARS * (out - root)
    return flat


def visible(buffer: Buffer, points: Floats) -> NDArray[np.bool_]:
    """(N,) whether nothing lies before (N, 3) points of the buffer; false outside the picture."""
    size = len(buffer.depth)
    column, row = np.round(points[:, :2]).astype(int).clip(0, size - 1).T
    inside = ((points[:, :2] > -0.5) & (points[:, :2] < size - 0.5)).all(1)
    seen: NDArray[np.bool_] = inside & (points[:, 2] > buffer.depth[row, column] - _HIDDEN)
    return seen


def _hidden_by(buffer: Buffer, last: int, points: Floats) -> float:
    """Share of (..., 3) points of the skull where the last triangles of the buffer, the body's, are seen."""
    inside = points.reshape(-1, 3)
    column, row = np.nan_to_num(inside[:, :2]).round().astype(int).clip(0, len(buffer.depth) - 1).T
    return float((buffer.triangle[row, column] >= buffer.total - last).mean())


def _camera(rng: Rng, landmarks: Floats, meshes: list[Mesh], rotation: Array, size: int) -> Camera:
    """Looks at the middle of the face, and frames the whole head with some room, at a random place."""
    target = landmarks.mean(0).astype(np.float64)
    unit = Camera(rotation, target, random_distance(rng), 1.0, np.zeros(2))
    unit = unit.clear_of(np.concatenate([mesh.vertices for mesh in meshes]))
    # the skull's middle lies behind the face's: that is what stands in the middle of the picture
    outline = np.concatenate([mesh.vertices[mesh.vertices[:, 1] > _FRAMED] for mesh in meshes[:-1]])
    head = unit.project(outline)[:, :2]
    low, high = head.min(0), head.max(0)
    scale = size * rng.uniform(0.5, 0.72) / float(max(high - low))
    middle = (size - 1) / 2 + size * rng.uniform(-0.06, 0.06, 2)
    return replace(unit, scale=scale, centre=middle - scale * (low + high) / 2)


def _fill(points: list[Floats], meshes: list[Mesh], size: int) -> Buffer:
    starts = np.cumsum([0, *(len(part) for part in points[:-1])])
    triangles = np.concatenate([mesh.triangles + start for mesh, start in zip(meshes, starts, strict=True)])
    two_sided = np.repeat([mesh.kind != "head" for mesh in meshes], [len(mesh.triangles) for mesh in meshes])
    return rasterise(np.concatenate(points), triangles.astype(np.int32), size, two_sided)


def _finish(rng: Rng, colour: Floats, covered: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Exposure, skin and sensor noise, reduction to the final size; RGBA, not premultiplied."""
    level = float(colour[covered].mean()) if covered.any() else 1.0
    colour = colour * (rng.uniform(0.1, 0.4) / max(level, 0.02)) ** 0.7
    mottled = 1 + 0.03 * smooth_noise(rng, len(colour), len(colour), (1.5, 1.5))[..., None]
    alpha = covered.astype(np.float32)
    side = len(colour) // _SUPERSAMPLING
    # premultiplied, or the empty surroundings would darken the outline
    fine = np.concatenate([to_srgb(colour * mottled) * alpha[..., None], alpha[..., None]], axis=2)
    coarse = cv2.resize(fine, (side, side), interpolation=cv2.INTER_AREA)
    cover = coarse[..., 3:]
    small = coarse[..., :3] / np.maximum(cover, 1e-3)
    cover = cover * _fade(side, rng.uniform(0.02, 0.1) * side)[..., None]
    rgba = np.concatenate([small, cover], axis=2)
    return (rgba * 255 + 0.5).clip(0, 255).astype(np.uint8)


def _fade(side: int, width: float) -> Floats:
    """(side, side) in (0, 1]: the body fades towards the picture's borders, so that no cut edge tells it."""
    edge = ((np.minimum(np.arange(side), np.arange(side)[::-1]) + 0.5) / width).clip(0, 1)
    soft = edge * edge * (3 - 2 * edge)
    faded: Floats = np.minimum(soft[:, None], soft[None, :]).astype(np.float32)
    return faded
