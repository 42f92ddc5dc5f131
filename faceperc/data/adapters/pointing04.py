"""Pointing'04: 15 people who looked at 93 marks around a camera, twice.

Gourier et al., "Estimating Face Orientation from Robust Detection of Salient Facial Features", ICPR Workshop
on Visual Observation of Deictic Gestures (Pointing'04), 2004.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from faceperc.data.folder import FolderSource, Item, images_in, lines_of, numbers_of
from faceperc.data.source import Sample
from faceperc.errors import DataError
from faceperc.licences import RESEARCH
from faceperc.rotations import matrix_from_angles

_PERSONS = 15
# person, series, number, tilt, pan; the first release says "personne"
_NAME = re.compile(r"person(?:ne)?(\d\d)[12]\d\d([+-]\d+)([+-]\d+)", re.IGNORECASE)


class Pointing04(FolderSource):
    """The pose is in the file's name, the face's centre and size in a text file beside the photograph.

    Tilt > 0 looks up, pan > 0 faces the image's left. They are a mark's direction: the head turns by the pan
    and nods by the tilt, which for large angles are not the yaw and pitch of our convention, so the label is
    the rotation. Nobody measured the heads: people were told where to look, and not to roll. Hence the trust
    of 0.5. The authors name no test set: ``val_percent`` holds persons out.
    """

    name = "pointing04"
    origin = "Pointing'04 Head Pose Image Database (Gourier et al. 2004)"
    licence = "none stated by the authors; research use only"
    terms = RESEARCH
    layout = "Person01/ to Person15/ with person01146+0+0.jpg, person01146+0+0.txt and so on"
    known_splits: ClassVar[tuple[str, ...]] = ("train",)

    def items(self, root: Path, split: str) -> list[Item]:
        """See FolderSource.items. The folder Front, which repeats frontal photographs, is not read."""
        prefix = "Personne" if (root / "Personne01").is_dir() else "Person"
        items = []
        for number in range(1, _PERSONS + 1):
            for image in images_in(root / f"{prefix}{number:02}"):
                match = _NAME.fullmatch(image.stem)
                if match is None:
                    raise DataError(f"{image}: the name should be like person01146+0+0.jpg (tilt, then pan)")
                items.append(Item(image, (float(match[2]), float(match[3])), f"person {match[1]}"))
        return items

    def load(self, item: Item, image: NDArray[np.uint8]) -> Sample | None:
        """See FolderSource.load."""
        path = item.image.with_suffix(".txt")
        lines = lines_of(path, "the face's centre and size")  # the image's name, "Face", then a number a line
        x, y, width, height = numbers_of(" ".join(lines[2:]), 4, str(path))
        box = np.array([x - width / 2, y - height / 2, x + width / 2, y + height / 2])
        tilt, pan = item.label
        rotation = matrix_from_angles(pan, 0.0, 0.0) @ matrix_from_angles(0.0, tilt, 0.0)
        return Sample(image, box, {"pose": rotation}, trust={"pose": 0.5})
