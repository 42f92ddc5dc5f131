"""Convolutions in and before a vision transformer: they let a small ViT learn from few photographs.

A transformer must learn from data that neighbouring pixels belong together; convolutions know. The stem
follows Xiao et al., "Early Convolutions Help Transformers See Better", NeurIPS 2021; its bottlenecks follow
He et al., "Deep Residual Learning for Image Recognition", CVPR 2016; the convolution of tokens before every
block follows Chu et al., "Conditional Positional Encodings for Vision Transformers", ICLR 2023.

What `stem_blocks` and `token_convs` add changes nothing before it has learned something: a model without them
can be grown into one with them (`start_from`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from timm.models.vision_transformer import Block
from torch import Tensor, nn

from faceperc.errors import ConfigError

STAGES = 3  # of the stem's four halvings, the last three may be followed by bottlenecks


class Bottleneck(nn.Module):
    """Half as wide inside, a 3x3 convolution there, added to what comes in."""

    starts_silent = True  # the last norm's scale is zero, as in Goyal et al. 2017

    def __init__(self, dim: int) -> None:
        super().__init__()
        inner = dim // 2
        self.layers = nn.Sequential(
            nn.Conv2d(dim, inner, 1, bias=False), nn.BatchNorm2d(inner), nn.ReLU(),
            nn.Conv2d(inner, inner, 3, padding=1, bias=False), nn.BatchNorm2d(inner), nn.ReLU(),
            nn.Conv2d(inner, dim, 1, bias=False), nn.BatchNorm2d(dim),
        )  # fmt: skip
        nn.init.zeros_(self.layers[-1].weight)  # type: ignore[arg-type]

    def forward(self, features: Tensor) -> Tensor:
        """(N, D, H, W), none of it negative -> the same."""
        return (features + self.layers(features)).relu()


class ConvStem(nn.Module):
    """Four strided 3x3 convolutions and a projection, in the place of timm's 16 px patch embedding.

    Args:
        img_size: side of the image in pixels.
        patch_size: must be 16.
        in_chans: channels of the image.
        embed_dim: width of the tokens.
        blocks: bottlenecks behind the convolutions to a quarter, an eighth and a 16th of the resolution.

    Raises:
        ConfigError: if the patches are of another size, or ``blocks`` are not three numbers.
    """

    def __init__(
        self, img_size: int, patch_size: int, in_chans: int, embed_dim: int, blocks: Sequence[int] = (),
        **_: Any,
    ) -> None:  # fmt: skip
        super().__init__()
        if patch_size != 16:
            raise ConfigError(f"conv_stem needs a backbone with 16 px patches, not {patch_size} px")
        if blocks and (len(blocks) != STAGES or min(blocks) < 0):
            raise ConfigError(f"backbone.stem_blocks: must be {STAGES} numbers, not {list(blocks)}")
        self.patch_size = (16, 16)
        self.img_size = (img_size, img_size)
        self.grid_size = (img_size // 16, img_size // 16)
        self.num_patches = self.grid_size[0] * self.grid_size[1]
        widths = [embed_dim // 8, embed_dim // 4, embed_dim // 2, embed_dim]
        modules: list[nn.Module] = []
        before = in_chans
        for width in widths:
            conv = nn.Conv2d(before, width, 3, stride=2, padding=1, bias=False)
            modules += [conv, nn.BatchNorm2d(width), nn.ReLU()]
            before = width
        self.layers = nn.Sequential(*modules, nn.Conv2d(before, embed_dim, 1))
        self.blocks = nn.ModuleList(
            nn.Sequential(*(Bottleneck(width) for _ in range(count)))
            for width, count in zip(widths[1:], blocks or [0] * STAGES, strict=True)
        )
        self.early_dim = widths[1]

    def feat_ratio(self, as_scalar: bool = True) -> int | tuple[int, int]:
        """Image pixels per token (timm asks for it)."""
        return 16 if as_scalar else (16, 16)

    def early(self, image: Tensor) -> Tensor:
        """(N, 3, S, S) -> (N, D / 4, S / 4, S / 4), what ``forward`` goes on from."""
        early: Tensor = self.blocks[0](self.layers[:6](image))
        return early

    def forward(self, early: Tensor) -> Tensor:
        """(N, D / 4, S / 4, S / 4) -> (N, (S / 16)^2, D)."""
        features = self.blocks[2](self.layers[9:12](self.blocks[1](self.layers[6:9](early))))
        tokens: Tensor = self.layers[12](features).flatten(2).transpose(1, 2)
        return tokens


class TokenConv(nn.Module):
    """A 3x3 depthwise convolution over the grid of tokens; class and register tokens are left out of it."""

    starts_silent = True

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        nn.init.zeros_(self.conv.weight)
        assert self.conv.bias is not None
        nn.init.zeros_(self.conv.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        """(N, prefix + grid * grid, D) -> the same; the prefix is less than the next larger grid needs."""
        grid = math.isqrt(tokens.shape[1])
        patches = tokens[:, -grid * grid :].transpose(1, 2).unflatten(2, (grid, grid))
        mixed = self.conv(patches).flatten(2).transpose(1, 2)
        return nn.functional.pad(mixed, (0, 0, tokens.shape[1] - grid * grid, 0))


class ConvBlock(Block):
    """timm's transformer block with a convolution of the tokens before it."""

    def __init__(self, dim: int, *args: Any, **options: Any) -> None:
        super().__init__(dim, *args, **options)
        self.local = TokenConv(dim)

    def forward(self, x: Tensor, attn_mask: Tensor | None = None, is_causal: bool = False) -> Tensor:
        """(N, L, D) -> the same; the rest is timm's."""
        out: Tensor = super().forward(x + self.local(x), attn_mask, is_causal)
        return out
