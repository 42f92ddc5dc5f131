"""Which cell should find which face, and what a wrong answer costs.

Targets are rows of (M, 6): x0, y0, x1, y1, weight, limit. A FACE has weight -1. Any other row is a region
that changes how "there is no face here" counts inside it: the negative loss is multiplied by ``weight``, and
cells that score above ``limit`` are left alone. So (0, 1) ignores a region, (0.3, 1) trusts it a little, and
(1, 0.3) is a region that may hide an unlabelled face: once the network believes in one, it is not punished.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from faceperc.detector.model import BASE, Predictions

FACE = -1.0
IGNORE = (0.0, 1.0)
DOUBT = (1.0, 0.3)
RADIUS = 0.9  # cells within this many strides of a face's centre may be positive (centre sampling)
BAND = 0.7  # octaves by which a face's side may differ from a level's default and still be positive there
FEW = 8  # a level with fewer positive cells in a batch is weighted as if it had so many
MARGIN = 0.5  # octaves beyond the band, and strides beyond the radius, in which a cell is ignored


def detection_loss(predictions: Predictions, targets: list[Tensor]) -> dict[str, Tensor]:
    """Quality focal loss of the scores and DIoU loss of the boxes.

    Quality focal loss: Li et al., Generalized Focal Loss, NeurIPS 2020 (beta = 2). The score learns the IoU
    of its own box. DIoU loss: Zheng et al., Distance-IoU Loss, AAAI 2020. Both are divided by the number of
    positive cells of each pyramid level, and the levels count alike: crowds of small faces have most of the
    positives and would drown the few large faces.

    Args:
        predictions: of a batch of N images.
        targets: N tensors (M, 6), see the module's docstring; M may be 0 and may differ.

    Returns:
        Scalars "score", "box" and their weighted sum "loss".
    """
    scores = predictions.logits.detach().sigmoid()
    assigned = [assign(predictions.cells, *each) for each in zip(targets, scores, strict=True)]
    positive = torch.stack([face >= 0 for face, _ in assigned])
    share = _level_share(predictions.cells[:, 2], positive)
    weight = torch.stack([weight for _, weight in assigned]) * share
    truth = torch.cat(
        [target[face[face >= 0], :4] for target, (face, _) in zip(targets, assigned, strict=True)]
    )
    iou, diou = iou_and_diou(predictions.boxes[positive], truth)
    wanted = torch.zeros_like(scores)
    wanted[positive] = iou.detach().clamp(0, 1)
    focus = (predictions.logits.sigmoid() - wanted).square()
    cross = F.binary_cross_entropy_with_logits(predictions.logits, wanted, reduction="none")
    score = (cross * focus * weight).sum()
    box = ((1 - diou) * weight[positive]).sum()
    return {"loss": 2.0 * score + 2.0 * box, "score": score.detach(), "box": box.detach()}


def _level_share(stride: Tensor, positive: Tensor) -> Tensor:
    """(A,) factor of each cell's loss, from its (A,) stride and the (N, A) positives; no level below FEW."""
    levels = stride.unique()
    share = torch.zeros_like(stride)
    for level in levels:
        cells = stride == level
        share[cells] = 1.0 / (len(levels) * positive[:, cells].sum().clamp(min=FEW))
    return share


@torch.no_grad()
def assign(cells: Tensor, target: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
    """Centre sampling within the pyramid level that fits the face's size (FCOS with soft level borders).

    A cell is positive for a face if it lies within RADIUS strides of the face's centre and the face's side is
    within BAND octaves of the level's default side; the finest and the coarsest level take what is beyond.
    Of several faces the nearest wins. The cell nearest to a face at its best level is always positive.

    Args:
        cells: (A, 3) x, y, stride.
        target: (M, 6).
        scores: (A,) current scores in [0, 1].

    Returns:
        face: (A,) row of the cell's face in ``target``, or -1. weight: (A,) loss weight of the cell's score.
    """
    is_face = target[:, 4] == FACE
    weight = _negative_weight(cells, target[~is_face], scores)
    face = torch.full((len(cells),), -1, dtype=torch.long, device=cells.device)
    if not is_face.any():
        return face, weight
    rows = is_face.nonzero()[:, 0]
    boxes = target[rows, :4]
    stride = cells[:, 2]
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    distance = (cells[:, None, :2] - centre).abs().amax(-1) / stride[:, None]  # (A, M) in strides
    side = (boxes[:, 2:] - boxes[:, :2]).prod(-1).clamp(min=1).sqrt()
    octave = torch.log2(side[None, :] / (BASE * stride[:, None]))
    octave = torch.where((stride == stride.min())[:, None], octave.clamp(min=0), octave)
    octave = torch.where((stride == stride.max())[:, None], octave.clamp(max=0), octave).abs()
    near = (distance < RADIUS + MARGIN) & (octave < BAND + MARGIN)
    weight = torch.where(near.any(1), torch.zeros_like(weight), weight)
    cost = torch.where((distance < RADIUS) & (octave < BAND), distance + octave, torch.inf)
    best = (distance + 4 * octave).argmin(0)  # (M,): every face keeps one cell
    cost[best, torch.arange(len(rows), device=cells.device)] = -1.0
    value, nearest = cost.min(1)
    positive = value < torch.inf
    face[positive] = rows[nearest[positive]]
    weight[positive] = 1.0
    return face, weight


def _negative_weight(cells: Tensor, regions: Tensor, scores: Tensor) -> Tensor:
    """(A,) weight of "no face here" for each cell: the smallest of the (R, 6) regions that cover it."""
    if len(regions) == 0:
        return torch.ones_like(scores)
    x, y = cells[:, None, 0], cells[:, None, 1]
    inside = (x >= regions[:, 0]) & (x <= regions[:, 2]) & (y >= regions[:, 1]) & (y <= regions[:, 3])
    value = torch.where(scores[:, None] > regions[:, 5], 0.0, regions[:, 4])
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
