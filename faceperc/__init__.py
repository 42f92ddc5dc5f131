"""One look at a face, every answer: landmarks, head pose, parsing, expression, age, gender, attributes.

    import faceperc

    faces = faceperc.Predictor()("photo.jpg")
    faces[0].pose.yaw, faces[0].expression.label
    faces.save("out.jpg")

Importing this package imports nothing heavy and does nothing: the names below load on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from faceperc.errors import FacepercError
    from faceperc.predict import Predictor
    from faceperc.results import Face, Faces
    from faceperc.zoo import list_models, list_tasks, model_info, sample_image

__version__ = "0.1.0"

__all__ = [
    "Face",
    "FacepercError",
    "Faces",
    "Predictor",
    "__version__",
    "list_models",
    "list_tasks",
    "model_info",
    "sample_image",
]

_HOME = {
    "Face": "faceperc.results",
    "Faces": "faceperc.results",
    "FacepercError": "faceperc.errors",
    "Predictor": "faceperc.predict",
    "list_models": "faceperc.zoo",
    "list_tasks": "faceperc.zoo",
    "model_info": "faceperc.zoo",
    "sample_image": "faceperc.zoo",
}


def __getattr__(name: str) -> Any:
    """Load a public name on first use (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module 'faceperc' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
