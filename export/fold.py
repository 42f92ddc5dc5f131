"""The same network in fewer steps: what training needs apart, and inference does not.

Exact but for rounding; the exported file is compared with the model that it came from.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from faceperc.layers import Attention
from faceperc.model import FaceModel


class SelfAttention(nn.Module):
    """Our attention in the place of timm's: the products with query, key and value weights are apart, which
    spares moving their halves around afterwards."""

    def __init__(self, source: Any) -> None:
        super().__init__()
        self.attention = Attention(source.qkv.in_features, source.num_heads)
        parts = (self.attention.query, self.attention.key, self.attention.value)
        weights, biases = source.qkv.weight.chunk(3), source.qkv.bias.chunk(3)
        for part, weight, bias in zip(parts, weights, biases, strict=True):
            part.weight, part.bias = nn.Parameter(weight.clone()), nn.Parameter(bias.clone())
        self.attention.out = source.proj

    def forward(self, tokens: Tensor, **_: Any) -> Tensor:
        """(N, P, D) -> (N, P, D); timm passes an attention mask, which no ViT here has."""
        out: Tensor = self.attention(tokens, tokens, tokens)
        return out


@torch.no_grad()
def fold(model: FaceModel) -> FaceModel:
    """A copy for inference that answers the same. Its weights no longer fit the model's own names."""
    folded = copy.deepcopy(model).eval()
    for block in folded.backbone.vit.blocks:
        if _is_plain(block.attn):
            block.attn = SelfAttention(block.attn)
    for module in folded.modules():
        if isinstance(module, Attention):
            _fold_biases(module)
    return folded


def _is_plain(attention: nn.Module) -> bool:
    """Whether timm's attention has the four projections of a plain ViT and no other layer."""
    if type(attention).__name__ != "Attention":
        return False
    layers: dict[str, Any] = dict(attention.named_children())
    qkv, proj = layers.pop("qkv"), layers.pop("proj")
    square = qkv.out_features == 3 * qkv.in_features and proj.out_features == qkv.in_features
    others = all(isinstance(layer, nn.Identity | nn.Dropout) for layer in layers.values())
    return square and others and qkv.bias is not None


def _fold_biases(attention: Attention) -> None:
    """A key's bias adds the same to all scores of a query, which the softmax forgets. The values' bias goes
    through to the output, since the weights sum to 1, and the scale goes into the queries."""
    attention.query.weight.mul_(attention.scale)
    attention.query.bias.mul_(attention.scale)
    attention.scale = 1.0
    attention.out.bias = nn.Parameter(attention.out(attention.value.bias))
    attention.key.register_parameter("bias", None)
    attention.value.register_parameter("bias", None)
