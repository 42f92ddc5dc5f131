"""What can be filtered, counted and sorted: the results of a face by KIND, never by the task's name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from faceperc._names import readable
from faceperc.kinds import Classes, Points, Probabilities, Rotation, Scalar
from faceperc.results import Face

#: How a number tells how sure the models are: the lower or the higher, the less sure; None if it does not.
LOW, HIGH = "low", "high"
#: No number of a face is larger, but for one in a damaged file.
_LARGEST = 1e12


@dataclass(frozen=True)
class Number:
    """A number that faces have.

    Attributes:
        title: what it is, for people.
        unit: or "".
        unsure: LOW or HIGH, the end where the models are least sure; None where it says nothing of that.
        is_answer: whether it is a task's whole answer, to be told beside the picture.
    """

    title: str
    unit: str = ""
    unsure: str | None = None
    is_answer: bool = False


@dataclass(frozen=True)
class Facts:
    """What is known of one face.

    Attributes:
        numbers: in the unit of each.
        choices: probability of each class in [0, 1], by the task's name; one class is true.
        labels: probability of each label in [0, 1], by the task's name; any number of them is true.
    """

    numbers: dict[Number, float] = field(default_factory=dict)
    choices: dict[str, Mapping[str, float]] = field(default_factory=dict)
    labels: dict[str, Mapping[str, float]] = field(default_factory=dict)


SCORE = Number("detector score", unsure=LOW)
VISIBILITY = Number("visibility of the face")
QUALITY = Number("quality")  # how sure the points are counts by their expected errors already


def facts_of(face: Face) -> Facts:
    """Everything about a face that is no picture. A value that is unknown is left out."""
    facts = Facts()
    side = float(max(face.box[2] - face.box[0], face.box[3] - face.box[1]))
    for task, result in face.tasks.items():
        name = readable(task)
        match result:
            case Scalar():
                facts.numbers[Number(name, result.unit or "", is_answer=True)] = result.value
                if result.std is not None:
                    spread = Number(f"{name}: standard deviation", result.unit or "", HIGH)
                    facts.numbers[spread] = result.std
            case Rotation():
                for angle in ("yaw", "pitch", "roll"):
                    facts.numbers[Number(f"{name}: {angle}", "°")] = getattr(result, angle)
            case Classes():
                facts.choices[task] = dict(zip(result.labels, result.probabilities.tolist(), strict=True))
                facts.numbers[Number(f"{name}: probability of the class", unsure=LOW)] = result.score
            case Probabilities():
                facts.labels[task] = dict(zip(result.labels, result.values.tolist(), strict=True))
            case Points() if len(result):
                if result.sigma is not None:
                    error = Number(f"{name}: expected error", "% of the face", HIGH)
                    facts.numbers[error] = 100 * float(result.sigma.mean()) / side
                if result.visibility is not None:
                    visible = Number(f"{name}: visible points", "%")
                    facts.numbers[visible] = 100 * float((result.visibility >= 0.5).mean())
    facts.numbers.update({SCORE: face.score, VISIBILITY: face.visibility, QUALITY: face.quality})
    known = {each: value for each, value in facts.numbers.items() if abs(value) <= _LARGEST}  # not NaN
    return replace(facts, numbers=known)
