"""Attention as ONNX's own operator, which opset 23 brought.

Written out, attention is a dozen small operators, most of which only move data. ONNX Runtime's kernel of the
one operator takes half of their time on a CPU (docs/export.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import MethodType
from typing import Any

import torch
from timm.layers import Attention as TimmAttention
from torch import Tensor, nn

from faceperc.layers import Attention

#: The first opset that has the operator. ONNX Runtime runs it on the CPU since 1.23.
ATTENTION_OPSET = 23


@contextmanager
def attention_operator(model: nn.Module) -> Iterator[None]:
    """Make the model's attention layers call the operator while this lasts; the answers stay the same.

    Layers of timm's that do more than plain attention (norms or gates inside) are left as they are.
    """
    changed = []
    for module in model.modules():
        forward = _forward_of(module)
        if forward is not None:
            module.forward = MethodType(forward, module)
            changed.append(module)
    try:
        yield
    finally:
        for module in changed:
            del module.forward  # the class's own shows again


def _forward_of(module: nn.Module) -> Any:
    if isinstance(module, Attention):
        return _ours
    if type(module) is TimmAttention and getattr(module, "gate", None) is None:
        norms = (module.q_norm, module.k_norm, getattr(module, "norm", nn.Identity()))
        if all(isinstance(norm, nn.Identity) for norm in norms):
            return _timms
    return None


def _ours(self: Attention, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    heads = _attend(self.query(query), self.key(key), self.value(value), self.heads, self.scale)
    result: Tensor = self.out(heads)
    return result


def _timms(self: TimmAttention, x: Tensor, *_: Any, **__: Any) -> Tensor:
    query, key, value = self.qkv(x).chunk(3, dim=-1)
    result: Tensor = self.proj(_attend(query, key, value, self.num_heads, self.scale))
    return result


def _attend(query: Tensor, key: Tensor, value: Tensor, heads: int, scale: float) -> Tensor:
    """(N or 1, Q, D), (N, K, D), (N, K, D) -> (N, Q, D)."""
    query = query.expand(key.shape[0], -1, -1)  # the operator repeats none itself
    result: Tensor = torch.onnx.ops.attention(
        query, key, value, q_num_heads=heads, kv_num_heads=heads, scale=scale
    )[0]
    return result
