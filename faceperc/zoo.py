"""Names of models -> files; and the bundled picture."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from faceperc._names import unknown_name
from faceperc.errors import ModelError, UsageError

DEFAULT_MODEL = "faceperc-nano"
DEFAULT_DETECTOR = "detector-nano"

_PACKAGE = Path(__file__).parent


class UnknownModelError(ModelError, UsageError):
    """A name that is neither a model of the zoo nor a file."""


@dataclass(frozen=True)
class ZooModel:
    """A model that comes with the package.

    Attributes:
        name: its name.
        role: ``face`` or ``detector``.
        description: one line for people.
    """

    name: str
    role: str
    description: str

    @property
    def path(self) -> Path:
        """Where the file is, or would be."""
        return _PACKAGE / "models" / f"{self.name}.onnx"


ZOO = {
    model.name: model
    for model in (
        ZooModel(DEFAULT_MODEL, "face", "landmarks, pose, parsing, expression, attributes, age, gender"),
        ZooModel(
            "faceperc-nano-int8", "face", "the same in eight bits, for CPUs: about half the time and the size"
        ),
        ZooModel(
            DEFAULT_DETECTOR,
            "detector",
            "finds faces and heads; used where no boxes are given",
        ),
        ZooModel(
            "detector-nano-int8", "detector", "the same in eight bits, for CPUs: two thirds of its time"
        ),
        ZooModel("detector-small", "detector", "the same task with a larger network: surer of small faces"),
    )
}


def find_model(model: str | os.PathLike[str]) -> Path:
    """The file of a model.

    Args:
        model: a name of the zoo, or the path of an ONNX file.

    Raises:
        UnknownModelError: if it is neither; the message suggests the nearest name.
        ModelError: if the model is known, but its file is not there.
    """
    path = Path(model)
    if isinstance(model, str) and model in ZOO:
        path = ZOO[model].path
        if not path.is_file():
            raise ModelError(f"{model}: its file {path} is missing; reinstall faceperc or pass another model")
        return path
    if path.suffix.lower() == ".onnx" or path.is_file():
        return path
    raise UnknownModelError(f"{unknown_name('model', str(model), ZOO)}, or the path of an .onnx file")


def list_models() -> list[str]:
    """Names of the face models that ``Predictor`` knows."""
    return [name for name, model in ZOO.items() if model.role == "face"]


def list_tasks(model: str | os.PathLike[str] = DEFAULT_MODEL) -> list[str]:
    """Names of the tasks of a model.

    Args:
        model: a name of the zoo, or the path of an ONNX file.

    Raises:
        ModelError: if there is no such model, or it cannot be opened.
    """
    from faceperc.runtime import OnnxModel

    return list(OnnxModel(find_model(model), threads=1).metadata.tasks)


def sample_image() -> Path:
    """Path of the bundled photograph (512 x 512, one face; see faceperc/samples/README.md)."""
    return _PACKAGE / "samples" / "astronaut.jpg"
