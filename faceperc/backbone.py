"""The backbone: any timm vision transformer, read at several depths, with or without convolutions."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import timm
import torch
from timm.layers import set_fused_attn
from timm.models import group_parameters
from torch import Tensor, nn

from faceperc.conv_stem import ConvBlock, ConvStem
from faceperc.errors import ConfigError, ModelError
from faceperc.hub import fetch, parse_place
from faceperc.layers import grid_positions


@dataclass
class BackboneConfig:
    """A timm model and how it is read.

    Attributes:
        name: timm model name, e.g. ``vit_tiny_patch16_224``.
        image_size: side of the crop in pixels, a multiple of the patch size.
        blocks: how many depths are read, evenly spaced, the last one included.
        conv_stem: replace the patch embedding by strided 3x3 convolutions (models of timm's
            ``VisionTransformer`` class with 16 px patches).
        stem_blocks: residual bottlenecks in that stem, at a quarter, an eighth and a 16th of the resolution,
            e.g. ``[1, 2, 2]``; pixel features then read the stem at a quarter too. Empty: none.
        token_convs: a depthwise convolution of the tokens before every block (models of timm's
            ``VisionTransformer`` class).
        pretrained: start from timm's weights: the ``model.safetensors`` of the model's repository on the
            Hugging Face Hub, from the Hub client's cache or downloaded into it.
        options: further arguments of ``timm.create_model``, e.g. ``depth`` or ``drop_path_rate``.
    """

    name: str = "vit_tiny_patch16_224"
    image_size: int = 128
    blocks: int = 4
    conv_stem: bool = False
    stem_blocks: list[int] = field(default_factory=list)
    token_convs: bool = False
    pretrained: bool = False
    options: dict[str, Any] = field(default_factory=dict)


def _timm_weights(name: str) -> Path:
    """The file with timm's weights of a model.

    Raises:
        ConfigError: if timm has none for it, or none on the Hub.
        ModelError: if they cannot be had.
    """
    try:
        known = timm.models.get_pretrained_cfg(name)
    except RuntimeError as error:  # an unknown tag
        raise ConfigError(f"backbone: timm cannot create {name!r} ({error})") from error
    place = parse_place(known.hf_hub_id or "") if known is not None else None
    if place is None:
        raise ConfigError(
            f"backbone.pretrained: timm has no weights of {name!r} on the Hub; "
            "timm.list_pretrained() names those that there are"
        )
    try:
        return fetch(place, "model.safetensors")
    except ModelError as error:
        raise ModelError(
            f"backbone.pretrained: the weights of timm's {name} cannot be had: {error}. Without the network, "
            f"fill the Hub client's cache where there is one ('hf download {place.repo} model.safetensors') "
            "and bring it here (HF_HOME), or set backbone.pretrained to false"
        ) from error


class Seen(NamedTuple):
    """What the backbone gives.

    Attributes:
        depths: for each read depth (N, grid * grid, dim), shallow to deep.
        early: (N, early_dim, S / 4, S / 4) features of the convolutional stem; None where it gives none.
    """

    depths: list[Tensor]
    early: Tensor | None


class Backbone(nn.Module):
    """A timm ViT that gives the patch features of several depths.

    Raises:
        ConfigError: if timm does not know the model, or it cannot be read as a ViT.
        ModelError: if it is to start from timm's weights and they cannot be had.
    """

    vit: Any
    mean: Tensor
    std: Tensor

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        # On CPUs the fused kernel's backward pass is several times slower; the written-out form also exports.
        set_fused_attn(False)
        options = dict(config.options)
        refused = {"checkpoint_path", "pretrained_cfg", "pretrained_cfg_overlay", "cache_dir"} & set(options)
        if refused or ":" in config.name:  # hf-hub:... and local-dir:... read files that nobody asked for
            what = ", ".join(sorted(refused)) or config.name
            raise ConfigError(
                f"backbone: {what} is not allowed; give a plain timm model name and its options"
            )
        if config.conv_stem:
            options["embed_layer"] = partial(ConvStem, blocks=config.stem_blocks)
        elif config.stem_blocks:
            raise ConfigError("backbone.stem_blocks: there is no convolutional stem; set conv_stem to true")
        if config.token_convs:
            options["block_fn"] = ConvBlock
        if config.pretrained:
            if config.conv_stem or config.token_convs:
                raise ConfigError(
                    "backbone: timm's weights have no conv_stem or token_convs; leave them or pretrained out"
                )
            # timm would retry for minutes, and unpickle what it finds; a file it only reads
            options["pretrained_cfg_overlay"] = {
                "file": str(_timm_weights(config.name)),
                "custom_load": False,
            }
        try:
            self.vit = timm.create_model(
                config.name,
                pretrained=config.pretrained,
                img_size=config.image_size,
                num_classes=0,
                **options,
            )
        except (RuntimeError, TypeError, AssertionError) as error:
            raise ConfigError(f"backbone: timm cannot create {config.name!r} ({error})") from error
        if not hasattr(self.vit, "forward_intermediates") or not hasattr(self.vit, "blocks"):
            raise ConfigError(f"backbone: {config.name!r} is not a vision transformer with readable blocks")
        depth = len(self.vit.blocks)
        if not 1 <= config.blocks <= depth:
            raise ConfigError(
                f"backbone.blocks: {config.name!r} has {depth} blocks; asked for {config.blocks}"
            )
        # the depths have norms of their own in the decoder; parameters without a gradient would stop DDP
        self.vit.prune_intermediate_layers([depth - 1], prune_norm=True)
        self.indices = [(i + 1) * depth // config.blocks - 1 for i in range(config.blocks)]
        self.dim: int = self.vit.embed_dim
        stem = self.vit.patch_embed
        #: channels of the early features; 0 where there are none
        self.early_dim = stem.early_dim if isinstance(stem, ConvStem) and config.stem_blocks else 0
        ratio = self.vit.patch_embed.feat_ratio()
        self.patch: int = ratio if isinstance(ratio, int) else ratio[0]
        if config.image_size % self.patch:
            raise ConfigError(
                f"backbone.image_size: {config.image_size} is no multiple of the {self.patch} px patch"
            )
        if config.image_size % 4:
            raise ConfigError(f"backbone.image_size: {config.image_size} is no multiple of 4")
        self.grid = config.image_size // self.patch
        if not config.pretrained:
            self._start_positions()
        self.register_buffer(
            "mean", torch.tensor(self.vit.default_cfg["mean"]).view(3, 1, 1), persistent=False
        )
        self.register_buffer("std", torch.tensor(self.vit.default_cfg["std"]).view(3, 1, 1), persistent=False)

    def _start_positions(self) -> None:
        """Start learned positions as sines and cosines: timm's tiny random ones take thousands of steps to
        rise above the patches' content, and faces are all about where things are."""
        positions = getattr(self.vit, "pos_embed", None)
        if isinstance(positions, nn.Parameter) and positions.ndim == 3:
            codes = grid_positions(self.grid, self.dim)
            if positions.shape[1:] >= codes.shape:
                with torch.no_grad():
                    positions[0, -len(codes) :] = 0.5 * codes

    def depths(self, prefix: str) -> Callable[[str], float]:
        """A function from a parameter's name to its depth: 0 is the stem, then come the blocks.

        Parameters that are not the ViT's lie behind all of its layers, at infinity.

        Args:
            prefix: of this backbone's parameters in the names.
        """
        layers = group_parameters(self.vit, self.vit.group_matcher(), reverse=True)
        depths = {f"{prefix}vit.{name}": float(depth) for name, depth in layers.items()}
        return lambda name: depths.get(name, math.inf)

    def normalise(self, crops: Tensor) -> Tensor:
        """(N, S, S, 3) uint8 RGB -> (N, 3, S, S) float, normalised as the timm model wants it."""
        # cast before the transpose: TensorRT refuses to transpose uint8
        return (crops.float().permute(0, 3, 1, 2) - 255.0 * self.mean) * (1 / (255.0 * self.std))

    def forward(self, image: Tensor) -> Seen:
        """(N, 3, S, S) -> features of several depths."""
        stem = self.vit.patch_embed
        seen = stem.early(image) if isinstance(stem, ConvStem) else image
        depths: list[Tensor] = self.vit.forward_intermediates(
            seen, indices=self.indices, output_fmt="NLC", intermediates_only=True
        )
        return Seen(depths, seen if self.early_dim else None)
