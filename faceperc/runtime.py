"""OnnxModel: a model file in ONNX Runtime, with its metadata and errors of our own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from faceperc.errors import ModelError, UsageError
from faceperc.metadata import ModelMetadata, parse_metadata

# TensorRT is not among the defaults: it compiles for minutes at the first run. Ask for it by name.
DEFAULT_PROVIDERS = ("CUDAExecutionProvider", "CPUExecutionProvider")


class OnnxModel:
    """A face model or a detector, ready to run.

    Attributes:
        path: the model file.
        metadata: what the file says about itself.
    """

    def __init__(
        self, path: str | Path, threads: int | None = None, providers: Sequence[str] | None = None
    ) -> None:
        """Open a model file.

        Args:
            path: an ONNX file written by faceperc.
            threads: threads within an operator; by default ONNX Runtime decides (all physical cores).
            providers: ONNX Runtime's execution providers in the order of preference; by default CUDA where
                it is available, then the CPU.

        Raises:
            ModelError: if the file is missing, damaged or not a faceperc model, if ONNX Runtime is not
                installed, or if a provider that was asked for cannot be used.
            UsageError: if ``threads`` is not a positive integer.
        """
        self.path = Path(path)
        if threads is not None and (not isinstance(threads, int) or threads < 1):
            raise UsageError(f"threads is a positive integer or None; got {threads!r}")
        if not self.path.is_file():
            raise ModelError(f"{path}: no such model file; check the path, or see 'faceperc models'")
        runtime = _onnxruntime()
        options = runtime.SessionOptions()
        options.log_severity_level = 3  # errors only; what stops the model is raised below
        if threads is not None:
            options.intra_op_num_threads = threads
        chosen = _choose(providers, runtime.get_available_providers())
        try:
            self._session = runtime.InferenceSession(str(self.path), options, providers=chosen)
        except Exception as error:  # ONNX Runtime raises a dozen kinds, all plain Exceptions
            raise ModelError(f"{path}: is not a usable ONNX model: {_line(error)}") from error
        if providers is not None and chosen[0] not in self.providers:
            raise ModelError(
                f"{chosen[0]} could not be started, only {', '.join(self.providers)}; check its driver "
                "and libraries, or leave providers out"
            )
        self.metadata = self._read_metadata()

    def __repr__(self) -> str:
        """Name, role, tasks and providers."""
        tasks = f", tasks {', '.join(self.metadata.tasks)}" if self.metadata.tasks else ""
        return f"<OnnxModel {self.metadata.name}: {self.metadata.role}{tasks}; {', '.join(self.providers)}>"

    @property
    def providers(self) -> tuple[str, ...]:
        """The execution providers that ONNX Runtime really uses, best first."""
        return tuple(self._session.get_providers())

    def run(
        self, inputs: Mapping[str, NDArray[Any]], outputs: Sequence[str] | None = None
    ) -> dict[str, NDArray[np.float32]]:
        """Run the graph once; may be called from several threads.

        Args:
            inputs: arrays by the name of the ONNX input.
            outputs: names of the ONNX outputs that are wanted; all by default.

        Returns:
            The arrays by the name of the ONNX output.

        Raises:
            ModelError: if ONNX Runtime refuses the inputs or fails.
        """
        names = list(outputs) if outputs is not None else [each.name for each in self._session.get_outputs()]
        try:
            arrays = self._session.run(names, dict(inputs))
        except Exception as error:
            shapes = {name: f"{array.dtype} {array.shape}" for name, array in inputs.items()}
            raise ModelError(f"{self.path}: failed on the inputs {shapes}: {_line(error)}") from error
        return dict(zip(names, arrays, strict=True))

    def _read_metadata(self) -> ModelMetadata:
        text = self._session.get_modelmeta().custom_metadata_map.get("faceperc")
        if text is None:
            raise ModelError(
                f"{self.path}: is not a faceperc model: it has no 'faceperc' metadata; "
                "write one with 'faceperc export'"
            )
        metadata = parse_metadata(text, str(self.path))
        inputs = {each.name for each in self._session.get_inputs()}
        outputs = {each.name for each in self._session.get_outputs()}
        named = {field.output for task in metadata.tasks.values() for field in task.fields.values()}
        missing = sorted(({metadata.input} - inputs) | (named - outputs))
        if missing:
            raise ModelError(
                f"{self.path}: its metadata names {', '.join(missing)}, which its graph lacks; "
                "export the model again"
            )
        return metadata


def _onnxruntime() -> ModuleType:
    try:
        import onnxruntime
    except ImportError as error:
        raise ModelError(
            'ONNX Runtime is not installed: pip install "faceperc[cpu]", or "faceperc[gpu]" for NVIDIA GPUs '
            f"(never both) [{error}]"
        ) from error
    return onnxruntime


def _choose(wanted: Sequence[str] | None, available: Sequence[str]) -> list[str]:
    if wanted is None:
        return [each for each in DEFAULT_PROVIDERS if each in available]
    if isinstance(wanted, str) or not wanted:
        raise UsageError(f"providers is a list of names such as ['CPUExecutionProvider']; got {wanted!r}")
    missing = [each for each in wanted if each not in available]
    if missing:
        raise ModelError(
            f"this ONNX Runtime has no {', '.join(missing)}; available: {', '.join(available)}. "
            'For NVIDIA GPUs: pip uninstall onnxruntime, then pip install "faceperc[gpu]"'
        )
    return list(wanted)


def _line(error: Exception) -> str:
    """The first line of an error of ONNX Runtime; the rest repeats it for each layer of its own code."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
