"""FaceDetector: a small one-stage, anchor-free detector of faces and heads, with points and rotations.

A convolutional trunk with strides 4 to 32, a feature pyramid (Lin et al., FPN, CVPR 2017) with strides 8, 16,
32 and 64, and one head shared by all levels that answers for each cell, as in FCOS (Tian et al., ICCV 2019)
and YOLOX (Ge et al., 2021): a box, how sure it is of a face and of a head, five points, and the rotation of
the head (as MOS, Liu et al., BMVC 2021, and DirectMHP, Zhou et al., 2023, do in one pass). The scores are the
expected IoU of the box (Li et al., GFL, NeurIPS 2020), so no "centerness" is needed. The sizes follow YuNet
(Wu et al., MIR 2023) and SCRFD (Guo et al., ICLR 2022): cheap on one CPU core. The implementation is this
project's own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

STRIDES = (8, 16, 32, 64)
BASE = 4.0  # a cell's default box has this many strides as its side: 32, 64, 128, 256 px
MEAN, STD = 120.0, 64.0  # one grey level for all channels: faces are found by shape, not by white balance
PRIOR = 0.01  # initial score of every cell (focal loss' prior, Lin et al., ICCV 2017)
BOX_CHANNELS = slice(2, 6)
OUTPUTS = {"face": 1, "head": 1, "box": 4, "points": 10, "rotation": 6}  # channels of the last layer


class Predictions(NamedTuple):
    """What the network says about every cell; A cells, level by level, each row by row.

    Attributes:
        boxes: (N, A, 4) x0, y0, x1, y1 in input pixels; (0, 0) is the centre of the top left pixel.
        logits: (N, A); their sigmoid is the score of a face in [0, 1].
        heads: (N, A); their sigmoid is the score of a head, seen from whichever side.
        points: (N, A, 5, 2) input pixels, in the order of `faceperc.detector.targets`.
        rotations: (N, A, 6) the first two columns of the head's rotation before they are made orthonormal
            (`faceperc.rotations.matrix_from_6d`).
        cells: (A, 3) x, y of the cell's centre in input pixels and its stride.
    """

    boxes: Tensor
    logits: Tensor
    heads: Tensor
    points: Tensor
    rotations: Tensor
    cells: Tensor


class FaceDetector(nn.Module):
    """Image to boxes, scores, points and rotations; the only forward, for training, validation and export.

    Args:
        widths: channels of the trunk at strides 4, 8, 16 and 32.
        depths: residual blocks at strides 4, 8, 16 and 32.
        neck: channels of the pyramid and of the head.
        patches: begin with patches of 4 x 4 pixels and go on in steps of 2 x 2 (as ViT and ConvNeXt do),
            which is several times as fast as overlapping 3 x 3 convolutions at full resolution.
    """

    def __init__(
        self,
        widths: tuple[int, int, int, int] = (32, 48, 64, 96),
        depths: tuple[int, int, int, int] = (0, 2, 2, 3),
        neck: int = 32,
        patches: bool = True,
    ) -> None:
        super().__init__()
        self.patches = patches
        kernels = (3, 3, 5, 5)  # large depthwise kernels are cheap on small maps and widen the view
        down = 2 if patches else 3
        if patches:
            first = _conv(3, widths[0], 4, stride=4)
            self.stem = nn.Sequential(first, *(Block(widths[0], 3) for _ in range(depths[0])))
        else:
            half = widths[0] // 2
            self.stem = nn.Sequential(
                _conv(3, half, 3, stride=2), _stage(half, widths[0], depths[0], kernels[0], down)
            )
        self.stages = nn.ModuleList(
            _stage(widths[i], widths[i + 1], depths[i + 1], kernels[i + 1], down) for i in range(3)
        )
        self.lateral = nn.ModuleList(nn.Conv2d(width, neck, 1) for width in widths[1:])
        self.coarsest = _conv(neck, neck, stride=2)
        self.head = Head(neck)
        self.last = nn.Conv2d(neck, sum(OUTPUTS.values()), 1)
        self.box_scale = nn.Parameter(torch.ones(len(STRIDES)))
        nn.init.normal_(self.last.weight, std=0.01)
        nn.init.zeros_(_bias(self.last))
        with torch.no_grad():
            _bias(self.last)[:2] = -torch.log(torch.tensor((1 - PRIOR) / PRIOR))
            # rotations begin at "looks into the camera": the first two columns of the unit matrix
            _bias(self.last)[-6:] = torch.tensor([1.0, 0, 0, 0, 1, 0])

    def forward(self, image: Tensor) -> Predictions:
        """Find faces and heads.

        Args:
            image: (N, H, W, 3) uint8 RGB; H and W are multiples of 32.
        """
        # cast first: TensorRT transposes no uint8
        x = (image.to(self.last.weight.dtype).permute(0, 3, 1, 2) - MEAN) / STD
        features = self.features(self.stem(x.contiguous(memory_format=torch.channels_last)))
        raw = [self.last_of(level)(x).flatten(2).transpose(1, 2).float() for level, x in enumerate(features)]
        cells = [_cells(x, stride) for x, stride in zip(features, STRIDES, strict=True)]
        return unpack(torch.cat(raw, 1), torch.cat(cells))

    def features(self, x: Tensor) -> list[Tensor]:
        """(N, C, H / 4, W / 4) of the stem -> what the last layer reads at strides 8, 16, 32 and 64."""
        return [self.head(each, level) for level, each in enumerate(self._pyramid(x))]

    def last_of(self, level: int) -> Callable[[Tensor], Tensor]:
        """The last layer at a level, (N, C, H, W) -> the channels of OUTPUTS; each level scales its boxes."""
        scale = self.last.weight.new_ones(sum(OUTPUTS.values()))
        scale[BOX_CHANNELS] = self.box_scale[level]
        weight, bias = self.last.weight * scale[:, None, None, None], _bias(self.last) * scale
        return lambda x: F.conv2d(x, weight, bias)

    def _pyramid(self, x: Tensor) -> list[Tensor]:
        """(N, C, H / 4, W / 4) -> maps of ``neck`` channels at strides 8, 16, 32 and 64."""
        maps = []
        for stage, lateral in zip(self.stages, self.lateral, strict=True):
            x = stage(x)
            maps.append(lateral(x))
        maps[1] = maps[1] + F.interpolate(maps[2], scale_factor=2.0)
        maps[0] = maps[0] + F.interpolate(maps[1], scale_factor=2.0)
        return [*maps, self.coarsest(maps[2])]


class Block(nn.Module):
    """Residual block: depthwise convolution, then a pointwise pair that widens twofold and back.

    The order of ConvNeXt (Liu et al., CVPR 2022) with batch normalisation, which export folds away.
    """

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.spatial = _conv(width, width, kernel, groups=width, act=False)
        self.expand = _conv(width, 2 * width, 1)
        self.project = _conv(2 * width, width, 1, act=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        return x + self.project(self.expand(self.spatial(x)))


class Head(nn.Module):
    """The block before the answers: convolutions shared by all levels, statistics of each level.

    Levels differ in their statistics. With one batch normalisation for all, training (by the batch of one
    level) and evaluation (by the average over levels) disagreed, and the coarsest level was dead.
    EfficientDet (Tan et al., CVPR 2020) shares convolutions and separates normalisations like this.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            [
                nn.Conv2d(width, width, 5, padding=2, groups=width, bias=False),
                nn.Conv2d(width, 2 * width, 1, bias=False),
                nn.Conv2d(2 * width, width, 1, bias=False),
            ]
        )
        channels = (width, 2 * width, width)
        self.norms = nn.ModuleList(nn.ModuleList(nn.BatchNorm2d(c) for c in channels) for _ in STRIDES)

    def forward(self, x: Tensor, level: int) -> Tensor:
        """(N, C, H, W) of one level -> (N, C, H, W)."""
        norms = self.norms[level]
        assert isinstance(norms, nn.ModuleList)
        y = norms[0](self.convs[0](x))
        y = F.relu(norms[1](self.convs[1](y)))
        return F.relu(x + norms[2](self.convs[2](y)))


def unpack(raw: Tensor, cells: Tensor) -> Predictions:
    """Raw answers in their units.

    Args:
        raw: (N, A, C) with the channels of OUTPUTS.
        cells: (A, 3) x, y, stride.
    """
    face, head, box, points, rotation = raw.split(list(OUTPUTS.values()), dim=2)
    boxes, places = decode(box, cells), decode_points(points, cells)
    return Predictions(boxes, face[..., 0], head[..., 0], places, rotation, cells)


def decode(offsets: Tensor, cells: Tensor) -> Tensor:
    """Boxes of raw box outputs: centre moved in strides, side as exp() of the cell's default (as YOLOX).

    Args:
        offsets: (N, A, 4) dx, dy in strides; log width, log height over BASE strides.
        cells: (A, 3) x, y, stride.

    Returns:
        (N, A, 4) x0, y0, x1, y1 in input pixels.
    """
    stride = cells[:, 2:]
    centre = cells[:, :2] + offsets[..., :2] * stride
    half = torch.exp(offsets[..., 2:].clamp(-4.0, 4.0)) * (stride * BASE / 2)
    return torch.cat([centre - half, centre + half], dim=-1)


def decode_points(offsets: Tensor, cells: Tensor) -> Tensor:
    """Points of raw outputs, in halves of the cell's default side from its centre.

    Args:
        offsets: (N, A, 10) x, y of the five points.
        cells: (A, 3) x, y, stride.

    Returns:
        (N, A, 5, 2) input pixels.
    """
    half = (cells[:, 2] * BASE / 2)[:, None, None]
    return cells[:, None, :2] + offsets.unflatten(2, (5, 2)) * half


def _cells(features: Tensor, stride: int) -> Tensor:
    """(H * W, 3) x, y, stride of the cells; cell i covers the pixels i * stride ... (i + 1) * stride - 1."""
    height, width = features.shape[-2:]
    middle = (stride - 1) / 2
    y = torch.arange(height, dtype=torch.float32, device=features.device) * stride + middle
    x = torch.arange(width, dtype=torch.float32, device=features.device) * stride + middle
    y, x = y[:, None].expand(height, width), x[None, :].expand(height, width)
    return torch.stack([x, y, torch.full_like(x, float(stride))], dim=-1).flatten(0, 1)


def _conv(
    inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1, act: bool = True
) -> nn.Sequential:
    padding = kernel // 2 if kernel % 2 else 0  # even kernels cut the map into patches
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    return nn.Sequential(*layers, nn.ReLU(inplace=True)) if act else nn.Sequential(*layers)


def _stage(inputs: int, outputs: int, depth: int, kernel: int, down: int) -> nn.Sequential:
    """Halve the resolution by a convolution of ``down`` x ``down``, then ``depth`` blocks."""
    return nn.Sequential(
        _conv(inputs, outputs, down, stride=2), *(Block(outputs, kernel) for _ in range(depth))
    )


def _bias(layer: nn.Conv2d) -> Tensor:
    assert layer.bias is not None
    return layer.bias
