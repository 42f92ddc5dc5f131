"""Readers of public data sets with boxes, points or rotations, in the layouts of their authors.

Nothing is downloaded. Each reader gives `faceperc.detector.labelled.LabelledPhoto`; images stay on the disk.
"""

from collections.abc import Callable

from faceperc.detector.adapters.directmhp import read_agora, read_panoptic
from faceperc.detector.adapters.posed import read_300w_lp, read_aflw2000
from faceperc.detector.adapters.wider import read_wider
from faceperc.detector.labelled import LabelledPhoto

#: Source -> its licence, for the record in the model's metadata.
LICENCES = {
    "wider": "CC BY-NC-ND 4.0 by its card on the Hugging Face Hub; RetinaFace's points: non-commercial "
    "research",
    "300w-lp": "none stated by the authors; research use only, like 300-W, whose photographs it holds",
    "aflw2000": "none stated by the authors; AFLW's photographs are for non-commercial research",
    "panoptic": "CMU Panoptic: non-commercial and research purpose only",
    "agora": "AGORA: non-commercial research and education, after registration; not to train what serves "
    "commercial, military or surveillance use",
}

#: Source -> reader of its training photographs.
READERS: dict[str, Callable[[str], list[LabelledPhoto]]] = {
    "wider": read_wider,
    "300w-lp": read_300w_lp,
    "aflw2000": read_aflw2000,
    "panoptic": read_panoptic,
    "agora": read_agora,
}

__all__ = [
    "LICENCES",
    "READERS",
    "read_300w_lp",
    "read_aflw2000",
    "read_agora",
    "read_panoptic",
    "read_wider",
]
