"""A wider model that starts with a narrower one's answers, so that more width costs no training.

Every channel is repeated; what reads a repeated channel shares its weight among the copies, unevenly, so that
the copies learn different things from the first steps on. Net2WiderNet (Chen et al., "Net2Net", ICLR 2016),
for transformers bert2BERT (Chen et al., ACL 2022): repeating the whole residual stream leaves the means and
variances of layer norms alone, and repeating whole attention heads leaves the attention alone.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from faceperc.config import FaceModelConfig
from faceperc.errors import ConfigError
from faceperc.heads.parsing import Parsing
from faceperc.local_evidence import LocalEvidence
from faceperc.model import FaceModel, Outputs

_UNEVEN = 0.5  # standard deviation of a copy's share of a weight, relative to an even share
_ABSOLUTE, _RELATIVE = 0.005, 1e-3  # what rounding may change of a crop pixel, of a probability, of years


def widened(narrow: FaceModel, config: FaceModelConfig, seed: int = 0) -> FaceModel:
    """A model of ``config`` that answers as ``narrow`` does, in training mode.

    Args:
        narrow: is left as it is.
        config: as the narrow model's, but with a backbone, and where one likes a ``pixel_dim``, that are a
            whole number of times as wide; ``decoder.heads`` that many times as many.
        seed: of the uneven shares.

    Raises:
        ConfigError: if more than the width differs, the widths do not fit, or the wide model does not answer
            as the narrow one.
    """
    _check_alike(narrow.config, config)
    wide = FaceModel(config)
    _check_attention(narrow, wide)
    tensors, shapes = narrow.state_dict(), {name: each.shape for name, each in wide.state_dict().items()}
    if other := sorted(tensors.keys() ^ shapes.keys()):
        raise ConfigError(f"widen_from: only the width may differ, but just one of the models has {other[0]}")
    pixel_dim = narrow.config.decoder.pixel_dim
    kernels, readers = _kernel_layers(wide), _layers(wide)
    # kernels are multiplied with the pixels' channels, over the root of their number
    less = (config.decoder.pixel_dim / pixel_dim) ** -0.5
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for name, tensor in tensors.items():
        layer, _, kind = name.rpartition(".")
        groups = _kernel_groups(tensor, pixel_dim) if layer in kernels else _groups(name)
        reads = layer in readers and kind == "weight"
        weights[name] = _widened(name, tensor, shapes[name], groups, generator if reads else None)
        if layer in kernels:
            weights[name] = weights[name] * less
    wide.load_state_dict(weights)
    _check_answers(narrow, wide)
    return wide


def _widened(
    name: str, tensor: Tensor, shape: torch.Size, groups: tuple[int, int], generator: torch.Generator | None
) -> Tensor:
    """A tensor of a larger shape: channels repeated, and weights shared where they read repeated channels.

    Args:
        name: of the parameter, for messages.
        tensor: the narrow model's.
        shape: of the wide model's.
        groups: how many things lie one behind the other on the first and on the second axis, each of which
            is repeated for itself.
        generator: of the shares; None where the second axis is no layer's input.
    """
    if tensor.ndim != len(shape):
        raise ConfigError(f"widen_from: {name} has other axes; only the width may differ")
    for axis, (before, after) in enumerate(zip(tensor.shape, shape, strict=True)):
        if after % before:
            raise ConfigError(f"widen_from: {name} is {after} wide, no multiple of {before}")
        copies = after // before
        if copies == 1:
            continue
        count = groups[axis] if axis < 2 else 1
        parts = tensor.unflatten(axis, (count, before // count))
        tensor = torch.cat([parts] * copies, dim=axis + 1).flatten(axis, axis + 1)
        if axis == 1 and generator is not None:
            tensor = tensor * _shares(tensor, copies, count, generator)
    return tensor


def _shares(weight: Tensor, copies: int, groups: int, generator: torch.Generator) -> Tensor:
    """Factors of a weight (out, in, ...): over the copies of a channel they sum to one."""
    size = (weight.shape[0], groups, copies, weight.shape[1] // groups // copies)
    shares = (1 + _UNEVEN * torch.randn(size, generator=generator)) / copies
    shares = shares + (1 - shares.sum(dim=2, keepdim=True)) / copies
    return shares.flatten(1).view(*weight.shape[:2], *[1] * (weight.ndim - 2))


def _groups(name: str) -> tuple[int, int]:
    """How many things lie one behind the other on a tensor's first two axes."""
    if ".attn.qkv." in name:
        return 3, 1  # queries, keys and values
    if name.startswith("pixels.mix.0."):
        return 2, 1  # what the tokens say and what the image says
    if name == "pixels.mix.2.weight":
        return 1, 2  # it reads both
    return 1, 1


def _kernel_groups(tensor: Tensor, pixel_dim: int) -> tuple[int, int]:
    """The same of a layer that makes kernels: one behind the other for each of a query's points."""
    return tensor.shape[0] // pixel_dim, 1


def _kernel_layers(model: FaceModel) -> set[str]:
    """Names of the layers that make the kernels which are multiplied with the pixels' features."""
    makers: list[nn.Module] = [each.kernels for each in model.modules() if isinstance(each, LocalEvidence)]
    makers += [each.mlp[-1] for each in model.modules() if isinstance(each, Parsing)]
    return {name for name, module in model.named_modules() if any(module is each for each in makers)}


def _layers(model: FaceModel) -> set[str]:
    """Names of the layers whose weight's second axis is their input; that of a depthwise one is 1."""
    return {name for name, module in model.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)}


def _check_alike(narrow: FaceModelConfig, wide: FaceModelConfig) -> None:
    """Raise ConfigError where more than widths, dropout and the weights of losses differ."""
    if wide.backbone.pretrained:
        raise ConfigError("widen_from: brings all weights; set backbone.pretrained to false")
    theirs, ours = _skeleton(narrow), _skeleton(wide)
    for key, value in theirs.items():
        if value != ours[key]:
            raise ConfigError(f"widen_from: {key} is {value} in the model to widen; here it is {ours[key]}")


def _skeleton(config: FaceModelConfig) -> dict[str, object]:
    """What must be the same."""
    return {
        "heads": {task: spec.head for task, spec in config.heads.items()},
        "the order of the tasks": list(config.heads),
        "backbone.image_size": config.backbone.image_size,
        "backbone.blocks": config.backbone.blocks,
        "backbone.conv_stem": config.backbone.conv_stem,
        "backbone.stem_blocks": list(config.backbone.stem_blocks),
        "backbone.token_convs": config.backbone.token_convs,
        "decoder.blocks": config.decoder.blocks,
        "crop": (config.crop.scale, *config.crop.shift),
    }


def _check_attention(narrow: FaceModel, wide: FaceModel) -> None:
    """Raise ConfigError unless there are more attention heads, and not wider ones."""
    times = wide.backbone.dim / narrow.backbone.dim
    counts = {
        "decoder.heads": [each.config.decoder.heads for each in (narrow, wide)],
        "the backbone's num_heads": [_attention_heads(each) for each in (narrow, wide)],
    }
    for what, (before, after) in counts.items():
        if after != before * times:
            raise ConfigError(
                f"widen_from: {what} must be {before * times:g} for a backbone {wide.backbone.dim} wide, not "
                f"{after}"
            )


def _attention_heads(model: FaceModel) -> int:
    """Of the backbone; 0 where it does not say."""
    return int(getattr(getattr(model.backbone.vit.blocks[0], "attn", None), "num_heads", 0))


def _check_answers(narrow: FaceModel, wide: FaceModel) -> None:
    """Raise ConfigError where the answers differ by more than rounding."""
    size = narrow.config.backbone.image_size
    generator = torch.Generator().manual_seed(0)
    crops = torch.randint(0, 256, (4, size, size, 3), dtype=torch.uint8, generator=generator)
    theirs, ours = _answers(narrow, crops), _answers(wide, crops)
    for task, fields in theirs.items():
        for field, value in fields.items():
            if not torch.allclose(ours[task][field], value, rtol=_RELATIVE, atol=_ABSOLUTE):
                gap = float((ours[task][field] - value).abs().max())
                raise ConfigError(
                    f"widen_from: the wide model's {task} answers differently, by {gap:.3g}; only models "
                    "whose layers differ in nothing but their width can be widened"
                )


@torch.no_grad()
def _answers(model: FaceModel, crops: Tensor) -> Outputs:
    """What a model answers in evaluation mode; it is left in the mode that it was in."""
    was_training = model.training
    answers = model.eval().decode(model(crops))
    model.train(was_training)
    return answers
