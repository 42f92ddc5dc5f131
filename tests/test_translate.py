"""Landmarks from meshes: the regression finds a convention, mirrors with the face, and becomes a teacher."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tiny_pack import write_pack

from faceperc.data.cli import main as data
from faceperc.data.prepared import unpack_label
from faceperc.data.pseudo import WithPseudoLabels
from faceperc.data.rows import pack_arrays
from faceperc.data.source import load_sources
from faceperc.data.teachers.format import PseudoLabel, Teacher, labels_path, read_labels, write_labels
from faceperc.data.teachers.mediapipe_mesh import IBUG68, MIRROR
from faceperc.data.teachers.translate import MeshToLandmarks
from faceperc.errors import DataError
from faceperc.heads.landmarks import MIRROR as LANDMARK_MIRROR

Array = NDArray[np.float64]
FLIP = np.array([-1.0, 1.0])
MESH = Teacher("mediapipe-mesh", "0", "drawn meshes", "CC0")


def symmetric(random: np.random.Generator, mirror: NDArray[np.int64]) -> Array:
    half = random.normal(size=(len(mirror), 2))
    return (half + half[mirror] * FLIP) / 2


def faces(count: int, seed: int) -> tuple[Array, Array]:
    """Meshes of any place, size and roll that vary in one way, and landmarks that bend with it."""
    shared, random = np.random.default_rng(0), np.random.default_rng(seed)
    mean, change, bend = (symmetric(shared, MIRROR) for _ in range(3))
    mean[[33, 263]] = [[-1.0, 0.0], [1.0, 0.0]]
    change[[33, 263]], offset = 0.0, 0.1 * symmetric(shared, LANDMARK_MIRROR)
    amount = random.normal(size=(count, 1, 1))
    meshes = mean + 0.2 * amount * change
    landmarks = meshes[:, IBUG68] + offset + 0.05 * amount**2 * bend[IBUG68]
    angle, scale = random.uniform(-1, 1, count), random.uniform(5, 90, count)
    turn = scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    place = random.uniform(0, 200, (count, 1, 2))
    return meshes @ turn.transpose(2, 0, 1) + place, landmarks @ turn.transpose(2, 0, 1) + place


def test_it_finds_a_convention_that_depends_on_the_shape() -> None:
    rule = MeshToLandmarks(*faces(400, 1))
    meshes, landmarks = faces(50, 2)
    size = np.sqrt(np.ptp(meshes, axis=1).prod(axis=1))
    error, before = (
        np.linalg.norm(found - landmarks, axis=2).mean(axis=1) / size
        for found in (rule(meshes), meshes[:, IBUG68])
    )
    assert error.mean() < 0.003 < 0.02 < before.mean()
    mirrored = rule(meshes[:, MIRROR] * FLIP)[:, LANDMARK_MIRROR] * FLIP
    np.testing.assert_allclose(mirrored, rule(meshes), rtol=1e-6, atol=1e-6 * size.max())


def test_too_few_faces() -> None:
    with pytest.raises(DataError, match="too few"):
        MeshToLandmarks(np.zeros((1, 478, 2)), np.zeros((1, 68, 2)))


def test_the_command_says_what_is_missing(tmp_path: Path) -> None:
    pack = write_pack(tmp_path / "pack")
    (tmp_path / "list.yaml").write_text("- {class_path: faceperc.data.pack.W300}\n")
    with pytest.raises(DataError, match=r"no labels of mediapipe-mesh.*label them first"):
        data(["landmarks", str(tmp_path / "list.yaml"), "--labels", str(tmp_path), "--data", str(pack)])


def test_the_command_makes_a_teacher_of_landmarks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pack = write_pack(tmp_path / "pack", rows=12)
    names = ("W300", "UTKFace")
    (tmp_path / "list.yaml").write_text(
        "".join(f"- {{class_path: faceperc.data.pack.{name}}}\n" for name in names)
    )
    sources = load_sources(tmp_path / "list.yaml")
    points = sources[0].read(pack, "train")[0].labels["landmarks"]
    for source in sources:
        for split in ("train", "val"):
            labels = []
            for sample in source.read(pack, split):
                mesh = np.tile(sample.box.reshape(2, 2).mean(0), (478, 1))
                mesh[IBUG68] = np.add(sample.labels.get("landmarks", points), [0.0, 3.0])
                box = np.r_[mesh.min(0), mesh.max(0)].tolist()
                for task, value in (("mesh", mesh), ("pose", np.zeros(3))):
                    label = pack_arrays(value=value)
                    labels.append(PseudoLabel(source.name, split, "", sample.digest, box, task, label, 0.8))
            write_labels(labels_path(tmp_path, source.name, split, MESH.name), MESH, labels)
    options = ["--labels", str(tmp_path), "--data", str(pack)]
    assert data(["landmarks", str(tmp_path / "list.yaml"), *options]) == 0
    assert capsys.readouterr().out.count("12 labels") == 4
    teacher, found = read_labels(labels_path(tmp_path, "utkface", "train", "mediapipe-mesh-landmarks"))
    assert {label.task for label in found} == {"landmarks"} and "fitted to those of w300" in teacher.origin
    _, of_w300 = read_labels(labels_path(tmp_path, "w300", "val", "mediapipe-mesh-landmarks"))
    truth = {each.digest: each.labels["landmarks"] for each in sources[0].read(pack, "val")}
    gaps = [unpack_label(label.label) - truth[label.sha256] for label in of_w300]
    assert np.abs(np.mean(gaps, axis=(0, 1))).max() < 0.1  # the shift by 3 pixels is undone
    taught = WithPseudoLabels(sources[1], teacher.name, str(tmp_path)).read(pack, "train")
    assert all(sample.trust["landmarks"] == pytest.approx(0.4) for sample in taught)
    assert not any("parsing" in sample.labels for sample in taught)
    parts = WithPseudoLabels(sources[1], teacher.name, str(tmp_path), parts=True).read(pack, "train")
    assert all(sample.trust["parsing"] == pytest.approx(0.4) for sample in parts)
    assert all("parsing" in sample.derived and sample.labels["parsing"].sets.any() for sample in parts)
