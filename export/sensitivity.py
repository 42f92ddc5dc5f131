"""How much each part of the model suffers when only it is quantised."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from faceperc.export.nodes import group_of

_BATCH = 16
Quantiser = Callable[[onnx.ModelProto, list[str]], onnx.ModelProto]


@dataclass(frozen=True)
class Sensitivity:
    """The change of the outputs when one part is quantised and the rest is not.

    Attributes:
        part: name of the part, e.g. ``backbone.vit.blocks.0.attn``.
        layers: names of its nodes.
        changes: ONNX output -> root mean square of its change, divided by that of its deviation from its
            mean over the crops: the noise that quantising adds, relative to what differs between faces.
    """

    part: str
    layers: list[str]
    changes: dict[str, float]

    @property
    def worst(self) -> tuple[str, float]:
        """The output that changes most, and its change."""
        return max(self.changes.items(), key=lambda item: item[1])


def sensitivities(
    graph: onnx.ModelProto, layers: Iterable[str], quantise: Quantiser, crops: NDArray[np.uint8]
) -> Iterator[Sensitivity]:
    """Quantise one part of the model after the other.

    Args:
        graph: the float32 graph.
        layers: names of the nodes that can be quantised.
        quantise: quantises the named nodes of a graph.
        crops: (N, S, S, 3) uint8 face crops on which the outputs are compared; N > 1.
    """
    parts: dict[str, list[str]] = {}
    for layer in layers:
        parts.setdefault(group_of(layer), []).append(layer)
    wanted = _outputs(graph, crops)
    for part, members in parts.items():
        changed = _outputs(quantise(graph, members), crops)
        yield Sensitivity(part, members, {name: _change(changed[name], wanted[name]) for name in wanted})


def _change(changed: NDArray[np.float32], wanted: NDArray[np.float32]) -> float:
    """Noise relative to signal: the root mean squares of the change and of the differences between crops."""
    signal = float(np.square(wanted - wanted.mean(axis=0)).mean())
    return float(np.square(changed - wanted).mean() / max(signal, 1e-12)) ** 0.5


def _outputs(graph: onnx.ModelProto, crops: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    starts = range(0, len(crops), _BATCH)
    batches = [session.run(None, {"crops": crops[start : start + _BATCH]}) for start in starts]
    names = [output.name for output in session.get_outputs()]
    return {name: np.concatenate(parts) for name, *parts in zip(names, *batches, strict=True)}
