"""Association and Kalman filter, and faces that are followed through clips whose motion is known."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import FakeDetector
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

pytest.importorskip("av")
from tiny_onnx import build_detector
from tiny_video import FACE, FPS, RedDetector, build_red_model, portrait, red_clip

from faceperc import Predictor
from faceperc.bench.clip import Portrait, clip
from faceperc.crop import box_from_landmarks
from faceperc.detect import FaceDetector
from faceperc.errors import UsageError
from faceperc.metadata import DetectorInfo, ModelMetadata
from faceperc.overlap import iou_matrix
from faceperc.results import Faces
from faceperc.video.frames import Frame
from faceperc.video.kalman import FOLLOWED, BoxFilter
from faceperc.video.stream import FaceStream
from faceperc.video.track import associate

Array = NDArray[np.float64]


@pytest.fixture(scope="module")
def red_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_red_model(tmp_path_factory.mktemp("models") / "red.onnx")


@pytest.fixture
def red(red_model: Path) -> tuple[Predictor, RedDetector]:
    detector = RedDetector()
    return Predictor(red_model, detector=detector, threads=1), detector


def follow(predictor: Predictor, frames: Iterator[Frame], **options: Any) -> list[Faces]:
    stream = FaceStream(predictor, **options)
    return [stream(frame) for frame in frames]


def identities(faces: Faces) -> list[int | None]:
    return [face.track for face in faces]


def centre(box: Array) -> Array:
    return (box[:2] + box[2:]) / 2


boxes = st.lists(
    st.tuples(st.floats(0, 100), st.floats(0, 100), st.floats(5, 50), st.floats(5, 50)), max_size=6
).map(lambda rows: np.reshape([[x, y, x + w, y + h] for x, y, w, h in rows], (-1, 4)))


@given(boxes, boxes, st.floats(0.05, 0.9))
def test_associate__one_to_one_best_first(first: Array, second: Array, least: float) -> None:
    pairs, overlap = associate(first, second, least), iou_matrix(first, second)
    assert len({a for a, _ in pairs}) == len({b for _, b in pairs}) == len(pairs)
    values = [overlap[pair] for pair in pairs]
    assert values == sorted(values, reverse=True) and all(value >= least for value in values)
    free = np.ones_like(overlap, dtype=bool)
    for a, b in pairs:
        free[a], free[:, b] = False, False
    assert not (overlap[free] >= least).any()


@given(st.floats(0.2, 5.0), st.floats(5, 120))
def test_kalman__learns_a_velocity_at_any_scale_and_rate(scale: float, rate: float) -> None:
    box, velocity = scale * np.array([100.0, 100, 180, 200]), scale * np.array([60.0, -20.0])
    kalman = BoxFilter(box)
    for index in range(1, round(2 * rate)):
        kalman.predict(1 / rate)
        kalman.update(box + np.tile(velocity, 2) * index / rate, FOLLOWED)
    np.testing.assert_allclose(kalman.velocity, velocity, atol=0.05 * np.linalg.norm(velocity))


def test_one_face_one_identity_and_few_detections(red: tuple[Predictor, RedDetector]) -> None:
    predictor, detector = red
    stream = FaceStream(predictor)
    found = [stream(frame) for frame in red_clip([lambda t: (60 + 60 * t, 80 + 20 * np.sin(t))], 3)]
    assert {tuple(identities(faces)) for faces in found} == {(1,)}
    assert [faces.index for faces in found] == list(range(90)) and found[45].time == pytest.approx(1.5)
    assert stream.detections == detector.calls == 6  # every half second
    assert found[0][0].score == 0.9 and found[40][0].score == 0.9


def test_boxes_are_where_the_face_is_and_fit_the_points(red: tuple[Predictor, RedDetector]) -> None:
    paths = [lambda t: (60 + 60 * t, 80)]
    for smooth in (True, False):
        for faces in follow(red[0], red_clip(paths, 2), smooth=smooth):
            face = faces[0]
            np.testing.assert_allclose(face.box, box_from_landmarks(face.landmarks.points))
            assert np.abs(centre(face.box) - [60 + 60 * (faces.time or 0), 80]).max() < 3
            assert face.box[2] - face.box[0] == pytest.approx(FACE[0], abs=6)


@pytest.mark.parametrize("rate", [10.0, 60.0])
def test_redetection_is_a_matter_of_seconds(red: tuple[Predictor, RedDetector], rate: float) -> None:
    predictor, detector = red
    follow(predictor, red_clip([lambda t: (60 + 30 * t, 80)], 4, fps=rate), redetect=1.0)
    assert detector.calls == 4


@pytest.mark.parametrize("redetect", [5.0, float("inf")])
def test_a_face_that_is_followed_need_not_be_detected(
    red: tuple[Predictor, RedDetector], redetect: float
) -> None:
    predictor, detector = red
    found = follow(predictor, red_clip([lambda t: (60 + 20 * t, 80)], 8), redetect=redetect)
    assert {tuple(identities(faces)) for faces in found} == {(1,)}
    assert detector.calls == (2 if redetect == 5 else 1)


def test_a_face_that_the_detector_does_not_find_is_followed_for_a_while(
    red: tuple[Predictor, RedDetector],
) -> None:
    """The landmarks are sure of it, but something that only they see is no face in the long run."""
    predictor, detector = red
    see, time = detector.detect, 0.0

    def detect(image: NDArray[np.uint8]) -> tuple[Array, Array]:
        return see(image) if time < 0.6 else (np.zeros((0, 4)), np.zeros(0))

    detector.detect = detect  # type: ignore[method-assign]
    stream, shown = FaceStream(predictor), []
    for frame in red_clip([lambda t: (60 + 20 * t, 80)], 6):
        time = frame.time
        shown.append(identities(stream(frame)))
    last = max(index for index, each in enumerate(shown) if each) / FPS
    assert last == pytest.approx(1.0 + 3.0, abs=0.1)  # first missed when the detector is asked at 1 s
    assert all(each == [1] for each in shown[: round(last * FPS)])


@pytest.mark.parametrize("seconds", [1.0, 1.5, 60.0])
def test_frames_that_are_rare(red: tuple[Predictor, RedDetector], seconds: float) -> None:
    """A time lapse, or a slide show: who stays keeps the identity, and who comes is shown at once."""
    paths = [[(60, 80)], [(62, 80)], [(62, 80), (200, 80)], [(200, 80)], [(130, 80)]]
    stream, shown = FaceStream(red[0]), []
    for index, places in enumerate(paths):
        image = next(red_clip([lambda _, place=place: place for place in places], 0.04)).image
        shown.append(identities(stream(Frame(image, index, Fraction(seconds).limit_denominator(10)))))
    if seconds > 1:
        assert shown == [[1], [1], [1, 2], [2], [3]]
    else:  # as in any other video, a new face is confirmed first
        assert shown == [[1], [1], [1], [2], []]


def test_redetection_in_every_frame(red: tuple[Predictor, RedDetector]) -> None:
    predictor, detector = red
    assert len(follow(predictor, red_clip([lambda t: (60, 80)], 1), redetect=0)) == detector.calls == 30
    for redetect in (-1, float("nan"), "often"):
        with pytest.raises(UsageError, match="redetect"):
            FaceStream(predictor, redetect=redetect)  # type: ignore[arg-type]


def test_a_new_face_is_confirmed_before_it_gets_an_identity(red: tuple[Predictor, RedDetector]) -> None:
    second = [lambda t: (60, 80), lambda t: (220, 80) if t > 0.2 else None]
    found = follow(red[0], red_clip(second, 1.2))
    seen = [identities(faces) for faces in found]
    assert seen[0] == [1] and seen[15] == [1]  # found in frame 15, confirmed in the next
    assert all(each == [1, 2] for each in seen[16:])


def test_a_detection_that_nobody_confirms_is_no_face(red: tuple[Predictor, RedDetector]) -> None:
    flash = [lambda t: (60, 80), lambda t: (220, 80) if abs(t - 0.5) < 0.01 else None]
    found = follow(red[0], red_clip(flash, 1.5))
    assert {tuple(identities(faces)) for faces in found} == {(1,)}


@pytest.mark.parametrize("redetect", [0.0, 0.5])
def test_a_face_that_is_detected_twice_is_one(red: tuple[Predictor, RedDetector], redetect: float) -> None:
    """Two boxes that share little, but whose landmarks are the same."""
    predictor, detector = red
    see = detector.detect

    def twice(image: NDArray[np.uint8]) -> tuple[Array, Array]:
        boxes, scores = see(image)
        return np.concatenate([boxes, boxes + 20]), np.concatenate([scores, 0.9 * scores])

    detector.detect = twice  # type: ignore[method-assign]
    found = follow(predictor, red_clip([lambda t: (60 + 20 * t, 80)], 1.2), redetect=redetect)
    assert {tuple(identities(faces)) for faces in found} == {(1,)}


@pytest.mark.parametrize("rate", [15.0, 30.0])
@pytest.mark.parametrize("hidden, again", [(0.3, 1), (0.8, 1), (1.5, 2)])
def test_a_hidden_face_is_found_again_in_time(
    red: tuple[Predictor, RedDetector], hidden: float, again: int, rate: float
) -> None:
    def path(time: float) -> tuple[float, float] | None:
        return None if 1 <= time < 1 + hidden else (60 + 50 * time, 80)

    found = follow(red[0], red_clip([path], 4, fps=rate))
    shown = [identities(faces) for faces in found]
    assert shown[round(0.9 * rate)] == [1] and shown[-1] == [again]
    while_hidden = [each for faces, each in zip(found, shown, strict=True) if path(faces.time or 0) is None]
    assert not any(while_hidden)


def test_identities_are_never_used_again(red: tuple[Predictor, RedDetector]) -> None:
    def path(time: float) -> tuple[float, float] | None:
        return (60 + 20 * time, 80) if time % 2 < 0.5 else None

    shown = [identities(faces) for faces in follow(red[0], red_clip([path], 8))]
    assert sorted({each for faces in shown for each in faces}) == [1, 2, 3, 4]


def test_a_face_that_leaves_the_picture_is_lost(red: tuple[Predictor, RedDetector]) -> None:
    found = follow(red[0], red_clip([lambda t: (280 + 80 * t, 80)], 2))
    assert identities(found[0]) == [1] and not len(found[-1])


def test_a_face_that_leaves_and_comes_back_in_time(red: tuple[Predictor, RedDetector]) -> None:
    """It swings over the border with a second and a half for each turn, and is out for half of that."""

    def path(time: float) -> tuple[float, float]:
        return 300 + 60 * np.sin(2 * np.pi * time / 1.5), 80

    shown = [identities(faces) for faces in follow(red[0], red_clip([path], 4))]
    assert {each for faces in shown for each in faces} == {1}
    assert any(not faces for faces in shown)


def test_a_cut_gives_new_identities_at_once(red: tuple[Predictor, RedDetector]) -> None:
    paths = [lambda t: (60, 80) if t < 0.7 else (250, 90)]
    found = follow(red[0], red_clip(paths, 1.2))
    assert identities(found[20]) == [1]
    cut = found[22]  # the first frame of the second scene is 21: found there, confirmed in the next
    assert identities(cut) == [2]
    np.testing.assert_allclose(centre(cut[0].box), [250, 90], atol=2)


def test_frames_that_come_late_or_twice(red: tuple[Predictor, RedDetector]) -> None:
    times = [0, 33, 66, 66, 400, 433, 900, 933, 966]
    images = [next(red_clip([lambda _, t=t: (60 + 0.06 * t, 80)], 0.04)).image for t in times]
    frames = (Frame(image, t, Fraction(1, 1000)) for image, t in zip(images, times, strict=True))
    assert {tuple(identities(faces)) for faces in follow(red[0], frames)} == {(1,)}


def test_without_tracking(red: tuple[Predictor, RedDetector]) -> None:
    predictor, detector = red
    found = follow(predictor, red_clip([lambda t: (60 + 60 * t, 80)], 0.5), track=False)
    assert detector.calls == 15 and all(identities(faces) == [None] for faces in found)
    alone = predictor(found[7].image)
    np.testing.assert_array_equal(found[7][0].box, alone[0].box)
    np.testing.assert_array_equal(found[7][0].landmarks.points, alone[0].landmarks.points)


def test_heads_that_show_no_face(red_model: Path, tmp_path: Path) -> None:
    """They come where each frame is a picture of its own; tracks are of faces."""
    boxes = [[36.0, 50, 84, 110], [200, 50, 250, 110]]
    path = build_detector(tmp_path / "d.onnx", boxes, [0.9, 0.02], heads=np.array([0.95, 0.9]))
    predictor = Predictor(red_model, detector=path, heads=True, tasks="pose", threads=1)
    frames = list(red_clip([lambda t: (60, 80)], 0.2))
    for faces in follow(predictor, iter(frames), track=False):
        assert [face.is_hidden for face in faces] == [False, True] and [*faces[0].tasks] == ["pose"]
        assert faces.to_dict()["faces"] == predictor(frames[0].image).to_dict()["faces"]
    for faces in follow(predictor, iter(frames)):
        assert identities(faces) == [1] and np.isnan(faces[0].visibility)


def test_without_landmarks_every_frame_is_detected(face_model: Path, detector: FakeDetector) -> None:
    image = np.zeros((80, 100, 3), np.uint8)
    frames = (Frame(image, index, Fraction(1, FPS)) for index in range(20))
    found = follow(Predictor(face_model, detector=detector), frames)
    assert detector.calls == 20 and {tuple(identities(faces)) for faces in found} == {(1, 2)}
    boxes = np.sort([[face.box[0] for face in faces] for faces in found], axis=1)
    np.testing.assert_allclose(boxes, np.tile([10.0, 50.0], (20, 1)), atol=1e-6)


def test_tasks_that_nobody_asked_for_are_left_out(red_model: Path) -> None:
    detector = RedDetector()
    predictor = Predictor(red_model, detector=detector, tasks="pose", threads=1)
    found = follow(predictor, red_clip([lambda t: (60 + 60 * t, 80)], 2))
    assert detector.calls == 4  # followed by the landmarks all the same
    assert all([*faces[0].tasks] == ["pose"] for faces in found) and list(predictor.tasks) == ["pose"]


def test_predictor_stream(red: tuple[Predictor, RedDetector]) -> None:
    images = [frame.image for frame in red_clip([lambda t: (60 + 60 * t, 80)], 0.5)]
    found = list(red[0].stream(images, fps=10))
    assert [faces.time for faces in found[:3]] == pytest.approx([0, 0.1, 0.2]) and found[3].index == 3
    face = found[3][0]
    assert face.track == 1 and repr(face).startswith("<Face 1 box") and face.to_dict()["track"] == 1
    document = found[3].to_dict()
    assert document["index"] == 3 and document["time"] == pytest.approx(0.3) and document["source"] is None
    assert "frame 3 at 0.30 s" in repr(found[3])


def test_pictures_have_neither_track_nor_time(red: tuple[Predictor, RedDetector]) -> None:
    faces = red[0](next(red_clip([lambda t: (60, 80)], 0.1)).image)
    assert not {"index", "time"} & set(faces.to_dict()) and "track" not in faces.to_dict()["faces"][0]


def test_memory_and_detections_do_not_grow(red_model: Path) -> None:
    """5,000 frames, in which faces come and go."""
    psutil = pytest.importorskip("psutil")
    detector, process = RedDetector(), psutil.Process()
    stream = FaceStream(Predictor(red_model, detector=detector, tasks="landmarks", threads=1))

    def path(time: float) -> tuple[float, float] | None:
        return (80 + 40 * np.sin(time), 40) if time % 20 < 18 else None

    memory = []
    for frame in red_clip([path], 5000 / FPS, size=(160, 80)):
        stream(frame)
        if frame.pts in (1000, 4999):
            gc.collect()
            memory.append(process.memory_info().rss)
    assert memory[1] <= 1.05 * memory[0]
    # in each half second; every frame for the two of twenty seconds without a face
    assert stream.frames == 5000 and detector.calls < 5000 * (0.1 + 0.9 / 15) + 50


class Scores:
    """A detector's network that finds the same face in every image, with a score that a test sets."""

    metadata = ModelMetadata(
        "detector", "fake", "0", "image", detector=DetectorInfo(32, 640, 12, 0.5, 0.5, 0.5)
    )
    score = 0.9

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
        return {"boxes": np.float32([[36, 50, 84, 110]]), "scores": np.float32([self.score])}


def test_a_face_that_the_detector_doubts_keeps_its_track_but_begins_none(face_model: Path) -> None:
    """The least score is 0.5: half of that is enough for a face that is known (ByteTrack)."""
    network = Scores()
    detector = FaceDetector(network)
    stream, shown = FaceStream(Predictor(face_model, detector=detector, threads=1)), []
    for index, score in enumerate([0.4, 0.4, 0.9, 0.4, 0.3, 0.2, 0.4, 0.6, 0.2]):
        network.score = score
        faces = stream(Frame(np.zeros((160, 320, 3), np.uint8), index, Fraction(1, FPS)))
        shown.append([(face.track, round(face.score, 3)) for face in faces])
    # lost at 0.2; only a sure detection finds it again
    assert shown == [[], [], [(1, 0.9)], [(1, 0.4)], [(1, 0.3)], [], [], [(1, 0.6)], []]
    assert detector.min_score == 0.5


def paste(frame: NDArray[np.uint8], x: float, y: float) -> None:
    """The astronaut's face around a point of a frame."""
    picture = np.asarray(portrait())
    left, top = round(x - 70), round(y - 70)
    frame[top : top + 140, left : left + 140] = picture


def test_the_shipped_models_keep_identities_where_faces_cross() -> None:
    """The one behind is hidden for half a second, while its landmarks are dragged along."""
    predictor = Predictor(threads=1, tasks="landmarks")
    found = []
    stream = FaceStream(predictor)
    for index in range(42):
        image = np.full((240, 560, 3), 110, np.uint8)
        paste(image, 90 + 9 * index, 110)
        paste(image, 468 - 9 * index, 130)
        found.append(stream(Frame(image, index, Fraction(1, FPS))))
    left, right = (face.track for face in sorted(found[0], key=lambda face: face.box[0]))
    assert {left, right} == {1, 2}
    ends = {face.track: centre(face.box)[0] for face in found[-1]}
    assert set(ends) == {1, 2} and ends[left] > 400 and ends[right] < 160
    assert all(len(set(identities(faces))) == len(faces) and len(faces) <= 2 for faces in found)
    assert stream.detections < 30


def test_the_shipped_models_find_a_face_again_that_passes_behind_a_post() -> None:
    """The post drags the landmarks along before the face is hidden: how it moved is known from before."""
    predictor = Predictor(threads=1, tasks="landmarks")
    stream, shown = FaceStream(predictor), []
    for frame in clip(
        Portrait.find(predictor), 80, (560, 200), [lambda t: np.array([100 + 300 * t, 100])], 1.2
    ):
        image = frame.image.copy()
        image[:, 240:400] = 60
        shown.append(identities(stream(Frame(image, frame.pts, frame.time_base))))
    assert shown[0] == [1] and shown[-1] == [1] and [] in shown
