"""Following a teacher: distances by kind, on unlabelled samples only, through a whole training."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml
from test_train import recipe
from tiny_pack import tiny_config, write_pack

from faceperc.config import FaceModelConfig
from faceperc.distill import output_distance
from faceperc.errors import ConfigError, ModelError
from faceperc.head import KIND_FIELDS
from faceperc.model import FaceModel
from faceperc.teacher import Teacher, TeacherConfig
from faceperc.train import main

CONFIG = FaceModelConfig.from_dict(tiny_config())
WIDE = tiny_config()["backbone"] | {"options": {"embed_dim": 96}}


def model(seed: int, **changes: object) -> FaceModel:
    torch.manual_seed(seed)
    return FaceModel(FaceModelConfig.from_dict(tiny_config(**changes)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(model(1, backbone=WIDE).save(tmp_path_factory.mktemp("teacher")))


def crops(count: int = 4) -> torch.Tensor:
    size = CONFIG.crop_rule.size
    return torch.randint(0, 256, (count, size, size, 3), dtype=torch.uint8)


def test_distance_of_every_kind_is_zero_where_they_agree_and_positive_elsewhere() -> None:
    student, pixels, kinds = model(0), crops(), set()
    raw = student(pixels)
    same = {task: student.decode(raw)[task] for task in student.tasks}
    other = model(1).decode(model(1)(pixels))
    for task in student.tasks:
        head = student.head(task)
        near, far = (head.distillation_loss(raw[task], answers[task], 2.0) for answers in (same, other))
        assert near.shape == far.shape == (4,)
        assert near.abs().max() < 1e-3 and (far > 10 * near.abs()).all(), task
        kinds.add(head.info.kind)
    assert kinds == set(KIND_FIELDS)


def test_distances_have_the_values_and_gradients_of_their_formulas() -> None:
    torch.manual_seed(0)
    mine, theirs, heat = torch.randn(3, 5, requires_grad=True), torch.randn(3, 5), 2.0
    fields = [{"probabilities": each.softmax(1)} for each in (mine, theirs)]
    found = output_distance("classes", *fields, heat)
    log_p, log_q = (mine / heat).log_softmax(1), (theirs / heat).log_softmax(1)
    torch.testing.assert_close(found, heat**2 * (log_q.exp() * (log_q - log_p)).sum(1), rtol=1e-4, atol=1e-5)

    fields = [{"probabilities": each.sigmoid()} for each in (mine, theirs)]
    (gradient,) = torch.autograd.grad(output_distance("probabilities", *fields, heat).sum(), mine)
    wanted = heat * ((mine / heat).sigmoid() - (theirs / heat).sigmoid()) / 5
    torch.testing.assert_close(gradient, wanted, rtol=1e-4, atol=1e-5)

    values = [{"value": torch.tensor([3.0, -1.0])}, {"value": torch.tensor([1.0, -1.5])}]
    assert output_distance("scalar", *values, heat).tolist() == [2.0, 0.5]
    square = torch.tensor([[[0.0, 0.0], [20.0, 0.0], [20.0, 20.0], [0.0, 20.0]]])
    moved = output_distance("points", {"points": square + torch.tensor([3.0, 4.0])}, {"points": square}, heat)
    assert float(moved) == pytest.approx(10 * 5 / 20, rel=1e-4)


def test_sure_answers_keep_the_distance_finite() -> None:
    logits = torch.tensor([[90.0, -90.0]], requires_grad=True)
    sure, opposite = {"probabilities": logits.softmax(1)}, {"probabilities": torch.tensor([[0.0, 1.0]])}
    for kind in ("classes", "probabilities"):
        distance = output_distance(kind, sure, opposite, 1.0)
        assert torch.isfinite(distance).all() and float(distance) > 10
        (gradient,) = torch.autograd.grad(distance.sum(), logits, retain_graph=True)
        assert torch.isfinite(gradient).all()


def test_student_comes_closer_to_its_teacher(folder: str) -> None:
    student = model(0)
    teacher = Teacher(TeacherConfig(folder, feature_weight=1.0), student)
    assert {name for name, _ in teacher.named_parameters()} == {"projection.weight", "projection.bias"}
    optimiser = torch.optim.AdamW([*student.parameters(), *teacher.parameters()], 2e-3)
    pixels = crops()
    unlabelled = teacher.unlabelled({task: torch.zeros(4) for task in student.tasks})
    totals = {task: torch.tensor(4.0) for task in student.tasks}
    history = []
    for _ in range(20):
        raw, tokens = student.forward_with_tokens(pixels)
        losses = teacher(student, pixels, raw, tokens, unlabelled, totals)
        optimiser.zero_grad()
        sum(losses.values()).backward()
        optimiser.step()
        history.append({name: float(loss) for name, loss in losses.items()})
    assert history[0].keys() == {*student.tasks, "tokens"}
    for name, start in history[0].items():
        assert history[-1][name] < 0.8 * start, name


def test_labelled_samples_do_not_follow(folder: str) -> None:
    student = model(0).eval()
    teacher = Teacher(TeacherConfig(folder), student)
    assert not list(teacher.parameters())
    pixels = crops()
    valid = {task: torch.tensor([1.0, 0.0, 0.5, 0.0]) for task in student.tasks}
    totals = {task: torch.tensor(2.0) for task in student.tasks}
    raw, tokens = student.forward_with_tokens(pixels)
    some = teacher(student, pixels, raw, tokens, teacher.unlabelled(valid), totals)
    raw, tokens = student.forward_with_tokens(pixels[[1, 3]])
    everybody = {task: torch.ones(2) for task in student.tasks}
    alone = teacher(student, pixels[[1, 3]], raw, tokens, everybody, totals)
    for task, loss in some.items():
        torch.testing.assert_close(loss, alone[task], rtol=1e-3, atol=1e-4)
    nobody = teacher.unlabelled({task: torch.ones(2) for task in student.tasks})
    silent = sum(teacher(student, pixels[[1, 3]], raw, tokens, nobody, totals).values())
    silent.backward()
    assert float(silent) == 0
    assert all(p.grad is None or p.grad.abs().sum() == 0 for p in student.parameters())


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({"crop": {"scale": 1.2}}, {}, "sees CropRule"),
        ({"heads": {"pose": tiny_config()["heads"]["age"]}}, {}, "'pose' is not the student's"),
        ({"heads": {"years": tiny_config()["heads"]["age"]}}, {}, "nothing to follow"),
        ({}, {"weight": 0.0}, "nothing to follow"),
        (
            {"backbone": tiny_config()["backbone"] | {"options": {"patch_size": 8}}},
            {"feature_weight": 1.0},
            "8 cells a side, the student's 4",
        ),
    ],
)
def test_teachers_that_do_not_fit_are_refused(
    tmp_path: Path, changes: dict[str, object], options: dict[str, float], message: str
) -> None:
    saved = model(1, **changes).save(tmp_path)
    with pytest.raises(ConfigError, match=message):
        Teacher(TeacherConfig(str(saved), **options), model(0))
    with pytest.raises(ModelError, match="nowhere"):
        Teacher(TeacherConfig(str(tmp_path / "nowhere")), model(0))


def test_training_with_a_teacher_and_learned_weights(tmp_path: Path, folder: str) -> None:
    """Both options in one recipe: they are saved in the checkpoint, resume, and leave the model as it was."""
    origin = [{"name": "secret", "origin": "?", "licence": "?"}]
    Path(folder, "training.json").write_text(json.dumps({"data": origin, "licence": "?"}))
    before = FaceModel.load(folder).weights_sha256()
    path = recipe(tmp_path, write_pack(tmp_path / "pack"))
    config = yaml.safe_load(path.read_text())
    config["model"] |= {"weighting": "uncertainty", "teacher": {"folder": folder, "feature_weight": 0.5}}
    path.write_text(yaml.safe_dump(config))
    assert main([str(path)]) == 0

    checkpoint = torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)
    weights = checkpoint["state_dict"]
    beside = {name for name in weights if not name.startswith("model.")}
    tasks = {f"weighting.log_variances.{task}" for task in CONFIG.heads}
    assert beside == tasks | {"teacher.projection.weight", "teacher.projection.bias"}
    assert all(float(weights[name]) != 0 for name in tasks)
    groups = checkpoint["optimizer_states"][0]["param_groups"]
    counts = [len(group["params"]) for group in groups if group["weight_decay"] == 0][1:]
    assert counts == [len(tasks), 2]  # the first group is the model's own norms and biases

    trained = FaceModel.load(tmp_path / "run/model")  # fails if anything else were in the file
    assert trained.weights_sha256() != before == FaceModel.load(folder).weights_sha256()
    training = json.loads((tmp_path / "run/model/training.json").read_text())
    assert {"secret", "w300"} <= {source["name"] for source in training["data"]}
    options = ["--ckpt_path", str(tmp_path / "run/checkpoints/last.ckpt"), "--trainer.max_epochs", "2"]
    assert main([str(path), *options]) == 0
