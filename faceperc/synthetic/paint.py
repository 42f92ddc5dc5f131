"""From the z-buffer to colours: interpolated normals, materials and light, pixel by pixel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from faceperc.synthetic.light import Light
from faceperc.synthetic.look import Look
from faceperc.synthetic.mesh import Floats, Mesh, vertex_normals
from faceperc.synthetic.model import FaceModel
from faceperc.synthetic.raster import Buffer
from faceperc.synthetic.shade import head_albedo, sample_texture

_GLOSS = {"head": 0.04, "hair": 0.03, "cloth_body": 0.0, "cloth_head": 0.0, "glasses": 0.25}
_INSIDE = 0.35  # openness of the inside of a shell: it lies in the dark


def paint(
    buffer: Buffer,
    meshes: list[Mesh],
    model: FaceModel,
    look: Look,
    light: Light,
    scalp: float,
    rotation: NDArray[np.float64],
) -> Floats:
    """(H, W, 3) linear RGB, black where there is nothing.

    Args:
        buffer: what each pixel shows, of the triangles of all meshes in turn.
        meshes: the meshes; one of the kind "head" has the model's triangles.
        model: the face model.
        look: colours.
        light: lamps.
        scalp: how much of the hair's colour the scalp has.
        rotation: (3, 3) head to camera.
    """
    colour = np.zeros((*buffer.triangle.shape, 3), np.float32)
    start = 0
    for mesh in meshes:
        stop = start + len(mesh.triangles)
        rows, columns = np.nonzero((buffer.triangle >= start) & (buffer.triangle < stop))
        triangle = (buffer.triangle[rows, columns] - start).astype(np.int64)
        weights = buffer.weights[rows, columns]
        start = stop
        if not len(triangle):
            continue
        normal, inside = _normals(mesh, triangle, weights, rotation)
        if mesh.kind == "head":
            albedo, openness = head_albedo(model, look, scalp, triangle, weights)
        else:
            albedo = _material(mesh, look, triangle, weights)
            openness = np.where(inside, _INSIDE, 1.0).astype(np.float32)
        colour[rows, columns] = light.on(albedo, normal, openness, _GLOSS[mesh.kind])
    return colour


def _normals(
    mesh: Mesh, triangle: NDArray[np.int64], weights: Floats, rotation: NDArray[np.float64]
) -> tuple[Floats, NDArray[np.bool_]]:
    """(N, 3) unit normals in the camera's frame, turned to the viewer, and (N,) whether they had to be."""
    turned = vertex_normals(mesh.vertices, mesh.triangles) @ rotation.T.astype(np.float32)
    normal = np.einsum("nck,nc->nk", turned[mesh.triangles[triangle]], weights)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-6)
    # of a closed mesh such normals only lie at the outline
    inside = (normal[:, 2] < 0) & (mesh.kind != "head")
    return np.where(inside[:, None], -normal, normal).astype(np.float32), inside


def _material(mesh: Mesh, look: Look, triangle: NDArray[np.int64], weights: Floats) -> Floats:
    """(N, 3) colour of hair, cloth or glasses."""
    assert mesh.uv is not None, f"a mesh of {mesh.kind} has no texture coordinates"
    uv = np.einsum("nck,nc->nk", mesh.uv[mesh.triangles[triangle]], weights)
    if mesh.kind == "hair":
        return look.hair * sample_texture(look.strands, uv)[:, None]
    return sample_texture(look.cloth[mesh.kind], uv)
