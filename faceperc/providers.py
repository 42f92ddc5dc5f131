"""What runs a model: the names of the providers, their options, and what is installed for them."""

from __future__ import annotations

import os
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from faceperc._files import make_folder
from faceperc._names import unknown_name
from faceperc.errors import UsageError
from faceperc.metadata import ModelMetadata

#: Our names of ONNX Runtime's execution providers. "openvino" is none of them: see faceperc.openvino_session.
ORT_PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
OPENVINO = "openvino"

Shape = tuple[int, ...]
#: Smallest, usual and largest shape of each input, by its name.
Ranges = dict[str, tuple[Shape, Shape, Shape]]

#: Distributions that all install the module onnxruntime, over each other's files.
ORT_PACKAGES = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-directml")

#: Smallest, usual and largest number of faces in a run, for which TensorRT prepares its engine.
BATCHES = (1, 8, 64)

_GPU = 'pip uninstall -y onnxruntime, then pip install "faceperc[gpu]"'
_INSTALL = {
    "CUDAExecutionProvider": f"For NVIDIA GPUs: {_GPU}",
    "TensorrtExecutionProvider": f"For NVIDIA GPUs: {_GPU}, and NVIDIA's TensorRT",
    "OpenVINOExecutionProvider": 'pip install "faceperc[openvino]" and ask for the provider "openvino"',
}
_REPAIR = {
    "CUDAExecutionProvider": "check the NVIDIA driver (nvidia-smi) and that the CUDA and cuDNN libraries "
    'which this ONNX Runtime wants are found; pip install "faceperc[gpu]" brings the libraries',
    "TensorrtExecutionProvider": "check that the TensorRT, CUDA and cuDNN libraries which this ONNX Runtime "
    "wants are on LD_LIBRARY_PATH",
    "OpenVINOExecutionProvider": 'use the provider "openvino" instead: pip install "faceperc[openvino]"',
}


def ort_name(provider: str) -> str:
    """ONNX Runtime's name of a provider: one of ours, or its own name as it is.

    Raises:
        UsageError: if it is neither.
    """
    if isinstance(provider, str) and provider.endswith("ExecutionProvider"):
        return provider
    if not isinstance(provider, str) or provider not in ORT_PROVIDERS:
        known = [*ORT_PROVIDERS, OPENVINO]
        if provider == "gpu":  # the nearest name would be cpu
            raise UsageError(f"unknown provider 'gpu': did you mean 'cuda'? Known: {', '.join(known)}")
        raise UsageError(unknown_name("provider", provider, known))
    return ORT_PROVIDERS[provider]


def short_name(ort_provider: str) -> str:
    """Our name of one of ONNX Runtime's providers, or its own where we have none."""
    return next((ours for ours, name in ORT_PROVIDERS.items() if name == ort_provider), ort_provider)


def how_to_install(ort_provider: str) -> str:
    """What to do about a provider that this ONNX Runtime was built without."""
    return _INSTALL.get(ort_provider, "It needs another build of ONNX Runtime")


def how_to_repair(ort_provider: str) -> str:
    """What to do about a provider that is there, but does not start."""
    return _REPAIR.get(ort_provider, "check its driver and libraries")


def runtime_packages() -> dict[str, str]:
    """The installed distributions that run models, with their versions."""
    found = {}
    for name in (*ORT_PACKAGES, "openvino"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def conflict() -> str | None:
    """What is wrong where several builds of ONNX Runtime are installed, and how to repair it; else None."""
    packages = {name: number for name, number in runtime_packages().items() if name in ORT_PACKAGES}
    if len(packages) < 2:
        return None
    installed = ", ".join(f"{name} {number}" for name, number in packages.items())
    return (
        f"installed together: {installed}. They overwrite each other's files: the last one installed is the "
        f"one that runs, and removing one breaks the other. Repair: pip uninstall -y {' '.join(packages)}, "
        'then pip install "faceperc[gpu]" for NVIDIA GPUs, or else pip install "faceperc[cpu]"'
    )


def available_providers() -> list[str]:
    """Names of the providers that are installed; whether one starts is known only when a model is opened."""
    names = []
    if find_spec("onnxruntime") is not None:
        import onnxruntime

        # a half-removed installation is an empty module; Azure's provider only calls servers
        if hasattr(onnxruntime, "get_available_providers"):
            built_in = onnxruntime.get_available_providers()
            names = [short_name(each) for each in built_in if each != "AzureExecutionProvider"]
    if find_spec("openvino") is not None:
        names.append(OPENVINO)
    return names


def with_options(ort_provider: str, metadata: ModelMetadata | None = None) -> list[Any]:
    """What ONNX Runtime is given for a provider, best first; the last one takes what the others cannot run.

    Args:
        ort_provider: ONNX Runtime's name of the provider.
        metadata: the model's; only TensorRT needs it.
    """
    cpu = ORT_PROVIDERS["cpu"]
    # Without the search for the fastest convolution, which is repeated for each new batch size. TF32 would
    # round a float32 file's products to 10 bits.
    cuda = (ORT_PROVIDERS["cuda"], {"cudnn_conv_algo_search": "HEURISTIC", "use_tf32": "0"})
    if ort_provider == cpu:
        return [cpu]
    if ort_provider == cuda[0]:
        return [cuda, cpu]
    if ort_provider == ORT_PROVIDERS["tensorrt"]:
        assert metadata is not None
        return [(ort_provider, _tensorrt_options(metadata)), cuda, cpu]
    return [ort_provider, cpu]


def input_ranges(metadata: ModelMetadata, batches: tuple[int, int, int] = BATCHES) -> Ranges:
    """The shapes that a model's input takes: what TensorRT calls an optimisation profile.

    Args:
        metadata: the model's.
        batches: smallest, usual and largest number of faces; a detector takes one image at a time.

    Returns:
        Nothing for a face model that takes whole images: they have any size.
    """
    if metadata.raw.get("form", "crop") != "crop":
        return {}
    if metadata.crop is not None:
        size = metadata.crop.size
        low, usual, high = ((count, size, size, 3) for count in batches)
    else:
        finder = metadata.detector
        assert finder is not None  # a model is one or the other
        stride, side = finder.stride, finder.max_side
        low, high = (1, stride, stride, 3), (1, side, side, 3)
        usual = (1, -(-side * 3 // 4 // stride) * stride, side, 3)  # a photograph, 4:3
    return {metadata.input: (low, usual, high)}


def _tensorrt_options(metadata: ModelMetadata) -> dict[str, str]:
    """Half precision (and int8 where the file says so), and what takes minutes kept for the next start."""
    folder = cache_folder() / "tensorrt"
    make_folder(folder)
    options = {
        "trt_fp16_enable": "1",
        "trt_int8_enable": "1" if metadata.raw.get("precision") == "int8" else "0",
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(folder),
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": str(folder),
    }
    for key, shapes in shape_texts(input_ranges(metadata)).items():
        options[f"trt_profile_{key}_shapes"] = shapes
    return options


def shape_texts(ranges: Ranges) -> dict[str, str]:
    """Ranges as TensorRT's tools read them: "min", "opt" and "max" -> such as ``crops:1x128x128x3``."""
    return {
        key: ",".join(f"{name}:{'x'.join(map(str, shapes[index]))}" for name, shapes in ranges.items())
        for index, key in enumerate(("min", "opt", "max"))
        if ranges
    }


def cache_folder() -> Path:
    """Our folder among the user's caches."""
    base = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    return (Path(base) if base else Path.home() / ".cache") / "faceperc"
