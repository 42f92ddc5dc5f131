"""Small layers that the decoder and the heads share."""

from __future__ import annotations

from torch import Tensor, nn


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
        for before, after in zip(widths[:-1], widths[1:], strict=True):
            modules += [nn.Linear(before, after), nn.GELU()]
        super().__init__(*modules[:-1])


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
        self.heads = heads
        self.scale = (dim // heads) ** -0.5
        self.query = nn.Linear(dim, dim)
        self.key = nn.Linear(dim, dim)
        self.value = nn.Linear(dim, dim)
        self.out = nn.Linear(dim, dim)

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """(N, Q, D), (N, K, D), (N, K, D) -> (N, Q, D)."""
        q, k, v = self._split(self.query(query)), self._split(self.key(key)), self._split(self.value(value))
        weights = ((q * self.scale) @ k.transpose(-2, -1)).softmax(dim=-1)
        return self.out((weights @ v).transpose(1, 2).flatten(2))

    def _split(self, tokens: Tensor) -> Tensor:
        return tokens.unflatten(-1, (self.heads, -1)).transpose(1, 2)
