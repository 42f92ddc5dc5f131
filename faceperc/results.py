"""Faces and Face: what a predictor returns."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from faceperc._files import write_file
from faceperc._names import unknown_name
from faceperc.crop import check_box
from faceperc.errors import UsageError
from faceperc.kind import Kind, numbers
from faceperc.kinds import Points
from faceperc.quality import quality_of

if TYPE_CHECKING:
    import pandas  # type: ignore[import-untyped]
    from matplotlib.axes import Axes

    from faceperc.draw import DrawOptions
    from faceperc.for_supervision import ForSupervision


class UnknownTaskError(UsageError, AttributeError):
    """A task that a face has no result of. An AttributeError too, so that ``hasattr`` works."""


@dataclass(frozen=True, eq=False, repr=False)
class Face:
    """One face of an image: its box, and one result per task as an attribute (``face.landmarks``).

    Attributes:
        box: (4,) x0, y0, x1, y1 in image pixels: hairline to chin.
        score: the detector's confidence in [0, 1] that a face can be seen; NaN where the caller gave the box.
        tasks: the results by the name of the task. Of a head without a face there is only its rotation, if
            the detector tells it.
        visibility: in [0, 1], how much of the confidence that a head is there is one that its face can be
            seen: near 1 from the front, near 0 from behind. NaN where the detector does not tell heads.
        track: the face's identity within a video, from 1, or None where faces are not tracked.
        is_face: whether the detector saw a face there, rather than a head alone; None where nobody said.
    """

    box: NDArray[np.float64]
    score: float
    tasks: Mapping[str, Kind] = field(default_factory=dict)
    visibility: float = math.nan
    track: int | None = None
    is_face: bool | None = None

    def __post_init__(self) -> None:
        """Check the box and the visibility.

        Raises:
            UsageError: if it is no box, or the visibility is neither in [0, 1] nor NaN.
        """
        object.__setattr__(self, "box", check_box(self.box))
        object.__setattr__(self, "score", float(self.score))
        object.__setattr__(self, "visibility", float(self.visibility))
        if self.visibility < 0 or self.visibility > 1:
            raise UsageError(f"visibility lies in [0, 1], or is NaN where unknown; got {self.visibility!r}")

    @property
    def is_hidden(self) -> bool:
        """Whether a head was seen there, but no face: it is turned away (a low ``visibility``), or whether it
        shows a face is too doubtful. Where ``is_face`` is None, whether the visibility is below 0.5."""
        return self.visibility < 0.5 if self.is_face is None else not self.is_face

    @property
    def quality(self) -> float:
        """How well the face can be read, in [0, 1], by the expected errors of its points: near 1 for a clear
        face, below 0.5 for one that is tiny, blurred or covered, near 0 where there is no face, also in a box
        of your own. NaN where the model, or the asked tasks, give no points with expected errors."""
        found = (each for each in self.tasks.values() if isinstance(each, Points) and each.sigma is not None)
        points = next(found, None)
        return math.nan if points is None else quality_of(points)

    # The tasks depend on the model, so a type checker cannot know what a task's attribute is.
    def __getattr__(self, name: str) -> Any:
        """The result of a task.

        Raises:
            UnknownTaskError: if there is none; the message suggests the nearest name.
        """
        if name.startswith("__"):  # asked for by copy, pickle and notebooks: not a task
            raise AttributeError(name)
        return self[name]

    def __getitem__(self, name: str) -> Any:
        """The result of a task, also of one whose name is taken by another attribute.

        Raises:
            UnknownTaskError: if there is none; the message suggests the nearest name.
        """
        tasks = self.__dict__.get("tasks", {})
        if name not in tasks:
            raise UnknownTaskError(unknown_name("task", name, tasks))
        return tasks[name]

    def __dir__(self) -> list[str]:
        """The attributes, with the tasks."""
        return [*super().__dir__(), *self.tasks]

    def __repr__(self) -> str:
        """Box, score and a summary of each task."""
        box = ", ".join(f"{value:.0f}" for value in self.box)
        lines = [f"  {name}: {result.summary()}" for name, result in self.tasks.items()]
        score = "" if math.isnan(self.score) else f" score {self.score:.2f}"
        visibility = "" if math.isnan(self.visibility) else f" visibility {self.visibility:.2f}"
        quality = "" if math.isnan(self.quality) else f" quality {self.quality:.2f}"
        track = "" if self.track is None else f" {self.track}"
        return "\n".join([f"<Face{track} box ({box}){score}{visibility}{quality}", *lines]) + ">"

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: ``box`` (4,), ``score`` (null where the caller gave the box), ``visibility`` and
        ``quality`` (null if unknown), ``tasks`` by name, ``track`` in a video, and ``is_hidden`` (true) of a
        head without a face."""
        return {
            **({} if self.track is None else {"track": self.track}),
            "box": numbers(self.box, 3),
            "score": _known(self.score),
            "visibility": _known(self.visibility),
            "quality": _known(self.quality, 3),
            **({"is_hidden": True} if self.is_hidden else {}),
            "tasks": {name: result.to_dict() for name, result in self.tasks.items()},
        }


@dataclass(frozen=True, eq=False, repr=False)
class Faces:
    """The faces of one image; behaves like a tuple of ``Face``.

    Attributes:
        faces: the best first (highest detector score), then the heads that show no face; or in the order of
            the boxes that the caller gave, or of their tracks.
        image: (H, W, 3) uint8 RGB, upright, as it was analysed.
        source: path of the image, or None where it was not a file.
        model: name of the model.
        index: number of the frame in its video, from 0, or None.
        time: when the frame is shown, seconds since the video's beginning, or None.
    """

    faces: tuple[Face, ...]
    image: NDArray[np.uint8]
    source: str | None = None
    model: str = ""
    index: int | None = None
    time: float | None = None

    def __len__(self) -> int:
        """Number of faces."""
        return len(self.faces)

    def __iter__(self) -> Iterator[Face]:
        """The faces, best first."""
        return iter(self.faces)

    @overload
    def __getitem__(self, index: int) -> Face: ...
    @overload
    def __getitem__(self, index: slice) -> Faces: ...
    def __getitem__(self, index: int | slice) -> Face | Faces:
        """One face, or the ``Faces`` of a slice."""
        if isinstance(index, slice):
            return replace(self, faces=self.faces[index])
        return self.faces[index]

    def __repr__(self) -> str:
        """Number of faces, where they were found, and by what."""
        height, width = self.image.shape[:2]
        count = f"{len(self)} face{'' if len(self) == 1 else 's'}"
        source = self.source or "an image"
        frame = "" if self.time is None else f", frame {self.index} at {self.time:.2f} s"
        return f"<Faces: {count} in {source} ({width} x {height}){frame}, model {self.model or 'unknown'}>"

    def draw(self, **options: Unpack[DrawOptions]) -> Image.Image:
        """A copy of the image with what was found drawn on it.

        Args:
            **options: ``tasks``, ``captions``, ``boxes``, ``pose``, ``size`` and ``font``, as
                ``faceperc.draw.draw_faces`` explains them.

        Raises:
            UsageError: if an option cannot be served.
        """
        from faceperc.draw import draw_faces

        return draw_faces(self, **options)

    def save(self, path: str | Path, **options: Unpack[DrawOptions]) -> Path:
        """Draw and save; the format follows the suffix. The file appears complete or not at all.

        Args:
            path: the file to write.
            **options: those of ``draw``.

        Raises:
            UsageError: if the suffix is unknown, the format cannot hold the picture, the file cannot be
                written, or an option cannot be served.
        """
        path = Path(path)
        image_format = Image.registered_extensions().get(path.suffix.lower())
        if image_format not in Image.SAVE:
            raise UsageError(f"{path}: cannot save as {path.suffix!r}; use .jpg, .png or .webp")
        picture = self.draw(**options)
        try:
            data = _encode(picture, image_format, quality=92)
        except Exception as error:  # too large, or of another mode: each of Pillow's plugins raises its own
            size = f"{picture.width} x {picture.height} pixels"
            raise UsageError(f"{path}: cannot hold the picture, {size} ({error}); save it as .png") from error
        return write_file(path, data)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: ``source``, ``model``, ``image`` (width, height) and ``faces``, and of a video's frame
        ``index`` and ``time``."""
        height, width = self.image.shape[:2]
        return {
            "source": self.source,
            "model": self.model,
            **self._when(),
            "image": {"width": width, "height": height},
            "faces": [face.to_dict() for face in self.faces],
        }

    def to_json(self, indent: int | None = None) -> str:
        """``to_dict()`` as JSON."""
        return json.dumps(self.to_dict(), indent=indent, allow_nan=False)

    def to_dataframe(self) -> pandas.DataFrame:
        """One row per face, with flat columns: ``box.x0``, ``score``, ``landmarks.0.x``, ``age.value``, ...
        NaN is what a face has no value of.

        Raises:
            UsageError: if pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise UsageError("to_dataframe needs pandas: pip install pandas") from error
        return pandas.DataFrame([self._row(face) for face in self.faces])

    def _when(self) -> dict[str, float]:
        """``index`` and ``time`` of a video's frame."""
        known = {"index": self.index, "time": None if self.time is None else round(self.time, 6)}
        return {name: value for name, value in known.items() if value is not None}

    def _row(self, face: Face) -> dict[str, float | str | None]:
        corners = zip(("x0", "y0", "x1", "y1"), face.box.tolist(), strict=True)
        row: dict[str, float | str | None] = {"source": self.source, **self._when(), "score": face.score}
        row |= {"visibility": face.visibility, "quality": face.quality}
        if face.track is not None:
            row["track"] = face.track
        row.update({f"box.{name}": value for name, value in corners})
        for task, result in face.tasks.items():
            row.update({f"{task}.{name}": value for name, value in result.columns().items()})
        return row

    def to_supervision(self) -> ForSupervision:
        """The faces as `supervision <https://supervision.roboflow.com>`_ knows detections and key points.

        Raises:
            UsageError: if supervision is not installed.
        """
        from faceperc.for_supervision import ForSupervision

        return ForSupervision(self)

    def plot(self, ax: Axes | None = None, **options: Unpack[DrawOptions]) -> Axes:
        """Show the drawing with matplotlib.

        Args:
            ax: where to; None for a new figure.
            **options: those of ``draw``.

        Returns:
            The axes; their coordinates are pixels of the image, as those of all results.

        Raises:
            UsageError: if matplotlib is not installed, or an option cannot be served.
        """
        from faceperc.notebook import plot

        return plot(self, ax, options)

    def _repr_png_(self) -> bytes:
        """The drawing, for notebooks; small images are enlarged, large ones shrunk."""
        from faceperc.notebook import picture

        return _encode(picture(self), "PNG")

    def _repr_html_(self) -> str:
        """The drawing and a table of the faces, for notebooks."""
        from faceperc.notebook import page

        return page(self)


def _known(value: float, digits: int = 5) -> float | None:
    """For JSON, which has no NaN."""
    return None if math.isnan(value) else round(value, digits)


def _encode(picture: Image.Image, image_format: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, image_format, **options)
    return stream.getvalue()
