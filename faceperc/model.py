"""FaceModel: one look at a crop, every task's answer.

crops -> ViT features of several depths -> task queries read them -> each head turns its queries (and, for
dense outputs, the upscaled pixels) into its output.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from faceperc._files import make_folder, write_file
from faceperc.backbone import Backbone
from faceperc.config import FaceModelConfig, build_heads
from faceperc.decoder import PixelDecoder, TaskDecoder
from faceperc.errors import FacepercError, ModelError, UsageError
from faceperc.head import Features, Head
from faceperc.hub import parse_place
from faceperc.model_folder import CARD, CONFIG, TRAINING, WEIGHTS
from faceperc.zoo import find_weights

Outputs = dict[str, dict[str, Tensor]]


class FaceModel(nn.Module):
    """The multitask face network.

    Args:
        config: backbone, decoder, crop rule and heads.

    Raises:
        ConfigError: if the configuration names something that does not exist.
    """

    def __init__(self, config: FaceModelConfig) -> None:
        super().__init__()
        self.config = config
        #: What the weights learned from and under which terms they may be used: ``training.json``.
        self.record: dict[str, Any] = {}
        self.backbone = Backbone(config.backbone)
        dim, decoder = self.backbone.dim, config.decoder
        self.heads = nn.ModuleDict(build_heads(config, dim))
        dense = any(self.head(task).is_dense for task in self.tasks)
        self.decoder = TaskDecoder(
            groups=self._query_groups(),
            dim=dim,
            heads=decoder.heads,
            blocks=decoder.blocks,
            mlp_ratio=decoder.mlp_ratio,
            depths=config.backbone.blocks,
            grid=self.backbone.grid,
            gives_tokens=dense,
        )
        self.pixels = (
            PixelDecoder(
                dim,
                decoder.pixel_dim,
                patch=self.backbone.patch,
                grid=self.backbone.grid,
                early_dim=self.backbone.early_dim,
            )
            if dense
            else None
        )

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the tasks, in the order of the configuration."""
        return tuple(self.heads)

    def head(self, task: str) -> Head:
        """The head of a task."""
        head = self.heads[task]
        assert isinstance(head, Head)
        return head

    def _query_groups(self) -> list[int]:
        """Queries of the tasks together, and of each task that stays apart (see HeadConfig)."""
        apart = [spec.apart for spec in self.config.heads.values()]
        counts = [self.head(task).num_queries for task in self.tasks]
        together = apart.count(False) or len(apart)  # where all stay apart there is nothing to stay apart of
        return [sum(counts[:together]), *counts[together:]]

    def forward(self, crops: Tensor) -> Outputs:
        """Every head's raw outputs; ``decode`` turns them into final values.

        Args:
            crops: (N, S, S, 3) uint8 RGB.

        Returns:
            {task: {field: (N, ...)}}
        """
        return self.forward_with_tokens(crops)[0]

    def forward_with_tokens(self, crops: Tensor) -> tuple[Outputs, Tensor]:
        """As ``forward``, and (N, P, D) the backbone's last tokens, which distillation compares."""
        image = self.backbone.normalise(crops)
        features, early = self.backbone(image)
        queries, tokens = self.decoder(features)
        pixels = None if self.pixels is None else self.pixels(tokens, image, early)
        split = queries.split([self.head(task).num_queries for task in self.tasks], dim=1)
        raw = {
            task: self.head(task)(Features(own, pixels)) for task, own in zip(self.tasks, split, strict=True)
        }
        return raw, features[-1]

    def forward_rows(self, crops: Tensor, rows: Mapping[str, Tensor]) -> Outputs:
        """The raw outputs of each head for some of the crops: no head works for those without its label.

        The features of pixels, which cost most, are made for the crops that dense heads ask for.

        Args:
            crops: (N, S, S, 3) uint8 RGB.
            rows: task -> (M,) which crops its head is asked for, M at least 1.

        Returns:
            {task: {field: (M, ...)}}
        """
        image = self.backbone.normalise(crops)
        features, early = self.backbone(image)
        queries, tokens = self.decoder(features)
        dense = [rows[task] for task in self.tasks if self.head(task).is_dense]
        pixels: Tensor | None = None
        place = torch.zeros(len(crops), dtype=torch.long, device=crops.device)
        if self.pixels is not None:
            union = torch.cat(dense).unique()
            place[union] = torch.arange(len(union), device=crops.device)
            pixels = self.pixels(tokens[union], image[union], None if early is None else early[union])
        raw, start = {}, 0
        for task in self.tasks:
            head, asked = self.head(task), rows[task]
            own = queries[asked, start : start + head.num_queries]
            seen = pixels[place[asked]] if pixels is not None and head.is_dense else None
            raw[task] = head(Features(own, seen))
            start += head.num_queries
        return raw

    def decode(self, raw: Outputs) -> Outputs:
        """Raw outputs -> final values: points in crop pixels, rotations, probabilities (docs/contract.md)."""
        return {task: self.head(task).decode(fields) for task, fields in raw.items()}

    def no_weight_decay(self) -> set[str]:
        """Parameters that are no matrices: positions, identities, biases. timm's optimisers ask for it."""
        own = {"identity", "layers.position", "layers.layer_embedding", "layers.fusion"}
        return (
            {f"decoder.{name}" for name in own}
            | {f"backbone.vit.{name}" for name in self.backbone.vit.no_weight_decay()}
            | {name for name, _ in self.named_parameters() if name.endswith((".bias", ".log_width", ".stay"))}
        )

    def group_matcher(self, coarse: bool = False) -> Callable[[str], float]:
        """Depth of a parameter by its name. timm's layer-wise learning-rate decay asks for it."""
        return self.backbone.depths("backbone.")

    def weights_sha256(self) -> str:
        """SHA-256 over the weights, in the order of their sorted names."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write `model.safetensors` and `config.json` into a folder, each under a temporary name first.

        Raises:
            UsageError: if they cannot be written.
        """
        return write_model(Path(folder), self.state_dict(), dataclasses.asdict(self.config))

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> FaceModel:
        """Read a folder that ``save`` wrote. Nothing is unpickled.

        Raises:
            ModelError: if a file is missing or damaged, or the weights do not fit the configuration.
        """
        source = Path(folder)
        try:
            document = json.loads((source / CONFIG).read_text())
            weights = load_file(source / WEIGHTS)
        except (OSError, ValueError, RecursionError, SafetensorError) as error:
            raise ModelError(f"{source}: not a saved faceperc model ({error})") from error
        try:
            config = FaceModelConfig.from_dict(document)
            config.backbone.pretrained = False  # the weights are right here
            model = cls(config)
        except FacepercError:
            raise
        except Exception as error:  # timm and torch raise all kinds at values that cannot be
            raise ModelError(f"{source / CONFIG}: no network can be built from it ({error!r})") from error
        try:
            model.load_state_dict(weights)
        except RuntimeError as error:
            raise ModelError(f"{source}: the weights do not fit config.json ({error})") from error
        return model.eval()

    @classmethod
    def from_pretrained(cls, model: str | os.PathLike[str], revision: str | None = None) -> FaceModel:
        """A trained model by its name.

        Args:
            model: a name of the zoo (``faceperc-nano``), a model folder, or ``org/name[@revision]`` on the
                Hub.
            revision: branch, tag or commit of a model on the Hub.

        Raises:
            UnknownModelError: if there is no such model.
            ModelError: if its weights cannot be had, or are damaged.
            UsageError: if a revision is given for what is not on the Hub.
        """
        if revision is not None:
            place = None if os.path.exists(model) else parse_place(str(model))
            if place is None or place.revision:
                raise UsageError(f"{model}: takes no revision; it is for 'org/name' on the Hub")
            model = f"{place.repo}@{revision}"
        folder = find_weights(model)
        loaded = cls.load(folder)
        loaded.record = read_training(folder)
        return loaded

    def save_pretrained(self, folder: str | os.PathLike[str]) -> Path:
        """As ``save``, with ``training.json`` where ``record`` holds something.

        After training on: the terms of the former sources hold for the new weights too, so the record goes
        along; add the new sources to ``record["data"]``.
        """
        target = self.save(folder)
        if self.record:
            write_training(target, self.record)
        return target

    def push_to_hub(
        self,
        repo: str,
        card: str | os.PathLike[str],
        *,
        private: bool = False,
        tag: str | None = None,
        revision: str | None = None,
        commit_message: str | None = None,
    ) -> str:
        """Publish the weights, their configuration and record on the Hub.

        A folder that holds more, such as an ONNX file: ``faceperc push``.

        Args:
            repo: ``org/name``; made if there is none.
            card: a file that becomes the README.md; its front matter has a license.
            private: make the repository private.
            tag: a name for this version, e.g. ``v1``.
            revision: the branch that it goes to.
            commit_message: of the commit.

        Returns:
            ``org/name@commit``, which ``from_pretrained`` takes.

        Raises:
            ModelError: if the card names no license, or the Hub refuses.
            UsageError: if the card cannot be read, or ``repo`` is no ``org/name``.
        """
        from faceperc.publish import push

        with tempfile.TemporaryDirectory() as scratch:
            folder = self.save_pretrained(scratch)
            try:
                (folder / CARD).write_bytes(Path(card).read_bytes())
            except OSError as error:
                raise UsageError(f"{card}: cannot be read: {error.strerror or error}") from error
            place = push(folder, repo, private=private, tag=tag, branch=revision, message=commit_message)
        return str(place)


def write_model(folder: Path, weights: Mapping[str, Tensor], config: Mapping[str, Any]) -> Path:
    """Write `model.safetensors` and `config.json` into a folder, which is made where it is missing.

    Raises:
        UsageError: if they cannot be written.
    """
    make_folder(folder)
    write_file(folder / WEIGHTS, save({name: value.contiguous() for name, value in weights.items()}))
    write_file(folder / CONFIG, (json.dumps(config, indent=2) + "\n").encode())
    return folder


def write_training(folder: Path, record: Mapping[str, Any]) -> Path:
    """Write a training's record, `training.json`, which ``read_training`` reads."""
    return write_file(folder / TRAINING, (json.dumps(record, indent=2) + "\n").encode())


def read_training(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """What the training wrote about its data and licence, `training.json`; empty if there is none.

    Raises:
        ModelError: if the file is damaged.
    """
    path = Path(folder, TRAINING)
    if not path.is_file():
        return {}
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        for source in document.get("data", []):
            source["name"]  # by which what is trained from it takes them over
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: not readable ({error})") from error
    except (AttributeError, KeyError, TypeError) as error:
        raise ModelError(f"{path}: is no record: 'data' must list sources, each with a name") from error
    return document


def read_backbone(folder: str | os.PathLike[str]) -> dict[str, Tensor]:
    """The backbone's weights in the folder of a saved model or of a pretraining, by their names in Backbone.

    Raises:
        ModelError: if the file is missing or damaged.
    """
    path = Path(folder, WEIGHTS)
    try:
        weights = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path}: no weights can be read from it ({error})") from error
    prefix = "backbone."
    return {name.removeprefix(prefix): each for name, each in weights.items() if name.startswith(prefix)}


def labelled_rows(valid: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """task -> (N,) weights -> (M,) which samples carry its label; the first sample where none does, so that
    every head stays a part of the graph (DDP wants a gradient of every parameter)."""
    rows = {task: (weight > 0).nonzero()[:, 0] for task, weight in valid.items()}
    return {task: each if len(each) else each.new_zeros(1) for task, each in rows.items()}


def masked_losses(
    model: FaceModel,
    raw: Outputs,
    targets: Outputs,
    valid: dict[str, Tensor],
    totals: dict[str, Tensor] | None = None,
) -> dict[str, Tensor]:
    """Each task's loss over the samples that carry its label, weighted by how far the label is trusted.

    Args:
        model: gives the heads.
        raw: outputs of ``model.forward``.
        targets: task -> target name -> (N, ...).
        valid: task -> (N,) weights in [0, 1]; 0 masks the sample.
        totals: task -> what the weighted sum is divided by; the sum of ``valid`` by default.

    Returns:
        task -> scalar. A task of which no sample carries a label has loss 0, still joined to the graph.
    """
    losses = {}
    for task, target in targets.items():
        per_sample = model.head(task).loss(raw[task], target)
        # a masked sample's target is all zeros: see Head.loss
        losses[task] = masked_mean(per_sample, valid[task], None if totals is None else totals[task])
    return losses


def masked_mean(per_sample: Tensor, weight: Tensor, total: Tensor | None = None) -> Tensor:
    """Weighted mean over the samples; one with weight 0 has no part in it, whatever its value.

    Args:
        per_sample: (N,).
        weight: (N,) in [0, 1].
        total: what the weighted sum is divided by; the sum of ``weight``, at least 1, by default.
    """
    kept = torch.where(weight > 0, per_sample, torch.zeros_like(per_sample))
    return (kept * weight).sum() / (weight.sum().clamp_min(1.0) if total is None else total)
