"""OnnxModel: a model file in ONNX Runtime or OpenVINO, with its metadata and errors of our own."""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Mapping, Sequence
from numbers import Integral
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from faceperc._names import no_such_file
from faceperc.errors import FacepercError, ModelError, UsageError
from faceperc.metadata import ModelMetadata, check_detector_outputs, parse_metadata
from faceperc.openvino_session import OpenVinoSession
from faceperc.providers import (
    OPENVINO,
    ORT_PROVIDERS,
    conflict,
    how_to_install,
    how_to_repair,
    ort_name,
    short_name,
    with_options,
)


class OnnxModel:
    """A face model or a detector, ready to run.

    Attributes:
        path: the model file.
        metadata: what the file says about itself.
    """

    def __init__(self, path: str | Path, threads: int | None = None, provider: str | None = None) -> None:
        """Open a model file.

        Args:
            path: an ONNX file written by faceperc.
            threads: threads within an operator; by default the runtime decides (all physical cores).
            provider: what runs it: "cpu", "cuda", "tensorrt", "openvino", or ONNX Runtime's own name of a
                provider; by default CUDA where it is available, else the CPU. TensorRT compiles for minutes
                at the first run; what it made is kept in the user's cache folder.

        Raises:
            ModelError: if the file is missing, damaged or not a faceperc model, if the runtime is not
                installed, or if the provider that was asked for does not run.
            UsageError: if ``threads`` is not a positive integer or there is no such provider.
        """
        self.path = Path(path)
        if threads is not None and (not isinstance(threads, Integral) or threads < 1):
            raise UsageError(f"threads is a positive integer or None; got {threads!r}")
        if not self.path.is_file():
            raise ModelError(
                f"{path}: {no_such_file(path, 'model file')}; names are listed by 'faceperc models'"
            )
        self._session = self._open(threads, provider)
        self.metadata = self._read_metadata()

    def __repr__(self) -> str:
        """Name, role, tasks and providers."""
        tasks = f", tasks {', '.join(self.metadata.tasks)}" if self.metadata.tasks else ""
        return f"<OnnxModel {self.metadata.name}: {self.metadata.role}{tasks}; {', '.join(self.providers)}>"

    @property
    def provider(self) -> str:
        """What really runs the model, by the name that the constructor takes."""
        return OPENVINO if isinstance(self._session, OpenVinoSession) else short_name(self.providers[0])

    @property
    def providers(self) -> tuple[str, ...]:
        """The same in the runtime's words, with what takes the operators that the first one cannot run."""
        return tuple(self._session.get_providers())

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the ONNX outputs."""
        return tuple(each.name for each in self._session.get_outputs())

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
            ModelError: if the runtime refuses the inputs or fails.
        """
        names = self.outputs if outputs is None else tuple(outputs)
        try:
            arrays = self._session.run(list(names), dict(inputs))
        except Exception as error:
            shapes = {name: f"{array.dtype} {array.shape}" for name, array in inputs.items()}
            raise ModelError(
                f"{self.path}: failed on the inputs {shapes}: {_line(error)}; "
                "'faceperc verify' checks the file"
            ) from error
        return dict(zip(names, arrays, strict=True))

    def _open(self, threads: int | None, provider: str | None) -> Any:
        """An ``onnxruntime.InferenceSession``, or what stands for it."""
        try:
            if provider == OPENVINO:
                return OpenVinoSession(self.path, threads)
            return self._open_onnxruntime(threads, provider)
        except FacepercError:
            raise
        except Exception as error:  # the runtimes raise a dozen kinds, all plain Exceptions
            is_plain = provider in (None, "cpu")
            problem = "is not a usable ONNX model" if is_plain else f"cannot be opened by {provider}"
            advice = (
                "give a file that 'faceperc export' wrote, or a name from 'faceperc models'"
                if is_plain
                else "try provider='cpu'"
            )
            raise ModelError(f"{self.path}: {problem}: {_line(error)}; {advice}") from error

    def _open_onnxruntime(self, threads: int | None, provider: str | None) -> Any:
        runtime = _onnxruntime()
        wanted = _choose(provider, runtime.get_available_providers())
        options = runtime.SessionOptions()
        options.log_severity_level = 3  # errors only; what stops the model is raised below
        # idle threads sleep; by default they keep their cores busy, waiting for work, even between two runs
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if threads is not None:
            options.intra_op_num_threads = threads
        if wanted != ORT_PROVIDERS["cpu"] and hasattr(runtime, "preload_dlls"):
            with contextlib.redirect_stdout(sys.stderr):  # it prints what it misses
                runtime.preload_dlls()  # the CUDA libraries that pip installed
        # TensorRT must know the shapes of the input before the file is opened
        is_tensorrt = wanted == ORT_PROVIDERS["tensorrt"]
        chosen = with_options(wanted, OnnxModel(self.path, 1, "cpu").metadata if is_tensorrt else None)
        # without its fallback ONNX Runtime raises the reason instead of printing it and running on the CPU
        session = runtime.InferenceSession(str(self.path), options, providers=chosen, enable_fallback=0)
        running = session.get_providers()
        if wanted not in running:
            message = (
                f"{wanted} did not start, ONNX Runtime fell back to {running[0]}; {how_to_repair(wanted)}"
            )
            if provider is not None:
                raise ModelError(message)
            warnings.warn(message, RuntimeWarning, stacklevel=2)
        return session

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
        if metadata.role == "detector":
            # not known are those of OpenVINO's stand-in; the detector checks what it gets as well
            shapes = {each.name: getattr(each, "shape", None) or None for each in self._session.get_outputs()}
            check_detector_outputs(shapes, str(self.path))
        return metadata


def _onnxruntime() -> ModuleType:
    if problem := conflict():
        warnings.warn(problem, RuntimeWarning, stacklevel=2)
    try:
        import onnxruntime
    except ImportError as error:
        raise ModelError(
            'ONNX Runtime is not installed: pip install "faceperc[cpu]", or "faceperc[gpu]" for NVIDIA GPUs '
            f"(never both) [{error}]"
        ) from error
    if not hasattr(onnxruntime, "InferenceSession"):  # one of two builds was removed, with the other's files
        raise ModelError(
            "ONNX Runtime is broken, as after removing one of two builds. Repair: pip uninstall -y "
            'onnxruntime onnxruntime-gpu, then pip install "faceperc[gpu]" for NVIDIA GPUs, or else '
            'pip install "faceperc[cpu]"'
        )
    return onnxruntime


def _choose(provider: str | None, available: Sequence[str]) -> str:
    """ONNX Runtime's name of the provider that is wanted."""
    if provider is None:
        return ORT_PROVIDERS["cuda"] if ORT_PROVIDERS["cuda"] in available else ORT_PROVIDERS["cpu"]
    name = ort_name(provider)
    if name not in available:
        raise ModelError(
            f"this ONNX Runtime has no {name}; available: {', '.join(available)}. {how_to_install(name)}"
        )
    return name


def _line(error: Exception) -> str:
    """What an error of a runtime says, without the places in its own code that it lists."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[-1] if lines[0].startswith("Exception from") else lines[0]  # OpenVINO, ONNX Runtime
