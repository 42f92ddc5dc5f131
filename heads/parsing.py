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

from faceperc.data.region import Region
from faceperc.data.view import View
from faceperc.head import Features, Head, HeadContext, OutputInfo, Target
from faceperc.layers import Mlp, channel_softmax

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

    def in_region(self, region: Region) -> SetMask:
        """The same label for a resampled part of the photograph."""
        return SetMask(region.labels(self.sets), self.groups)


def near_boundary(sets: Tensor) -> Tensor:
    """(N, H, W) sets -> (N, H, W) whether a boundary lies within two pixels.

    A boundary is where neighbours exclude each other; between an eye and "eye or skin" none is known.
    """
    edge = torch.zeros_like(sets, dtype=torch.bool)
    for dim in (1, 2):
        last = sets.shape[dim] - 1
        here, there = sets.narrow(dim, 0, last), sets.narrow(dim, 1, last)
        change = ((here & there) == 0) & (here > 0) & (there > 0)
        edge.narrow(dim, 0, last).logical_or_(change)
        edge.narrow(dim, 1, last).logical_or_(change)
    return F.max_pool2d(edge[:, None].float(), kernel_size=3, stride=1, padding=1)[:, 0] > 0


def set_dice(probabilities: Tensor, sets: Tensor, groups: Tensor) -> Tensor:
    """Soft Dice loss (Milletari et al., "V-Net", 3DV 2016) of sets of classes.

    A set's probability is the sum of its classes'. A pixel counts for a set where its label lies within the
    set or outside of it; where the two overlap nobody knows, and nothing is asked.

    Args:
        probabilities: (N, C, H, W) of the classes.
        sets: (N, H, W) labels; 0 where nothing is known.
        groups: (N, G) the sets that each label tells apart, padded by 0; the single classes where all are 0.

    Returns:
        (N,) in [0, 1], the mean over the sets that some pixel of the sample is known to be in; 0 without any.
    """
    classes = 1 << torch.arange(len(CLASSES), device=sets.device)
    groups = torch.where((groups > 0).any(dim=1, keepdim=True), groups, classes)[:, :, None]
    with torch.autocast(sets.device.type, enabled=False):
        chance = ((groups & classes) > 0).float() @ probabilities.float().flatten(2)
    pixels = sets.flatten(1)[:, None]
    inside = (pixels > 0) & ((pixels & ~groups) == 0)
    outside = (pixels > 0) & ((pixels & groups) == 0)
    chance = chance * (inside | outside)
    size = chance.square().sum(2) + inside.sum(2)
    dice = 1 - 2 * (chance * inside).sum(2) / size.clamp_min(1.0)
    shown = inside.any(dim=2)
    return (dice * shown).sum(1) / shown.sum(1).clamp_min(1)


class Parsing(Head):
    """A label is a SetMask.

    Args:
        weight: factor of the loss.
        detail_weight: weight of a pixel whose set holds only small parts (brows, eyes, nose, mouth).
        boundary_weight: further factor of a pixel's weight near a boundary: small errors there are what one
            sees (after the boundary-attention loss of LaPa; Liu et al., AAAI 2020).
        dice_weight: factor of the Dice loss beside the likelihood; see ``set_dice``.
        coarse: learn from pixels that may be of several classes, too; otherwise they count as unlabelled.
    """

    info = OutputInfo("mask", "face parts; skin includes ears and neck", labels=CLASSES)
    num_queries = len(CLASSES)
    is_dense = True
    error_name = "100 - mean F1 %"

    def __init__(
        self,
        weight: float = 1.0,
        detail_weight: float = 4.0,
        boundary_weight: float = 1.0,
        dice_weight: float = 0.0,
        coarse: bool = True,
    ) -> None:
        super().__init__(weight)
        self.detail_weight = detail_weight
        self.boundary_weight = boundary_weight
        self.dice_weight = dice_weight
        self.coarse = coarse
        self.large = class_set(*_LARGE)

    def build(self, context: HeadContext) -> None:
        """See Head.build."""
        self.size = context.crop_size // 2
        self.mlp = Mlp(context.dim, context.pixel_dim)
        self.bias = torch.nn.Parameter(torch.zeros(len(CLASSES), 1, 1))

    def forward(self, features: Features) -> dict[str, Tensor]:
        """{"logits": (N, 11, S/2, S/2)}."""
        kernels, pixels = self.mlp(features.queries), features.pixels
        assert pixels is not None  # the head is dense
        logits = (kernels @ pixels.flatten(2)).unflatten(2, pixels.shape[-2:]) * pixels.shape[1] ** -0.5
        logits = F.interpolate(logits.float(), scale_factor=2.0, mode="bilinear", align_corners=False)
        return {"logits": logits + self.bias}

    def decode(self, raw: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """{"scores": (N, 11, S/2, S/2)} class probabilities of each pixel."""
        return {"scores": channel_softmax(raw["logits"])}

    def empty_target(self) -> Target:
        """{"sets": (S/2, S/2) bits, 0 = unknown; "groups": (11,) the label's groups, padded by 0}.

        After ``measure_finely`` the sets are (2 S, 2 S).
        """
        return {
            "sets": np.zeros((self.size, self.size), np.int32),
            "groups": np.zeros(len(CLASSES), np.int32),
        }

    def encode(self, label: SetMask, view: View) -> Target:
        """Sets in the view, unknown outside the image; a mirror exchanges left and right classes. A thing in
        front of the face is background."""
        sets = view.labels(label.sets, self.size, fill=0, thing=class_set("background"))
        target = self.empty_target()
        target["sets"] = _MIRROR_SETS[sets].astype(np.int32) if view.flip else sets
        groups = np.array(label.groups, dtype=np.int64)
        target["groups"][: len(groups)] = _MIRROR_SETS[groups] if view.flip else groups
        return target

    def measure_finely(self) -> None:
        """Targets of four times the output's resolution, about that of the photographs."""
        self.size *= 4

    def loss(self, raw: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> Tensor:
        """(N,) -log of the probability of each pixel's set, averaged over the labelled pixels; and Dice."""
        sets = target["sets"]
        if not self.coarse:
            sets = sets * ((sets & (sets - 1)) == 0)  # a single bit
        bits = 1 << torch.arange(len(CLASSES), dtype=sets.dtype, device=sets.device).view(1, -1, 1, 1)
        allowed = (sets[:, None] & bits) > 0
        logits = raw["logits"]
        inside = logits.masked_fill(~allowed, -1e4).logsumexp(dim=1)
        surprise = (logits.logsumexp(dim=1) - inside).clamp(max=20.0)
        small = (sets & self.large) == 0
        weight = (sets > 0) * torch.where(small, self.detail_weight, 1.0)
        if self.boundary_weight != 1.0:
            weight = weight * torch.where(near_boundary(sets), self.boundary_weight, 1.0)
        loss = (surprise * weight).sum((1, 2)) / weight.sum((1, 2)).clamp_min(1.0)
        if self.dice_weight:
            loss = loss + self.dice_weight * set_dice(logits.softmax(dim=1), sets, target["groups"])
        return loss

    def statistics(self, output: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> Tensor:
        """(N, 4 * 11) group bits, then true positives, false positives and false negatives of each group.

        A predicted class counts for the group that holds it. A pixel counts for a group where its label lies
        within the group or outside of it; where the two overlap nobody knows. The scores are brought to the
        target's size.
        """
        sets, groups = target["sets"], target["groups"].long()
        predicted = 1 << self._resized(output["scores"], sets).argmax(dim=1)
        known = sets > 0
        columns = [groups]
        counts: list[list[Tensor]] = [[], [], []]
        for group in groups.T:
            bits = group[:, None, None]
            guess, truth = (predicted & bits) > 0, (sets & ~bits) == 0
            told = known & (truth | ((sets & bits) == 0))
            for rows, hit in zip(counts, (guess & truth, guess & ~truth, ~guess & truth), strict=True):
                rows.append((hit & told).sum((1, 2)))
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

    def sample_errors(self, statistics: np.ndarray) -> np.ndarray:
        """100 - the mean F1 over the sample's own groups without background, %."""
        groups, hits, extra, missed = np.split(statistics, 4, axis=1)
        total = 2 * hits + extra + missed
        counted = (groups > 0) & (groups.astype(int) & 1 == 0) & (total > 0)
        f1 = np.where(counted, 200 * hits / total.clip(min=1), 0.0).sum(axis=1)
        return np.where(counted.any(axis=1), 100 - f1 / counted.sum(axis=1).clip(min=1), np.nan)

    def nearest_truth(self, output: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Of each pixel's set the class with the highest score; any class where nothing is known."""
        sets = target["sets"]
        scores = self._resized(output["scores"], sets)
        bits = torch.arange(len(CLASSES)).view(1, -1, 1, 1)
        allowed = (sets[:, None] >> bits & 1).bool() | (sets == 0)[:, None]
        best = scores.masked_fill(~allowed, -1.0).argmax(dim=1)
        return {"scores": F.one_hot(best, len(CLASSES)).movedim(-1, 1).float()}

    @staticmethod
    def _resized(scores: Tensor, sets: Tensor) -> Tensor:
        """(N, 11, h, w) scores at the resolution of the sets (N, H, W)."""
        if scores.shape[-2:] == sets.shape[-2:]:
            return scores
        return F.interpolate(scores, size=sets.shape[-2:], mode="bilinear", align_corners=False)
