"""Tasks of one's own without a class of one's own: named classes, yes/no questions, or a number.

In YAML and in `config.json`:

    glasses: { head: faceperc.heads.custom.Classes, options: { labels: [none, reading, sun] } }
    wears: { head: faceperc.heads.custom.Probabilities, options: { labels: [hat, "mask"] } }
    fatigue: { head: faceperc.heads.custom.Scalar, options: { low: 0, high: 10, unit: points } }

Labels and range travel in the configuration and in the ONNX metadata: whoever gets the model needs no code.
The other options are those of the class that each derives from.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from faceperc.classifier import ClassesHead, ProbabilitiesHead
from faceperc.errors import ConfigError
from faceperc.head import OutputInfo
from faceperc.scalar import ScalarHead


class Classes(ClassesHead):
    """Exclusive classes. A label is the index of its class.

    Args:
        labels: names of the classes, two at least.
        description: one line for people.
        weight, label_smoothing, class_weights: see ClassesHead.

    Raises:
        ConfigError: if the names are no texts, too few, not all different, or one is `label`, the name of the
            answer's own column in tables.
    """

    def __init__(
        self,
        labels: Sequence[str],
        description: str = "",
        weight: float = 1.0,
        label_smoothing: float = 0.0,
        class_weights: Mapping[str, float] | None = None,
    ) -> None:
        # before the base class, which counts the labels
        self.info = OutputInfo("classes", description, labels=_names(labels, "Classes", at_least=2))
        if "label" in labels:
            raise ConfigError(
                "Classes.labels: 'label' is the answer's own column in tables; name it otherwise"
            )
        super().__init__(weight, label_smoothing, class_weights)


class Probabilities(ProbabilitiesHead):
    """Independent yes/no questions. A label is (C,) of 0, 1, or NaN where the answer is unknown.

    Args:
        labels: names of the questions.
        description: one line for people.
        weight, gamma_positive, gamma_negative, margin: see ProbabilitiesHead.

    Raises:
        ConfigError: if the names are no texts, none, or not all different.
    """

    def __init__(
        self,
        labels: Sequence[str],
        description: str = "",
        weight: float = 1.0,
        gamma_positive: float = 0.0,
        gamma_negative: float = 0.0,
        margin: float = 0.0,
    ) -> None:
        self.info = OutputInfo(
            "probabilities", description, labels=_names(labels, "Probabilities", at_least=1)
        )
        super().__init__(weight, gamma_positive, gamma_negative, margin)


class Scalar(ScalarHead):
    """A number in a range. A label is the number.

    Args:
        low, high: the range.
        unit: of the number.
        description: one line for people.
        bins: how many values of the range the answer's distribution is over.
        weight, label_sigma, expectation_weight: see ScalarHead.

    Raises:
        ConfigError: if the range is empty or there are fewer than two bins.
    """

    def __init__(
        self,
        low: float,
        high: float,
        unit: str | None = None,
        description: str = "",
        bins: int = 101,
        weight: float = 1.0,
        label_sigma: float = 2.0,
        expectation_weight: float = 0.1,
    ) -> None:
        if not (np.isfinite([low, high]).all() and low < high and bins >= 2):
            raise ConfigError(
                f"Scalar: low must be below high, with two bins or more; got {low}, {high}, {bins}"
            )
        values = tuple(np.linspace(low, high, bins).tolist())
        self.info = OutputInfo("scalar", description, unit=unit, bins=values)
        super().__init__(weight, label_sigma, expectation_weight)


def _names(labels: Sequence[str], where: str, at_least: int) -> tuple[str, ...]:
    """The labels, if they can be names. YAML reads `yes` and `no` without quotes as true and false."""
    if isinstance(labels, str) or not all(isinstance(label, str) and label.strip() for label in labels):
        raise ConfigError(
            f"{where}.labels: a list of names (put yes, no and numbers in quotes); got {labels!r}"
        )
    if doubled := [label for label, count in Counter(labels).items() if count > 1]:
        raise ConfigError(f"{where}.labels: {doubled[0]!r} stands there twice")
    if len(labels) < at_least:
        raise ConfigError(f"{where}.labels: {at_least} names at least; got {list(labels)}")
    return tuple(labels)
