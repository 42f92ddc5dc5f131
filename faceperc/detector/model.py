"""FaceDetector: a small one-stage, anchor-free face detector.

A convolutional trunk with strides 4 to 32, a feature pyramid (Lin et al., FPN, CVPR 2017) with strides 8, 16,
32 and 64, and one head shared by all levels that predicts one box and one score per cell, as in FCOS (Tian et
al., ICCV 2019) and YOLOX (Ge et al., 2021). The score is the expected IoU of the box (Li et al., GFL, NeurIPS
2020), so no second "centerness" output is needed. The sizes follow YuNet (Wu et al., MIR 2023) and SCRFD (Guo
et al., ICLR 2022): cheap on one CPU core. The implementation is this project's own.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

STRIDES = (8, 16, 32, 64)
BASE = 4.0  # a cell's default box has this many strides as its side: 32, 64, 128, 256 px
MEAN, STD = 120.0, 64.0  # one grey level for all channels: faces are found by shape, not by white balance
PRIOR = 0.01  # initial score of every cell (focal loss' prior, Lin et al., ICCV 2017)


class Predictions(NamedTuple):
    """What the network says about every cell; A cells, level by level, each row by row.

    Attributes:
        boxes: (N, A, 4) x0, y0, x1, y1 in input pixels; (0, 0) is the centre of the top left pixel.
        logits: (N, A); their sigmoid is the score in [0, 1].
        cells: (A, 3) x, y of the cell's centre in input pixels and its stride.
    """

    boxes: Tensor
    logits: Tensor
    cells: Tensor


class FaceDetector(nn.Module):
    """Image to boxes and scores; the only forward, for training, validation and export.

    Args:
        widths: channels of the trunk at strides 2, 4, 8, 16 and 32.
        depths: residual blocks at strides 4, 8, 16 and 32.
        neck: channels of the pyramid and of the head.
    """

    def __init__(
        self,
        widths: tuple[int, int, int, int, int] = (16, 32, 64, 96, 128),
        depths: tuple[int, int, int, int] = (1, 2, 3, 3),
        neck: int = 64,
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(_conv(3, widths[0], stride=2), _stage(widths[0], widths[1], depths[0], 3))
        kernels = (3, 5, 5)  # large depthwise kernels are cheap on small maps and widen the view
        self.stages = nn.ModuleList(
            _stage(widths[i + 1], widths[i + 2], depths[i + 1], kernels[i]) for i in range(3)
        )
        self.lateral = nn.ModuleList(nn.Conv2d(width, neck, 1) for width in widths[2:])
        self.coarsest = _conv(neck, neck, stride=2)
        self.head = Head(neck)
        self.score = nn.Conv2d(neck, 1, 3, padding=1)
        self.box = nn.Conv2d(neck, 4, 3, padding=1)
        self.box_scale = nn.Parameter(torch.ones(len(STRIDES)))
        nn.init.normal_(self.score.weight, std=0.01)
        nn.init.constant_(_bias(self.score), -torch.log(torch.tensor((1 - PRIOR) / PRIOR)).item())
        nn.init.normal_(self.box.weight, std=0.01)
        nn.init.zeros_(_bias(self.box))

    def forward(self, image: Tensor) -> Predictions:
        """Find faces.

        Args:
            image: (N, H, W, 3) uint8 RGB; H and W are multiples of 64.
        """
        # cast first: TensorRT transposes no uint8
        x = (image.to(self.score.weight.dtype).permute(0, 3, 1, 2) - MEAN) / STD
        boxes, logits, cells = [], [], []
        for level, features in enumerate(self._pyramid(x.contiguous(memory_format=torch.channels_last))):
            features = self.head(features, level)
            grid = _cells(features, STRIDES[level])
            offsets = self.box(features).flatten(2).transpose(1, 2).float() * self.box_scale[level]
            boxes.append(decode(offsets, grid))
            logits.append(self.score(features).flatten(1).float())
            cells.append(grid)
        return Predictions(torch.cat(boxes, 1), torch.cat(logits, 1), torch.cat(cells))

    def _pyramid(self, x: Tensor) -> list[Tensor]:
        """(N, 3, H, W) -> maps of ``neck`` channels at strides 8, 16, 32 and 64."""
        x = self.stem(x)
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
    """The layers before the score and the box: convolutions shared by all levels, statistics of each level.

    Levels differ in their statistics. With one batch normalisation for all, training (by the batch of one
    level) and evaluation (by the average over levels) disagreed, and the coarsest level was dead.
    EfficientDet (Tan et al., CVPR 2020) shares convolutions and separates normalisations like this.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            [
                nn.Conv2d(width, width, 3, padding=1, bias=False),
                nn.Conv2d(width, width, 5, padding=2, groups=width, bias=False),
                nn.Conv2d(width, 2 * width, 1, bias=False),
                nn.Conv2d(2 * width, width, 1, bias=False),
            ]
        )
        channels = (width, width, 2 * width, width)
        self.norms = nn.ModuleList(nn.ModuleList(nn.BatchNorm2d(c) for c in channels) for _ in STRIDES)

    def forward(self, x: Tensor, level: int) -> Tensor:
        """(N, C, H, W) of one level -> (N, C, H, W)."""
        norms = self.norms[level]
        assert isinstance(norms, nn.ModuleList)
        x = F.relu(norms[0](self.convs[0](x)))
        y = norms[1](self.convs[1](x))
        y = F.relu(norms[2](self.convs[2](y)))
        return x + norms[3](self.convs[3](y))


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
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    return nn.Sequential(*layers, nn.ReLU(inplace=True)) if act else nn.Sequential(*layers)


def _stage(inputs: int, outputs: int, depth: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(_conv(inputs, outputs, stride=2), *(Block(outputs, kernel) for _ in range(depth)))


def _bias(layer: nn.Conv2d) -> Tensor:
    assert layer.bias is not None
    return layer.bias
