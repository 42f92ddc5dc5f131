"""The optional losses of the heads: exact where a formula is known, finite at the edges, and they teach."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from test_heads import crops, targets, view
from tiny_pack import tiny_config
from torchvision.ops import sigmoid_focal_loss

from faceperc.classifier import asymmetric_loss
from faceperc.config import FaceModelConfig
from faceperc.errors import ConfigError, DataError
from faceperc.head import Head
from faceperc.heads.age import Age
from faceperc.heads.attributes import Attributes
from faceperc.heads.expression import EXPRESSIONS, Expression
from faceperc.heads.parsing import CLASSES, Parsing, class_set, near_boundary, set_dice
from faceperc.heads.pose import Pose
from faceperc.model import FaceModel, masked_losses
from faceperc.rotations import geodesic, matrix_from_angles

OPTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "geodesic": ("pose", {"loss": "geodesic"}),
    "laplace": ("pose", {"loss": "laplace"}),
    "dice": ("parsing", {"dice_weight": 1.0}),
    "boundary": ("parsing", {"boundary_weight": 3.0}),
    "class weights": (
        "expression",
        {"class_weights": {"fear": 3.0, "contempt": 5.0}, "label_smoothing": 0.1},
    ),
    "focal": ("attributes", {"gamma_positive": 2.0, "gamma_negative": 2.0}),
    "asymmetric": ("attributes", {"gamma_negative": 4.0, "margin": 0.05}),
    "expectation": ("age", {"expectation_weight": 1.0, "label_sigma": 3.0}),
}


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_teaches_and_masks(option: str) -> None:
    task, options = OPTIONS[option]
    config = tiny_config()
    spec = config["heads"][task]
    config["heads"] = {task: spec | {"options": spec["options"] | options}}
    torch.manual_seed(0)
    model = FaceModel(FaceModelConfig.from_dict(config))
    optimiser = torch.optim.AdamW(model.parameters(), 3e-3)
    pixels, batch = crops(), targets(model, task)
    for name, value in batch.items():  # the third sample carries no label
        value[2] = torch.from_numpy(np.asarray(model.head(task).empty_target()[name]))
    valid, losses = {task: torch.tensor([1.0, 1.0, 0.0])}, []
    for _ in range(20):
        loss = masked_losses(model, model(pixels), {task: batch}, valid)[task]
        optimiser.zero_grad()
        loss.backward()
        if not losses:
            for name, parameter in model.head(task).named_parameters():
                assert torch.isfinite(parameter.grad).all() and parameter.grad.abs().sum() > 0, name
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.75 * losses[0]


def rotation(*angles: float) -> torch.Tensor:
    return torch.from_numpy(matrix_from_angles(*angles)).float()[None]


@given(
    angle=st.floats(0.01, 179.9), frame=st.tuples(st.floats(-60, 60), st.floats(-60, 60), st.floats(-60, 60))
)
@settings(max_examples=30, deadline=None)
def test_geodesic_is_the_angle_and_its_gradient_turns_at_unit_speed(
    angle: float, frame: tuple[float, float, float]
) -> None:
    first = rotation(*frame).double()
    roll = torch.tensor(np.radians(angle), dtype=torch.float64, requires_grad=True)
    zero, one = torch.zeros_like(roll), torch.ones_like(roll)
    rows = [roll.cos(), roll.sin(), zero, -roll.sin(), roll.cos(), zero, zero, zero, one]
    found = geodesic(first @ torch.stack(rows).reshape(3, 3), first)
    assert found.item() == pytest.approx(np.radians(angle), abs=1e-5)
    found.sum().backward()
    assert float(roll.grad) == pytest.approx(1.0, abs=1e-2)


@pytest.mark.parametrize("angles", [(0, 0, 0), (0, 0, 180), (180, 0, 0), (0, 1e-5, 0), (0, 0, 179.9999)])
def test_geodesic_has_a_finite_gradient_at_the_ends(angles: tuple[float, float, float]) -> None:
    first = rotation(*angles).requires_grad_()
    geodesic(first, rotation(0, 0, 0)).sum().backward()
    assert torch.isfinite(first.grad).all() and first.grad.abs().max() <= 1.0
    nothing = torch.zeros(1, 3, 3)  # the target of a sample without a label
    geodesic(first, nothing).sum().backward()
    assert torch.isfinite(first.grad).all()


@pytest.mark.parametrize("loss", ["chordal", "geodesic"])
def test_pose_losses_are_the_angle_for_small_errors_and_part_for_large_ones(loss: str) -> None:
    head = Pose(loss=loss)
    label = {
        "known": torch.ones(1, 3),
        "angles": torch.zeros(1, 3),
        "roll": torch.zeros(1),
        "matrix": rotation(0, 0, 0),
    }
    small, large = (float(head.loss({"matrix": rotation(0, 0, roll)}, label)) for roll in (3, 150))
    assert small == pytest.approx(np.radians(3), rel=1e-3)
    assert large == pytest.approx(
        np.radians(150) if loss == "geodesic" else 2 * np.sin(np.radians(75)), rel=1e-3
    )


def test_laplace_expects_the_error_it_makes() -> None:
    head = Pose(loss="laplace")
    label = {
        "known": torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, 0.0]]),  # the second gives its yaw only
        "angles": torch.zeros(2, 3),
        "roll": torch.zeros(2),
        "matrix": torch.cat([rotation(0, 0, 0), torch.zeros(1, 3, 3)]),
    }
    log_scale = torch.zeros(2, requires_grad=True)
    raw = {"matrix": torch.cat([rotation(20, 0, 0)] * 2), "log_scale": log_scale}
    optimiser = torch.optim.Adam([log_scale], 0.05)
    for _ in range(200):
        optimiser.zero_grad()
        head.loss(raw, label).sum().backward()
        optimiser.step()
    assert np.degrees(log_scale.detach().exp().numpy()) == pytest.approx([20, 20], rel=0.03)


EYE, SKIN = class_set("left_eye"), class_set("skin")
REST = class_set(*CLASSES) & ~EYE
NO_GROUPS = torch.zeros(1, len(CLASSES), dtype=torch.int32)


def answer(sets: torch.Tensor, name: str) -> torch.Tensor:
    """(1, 11, H, W) certain of the named class where the label is the eye, of skin elsewhere."""
    chosen = torch.where(sets == EYE, CLASSES.index(name), CLASSES.index("skin"))
    return F.one_hot(chosen, len(CLASSES)).movedim(-1, 1).float()


def test_dice_of_a_right_answer_is_zero_and_of_a_wrong_one_is_one() -> None:
    sets = torch.full((1, 8, 8), REST)
    sets[:, 2:4, 2:6] = EYE
    groups = NO_GROUPS.clone()
    groups[0, :2] = torch.tensor([EYE, REST])
    assert float(set_dice(answer(sets, "left_eye"), sets, groups)) == pytest.approx(0, abs=1e-6)
    # nothing is found of the eye; of the other set 56 pixels, and 8 too many
    missed = (1 + 1 - 2 * 56 / (64 + 56)) / 2
    assert float(set_dice(answer(sets, "skin"), sets, groups)) == pytest.approx(missed, abs=1e-6)
    # within a set of several classes it does not matter which
    assert float(set_dice(answer(sets, "nose"), sets, groups)) == pytest.approx(missed, abs=1e-6)


def test_dice_asks_nothing_where_the_label_is_open() -> None:
    sets = torch.full((1, 8, 8), SKIN)
    sets[:, 2:4, 2:6] = EYE
    sets[:, 4, 2:6] = EYE | SKIN  # a band that may be either
    sets[:, 5, 2:6] = 0  # and one of which nothing is known
    spread = answer(sets, "left_eye")
    spread[:, :, 4:6, 2:6] = answer(torch.full((1, 2, 4), EYE), "left_eye")
    for probabilities in (answer(sets, "left_eye"), spread):
        assert float(set_dice(probabilities, sets, NO_GROUPS)) == pytest.approx(0, abs=1e-6)
    unknown = torch.zeros_like(sets)
    probabilities = torch.full((1, 11, 8, 8), 1 / 11, requires_grad=True)
    loss = set_dice(probabilities, unknown, NO_GROUPS)
    loss.sum().backward()
    assert loss.item() == 0 and torch.isfinite(probabilities.grad).all()


def test_boundaries_are_where_neighbours_exclude_each_other() -> None:
    sets = torch.full((1, 12, 12), SKIN)
    sets[:, :, :4] = EYE | SKIN  # no boundary
    sets[:, :, 8:] = EYE
    columns = near_boundary(sets)[0].float().mean(0)
    assert columns.tolist() == [0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 0, 0]
    sets[:, :, 8] = 0  # not known whether there is one
    assert not near_boundary(sets).any()


def test_boundary_weight_moves_the_loss_towards_the_boundary() -> None:
    sets = torch.full((1, 12, 12), SKIN)
    sets[:, :, 6:] = EYE
    wrong_near = answer(sets, "left_eye")
    wrong_near[:, :, :, 5] = answer(torch.full((1, 12, 1), EYE), "left_eye")[..., 0]
    losses = [
        float(Parsing(boundary_weight=factor, detail_weight=1.0).loss(
            {"logits": 5 * wrong_near}, {"sets": sets, "groups": NO_GROUPS}
        ))
        for factor in (1.0, 2.0)
    ]  # fmt: skip
    # four of twelve columns weigh twice, and the wrong one is one of them
    assert losses[1] == pytest.approx(losses[0] * 2 * 12 / 16, rel=0.05)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_soft_labels_that_are_certain_are_hard_labels(smoothing: float) -> None:
    torch.manual_seed(0)
    head, logits = Expression(label_smoothing=smoothing), torch.randn(8, 8)
    hard = torch.stack([torch.from_numpy(head.encode(index, view())["distribution"]) for index in range(8)])
    votes = [10 * np.eye(8)[index] for index in range(8)]  # ten people agree
    soft = torch.stack([torch.from_numpy(head.encode(vote, view())["distribution"]) for vote in votes])
    assert torch.equal(hard, soft)
    losses = head.loss({"logits": logits}, {"distribution": hard})
    plain = F.cross_entropy(logits, torch.arange(8), reduction="none", label_smoothing=smoothing)
    torch.testing.assert_close(losses, plain)


def test_votes_are_learned_as_they_fell_and_measured_by_their_majority() -> None:
    head = Expression()
    votes = np.array([1, 6, 0, 3, 0, 0, 0, 0])
    target = {name: torch.from_numpy(value)[None] for name, value in head.encode(votes, view()).items()}
    logits = torch.zeros(1, 8, requires_grad=True)
    head.loss({"logits": logits}, target).sum().backward()
    np.testing.assert_allclose(-logits.grad[0].numpy(), votes / 10 - 1 / 8, atol=1e-6)
    rows = head.statistics({"probabilities": torch.eye(8)[[1]]}, target).numpy()
    assert head.summarise(rows)["accuracy %"] == 100.0


def test_class_weights_multiply_the_loss_of_their_class() -> None:
    logits = torch.randn(8, 8)
    target = {"distribution": torch.eye(8)}
    plain = Expression().loss({"logits": logits}, target)
    weighted = Expression(class_weights={"fear": 3.0}).loss({"logits": logits}, target)
    factors = [3.0 if label == "fear" else 1.0 for label in EXPRESSIONS]
    torch.testing.assert_close(weighted, plain * torch.tensor(factors))


@pytest.mark.parametrize("label", [8, -1, np.zeros(8), np.ones(7), np.array([2.0, -1, 0, 0, 0, 0, 0, 0])])
def test_labels_that_are_none_are_refused(label: Any) -> None:
    with pytest.raises(DataError, match="Expression"):
        Expression().encode(label, view())


LOGITS = torch.tensor([-200.0, -30.0, -3.0, -0.5, 0.0, 0.5, 3.0, 30.0, 200.0])


@pytest.mark.parametrize("yes", [0.0, 1.0])
def test_asymmetric_loss_without_focus_is_the_cross_entropy(yes: float) -> None:
    first, second = LOGITS.clone().requires_grad_(), LOGITS.clone().requires_grad_()
    answers = torch.full_like(LOGITS, yes)
    ours = asymmetric_loss(first, answers, 0.0, 0.0, 0.0)
    plain = F.binary_cross_entropy_with_logits(second, answers, reduction="none")
    torch.testing.assert_close(ours, plain)
    ours.sum().backward()
    plain.sum().backward()
    torch.testing.assert_close(first.grad, second.grad)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_asymmetric_loss_with_equal_focus_is_the_focal_loss(gamma: float) -> None:
    logits = LOGITS[1:-1]  # torchvision's overflows nowhere, but loses digits beyond
    for answers in (torch.zeros_like(logits), torch.ones_like(logits)):
        ours = asymmetric_loss(logits, answers, gamma, gamma, 0.0)
        theirs = sigmoid_focal_loss(logits, answers, alpha=-1, gamma=gamma)
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_asymmetric_loss_follows_its_formula_and_stays_finite() -> None:
    p = torch.tensor([0.01, 0.04, 0.06, 0.3, 0.9])
    shifted = (p - 0.05).clamp_min(0)
    ours = asymmetric_loss(p.logit(), torch.zeros(5), 1.0, 4.0, 0.05)
    torch.testing.assert_close(ours, -(shifted**4) * (1 - shifted).log(), atol=1e-7, rtol=1e-4)
    ours = asymmetric_loss(p.logit(), torch.ones(5), 1.0, 4.0, 0.05)
    torch.testing.assert_close(ours, -(1 - p) * p.log())
    for gamma in (0.5, 4.0):
        for yes in (0.0, 1.0):
            logits = LOGITS.clone().requires_grad_()
            asymmetric_loss(logits, torch.full_like(logits, yes), gamma, gamma, 0.05).sum().backward()
            assert torch.isfinite(logits.grad).all()


def test_unknown_answers_count_neither_in_the_loss_nor_in_the_metric() -> None:
    head: Head = Attributes(gamma_negative=4.0, margin=0.05)
    label = np.full(40, np.nan)
    label[[3, 7]] = 1.0, 0.0
    target = {name: torch.from_numpy(value)[None] for name, value in head.encode(label, view()).items()}
    logits = torch.zeros(1, 40, requires_grad=True)
    head.loss({"logits": logits}, target).sum().backward()
    assert logits.grad[0].nonzero().flatten().tolist() == [3, 7]
    probabilities = torch.full((1, 40), 0.9)
    metrics = head.summarise(head.statistics({"probabilities": probabilities}, target).numpy())
    assert metrics["accuracy %"] == 50.0  # one of the two known


def test_age_is_best_at_the_label_and_weighs_its_mean_as_told() -> None:
    target = {"value": torch.tensor([30.0])}
    plain, both = Age(expectation_weight=0.0), Age(expectation_weight=1.0)
    at = {years: -0.5 * ((plain.bins - years) / plain.label_sigma).square()[None] for years in (30, 40)}
    logits = at[30].clone().requires_grad_()
    plain.loss({"logits": logits}, target).sum().backward()
    assert logits.grad.abs().max() < 1e-6  # the label's own distribution
    gap = both.loss({"logits": at[40]}, target) - plain.loss({"logits": at[40]}, target)
    assert float(gap) == pytest.approx(10.0, abs=1e-3)


@pytest.mark.parametrize(
    ("task", "options", "message"),
    [
        ("pose", {"loss": "geodesik"}, "unknown loss 'geodesik': did you mean 'geodesic'"),
        ("expression", {"class_weights": {"joy": 2.0}}, "class_weights: unknown label 'joy'"),
    ],
)
def test_wrong_options_are_named(task: str, options: dict[str, Any], message: str) -> None:
    config = tiny_config()
    config["heads"] = {task: {"head": config["heads"][task]["head"], "options": options}}
    with pytest.raises(ConfigError, match=message):
        FaceModel(FaceModelConfig.from_dict(config))


def test_a_pixel_of_several_classes_teaches_only_where_that_is_wanted() -> None:
    logits = torch.randn(1, len(CLASSES), 1, 2, generator=torch.Generator().manual_seed(0))
    coarse = torch.tensor([[[class_set("upper_lip", "lower_lip"), class_set("skin")]]], dtype=torch.int32)
    fine = torch.tensor([[[0, class_set("skin")]]], dtype=torch.int32)
    with_sets, without = Parsing(), Parsing(coarse=False)
    raw = {"logits": logits}
    assert without.loss(raw, {"sets": coarse}) == with_sets.loss(raw, {"sets": fine})
    assert without.loss(raw, {"sets": coarse}) != with_sets.loss(raw, {"sets": coarse})
