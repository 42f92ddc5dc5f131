"""Gender as people perceive it in a photograph: two classes, as the public data sets label it."""

from __future__ import annotations

from faceperc.classifier import ClassesHead
from faceperc.head import OutputInfo

GENDERS = ("female", "male")


class Gender(ClassesHead):
    """A label is 0 (female) or 1 (male)."""

    info = OutputInfo("classes", "perceived gender, as annotators labelled it", labels=GENDERS)
