"""Tracks, and which of them a detected face belongs to."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from faceperc.overlap import iou_matrix
from faceperc.video.kalman import DETECTED, FOLLOWED, BoxFilter

Array = NDArray[np.float64]

LOST_SECONDS = 1.0  # a lost face that is not found again for so long is gone
UNSEEN_SECONDS = 3.0  # for so long a face may be followed that the detector, when asked, does not find
_IOU = 0.3  # least overlap of a detected face with where its track should be, as in SORT
_LOW_IOU = 0.5  # of one that the detector doubts, as in ByteTrack
_LOST_IOU = 0.15  # of the enlarged boxes of a lost one: where it went meanwhile is only known roughly
_STEADY = 1.25  # a face is seen well while its error is at most so many times that of its last detection
_BUFFER = 0.5  # by so much of its size each box of a lost face grows on each side


@dataclass(eq=False)
class Track:
    """One face through time.

    Attributes:
        filter: where it is.
        score: of its last detection, in [0, 1].
        detected: when that was, seconds.
        missed: since when the detector has been asked and has not found it, seconds, or None.
        seen: when it was last seen, by the detector or by the face model, seconds.
        error: expected error of its landmarks when it was last surely detected, in units of its size.
        identity: from 1; None until a second detection confirms the first.
        is_lost: not seen now; it coasts, and may be found again.
        steady: the filter when the face was last seen well, and the time then.
    """

    filter: BoxFilter
    score: float
    detected: float
    seen: float
    missed: float | None = None
    error: float = 0.0
    identity: int | None = None
    is_lost: bool = False
    steady: tuple[BoxFilter, float] | None = None

    @property
    def box(self) -> Array:
        """(4,) where it is now, x0, y0, x1, y1 in pixels."""
        return self.filter.box


@dataclass
class Tracker:
    """The tracks of a video, in the manner of SORT (Bewley et al., ICIP 2016) and ByteTrack (Zhang et al.,
    ECCV 2022): Kalman filters, matched by overlap; faces that the detector doubts keep a track, but begin
    none.

    Attributes:
        tracks: the living ones.
        time: of the last frame, seconds; None before the first.
    """

    tracks: list[Track] = field(default_factory=list)
    time: float | None = None
    _identities: int = 0

    def predict(self, time: float) -> None:
        """Move all tracks on to a time in seconds, and forget those that were not seen for too long."""
        seconds = self.gap(time)
        self.time = time
        self.tracks = [track for track in self.tracks if _lives(track, time)]
        for track in self.tracks:
            if seconds > LOST_SECONDS:  # nobody knows how it moved meanwhile: best look where it was
                track.filter = BoxFilter(track.box)
            track.filter.predict(seconds)

    def gap(self, time: float) -> float:
        """Seconds from the last frame to a time, 0 or more; 0 before the first frame."""
        return 0.0 if self.time is None else max(0.0, time - self.time)

    def match(self, boxes: Array, scores: Array, sure: float) -> tuple[dict[Track, int], list[int]]:
        """Which detected face is which track.

        First the sure faces are matched with all tracks; then the others with the tracks that are not lost,
        and the sure faces that are left with lost tracks near them, by the overlap of enlarged boxes
        (Yang et al., WACV 2023): a face that was hidden may have moved in an unforeseen way.

        Args:
            boxes: (N, 4) x0, y0, x1, y1, pixels.
            scores: (N,).
            sure: faces with a lower score begin no track.

        Returns:
            The index of the face of each track that has one, and the sure faces without a track.
        """
        high = [index for index, score in enumerate(scores) if score >= sure]
        low = [index for index, score in enumerate(scores) if score < sure]
        matched: dict[Track, int] = {}

        def add(tracks: list[Track], faces: list[int], least: float, buffer: float = 0.0) -> None:
            tracks = [track for track in tracks if track not in matched]
            faces = [face for face in faces if face not in matched.values()]
            predicted = np.reshape([track.box for track in tracks], (-1, 4))
            pairs = associate(_grow(predicted, buffer), _grow(boxes[faces], buffer), least)
            matched.update({tracks[first]: faces[second] for first, second in pairs})

        add(self.tracks, high, _IOU)
        add([track for track in self.tracks if not track.is_lost], low, _LOW_IOU)
        add([track for track in self.tracks if track.is_lost], high, _LOST_IOU, _BUFFER)
        return matched, [face for face in high if face not in matched.values()]

    def begin(self, box: Array, score: float, confirmed: bool) -> Track:
        """A new track of a detected face (4,) at the present time."""
        assert self.time is not None
        track = Track(BoxFilter(box), score, self.time, self.time)
        self.tracks.append(track)
        if confirmed:
            self._name(track)
        return track

    def detect(self, track: Track, score: float, error: float, sure: float) -> None:
        """The detector found it again. If it is sure, that confirms it; else it only keeps it.

        Args:
            track: the track.
            score: of the detection.
            error: expected error of its landmarks, in units of its size; 0 where it has none.
            sure: least score of a sure detection.
        """
        assert self.time is not None
        track.score, track.detected, track.seen = score, self.time, self.time
        track.is_lost, track.missed = False, None
        if score < sure:
            return
        track.error = error
        if track.identity is None:
            self._name(track)

    def miss(self, track: Track) -> None:
        """The detector was asked and did not find it, but its landmarks are sure."""
        if track.missed is None:
            track.missed = self.time

    def see(self, track: Track, box: Array, error: float | None) -> None:
        """It is at this box.

        Args:
            track: the track.
            box: (4,) x0, y0, x1, y1, pixels.
            error: expected error of the landmarks that it is of, in units of the face's size; None if it is
                the detector's. The worse they are, the less the box counts.
        """
        assert self.time is not None
        worse = 1.0 if error is None else max(1.0, error / max(track.error, 1e-6))
        track.filter.update(box, DETECTED if error is None else FOLLOWED * worse**2)
        track.seen = self.time
        if worse <= _STEADY:
            track.steady = copy.copy(track.filter), self.time

    def lose(self, track: Track) -> None:
        """It is not seen; one that was never confirmed is forgotten.

        It moves on as it did when it was last seen well: what hides a face drags its landmarks along first.
        OC-SORT (Cao et al., CVPR 2023) mends the same error later, when the face is found again.
        """
        assert self.time is not None
        if not track.is_lost and track.steady is not None:
            track.filter, time = track.steady
            track.filter.predict(self.time - time)
        track.is_lost, track.steady = True, None
        track.filter.keep_size()
        if track.identity is None:
            self.tracks.remove(track)

    def _name(self, track: Track) -> None:
        self._identities += 1
        track.identity = self._identities


def associate(predicted: Array, found: Array, least: float) -> list[tuple[int, int]]:
    """Match boxes one to one, those that overlap most first.

    The Hungarian algorithm would maximise the sum of all overlaps; the runtime has no SciPy, and where boxes
    of faces overlap by ``least`` at all there is hardly ever a choice: heads do not share a place.

    Args:
        predicted: (T, 4) x0, y0, x1, y1.
        found: (N, 4) x0, y0, x1, y1.
        least: intersection over union in [0, 1] below which two boxes are never matched.

    Returns:
        Pairs of an index of ``predicted`` and one of ``found``, the best first.
    """
    overlap = iou_matrix(predicted, found)
    pairs = []
    while overlap.size and overlap.max() >= least:
        first, second = np.unravel_index(overlap.argmax(), overlap.shape)
        pairs.append((int(first), int(second)))
        overlap[first], overlap[:, second] = -1.0, -1.0
    return pairs


def _lives(track: Track, time: float) -> bool:
    # a face that is not lost was seen in the last frame, however long ago that was: frames may be rare
    is_lost = track.is_lost and time - track.seen > LOST_SECONDS
    return not is_lost and (track.missed is None or time - track.missed <= UNSEEN_SECONDS)


def _grow(boxes: Array, by: float) -> Array:
    """(N, 4) boxes, larger on each side by a share of their width and height."""
    margin = by * (boxes[:, 2:] - boxes[:, :2])
    return np.concatenate([boxes[:, :2] - margin, boxes[:, 2:] + margin], axis=1)
