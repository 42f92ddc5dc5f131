"""The nodes of an exported graph, named after the model's layers; and those that can be quantised."""

from __future__ import annotations

import ast
import re
from collections import Counter

import onnx

_SCOPES = "pkg.torch.onnx.name_scopes"
#: A linear layer with fewer outputs is left in float: quantising its input takes longer than it saves.
_MIN_OUTPUTS = 64
#: The same for the input channels of a convolution. The first ones, with few channels and many pixels, also
#: hurt most.
_MIN_CHANNELS = 32


def name_by_module(graph: onnx.GraphProto) -> None:
    """Rename torch's nodes to "module/Operator", e.g. "backbone.vit.blocks.0.attn.qkv/MatMul".

    What belongs to no layer (normalisation, decoding) has an empty module. Names are unique.
    """
    seen: Counter[str] = Counter()
    for node in graph.node:
        properties = {entry.key: entry.value for entry in node.metadata_props}
        # the scopes are the modules from the outermost in, then torch's name of the operation
        module = ast.literal_eval(properties[_SCOPES])[-2] if _SCOPES in properties else _from_weight(node)
        name = f"{re.sub(r'^model[.]?', '', module)}/{node.op_type}"
        seen[name] += 1
        node.name = name if seen[name] == 1 else f"{name}_{seen[name]}"


def _from_weight(node: onnx.NodeProto) -> str:
    """The module whose weight a node reads (torch's optimiser drops the scopes of what it joins)."""
    names = [name for name in node.input if name.startswith("model.") and "." in name]
    return names[0].rpartition(".")[0] if names else ""


def module_of(node: str) -> str:
    """ "backbone.vit.blocks.0.attn.qkv/MatMul" -> "backbone.vit.blocks.0.attn.qkv"."""
    return node.partition("/")[0]


def group_of(node: str) -> str:
    """The part of the model that a node is in: of a block its attention or its MLP, else two levels of names.

    "backbone.vit.blocks.0.attn.qkv/MatMul" -> "backbone.vit.blocks.0.attn", "heads.pose.mlp.0/Gemm" ->
    "heads.pose".
    """
    module = module_of(node)
    block = re.match(r".*?[.]blocks[.]\d+[.]\w+", module)
    return block.group() if block else ".".join(module.split(".")[:2])


def linear_layers(graph: onnx.GraphProto) -> list[str]:
    """Names of the linear layers that are worth quantising."""
    weights = {each.name: each for each in graph.initializer}
    found = []
    for node in graph.node:
        if node.op_type in ("MatMul", "Gemm") and node.input[1] in weights:
            transposed = any(entry.name == "transB" and entry.i for entry in node.attribute)
            if weights[node.input[1]].dims[0 if transposed else -1] >= _MIN_OUTPUTS:
                found.append(node.name)
    return found


def convolutions(graph: onnx.GraphProto) -> list[str]:
    """Names of the convolutions that are worth quantising."""
    weights = {each.name: each for each in graph.initializer}
    return [
        node.name
        for node in graph.node
        if node.op_type == "Conv" and weights[node.input[1]].dims[1] >= _MIN_CHANNELS
    ]
