"""Expression: one of AffectNet's eight classes."""

from __future__ import annotations

from faceperc.classifier import ClassesHead
from faceperc.head import OutputInfo

EXPRESSIONS = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt")


class Expression(ClassesHead):
    """Eight exclusive classes in AffectNet's order. A label is the index of its class."""

    info = OutputInfo(
        "classes", "facial expression as people name it, not an inner state", labels=EXPRESSIONS
    )
