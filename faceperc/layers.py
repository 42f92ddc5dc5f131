"""Small layers that the decoder and the heads share."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from faceperc.errors import ConfigError


def grid_positions(grid: int, dim: int) -> Tensor:
    """(grid * grid, dim) sine and cosine codes of the cells of a square grid, row by row, values in [-1, 1].

    Half of the channels code x, half y (as in MoCo v3 and MAE; after Vaswani et al., 2017).
    """
    # wavelengths from about 6 cells to about 20 grids
    frequencies = (3.0 * grid) ** (-torch.arange(dim // 4) / (dim // 4))
    phases = torch.arange(grid)[:, None] * frequencies
    axis = torch.cat([phases.sin(), phases.cos()], dim=1)
    rows, columns = axis[:, None].expand(-1, grid, -1), axis[None].expand(grid, -1, -1)
    return torch.cat([columns, rows], dim=2).flatten(0, 1)


def channel_softmax(logits: Tensor) -> Tensor:
    """(N, C, h, w) logits -> probabilities that sum to 1 over C.

    Written out: over an axis that is not the last, ONNX Runtime's Softmax takes about four times as long.
    """
    powers = (logits - logits.detach().amax(dim=1, keepdim=True)).exp()
    return powers / powers.sum(dim=1, keepdim=True)


class Mlp(nn.Sequential):
    """Linear layers with GELU between them: dim -> hidden -> ... -> out.

    Args:
        dim: input width.
        out: output width.
        hidden: width of the hidden layers; ``dim`` by default.
        layers: number of linear layers.
    """

    def __init__(self, dim: int, out: int, hidden: int | None = None, layers: int = 2) -> None:
        widths = [dim] + [hidden or dim] * (layers - 1) + [out]
        modules: list[nn.Module] = []
        for before, after in pairwise(widths):
            modules += [nn.Linear(before, after), nn.GELU()]
        super().__init__(*modules[:-1])

    def start_at(self, values: list[float]) -> None:
        """Set the last bias, so that an untrained MLP answers about ``values``."""
        last = self[-1]
        assert isinstance(last, nn.Linear)
        with torch.no_grad():
            last.bias.copy_(torch.tensor(values))


class Attention(nn.Module):
    """Multi-head attention of one set of tokens over another.

    Written out instead of `scaled_dot_product_attention`: on CPUs the fused kernel's backward pass is the
    slower one, and the plain operators are what ONNX and TensorRT fuse best.

    Args:
        dim: token width.
        heads: number of heads; divides ``dim``.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        if dim % heads:
            raise ConfigError(f"decoder.heads: {heads} attention heads do not divide the width {dim}")
        self.heads = heads
        self.scale = (dim // heads) ** -0.5
        self.query = nn.Linear(dim, dim)
        self.key = nn.Linear(dim, dim)
        self.value = nn.Linear(dim, dim)
        self.out = nn.Linear(dim, dim)

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """(N or 1, Q, D), (N, K, D), (N, K, D) -> (N, Q, D)."""
        q, k, v = self._split(self.query(query)), self._split(self.key(key)), self._split(self.value(value))
        weights = ((q * self.scale) @ k.transpose(-2, -1)).softmax(dim=-1)
        return self.out((weights @ v).transpose(1, 2).flatten(2))

    def _split(self, tokens: Tensor) -> Tensor:
        return tokens.unflatten(-1, (self.heads, -1)).transpose(1, 2)
