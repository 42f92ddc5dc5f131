"""Configuration of a model: strict data, the same in YAML, in `config.json` and in code."""

from __future__ import annotations

import importlib
import inspect
import sys
from dataclasses import dataclass, field
from typing import Any, TypeVar

from faceperc._names import unknown_name
from faceperc.backbone import BackboneConfig
from faceperc.crop import CropRule
from faceperc.errors import ConfigError
from faceperc.head import Head, HeadContext

T = TypeVar("T")


@dataclass
class HeadConfig:
    """A head: the import path of its class, and its arguments.

    Attributes:
        head: the class.
        options: its arguments.
        apart: the task reads the other tasks' queries, but nothing of theirs reads its own: their answers are
            what they were without it.
    """

    head: str
    options: dict[str, Any] = field(default_factory=dict)
    apart: bool = False


@dataclass
class DecoderConfig:
    """The task-query decoder.

    Attributes:
        heads: attention heads.
        blocks: two-way blocks.
        mlp_ratio: hidden width of the MLPs as a multiple of the width.
        pixel_dim: channels of the upscaled features that dense heads read.
    """

    heads: int = 6
    blocks: int = 2
    mlp_ratio: float = 4.0
    pixel_dim: int = 32


@dataclass
class CropConfig:
    """How a face box becomes a crop; see ``faceperc.crop.CropRule``. The size is the backbone's."""

    scale: float = 1.5
    shift: tuple[float, float] = (0.0, -0.05)


@dataclass
class FaceModelConfig:
    """Everything that defines a face model but its weights.

    ``heads`` maps a task's name to its head; those that stay apart come last, wherever they were put.
    """

    name: str
    backbone: BackboneConfig
    heads: dict[str, HeadConfig]
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    crop: CropConfig = field(default_factory=CropConfig)

    def __post_init__(self) -> None:
        self.heads = dict(sorted(self.heads.items(), key=lambda entry: entry[1].apart))

    @property
    def crop_rule(self) -> CropRule:
        """The crop rule that training, evaluation and the exported file share."""
        shift = (float(self.crop.shift[0]), float(self.crop.shift[1]))
        return CropRule(self.backbone.image_size, self.crop.scale, shift)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> FaceModelConfig:
        """The inverse of ``dataclasses.asdict``, e.g. of `config.json`.

        Raises:
            ConfigError: naming the unknown or missing key.
        """
        values = dict(values)
        heads = values.pop("heads", None)
        if not isinstance(heads, dict) or not heads:
            raise ConfigError("model: 'heads' must map task names to heads")
        nested: dict[str, type[Any]] = {
            "backbone": BackboneConfig,
            "decoder": DecoderConfig,
            "crop": CropConfig,
        }
        parts = {key: _build(kind, values.pop(key), key) for key, kind in nested.items() if key in values}
        built = {task: _build(HeadConfig, spec, f"heads.{task}") for task, spec in heads.items()}
        return _build(cls, {**values, **parts, "heads": built}, "model")


def build_heads(config: FaceModelConfig, dim: int = 8) -> dict[str, Head]:
    """The heads of a model by task, with untrained layers of width ``dim``.

    Raises:
        ConfigError: if a head's class does not exist or does not take its options.
    """
    context = HeadContext(dim, config.decoder.pixel_dim, config.backbone.image_size)
    heads = {}
    for task, spec in config.heads.items():
        heads[task] = instantiate(spec, Head, f"heads.{task}")  # type: ignore[type-abstract]
        heads[task].build(context)
    return heads


def instantiate(config: HeadConfig, base: type[T], where: str) -> T:
    """The object that ``config`` names.

    Args:
        config: class and arguments.
        base: class that it must derive from.
        where: dotted key, for the message.

    Raises:
        ConfigError: if the class does not exist, is no ``base``, does not take the arguments, or lies in a
            module that is neither faceperc's nor imported yet.
    """
    module_name, _, class_name = config.head.rpartition(".")
    # a configuration may come with somebody's model file, which must not run code of its own choice
    if module_name not in sys.modules and not module_name.startswith("faceperc.heads."):
        module = module_name or "its module"
        raise ConfigError(
            f"{where}.head: {config.head!r} is no head of faceperc; import {module} first "
            "(on the command line: --import MODULE)"
        )
    try:
        found = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"{where}.head: cannot import {config.head!r} ({error})") from error
    if not (inspect.isclass(found) and issubclass(found, base)):
        raise ConfigError(f"{where}.head: {config.head!r} is not a {base.__name__}")
    return _build(found, config.options, f"{where}.options")


def _build(kind: type[T], values: dict[str, Any], where: str) -> T:
    if not isinstance(values, dict):
        raise ConfigError(f"{where}: expected a mapping, got {type(values).__name__}")
    parameters = inspect.signature(kind).parameters
    for key in values:
        if key not in parameters:
            raise ConfigError(f"{where}.{key}: {unknown_name('key', key, list(parameters))}")
    required = inspect.Parameter.empty
    missing = [key for key, p in parameters.items() if p.default is required and key not in values]
    if missing:
        raise ConfigError(f"missing key '{where}.{missing[0]}'")
    return kind(**values)
