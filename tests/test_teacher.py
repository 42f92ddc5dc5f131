"""Teachers: their files, how training reads them, the mesh's geometry, and exported models as teachers."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from test_train import recipe
from tiny_onnx import FACE_TASKS, POINTS, build_face_model
from tiny_pack import ROWS, SIZE, encoded, write_pack

from faceperc.crop import CropRule, FaceCrop
from faceperc.data.cli import main as data
from faceperc.data.folder import FolderSource, Item
from faceperc.data.mean_face import MEAN_FACE
from faceperc.data.pack import W300, UTKFace
from faceperc.data.prepared import Prepared, pack_label, prepare, unpack_label
from faceperc.data.pseudo import WithPseudoLabels
from faceperc.data.rows import digest, pack_arrays
from faceperc.data.source import Sample, Source, load_sources
from faceperc.data.teachers import mediapipe_mesh
from faceperc.data.teachers.agreement import agreement
from faceperc.data.teachers.format import PseudoLabel, Teacher, labels_path, read_labels, write_labels
from faceperc.data.teachers.mediapipe_mesh import IBUG68, MIRROR, label_split, mean_mesh, pose_from_mesh
from faceperc.data.teachers.model import label_source, teacher_of
from faceperc.errors import ConfigError, DataError
from faceperc.heads.landmarks import MIRROR as LANDMARK_MIRROR
from faceperc.heads.parsing import SetMask, class_set
from faceperc.predict import Predictor
from faceperc.rotations import matrix_from_angles
from faceperc.train import main as train

TEACHER = Teacher("wise", "1.0", "a teacher for tests", "CC0")
SIGMA = np.array([0.2, 0.4, 0.6, 0.8])  # crop pixels: a model that is fairly certain


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pack(tmp_path_factory.mktemp("pack"))


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    landmarks = (FACE_TASKS["landmarks"][0], {"points": POINTS, "sigma": SIGMA})
    path = tmp_path_factory.mktemp("teacher") / "tiny.onnx"
    return build_face_model(path, FACE_TASKS | {"landmarks": landmarks})


@pytest.fixture(scope="module")
def labels(pack: Path, teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the tiny model says of w300 and utkface, written by the command."""
    out = tmp_path_factory.mktemp("labels")
    listed = [{"class_path": f"faceperc.data.pack.{name}"} for name in ("W300", "UTKFace")]
    path = out / "sources.yaml"
    path.write_text(yaml.safe_dump(listed))
    options = ["--teacher", str(teacher), "--data", str(pack), "--out", str(out)]
    assert data(["label", str(path), *options]) == 0
    return out


def wrapped(name: str, labels: Path, **options: Any) -> dict[str, Any]:
    """The entry of a source with the tiny model's labels, as it stands in a YAML list."""
    source = {"class_path": f"faceperc.data.pack.{name}", "init_args": {"weight": 3}}
    return {
        "class_path": "faceperc.data.pseudo.WithPseudoLabels",
        "init_args": {"source": source, "teacher": "tiny", "folder": str(labels)} | options,
    }


def read(pack: Path, entry: dict[str, Any], folder: Path, split: str = "train") -> list[Sample]:
    path = folder / "list.yaml"
    path.write_text(yaml.safe_dump([entry]))
    (source,) = load_sources(path)
    assert source.weight == 3
    return source.read(pack, split)


def label(sha256: str, box: list[float], task: str = "age", confidence: float = 0.8) -> PseudoLabel:
    return PseudoLabel("utkface", "train", "row", sha256, box, task, pack_arrays(value=30.0), confidence)


def test_a_teachers_file_reads_back_and_says_whose_it_is(tmp_path: Path) -> None:
    given_ = [label("a" * 64, [1.0, 2.0, 3.5, 4.0]), label("b" * 64, [0.0, 0.0, 9.0, 9.0], "mesh", 0.25)]
    path = write_labels(labels_path(tmp_path, "utkface", "train", "wise"), TEACHER, given_)
    assert path == tmp_path / "utkface/train.wise.parquet"
    assert read_labels(path) == (TEACHER, given_)
    facts = json.loads(pq.read_schema(path).metadata[b"faceperc-teacher"])
    assert facts["licence"] == "CC0" and facts["date"].startswith("20")
    assert pq.read_table(path)["teacher"].to_pylist() == ["wise", "wise"]
    assert pq.read_table(path)["version"].to_pylist() == ["1.0", "1.0"]


def test_other_files_are_refused(tmp_path: Path, pack: Path) -> None:
    with pytest.raises(DataError, match="holds no teacher's labels"):
        read_labels(pack / "w300/train.parquet")
    with pytest.raises(DataError, match=r"train\.wise\.parquet: missing"):
        WithPseudoLabels(UTKFace(), "wise", str(tmp_path)).read(pack, "train")


def test_model_labels_every_face_in_the_form_that_heads_take(
    pack: Path, labels: Path, tmp_path: Path
) -> None:
    sample = read(pack, wrapped("UTKFace", labels), tmp_path)[0]
    crop = FaceCrop.from_box(sample.box, CropRule(32, 1.5, (0.0, -0.1)))
    np.testing.assert_allclose(sample.labels["landmarks"], crop.to_image(POINTS), atol=1e-4)
    np.testing.assert_allclose(sample.labels["pose"], [0, 0, 90], atol=1e-4)
    np.testing.assert_allclose(
        sample.labels["expression"], FACE_TASKS["expression"][1]["probabilities"], atol=1e-6
    )
    np.testing.assert_array_equal(sample.labels["attributes"], [0, 1, 1])
    sets = sample.labels["parsing"].sets
    x, y = np.round(crop.to_image([[10, 15], [25, 10], [25, 25]])).astype(int).T
    assert sets[y, x].tolist() == [class_set("background"), class_set("skin"), class_set("hair")]

    size = math.sqrt(np.prod(sample.box[2:] - sample.box[:2]))
    expected = 1 - float(crop.length_to_image(SIGMA).mean()) / (0.1 * size)
    assert sample.trust["landmarks"] == pytest.approx(0.5 * expected, abs=1e-6)
    assert sample.trust["expression"] == pytest.approx(0.5 * 0.9)
    assert sample.trust["attributes"] == pytest.approx(0.5 * np.mean([0.8, 0.97, 0.6]))
    assert sample.trust["pose"] == 0.5


def test_labelling_again_leaves_finished_files(
    pack: Path, labels: Path, teacher: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in labels.rglob("*.parquet")}
    assert len(before) == 4
    options = ["--teacher", str(teacher), "--data", str(pack), "--out", str(labels)]
    assert data(["label", str(labels / "sources.yaml"), *options]) == 0
    assert capsys.readouterr().out.count("is there already") == 4
    assert {path: path.read_bytes() for path in labels.rglob("*.parquet")} == before


def test_own_labels_win_and_the_teachers_are_derived(pack: Path, labels: Path, tmp_path: Path) -> None:
    own = {s.name: s for s in load_sources()[0].read(pack, "train")}
    for sample in read(pack, wrapped("W300", labels, trust=0.3), tmp_path):
        before = own[sample.name]
        np.testing.assert_array_equal(sample.labels["landmarks"], before.labels["landmarks"])
        np.testing.assert_array_equal(sample.labels["pose"], before.labels["pose"])
        assert "landmarks" not in sample.trust and "landmarks" not in sample.derived
        assert sample.trust["pose"] == before.trust["pose"]
        assert sample.labels["age"] == 20.0 and sample.trust["age"] == 0.3
        assert sample.derived == before.derived | {"age", "attributes", "expression", "redness"}


def test_nothing_is_measured_by_a_teacher(pack: Path, labels: Path, tmp_path: Path) -> None:
    for sample in read(pack, wrapped("UTKFace", labels), tmp_path, "val"):
        assert set(sample.labels) == {"age", "gender"}


def test_tasks_and_confidence_choose(pack: Path, labels: Path, tmp_path: Path) -> None:
    entry = wrapped("UTKFace", labels, tasks=["expression", "attributes"], min_confidence=0.85)
    assert set(read(pack, entry, tmp_path)[0].labels) == {"age", "gender", "expression"}
    with pytest.raises(DataError, match="does not label mesh"):
        read(pack, wrapped("UTKFace", labels, tasks=["mesh"]), tmp_path)
    for wrong in ({"trust": 0.0}, {"trust": 1.5}, {"min_confidence": 1.0}):
        with pytest.raises(ConfigError, match="trust lies in"):
            WithPseudoLabels(UTKFace(), "tiny", **wrong)  # type: ignore[arg-type]


def test_a_changed_photograph_gets_no_label(tmp_path: Path, labels: Path) -> None:
    pack = write_pack(tmp_path / "pack")
    path = pack / "utkface/train.parquet"
    rows = pq.read_table(path).to_pylist()
    rows[2]["image"] = encoded(Image.new("RGB", (SIZE, SIZE), (9, 9, 9)))
    pq.write_table(pa.Table.from_pylist(rows), path)
    with pytest.warns(UserWarning, match=f"nothing about 1 of {ROWS} faces of utkface"):
        samples = read(pack, wrapped("UTKFace", labels), tmp_path)
    assert ["expression" in sample.labels for sample in samples] == [True, True, False, True, True, True]

    rows = [row | {"image": rows[2]["image"]} for row in rows]
    pq.write_table(pa.Table.from_pylist(rows), path)
    with pytest.raises(DataError, match="have changed since; label them again"):
        read(pack, wrapped("UTKFace", labels), tmp_path)


def test_only_the_labels_of_the_samples_own_face_count(pack: Path, tmp_path: Path) -> None:
    samples = UTKFace().read(pack, "train")
    (x0, y0, x1, y1), far = samples[0].box.tolist(), [500.0, 500.0, 540.0, 540.0]
    found = [
        label(samples[0].digest, far, "pose"),
        label(samples[0].digest, [x0 + 2, y0 + 2, x1, y1], "expression"),
        label(samples[1].digest, far, "expression"),
    ]
    write_labels(labels_path(tmp_path, "utkface", "train", "wise"), TEACHER, found)
    with pytest.warns(UserWarning, match="nothing about 5 of 6"):
        first, second, *_ = WithPseudoLabels(UTKFace(), "wise", str(tmp_path)).read(pack, "train")
    assert "expression" in first.labels and "pose" not in first.labels
    assert "expression" not in second.labels


def test_a_teachers_mask_narrows_what_the_source_leaves_open(pack: Path, tmp_path: Path) -> None:
    plain = W300().read(pack, "train")
    skin = class_set("skin")
    found = [
        PseudoLabel(
            "w300", "train", "", sample.digest, sample.box.tolist(), "parsing",
            pack_label(SetMask(np.full(sample.pixels.shape[:2], skin, np.int16))), 0.9,
        )
        for sample in plain
    ]  # fmt: skip
    write_labels(labels_path(tmp_path, "w300", "train", "wise"), TEACHER, found)
    for narrow in (False, True):
        taught = WithPseudoLabels(W300(), "wise", str(tmp_path), narrow=narrow).read(pack, "train")
        for before, sample in zip(plain, taught, strict=True):
            own, sets = (each.labels["parsing"].sets for each in (before, sample))
            np.testing.assert_array_equal(sets, np.where(own & skin > 0, skin, own) if narrow else own)
            assert sample.trust["parsing"] == before.trust["parsing"] and "parsing" in sample.derived
    small = replace(found[0], label=pack_label(SetMask(np.full((8, 9), skin, np.int16))))
    write_labels(labels_path(tmp_path, "w300", "train", "wise"), TEACHER, [small, *found[1:]])
    with pytest.raises(DataError, match=r"mask has 9 x 8 pixels, the source's .*label them again"):
        WithPseudoLabels(W300(), "wise", str(tmp_path), narrow=True).read(pack, "train")


def test_a_teachers_probabilities_speak_beside_the_own_class(pack: Path, tmp_path: Path) -> None:
    plain = UTKFace().read(pack, "train")
    votes = np.array([0.3, 0.7], np.float32)
    found = [
        replace(label(sample.digest, sample.box.tolist(), task), label=pack_label(value))
        for sample in plain
        for task, value in (("gender", votes), ("age", 80.0))
    ]
    write_labels(labels_path(tmp_path, "utkface", "train", "wise"), TEACHER, found)
    # they speak however certain they are
    taught = WithPseudoLabels(UTKFace(), "wise", str(tmp_path), min_confidence=0.9, blend=0.4)
    for before, sample in zip(plain, taught.read(pack, "train"), strict=True):
        wanted = 0.6 * np.eye(2)[before.labels["gender"]] + 0.4 * votes
        np.testing.assert_allclose(sample.labels["gender"], wanted, atol=1e-6)
        assert sample.labels["age"] == before.labels["age"]  # a number has no probabilities
        assert sample.trust == before.trust and sample.derived == before.derived | {"gender"}
    taught.blend = 0.0
    assert [sample.labels for sample in taught.read(pack, "train")] == [sample.labels for sample in plain]

    narrow = [replace(each, label=pack_label(votes[:1])) for each in found if each.task == "gender"]
    write_labels(labels_path(tmp_path, "utkface", "train", "wise"), TEACHER, narrow)
    with pytest.raises(DataError, match="gender is class 1, the teacher knows 1"):
        WithPseudoLabels(UTKFace(), "wise", str(tmp_path), blend=0.4).read(pack, "train")
    with pytest.raises(ConfigError, match="blend lies in"):
        WithPseudoLabels(UTKFace(), "wise", str(tmp_path), blend=1.2)


def test_a_text_has_no_part_in_a_blend(pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A head turns the user's own texts into classes only after the teacher has spoken."""
    plain = UTKFace().read(pack, "train")
    votes = pack_label(np.array([0.3, 0.7], np.float32))
    found = [replace(label(each.digest, each.box.tolist(), "gender"), label=votes) for each in plain]
    write_labels(labels_path(tmp_path, "utkface", "train", "wise"), TEACHER, found)
    for each in plain:
        each.labels["gender"] = "female"
    monkeypatch.setattr(UTKFace, "read", lambda *_: plain)
    with pytest.raises(DataError, match="gender is the text 'female', but 'blend' needs the class's number"):
        WithPseudoLabels(UTKFace(), "wise", str(tmp_path), blend=0.4).read(pack, "train")


class Drawings(FolderSource):
    """Photographs in a folder, larger than what is kept of them."""

    name, origin, licence, layout = "drawings", "tests", "CC0", "*.png"

    def items(self, root: Path, split: str) -> list[Item]:
        return [Item(path) for path in sorted(root.glob("*.png"))]

    def load(self, item: Item, image: NDArray[np.uint8]) -> Sample | None:
        return Sample(image, np.array([100.0, 80.0, 300.0, 300.0]), {"age": 5.0})


def test_prepared_and_folder_sources_learn_from_teachers(tmp_path: Path, teacher: Path) -> None:
    (tmp_path / "photos").mkdir()
    for shade in (40, 90):
        Image.new("RGB", (400, 400), (shade, 0, 0)).save(tmp_path / f"photos/{shade}.png")
    folder = Drawings(str(tmp_path / "photos"), splits=("train",), side=128)
    predictor = Predictor(teacher, tasks=["landmarks", "redness"])
    out = tmp_path / "out"
    list(prepare([folder], None, out))
    sources: list[Source] = [folder, Prepared(str(out / "drawings"), splits=("train",))]
    for source in sources:
        target = labels_path(tmp_path / "labels", source.name, "train", "tiny")
        write_labels(target, teacher_of(predictor), label_source(predictor, source, None, "train"))
        with_labels = WithPseudoLabels(source, "tiny", str(tmp_path / "labels"))
        for sample, red in zip(with_labels.read(None, "train"), (40, 90), strict=True):
            assert sample.labels["redness"] == pytest.approx(100 * red / 255, abs=0.5)
            assert sample.labels["landmarks"].max() < 128 * 1.2  # pixels of what is kept

    # the labels of prepared photographs are those of the folder's, and travel on with their teacher
    list(prepare([WithPseudoLabels(folder, "tiny", str(tmp_path / "labels"))], None, tmp_path / "again"))
    again = Prepared(str(tmp_path / "again/drawings"), splits=("train",))
    assert {"age", "redness", "landmarks"} == set(again.read(None, "train")[0].labels)
    assert [facts["name"] for facts in again.facts()] == ["drawings", "tiny"]


def test_a_teachers_visibility_is_a_part_of_its_points(tmp_path: Path) -> None:
    seen = np.array([1.0, 0.9, 0.2, 0.6], np.float32)
    fields = {"points": POINTS, "sigma": SIGMA, "visibility": seen}
    path = build_face_model(tmp_path / "a.onnx", {"landmarks": (FACE_TASKS["landmarks"][0], fields)})
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (400, 400)).save(tmp_path / "photos/a.png")
    folder = Drawings(str(tmp_path / "photos"), splits=("train",))
    (said,) = label_source(Predictor(path, tasks=["landmarks"]), folder, None, "train")
    np.testing.assert_allclose(unpack_label(said.label)[:, 2], seen, atol=1e-6)


def test_training_names_its_teachers(tmp_path: Path, pack: Path, labels: Path) -> None:
    path = recipe(tmp_path, pack)
    listed = [wrapped("UTKFace", labels, tasks=["pose", "parsing"], trust=0.4)]
    (tmp_path / "list.yaml").write_text(yaml.safe_dump(listed))
    options = ["--data.sources", str(tmp_path / "list.yaml"), "--data.epoch_size", "16"]
    assert train([str(path), *options]) == 0
    document = json.loads((tmp_path / "run/model/training.json").read_text())
    named = {source["name"]: source for source in document["data"]}
    assert set(named) == {"utkface", "tiny"}
    assert named["tiny"]["licence"] == "Apache-2.0" and "0.1.0" in named["tiny"]["origin"]


angles = st.floats(-60, 60)


def turned_mesh(yaw: float, pitch: float, roll: float, scale: float = 9.0) -> NDArray[np.float64]:
    """(478, 3) image pixels: the mean face at the points that landmarks name, elsewhere nothing.

    Its depth is as flat as MediaPipe's.
    """
    mesh = np.zeros((478, 3))
    turned = MEAN_FACE @ matrix_from_angles(yaw, pitch, roll).T
    mesh[IBUG68] = scale * turned * [1, -1, -1 / mediapipe_mesh._DEPTH] + [50, 70, 3]
    return mesh


@settings(max_examples=50, deadline=None)
@given(yaw=angles, pitch=angles, roll=st.floats(-170, 170), scale=st.floats(1, 50))
def test_pose_of_a_turned_head_is_how_it_was_turned(
    yaw: float, pitch: float, roll: float, scale: float
) -> None:
    found = pose_from_mesh(turned_mesh(yaw, pitch, roll, scale))
    np.testing.assert_allclose(found, [yaw, pitch, roll], atol=1e-6)


def test_mirror_exchanges_the_same_points_as_the_landmarks_mirror() -> None:
    np.testing.assert_array_equal(MIRROR[MIRROR], np.arange(478))
    assert (np.arange(478) == MIRROR).sum() == 28
    np.testing.assert_array_equal(MIRROR[IBUG68], IBUG68[LANDMARK_MIRROR])


def symmetric_mesh() -> NDArray[np.float64]:
    half = np.random.default_rng(0).uniform(-20, 20, (478, 3))
    return (half + half[MIRROR] * [-1, 1, 1]) / 2


def spot(column: int) -> NDArray[np.uint8]:
    image = np.zeros((50, 80, 3), np.uint8)
    image[25, column] = 255
    return image


@settings(max_examples=30, deadline=None)
@given(column=st.integers(0, 79), error=st.floats(0, 1))
def test_errors_to_one_side_cancel_and_cost_confidence(column: int, error: float) -> None:
    """A finder of bright spots, whose every point lies ``error`` pixels too far to the right."""

    def face_mesh(image: NDArray[np.uint8]) -> NDArray[np.float64]:
        return symmetric_mesh() + np.array([image[25, :, 0].argmax() + error, 25, 0])

    found = mean_mesh(face_mesh, spot(column))
    assert found is not None
    mesh, confidence = found
    np.testing.assert_allclose(mesh, symmetric_mesh() + np.array([column, 25, 0]), atol=1e-9)
    size = math.sqrt(np.ptp(mesh[:, :2], axis=0).prod())
    assert confidence == pytest.approx(max(0.0, 1 - 2 * error / (0.04 * size)), abs=1e-6)


def test_a_face_that_one_view_hides_is_not_labelled() -> None:
    def one_sided(image: NDArray[np.uint8]) -> NDArray[np.float64] | None:
        return symmetric_mesh() if image[25, :40].any() else None

    assert mean_mesh(one_sided, spot(10)) is None
    assert mean_mesh(one_sided, spot(70)) is None


def test_mesh_of_a_pack_agrees_with_its_labels(
    pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A mesh that lies on the drawn faces, given for all but the first photograph."""
    path = pack / "w300/val.parquet"
    rows = pq.read_table(path).to_pylist()
    truth = iter([None, None] + [np.reshape(row["landmarks"], (68, 2)) for row in rows[1:] for _ in "12"])
    width, views = SIZE, iter([False, True] * ROWS)

    def face_mesh(image: NDArray[np.uint8]) -> NDArray[np.float64] | None:
        points, mirrored = next(truth), next(views)
        if points is None:
            return None
        mesh = np.full((478, 3), [*points.mean(0), 0.0])
        mesh[IBUG68, :2] = points
        return mesh[MIRROR] * [-1, 1, 1] + [width - 1, 0, 0] if mirrored else mesh

    found = list(label_split(face_mesh, path))
    assert [each.task for each in found[:2]] == ["mesh", "pose"]
    assert found[0].name == f"{path} row 1"
    assert found[0].sha256 == digest(rows[1]["image"]["bytes"])
    write_labels(labels_path(tmp_path, "w300", "val", "wise"), TEACHER, found)
    (tmp_path / "list.yaml").write_text("- {class_path: faceperc.data.pack.W300}")
    options = ["--teacher", "wise", "--labels", str(tmp_path), "--data", str(pack)]
    assert data(["agree", str(tmp_path / "list.yaml"), *options]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "w300" in line]
    cells = [cell.strip() for cell in line.strip("│ ").split("│")]
    assert cells[:4] == ["w300", "6", "83.3%", "1.00"] and cells[-2:] == ["0.00", "0.00"]


@pytest.mark.parametrize("forms", ["am", "ma", "mm"])
def test_poses_given_as_rotations_are_compared_by_their_angles(forms: str) -> None:
    angles = np.array([[30.0, 10.0, -5.0], [28.0, 14.0, -4.0]])
    mine, taught = (
        matrix_from_angles(*each) if form == "m" else each for form, each in zip(forms, angles, strict=True)
    )
    box = np.array([10.0, 10.0, 50.0, 50.0])
    sample = Sample(np.zeros((64, 64, 3), np.uint8), box, {"pose": mine}, digest="d")
    label = PseudoLabel("s", "val", "n", "d", box.tolist(), "pose", pack_arrays(value=taught), 1.0)
    gaps = agreement([sample], [label]).gaps
    np.testing.assert_allclose([gaps[f"{name} deg"] for name in ("yaw", "pitch", "roll")], [2, 4, 1])


def test_mesh_teacher_needs_no_torch_and_says_what_it_lacks(tmp_path: Path) -> None:
    script = """
import sys
sys.modules["mediapipe"] = None
from faceperc.data.teachers.mediapipe_mesh import main
from faceperc.errors import DataError
assert not {"torch", "lightning", "yaml", "jsonargparse", "cv2"} & set(sys.modules)
try:
    main([sys.argv[1]])
except DataError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert "pip install mediapipe==0.10.21" in done.stdout
