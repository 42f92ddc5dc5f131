"""`faceperc bench train`: which stage of a training takes the time.

Machines are noisy and differ, so what counts is the ratio of two stages. Every round times every stage once,
in turn, and compares it with the reference stage of the same round; the figure is the median over the rounds.
"""

from __future__ import annotations

import io
import time
import warnings
from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from lightning.pytorch.cli import LightningCLI
from PIL import Image
from timm.optim import create_optimizer_v2
from torch import Tensor

from faceperc._find_config import find_config
from faceperc._parser import CommandParser
from faceperc.crop import box_from_landmarks
from faceperc.data.augment import Augment
from faceperc.data.derive import parsing_from_landmarks, pose_from_landmarks
from faceperc.data.mean_face import MEAN_FACE
from faceperc.data.mix import Collate, FaceDataset, MixSampler
from faceperc.data.module import FaceData
from faceperc.data.source import Sample, decode_image
from faceperc.head import Batch
from faceperc.heads.parsing import SetMask
from faceperc.model import FaceModel, masked_losses
from faceperc.train import FaceTraining

#: The stage that the others are compared with.
REFERENCE = "fp32 whole step"


@dataclass(frozen=True)
class Stage:
    """Something to time.

    Attributes:
        name: what it is called in the table.
        run: does the stage's work for one batch.
    """

    name: str
    run: Callable[[], object]


@dataclass(frozen=True)
class Timing:
    """Figures of a stage.

    Attributes:
        name: the stage.
        images_per_second: median over the rounds.
        ratio: median over the rounds of how many times as fast as the reference it was in the same round.
        lowest, highest: range of the ratio over the rounds.
    """

    name: str
    images_per_second: float
    ratio: float
    lowest: float
    highest: float


def time_rounds(stages: list[Stage], sums: dict[str, list[str]], rounds: int) -> list[dict[str, float]]:
    """Run all stages in turn, again and again; a first round warms up and does not count.

    Args:
        stages: what to time, in this order.
        sums: name -> the stages that it is the sum of.
        rounds: rounds that count.

    Returns:
        one {name: seconds per batch} per round.
    """
    seconds = []
    for _ in range(rounds + 1):
        row = {stage.name: _seconds(stage.run) for stage in stages}
        seconds.append(row | {name: sum(row[part] for part in parts) for name, parts in sums.items()})
    return seconds[1:]


def summarise(seconds: list[dict[str, float]], batch_size: int, reference: str) -> list[Timing]:
    """Medians of all stages and of their ratios to the reference stage in the same round."""
    timings = []
    for name in seconds[0]:
        ratios = [row[reference] / row[name] for row in seconds]
        speed = batch_size / float(np.median([row[name] for row in seconds]))
        timings.append(Timing(name, speed, float(np.median(ratios)), min(ratios), max(ratios)))
    return timings


def _seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def data_stages(dataset: FaceDataset, indices: list[int], collate: Collate) -> list[Stage]:
    """The stages of the data pipeline, each on the samples of one batch and in this process alone."""
    augment = dataset.augment
    assert augment is not None
    samples = [dataset.samples[index][0] for index in indices]
    files = [_encoded(sample.pixels) for sample in samples]
    views = [augment.view(sample) for sample in samples]
    crops = [view.pixels(sample.pixels) for sample, view in zip(samples, views, strict=True)]
    items = [dataset[index] for index in indices]

    def warp(sample: Sample) -> None:
        augment.view(sample).pixels(sample.pixels)

    return [
        Stage("data: decode", lambda: _each(lambda file: decode_image(file, "bench"), files)),
        Stage("data: view, warp", lambda: _each(warp, samples)),
        Stage("data: cover, pixels", lambda: _each(augment.change, crops, [view.cover for view in views])),
        Stage("data: targets", lambda: _each(dataset.targets, samples, views)),
        Stage("data: collate", lambda: collate(items)),
        Stage("data: whole loader", lambda: collate([dataset[index] for index in indices])),
    ]


def _each(function: Callable[..., object], *values: Iterable[Any]) -> None:
    for arguments in zip(*values, strict=True):
        function(*arguments)


def _encoded(image: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=90)
    return stream.getvalue()


class Steps:
    """The parts of a training step on one batch; they must run in their order.

    Args:
        name: prefix of the stages' names.
        model: trained with a learning rate of 0, which costs the same.
        batch: on the model's device.
        autocast: to bfloat16.
    """

    def __init__(self, name: str, model: FaceModel, batch: Batch, autocast: bool) -> None:
        self.name = name
        self.model = model
        self.batch = batch
        self.autocast = autocast
        self.optimiser = create_optimizer_v2(model, opt="adamw", lr=0.0)
        self.loss = torch.zeros(())

    def forward(self) -> None:
        """The network and its losses."""
        batch = self.batch
        with torch.autocast(batch.crops.device.type, torch.bfloat16, enabled=self.autocast):
            raw = self.model(batch.crops)
            losses = masked_losses(self.model, raw, batch.targets, batch.valid)
        self.loss = torch.stack(list(losses.values())).sum()

    def backward(self) -> None:
        """All gradients."""
        self.optimiser.zero_grad()
        self.loss.backward()

    def stages(self) -> tuple[list[Stage], dict[str, list[str]]]:
        """The parts, and the whole step as their sum."""
        stages = [
            Stage(f"{self.name} forward", self.forward),
            Stage(f"{self.name} backward", self.backward),
            Stage(f"{self.name} optimiser", self.optimiser.step),
        ]
        return stages, {f"{self.name} whole step": [stage.name for stage in stages]}


def _samples(data: FaceData, synthetic: bool) -> list[list[Sample]]:
    """Some samples of each training source, or drawn ones."""
    if synthetic:
        random = np.random.default_rng(0)
        return [[_drawn(random) for _ in range(data.batch_size)]]
    return [
        source.read(data.path, "train", data.batch_size) if "train" in source.splits else []
        for source in data.sources
    ]


def _drawn(random: np.random.Generator) -> Sample:
    """A picture of coloured clouds with the landmarks, pose and parsing of a frontal face."""
    clouds = Image.fromarray(random.integers(0, 256, (16, 16, 3), dtype=np.uint8))
    image = np.asarray(clouds.resize((256, 256), Image.Resampling.BICUBIC))
    points = MEAN_FACE[:, :2] * [10.0, -10.0] + 127.5
    labels = {
        "landmarks": points,
        "pose": pose_from_landmarks(points),
        "parsing": SetMask(parsing_from_landmarks(points, (256, 256)).astype(np.int16)),
    }
    return Sample(image, box_from_landmarks(points), labels)


def _to(batch: Batch, device: torch.device) -> Batch:
    def move(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return {key: value.to(device) for key, value in tensors.items()}

    targets = {task: move(target) for task, target in batch.targets.items()}
    return Batch(batch.crops.to(device), targets, move(batch.valid), batch.source)


def bench(
    training: FaceTraining, data: FaceData, device: torch.device, rounds: int, compile: bool, synthetic: bool
) -> list[Timing]:
    """Time the stages of a recipe.

    Args:
        training: has the model.
        data: has the sources, the augmentation and the batch size.
        device: where the model runs.
        rounds: rounds that count.
        compile: time the compiled network too.
        synthetic: draw samples instead of reading the sources.

    Raises:
        DataError: if the data is missing or damaged.
    """
    model = training.model.to(device).train()
    heads = {task: model.head(task) for task in model.tasks}
    rule = model.config.crop_rule
    sources = _samples(data, synthetic)
    dataset = FaceDataset(sources, heads, rule, Augment(data.augment, rule, data.seed))
    weights = [1.0] if synthetic else [source.weight for source in data.sources]
    turns = np.split(np.arange(len(dataset)), np.cumsum([len(samples) for samples in sources])[:-1])
    indices = list(MixSampler(turns, weights, data.batch_size, data.seed))
    collate = Collate(heads)
    batch = _to(collate([dataset[index] for index in indices]), device)
    variants = [Steps("fp32", model, batch, autocast=False), Steps("bf16", model, batch, autocast=True)]
    if compile:
        compiled = deepcopy(model)
        compiled.compile(dynamic=False)
        variants.append(Steps("bf16 compiled", compiled, batch, autocast=True))
    stages = data_stages(dataset, indices, collate)
    sums: dict[str, list[str]] = {}
    for variant in variants:
        parts, total = variant.stages()
        stages += parts
        sums |= total
    return summarise(time_rounds(stages, sums, rounds), data.batch_size, REFERENCE)


def show(timings: list[Timing], title: str) -> None:
    """Print the figures as a table."""
    from rich.table import Table

    from faceperc._console import plain_console

    table = Table("stage", "images/s", "times as fast", "range", title=title)
    for timing in timings:
        spread = f"{timing.lowest:.2f}-{timing.highest:.2f}"
        table.add_row(timing.name, f"{timing.images_per_second:.0f}", f"{timing.ratio:.2f}", spread)
    plain_console().print(table)


def main(args: list[str]) -> int:
    """Time the stages of a recipe's training; `--help` lists the options."""
    from faceperc.bench.cli import count

    parser = CommandParser(
        prog="faceperc bench train",
        description="Time the stages of a training, as ratios to a reference of the same run. "
        "Other options go to the recipe, as for 'faceperc train'.",
        epilog="Example: faceperc bench train configs/train/nano.yaml --synthetic --data.batch_size 32",
    )
    parser.add_argument("recipes", nargs="+", help="configuration files, later ones override earlier ones")
    parser.add_argument("--rounds", type=count, default=5, help="how often every stage is timed (default: 5)")
    parser.add_argument("--compile", action="store_true", help="time the compiled network too")
    parser.add_argument("--synthetic", action="store_true", help="draw samples: no data is needed")
    options, rest = parser.parse_known_args(args)
    files = [part for path in options.recipes for part in ("--config", str(find_config(path)))]
    warnings.filterwarnings("ignore", message=".*args parameter is intended to run from within Python.*")
    cli = LightningCLI(FaceTraining, FaceData, args=[*files, *rest], run=False, save_config_callback=None)
    device = cli.trainer.strategy.root_device
    timings = bench(cli.model, cli.datamodule, device, options.rounds, options.compile, options.synthetic)
    where = f"{torch.get_num_threads()} CPU threads" if device.type == "cpu" else str(device)
    name, size = cli.model.model.config.name, cli.datamodule.batch_size
    show(timings, f"{name}, batches of {size}, {where}: {REFERENCE} = 1")
    return 0
