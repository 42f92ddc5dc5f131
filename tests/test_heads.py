"""The contract of a head, over every head of the default model, on a tiny network."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_pack import project, tiny_config
from torch.utils.data import default_collate

from faceperc.config import FaceModelConfig, build_heads
from faceperc.crop import FaceCrop
from faceperc.data.mean_face import MEAN_FACE
from faceperc.data.view import View
from faceperc.head import KIND_FIELDS
from faceperc.heads import landmarks
from faceperc.heads.parsing import CLASSES, SetMask, class_set
from faceperc.model import FaceModel, masked_losses
from faceperc.rotations import angles_from_matrix, matrix_from_angles, roll_matrix

CONFIG = FaceModelConfig.from_dict(tiny_config())
TASKS = tuple(CONFIG.heads)
SIZE = CONFIG.crop_rule.size


@pytest.fixture(scope="module")
def model() -> FaceModel:
    torch.manual_seed(0)
    return FaceModel(CONFIG).eval()


def label(task: str, seed: int = 0) -> Any:
    """A label of the task for a 96 x 96 image."""
    random = np.random.default_rng(seed)
    sets = np.array(
        [class_set("background"), class_set("left_eye"), class_set("hair", "left_brow"), class_set("skin")]
    )
    return {
        "landmarks": project(float(random.uniform(-30, 30)), 0, 0),
        "pose": random.uniform(-40, 40, 3),
        "parsing": SetMask(sets[random.integers(0, 4, (96, 96))], tuple(sets.tolist())),
        "expression": int(random.integers(8)),
        "age": float(random.integers(100)),
        "gender": int(random.integers(2)),
        "attributes": random.integers(0, 2, 40).astype(float),
    }[task]


def view(angle: float = 0.0, flip: bool = False, x: float = 47.5, side: float = 80.0) -> View:
    return View(FaceCrop((x, 47.5), side, SIZE, angle), flip)


def targets(model: FaceModel, task: str, count: int = 3) -> dict[str, torch.Tensor]:
    return default_collate([model.head(task).encode(label(task, seed), view()) for seed in range(count)])


def crops(count: int = 3) -> torch.Tensor:
    return torch.randint(0, 256, (count, SIZE, SIZE, 3), dtype=torch.uint8)


@pytest.mark.parametrize("task", TASKS)
def test_decoded_fields_are_those_of_the_kind(model: FaceModel, task: str) -> None:
    output = model.decode(model(crops()))[task]
    head = model.head(task)
    assert set(output) <= set(KIND_FIELDS[head.info.kind])
    assert all(value.shape[0] == 3 and torch.isfinite(value).all() for value in output.values())
    entry = head.describe(output)
    assert entry["kind"] == head.info.kind and entry["description"]
    match head.info.kind:
        case "rotation":
            assert torch.allclose(
                output["matrix"] @ output["matrix"].mT, torch.eye(3).expand(3, 3, 3), atol=1e-5
            )
            assert torch.allclose(torch.linalg.det(output["matrix"]), torch.ones(3), atol=1e-5)
        case "classes":
            assert torch.allclose(output["probabilities"].sum(1), torch.ones(3), atol=1e-5)
            assert output["probabilities"].shape[1] == len(entry["labels"])
        case "mask":
            assert output["scores"].shape[1] == len(entry["labels"])
            assert torch.allclose(
                output["scores"].sum(1), torch.ones(3, *output["scores"].shape[2:]), atol=1e-5
            )
        case "scalar":
            assert output["distribution"].shape[1] == len(entry["bins"])
        case "points":
            assert (output["sigma"] > 0).all()
            assert max(index for line in entry["lines"] for index in line) < output["points"].shape[1]


@pytest.mark.parametrize("task", TASKS)
def test_loss_reaches_every_parameter_of_the_head(model: FaceModel, task: str) -> None:
    model.zero_grad()
    loss = model.head(task).loss(model(crops())[task], targets(model, task))
    assert loss.shape == (3,) and torch.isfinite(loss).all()
    loss.mean().backward()
    for name, parameter in model.head(task).named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("task", TASKS)
def test_samples_without_the_label_add_nothing(model: FaceModel, task: str) -> None:
    model.zero_grad()
    head = model.head(task)
    batch, empty = targets(model, task), head.empty_target()
    for key, value in batch.items():  # the second sample carries no label
        value[1] = torch.from_numpy(np.asarray(empty[key]))
    pixels = crops()
    valid = torch.tensor([1.0, 0.0, 0.5])
    got = masked_losses(model, model(pixels), {task: batch}, {task: valid})[task]
    kept = {key: value[[0, 2]] for key, value in batch.items()}
    each = head.loss(model(pixels[[0, 2]])[task], kept)
    assert torch.allclose(got, (each[0] + 0.5 * each[1]) / 1.5, rtol=1e-4)
    nobody = masked_losses(model, model(pixels), {task: batch}, {task: torch.zeros(3)})[task]
    nobody.backward()
    assert nobody == 0
    assert all(
        p.grad is None or (torch.isfinite(p.grad).all() and p.grad.abs().sum() == 0)
        for p in model.parameters()
    )


@pytest.mark.parametrize("task", TASKS)
def test_empty_target_has_the_shapes_of_an_encoded_one(model: FaceModel, task: str) -> None:
    head = model.head(task)
    full, empty = head.encode(label(task), view(20.0, True)), head.empty_target()
    assert {key: (np.shape(v), np.asarray(v).dtype) for key, v in full.items()} == {
        key: (np.shape(v), np.asarray(v).dtype) for key, v in empty.items()
    }


@pytest.mark.parametrize("task", TASKS)
def test_training_on_one_batch_lowers_the_loss(task: str) -> None:
    torch.manual_seed(0)
    model = FaceModel(CONFIG)
    optimiser = torch.optim.AdamW(model.parameters(), 3e-3)
    pixels, batch, losses = crops(), targets(model, task), []
    for _ in range(25):
        loss = model.head(task).loss(model(pixels)[task], batch).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss))
    assert losses[-1] < 0.7 * losses[0]


def perfect(task: str, target: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The output that the target asks for."""
    match task:
        case "landmarks":
            return {"points": target["points"]}
        case "pose":
            return {"matrix": target["matrix"]}
        case "parsing":
            bits = torch.arange(len(CLASSES)).view(1, -1, 1, 1)
            return {"scores": (target["sets"][:, None] >> bits & 1).float()}
        case "age":
            return {"value": target["value"]}
        case "attributes":
            return {"probabilities": target["answers"]}
    return {"probabilities": target["distribution"]}


@pytest.mark.parametrize("task", TASKS)
def test_metric_of_the_truth_is_perfect(model: FaceModel, task: str) -> None:
    head, target = model.head(task), targets(model, task)
    metrics = head.summarise(head.statistics(perfect(task, target), target).numpy())
    main = next(iter(metrics))
    assert metrics[main] == pytest.approx(
        100.0 if main.endswith("accuracy %") or "F1" in main else 0.0, abs=0.05
    )


@pytest.mark.parametrize("task", TASKS)
def test_the_nearest_truth_has_no_error_and_the_output_has(model: FaceModel, task: str) -> None:
    head, target = model.head(task), targets(model, task)
    with torch.inference_mode():
        output = model.decode(model(crops()))[task]
    truth = head.nearest_truth(output, target)
    assert set(truth) <= set(output)
    right, wrong = (head.sample_errors(head.statistics(each, target).numpy()) for each in (truth, output))
    assert right.shape == wrong.shape == (3,)
    np.testing.assert_allclose(right, 0, atol=0.1)
    assert (wrong > right + 0.05).all()
    assert head.error_name


def test_the_nearest_truth_keeps_what_the_label_leaves_open(model: FaceModel) -> None:
    pose = model.head("pose")
    target = default_collate([pose.encode(np.array([30.0, np.nan, np.nan]), view(angle=25.0))])
    output = {"matrix": torch.from_numpy(matrix_from_angles(5.0, -12.0, 8.0))[None].float()}
    truth = roll_matrix(target["roll"]) @ pose.nearest_truth(output, target)["matrix"]
    before = angles_from_matrix(roll_matrix(target["roll"]) @ output["matrix"])
    expected = [np.radians(30.0), float(before[0, 1]), float(before[0, 2])]
    np.testing.assert_allclose(angles_from_matrix(truth)[0], expected, atol=1e-4)

    parsing = model.head("parsing")
    lips = class_set("upper_lip", "lower_lip")
    target = {"sets": torch.tensor([[[lips, lips], [0, class_set("skin")]]])}
    scores = torch.zeros(1, len(CLASSES), 2, 2)
    for (row, column), name in {(0, 0): "lower_lip", (0, 1): "hair", (1, 0): "nose", (1, 1): "nose"}.items():
        scores[0, CLASSES.index(name), row, column] = 1.0
    best = parsing.nearest_truth({"scores": scores}, target)["scores"].argmax(1)[0]
    names = [CLASSES[index] for index in best.ravel().tolist()]
    assert names == ["lower_lip", "upper_lip", "nose", "skin"]

    attributes = model.head("attributes")
    output = {"probabilities": torch.full((1, 40), 0.7)}
    answers = np.where(np.arange(40) < 4, 0.0, np.nan)
    target = default_collate([attributes.encode(answers, view())])
    np.testing.assert_allclose(
        attributes.nearest_truth(output, target)["probabilities"][0], np.where(np.arange(40) < 4, 0.0, 0.7)
    )
    assert attributes.sample_errors(attributes.statistics(output, target).numpy()) == [100.0]


@settings(max_examples=25, deadline=None)
@given(task=st.sampled_from(TASKS), angle=st.floats(-90, 90), seed=st.integers(0, 50))
def test_mirroring_the_image_is_mirroring_the_view(task: str, angle: float, seed: int) -> None:
    """A label in a mirrored view = the mirrored label in the mirrored image's view."""
    head = FaceModel(CONFIG).head(task) if task not in _HEADS else _HEADS[task]
    _HEADS[task] = head
    here = head.encode(label(task, seed), view(angle, flip=True))
    there = head.encode(mirrored(task, label(task, seed)), view(-angle))
    for key in here:
        if key == "sets":  # nearest neighbour may choose the other neighbour at ties
            assert np.mean(here[key] == there[key]) > 0.97
        else:
            np.testing.assert_allclose(here[key], there[key], atol=1e-3, err_msg=key)


def test_flipping_twice_is_the_identity() -> None:
    np.testing.assert_array_equal(landmarks.MIRROR[landmarks.MIRROR], np.arange(68))
    # on a symmetric face the mirrored point lies where its name says
    np.testing.assert_allclose(MEAN_FACE[landmarks.MIRROR], MEAN_FACE * [-1, 1, 1], atol=0.011)
    heads, half = build_heads(CONFIG), SIZE // 2
    whole = FaceCrop((SIZE / 2 - 0.5,) * 2, SIZE, SIZE)
    once = heads["landmarks"].encode(label("landmarks"), view(30.0, flip=True))["points"]
    again = heads["landmarks"].encode(once, View(whole, flip=True))["points"]
    np.testing.assert_allclose(
        again, heads["landmarks"].encode(label("landmarks"), view(30.0))["points"], atol=1e-4
    )
    sets = heads["parsing"].encode(label("parsing"), view(30.0, flip=True))["sets"]
    again = heads["parsing"].encode(
        SetMask(sets), View(FaceCrop((half / 2 - 0.5,) * 2, half, SIZE), flip=True)
    )
    np.testing.assert_array_equal(
        again["sets"], heads["parsing"].encode(label("parsing"), view(30.0))["sets"]
    )
    turned = view(30.0, flip=True).rotation(matrix_from_angles(20, -10, 5))
    np.testing.assert_allclose(
        View(whole, flip=True).rotation(turned),
        view(30.0).rotation(matrix_from_angles(20, -10, 5)),
        atol=1e-9,
    )


_HEADS: dict[str, Any] = {}
_PAIRS = {"left": "right", "right": "left"}


def mirrored(task: str, value: Any) -> Any:
    """The label of the mirrored 96 px image, made by the meaning of its names."""
    if task == "landmarks":
        order = [
            *range(16, -1, -1),
            *range(26, 21, -1),
            *range(21, 16, -1),
            27,
            28,
            29,
            30,
            35,
            34,
            33,
            32,
            31,
        ]
        order += [45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40]
        order += [54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65]
        return (value * [-1, 1] + [95, 0])[order]
    if task == "pose":
        return value * [-1, 1, -1]
    if task == "parsing":

        def swap(bits: int) -> int:
            names = [name for index, name in enumerate(CLASSES) if bits >> index & 1]
            sides = [name.split("_") for name in names]
            return class_set(*("_".join([_PAIRS.get(part[0], part[0]), *part[1:]]) for part in sides))

        table = {bits: swap(bits) for bits in np.unique(value.sets).tolist()}
        swapped = np.vectorize(table.get)(value.sets)[:, ::-1]
        return SetMask(swapped, tuple(swap(bits) for bits in value.groups))
    return value


def test_partial_pose_is_judged_by_what_is_known(model: FaceModel) -> None:
    head = model.head("pose")
    only_yaw = head.encode(np.array([30.0, np.nan, np.nan]), view(angle=25.0))
    whole = head.encode(np.array([30.0, -10.0, 5.0]), view(angle=25.0))
    output = {"matrix": torch.from_numpy(whole["matrix"])[None]}
    batch = {key: torch.from_numpy(np.asarray(value))[None] for key, value in only_yaw.items()}
    metrics = head.summarise(head.statistics(output, batch).numpy())
    assert metrics["yaw MAE deg"] == pytest.approx(0.0, abs=1e-3)
    assert np.isnan(metrics["pitch MAE deg"]) and np.isnan(metrics["geodesic MAE deg"])
    assert float(head.loss(output, batch)) < 2e-3


@pytest.mark.parametrize(
    "angles", [(10.0, 95.0, 5.0), (-20.0, -99.0, 0.0), (120.0, 10.0, -5.0), (30.0, -10.0, 5.0)]
)
def test_a_perfect_rotation_has_no_error_of_angles(model: FaceModel, angles: tuple[float, ...]) -> None:
    """Two triples of angles are one rotation: a label may be either."""
    head = model.head("pose")
    for flip in (False, True):
        target = default_collate([head.encode(np.array(angles), view(angle=25.0, flip=flip))])
        metrics = head.summarise(head.statistics({"matrix": target["matrix"]}, target).numpy())
        np.testing.assert_allclose(list(metrics.values()), 0, atol=0.02)


def test_the_mean_of_three_angles_is_over_labels_of_all_three(model: FaceModel) -> None:
    head = model.head("pose")
    metrics = head.summarise(np.array([[1.0, 2.0, 6.0, 5.0], [9.0, np.nan, np.nan, np.nan]]))
    assert metrics["MAE of 3 angles deg"] == pytest.approx(3.0) and metrics["yaw MAE deg"] == pytest.approx(
        5.0
    )
    assert next(iter(metrics)) == "yaw+pitch MAE deg"
    assert np.isnan(head.summarise(np.array([[9.0, 2.0, np.nan, np.nan]]))["MAE of 3 angles deg"])


def test_pixels_that_may_be_in_a_group_do_not_count_for_it(model: FaceModel) -> None:
    """Lips may be told apart in one pixel and not in the next: neither answer is wrong there."""
    head = model.head("parsing")
    lips, upper, skin = class_set("upper_lip", "lower_lip"), class_set("upper_lip"), class_set("skin")
    sets = torch.tensor([[[lips, upper], [skin, skin]]])
    groups = torch.tensor([[lips, upper, skin] + [0] * 8])
    scores = torch.zeros(1, len(CLASSES), 2, 2)
    scores[:, CLASSES.index("upper_lip"), 0] = 1.0
    scores[:, CLASSES.index("skin"), 1] = 1.0
    right = head.statistics({"scores": scores}, {"sets": sets, "groups": groups}).numpy()
    metrics = head.summarise(right)
    assert set(metrics.values()) == {100.0}
    assert right[0, 11:14].tolist() == [2, 1, 2]  # hits: the single upper lip is a lip, too
    wrong = head.statistics({"scores": scores.flip(2)}, {"sets": sets, "groups": groups}).numpy()
    assert set(head.summarise(wrong).values()) == {0.0}


def test_set_likelihood_is_indifferent_within_the_set(model: FaceModel) -> None:
    head = model.head("parsing")
    mouth = class_set("upper_lip", "inner_mouth", "lower_lip")
    size = head.empty_target()["sets"].shape
    target = {"sets": torch.full((1, *size), mouth), "groups": torch.zeros(1, 11, dtype=torch.int32)}
    losses = {}
    for name in ("upper_lip", "lower_lip", "skin"):
        logits = torch.zeros(1, 11, *size)
        logits[:, CLASSES.index(name)] = 8.0
        losses[name] = float(head.loss({"logits": logits}, target))
    assert (
        losses["upper_lip"] == pytest.approx(losses["lower_lip"]) and losses["skin"] > losses["upper_lip"] + 3
    )


def test_metrics_of_wrong_answers_are_the_hand_computed_ones(model: FaceModel) -> None:
    expression = model.head("expression")
    answers = [[0, 0], [0, 0], [0, 1], [1, 1]]  # truth, answer
    rows = np.column_stack([answers, [0.75] * 4, [0.75] * 4])  # probability of either
    metrics = expression.summarise(rows)
    assert metrics["accuracy %"] == 75.0 and metrics["balanced accuracy %"] == pytest.approx(
        100 * (2 / 3 + 1) / 2
    )
    assert metrics["macro F1 %"] == pytest.approx(100 * (0.8 + 2 / 3) / 2)
    assert metrics["ECE %"] == pytest.approx(0.0)  # 75 % sure, and right in three of four

    parsing = model.head("parsing")
    hair, rest = class_set("hair", "left_brow"), class_set("background")
    sets = torch.full((1, 4, 4), rest)
    sets[:, :2] = hair  # the upper half
    scores = torch.zeros(1, 11, 4, 4)
    scores[:, 0] = 0.5
    scores[:, CLASSES.index("left_brow"), 1:3] = 1.0  # rows 1 and 2: half right, half too many
    groups = torch.tensor([[hair, rest] + [0] * 9])
    metrics = parsing.summarise(
        parsing.statistics({"scores": scores}, {"sets": sets, "groups": groups}).numpy()
    )
    assert metrics["mean F1 %"] == pytest.approx(50.0)  # 4 hits, 4 extra, 4 missed; background does not count

    points = model.head("landmarks")
    truth = torch.from_numpy(project(0, 0, 0))[None]
    ocular = float((truth[0, 36] - truth[0, 45]).norm())
    moved = truth + torch.tensor([0.0, 0.05 * ocular])
    metrics = points.summarise(points.statistics({"points": moved}, {"points": truth}).numpy())
    assert metrics["NME %"] == pytest.approx(5.0) and metrics["AUC@10 %"] == pytest.approx(50.0)


def test_a_face_that_was_not_found_is_a_failure(model: FaceModel) -> None:
    head = model.head("landmarks")
    rows = np.stack([np.array([3.0, 2.5, 2.0]), np.asarray(head.missing_row())])
    metrics = head.summarise(rows)
    assert (
        metrics["NME %"] == 3.0
        and metrics["failure %"] == 50.0
        and metrics["AUC@10 %"] == pytest.approx(35.0)
    )
