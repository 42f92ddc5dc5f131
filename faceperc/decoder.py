"""The task-query decoder: the learned queries of all tasks read the image tokens, and the tokens read back.

Two-way attention as in SAM's mask decoder (Kirillov et al., ICCV 2023) and FaceXFormer's FaceX (Narayan et
al., 2024); the reading of several depths by layer-aware attention follows Faceptor (Qin et al., ECCV 2024).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from faceperc.layers import Attention, Mlp, grid_positions


class LayerAttention(nn.Module):
    """Queries attend over the tokens of several depths at once, each depth marked by a learned embedding, so
    that every task takes what it needs from where it is: edges from shallow blocks, meaning from deep ones.

    Also fuses the depths into one set of tokens by learned per-channel weights.
    """

    def __init__(self, dim: int, heads: int, depths: int, grid: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(depths))
        self.layer_embedding = nn.Parameter(torch.zeros(depths, 1, dim))
        self.fusion = nn.Parameter(torch.zeros(depths, 1, dim))
        self.position = nn.Parameter(grid_positions(grid, dim)[None])
        self.attention = Attention(dim, heads)
        self.norm = nn.LayerNorm(dim)

    def forward(self, identity: Tensor, features: list[Tensor]) -> tuple[Tensor, Tensor]:
        """(1, Q, D) identities, per depth (N, P, D) -> (N, Q, D) what was read, (N, P, D) fused tokens."""
        layers = torch.cat([norm(each) for norm, each in zip(self.norms, features, strict=True)], dim=1)
        keys = layers + (self.layer_embedding + self.position).flatten(0, 1)
        weights = self.fusion.softmax(dim=0)
        fused = (layers.unflatten(1, (len(features), -1)) * weights).sum(dim=1)
        return self.attention(self.norm(identity), keys, layers), fused + self.position


class TwoWayBlock(nn.Module):
    """Queries attend to each other, to the tokens, think; then the tokens attend to the queries.

    Args:
        dim: width of queries and tokens.
        heads: attention heads.
        mlp_ratio: hidden width of the MLP as a multiple of ``dim``.
        reads_back: whether the tokens attend to the queries; else they stay as they are.
    """

    def __init__(self, dim: int, heads: int, mlp_ratio: float, reads_back: bool = True) -> None:
        super().__init__()
        self.reads_back = reads_back
        self.self_norm, self.self_attention = nn.LayerNorm(dim), Attention(dim, heads)
        self.cross_norm, self.token_norm = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.cross_attention = Attention(dim, heads)
        self.mlp_norm, self.mlp = nn.LayerNorm(dim), Mlp(dim, dim, int(dim * mlp_ratio))
        if reads_back:
            self.back_norm, self.back_attention = nn.LayerNorm(dim), Attention(dim, heads)

    def forward(
        self, queries: Tensor, tokens: Tensor, identity: Tensor, groups: Sequence[int]
    ) -> tuple[Tensor, Tensor]:
        """(N, Q, D), (N, P, D), (1, Q, D) learned identity of each query -> updated queries and tokens.

        ``groups`` are the sizes of the groups of queries, see TaskDecoder.
        """
        queries = queries + self._talk(self.self_norm(queries), identity, groups)
        memory = self.token_norm(tokens)
        queries = queries + self.cross_attention(self.cross_norm(queries) + identity, memory, memory)
        queries = queries + self.mlp(self.mlp_norm(queries))
        if self.reads_back:
            asked = queries
            if len(groups) > 1:
                asked, identity = queries[:, : groups[0]], identity[:, : groups[0]]
            answer = self.back_norm(asked)
            tokens = tokens + self.back_attention(memory, answer + identity, answer)
        return queries, tokens

    def _talk(self, values: Tensor, identity: Tensor, groups: Sequence[int]) -> Tensor:
        """Self-attention: the first group among itself, every other one with the first and itself."""
        named = values + identity
        if len(groups) == 1:
            return self.self_attention(named, named, values)
        first, *others = zip(named.split(groups, 1), values.split(groups, 1), strict=True)
        heard = [self.self_attention(first[0], *first)]
        for own in others:
            keys, own_values = (torch.cat(pair, dim=1) for pair in zip(first, own, strict=True))
            heard.append(self.self_attention(own[0], keys, own_values))
        return torch.cat(heard, dim=1)


class TaskDecoder(nn.Module):
    """Layer attention, then two-way blocks.

    Args:
        groups: number of the queries of all tasks together; behind it those of each task that stays apart:
            they read the first group, and nothing but themselves and their task reads them.
        dim: width of queries and tokens.
        heads: attention heads.
        blocks: two-way blocks.
        mlp_ratio: hidden width of the MLPs as a multiple of ``dim``.
        depths: number of backbone depths.
        grid: image tokens on a side; P = grid * grid.
        gives_tokens: whether the tokens are read after the decoder. Without, it lacks the layers that only
            they pass: parameters without a gradient would stop DDP.
    """

    def __init__(
        self, groups: Sequence[int], dim: int, heads: int, blocks: int, mlp_ratio: float, depths: int,
        grid: int, gives_tokens: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        self.groups = tuple(groups)
        # of the tokens' own size, so that queries differ, and find places, from the first step on
        self.identity = nn.Parameter(torch.randn(1, sum(groups), dim))
        self.layers = LayerAttention(dim, heads, depths, grid)
        self.blocks = nn.ModuleList(
            TwoWayBlock(dim, heads, mlp_ratio, reads_back=gives_tokens or block < blocks - 1)
            for block in range(blocks)
        )
        self.query_norm = nn.LayerNorm(dim)
        self.token_norm = nn.LayerNorm(dim) if gives_tokens else None

    def forward(self, features: list[Tensor]) -> tuple[Tensor, Tensor | None]:
        """Per depth (N, P, D) -> (N, Q, D) queries that have read the image, (N, P, D) tokens or None."""
        # As in DETR, the identity steers what a query reads and is no part of what it has read.
        queries, tokens = self.layers(self.identity, features)
        for block in self.blocks:
            queries, tokens = block(queries, tokens, self.identity, self.groups)
        return self.query_norm(queries), None if self.token_norm is None else self.token_norm(tokens)


class SilentConv(nn.Conv2d):
    """A 1x1 convolution that starts as zeros."""

    starts_silent = True

    def __init__(self, before: int, after: int) -> None:
        super().__init__(before, after, 1, bias=False)
        nn.init.zeros_(self.weight)


class PixelDecoder(nn.Module):
    """Image tokens -> features at a quarter of the crop's resolution, for dense outputs.

    Every token is spread over the pixels that it covers (sub-pixel convolution; Shi et al., CVPR 2016), a
    strided convolution of the image itself adds the fine detail that 16 px tokens have lost, as do the early
    features of a convolutional stem, and two 3x3 convolutions join them.

    Args:
        dim: width of the tokens.
        pixel_dim: channels of what it gives.
        patch: pixels of a token, each way.
        grid: image tokens on a side.
        early_dim: channels of the early features; 0 where there are none.
    """

    def __init__(self, dim: int, pixel_dim: int, patch: int, grid: int, early_dim: int = 0) -> None:
        super().__init__()
        self.grid = grid
        ratio = max(1, patch // 4)
        self.spread = nn.Sequential(nn.Conv2d(dim, pixel_dim * ratio**2, 1), nn.PixelShuffle(ratio))
        self.detail = nn.Conv2d(3, pixel_dim, 4, stride=4)
        self.early = SilentConv(early_dim, pixel_dim) if early_dim else None
        self.mix = nn.Sequential(
            nn.BatchNorm2d(2 * pixel_dim), nn.GELU(),
            nn.Conv2d(2 * pixel_dim, pixel_dim, 3, padding=1, bias=False),
            nn.BatchNorm2d(pixel_dim), nn.GELU(),
            nn.Conv2d(pixel_dim, pixel_dim, 3, padding=1),
        )  # fmt: skip

    def forward(self, tokens: Tensor, image: Tensor, early: Tensor | None = None) -> Tensor:
        """(N, P, D) tokens, (N, 3, S, S) image, (N, E, S / 4, S / 4) -> (N, pixel_dim, S / 4, S / 4)."""
        grid = tokens.transpose(1, 2).unflatten(2, (self.grid, self.grid))
        spread, detail = self.spread(grid), self.detail(image)
        if self.early is not None:
            detail = detail + self.early(early)
        if spread.shape[-2:] != detail.shape[-2:]:  # patches of 14 px and the like
            spread = F.interpolate(spread, size=detail.shape[-2:], mode="bilinear", align_corners=False)
        mixed: Tensor = self.mix(torch.cat([spread, detail], dim=1))
        return mixed
