"""How far a student's output is from its teacher's, by the KIND of the output.

Hinton et al., "Distilling the Knowledge in a Neural Network", 2015. `teacher.py` has the teacher.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from faceperc.rotations import geodesic


def output_distance(
    kind: str, student: Mapping[str, Tensor], teacher: Mapping[str, Tensor], temperature: float
) -> Tensor:
    """The distance of two outputs, of about the size of the heads' own losses.

    Args:
        kind: the kind of both (docs/contract.md).
        student: decoded fields, each (N, ...).
        teacher: the same of the teacher.
        temperature: softens probabilities before they are compared.

    Returns:
        (N,), 0 where they agree. Points: mean distance in tenths of the size of the teacher's points, the
        root of their bounding box's area. Rotation: radians. Classes, masks, probabilities, and scalars with
        a distribution: Kullback-Leibler divergence, the mean over pixels or questions. Other scalars: the
        difference in their unit.
    """
    match kind:
        case "points":
            points = teacher["points"]
            size = (points.amax(1) - points.amin(1)).prod(1).sqrt().clamp_min(1.0)
            distance = (student["points"] - points).square().sum(-1).add(1e-6).sqrt()
            return 10 * distance.mean(1) / size
        case "rotation":
            return geodesic(student["matrix"], teacher["matrix"])
        case "classes":
            return _divergence(student["probabilities"], teacher["probabilities"], temperature)
        case "probabilities":  # each question is a pair of classes
            yes, wanted = student["probabilities"], teacher["probabilities"]
            pairs = torch.stack([yes, 1 - yes], dim=1), torch.stack([wanted, 1 - wanted], dim=1)
            return _divergence(*pairs, temperature).mean(1)
        case "mask":
            return _divergence(student["scores"], teacher["scores"], temperature).mean((1, 2))
        case "scalar" if "distribution" in student:
            return _divergence(student["distribution"], teacher["distribution"], temperature)
        case "scalar":
            return (student["value"] - teacher["value"]).abs()
    raise ValueError(f"no distance for outputs of the kind {kind!r}")


def _divergence(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """(N, C, ...) probabilities -> (N, ...) divergence, times the temperature's square so that the gradient
    keeps its size (Hinton et al.)."""
    tiny = torch.finfo(student.dtype).tiny
    # the logarithms of probabilities are logits again
    mine, wanted = ((each.clamp_min(tiny).log() / temperature).log_softmax(1) for each in (student, teacher))
    return temperature**2 * F.kl_div(mine, wanted, reduction="none", log_target=True).sum(1)
