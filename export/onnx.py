"""A trained FaceModel -> the one ONNX file of docs/contract.md, checked against the model it came from."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import tempfile
import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxslim
import torch
from torch import Tensor, nn

from faceperc._files import check_kind, make_folder, write_file
from faceperc._loggers import quieter
from faceperc.errors import FacepercError, UsageError
from faceperc.export.attention import ATTENTION_OPSET, attention_operator
from faceperc.export.fold import fold
from faceperc.export.forms import compare_forms, in_form
from faceperc.export.nodes import name_by_module
from faceperc.export.reference import reference_set
from faceperc.model import FaceModel
from faceperc.runtime import OnnxModel
from faceperc.transfer import subset
from faceperc.verify import deviation, verify
from faceperc.zoo import DEFAULT_DETECTOR

OPSET = 20
#: What torch and ONNX's own converter write.
OPSETS = range(18, 24)
SCHEMA = 1
#: Largest difference allowed between ONNX Runtime and torch, relative to an output's largest value.
TOLERANCE = 1e-4
#: The same between a form that takes images and the crop form: some grey levels of the crops differ by 1.
#: Where the file rounds, of root mean squares: see ``compare_forms``.
FORM_TOLERANCE = 5e-2


class ParityError(FacepercError):
    """The exported file does not answer as the model does."""


class _FinalOutputs(nn.Module):
    """The model's only forward and the heads' decoding, as a flat tuple in the order of the names."""

    def __init__(self, model: FaceModel, tasks: Sequence[str]) -> None:
        super().__init__()
        self.model = model
        self.tasks = tuple(tasks)

    def forward(self, crops: Tensor) -> tuple[Tensor, ...]:
        raw = self.model(crops)
        decoded = self.model.decode({task: raw[task] for task in self.tasks})
        return tuple(value for fields in decoded.values() for value in fields.values())


def export_onnx(
    model: FaceModel,
    path: str | os.PathLike[str],
    tasks: Sequence[str] | None = None,
    training: dict[str, Any] | None = None,
    *,
    form: str = "crop",
    detector: str | os.PathLike[str] = DEFAULT_DETECTOR,
    drop_queries: bool = False,
    opset: int = OPSET,
    finish: Callable[[onnx.ModelProto], onnx.ModelProto] | None = None,
) -> dict[str, float]:
    """Write the ONNX file, under a temporary name until it has been checked.

    Args:
        model: the trained model; it is put into evaluation mode.
        path: the file to write.
        tasks: a subset of the model's tasks, for a smaller graph.
        training: the metadata's ``training`` entry: data sources and the weights' licence.
        form: one of ``faceperc.export.forms.FORMS``.
        detector: a name or an ONNX file; for the pipeline.
        drop_queries: drop the queries of the other tasks too. It saves a little more, but the tasks' answers
            change (docs/export.md); else they stay the same.
        opset: version of ONNX's operators, one of OPSETS. From 23 on attention is one operator.
        finish: turns the crop form, once it has been checked, into that of another precision.

    Returns:
        For each ONNX output the largest difference to torch, relative to the output's largest value.

    Raises:
        UsageError: if a task or the form is unknown, or the file cannot be written.
        ModelError: if the detector cannot be used.
        ParityError: if ONNX Runtime answers differently from torch, after ``finish`` by more than
            ``faceperc.verify.TOLERANCES`` allow; nothing is written then.
    """
    chosen = list(model.tasks if tasks is None else tasks)
    unknown = [task for task in chosen if task not in model.tasks]
    if unknown or not chosen:
        raise UsageError(
            f"unknown task {', '.join(unknown) or '(none)'}; the model has {', '.join(model.tasks)}"
        )
    model = model.eval().cpu()
    if drop_queries:
        model = subset(model, chosen)
    target = Path(path)
    make_folder(target.parent)
    check_kind(target, ".onnx")
    if target.exists() and not target.is_file():
        raise UsageError(f"{target}: is no regular file, and the file is checked as it is written; name one")
    with tempfile.TemporaryDirectory(prefix="faceperc-export-") as scratch:
        draft = Path(scratch, "model.onnx")
        onnx.save(_convert(model, chosen, training or {}, opset), draft)
        differences = compare(model, draft, chosen)
        _check(differences, TOLERANCE, target, "torch")
        formed = _formed(draft, form, detector)
        if form != "crop":
            _check(compare_forms(formed, draft, detector), FORM_TOLERANCE, target, "the crop form")
        if finish is not None:
            onnx.save(finish(onnx.load(draft)), draft)
            _check_finished(model, draft, target)
            differences = compare(model, draft, chosen)
            formed = _formed(draft, form, detector)
            if form != "crop":
                _check(compare_forms(formed, draft, detector), FORM_TOLERANCE, target, "the crop form")
        write_file(target, formed.read_bytes())
    return differences


def compare(model: FaceModel, path: str | os.PathLike[str], tasks: Sequence[str]) -> dict[str, float]:
    """Largest difference of each output between ONNX Runtime on the CPU and torch, relative to its largest
    value, over random crops in batches of 1 and 3."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    generator = np.random.default_rng(0)
    size = model.config.backbone.image_size
    worst = dict.fromkeys(names, 0.0)
    for count in (1, 3):
        crops = generator.integers(0, 256, (count, size, size, 3), dtype=np.uint8)
        with torch.inference_mode():
            wanted = _FinalOutputs(model, tasks)(torch.from_numpy(crops))
        for name, got, want in zip(names, session.run(None, {"crops": crops}), wanted, strict=True):
            # unlike max, maximum keeps what is no number
            worst[name] = float(np.maximum(worst[name], deviation(got, want.numpy()).relative))
    return worst


def metadata(model: FaceModel, tasks: Sequence[str], training: dict[str, Any]) -> dict[str, Any]:
    """The JSON document of docs/contract.md, with the model's configuration beside it."""
    import faceperc

    size = model.config.backbone.image_size
    rule = model.config.crop_rule
    with torch.inference_mode():
        example = model.decode(model(torch.zeros(1, size, size, 3, dtype=torch.uint8)))
    entries = {}
    for task in tasks:
        head = model.head(task)
        fields = {
            field: {
                "output": f"{task}.{field}",
                "shape": ["N", *value.shape[1:]],
                "unit": head.unit_of(field),
            }
            for field, value in example[task].items()
        }
        entries[task] = {**head.describe(example[task]), "fields": fields}
    return {
        "schema": SCHEMA,
        "role": "face",
        "name": model.config.name,
        "version": faceperc.__version__,
        "input": {"name": "crops", "dtype": "uint8", "layout": "NHWC", "color": "RGB", "size": [size, size]},
        "crop": {"size": size, "scale": rule.scale, "shift": list(rule.shift), "fill": 0},
        "tasks": entries,
        "precision": "fp32",
        "weights_sha256": model.weights_sha256(),
        "training": training,
        "config": dataclasses.asdict(model.config),
    }


def _formed(crops: Path, form: str, detector: str | os.PathLike[str]) -> Path:
    """The file of a form, made from that of the crop form."""
    if form == "crop":
        return crops
    path = crops.with_name("form.onnx")
    onnx.save(in_form(onnx.load(crops), form, detector), path)
    return path


def _check(differences: dict[str, float], tolerance: float, path: Path, reference: str) -> None:
    """Raise ParityError if a difference is too large, or no number."""
    for name, difference in differences.items():
        if not difference <= tolerance:
            gap = f"{difference:.1e}, more than {tolerance:.0e}"
            raise ParityError(f"{path}: is not written: output {name} differs from {reference} by {gap}")


def _check_finished(model: FaceModel, crops: Path, path: Path) -> None:
    """Raise ParityError if a crop form would not pass `faceperc verify`."""
    reference = reference_set(model, OnnxModel(crops).metadata)
    for each in verify(crops, reference, ["cpu"]).comparisons:
        if not each.passed:
            raise ParityError(
                f"{path}: is not written: output {each.output} differs from torch by {each.relative:.1e} at "
                f"most and {each.rms:.1e} in root mean square ({each.limit}); keep layers in float "
                "(--keep-float), or choose a finer --precision or --store"
            )


def _convert(model: FaceModel, tasks: Sequence[str], training: dict[str, Any], opset: int) -> onnx.ModelProto:
    document = metadata(model, tasks, training)
    names = [field["output"] for entry in document["tasks"].values() for field in entry["fields"].values()]
    size = model.config.backbone.image_size
    folded = fold(model)
    attention = attention_operator(folded) if opset >= ATTENTION_OPSET else nullcontext()
    # no hints on what could not be simplified: the file is compared with torch anyway
    with warnings.catch_warnings(), quieter(logging.ERROR, "onnxscript"), attention:
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            _FinalOutputs(folded, tasks).eval(),
            # a batch of one would be taken for a constant
            (torch.zeros(2, size, size, 3, dtype=torch.uint8),),
            input_names=["crops"],
            output_names=names,
            dynamic_shapes=({0: torch.export.Dim("N")},),
            opset_version=opset,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    assert program is not None
    graph = program.model_proto
    name_by_module(graph.graph)
    graph = onnxslim.slim(graph)
    del graph.metadata_props[:]
    onnx.helper.set_model_props(graph, {"faceperc": json.dumps(document)})
    return graph
