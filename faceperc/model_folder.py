"""The one folder format of a model: in the package, on disk and on the Hub (docs/models.md).

    model.safetensors  the weights, for training and export
    config.json        the network's configuration
    training.json      what the weights learned from, and how
    model.onnx         what the runtime loads
    model_int8.onnx    the same in eight bits
    reference.npz      what the trained model answers, for `faceperc verify`
    evaluation.json    the figures of the model card
    README.md          the model card: `faceperc card` writes it from the others
    notes.md           what no program can know of the model card: intended use, known limits

Nothing in it is ever unpickled. A folder may lack what its user does not need.
"""

from __future__ import annotations

from pathlib import Path

from faceperc.errors import ModelError

WEIGHTS = "model.safetensors"
CONFIG = "config.json"
TRAINING = "training.json"
ONNX = "model.onnx"
ONNX_INT8 = "model_int8.onnx"
REFERENCE = "reference.npz"
EVALUATION = "evaluation.json"
CARD = "README.md"
#: The hand-written part of the model card, in Markdown.
NOTES = "notes.md"

#: What is published and pulled: all but the notes, which the card repeats.
FILES = (WEIGHTS, CONFIG, TRAINING, ONNX, ONNX_INT8, REFERENCE, EVALUATION, CARD)

#: What the runtime can load, the first one that is there.
RUNNABLE = (ONNX, ONNX_INT8)


def runnable_file(folder: Path) -> Path:
    """The file of a model folder that the runtime loads: ``model.onnx``, or else ``model_int8.onnx``.

    Raises:
        ModelError: if the folder has neither.
    """
    for name in RUNNABLE:
        if (folder / name).is_file():
            return folder / name
    hint = (
        f"; write one with 'faceperc export {folder} -o {folder / ONNX}'"
        if (folder / WEIGHTS).is_file()
        else "; name a model folder, an ONNX file, or a name from 'faceperc models'"
    )
    raise ModelError(f"{folder}: holds no {' or '.join(RUNNABLE)}{hint}")


def reference_path(model: str | Path) -> Path:
    """Where the reference set of a model file lies: ``reference.npz`` beside the ONNX files of a model
    folder, ``NAME.reference.npz`` beside any other ``NAME.onnx``."""
    path = Path(model)
    return path.with_name(
        REFERENCE if path.name in RUNNABLE else f"{path.name.removesuffix('.onnx')}.reference.npz"
    )
