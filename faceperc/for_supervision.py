"""Faces for the package supervision: its annotators, filters, trackers and sinks take them from here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from faceperc._names import unknown_name
from faceperc.errors import UsageError
from faceperc.kind import Kind
from faceperc.kinds import Points
from faceperc.mask import Mask
from faceperc.results import Face, Faces

if TYPE_CHECKING:
    import supervision

KindT = TypeVar("KindT", bound=Kind)

NAMES = ("face", "head")  # by class id; a head shows no face
NO_TRACK = -1


@dataclass(frozen=True, eq=False)
class ForSupervision:
    """Faces in the forms of supervision (0.31 or later). Every form is made when it is asked for.

    Attributes:
        faces: the faces.
    """

    faces: Faces

    def __post_init__(self) -> None:
        """Check that supervision is there.

        Raises:
            UsageError: if it is not installed.
        """
        _supervision()

    @cached_property
    def detections(self) -> supervision.Detections:
        """One detection per face.

        ``class_id`` and ``data["class_name"]`` are 0, ``face``, or 1, ``head``, for a head that shows no
        face. ``confidence`` is the detector's score, NaN where a face has none, and None where no face has
        one; ``tracker_id`` the track, -1 where a face has none, and None where no face has one. ``data``
        holds the columns of ``faces.to_dataframe()`` by the same names, e.g. ``expression.label`` and
        ``age.value``, but for points and masks; NaN or an empty text is what a face has no value of.
        """
        faces = self.faces
        classes = np.array([int(face.is_hidden) for face in faces], dtype=int)
        scores = np.array([face.score for face in faces], dtype=np.float32)
        tracks = [face.track for face in faces]
        return _supervision().Detections(
            xyxy=np.array([face.box for face in faces], dtype=np.float32).reshape(-1, 4),
            class_id=classes,
            confidence=None if len(faces) and np.isnan(scores).all() else scores,
            tracker_id=_track_ids(tracks) if any(track is not None for track in tracks) else None,
            data={"class_name": np.array(NAMES)[classes], **_columns(faces)},
        )

    def key_points(self, task: str | None = None) -> supervision.KeyPoints:
        """The points of one task, one row for each of ``detections``.

        A face without that task has points that are not ``visible``, at (0, 0), which annotators leave out.
        Where the model tells how likely a point is visible, that is its ``keypoint_confidence``, and below
        0.5 it is not ``visible``. ``data["sigma"]`` holds the expected errors in pixels, NaN where unknown.

        Args:
            task: its name; None for the first task with points.

        Raises:
            UsageError: if there is no such task.
        """
        name = self._task(Points, task)
        results = [_result(face, name, Points) for face in self.faces]
        count = max((len(result) for result in results if result is not None), default=0)
        shape = (len(results), count)
        points = np.zeros((*shape, 2), dtype=np.float32)
        visible = np.zeros(shape, dtype=bool)
        confidence = np.zeros(shape, dtype=np.float32)
        sigma = np.full(shape, np.nan, dtype=np.float32)
        for row, result in enumerate(results):
            if result is None:
                continue
            points[row] = result.points
            confidence[row] = 1 if result.visibility is None else result.visibility
            visible[row] = confidence[row] >= 0.5
            if result.sigma is not None:
                sigma[row] = result.sigma
        tells_visibility = any(result is not None and result.visibility is not None for result in results)
        scores = self.detections.confidence
        return _supervision().KeyPoints(
            xy=points,
            class_id=self.detections.class_id,
            keypoint_confidence=confidence if tells_visibility else None,
            detection_confidence=scores,
            visible=visible,
            data={"sigma": sigma, "class_name": self.detections.data["class_name"]},
        )

    def edges(self, task: str | None = None) -> list[tuple[int, int]]:
        """The lines between the points of one task, for ``supervision.EdgeAnnotator(edges=...)``.

        Args:
            task: its name; None for the first task with points.

        Returns:
            Pairs of points, counted from 1 as supervision counts them; none where there is no face.

        Raises:
            UsageError: if there is no such task.
        """
        name = self._task(Points, task)
        for face in self.faces:
            result = _result(face, name, Points)
            if result is not None:
                pairs = [(a + 1, b + 1) for line in result.lines for a, b in pairwise(line)]
                return list(dict.fromkeys(pairs))
        return []

    def parts(self, task: str | None = None) -> supervision.Detections:
        """The masks of one task: a detection for each class, but the first, that a face shows.

        ``xyxy`` is the box of the part, ``mask`` its pixels, ``class_id`` and ``data["class_name"]`` its
        class, ``confidence`` that of the face; ``data["face"]`` counts the faces from 0. Masks have the size
        of the image: a large image with many faces needs much memory.

        Args:
            task: its name; None for the first task with a mask.

        Raises:
            UsageError: if there is no such task.
        """
        name = self._task(Mask, task)
        height, width = self.faces.image.shape[:2]
        masks: list[NDArray[np.bool_]] = []
        owners: list[int] = []
        classes: list[int] = []
        labels: tuple[str, ...] = ()
        for index, face in enumerate(self.faces):
            result = _result(face, name, Mask)
            if result is None:
                continue
            image, labels = result.to_image(), result.labels
            for each in np.unique(image[image > 0]).tolist():
                masks.append(image == each)
                owners.append(index)
                classes.append(each)
        stack = np.stack(masks) if masks else np.zeros((0, height, width), dtype=bool)
        all_scores, all_tracks = self.detections.confidence, self.detections.tracker_id
        chosen = np.array(owners, dtype=int)
        return _supervision().Detections(
            xyxy=np.array([_outline(mask) for mask in masks], dtype=np.float32).reshape(-1, 4),
            mask=stack,
            class_id=np.array(classes, dtype=int),
            confidence=None if all_scores is None else all_scores[chosen],
            tracker_id=None if all_tracks is None else all_tracks[chosen],
            data={
                "class_name": np.array([labels[each] for each in classes], dtype=str),
                "face": chosen,
            },
        )

    def _task(self, kind: type[Kind], name: str | None) -> str | None:
        """The name of the task; None where no face tells which tasks there are.

        Raises:
            UsageError: if there is no task of that kind, or none of that name.
        """
        known: dict[str, None] = {}
        tells = False
        for face in self.faces:
            tells = tells or (len(face.tasks) > 0 and not face.is_hidden)
            known.update({task: None for task, result in face.tasks.items() if isinstance(result, kind)})
        if name is None:
            return next(iter(known), None)
        if tells and name not in known:
            raise UsageError(unknown_name(f"task with {kind.kind}", name, known))
        return name


def _supervision() -> Any:
    try:
        import supervision
    except ImportError as error:
        raise UsageError(
            'to_supervision needs supervision: pip install "faceperc[supervision]", or supervision alone'
        ) from error
    return supervision


def _result(face: Face, name: str | None, kind: type[KindT]) -> KindT | None:
    result = face.tasks.get(name) if name is not None else None
    return result if isinstance(result, kind) else None


def _track_ids(tracks: list[int | None]) -> NDArray[np.int_]:
    return np.array([NO_TRACK if track is None else track for track in tracks], dtype=int)


def _columns(faces: Faces) -> dict[str, NDArray[Any]]:
    """Column -> (N,) values of the faces: text, or float64."""
    rows = [dict(_values(face.tasks)) for face in faces]
    names = dict.fromkeys(name for row in rows for name in row)
    columns: dict[str, NDArray[Any]] = {}
    for name in names:
        values = [row.get(name) for row in rows]
        is_text = any(isinstance(value, str) for value in values)
        missing: float | str = "" if is_text else math.nan
        columns[name] = np.array([missing if value is None else value for value in values])
    return columns


def _values(tasks: Mapping[str, Kind]) -> dict[str, float | str]:
    return {
        f"{task}.{column}": value
        for task, result in tasks.items()
        if not isinstance(result, Points | Mask)
        for column, value in result.columns().items()
    }


def _outline(mask: NDArray[np.bool_]) -> list[int]:
    """x0, y0, x1, y1 of the pixels of a mask that has some."""
    columns, rows = np.nonzero(mask.any(axis=0))[0], np.nonzero(mask.any(axis=1))[0]
    return [int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1])]
