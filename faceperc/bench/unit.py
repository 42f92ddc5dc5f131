"""The unit of network cost: timm's vit_tiny_patch16_224 in ONNX Runtime, one image of 224 px, one thread.

Needs torch and timm. The weights are random: they do not matter for the time.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable

import numpy as np
import onnxruntime
import timm
import torch
from timm.layers import set_fused_attn

NAME = "vit_tiny_patch16_224"


def unit_of_cost() -> Callable[[], object]:
    """A function that runs the network once."""
    set_fused_attn(False)  # plain operators: what exporters and runtimes know best
    network = timm.create_model(NAME, num_classes=0).eval()
    image = torch.zeros(1, 3, 224, 224)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(network, (image,), input_names=["image"], dynamo=True, verbose=False)
    assert program is not None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        program.model_proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    pixels = np.random.default_rng(0).standard_normal((1, 3, 224, 224), dtype=np.float32)
    return lambda: session.run(None, {"image": pixels})
