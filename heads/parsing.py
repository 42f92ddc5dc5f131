"""Face parsing: a class for every pixel, from labels that may be coarser than the classes.

A pixel's label is the SET of classes that it may be, kept as the bits of an integer: FASSEG's "mouth" is
{upper lip, inner mouth, lower lip}, "not hair" is everything but hair. The loss is the likelihood of the set,
so that coarse labels teach what they know and nothing else. Masks are dot products of class queries with
pixel features, as in MaskFormer (Cheng et al., NeurIPS 2021) and SAM.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from faceperc.data.view import View
from faceperc.head import Features, Head, HeadContext, OutputInfo, Target
from faceperc.layers import Mlp

#: LaPa's and FaceXFormer's order. Left and right are the subject's.
CLASSES = (
    "background", "skin", "left_brow", "right_brow", "left_eye", "right_eye",
    "nose", "upper_lip", "inner_mouth", "lower_lip", "hair",
)  # fmt: skip
_MIRRORED = {2: 3, 3: 2, 4: 5, 5: 4}
_LARGE = ("background", "skin", "hair")


def class_set(*names: str) -> int:
    """The bits of a set of classes. Raises ValueError for an unknown name."""
    return sum(1 << CLASSES.index(name) for name in set(names))


def set_name(bits: int) -> str:
    """A readable name of a set: its classes, or what it lacks where that is shorter."""
    inside = [name for index, name in enumerate(CLASSES) if bits >> index & 1]
    outside = [name for name in CLASSES if name not in inside]
    return "not " + "+".join(outside) if len(inside) > len(outside) else "+".join(inside)


def _mirror_table() -> np.ndarray:
    """(2^11,) the set that each set becomes in a mirror."""
    sets = np.arange(1 << len(CLASSES))
    mirrored = np.zeros_like(sets)
    for index in range(len(CLASSES)):
        mirrored |= (sets >> index & 1) << _MIRRORED.get(index, index)
    return mirrored


_MIRROR_SETS = _mirror_table()


@dataclass(frozen=True)
class SetMask:
    """A label: which classes each pixel may be.

    Attributes:
        sets: (H, W) integers, bit c set where the pixel may be class c; 0 where nothing is known.
        groups: the sets that the source tells apart; the metric is computed per group. Empty: no metric.
    """

    sets: np.ndarray
    groups: tuple[int, ...] = ()


class Parsing(Head):
    """A label is a SetMask.

    Args:
        weight: factor of the loss.
        detail_weight: weight of a pixel whose set holds only small parts (brows, eyes, nose, mouth).
    """

    info = OutputInfo("mask", "face parts; skin includes ears and neck", labels=CLASSES)
    num_queries = len(CLASSES)

    def __init__(self, weight: float = 1.0, detail_weight: float = 4.0) -> None:
        super().__init__(weight)
        self.detail_weight = detail_weight
        self.large = class_set(*_LARGE)

    def build(self, context: HeadContext) -> None:
        """See Head.build."""
        self.size = context.crop_size // 2
        self.mlp = Mlp(context.dim, context.pixel_dim)
        self.bias = torch.nn.Parameter(torch.zeros(len(CLASSES), 1, 1))

    def forward(self, features: Features) -> dict[str, Tensor]:
        """{"logits": (N, 11, S/2, S/2)}."""
        kernels, pixels = self.mlp(features.queries), features.pixels
        logits = (kernels @ pixels.flatten(2)).unflatten(2, pixels.shape[-2:]) * pixels.shape[1] ** -0.5
        logits = F.interpolate(logits.float(), scale_factor=2.0, mode="bilinear", align_corners=False)
        return {"logits": logits + self.bias}

    def decode(self, raw: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """{"scores": (N, 11, S/2, S/2)} class probabilities of each pixel."""
        return {"scores": raw["logits"].softmax(dim=1)}

    def empty_target(self) -> Target:
        """{"sets": (S/2, S/2) bits, 0 = unknown; "groups": (11,) the label's groups, padded by 0}.

        After ``measure_finely`` the sets are (2 S, 2 S).
        """
        return {
            "sets": np.zeros((self.size, self.size), np.int32),
            "groups": np.zeros(len(CLASSES), np.int32),
        }

    def encode(self, label: SetMask, view: View) -> Target:
        """Sets in the view, unknown outside the image; a mirror exchanges left and right classes."""
        sets = view.labels(label.sets, self.size, fill=0)
        target = self.empty_target()
        target["sets"] = _MIRROR_SETS[sets].astype(np.int32) if view.flip else sets
        groups = np.array(label.groups, dtype=np.int64)
        target["groups"][: len(groups)] = _MIRROR_SETS[groups] if view.flip else groups
        return target

    def measure_finely(self) -> None:
        """Targets of four times the output's resolution, about that of the photographs."""
        self.size *= 4

    def loss(self, raw: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> Tensor:
        """(N,) -log of the probability of each pixel's set, averaged over the pixels with a label."""
        sets = target["sets"]
        bits = torch.arange(len(CLASSES), device=sets.device).view(1, -1, 1, 1)
        allowed = (sets[:, None] >> bits & 1).bool()
        logits = raw["logits"]
        inside = logits.masked_fill(~allowed, -1e4).logsumexp(dim=1)
        surprise = (logits.logsumexp(dim=1) - inside).clamp(max=20.0)
        small = (sets & self.large) == 0
        weight = (sets > 0) * torch.where(small, self.detail_weight, 1.0)
        return (surprise * weight).sum((1, 2)) / weight.sum((1, 2)).clamp_min(1.0)

    def statistics(self, output: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> Tensor:
        """(N, 4 * 11) group bits, then true positives, false positives and false negatives of each group.

        A predicted class counts for the group that holds it. The scores are brought to the target's size.
        """
        scores, sets, groups = output["scores"], target["sets"], target["groups"].long()
        if scores.shape[-2:] != sets.shape[-2:]:
            scores = F.interpolate(scores, size=sets.shape[-2:], mode="bilinear", align_corners=False)
        predicted = 1 << scores.argmax(dim=1)
        known = sets > 0
        columns = [groups]
        counts: list[list[Tensor]] = [[], [], []]
        for group in groups.T:
            bits = group[:, None, None]
            guess, truth = (predicted & bits) > 0, sets == bits
            for rows, hit in zip(counts, (guess & truth, guess & ~truth, ~guess & truth), strict=True):
                rows.append((hit & known).sum((1, 2)))
        return torch.cat(columns + [torch.stack(rows, dim=1) for rows in counts], dim=1).double()

    def summarise(self, statistics: np.ndarray) -> dict[str, float]:
        """Mean F1 over the groups without background, and each group's F1, %."""
        size = len(CLASSES)
        groups, hits, extra, missed = (statistics[:, i * size : (i + 1) * size] for i in range(4))
        scores = {}
        for bits in np.unique(groups[groups > 0]).astype(int):
            if bits & 1:  # holds background
                continue
            here = groups == bits
            total = 2 * hits[here].sum() + extra[here].sum() + missed[here].sum()
            scores[f"F1 {set_name(bits)} %"] = 100 * 2 * hits[here].sum() / total if total else float("nan")
        known = [value for value in scores.values() if np.isfinite(value)]
        return {"mean F1 %": float(np.mean(known)) if known else float("nan"), **scores}
