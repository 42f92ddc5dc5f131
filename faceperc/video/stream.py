"""Frames in, their faces out: detection where it is needed, tracking between, smoothing after."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from faceperc.crop import box_from_landmarks
from faceperc.detect import FaceDetector
from faceperc.errors import UsageError
from faceperc.kind import Kind
from faceperc.kinds import KINDS, Points
from faceperc.metadata import TaskInfo
from faceperc.overlap import iou_matrix
from faceperc.predict import Predictor, _check_found
from faceperc.results import Face, Faces
from faceperc.video.frames import Frame, VideoSource, open_source
from faceperc.video.smooth import Smoother, face_size
from faceperc.video.track import LOST_SECONDS, Track, Tracker

Array = NDArray[np.float64]
Image = NDArray[np.uint8]

REDETECT = 0.5  # seconds

# The expected error of a face's landmarks, in units of the face's size, tells faces from what is none. With
# faceperc-nano (python -m faceperc.bench.doubt), percentiles 1, 5, 50, 95 and 99:
#   551 faces of w300 and ytf68, split val           0.016  0.017  0.021  0.028  0.034
#   the same, their crops moved by 0.35 of the size  0.020  0.022  0.028  0.048  0.060
#   the same, their crops moved by 0.75              0.048  0.056  0.088  0.167  0.196
#   the same, their lower 40 % covered               0.024  0.027  0.037  0.067  0.098
#   1,046 crops of scenes without faces              0.049  0.060  0.118  0.238  0.310
# A face is doubted when the error is twice what it was when the detector last found it: of a face whose error
# is usual that is 0.042, which fewer than 1 % of faces exceed and fewer than 1 % of other things stay below.
# Below 0.03 no face is doubted. Above 0.08, which half covered ones rarely reach, each is, in every frame.
ROSE = 2.0
LEAST_DOUBT, LARGEST_ERROR = 0.03, 0.08

_AGREES = 0.6  # IoU with the prediction; a crop moved by a fifth of the face has 0.57
_SAME = 0.6  # IoU of two tracks' boxes above which they are on one face
_LOW = 0.5  # share of the detector's least score at which a face still keeps its track (ByteTrack)
_IBUG = 68  # the landmarks that a face's box can be told from


@dataclass(frozen=True)
class _Look:
    """What the face model saw in one box.

    Attributes:
        tasks: the results.
        box: (4,) face box by the landmarks; the one that was looked at where they are missing or incredible.
        error: expected error of the landmarks in units of the face's size; 0 where there are none.
        by_landmarks: whether the box is theirs.
    """

    tasks: Mapping[str, Kind]
    box: Array
    error: float
    by_landmarks: bool


class FaceStream:
    """The faces of frame after frame. Memory and time per frame do not grow with the number of frames.

    Attributes:
        detections: how often the detector ran.
        frames: how many frames there were.
    """

    def __init__(
        self, predictor: Predictor, track: bool = True, smooth: bool = True, redetect: float = REDETECT
    ) -> None:
        """Begin a video.

        Args:
            predictor: what finds and reads faces.
            track: give faces identities, and detect only where tracking is in doubt; else each frame is a
                picture of its own. Heads that show no face are never followed.
            smooth: smooth the results through time; only where faces are tracked.
            redetect: seconds after which new faces are looked for; 0 for every frame.

        Raises:
            UsageError: if ``redetect`` is not 0 or more.
        """
        if not (isinstance(redetect, int | float | np.number) and redetect >= 0):
            raise UsageError(f"redetect is 0 seconds or more; got {redetect!r}")
        self.detections = self.frames = 0
        self._track, self._smooth, self._redetect = track, smooth, redetect
        self._wanted = tuple(predictor.tasks)
        self._landmarks = _followable(predictor)
        self._given, self._predictor = predictor, _with_task(predictor, self._landmarks)
        self._detector = predictor.detector
        self._sure = -math.inf  # of a detector of the user's, all faces are
        if track and isinstance(predictor.detector, FaceDetector):
            self._sure = predictor.detector.min_score
            self._detector = lower = copy.copy(predictor.detector)
            lower.min_score = _LOW * self._sure
        self._tracker = Tracker()
        self._smoothers: dict[Track, Smoother] = {}
        self._detected = -math.inf  # when the detector last ran, seconds
        self._met = False  # whether there was a face yet, since the beginning or the last long gap

    def __call__(self, frame: Frame) -> Faces:
        """The faces of the next frame: in the order of their tracks; where none are tracked, as of a picture.

        Raises:
            ModelError: if a model fails.
        """
        image, time = frame.image, frame.time
        faces = self._tracked(image, time) if self._track else self._detect_all(image)
        index, self.frames = self.frames, self.frames + 1
        return Faces(faces, image, frame.source, self._predictor.metadata.name, index=index, time=time)

    def _detect_all(self, image: Image) -> tuple[Face, ...]:
        self.detections += 1
        return self._given(image).faces

    def _tracked(self, image: Image, time: float) -> tuple[Face, ...]:
        self._met = self._met and self._tracker.gap(time) <= LOST_SECONDS
        self._tracker.predict(time)
        for track in list(self._tracker.tracks):
            if not _is_in(track.box, image):
                if not track.is_lost:
                    self._tracker.lose(track)
                track.filter.stop()  # who comes back in time comes where he went, and not from further off
        looks = self._follow(image)
        doubted = self._doubted(looks)
        if doubted or self._is_due(time):
            self._confirm(image, time, looks, doubted)
        self._drop_doubles(looks)
        for track, look in looks.items():
            self._tracker.see(track, look.box, look.error if look.by_landmarks else None)
        self._smoothers = {track: self._smoothers.get(track) or Smoother() for track in self._tracker.tracks}
        shown = sorted((track for track in looks if track.identity), key=lambda track: track.identity or 0)
        self._met = self._met or bool(shown)
        return tuple(self._face(track, looks[track], time) for track in shown)

    def _follow(self, image: Image) -> dict[Track, _Look]:
        """Look where the faces should be now, if landmarks tell where they are."""
        tracks = [track for track in self._tracker.tracks if not track.is_lost] if self._landmarks else []
        looks = self._look(image, np.reshape([track.box for track in tracks], (-1, 4)))
        return dict(zip(tracks, looks, strict=True))

    def _doubted(self, looks: Mapping[Track, _Look]) -> set[Track]:
        """The faces that may be lost: uncertain landmarks, a jump, or two tracks in one place."""
        doubted = {
            track
            for track, look in looks.items()
            if look.error > min(max(LEAST_DOUBT, ROSE * track.error), LARGEST_ERROR)
            or not look.by_landmarks
            or iou_matrix(look.box[None], track.box[None])[0, 0] < _AGREES
        }
        tracks = list(looks)
        boxes = np.reshape([looks[track].box for track in tracks], (-1, 4))
        for first, second in zip(*np.nonzero(np.triu(iou_matrix(boxes, boxes) > _SAME, 1)), strict=True):
            doubted |= {tracks[first], tracks[second]}
        return doubted

    def _is_due(self, time: float) -> bool:
        """Whether to detect although nothing is in doubt: for new, lost and unconfirmed faces."""
        tracks = self._tracker.tracks
        unsure = any(track.is_lost or track.identity is None for track in tracks)
        # a millisecond: half a second is 15 frames at 30 per second, and not 16 for a rounding error
        late = time - self._detected >= self._redetect - 1e-3
        return not tracks or unsure or late or self._landmarks is None

    def _confirm(self, image: Image, time: float, looks: dict[Track, _Look], doubted: set[Track]) -> None:
        """Let the detector decide: confirm tracks, begin new ones, and look again where the first look was
        in doubt. Tracks that stay in doubt are lost, and taken out of ``looks``."""
        boxes, scores = self._detect(image)
        self._detected = time
        matched, new = self._tracker.match(boxes, scores, self._sure)
        for face in new:
            # the faces of the first frame that has any need no confirmation, as in ByteTrack; nor do those
            # after a gap in which all may have changed: where frames are rare, nothing would ever be shown
            matched[self._tracker.begin(boxes[face], scores[face], confirmed=not self._met)] = face
        born = {track for track, face in matched.items() if face in new}
        again = [track for track in matched if track not in looks or track in doubted]
        looks.update(zip(again, self._look(image, boxes[[matched[track] for track in again]]), strict=True))
        for track, face in matched.items():
            if track in born:
                track.error = looks[track].error
            else:
                self._tracker.detect(track, float(scores[face]), looks[track].error, self._sure)
        for track in [track for track in self._tracker.tracks if track not in matched]:
            if track not in looks or track in doubted or track.identity is None:
                looks.pop(track, None)
                self._tracker.lose(track)
            else:
                self._tracker.miss(track)

    def _drop_doubles(self, looks: dict[Track, _Look]) -> None:
        """Of two tracks on one face lose the one detected less lately, or only found again now, or whose look
        is less sure."""

        def rank(track: Track) -> tuple[bool, float, bool, float]:
            return track.identity is None, -track.detected, track.steady is None, looks[track].error

        order = sorted(looks, key=rank)
        boxes = np.reshape([looks[track].box for track in order], (-1, 4))
        kept: list[int] = []
        for index, overlap in enumerate(iou_matrix(boxes, boxes)):
            if (overlap[kept] > _SAME).any():
                del looks[order[index]]
                self._tracker.lose(order[index])
            else:
                kept.append(index)

    def _detect(self, image: Image) -> tuple[Array, Array]:
        self.detections += 1
        boxes, scores = _check_found(self._detector.detect(image), image.shape)
        usable = np.array([_is_in(box, image) for box in boxes], dtype=bool)
        return boxes[usable], scores[usable]

    def _look(self, image: Image, boxes: Array) -> list[_Look]:
        """Read the faces in boxes (N, 4)."""
        if not len(boxes):
            return []
        return [self._judge(face) for face in self._predictor(image, boxes=boxes)]

    def _judge(self, face: Face) -> _Look:
        if self._landmarks is None:
            return _Look(face.tasks, face.box, 0.0, False)
        points = face.tasks[self._landmarks]
        assert isinstance(points, Points) and points.sigma is not None
        box = box_from_landmarks(points.points)
        error = float(points.sigma.mean()) / face_size(face.box)
        credible = error <= LARGEST_ERROR and bool((box[2:] > box[:2]).all())
        return _Look(face.tasks, box if credible else face.box, error, credible)

    def _face(self, track: Track, look: _Look, time: float) -> Face:
        tasks, box = look.tasks, look.box
        if self._smooth:
            smooth, box = self._smoothers[track](tasks, box, time)
            if look.by_landmarks and self._landmarks is not None:
                points = smooth[self._landmarks]
                assert isinstance(points, Points)
                box = box_from_landmarks(points.points)
            tasks = smooth
        return Face(box, track.score, self._only_wanted(tasks), track=track.identity)

    def _only_wanted(self, tasks: Mapping[str, Kind]) -> dict[str, Kind]:
        return {name: tasks[name] for name in self._wanted}


def stream_faces(
    predictor: Predictor,
    source: VideoSource,
    *,
    track: bool = True,
    smooth: bool = True,
    redetect: float = REDETECT,
    fps: float | None = None,
    max_pixels: int,
) -> Iterator[Faces]:
    """The faces of each frame of a source; see ``Predictor.stream``."""
    # before the source: a wrong option opens no camera
    stream = FaceStream(predictor, track, smooth, redetect)
    frames = open_source(source, fps, max_pixels)

    def run() -> Iterator[Faces]:
        with frames:
            for frame in frames:
                yield stream(frame)
            if frames.lost:
                warnings.warn(frames.lost, RuntimeWarning, stacklevel=2)

    return run()


def _followable(predictor: Predictor) -> str | None:
    """The task whose points tell a face's box and how sure they are."""
    for name, info in predictor.metadata.tasks.items():
        if info.kind == Points.kind and "sigma" in info.fields and _count(info) == _IBUG:
            return name
    return None


def _count(info: TaskInfo) -> object:
    """Number of points, as the model's metadata says."""
    shape = info.fields["points"].shape if "points" in info.fields else ()
    return shape[1] if len(shape) == 3 else None


def _with_task(predictor: Predictor, name: str | None) -> Predictor:
    """The predictor, or one that shares its models and predicts this task too."""
    if name is None or name in predictor.tasks:
        return predictor
    more = copy.copy(predictor)
    info = predictor.metadata.tasks[name]
    more.tasks = {**predictor.tasks, name: info}
    more._kinds = {**predictor._kinds, name: KINDS[info.kind]}
    return more


def _is_in(box: Array, image: Image) -> bool:
    """Whether a box is worth a look: its centre in the picture, its size a face's."""
    height, width = image.shape[:2]
    x, y = (box[:2] + box[2:]) / 2
    return bool(0 <= x < width and 0 <= y < height and 4 <= face_size(box) <= 4 * max(height, width))
