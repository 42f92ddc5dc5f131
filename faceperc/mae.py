"""A masked autoencoder around the backbone: it learns to see faces from photographs without labels.

He et al., "Masked Autoencoders Are Scalable Vision Learners", CVPR 2022: the encoder reads the few visible
patches only, which makes it fast; a light decoder paints the hidden ones. That it also serves models as small
as ViT-tiny: Wang et al., "A Closer Look at Self-Supervised Lightweight Vision Transformers", ICML 2023.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from timm.layers import PatchEmbed
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn
from torch.nn import functional as F

from faceperc.backbone import Backbone
from faceperc.config import FaceModelConfig
from faceperc.conv_stem import ConvStem
from faceperc.errors import ConfigError
from faceperc.layers import grid_positions
from faceperc.model import write_model


@dataclass
class AutoencoderConfig:
    """What is hidden, and the decoder that is thrown away after the pretraining.

    Attributes:
        mask_ratio: share of the patches that are hidden, in (0, 1).
        width: width of the decoder's tokens, a multiple of 4 and of ``heads``.
        blocks: transformer blocks of the decoder.
        heads: attention heads of the decoder.
    """

    mask_ratio: float = 0.75
    width: int = 128
    blocks: int = 2
    heads: int = 4


class MaskedAutoencoder(nn.Module):
    """A Backbone and a decoder of its hidden patches.

    Below, N crops of S px have L patches of p px each, V of them visible, and the backbone the width D.

    Args:
        network: configuration of the model to be; of it the backbone and the crop rule matter here. Where it
            has ``stem_blocks`` or ``token_convs``, which see beyond a patch, the backbone is pretrained
            without them: they start as no change in the model that takes its weights.
        config: mask and decoder.

    Raises:
        ConfigError: if the backbone is none that reads patches one by one, or the sizes do not fit.
    """

    positions: Tensor

    def __init__(self, network: FaceModelConfig, config: AutoencoderConfig) -> None:
        super().__init__()
        network = dataclasses.replace(
            network, backbone=dataclasses.replace(network.backbone, stem_blocks=[], token_convs=False)
        )
        self.config = network
        self.backbone = Backbone(network.backbone)
        vit, grid = self.backbone.vit, self.backbone.grid
        if (
            not isinstance(vit, VisionTransformer)
            or vit.pos_embed is None
            or type(vit.patch_embed) not in (PatchEmbed, ConvStem)
        ):
            raise ConfigError(
                f"backbone: {network.backbone.name!r} cannot be pretrained: only models of timm's "
                "VisionTransformer class with learned positions and plain patches, or conv_stem, can"
            )
        self.patches = grid * grid
        self.visible = round(self.patches * (1 - config.mask_ratio))
        if not 0 < self.visible < self.patches:
            raise ConfigError(
                f"autoencoder.mask_ratio: {config.mask_ratio} leaves {self.visible} of {self.patches} "
                "patches visible; some must be, but not all"
            )
        if min(config.width, config.heads, config.blocks) < 1:
            raise ConfigError("autoencoder: width, heads and blocks are 1 or more")
        if config.width % 4 or config.width % config.heads:
            raise ConfigError(
                f"autoencoder.width: {config.width} is no multiple of 4 and of the {config.heads} heads"
            )
        self.norm = nn.LayerNorm(self.backbone.dim)
        self.embed = nn.Linear(self.backbone.dim, config.width)
        self.mask_token = nn.Parameter(0.02 * torch.randn(1, 1, config.width))
        self.register_buffer("positions", grid_positions(grid, config.width), persistent=False)
        self.decoder = nn.Sequential(
            *(Block(config.width, config.heads, qkv_bias=True) for _ in range(config.blocks)),
            nn.LayerNorm(config.width),
            nn.Linear(config.width, 3 * self.backbone.patch**2),
        )

    def choose(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """(N, V) indices of random visible patches for ``count`` crops."""
        order = torch.rand(count, self.patches, generator=generator).argsort(dim=1)
        return order[:, : self.visible].to(self.mask_token.device)

    def encode(self, image: Tensor, visible: Tensor) -> Tensor:
        """(N, 3, S, S) normalised, (N, V) -> (N, V, D) from the pixels of the visible patches alone."""
        vit = self.backbone.vit
        if isinstance(vit.patch_embed, ConvStem):
            tokens = _visible_stem(vit.patch_embed, image, self._shown(visible))
        else:
            tokens = vit.patch_embed(image)
        prefix, patches = vit._pos_embed(tokens).tensor_split([vit.num_prefix_tokens], dim=1)
        seen = torch.cat([prefix, patches.take_along_dim(visible[:, :, None], dim=1)], dim=1)
        return self.norm(vit.blocks(vit.norm_pre(seen))[:, vit.num_prefix_tokens :])

    def forward(self, image: Tensor, visible: Tensor) -> Tensor:
        """(N, 3, S, S) normalised, (N, V) -> (N, L, 3 p p) pixels of all patches, each patch normalised."""
        seen = self.embed(self.encode(image, visible))
        hidden = self.mask_token.to(seen.dtype).expand(len(seen), self.patches, -1)
        tokens = hidden.scatter(1, visible[:, :, None].expand_as(seen), seen)
        return self.decoder(tokens + self.positions)

    def loss(self, crops: Tensor, visible: Tensor) -> Tensor:
        """(N, S, S, 3) uint8 RGB, (N, V) -> (N,) mean squared error over the hidden patches.

        Each patch is normalised by its own mean and deviation, so 1 is the error of a patch's mean colour.
        """
        image = self.backbone.normalise(crops)
        patches = self._patches(image)
        mean, deviation = _moments(patches)
        error = (self(image, visible).float() - (patches - mean) / deviation).square().mean(dim=2)
        hidden = ~self._shown(visible)
        return (error * hidden).sum(dim=1) / hidden.sum(dim=1)

    def pictures(self, crops: Tensor, visible: Tensor) -> Tensor:
        """(N, S, S, 3) uint8 RGB, (N, V) -> (N, 3, S, 3 S) RGB in [0, 1].

        Side by side: the crop, what is visible of it, and the hidden patches painted in. Their mean and
        deviation are the true ones, which the network does not learn.
        """
        image = self.backbone.normalise(crops)
        patches = self._patches(image)
        mean, deviation = _moments(patches)
        shown = self._shown(visible)[:, :, None]
        painted = torch.where(shown, patches, self(image, visible).float() * deviation + mean)
        columns = [self._image(each) for each in (patches, patches * shown, painted)]
        return torch.cat([(each * self.backbone.std + self.backbone.mean) for each in columns], 3).clamp(0, 1)

    def no_weight_decay(self) -> set[str]:
        """Parameters that are no matrices. timm's optimisers ask for it."""
        return {"mask_token"} | {f"backbone.vit.{name}" for name in self.backbone.vit.no_weight_decay()}

    def group_matcher(self, coarse: bool = False) -> Callable[[str], float]:
        """Depth of a parameter by its name. timm's layer-wise learning-rate decay asks for it."""
        return self.backbone.depths("backbone.")

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write the backbone's `model.safetensors`, with the names of FaceModel, and `config.json`.

        Raises:
            UsageError: if they cannot be written.
        """
        weights = {f"backbone.{name}": value for name, value in self.backbone.state_dict().items()}
        config = dataclasses.asdict(self.config)
        return write_model(Path(folder), weights, {key: config[key] for key in ("name", "backbone", "crop")})

    def _shown(self, visible: Tensor) -> Tensor:
        """(N, V) indices -> (N, L) whether a patch is visible."""
        return torch.zeros(len(visible), self.patches, dtype=torch.bool, device=visible.device).scatter(
            1, visible, True
        )

    def _patches(self, image: Tensor) -> Tensor:
        """(N, 3, S, S) -> (N, L, 3 p p)."""
        return F.pixel_unshuffle(image, self.backbone.patch).flatten(2).transpose(1, 2)

    def _image(self, patches: Tensor) -> Tensor:
        """(N, L, 3 p p) -> (N, 3, S, S)."""
        grid = self.backbone.grid
        return F.pixel_shuffle(patches.transpose(1, 2).unflatten(2, (grid, grid)), self.backbone.patch)


def _moments(patches: Tensor) -> tuple[Tensor, Tensor]:
    """(N, L, K) -> mean and deviation of each patch, (N, L, 1) both."""
    variance, mean = torch.var_mean(patches, dim=2, keepdim=True)
    return mean, (variance + 1e-6).sqrt()


def _visible_stem(stem: ConvStem, image: Tensor, shown: Tensor) -> Tensor:
    """The stem's tokens where the hidden patches are empty: (N, 3, S, S), (N, L) -> (N, L, D).

    The 3x3 convolutions look beyond a patch's edge, so the hidden pixels must go before them. As in SparK
    (Tian et al., ICLR 2023) hidden cells are zeros at every resolution, and batch norm counts visible cells
    alone: with the zeros in its statistics it would scale whole images otherwise than it learned to.
    """
    features = image * _cells(shown, image.shape[2])[:, None]
    for layer in stem.layers:
        if isinstance(layer, nn.BatchNorm2d):
            cells = _cells(shown, features.shape[2])
            rows = features.permute(0, 2, 3, 1)
            seen = layer(rows[cells][:, :, None, None]).flatten(1)
            features = seen.new_zeros(rows.shape).index_put((cells,), seen).permute(0, 3, 1, 2)
        else:
            features = layer(features)
    return features.flatten(2).transpose(1, 2)


def _cells(shown: Tensor, size: int) -> Tensor:
    """(N, L) of the patches -> (N, size, size) of the cells of a finer grid."""
    grid = round(shown.shape[1] ** 0.5)
    repeats = size // grid
    return shown.unflatten(1, (grid, grid)).repeat_interleave(repeats, 1).repeat_interleave(repeats, 2)
