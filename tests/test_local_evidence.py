"""Points move to where the pixels near them say that they are, and stay where these say nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from test_points import DIM, PIXEL_DIM, SIZE, label, scheme
from tiny_pack import tiny_config
from torch import Tensor, nn

from faceperc.config import FaceModelConfig
from faceperc.head import Features, HeadContext
from faceperc.heads.landmarks29 import Landmarks29
from faceperc.local_evidence import LocalEvidence
from faceperc.model import FaceModel
from faceperc.points import PointsHead

CELL = 4  # pixels


def evidence(count: int = 3) -> LocalEvidence:
    """Speaks for ``count`` points by one query; looks for pixels whose first feature is large."""
    part = LocalEvidence(DIM, PIXEL_DIM, count, count, SIZE)
    with torch.no_grad():
        part.kernels.bias.view(count, PIXEL_DIM)[:, 0] = 30.0
    return part


def spots(*places: tuple[float, float]) -> Tensor:
    """(1, P, S / 4, S / 4) features that fall off, in the first channel, with the square of the distance from
    the nearest place (crop pixels)."""
    cells = np.arange(SIZE // CELL) * CELL + (CELL - 1) / 2  # pixels 0 to 3 are the first cell
    x, y = np.meshgrid(cells, cells)
    squares = [(x - a) ** 2 + (y - b) ** 2 for a, b in places]
    pixels = torch.zeros(1, PIXEL_DIM, *x.shape)
    pixels[0, 0] = torch.from_numpy(0.5 - np.min(squares, axis=0) / 60)
    return pixels


def move(part: LocalEvidence, points: Any, pixels: Tensor) -> np.ndarray:
    return (
        part(torch.tensor([points], dtype=torch.float32), torch.zeros(1, 1, DIM), pixels, None)[0]
        .detach()
        .numpy()
    )


def test_points_go_to_the_spot_nearest_to_them() -> None:
    places = [(17.3, 20.9), (41.0, 22.2), (30.6, 47.7)]
    start = np.array(places) + np.array([(2.0, 1.0), (-1.5, 2.0), (0.0, -2.5)])
    moved = move(evidence(), start.tolist(), spots(*places))
    before, after = (np.linalg.norm(each - np.array(places), axis=1) for each in (start, moved))
    assert (after < 0.4 * before).all()


def test_a_mirrored_crop_mirrors_the_points() -> None:
    """So the cells' centres are where the crop has them, and not half a pixel beside."""
    pixels = spots((20.0, 30.0))
    start = [(22.0, 28.0), (18.5, 31.0), (20.0, 30.0)]
    mirrored = [(SIZE - 1 - x, y) for x, y in start]
    here, there = move(evidence(), start, pixels), move(evidence(), mirrored, pixels.flip(-1))
    np.testing.assert_allclose(SIZE - 1 - here[:, 0], there[:, 0], atol=1e-3)
    np.testing.assert_allclose(here[:, 1], there[:, 1], atol=1e-3)


def test_points_outside_of_the_crop_stay_there() -> None:
    far = [(-30.0, 20.0), (SIZE + 25.0, -40.0), (20.0, 3.0 * SIZE)]
    np.testing.assert_allclose(move(evidence(), far, spots((20.0, 20.0))), far, atol=0.05)


def test_untrained_it_moves_nothing_and_learns() -> None:
    part = LocalEvidence(DIM, PIXEL_DIM, 3, 3, SIZE)
    points = [(20.2, 30.1), (31.5, 31.5), (40.9, 12.3)]
    pixels = torch.randn(1, PIXEL_DIM, SIZE // CELL, SIZE // CELL)
    np.testing.assert_allclose(move(part, points, pixels), points, atol=0.6)
    out = part(torch.tensor([points]), torch.randn(1, 1, DIM), pixels, None)
    out.sum().backward()
    gradient = part.kernels.weight.grad
    assert gradient is not None and gradient.abs().sum() > 0


@scheme
def test_every_scheme_can_be_refined(kind: type[PointsHead]) -> None:
    """And the points of a query are those that the scheme's order gives it."""
    torch.manual_seed(0)
    head = kind(refine=True)
    head.build(HeadContext(DIM, PIXEL_DIM, SIZE))
    assert head.is_dense and not kind().is_dense
    queries = torch.randn(2, head.num_queries, DIM)
    pixels = torch.randn(2, PIXEL_DIM, SIZE // CELL, SIZE // CELL)
    with torch.no_grad():
        head.evidence.kernels.weight.normal_(0, 3)
        moved = head(Features(queries, pixels))["points"]
        blind = head(Features(queries, None))["points"]
        queries[:, 0] += 1.0
        changed = (head(Features(queries, pixels))["points"] != moved).any(-1)[0].numpy()
    assert moved.shape == (2, len(kind.start), 2) and not torch.equal(moved, blind)
    own = kind.order[: kind.points_per_query] if kind.order is not None else np.arange(kind.points_per_query)
    np.testing.assert_array_equal(np.flatnonzero(changed), np.sort(own))


def test_a_face_is_learned_from_its_pixels_alone() -> None:
    """Queries that know nothing: only the pixels tell two faces apart."""
    torch.manual_seed(0)
    head = Landmarks29(refine=True)
    head.build(HeadContext(DIM, PIXEL_DIM, SIZE))
    target = torch.from_numpy(
        np.stack([label(Landmarks29, seed)[:, :2] * (SIZE / 96) for seed in (0, 1)]).astype(np.float32)
    )
    pixels = nn.Parameter(0.1 * torch.randn(2, PIXEL_DIM, SIZE // CELL, SIZE // CELL))
    queries = nn.Parameter(torch.randn(1, head.num_queries, DIM))
    optimiser = torch.optim.Adam([pixels, queries, *head.parameters()], 1e-2)
    errors = []
    for _ in range(200):
        points = head(Features(queries.expand(2, -1, -1), pixels))["points"]
        error = (points - target).norm(dim=-1).mean()
        errors.append(error.item())
        optimiser.zero_grad()
        error.backward()
        optimiser.step()
    between = float((target[0] - target[1]).norm(dim=-1).mean()) / 2  # what one answer for both would leave
    assert errors[-1] < 0.6 * between < errors[0]


@pytest.mark.parametrize("tasks", [("landmarks",), ("landmarks", "parsing")])
def test_a_model_with_refined_landmarks_has_pixels(tasks: tuple[str, ...]) -> None:
    heads = tiny_config()["heads"]
    heads["landmarks"] = {"head": heads["landmarks"]["head"], "options": {"refine": True}}
    config = tiny_config(heads={task: heads[task] for task in tasks})
    model = FaceModel(FaceModelConfig.from_dict(config))
    assert model.pixels is not None
    crops = torch.zeros(2, 64, 64, 3, dtype=torch.uint8)
    model(crops)["landmarks"]["points"].sum().backward()
    unused = [name for name, each in model.head("landmarks").named_parameters() if each.grad is None]
    assert not unused
    # no matrices: decay would make the prior narrow
    assert {f"heads.landmarks.evidence.{name}" for name in ("log_width", "stay")} <= model.no_weight_decay()
