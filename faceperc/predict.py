"""Predictor: an image in, the faces with all their results out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from numbers import Integral
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from faceperc._names import unknown_name
from faceperc.crop import FaceCrop, check_box
from faceperc.detect import FaceDetector, Tiles, check_tiles
from faceperc.detections import Detections
from faceperc.errors import FacepercError, ModelError, UsageError
from faceperc.image import MAX_PIXELS, ImageSource, read_image
from faceperc.kind import Kind
from faceperc.kinds import KINDS, Rotation
from faceperc.metadata import ModelMetadata, TaskInfo, check_takes_crops
from faceperc.results import Face, Faces
from faceperc.runtime import OnnxModel
from faceperc.zoo import DEFAULT_DETECTOR, DEFAULT_MODEL, find_model

if TYPE_CHECKING:
    from faceperc.video.frames import VideoSource

Array = NDArray[np.float64]

BATCH = 32  # faces per run: bounds the memory on a photograph of a crowd
MAX_ENLARGEMENT = 100  # of a box over its image


class Detector(Protocol):
    """Anything that finds faces: ``faceperc.detect.FaceDetector``, or the user's own."""

    def detect(self, image: NDArray[np.uint8]) -> tuple[Array, Array]:
        """Find faces.

        Args:
            image: (H, W, 3) uint8 RGB.

        Returns:
            (N, 4) boxes x0, y0, x1, y1 in image pixels (hairline to chin), and (N,) scores in [0, 1].
        """
        ...


class Predictor:
    """Looks at each face of an image once and answers everything that its model can.

    Examples:
        >>> import faceperc
        >>> faces = faceperc.Predictor()("photo.jpg")  # doctest: +SKIP
        >>> faces[0].pose.yaw  # doctest: +SKIP
        12.3

    Attributes:
        model: the opened face model.
        tasks: what is predicted, by the name of the task.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] = DEFAULT_MODEL,
        *,
        detector: str | os.PathLike[str] | Detector | None = None,
        tasks: str | Iterable[str] | None = None,
        threads: int | None = None,
        provider: str | None = None,
        min_score: float | None = None,
        max_pixels: int = MAX_PIXELS,
        heads: bool = False,
        tiles: Tiles = False,
    ) -> None:
        """Open a model. The detector is opened when it is first needed.

        Args:
            model: a name from ``faceperc.list_models()``, or the path of an ONNX file.
            detector: a name, a path, or an object with ``detect(image)``; by default the bundled one.
            tasks: names of the tasks to predict; by default all of the model's.
            threads: threads within an operator; by default the runtime decides.
            provider: what runs the models: "cpu", "cuda", "tensorrt" or "openvino" (see docs/deploy.md); by
                default CUDA where it is available, else the CPU.
            min_score: faces that the detector is less sure of are dropped, in [0, 1]; by default the
                detector decides. Ignored for a detector that is an object.
            max_pixels: images with more pixels are refused, before they are decoded.
            heads: also give the heads without a face, as those seen from behind: ``is_hidden``, with a box
                and of all tasks only the rotation, which then is the detector's. Some are faces that are too
                doubtful, or nothing at all: the detector gives heads that it is less sure of than of faces.
                Wants a detector whose file tells heads, or a ``FaceDetector`` of it.
            tiles: look at large images tile by tile too, for their small faces, which takes longer:
                `faceperc.detect.FaceDetector`. "auto" does so where they would be shrunk more than twofold.
                Ignored for a detector that is an object.

        Raises:
            ModelError: if the model cannot be opened or is none for crops of faces, or the provider does not
                run.
            UsageError: if a task is unknown or an argument out of range.
        """
        if min_score is not None and not 0 <= min_score <= 1:
            raise UsageError(f"min_score lies in [0, 1]; got {min_score!r}")
        check_tiles(tiles)
        self.model = OnnxModel(find_model(model), threads, provider)
        check_takes_crops(self.metadata, str(model))
        self.tasks = _choose(self.metadata, tasks)
        self._kinds = {name: _kind(info, self.model) for name, info in self.tasks.items()}
        self._given_detector = detector
        self._options: dict[str, Any] = {"threads": threads, "provider": provider}
        self._min_score = min_score
        self._max_pixels = max_pixels
        self._heads = heads
        self._tiles = tiles

    def __repr__(self) -> str:
        """Model, tasks and what runs it."""
        return f"<Predictor {self.metadata.name}: {', '.join(self.tasks)}; {self.provider}>"

    @property
    def provider(self) -> str:
        """What really runs the model: "cpu", "cuda", "tensorrt" or "openvino"."""
        return self.model.provider

    @property
    def metadata(self) -> ModelMetadata:
        """What the model says about itself."""
        return self.model.metadata

    @cached_property
    def detector(self) -> Detector:
        """The detector, opened at the first use.

        Raises:
            ModelError: if it cannot be opened or is none.
            UsageError: if heads are wanted and it finds faces only.
        """
        given = self._given_detector
        if given is not None and not isinstance(given, str | os.PathLike):
            if self._heads and not isinstance(given, FaceDetector):
                raise UsageError(f"heads=True wants a detector file or a FaceDetector; got {given!r}")
            return given
        model = OnnxModel(find_model(given or DEFAULT_DETECTOR), **self._options)
        if model.metadata.role != "detector":
            raise ModelError(
                f"{model.path}: is a {model.metadata.role} model, not a detector; see 'faceperc models'"
            )
        if self._heads and "heads" not in model.outputs:
            raise UsageError(
                f"{model.path}: finds faces only, it lacks the output 'heads'; use another detector, or "
                "leave 'heads' out"
            )
        return FaceDetector(model, self._min_score, tiles=self._tiles)

    def __call__(self, image: ImageSource, boxes: ArrayLike | None = None) -> Faces:
        """Predict.

        Args:
            image: a path, the bytes of an image file, a Pillow image, or a uint8 array, RGB (H, W, 3).
            boxes: (N, 4) face boxes x0, y0, x1, y1 in pixels of the upright image, hairline to chin; nothing
                is detected then, and the faces keep this order and have the score NaN.

        Returns:
            The faces, best first, then the heads that show none; empty where nothing was found. With a model
            in eight bits that measures its scales as it runs, such as faceperc-nano-int8, a face's answer
            depends a little on the other faces of the image (docs/export.md).

        Raises:
            ImageError: if the image cannot be read.
            UsageError: if the boxes are not usable.
            ModelError: if a model fails, or the detector gives no boxes and scores.
        """
        pixels, source = self._read(image)
        if boxes is None:
            found, count = self._detect(pixels)
        else:
            given = _check_boxes(boxes, pixels.shape)
            found, count = Detections(given, np.full(len(given), np.nan)), len(given)
        return self._compose(pixels, source, found, self._analyse(pixels, found.boxes[:count]))

    def batch(self, images: Sequence[ImageSource], *, max_faces: int | None = None) -> list[Faces]:
        """Predict for several images, as ``[predictor(image) for image in images]`` does.

        The detector looks at one image after the other; the face model takes the faces of all of them in
        common runs, which is faster where images show few faces each. All images are in memory at once.

        Args:
            images: each as in a call.
            max_faces: of each image only so many are looked at, those with the highest scores; by default
                all of them.

        Returns:
            The faces of each image, in the order of the images. They are those of single calls but for
            rounding, below 1e-4 of an output in float32. A model in eight bits that measures its scales as it
            runs, such as faceperc-nano-int8, rounds more coarsely, by all faces of a run.

        Raises:
            ImageError: if an image cannot be read.
            UsageError: if ``images`` is a single image, or ``max_faces`` not usable.
            ModelError: if a model fails, or the detector gives no boxes and scores.
                The message begins with the image's index, such as ``image 3: ...``, but where the face model
                fails, which then looked at several. To go on without a bad file, read the files first with
                `faceperc.image.read_image` and pass the arrays.
        """
        if isinstance(images, str | os.PathLike | bytes):
            raise UsageError("images is a list of images; of a single one call the predictor itself")
        if max_faces is not None and (not isinstance(max_faces, Integral) or max_faces < 1):
            raise UsageError(f"max_faces is a positive integer or None; got {max_faces!r}")
        read, detected = [], []
        for index, image in enumerate(images):
            with _naming(index):
                read.append(self._read(image))
                found, count = self._detect(read[-1][0])
            detected.append((found[:max_faces], count if max_faces is None else min(count, max_faces)))
        faces_of = [
            (pixels, found.boxes[:count]) for (pixels, _), (found, count) in zip(read, detected, strict=True)
        ]
        all_faces = []
        for index, results in enumerate(self._analyse_all(faces_of)):
            with _naming(index):
                all_faces.append(self._compose(*read[index], detected[index][0], results))
        return all_faces

    def stream(
        self,
        source: VideoSource,
        *,
        track: bool = True,
        smooth: bool = True,
        redetect: float = 0.5,
        fps: float | None = None,
    ) -> Iterator[Faces]:
        """Predict frame after frame, with identities that stay (docs/video.md).

        Args:
            source: a video file, a camera's number, a URL (``rtsp://``, ``http://``, ...), a folder of
                images, or an iterable of frames. All but the last two need ``pip install "faceperc[video]"``.
            track: give faces identities, and detect only where tracking is in doubt; else each frame is a
                picture of its own. Heads that show no face are never followed: with ``heads`` they come only
                where nothing is tracked, and the ``visibility`` of tracked faces is NaN.
            smooth: smooth the results through time; only where faces are tracked.
            redetect: seconds after which new faces are looked for, at the latest; 0 for every frame.
            fps: frames per second of a folder or iterable, by default 25; the others know their times.

        Returns:
            The faces of each frame, with its ``index`` and ``time``; a tracked face has its ``track``. Of a
            camera or broadcast that is faster than the models the newest frame is taken. Damaged frames are
            left out, and at the end a RuntimeWarning tells what was lost.

        Raises:
            ImageError: if the source cannot be opened, or while it is read.
            UsageError: if an argument is not usable, or PyAV is needed and not installed.
            ModelError: if a model fails.
        """
        from faceperc.video.stream import stream_faces

        return stream_faces(
            self,
            source,
            track=track,
            smooth=smooth,
            redetect=redetect,
            fps=fps,
            max_pixels=self._max_pixels,
        )

    def _detect(self, image: NDArray[np.uint8]) -> tuple[Detections, int]:
        """The faces, the highest score first, then the heads that show none; and how many are faces."""
        detector = self.detector
        if isinstance(detector, FaceDetector):
            found = detector.find(image, heads=self._heads)
            _check_found((found.boxes, found.scores), image.shape)
            return found, int((found.scores >= detector.min_score).sum())
        boxes, scores = _check_found(detector.detect(image), image.shape)
        found = Detections(boxes, scores)
        return found[np.argsort(-scores, kind="stable")], len(found)

    def _present_hidden(self, found: Detections) -> list[dict[str, Kind]]:
        """The results of heads that show no face: the detector's rotation, under the name of the model's."""
        names = [name for name, info in self.tasks.items() if info.kind == Rotation.kind]
        if not names or found.rotations is None:
            return [{} for _ in range(len(found))]
        try:
            return [{names[0]: Rotation(matrix)} for matrix in found.rotations]
        except UsageError as error:  # the user did nothing wrong: the detector broke its contract
            raise ModelError(f"the detector's output 'rotations': {error}") from error

    def _read(self, image: ImageSource) -> tuple[NDArray[np.uint8], str | None]:
        """The pixels, and the path of what is a file."""
        pixels = read_image(image, max_pixels=self._max_pixels)
        return pixels, os.fspath(image) if isinstance(image, str | os.PathLike) else None

    def _compose(
        self, pixels: NDArray[np.uint8], source: str | None, found: Detections, results: list[dict[str, Kind]]
    ) -> Faces:
        """The faces with their results, then the heads that show none."""
        count = len(results)
        results = results + self._present_hidden(found[count:])
        each = zip(found.boxes, found.scores, results, found.visibility, strict=True)
        faces = tuple(Face(*face, is_face=place < count) for place, face in enumerate(each))
        return Faces(faces, pixels, source, self.metadata.name)

    def _analyse(self, image: NDArray[np.uint8], boxes: Array) -> list[dict[str, Kind]]:
        """The results of each box by the name of the task."""
        return self._analyse_all([(image, boxes)])[0]

    def _analyse_all(self, images: Sequence[tuple[NDArray[np.uint8], Array]]) -> list[list[dict[str, Kind]]]:
        """The results of each box of each image; boxes of several images share a run."""
        rule = self.metadata.crop
        assert rule is not None  # every face model has one
        outputs = [field.output for info in self.tasks.values() for field in info.fields.values()]
        results: list[list[dict[str, Kind]]] = [[] for _ in images]
        places = [(index, box) for index, (_, boxes) in enumerate(images) for box in boxes]
        for start in range(0, len(places), BATCH):
            crops = [(i, FaceCrop.from_box(box, rule)) for i, box in places[start : start + BATCH]]
            batch = np.stack([crop.warp(images[i][0]) for i, crop in crops])
            arrays = self.model.run({self.metadata.input: batch}, outputs)
            for row, (i, crop) in enumerate(crops):
                values = {name: array[row] for name, array in arrays.items()}
                height, width = images[i][0].shape[:2]
                results[i].append(self._present(values, crop, (height, width)))
        return results

    def _present(
        self, values: dict[str, NDArray[Any]], crop: FaceCrop, image_shape: tuple[int, int]
    ) -> dict[str, Kind]:
        """The outputs of one face -> its results, in the frame of the image."""
        results = {}
        for name, info in self.tasks.items():
            fields = {key: values[field.output] for key, field in info.fields.items()}
            try:
                results[name] = self._kinds[name].from_output(fields, info, crop, image_shape)
            except UsageError as error:  # the user did nothing wrong: the model broke its contract
                raise ModelError(f"{self.model.path}: task {name!r}: {error}") from error
        return results


@contextmanager
def _naming(index: int) -> Iterator[None]:
    """Errors of ours say which image of several they are about."""
    try:
        yield
    except FacepercError as error:
        raise type(error)(f"image {index}: {error}") from error


def _choose(metadata: ModelMetadata, tasks: str | Iterable[str] | None) -> dict[str, TaskInfo]:
    """The tasks that are wanted, in the model's order."""
    if tasks is None:
        return metadata.tasks
    wanted = [tasks] if isinstance(tasks, str) else list(tasks)
    for name in wanted:
        if name not in metadata.tasks:
            raise UsageError(unknown_name("task", name, metadata.tasks))
    if not wanted:
        raise UsageError(f"tasks is empty; leave it out for all of: {', '.join(metadata.tasks)}")
    return {name: info for name, info in metadata.tasks.items() if name in wanted}


def _kind(info: TaskInfo, model: OnnxModel) -> type[Kind]:
    where = f"{model.path}: task {info.name!r}"
    kind = KINDS.get(info.kind)
    if kind is None:
        raise ModelError(f"{where} has the unknown kind {info.kind!r}; update faceperc")
    missing = [name for name, needed in kind.fields.items() if needed and name not in info.fields]
    if missing:
        raise ModelError(f"{where} ({info.kind}) lacks the field {', '.join(missing)}; export it again")
    return kind


def _check_boxes(boxes: ArrayLike, shape: tuple[int, ...]) -> Array:
    """(N, 4) usable boxes that touch the image."""
    try:
        array = np.asarray(boxes, dtype=np.float64)
    except (ValueError, TypeError) as error:
        raise UsageError(f"boxes is an array (N, 4) of x0, y0, x1, y1 in pixels: {error}") from error
    if array.size == 0:
        return np.zeros((0, 4))
    if array.ndim != 2 or array.shape[1] != 4:
        raise UsageError(f"boxes has the shape (N, 4): x0, y0, x1, y1 in pixels; got {array.shape}")
    height, width = shape[:2]
    for index, box in enumerate(array):
        x0, y0, x1, y1 = _check_size(box, index, shape)
        if max(x1 - x0, y1 - y0) < 2:
            raise UsageError(f"box {index} is smaller than 2 pixels: {box.tolist()}; boxes are in pixels")
        if x1 < 0 or y1 < 0 or x0 > width - 1 or y0 > height - 1:
            raise UsageError(
                f"box {index} lies outside the {width} x {height} image: {box.tolist()}; "
                "boxes are in its pixels"
            )
    return array


def _check_size(box: Array, index: int, shape: tuple[int, ...]) -> Array:
    """The box, if it is one, and not so large that to crop it would take forever."""
    try:
        x0, y0, x1, y1 = check_box(box)
    except UsageError as error:
        raise UsageError(f"box {index}: {error}") from error
    height, width = shape[:2]
    if max(x1 - x0, y1 - y0) > MAX_ENLARGEMENT * max(width, height):
        raise UsageError(
            f"box {index} is more than {MAX_ENLARGEMENT} times as large as the {width} x {height} image: "
            f"{box.tolist()}; boxes are x0, y0, x1, y1 in pixels"
        )
    return box


def _check_found(found: object, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """(N, 4) boxes and (N,) scores of a detector, which may be the user's own."""
    wanted = "(N, 4) boxes and (N,) scores are wanted, finite numbers"
    try:
        boxes, scores = (np.asarray(each, dtype=np.float64) for each in found)  # type: ignore[attr-defined]
    except (ValueError, TypeError) as error:
        raise ModelError(f"the detector gave what is no pair of arrays; {wanted}: {error}") from error
    if boxes.size == scores.size == 0:
        return np.zeros((0, 4)), np.zeros(0)
    if boxes.shape != (len(boxes), 4) or scores.shape != (len(boxes),):
        raise ModelError(f"the detector gave boxes {boxes.shape} and scores {scores.shape}; {wanted}")
    if not np.isfinite(scores).all():
        raise ModelError(f"the detector gave scores that are no numbers: {scores.tolist()}; {wanted}")
    try:
        for index, box in enumerate(boxes):
            _check_size(box, index, shape)
    except UsageError as error:
        raise ModelError(f"the detector gave an unusable box; {wanted}: {error}") from error
    return boxes, scores
