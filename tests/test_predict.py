"""Predictor: from any image to the faces, through tiny models; and the package's public names."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import FakeDetector
from numpy.typing import NDArray
from PIL import Image
from tiny_onnx import FACE_TASKS, SCALE, SIZE, TURN, build_detector, build_face_model, face_metadata

import faceperc
from faceperc import FacepercError, Predictor
from faceperc.detect import FaceDetector
from faceperc.errors import ImageError, ModelError, UsageError
from faceperc.kinds import KINDS
from faceperc.runtime import OnnxModel

ROOT = Path(__file__).parents[1]


def test_predict__best_face_first(face_model: Path, detector: FakeDetector, photo: Path) -> None:
    faces = Predictor(face_model, detector=detector)(photo)
    assert (
        [face.score for face in faces] == [0.9, 0.6] and faces.model == "tiny" and faces.source == str(photo)
    )
    np.testing.assert_array_equal(faces[0].box, FakeDetector.boxes[1])
    assert faces.image.shape == (80, 100, 3)
    assert {type(result) for result in faces[0].tasks.values()} == {*KINDS.values()}


def test_predict__results_are_in_the_frame_of_the_image(face_model: Path, pixels: NDArray[np.uint8]) -> None:
    face = Predictor(face_model)(pixels, boxes=[[20, 30, 40, 60]])[0]
    centre = np.array([30, 45 - 0.1 * 30])
    scale = SCALE * 30 / SIZE  # image pixels per crop pixel
    np.testing.assert_allclose(face.landmarks.points[0], centre)
    np.testing.assert_allclose(face.landmarks.points[1], centre - 15.5 * scale)
    np.testing.assert_allclose(face.landmarks.sigma, scale * np.arange(1, 5))
    assert face.pose.roll == pytest.approx(90) and face.pose.yaw == pytest.approx(0)
    np.testing.assert_allclose(face.parsing.box, [*(centre - 22.5), *(centre + 22.5)])
    classes = face.parsing.to_image()
    assert (
        classes.shape == (80, 100) and classes[40, 25] == 0 and classes[35, 40] == 1 and classes[50, 40] == 2
    )
    assert face.expression.label == "happiness" and face.expression.score == pytest.approx(0.9)
    assert face.attributes["Smiling"] == pytest.approx(0.97)
    assert float(face.age) == 20 and face.age.unit == "years" and face.age.std == pytest.approx(50**0.5)


def test_predict__a_task_that_nobody_knows(face_model: Path, pixels: NDArray[np.uint8]) -> None:
    # the two boxes lie in the red and in the black half: each face gets the answer of its own crop
    faces = Predictor(face_model)(pixels, boxes=[[20, 30, 30, 40], [70, 30, 80, 40], [15, 30, 30, 40]])
    assert [round(float(face.redness), 3) for face in faces] == [100, 0, 100]
    assert faces[0].redness.summary() == "100 %"
    assert "redness" in faces.to_dict()["faces"][0]["tasks"]


def test_predict__more_faces_than_a_batch(face_model: Path, pixels: NDArray[np.uint8]) -> None:
    boxes = np.array([[x, 30, x + 4, 34] for x in np.linspace(3, 93, 75)])
    faces = Predictor(face_model)(pixels, boxes=boxes)
    alone = [float(Predictor(face_model)(pixels, boxes=boxes[i : i + 1])[0].redness) for i in (0, 31, 32, 74)]
    assert len(faces) == 75
    np.testing.assert_allclose([float(faces[i].redness) for i in (0, 31, 32, 74)], alone)


def test_boxes__skip_the_detector(face_model: Path, detector: FakeDetector, photo: Path) -> None:
    faces = Predictor(face_model, detector=detector)(
        photo, boxes=np.array([[50, 20, 80, 60], [10, 12, 30, 40]])
    )
    assert detector.calls == 0 and np.isnan([face.score for face in faces]).all()
    np.testing.assert_array_equal(faces[0].box, [50, 20, 80, 60])


def test_batch__answers_as_one_by_one_in_order(tmp_path: Path) -> None:
    predictor = Predictor(threads=1)
    sample = Image.open(faceperc.sample_image())
    pair = Image.new("RGB", (2 * sample.width, sample.height))
    pair.paste(sample)
    pair.paste(sample.rotate(15), (sample.width, 0))
    path = tmp_path / "pair.png"
    pair.save(path)
    images = [np.zeros((64, 64, 3), np.uint8), path, np.asarray(sample), sample.resize((300, 300))]
    alone = [predictor(image) for image in images]
    together = predictor.batch(images)
    assert [len(faces) for faces in together] == [0, 2, 1, 1] and together[1].source == str(path)
    for wanted, given in zip(alone, together, strict=True):
        np.testing.assert_array_equal(given.image, wanted.image)
        assert len(given) == len(wanted)
        for face, reference in zip(given, wanted, strict=True):
            np.testing.assert_array_equal(face.box, reference.box)
            for name in reference.tasks:
                assert face[name].columns() == pytest.approx(reference[name].columns(), abs=1e-4)


def test_batch__runs_the_model_once_for_many_images(
    face_model: Path, detector: FakeDetector, pixels: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = Predictor(face_model, detector=detector)
    sizes: list[int] = []
    run = predictor.model.run

    def counted(inputs: dict[str, NDArray[Any]], outputs: Any = None) -> dict[str, NDArray[np.float32]]:
        sizes.append(len(inputs["crops"]))
        return run(inputs, outputs)

    monkeypatch.setattr(predictor.model, "run", counted)
    black = np.zeros_like(pixels)
    images = [black if index % 2 else pixels for index in range(20)]
    alone = [[float(face.redness) for face in predictor(image)] for image in images[:2]]
    assert alone[0][1] > 50 and alone[1] == [0, 0]
    sizes.clear()
    reds = [[float(face.redness) for face in faces] for faces in predictor.batch(images)]
    assert reds == [pytest.approx(alone[index % 2]) for index in range(20)]
    assert sizes == [32, 8]
    assert predictor.batch([]) == []


def test_batch__most_certain_faces_and_heads(
    face_model: Path, heads_model: Path, detector: FakeDetector, pixels: NDArray[np.uint8]
) -> None:
    [faces] = Predictor(face_model, detector=detector).batch([pixels], max_faces=1)
    assert [face.score for face in faces] == [0.9]
    wide = np.zeros((80, 140, 3), np.uint8)
    predictor = Predictor(face_model, detector=heads_model, heads=True)
    for count, hidden in ((None, [False, False, True]), (3, [False, False, True]), (2, [False, False])):
        [faces] = predictor.batch([wide], max_faces=count)
        assert [face.is_hidden for face in faces] == hidden
        assert faces.to_dict()["faces"] == predictor(wide).to_dict()["faces"][: len(hidden)]
    assert len(predictor.batch([wide], max_faces=np.int64(2))[0]) == 2  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="of a single one call the predictor itself"):
        predictor.batch("photo.jpg")
    for wrong in (0, -1, 1.5):
        with pytest.raises(UsageError, match="max_faces is a positive integer"):
            predictor.batch([wide], max_faces=wrong)  # type: ignore[arg-type]


def test_batch__says_which_image(face_model: Path, detector: FakeDetector, pixels: NDArray[np.uint8]) -> None:
    predictor = Predictor(face_model, detector=detector)
    with pytest.raises(ImageError, match=r"^image 1: nowhere\.jpg: no such file"):
        predictor.batch([pixels, "nowhere.jpg", pixels])
    with pytest.raises(ModelError, match="image 0: the detector gave"):
        detector.scores = np.array([np.nan, 1])  # type: ignore[misc]
        predictor.batch([pixels])


@pytest.mark.parametrize("boxes", [[], np.zeros((0, 4)), ()])
def test_boxes__none(face_model: Path, photo: Path, boxes: Any) -> None:
    assert len(Predictor(face_model)(photo, boxes=boxes)) == 0


@pytest.mark.parametrize(
    ("boxes", "reason"),
    [
        ([1, 2, 3, 4], r"\(N, 4\)"),
        ([[1, 2, 3]], r"\(N, 4\)"),
        ([[1, 2, 3, 4], [5, 6]], r"\(N, 4\)"),
        ("boxes", r"\(N, 4\)"),
        ([[10, 10, 5, 20]], "box 0: .* x1 > x0"),
        ([[10, 10, 20, 20], [10, 10, float("nan"), 20]], "box 1: .* finite"),
        ([[10, 10, 20, 20], [0, 0, 1e12, 20]], "box 1 is more than 100 times as large as the 100 x 80 image"),
        ([[0, 0, 20, 10_001]], "box 0 is more than 100 times"),
        ([[0.1, 0.1, 0.5, 0.6]], "in pixels"),
        ([[10, 10, 20, 20], [200, 10, 220, 30]], "box 1 lies outside the 100 x 80 image"),
    ],
)
def test_boxes__refused(face_model: Path, photo: Path, boxes: Any, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        Predictor(face_model)(photo, boxes=boxes)


def test_no_face(face_model: Path, tmp_path: Path, photo: Path) -> None:
    nobody = build_detector(tmp_path / "d.onnx", [[10, 10, 20, 20]], [0.1])
    faces = Predictor(face_model, detector=nobody)(photo)
    assert len(faces) == 0 and faces.to_dict()["faces"] == [] and faces.draw().size == (100, 80)


def test_detector__a_model_file(face_model: Path, detector_model: Path, photo: Path) -> None:
    faces = Predictor(face_model, detector=detector_model)(photo)
    assert [round(face.score, 4) for face in faces] == [0.9, 0.6]
    assert len(Predictor(face_model, detector=str(detector_model), min_score=0.7)(photo)) == 1


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (None, "no pair of arrays"),
        ([[1, 2, 3, 4]], "no pair of arrays"),
        (([[1, 2, 3, 4], [5]], [0.5, 0.6]), "no pair of arrays"),
        ((np.zeros((4, 2)), np.zeros(2)), r"boxes \(4, 2\) and scores \(2,\)"),
        (([[1, 2, 30, 40]], [0.5, 0.6]), r"boxes \(1, 4\) and scores \(2,\)"),
        (([[1, 2, 30, 40]], [[0.5]]), r"scores \(1, 1\)"),
        (([[1, 2, 30, 40]], [float("nan")]), "scores that are no numbers"),
        (([[1, 2, 30, float("inf")]], [0.5]), "an unusable box.*box 0"),
        (([[1, 2, 1, 40]], [0.5]), "an unusable box.*x1 > x0"),
        (([[1, 2, 1e12, 40]], [0.5]), "an unusable box.*100 times"),
    ],
)
def test_detector__that_breaks_its_protocol(face_model: Path, photo: Path, found: Any, reason: str) -> None:
    class Detector:
        def detect(self, image: NDArray[np.uint8]) -> Any:
            return found

    with pytest.raises(ModelError, match=f"the detector gave.*{reason}"):
        Predictor(face_model, detector=Detector())(photo)


@pytest.mark.parametrize("found", [([], []), (np.zeros((0, 4)), np.zeros(0))])
def test_detector__that_finds_nobody(face_model: Path, photo: Path, found: Any) -> None:
    class Detector:
        def detect(self, image: NDArray[np.uint8]) -> Any:
            return found

    assert len(Predictor(face_model, detector=Detector())(photo)) == 0


def test_heads__a_head_from_behind_has_a_box_and_a_pose(
    face_model: Path, heads_model: Path, photo: Path
) -> None:
    faces = Predictor(face_model, detector=heads_model, heads=True)(photo)
    assert [round(face.score, 2) for face in faces] == [0.9, 0.6, 0.03]
    assert [face.is_hidden for face in faces] == [False, False, True]
    np.testing.assert_allclose([face.visibility for face in faces], [1, 0.8, 0.03 / 0.96], rtol=1e-6)
    *seen, head = faces
    assert all([*face.tasks] == [*FACE_TASKS, "redness"] for face in seen)
    assert [*head.tasks] == ["pose"] and head.pose.matrix.tolist() == TURN.tolist()
    x0, y0, x1, y1 = (np.array([50, 20, 80, 60]) + 0.5) * 100 / 160 - 0.5  # the photo is enlarged to 160 px
    np.testing.assert_allclose(head.box, [x0, y0, x1, y1])
    document = faces.to_dict()["faces"][2]
    assert document["visibility"] == 0.03125 and [*document["tasks"]] == ["pose"]
    assert "visibility 0.03" in repr(head) and faces.draw().size == (100, 80)


def test_heads__a_doubtful_face_is_a_head_without_a_face(
    face_model: Path, photo: Path, tmp_path: Path
) -> None:
    """Less sure than a face must be, though most of what is sure of the head is sure of the face."""
    boxes = [[10, 12, 30, 40], [50, 20, 80, 60]]
    path = build_detector(tmp_path / "d.onnx", boxes, [0.45, 0.6], heads=np.array([0.5, 0.7]))
    faces = Predictor(face_model, detector=path, heads=True)(photo)
    assert [round(face.visibility, 2) for face in faces] == [0.86, 0.9]
    assert [face.is_hidden for face in faces] == [False, True] and [*faces[1].tasks] == []
    documents = faces.to_dict()["faces"]
    assert "is_hidden" not in documents[0] and documents[1]["is_hidden"] is True
    faint = Predictor(face_model, detector=path, heads=True, min_score=0.4)(photo)
    assert [face.is_hidden for face in faint] == [False, False] and all(face.tasks for face in faint)


def test_heads__unasked_show_nothing_but_the_visibility(
    face_model: Path, heads_model: Path, photo: Path
) -> None:
    faces = Predictor(face_model, detector=heads_model)(photo)
    assert len(faces) == 2 and faces[1].visibility == pytest.approx(0.8)
    assert all([*face.tasks] == [*FACE_TASKS, "redness"] for face in faces)


@pytest.mark.parametrize("name", ["turn", None])
def test_heads__the_rotation_is_known_by_its_kind(
    tmp_path: Path, heads_model: Path, photo: Path, name: str | None
) -> None:
    tasks = {task: entry for task, entry in FACE_TASKS.items() if task != "pose"}
    if name is not None:
        tasks[name] = FACE_TASKS["pose"]
    path = build_face_model(tmp_path / "a.onnx", tasks)
    head = Predictor(path, detector=heads_model, heads=True)(photo)[2]
    assert [*head.tasks] == ([] if name is None else [name])
    alone = Predictor(path, detector=heads_model, heads=True, tasks=["age"])(photo)
    assert [[*face.tasks] for face in alone] == [["age"], ["age"], []]


def test_heads__of_a_detector_without_rotations(face_model: Path, photo: Path, tmp_path: Path) -> None:
    path = build_detector(tmp_path / "d.onnx", [[10, 12, 30, 40]], [0.1], heads=np.array([0.9]))
    (head,) = Predictor(face_model, detector=path, heads=True)(photo)
    assert head.is_hidden and head.tasks == {}
    assert len(Predictor(face_model, detector=path)(photo)) == 0


def test_heads__rotations_that_are_none(face_model: Path, photo: Path, tmp_path: Path) -> None:
    further = {"heads": np.array([0.9]), "rotations": np.ones((1, 3, 3))}
    path = build_detector(tmp_path / "d.onnx", [[10, 12, 30, 40]], [0.1], **further)
    with pytest.raises(ModelError, match="the detector's output 'rotations': matrix is not a rotation"):
        Predictor(face_model, detector=path, heads=True)(photo)


def test_heads__want_a_detector_that_knows_them(
    face_model: Path, detector_model: Path, heads_model: Path, detector: FakeDetector, photo: Path
) -> None:
    with pytest.raises(UsageError, match=r"tiny-detector\.onnx: finds faces only.*'heads'"):
        Predictor(face_model, detector=detector_model, heads=True)(photo)
    with pytest.raises(UsageError, match="heads=True wants a detector file or a FaceDetector"):
        Predictor(face_model, detector=detector, heads=True)(photo)
    given = FaceDetector(OnnxModel(heads_model), min_score=0.7)
    faces = Predictor(face_model, detector=given, heads=True)(photo)
    assert [[*face.tasks] == ["pose"] for face in faces] == [
        False,
        True,
        True,
    ]  # the one of 0.6 is no face here
    assert np.isnan(Predictor(face_model, detector=detector)(photo)[0].visibility)
    assert np.isnan(Predictor(face_model)(photo, boxes=[[10, 10, 30, 30]])[0].visibility)


def test_tiles__are_the_detectors(face_model: Path, detector_model: Path) -> None:
    for tiles in (False, True, "auto"):
        found = Predictor(face_model, detector=detector_model, tiles=tiles).detector  # type: ignore[arg-type]
        assert isinstance(found, FaceDetector) and found.tiles == tiles
    with pytest.raises(UsageError, match='tiles is True, False or "auto"'):
        Predictor(face_model, tiles=640)  # type: ignore[arg-type]


def test_detector__is_opened_only_when_needed(face_model: Path, photo: Path, tmp_path: Path) -> None:
    predictor = Predictor(face_model, detector=tmp_path / "missing.onnx")
    assert len(predictor(photo, boxes=[[10, 10, 30, 30]])) == 1
    with pytest.raises(ModelError, match=r"missing\.onnx"):
        predictor(photo)


def test_roles__are_not_mixed_up(face_model: Path, detector_model: Path, photo: Path) -> None:
    with pytest.raises(ModelError, match="is a detector, not a face model"):
        Predictor(detector_model)
    with pytest.raises(ModelError, match="not a detector"):
        Predictor(face_model, detector=face_model)(photo)


@pytest.mark.parametrize("tasks", ["age", ["age"], ("age",)])
def test_tasks__a_subset(face_model: Path, pixels: NDArray[np.uint8], tasks: Any) -> None:
    predictor = Predictor(face_model, tasks=tasks)
    asked: list[Any] = []
    run = predictor.model.run
    predictor.model.run = lambda inputs, outputs=None: asked.append(outputs) or run(inputs, outputs)  # type: ignore
    face = predictor(pixels, boxes=[[10, 10, 30, 30]])[0]
    assert [*face.tasks] == ["age"] and asked == [["age.value", "age.distribution"]]
    with pytest.raises(AttributeError, match=r"unknown task 'pose'. Known: age"):
        face.pose  # noqa: B018


def test_tasks__unknown(face_model: Path) -> None:
    with pytest.raises(UsageError, match="unknown task 'landmark': did you mean 'landmarks'"):
        Predictor(face_model, tasks=["age", "landmark"])
    with pytest.raises(UsageError, match="empty"):
        Predictor(face_model, tasks=[])


def test_exif__boxes_and_results_are_of_the_upright_image(
    face_model: Path, pixels: NDArray[np.uint8]
) -> None:
    picture = Image.fromarray(pixels)
    picture.getexif()[0x0112] = 6  # shown turned by 90 degrees: 80 wide, 100 high
    faces = Predictor(face_model)(picture, boxes=[[30, 20, 40, 30], [30, 70, 40, 80]])
    assert faces.image.shape == (100, 80, 3)
    assert [round(float(face.redness)) for face in faces] == [100, 0]


def test_large_image__is_taken_where_it_is_allowed(face_model: Path, photo: Path) -> None:
    boxes = [[10, 10, 30, 30]]
    with pytest.raises(ImageError, match="more than 7999; shrink it, or give Predictor a larger max_pixels"):
        Predictor(face_model, max_pixels=7_999)(photo, boxes)
    assert len(Predictor(face_model, max_pixels=8_000)(photo, boxes)) == 1


def test_bad_image(face_model: Path, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"x\.jpg: no such file"):
        Predictor(face_model)(tmp_path / "x.jpg")
    with pytest.raises(UsageError, match="min_score"):
        Predictor(face_model, min_score=2)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"kind": "smell"}, "unknown kind 'smell'"),
        ({"kind": "classes"}, "lacks the field probabilities"),
        (
            {"kind": "points", "fields": {"points": {"output": "pose.matrix"}}},
            "task 'pose': points has the shape",
        ),
    ],
)
def test_model__that_breaks_the_contract(
    tmp_path: Path, pixels: NDArray[np.uint8], change: dict[str, Any], reason: str
) -> None:
    document = face_metadata(FACE_TASKS)
    document["tasks"]["pose"] |= change
    path = build_face_model(tmp_path / "a.onnx", metadata=document)
    with pytest.raises(ModelError, match=reason):
        Predictor(path)(pixels, boxes=[[10, 10, 30, 30]])


def test_zoo__names() -> None:
    assert faceperc.list_models() == ["faceperc-nano", "faceperc-nano-int8", "faceperc-small"]
    with pytest.raises(ModelError, match="did you mean 'faceperc-nano'"):
        Predictor("faceperc-nanno")


def test_zoo__tasks_of_a_file(face_model: Path) -> None:
    assert faceperc.list_tasks(face_model) == [*FACE_TASKS, "redness"]


def test_zoo__sample_image() -> None:
    assert Image.open(faceperc.sample_image()).size == (512, 512)


def test_package__public_names() -> None:
    for name in faceperc.__all__:
        assert getattr(faceperc, name) is not None
    assert set(faceperc.__all__) == set(dir(faceperc)) and issubclass(ModelError, FacepercError)
    with pytest.raises(AttributeError):
        faceperc.Predicter  # noqa: B018
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert faceperc.__version__ == project["version"]


HEAVY = "torch", "timm", "lightning", "cv2", "pandas", "onnx", "scipy"


def test_imports__stay_light(face_model: Path, detector_model: Path, photo: Path) -> None:
    code = f"""
import sys
import faceperc
assert not {{"numpy", "PIL", "onnxruntime"}} & set(sys.modules), "import faceperc is not light"
faces = faceperc.Predictor({str(face_model)!r}, detector={str(detector_model)!r})({str(photo)!r})
faces.draw(), faces.to_json()
print(len(faces), [name for name in {HEAVY!r} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout == "2 []\n"
