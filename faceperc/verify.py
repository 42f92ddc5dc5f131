"""Does a model file answer as the trained model does, on every execution provider, for one face or many?

A reference set holds inputs and what the trained model answered to them in torch, in float32. `faceperc
export` writes one beside each file, so that a computer without torch can check its own runtime.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from faceperc._files import write_file
from faceperc._npz import read_arrays
from faceperc.errors import ModelError, UsageError
from faceperc.provenance import file_sha256
from faceperc.providers import available_providers
from faceperc.runtime import OnnxModel

#: Largest deviation from torch that is accepted, by the file's precision. For fp32 it is an output's largest
#: difference, relative to the output's largest value. Where rounding is part of the bargain, single pixels on
#: a boundary may flip, so that the largest difference says little: there it is the root mean square of the
#: difference, relative to that of the output.
TOLERANCES = {"fp32": 1e-4, "fp16": 5e-3, "bf16": 2e-2, "int8": 1e-1}
_SCHEMA = 1

#: What they compute an fp32 file in, by the names that ``OnnxModel.provider`` gives.
ROUNDING_PROVIDERS = {"openvino": "bf16", "OpenVINOExecutionProvider": "bf16", "tensorrt": "fp16"}


@dataclass(frozen=True)
class ReferenceSet:
    """Inputs and the trained model's answers.

    Attributes:
        inputs: arrays by the name of the ONNX input; (N, ...) with a row per face.
        outputs: float32 arrays by the name of the ONNX output, (N, ...).
        file_sha256: SHA-256 of each of the ONNX files that it was written with; none if unknown.
    """

    inputs: dict[str, NDArray[Any]]
    outputs: dict[str, NDArray[np.float32]]
    file_sha256: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Number of faces."""
        return len(next(iter(self.inputs.values())))

    def save(self, path: str | Path) -> Path:
        """Write a compressed NumPy archive."""
        head = json.dumps({"schema": _SCHEMA, "file_sha256": self.file_sha256})
        arrays: dict[str, Any] = {f"input/{name}": value for name, value in self.inputs.items()}
        arrays |= {f"output/{name}": value for name, value in self.outputs.items()}
        stream = io.BytesIO()
        np.savez_compressed(stream, head=np.array(head), **arrays)
        return write_file(path, stream.getvalue())

    @classmethod
    def load(cls, path: str | Path) -> ReferenceSet:
        """Read what ``save`` wrote. Nothing is unpickled.

        Raises:
            ModelError: if the file is missing or damaged.
        """
        try:
            arrays = read_arrays(path)
            head = json.loads(str(arrays.pop("head")))
            groups: dict[str, dict[str, NDArray[Any]]] = {"input": {}, "output": {}}
            for name, value in arrays.items():
                kind, _, rest = name.partition("/")
                groups[kind][rest] = value
            if head["schema"] != _SCHEMA or not groups["input"] or not groups["output"]:
                raise ValueError("it is of another version")
            digests = head["file_sha256"]  # one of them, not a list, in the first version
            digests = (digests,) if isinstance(digests, str) else tuple(digests)
            return cls(groups["input"], groups["output"], digests)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelError(
                f"{path}: is no usable reference set ({error}); export the model again"
            ) from error


class Deviation(NamedTuple):
    """How far an array is from a wanted one: see ``Comparison``; all 0 where there is nothing to compare."""

    maximum: float
    relative: float
    rms: float


def deviation(got: NDArray[Any], wanted: NDArray[Any]) -> Deviation:
    """How far an array is from a wanted one of its shape; NaN where it is no number."""
    gap = got.astype(np.float64) - wanted
    maximum = _largest(gap)
    return Deviation(maximum, maximum / max(_largest(wanted), 1e-6), _rms(gap) / max(_rms(wanted), 1e-6))


def _largest(values: NDArray[Any]) -> float:
    return float(np.abs(values).max(initial=0))


def _rms(values: NDArray[Any]) -> float:
    return float(np.sqrt(np.square(values, dtype=np.float64).mean())) if values.size else 0.0


@dataclass(frozen=True)
class Comparison:
    """One output on one provider.

    Attributes:
        provider: what ran it, see OnnxModel.
        batch: faces at a time.
        output: name of the ONNX output.
        maximum: largest difference from the reference, in the output's unit.
        relative: the same, relative to the output's largest value.
        rms: root mean square of the difference, relative to that of the output.
        limit: the tolerance that held here, e.g. ``"fp32, relative deviation up to 1e-04"``.
        passed: whether the deviation that counts is within it.
    """

    provider: str
    batch: int
    output: str
    maximum: float
    relative: float
    rms: float
    limit: str
    passed: bool


@dataclass
class Verification:
    """What ``verify`` found.

    Attributes:
        precision: the file's precision, e.g. ``"int8"``.
        tolerance: largest deviation that is accepted; see TOLERANCES.
        changed: the file is not the one that the reference set was written for.
        comparisons: a row per provider, batch size and output.
        unusable: providers that ONNX Runtime offers, but that cannot be started here, with the reason.
    """

    precision: str
    tolerance: float
    changed: bool = False
    comparisons: list[Comparison] = field(default_factory=list)
    unusable: dict[str, str] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """The file is unchanged, and answers within the tolerance wherever it runs."""
        return not self.changed and bool(self.comparisons) and all(each.passed for each in self.comparisons)

    def to_dict(self) -> dict[str, Any]:
        """For JSON, which has neither NaN nor infinity: a deviation that is no finite number is None."""
        rows = [{name: _finite(value) for name, value in asdict(each).items()} for each in self.comparisons]
        return {"passed": self.passed, **asdict(self), "comparisons": rows}


def verify(
    path: str | Path,
    reference: ReferenceSet,
    providers: Sequence[str] | None = None,
    tolerance: float | None = None,
) -> Verification:
    """Run the reference set on each provider, one face at a time and all at once.

    Args:
        path: the ONNX file.
        reference: inputs and wanted outputs.
        providers: names of execution providers; by default all that ONNX Runtime offers. One that was asked
            for must start; of the others those that do not are listed.
        tolerance: another tolerance than that of the file's precision.

    Raises:
        ModelError: if the file is no model or takes whole images, an asked provider cannot be started, or the
            outputs do not match.
        UsageError: if the tolerance is not a positive number.
    """
    if tolerance is not None and not 0 < tolerance < math.inf:
        raise UsageError(f"tolerance is a positive number; got {tolerance!r}")
    model = OnnxModel(path, threads=1, provider="cpu")
    if model.metadata.form != "crop":
        raise ModelError(f"{path}: takes whole images; only the crop form can be verified")
    precision = str(model.metadata.raw.get("precision", "fp32"))
    limit = TOLERANCES.get(precision) if tolerance is None else tolerance
    if limit is None:
        raise ModelError(f"{path}: is of the unknown precision {precision!r}; state a tolerance")
    result = Verification(precision, limit)
    if reference.file_sha256:
        result.changed = file_sha256(path) not in reference.file_sha256
    for provider in available_providers() if providers is None else providers:
        try:
            model = OnnxModel(path, threads=1, provider=provider)
        except ModelError as error:
            if providers is not None:
                raise
            result.unusable[provider] = str(error)
            continue
        limits = result
        rounded = ROUNDING_PROVIDERS.get(model.provider)
        if rounded is not None and tolerance is None and precision == "fp32":
            limits = replace(result, precision=rounded, tolerance=TOLERANCES[rounded])
        result.comparisons += _compare(model, provider, reference, limits)
    return result


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _compare(
    model: OnnxModel, provider: str, reference: ReferenceSet, limits: Verification
) -> Iterator[Comparison]:
    for batch in sorted({1, len(reference)}):
        answers = _run(model, reference.inputs, batch)
        if set(answers) != set(reference.outputs):
            raise ModelError(
                f"{model.path}: its outputs are {', '.join(answers)}; the reference set has "
                f"{', '.join(reference.outputs)}: it belongs to another model"
            )
        for name, wanted in reference.outputs.items():
            yield _difference(answers[name], wanted, provider, batch, name, limits)


def _run(model: OnnxModel, inputs: dict[str, NDArray[Any]], batch: int) -> dict[str, NDArray[np.float32]]:
    count = len(next(iter(inputs.values())))
    parts = [
        model.run({name: value[start : start + batch] for name, value in inputs.items()})
        for start in range(0, count, batch)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _difference(
    got: NDArray[np.float32], wanted: NDArray[np.float32],
    provider: str, batch: int, output: str, limits: Verification,
) -> Comparison:  # fmt: skip
    if got.shape != wanted.shape:
        raise ModelError(f"{output}: has the shape {got.shape}; the reference set has {wanted.shape}")
    found = deviation(got, wanted)
    kind = "relative" if limits.precision == "fp32" else "rms"
    limit = f"{limits.precision}, {kind} deviation up to {limits.tolerance:.0e}"
    # not "deviation > tolerance": an answer that is no number fails
    passed = getattr(found, kind) <= limits.tolerance
    return Comparison(provider, batch, output, *found, limit, passed)
