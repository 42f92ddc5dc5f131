"""Readers of public data sets with boxes, points or rotations, in the layouts of their authors.

Nothing is downloaded. Each reader gives `faceperc.detector.labelled.LabelledPhoto`; images stay on the disk.
"""

from faceperc.detector.adapters.directmhp import read_agora, read_panoptic
from faceperc.detector.adapters.posed import read_300w_lp, read_aflw2000
from faceperc.detector.adapters.wider import read_wider

#: Source -> its licence, for the record in the model's metadata.
LICENCES = {
    "wider": "CC BY-NC-ND 4.0 by its card on the Hugging Face Hub; RetinaFace's points: research only",
    "300w-lp": "none stated by the authors; research use only, like 300-W, whose photographs it holds",
    "aflw2000": "none stated by the authors; AFLW's photographs are for non-commercial research",
    "panoptic": "CMU Panoptic: non-commercial research",
    "agora": "AGORA: non-commercial scientific research, after registration",
}

__all__ = ["LICENCES", "read_300w_lp", "read_aflw2000", "read_agora", "read_panoptic", "read_wider"]
