"""Landmark schemes and losses: every scheme's tables fit each other, every loss is the density it claims."""

from __future__ import annotations

import math
import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_pack import draw_face, project, tiny_config
from torch import Tensor, nn

import faceperc
from faceperc.config import FaceModelConfig
from faceperc.crop import FaceCrop
from faceperc.data.view import View
from faceperc.errors import ConfigError, DataError
from faceperc.export.onnx import TOLERANCE, export_onnx
from faceperc.head import Features, HeadContext
from faceperc.heads.landmarks import Landmarks
from faceperc.heads.landmarks29 import Landmarks29
from faceperc.heads.landmarks98 import Landmarks98
from faceperc.heads.landmarks106 import Landmarks106
from faceperc.heads.mesh import Mesh
from faceperc.model import FaceModel
from faceperc.point_losses import ANISOTROPIC, POINT_LOSSES, mean_stretch
from faceperc.points import PointsHead
from faceperc.runtime import OnnxModel
from faceperc.zoo import DEFAULT_MODEL, find_model

SCHEMES = (Landmarks, Landmarks98, Landmarks29, Landmarks106, Mesh)
SIZE, DIM, PIXEL_DIM = 64, 16, 4
VIEW = View(FaceCrop((47.5, 47.5), 80.0, SIZE))

scheme = pytest.mark.parametrize("kind", SCHEMES, ids=lambda kind: kind.__name__)
each_loss = pytest.mark.parametrize("loss", POINT_LOSSES)


def built(kind: type[PointsHead], loss: str = "laplace") -> PointsHead:
    torch.manual_seed(0)
    head = kind(loss=loss)
    head.build(HeadContext(DIM, PIXEL_DIM, SIZE))
    return head


def features(head: PointsHead, count: int = 2) -> Features:
    generator = torch.Generator().manual_seed(1)
    queries = torch.randn(count, head.num_queries, DIM, generator=generator)
    return Features(queries, torch.zeros(count, PIXEL_DIM, 1, 1))


def label(kind: type[PointsHead], seed: int = 0) -> np.ndarray:
    """A label in a 96 px image: the scheme's face, moved a little."""
    random = np.random.default_rng(seed)
    points = kind.start * [4.0, -4.0] + 47.5 + random.uniform(-2, 2, kind.start.shape)
    return np.c_[points, random.integers(0, 2, len(points))] if kind.has_visibility else points


def batch(head: PointsHead, *labels: np.ndarray) -> dict[str, Tensor]:
    targets = [head.encode(each, VIEW) for each in labels]
    return {key: torch.from_numpy(np.stack([target[key] for target in targets])) for key in targets[0]}


def metrics(head: PointsHead, output: dict[str, Tensor], target: dict[str, Tensor]) -> dict[str, float]:
    return head.summarise(head.statistics(output, target).numpy())


# ---- the schemes' tables


@scheme
def test_tables_fit_each_other(kind: type[PointsHead]) -> None:
    count = len(kind.start)
    assert str(count) in kind.info.description
    np.testing.assert_array_equal(kind.mirror[kind.mirror], np.arange(count))
    # on a symmetric face the mirrored point lies where its name says
    np.testing.assert_allclose(kind.start[kind.mirror], kind.start * [-1, 1], atol=0.011)
    left, right = kind.normaliser
    assert kind.mirror[left] == right and kind.start[left, 0] < 0 < kind.start[right, 0]
    edges = {frozenset(edge) for line in kind.info.lines for edge in pairwise(line)}
    assert edges == {frozenset(kind.mirror[list(edge)].tolist()) for edge in edges}
    assert max(index for edge in edges for index in edge) < count
    assert sorted(kind.order if kind.order is not None else range(count)) == list(range(count))


@pytest.mark.parametrize(
    ("kind", "corners", "pupil", "mouth", "chin"),
    [
        (Landmarks98, (60, 64), 96, (76, 82), 16),
        (Landmarks29, (8, 10), 16, (22, 23), 28),
        (Landmarks106, (66, 70), 104, (84, 90), 16),
        (Mesh, (33, 133), 468, (61, 291), 152),
    ],
)
def test_named_points_lie_where_the_mean_face_has_them(
    kind: type[PointsHead], corners: tuple[int, int], pupil: int, mouth: tuple[int, int], chin: int
) -> None:
    ibug = Landmarks.start
    near = {corners[0]: 36, corners[1]: 39, mouth[0]: 48, mouth[1]: 54, chin: 8}
    for here, there in near.items():
        assert np.linalg.norm(kind.start[here] - ibug[there]) < 1.2, (here, there)  # centimetres
    assert np.linalg.norm(kind.start[pupil] - kind.start[list(corners)].mean(0)) < 0.6


@scheme
def test_untrained_head_answers_a_face_in_the_crop(kind: type[PointsHead]) -> None:
    head = built(kind)
    output = head.decode(head(features(head)))
    assert output["points"].shape == (2, len(kind.start), 2) and head.num_queries <= 40
    assert (head.base > 0).all() and (head.base < SIZE).all()
    assert head.describe(output)["kind"] == "points"
    assert ("visibility" in output) == kind.has_visibility


def test_queries_of_the_mesh_speak_for_patches() -> None:
    assert Mesh.order is not None
    spread = [np.ptp(Mesh.start[Mesh.order[i : i + 12]], axis=0).max() for i in range(0, 478, 12)]
    assert np.median(spread) < 4  # centimetres; the face is 17 high
    head = built(Mesh)
    queries = features(head)
    queries.queries[:, 3] += 1.0
    moved = (head(queries)["points"] != head(features(head))["points"]).any(-1)[0]
    np.testing.assert_array_equal(np.flatnonzero(moved), np.sort(Mesh.order[36:48]))


def test_68_points_are_what_they_were() -> None:
    model = FaceModel(FaceModelConfig.from_dict(tiny_config()))
    head = model.head("landmarks")
    layers = {f"mlp.{layer}.{name}" for layer in (0, 2, 4) for name in ("weight", "bias")}
    own = {name for name in head.state_dict() if not name.startswith("evidence.")}
    assert own == {"base", *layers} and head.num_queries == 17
    shipped = OnnxModel(find_model(DEFAULT_MODEL)).metadata.raw["tasks"]["landmarks"]
    fields = shipped.pop("fields")
    output = head.decode(model(torch.zeros(1, SIZE, SIZE, 3, dtype=torch.uint8))["landmarks"])
    assert head.describe(output) == shipped and list(output) == list(fields)
    assert {key: ["N", *value.shape[1:]] for key, value in output.items()} == {
        key: value["shape"] for key, value in fields.items()
    }


# ---- labels, loss and metric of any scheme


@scheme
def test_mirroring_the_image_is_mirroring_the_view(kind: type[PointsHead]) -> None:
    head, truth = built(kind), label(kind)
    mirrored = truth.copy()
    mirrored[:, 0] = 95 - truth[:, 0]
    here = head.encode(truth, View(FaceCrop((47.5, 47.5), 80.0, SIZE, 20.0), flip=True))
    there = head.encode(mirrored[kind.mirror], View(FaceCrop((47.5, 47.5), 80.0, SIZE, -20.0)))
    for key in here:
        np.testing.assert_allclose(here[key], there[key], atol=1e-4)


@scheme
@each_loss
def test_unknown_points_count_for_nothing(kind: type[PointsHead], loss: str) -> None:
    head = built(kind, loss)
    truth, partial, nothing = label(kind), label(kind), np.full_like(label(kind), np.nan)
    unknown = np.arange(len(truth)) % 3 == 1
    unknown[list(kind.normaliser)] = False
    partial[unknown] = np.nan
    target = batch(head, truth, partial, nothing)

    raw = head(features(head, 3))
    for value in raw.values():
        value.retain_grad()
    losses = head.loss(raw, target)
    assert torch.isfinite(losses).all() and losses[2] == 0
    losses.sum().backward()
    for key, value in raw.items():
        assert value.grad is not None and torch.isfinite(value.grad).all(), key
        assert not value.grad[1, unknown].any() and not value.grad[2].any(), key
        assert value.grad[0].flatten(1).any(1).all() if value.ndim == 3 else value.grad[0].all(), key

    output = {"points": target["points"][:2].nan_to_num(1e3) + 1.0}
    if kind.has_visibility:
        output["visibility"] = target["visible"][:2].nan_to_num()
    whole, part = head.statistics(output, target_of(target, slice(2)))
    torch.testing.assert_close(whole[0], part[0])
    assert math.isnan(metrics(head, output_of(output, 0), target_of(target, slice(2, 3)))["NME %"])


def target_of(target: dict[str, Tensor], which: slice) -> dict[str, Tensor]:
    return {key: value[which] for key, value in target.items()}


def output_of(output: dict[str, Tensor], index: int) -> dict[str, Tensor]:
    return {key: value[index : index + 1] for key, value in output.items()}


@each_loss
def test_masked_sample_stays_finite(loss: str) -> None:
    head = built(Landmarks29, loss)
    raw = head(features(head))
    empty = {key: torch.from_numpy(np.stack([value] * 2)) for key, value in head.empty_target().items()}
    head.loss(raw, empty).sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in head.parameters())


@each_loss
def test_a_loss_is_never_negative(loss: str) -> None:
    """Not even where the points are right and the head is as sure as it can be."""
    head = built(Landmarks29, loss)
    target = batch(head, label(Landmarks29))
    raw = {key: each[:1].detach() for key, each in head(features(head)).items()}
    raw |= {"points": target["points"], "log_sigma": torch.full((1, 29), -4.0)}
    raw["visible"] = 40 * (target["visible"] - 0.5)
    assert 0 <= float(head.loss(raw, target)) < 0.5


@each_loss
def test_few_faces_are_learned_by_heart(loss: str) -> None:
    """Free queries and a head: the points arrive, the expected errors follow, visibility is learned."""
    head = built(Landmarks29, loss)
    target = batch(head, label(Landmarks29, 0), label(Landmarks29, 1))
    queries = nn.Parameter(features(head).queries)
    optimiser = torch.optim.Adam([queries, *head.parameters()], 1e-2)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.1, 150)
    outputs = []
    for _ in range(150):
        raw = head(Features(queries, torch.zeros(0)))
        outputs.append({key: value.detach() for key, value in head.decode(raw).items()})
        optimiser.zero_grad()
        head.loss(raw, target).mean().backward()
        optimiser.step()
        schedule.step()
    before, after = (metrics(head, outputs[index], target) for index in (0, -1))
    assert after["NME %"] < 1.5 < 15 < before["NME %"]
    assert after["occlusion recall %"] > 75 and after["occlusion precision %"] > 75
    assert outputs[-1]["sigma"].mean() < 0.5 * outputs[0]["sigma"].mean()


def test_occlusion_is_counted_by_hand() -> None:
    head = built(Landmarks29)
    target = batch(head, label(Landmarks29))
    target["visible"][:] = 1.0
    target["visible"][0, :4] = torch.tensor([0.0, 0.0, 0.0, torch.nan])
    visibility = torch.ones(1, 29)
    visibility[0, [0, 1, 3, 5]] = 0.1  # two right, one unknown, one wrong; one missed
    rows = head.statistics({"points": target["points"], "visibility": visibility}, target).numpy()
    result = head.summarise(np.vstack([rows, head.missing_row()]))
    assert result["occlusion precision %"] == pytest.approx(100 * 2 / 3)
    assert result["occlusion recall %"] == pytest.approx(100 * 2 / 3)
    assert result["NME %"] == 0.0 and result["failure %"] == 50.0


@pytest.mark.parametrize(
    ("kind", "shape"),
    [(Landmarks, (5, 2)), (Landmarks, (98, 2)), (Landmarks, (68, 3)), (Landmarks29, (29, 2))],
)
def test_a_label_of_another_shape_is_refused(kind: type[PointsHead], shape: tuple[int, int]) -> None:
    wanted = (68, 2) if kind is Landmarks else (29, 3)
    message = f"{kind.__name__}: a label has the shape {wanted}, not {shape}"
    with pytest.raises(DataError, match=re.escape(message)):
        kind().encode(np.zeros(shape), View(FaceCrop((40.0, 40.0), 60.0, 64, 0.0)))


def test_unknown_loss_is_named() -> None:
    with pytest.raises(ConfigError, match=r"Mesh: unknown loss 'laplas': did you mean 'laplace'"):
        Mesh(loss="laplas")


# ---- the losses


def raw_points(
    error: Tensor, sigma: float = 2.0, shape: tuple[float, float] = (0.0, 0.0)
) -> dict[str, Tensor]:
    """Raw outputs for (K, 2) errors."""
    return {
        "points": error[None].requires_grad_(),
        "log_sigma": torch.full((1, len(error)), math.log(sigma), requires_grad=True),
        "shape": torch.tensor(shape).expand(1, len(error), 2).clone().requires_grad_(),
    }


def value(loss: str, raw: dict[str, Tensor], size: int = SIZE) -> Tensor:
    """(K,) loss where the truth is the origin."""
    return POINT_LOSSES[loss](raw, torch.zeros_like(raw["points"]), size)[0]


@pytest.mark.parametrize("shape", [(0.0, 0.0), (0.9, -0.4), (-1.2, 1.0)])
@pytest.mark.parametrize(("loss", "total"), [("laplace_nll", math.pi / 2), ("gaussian_nll", 4.0)])
def test_likelihood_is_a_density_with_the_mean_distance_it_claims(
    loss: str, total: float, shape: tuple[float, float]
) -> None:
    sigma, step = 2.0, 0.25
    axis = torch.arange(-80, 80, step)
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1).reshape(-1, 2)
    density = (-value(loss, raw_points(grid, sigma, shape)).detach()).exp().double() * step**2
    assert float(density.sum()) == pytest.approx(total, rel=0.01)  # less constants, whatever sigma and shape
    mean = (density * grid.norm(dim=1)).sum() / density.sum()
    assert float(mean) == pytest.approx(sigma * float(mean_stretch(torch.tensor(shape))), rel=0.01)


@pytest.mark.parametrize("loss", sorted(ANISOTROPIC))
def test_error_along_the_ambiguous_axis_costs_less(loss: str) -> None:
    angle = math.radians(30)
    shape = (math.cos(2 * angle), math.sin(2 * angle))
    axes = 3 * torch.tensor([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    along, across = value(loss, raw_points(axes, 2.0, shape)).tolist()
    round_along, round_across = value(loss, raw_points(axes, 2.0)).tolist()
    assert along < round_along < across and round_along == pytest.approx(round_across, rel=1e-3)


def test_star_error_gives_no_gradient_to_the_covariance() -> None:
    """What the covariance learns is the likelihood alone, whose scale does not depend on the crop's size."""
    gradients = []
    for size in (SIZE, 4 * SIZE):  # changes the smooth L1 part only
        raw = raw_points(torch.tensor([[0.1, 0.2]]), 2.0, (0.5, 0.3))
        value("star", raw, size).sum().backward()
        gradients.append([raw[key].grad for key in ("points", "log_sigma", "shape")])
    (small, *covariance), (large, *same) = gradients
    assert not torch.equal(small, large)
    for one, other in zip(covariance, same, strict=True):
        assert torch.equal(one, other)


def test_wing_is_steep_inside_and_as_laplace_outside() -> None:
    size = 256  # here the paper's w = 10 and e = 2 are pixels
    errors = torch.tensor([[1.0, 0.0], [9.999, 0.0], [10.001, 0.0], [50.0, 0.0]])
    raw = raw_points(errors, 1.0)
    wing = value("wing", raw, size) - 0.1 * errors[:, 0]  # less the likelihood, with sigma 1
    log = [10 * math.log(1 + x / 2) for x in (1.0, 10.0, 10.0)]
    expected = torch.tensor([*log, 50 - 10 + log[1]]) * 20 / size / 2  # the mean over x and y, y is right
    torch.testing.assert_close(wing, expected, rtol=1e-3, atol=1e-4)


def test_default_is_the_mean_distance_and_a_detached_likelihood() -> None:
    raw = raw_points(torch.tensor([[3.0, 4.0]]))
    got = value("laplace", raw)
    assert got.item() == pytest.approx(20 / SIZE * 5 + 0.1 * (5 / 2 + math.log(2)), rel=1e-4)
    got.sum().backward()
    torch.testing.assert_close(raw["points"].grad, 20 / SIZE * torch.tensor([[[0.6, 0.8]]]))
    assert float(raw["log_sigma"].grad) == pytest.approx(0.1 * (1 - 5 / 2), rel=1e-4)


# ---- all the way


def test_two_schemes_in_one_model_are_exported_and_presented(tmp_path: Path) -> None:
    heads = {
        "landmarks29": {"head": "faceperc.heads.landmarks29.Landmarks29", "options": {"loss": "star"}},
        "mesh": {"head": "faceperc.heads.mesh.Mesh", "options": {"weight": 0.5, "loss": "wing"}},
    }
    torch.manual_seed(0)
    model = FaceModel(FaceModelConfig.from_dict(tiny_config(heads=heads)))
    path = tmp_path / "points.onnx"
    assert max(export_onnx(model, path).values()) <= TOLERANCE
    face = faceperc.Predictor(path)(draw_face(project(0, 0, 0), 80), boxes=[[20, 15, 75, 85]])[0]
    assert [len(face[task]) for task in heads] == [29, 478]
    assert face.mesh.visibility is None and face.landmarks29.visibility.shape == (29,)
    assert "occluded" in face.landmarks29.summary()
