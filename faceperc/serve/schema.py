"""What goes over the wire: the JSON of `Faces.to_dict`, one model per KIND, and the parameters of a request.

The models describe; they do not convert. A test holds ``to_dict()`` of each kind to them, in both directions.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Unit = Annotated[float, Field(ge=0, le=1)]
Pixel = Annotated[
    tuple[float, float], Field(description="x right, y down; (0, 0): centre of the first pixel")
]
Box = Annotated[
    tuple[float, float, float, float], Field(description="x0, y0, x1, y1 in pixels of the upright image")
]
Row = tuple[float, float, float]


class _Exact(BaseModel):
    """Nothing but the fields that are named."""

    model_config = ConfigDict(extra="forbid")


class Points(_Exact):
    """Points in the image."""

    kind: Literal["points"]
    points: list[Pixel]
    sigma: list[float] | None = Field(description="expected distance of each point from the truth, pixels")
    visibility: list[Unit] | None = Field(description="probability that each point is not occluded")


class Rotation(_Exact):
    """Orientation of the head as seen by the camera."""

    kind: Literal["rotation"]
    yaw: float = Field(ge=-180, le=180, description="degrees; > 0 faces the image's left")
    pitch: float = Field(ge=-90, le=90, description="degrees; > 0 looks up")
    roll: float = Field(ge=-180, le=180, description="degrees; > 0 is clockwise in the image")
    matrix: tuple[Row, Row, Row] = Field(description="from head to camera: x right, y up, z to the viewer")


def _without_default(schema: dict[str, Any]) -> None:
    del schema["default"]  # the field is there or not; it is never empty


class Mask(_Exact):
    """A class for each pixel of a square region."""

    kind: Literal["mask"]
    box: Box = Field(description="the region; it may reach over the image's border")
    labels: list[str] = Field(description="names of the classes, by class id")
    areas: dict[str, Unit] = Field(description="share of the region that each class covers")
    png: str = Field(
        default="",
        description="class ids as a grey PNG in base64; left out with masks=false",
        json_schema_extra=_without_default,
    )


class Classes(_Exact):
    """Exclusive classes."""

    kind: Literal["classes"]
    label: str = Field(description="the most probable class")
    score: Unit = Field(description="its probability")
    probabilities: dict[str, Unit] = Field(description="by class; they sum to 1")


class Probabilities(_Exact):
    """Independent yes-or-no questions."""

    kind: Literal["probabilities"]
    probabilities: dict[str, Unit] = Field(description="of yes, by question")


class Scalar(_Exact):
    """One number."""

    kind: Literal["scalar"]
    value: float
    unit: str | None
    std: float | None = Field(ge=0, description="standard deviation in the same unit, if the model tells it")


Result = Annotated[Points | Rotation | Mask | Classes | Probabilities | Scalar, Field(discriminator="kind")]
#: The model of each kind's ``to_dict()``.
KIND_MODELS: dict[str, type[BaseModel]] = {
    "points": Points,
    "rotation": Rotation,
    "mask": Mask,
    "classes": Classes,
    "probabilities": Probabilities,
    "scalar": Scalar,
}


class Face(_Exact):
    """One face."""

    box: Box = Field(description="hairline to chin: x0, y0, x1, y1 in pixels of the upright image")
    score: Unit | None = Field(description="the detector's confidence that a face can be seen")
    visibility: Unit | None = Field(
        description="near 0: a head from behind; null where the detector does not tell heads"
    )
    quality: Unit | None = Field(
        description="how well the face can be read: below 0.5 hardly, near 0 where there is no face; null "
        "where the tasks tell no expected errors of points"
    )
    tasks: dict[str, Result] = Field(description="the results by the name of the task")


class ImageSize(_Exact):
    """Of the upright image, pixels."""

    width: int = Field(gt=0)
    height: int = Field(gt=0)


class Faces(_Exact):
    """The faces of one image."""

    source: str | None = Field(description="always null here: a request has no file name")
    model: str
    image: ImageSize
    faces: list[Face] = Field(description="best first")


class Problem(_Exact):
    """Why a request got no answer (RFC 9457)."""

    type: str = Field(description="urn:problem-type:faceperc:..., which programs can tell")
    title: str = Field(description="the status in words")
    status: int
    detail: str = Field(description="what is wrong and what to do")


class Wanted(_Exact):
    """The parameters of a request."""

    tasks: str | None = Field(
        default=None, max_length=1000, description="Only these tasks, separated by commas; all by default."
    )
    min_score: Unit | None = Field(
        default=None, description="Drop faces with a lower score than this, which the service itself has too."
    )


class WantedJson(Wanted):
    """The same, where the answer is JSON."""

    masks: bool = Field(default=True, description="Give the PNG of masks; else only their areas.")


#: The parameters by address.
QUERIES: dict[str, type[Wanted]] = {"/v1/faces": WantedJson, "/v1/faces/drawn": Wanted}


class Status(_Exact):
    """Whether the service works."""

    status: Literal["ok", "ready", "busy"]


class Limits(_Exact):
    """What the service accepts."""

    max_bytes: int
    max_pixels: int
    max_faces: int
    deadline_s: float


class Model(_Exact):
    """What answers here."""

    faceperc: str = Field(description="version of the package")
    name: str
    provider: str = Field(description="what runs the model: cpu, cuda, tensorrt, openvino")
    limits: Limits
    face_model: dict[str, Any] = Field(description="metadata of the model file, docs/contract.md")
    detector: dict[str, Any] | None = Field(description="that of the detector; null if it is no file")
