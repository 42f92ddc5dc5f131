"""Which cell should find which head, and what a wrong answer costs. Targets: `faceperc.detector.targets`."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from faceperc.detector.model import BASE, Predictions
from faceperc.detector.targets import HEAD, LIMIT, POINTS, ROTATION, SEEN, TRUST, WEIGHT
from faceperc.rotations import geodesic, matrix_from_6d

RADIUS = 0.9  # cells within this many strides of a head's centre may be positive (centre sampling)
BAND = 0.7  # octaves by which a head's side may differ from a level's default and still be positive there
FEW = 8  # a level with fewer positive cells in a batch is weighted as if it had so many
MARGIN = 0.5  # octaves beyond the band, and strides beyond the radius, in which a cell is ignored
ROUGH = 0.8  # wanted head score where the label's box is a rough guess, so that no IoU can be had
WEIGHTS = {"face": 2.0, "head": 3.0, "box": 2.0, "points": 10.0, "rotation": 3.0}


def detection_loss(predictions: Predictions, targets: list[Tensor]) -> dict[str, Tensor]:
    """Quality focal loss of the scores, DIoU loss of the boxes, distances of points and rotations.

    Quality focal loss: Li et al., Generalized Focal Loss, NeurIPS 2020 (beta = 2). The scores learn the IoU
    of their own box; that of a face is 0 where only the back of the head can be seen. DIoU loss: Zheng et
    al., Distance-IoU Loss, AAAI 2020. Points: mean distance over the side of the box. Rotation: the angle
    between the rotations in radians. All are averaged over the positive cells of each pyramid level, and the
    levels count alike: crowds of small faces have most of the positives and would drown the few large faces.

    Args:
        predictions: of a batch of N images.
        targets: N tensors (M, WIDTH), see `faceperc.detector.targets`; M may be 0 and may differ.

    Returns:
        Scalars "face", "head", "box", "points", "rotation" and their weighted sum "loss".
    """
    scores = torch.stack([predictions.logits, predictions.heads]).detach().sigmoid()
    assigned = [assign(predictions.cells, target, scores[:, i].amax(0)) for i, target in enumerate(targets)]
    positive = torch.stack([head >= 0 for head, _, _ in assigned])
    share = _level_share(predictions.cells[:, 2], positive)
    face_weight = torch.stack([weight for _, weight, _ in assigned]) * share
    weight = torch.stack([weight for _, _, weight in assigned]) * share
    truth = torch.cat(
        [target[head[head >= 0]] for target, (head, _, _) in zip(targets, assigned, strict=True)]
    )
    iou, diou = iou_and_diou(predictions.boxes[positive], truth[:, :4])
    iou = iou.detach().clamp(0, 1)
    seen, trust = truth[:, SEEN], truth[:, TRUST]
    face_weight[positive] = torch.where(seen.isnan(), 0.0, weight[positive])
    here = weight[positive]
    losses = {
        "face": _quality_focal(predictions.logits, positive, iou * seen.nan_to_num(), face_weight),
        "head": _quality_focal(predictions.heads, positive, torch.where(trust == 1, iou, ROUGH), weight),
        "box": ((1 - diou) * trust * here).sum(),
        "points": _points_loss(predictions.points[positive], truth, here),
        "rotation": _rotation_loss(predictions.rotations[positive], truth, here),
    }
    total = torch.stack([WEIGHTS[name] * loss for name, loss in losses.items()]).sum()
    return {"loss": total} | {name: loss.detach() for name, loss in losses.items()}


def _quality_focal(logits: Tensor, positive: Tensor, quality: Tensor, weight: Tensor) -> Tensor:
    """Sum over the (N, A) cells; the wanted score is the (P,) quality at the positive ones and else 0."""
    wanted = torch.zeros_like(logits)
    wanted[positive] = quality
    focus = (logits.sigmoid() - wanted).square()
    return (F.binary_cross_entropy_with_logits(logits, wanted, reduction="none") * focus * weight).sum()


def _points_loss(points: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    """Mean distance of the known points over the side of the box; (P, 5, 2), (P, WIDTH) and (P,)."""
    wanted = truth[:, POINTS].unflatten(1, (5, 2))
    known = wanted.isfinite().all(-1)
    side = (truth[:, 2:4] - truth[:, :2]).amax(1).clamp(min=1)
    # the square root's gradient is infinite at 0
    distance = ((points - wanted.nan_to_num()).square().sum(-1) + 1e-6).sqrt() / side[:, None]
    return ((distance * known).sum(1) / known.sum(1).clamp(min=1) * weight).sum()


def _rotation_loss(rotations: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    """Angle between the known rotations and the predicted ones; (P, 6), (P, WIDTH) and (P,)."""
    known = truth[:, ROTATION].isfinite().all(1)
    wanted = truth[known][:, ROTATION].unflatten(1, (3, 3))
    return (geodesic(matrix_from_6d(rotations[known]), wanted) * weight[known]).sum()


def _level_share(stride: Tensor, positive: Tensor) -> Tensor:
    """(A,) factor of each cell's loss, from its (A,) stride and the (N, A) positives; no level below FEW."""
    levels = stride.unique()
    share = torch.zeros_like(stride)
    for level in levels:
        cells = stride == level
        share[cells] = 1.0 / (len(levels) * positive[:, cells].sum().clamp(min=FEW))
    return share


@torch.no_grad()
def assign(cells: Tensor, target: Tensor, scores: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Centre sampling within the pyramid level that fits the head's size (FCOS with soft level borders).

    A cell is positive for a head if it lies within RADIUS strides of its centre and its box's side is within
    BAND octaves of the level's default side; the finest and the coarsest level take what is beyond. Of
    several heads the nearest wins. The cell nearest to a head at its best level is always positive.

    Args:
        cells: (A, 3) x, y, stride.
        target: (M, WIDTH).
        scores: (A,) current scores in [0, 1].

    Returns:
        head: (A,) row of the cell's head in ``target``, or -1.
        face_weight, head_weight: (A,) loss weights of the cell's two scores.
    """
    is_head = target[:, WEIGHT] == HEAD
    regions = target[~is_head]
    of_faces = _negative_weight(cells, regions[regions[:, TRUST] == 1], scores)
    weights = torch.stack([of_faces, _negative_weight(cells, regions, scores)])
    head = torch.full((len(cells),), -1, dtype=torch.long, device=cells.device)
    if not is_head.any():
        return head, weights[0], weights[1]
    rows = is_head.nonzero()[:, 0]
    boxes = target[rows, :4]
    stride = cells[:, 2]
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    distance = (cells[:, None, :2] - centre).abs().amax(-1) / stride[:, None]  # (A, M) in strides
    side = (boxes[:, 2:] - boxes[:, :2]).prod(-1).clamp(min=1).sqrt()
    octave = torch.log2(side[None, :] / (BASE * stride[:, None]))
    octave = torch.where((stride == stride.min())[:, None], octave.clamp(min=0), octave)
    octave = torch.where((stride == stride.max())[:, None], octave.clamp(max=0), octave).abs()
    near = (distance < RADIUS + MARGIN) & (octave < BAND + MARGIN)
    weights[:, near.any(1)] = 0.0
    cost = torch.where((distance < RADIUS) & (octave < BAND), distance + octave, torch.inf)
    best = (distance + 4 * octave).argmin(0)  # (M,): every head keeps one cell
    cost[best, torch.arange(len(rows), device=cells.device)] = -1.0
    value, nearest = cost.min(1)
    positive = value < torch.inf
    head[positive] = rows[nearest[positive]]
    weights[:, positive] = 1.0
    return head, weights[0], weights[1]


def _negative_weight(cells: Tensor, regions: Tensor, scores: Tensor) -> Tensor:
    """(A,) weight of "nobody is here" for each cell: the smallest of the (R, WIDTH) regions that cover it."""
    if len(regions) == 0:
        return torch.ones_like(scores)
    x, y = cells[:, None, 0], cells[:, None, 1]
    inside = (x >= regions[:, 0]) & (x <= regions[:, 2]) & (y >= regions[:, 1]) & (y <= regions[:, 3])
    value = torch.where(scores[:, None] > regions[:, LIMIT], 0.0, regions[:, WEIGHT])
    return torch.where(inside, value, 1.0).amin(1)


def iou_and_diou(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """IoU and IoU minus the centres' squared distance over the common hull's squared diagonal.

    Args:
        a: (P, 4) boxes.
        b: (P, 4) boxes, row by row.

    Returns:
        (P,) and (P,).
    """
    size_a, size_b = a[:, 2:] - a[:, :2], b[:, 2:] - b[:, :2]
    overlap = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(min=0).prod(-1)
    iou = overlap / (size_a.prod(-1) + size_b.prod(-1) - overlap).clamp(min=1e-6)
    hull = torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])
    shift = (a[:, :2] + a[:, 2:] - b[:, :2] - b[:, 2:]) / 2
    return iou, iou - shift.square().sum(-1) / hull.square().sum(-1).clamp(min=1e-6)
