"""What `faceperc bench` measures of prediction.

NumPy and ONNX Runtime do; where onnx is not installed, the share of the machine's peak is left out, and
without torch and timm the unit of cost.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from faceperc import __version__
from faceperc._cores import cores
from faceperc.bench.clock import Spread, Times, milliseconds, ratio, time_in_turn
from faceperc.crop import FaceCrop
from faceperc.detect import FaceDetector, fit
from faceperc.errors import UsageError
from faceperc.image import read_image
from faceperc.metadata import check_takes_crops
from faceperc.predict import Predictor
from faceperc.runtime import OnnxModel
from faceperc.zoo import DEFAULT_MODEL, find_model, names, sample_image

#: Crops per run: one for the latency, eight for the throughput.
BATCHES = (1, 8)
#: Width and height of the photograph that the detector is timed on.
PHOTO = (640, 480)

CPU = "cpu"

#: What runs, and how many crops or images at once.
Run = tuple[str, int]

_SIZE = f"{PHOTO[0]} x {PHOTO[1]}"
_BLOB: Run = (f"OpenCV: {_SIZE} to a blob of 640 x 640", 1)
_UNIT: Run = ("unit: vit_tiny_patch16_224", 1)
_PEAK: Run = ("peak: matrix product", 1)


@dataclass(frozen=True)
class Candidate:
    """A face model to measure.

    Attributes:
        name: in the tables.
        path: its file.
        provider: what runs it, see OnnxModel.
    """

    name: str
    path: Path
    provider: str | None = None

    def open(self, threads: int) -> OnnxModel:
        """Raises ModelError if it cannot be opened, or is no face model that takes crops."""
        model = OnnxModel(self.path, threads, self.provider)
        check_takes_crops(model.metadata, str(self.path))
        return model


@dataclass(frozen=True)
class Speed:
    """The speed of a network in one setting.

    Attributes:
        name: the candidate, the detector, the unit of cost, or the matrix product.
        threads: ONNX Runtime's threads.
        batch: crops or images per run.
        wall_ms: milliseconds per run on the wall.
        cpu_ms: milliseconds of processor time per run.
        ratio: times as long as the reference with the same threads and batch; face models only.
        units: times as long as the unit of cost; None where that was not measured.
        gflops: 10^9 floating-point operations per second, two per multiply-add; None where unknown.
        of_peak: ``gflops`` as a share of the matrix product's; None where unknown.
    """

    name: str
    threads: int
    batch: int
    wall_ms: Spread
    cpu_ms: Spread
    ratio: Spread | None
    units: Spread | None
    gflops: float | None
    of_peak: Spread | None


@dataclass(frozen=True)
class Part:
    """A part of the prediction of the bundled photograph with one thread.

    Attributes:
        name: what is done.
        cpu_ms: milliseconds of processor time.
        share: of all parts together, in [0, 1].
    """

    name: str
    cpu_ms: Spread
    share: float


@dataclass(frozen=True)
class Start:
    """A new process up to the first result: Python, imports, opening the models, the bundled photograph.

    Attributes:
        model: the candidate.
        cpu_ms: milliseconds of processor time.
        wall_ms: milliseconds on the wall.
        peak_mb: largest memory of the process in 10^6 bytes; None where the system does not tell.
        file_mb: size of the model file in 10^6 bytes.
    """

    model: str
    cpu_ms: Spread
    wall_ms: Spread
    peak_mb: float | None
    file_mb: float


@dataclass(frozen=True)
class Bench:
    """Everything that was measured.

    Attributes:
        machine: processor, cores, versions, and the load before the measurement.
        speeds: of the networks.
        parts: of a prediction with the reference.
        starts: of a new process with each face model.
    """

    machine: dict[str, Any]
    speeds: list[Speed]
    parts: list[Part]
    starts: list[Start]


def bench(
    models: Sequence[str],
    reference: str = DEFAULT_MODEL,
    threads: Sequence[int] = (1,),
    rounds: int = 30,
    starts: int = 5,
    provider: str | None = None,
    unit: bool = True,
) -> Bench:
    """Measure face models in turn with a reference.

    Args:
        models: names or files.
        reference: name or file of the model, on the CPU, that the others are compared with.
        threads: numbers of threads to measure with.
        rounds: how often every run is timed.
        starts: how many new processes are timed for each model.
        provider: what runs ``models``, see OnnxModel.
        unit: measure the unit of cost too, where torch and timm are installed.

    Raises:
        ModelError: if a model cannot be opened, or is no face model that takes crops.
        UsageError: if two models have the same name.
    """
    where = machine()
    candidates = _candidates(models, reference, provider)
    speeds: list[Speed] = []
    for count in threads:
        speeds += _speeds(candidates, count, rounds, unit and count == 1)
    return Bench(
        machine=where,
        speeds=speeds,
        parts=_parts(candidates[0], rounds),
        starts=[_start(each, starts) for each in candidates],
    )


def _candidates(models: Sequence[str], reference: str, provider: str | None) -> list[Candidate]:
    """The reference, then the others."""
    found = [Candidate(_label(reference), find_model(reference), CPU)]
    for model in models:
        path = find_model(model)
        if provider is None and path == found[0].path:
            continue
        name = _label(model) if provider is None else f"{_label(model)}, {provider}"
        if name in [each.name for each in found]:
            raise UsageError(f"{model}: another model is called {name} too; rename the file")
        found.append(Candidate(name, path, provider))
    return found


def _label(model: str) -> str:
    return Path(model).name.removesuffix(".onnx")


def _speeds(candidates: Sequence[Candidate], threads: int, rounds: int, unit: bool) -> list[Speed]:
    """Everything with one number of threads, in turn."""
    runs = _runs(candidates, threads)
    work: dict[str, int | None] = {}
    if _installed("onnx"):
        from faceperc.bench.work import PEAK_WORK, matrix_product, multiply_adds

        runs[_PEAK] = matrix_product(threads)
        work = {_PEAK[0]: PEAK_WORK, **{each.name: multiply_adds(each.path) for each in candidates}}
    if unit and _installed("torch", "timm", "onnxscript"):
        from faceperc.bench.unit import unit_of_cost

        runs[_UNIT] = unit_of_cost()
    times = time_in_turn(runs, rounds)
    faces = {each.name for each in candidates}
    return [
        _speed(run, times, threads, candidates[0].name if run[0] in faces else None, work) for run in runs
    ]


def _runs(candidates: Sequence[Candidate], threads: int) -> dict[Run, Callable[[], object]]:
    """The face models on random crops in each batch, and the detectors on a grey photograph.

    A detector is timed as a network alone, and as all of `detect`: what else is there depends on how many
    cells it takes for faces, here none. OpenCV's resizing and conversion of the same picture, what a common
    detector does before its network, is a measure that has nothing to do with this project.
    """
    random = np.random.default_rng(0)
    runs: dict[Run, Callable[[], object]] = {}
    for each in candidates:
        model = each.open(threads)
        assert model.metadata.crop is not None
        side = model.metadata.crop.size
        for batch in BATCHES:
            crops = random.integers(0, 256, (batch, side, side, 3), dtype=np.uint8)
            runs[each.name, batch] = partial(model.run, {model.metadata.input: crops})
    photo = np.full((PHOTO[1], PHOTO[0], 3), 128, np.uint8)
    for name in (name for name, (each, _) in names().items() if each.role == "detector" and "." not in name):
        detector = FaceDetector(OnnxModel(find_model(name), threads, CPU))
        metadata, info = detector.model.metadata, detector.info
        fitted, _ = fit(photo, info.max_side, info.stride, info.enlarge)
        runs[f"{name}, {_SIZE}", 1] = partial(detector.model.run, {metadata.input: fitted[None]})
        runs[f"{name}, {_SIZE}, all of detect", 1] = partial(detector.detect, photo)
    if _installed("cv2"):
        runs[_BLOB] = _blob(photo)
    return runs


def _blob(photo: NDArray[np.uint8]) -> Callable[[], object]:
    import cv2

    cv2.setNumThreads(1)
    return lambda: cv2.dnn.blobFromImage(cv2.resize(photo, (640, 640)), 1 / 128, mean=(127.5, 127.5, 127.5))


def _speed(
    run: Run, times: Mapping[Run, Times], threads: int, reference: str | None, work: Mapping[str, int | None]
) -> Speed:
    """The figures of one run.

    Args:
        run: what ran.
        times: of all runs, in turn.
        threads: of all runs.
        reference: what the run is compared with at the same batch.
        work: multiply-adds of one crop by name.
    """
    name, batch = run
    seconds = times[run].fair(threads)
    gflops = of_peak = None
    one, peak = work.get(name), work.get(_PEAK[0])
    if one is not None and peak is not None:
        gflops = 2e-9 * one * batch / Spread.of(seconds).median
        per_peak = [one * batch / peak * each for each in times[_PEAK].fair(threads)]
        of_peak = ratio(per_peak, seconds)
    return Speed(
        name=name,
        threads=threads,
        batch=batch,
        wall_ms=milliseconds(times[run].wall),
        cpu_ms=milliseconds(times[run].cpu),
        ratio=None if reference is None else ratio(seconds, times[reference, batch].fair(threads)),
        units=ratio(seconds, times[_UNIT].fair(threads)) if _UNIT in times else None,
        gflops=gflops,
        of_peak=of_peak,
    )


def _parts(candidate: Candidate, rounds: int) -> list[Part]:
    """The steps of a prediction, each on what the step before gave."""
    predictor = Predictor(candidate.path, threads=1, provider=candidate.provider)
    rule, photo = predictor.metadata.crop, sample_image()
    assert rule is not None
    image = read_image(photo)
    boxes, _ = predictor.detector.detect(image)
    crop = FaceCrop.from_box(boxes[0], rule)
    crops = {predictor.metadata.input: crop.warp(image)[None]}
    outputs = {name: values[0] for name, values in predictor.model.run(crops).items()}
    steps: dict[str, Callable[[], object]] = {
        "read the file": lambda: read_image(photo),
        "detection": lambda: predictor.detector.detect(image),
        "crop": lambda: FaceCrop.from_box(boxes[0], rule).warp(image),
        "network": lambda: predictor.model.run(crops),
        "decoding": lambda: predictor._present(outputs, crop, image.shape[:2]),
    }
    times = {name: milliseconds(each.cpu) for name, each in time_in_turn(steps, rounds).items()}
    total = sum(each.median for each in times.values())
    return [Part(name, each, each.median / total) for name, each in times.items()]


_NEW_PROCESS = """
import json, sys, time
import faceperc
model, provider = json.loads(sys.argv[1])
faceperc.Predictor(model, provider=provider)(faceperc.sample_image())
seconds = time.process_time()
peak = None
if sys.platform == "linux":  # getrusage would count the parent's memory too
    with open("/proc/self/status") as status:
        peak = next(1024 * int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1e6
elif sys.platform == "darwin":
    import resource
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
print(json.dumps([seconds, peak]))
"""


def _start(candidate: Candidate, times: int) -> Start:
    """New processes, one after the other. They count their own processor time, from their beginning."""
    cpu, wall, peaks = [], [], []
    for _ in range(times):
        begin = time.perf_counter()
        command = [sys.executable, "-c", _NEW_PROCESS, json.dumps([str(candidate.path), candidate.provider])]
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        wall.append(time.perf_counter() - begin)
        seconds, peak = json.loads(printed)
        cpu.append(seconds)
        peaks.append(peak)
    known = [peak for peak in peaks if peak is not None]
    return Start(
        candidate.name,
        milliseconds(cpu),
        milliseconds(wall),
        max(known, default=None),
        candidate.path.stat().st_size / 1e6,
    )


def machine() -> dict[str, Any]:
    """Processor, cores, versions, and the load now."""
    import onnxruntime

    return {
        "processor": _processor(),
        "cores": cores(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "system": platform.system(),
        "python": platform.python_version(),
        "onnxruntime": onnxruntime.__version__,
        "faceperc": __version__,
    }


def _processor() -> str:
    """The name on the chip, where the system tells it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _installed(*packages: str) -> bool:
    return all(importlib.util.find_spec(package) is not None for package in packages)
