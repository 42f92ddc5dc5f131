"""Points that move to where the pixels around them say they are.

A query that has read 16 px tokens knows about where its points lie; the pixel features know where edges and
corners are, but not which is which. A point's new place is the expectation over the pixels near its first
one, as in integral regression (Sun et al., "Integral Human Pose Regression", ECCV 2018), with the first place
as prior: refining a coarse guess locally follows cascaded regression (Xiong and De la Torre, CVPR 2013).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_CELL = 4  # crop pixels that a pixel of the features stands for, each way


class LocalEvidence(nn.Module):
    """Moves K points by what the pixels near them show.

    With a(x) the features of pixel x, k the point's kernel and g a Gaussian about the point's first place,
    pixel x has the weight exp(k . a(x)) g(x), and "stay" a learned weight of its own: where nothing fits, or
    the point lies outside the crop, it stays. The point moves by the mean offset. Kernels start at zero: an
    untrained model leaves points where they are, within the roundness of a grid.

    Args:
        dim: width of the queries.
        pixel_dim: channels of the pixel features.
        points_per_query: how many points a query speaks for.
        count: K, at most the number of queries times ``points_per_query``.
        crop_size: side of the crop in pixels, a multiple of 4.
    """

    cells: Tensor
    positions: Tensor

    def __init__(self, dim: int, pixel_dim: int, points_per_query: int, count: int, crop_size: int) -> None:
        super().__init__()
        self.count = count
        self.kernels = nn.Linear(dim, points_per_query * pixel_dim)
        nn.init.zeros_(self.kernels.weight)
        nn.init.zeros_(self.kernels.bias)
        self.log_width = nn.Parameter(torch.full((count, 1), math.log(_CELL)))
        self.stay = nn.Parameter(torch.zeros(1, count, 1))
        # centres of the cells; the crop's first pixel has its centre at 0
        cells = (torch.arange(crop_size // _CELL) + 0.5) * _CELL - 0.5
        y, x = torch.meshgrid(cells, cells, indexing="ij")
        # x, y and 1 of each pixel; zeros for the one that stands for "stay"
        positions = torch.stack([x, y, torch.ones_like(x)], dim=-1).flatten(0, 1)
        self.register_buffer("cells", cells, persistent=False)
        self.register_buffer("positions", torch.cat([positions, torch.zeros(1, 3)]), persistent=False)

    def forward(self, points: Tensor, queries: Tensor, pixels: Tensor, slots: Tensor | None) -> Tensor:
        """The moved points.

        Args:
            points: (N, K, 2) first places in crop pixels.
            queries: (N, Q, D).
            pixels: (N, P, S / 4, S / 4).
            slots: (K,) each point's place among those of the queries; the first K where None.

        Returns:
            (N, K, 2) crop pixels.
        """
        kernels = self.kernels(queries).unflatten(2, (-1, pixels.shape[1])).flatten(1, 2)
        kernels = kernels[:, : self.count] if slots is None else kernels[:, slots]
        evidence = (kernels @ pixels.flatten(2)).float() * pixels.shape[1] ** -0.5
        with torch.autocast(points.device.type, enabled=False):
            # half of the squared distance in units of the prior's width, of columns and of rows
            scale = (-self.log_width).exp() * math.sqrt(0.5)
            columns = ((self.cells - points[..., :1]) * scale).square()
            rows = ((self.cells - points[..., 1:]) * scale).square() + self.stay
            grid = evidence.unflatten(2, pixels.shape[-2:]) - rows[..., None] - columns[..., None, :]
            weights = F.pad(grid.flatten(2), (0, 1)).softmax(dim=2)  # the last is that of "stay"
            mean = weights @ self.positions
            return points + mean[..., :2] - mean[..., 2:] * points
