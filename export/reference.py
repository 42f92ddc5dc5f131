"""The reference set of an exported model: a few crops, and what the model answers to them in torch."""

from __future__ import annotations

import os
import warnings
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from faceperc.crop import CropRule, FaceCrop
from faceperc.errors import ModelError
from faceperc.export.precision import round_weights
from faceperc.metadata import ModelMetadata, check_takes_crops
from faceperc.model import FaceModel
from faceperc.model_folder import RUNNABLE, reference_path
from faceperc.provenance import file_sha256
from faceperc.runtime import OnnxModel
from faceperc.transfer import subset
from faceperc.verify import ReferenceSet
from faceperc.zoo import sample_image

#: The face in the bundled photograph, x0, y0, x1, y1.
_BOX = np.array([175.0, 68.0, 275.0, 203.0])


def write_reference(model: FaceModel, path: str | os.PathLike[str]) -> Path:
    """Write the reference set of an exported file, of the crop form, beside it.

    In a model folder several files share one, where the model answers the same: in another precision, say.
    Warns of a file that loses its set, because this one answers otherwise.

    Args:
        model: the model that was exported.
        path: the ONNX file, as it is kept.
    """
    reference = reference_set(model, OnnxModel(Path(path), threads=1).metadata)
    digests = [file_sha256(Path(path))]
    if old := _former(Path(path)):
        if _same_answers(old, reference):
            digests += old.file_sha256
        else:
            _warn_of_others(old, Path(path))
    return replace(reference, file_sha256=tuple(dict.fromkeys(digests))).save(reference_path(Path(path)))


def _warn_of_others(old: ReferenceSet, path: Path) -> None:
    """Say which files beside this one the former reference set was of."""
    for name in RUNNABLE:
        other = path.with_name(name)
        if other != path and other.is_file() and file_sha256(other) in old.file_sha256:
            warnings.warn(
                f"{other}: has no reference set any more: {path.name}, with which it shares one, is of other "
                "weights, tasks or --store now; export it anew too",
                RuntimeWarning,
                stacklevel=3,
            )


def _former(path: Path) -> ReferenceSet | None:
    """The reference set that is there already; None where a damaged one may be replaced too."""
    with suppress(ModelError):
        return ReferenceSet.load(reference_path(path)) if reference_path(path).is_file() else None
    return None


def _same_answers(old: ReferenceSet, new: ReferenceSet) -> bool:
    return set(old.outputs) == set(new.outputs) and all(
        np.array_equal(value, old.outputs[name]) for name, value in new.outputs.items()
    )


def reference_of(folder: str | os.PathLike[str], path: str | os.PathLike[str]) -> ReferenceSet:
    """The answers of a saved model, for a file that was exported from it.

    Args:
        folder: as ``FaceModel.save`` wrote it.
        path: the ONNX file.

    Raises:
        ModelError: if one of them is not readable, the folder holds other weights than the file, or the file
            takes no crops.
    """
    metadata = OnnxModel(Path(path), threads=1).metadata
    check_takes_crops(metadata, str(path))
    model = FaceModel.load(folder)
    if metadata.raw.get("stored") == "fp16":
        round_weights(model)
    return reference_set(model, metadata)


def reference_set(model: FaceModel, metadata: ModelMetadata) -> ReferenceSet:
    """What a model answers to the crops of ``reference_crops``.

    Args:
        model: the model that was exported.
        metadata: the exported file's: it may hold only some of the tasks, and of the queries.

    Raises:
        ModelError: if the file was exported from other weights.
    """
    # a file with fewer queries says so in its configuration
    heads = (metadata.raw.get("config") or {}).get("heads") or model.tasks
    if set(heads) < set(model.tasks):
        model = subset(model, list(heads))
    if model.weights_sha256() != metadata.weights_sha256:
        raise ModelError(f"{metadata.name} was exported from other weights than these")
    crops = reference_crops(model.config.crop_rule)
    model = model.eval().cpu()
    with torch.inference_mode():
        decoded = model.decode(model(torch.from_numpy(crops)))
    outputs = {
        f"{task}.{name}": value.numpy() for task in metadata.tasks for name, value in decoded[task].items()
    }
    return ReferenceSet({"crops": crops}, outputs)


def reference_crops(rule: CropRule) -> NDArray[np.uint8]:
    """(4, S, S, 3) uint8: the bundled photograph's face; mirrored, from a box off by a sixth; small and
    turned; and coloured noise."""
    image = np.asarray(Image.open(sample_image()).convert("RGB"))
    side = _BOX[2] - _BOX[0]
    middle, half = (_BOX[:2] + _BOX[2:]) / 2, (_BOX[2:] - _BOX[:2]) / 2
    far = np.concatenate([middle - 2 * half, middle + 2 * half])
    noise = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    crops = [
        FaceCrop.from_box(_BOX, rule).warp(image),
        FaceCrop.from_box(_BOX + side / 6, rule).warp(image)[:, ::-1],
        FaceCrop.from_box(far, rule, angle=30.0).warp(image),
        np.asarray(Image.fromarray(noise).resize((rule.size, rule.size), Image.Resampling.BICUBIC)),
    ]
    return np.stack(crops)
