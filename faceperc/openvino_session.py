"""A model in OpenVINO on the CPU: an optional runtime beside ONNX Runtime (the extra [openvino])."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from faceperc.errors import ModelError


class OpenVinoSession:
    """The part of ``onnxruntime.InferenceSession`` that ``OnnxModel`` uses, on OpenVINO.

    OpenVINO computes in bfloat16 where the CPU has instructions for it (AMX, AVX-512 BF16), else in float32.
    """

    def __init__(self, path: Path, threads: int | None = None) -> None:
        """Compile a model file.

        Args:
            path: an ONNX file.
            threads: threads of a run; by default OpenVINO decides (all physical cores).

        Raises:
            ModelError: if OpenVINO is not installed.
            RuntimeError: if OpenVINO refuses the file.
        """
        try:
            import openvino
        except ImportError as error:
            raise ModelError(
                f'OpenVINO is not installed: pip install "faceperc[openvino]" [{error}]'
            ) from error
        self._tensor = openvino.Tensor
        core = openvino.Core()
        model = core.read_model(path)
        options: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
        if threads is not None:
            options["INFERENCE_NUM_THREADS"] = threads
        compiled = core.compile_model(model, "CPU", options)
        precision = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        self._providers = [f"OpenVINO {precision}"]
        self._inputs = [each.any_name for each in compiled.inputs]
        self._outputs = [each.any_name for each in compiled.outputs]
        entry = ["framework", "faceperc"]  # where OpenVINO keeps an ONNX file's metadata
        self._metadata = {"faceperc": model.get_rt_info(entry).value} if model.has_rt_info(entry) else {}
        self._request = compiled.create_infer_request()
        self._lock = Lock()  # a request serves one call at a time

    def get_providers(self) -> list[str]:
        """One entry: OpenVINO and the type that it computes in."""
        return self._providers

    def get_inputs(self) -> list[SimpleNamespace]:
        """The inputs; each has a ``name``."""
        return [SimpleNamespace(name=name) for name in self._inputs]

    def get_outputs(self) -> list[SimpleNamespace]:
        """The outputs; each has a ``name``."""
        return [SimpleNamespace(name=name) for name in self._outputs]

    def get_modelmeta(self) -> SimpleNamespace:
        """The file's metadata, as ``custom_metadata_map``."""
        return SimpleNamespace(custom_metadata_map=self._metadata)

    def run(self, names: Sequence[str], inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[np.float32]]:
        """Run the graph once; may be called from several threads, which then take turns.

        Args:
            names: names of the outputs that are wanted.
            inputs: arrays by the name of the input.

        Raises:
            ValueError: if they are not the model's inputs.
            RuntimeError: if an input's shape or type is not the model's.
        """
        if set(inputs) != set(self._inputs):  # one left out would be read from the last call's memory
            raise ValueError(f"the inputs are {', '.join(self._inputs)}; got {', '.join(inputs) or 'none'}")
        with self._lock:
            for name, array in inputs.items():
                tensor = self._tensor(np.ascontiguousarray(array), shared_memory=True)
                self._request.set_tensor(name, tensor)
            self._request.infer()
            return [self._request.get_tensor(name).data.copy() for name in names]
