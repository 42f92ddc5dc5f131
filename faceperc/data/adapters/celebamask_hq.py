"""CelebAMask-HQ: masks of 19 classes drawn by hand, 40 attributes, and a network's head pose.

Lee et al., "MaskGAN: Towards Diverse and Interactive Facial Image Manipulation", CVPR 2020.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from faceperc.data.adapters._parts import UNKNOWN, box_around, parsing_label
from faceperc.data.adapters.celeba import MALE, SPLITS, attributes, identities, table
from faceperc.data.folder import FolderSource, Item, existing, lines_of
from faceperc.data.source import Sample, decode_image
from faceperc.errors import DataError
from faceperc.heads.parsing import CLASSES
from faceperc.licences import RESEARCH

#: Part of a mask's file name -> our class, in the order in which the authors' g_mask.py paints them on
#: the skin: later ones cover earlier ones. What glasses cover is unknown, but for eyes seen through them.
LAYERS: dict[str, str | None] = {
    "nose": "nose", "eye_g": None,
    "l_eye": "left_eye", "r_eye": "right_eye", "l_brow": "left_brow", "r_brow": "right_brow",
    "l_ear": "skin", "r_ear": "skin", "mouth": "inner_mouth", "u_lip": "upper_lip", "l_lip": "lower_lip",
    "hair": "hair", "hat": "background", "ear_r": "background", "neck_l": "skin", "neck": "skin",
    "cloth": "background",
}  # fmt: skip

_FIRST = {"val": 162_771, "test": 182_638}  # numbers of CelebA's photographs at which these splits begin
_FOLDER_SIZE = 2000  # photographs whose masks share a folder


class CelebAMaskHQ(FolderSource):
    """Split as CelebA is: 24,183 for training, 2,993 for validation, 2,824 for the test.

    The face box spans the skin of the face. The pose is a network's, and its roll is noise: the photographs
    are levelled by the eyes. If identity_CelebA.txt lies beside the other files, identities are persons.
    """

    name = "celebamask-hq"
    origin = "CelebAMask-HQ (Lee et al. 2020; photographs from CelebA, Liu et al. 2015)"
    licence = "non-commercial research and education only (CelebAMask-HQ's terms)"
    terms = RESEARCH
    known_splits = SPLITS
    layout = (
        "CelebA-HQ-img/, CelebAMask-HQ-mask-anno/, CelebA-HQ-to-CelebA-mapping.txt, "
        "CelebAMask-HQ-attribute-anno.txt, CelebAMask-HQ-pose-anno.txt"
    )

    def items(self, root: Path, split: str) -> list[Item]:
        """See FolderSource.items. A label is (attributes, pose, the masks' common path)."""
        images = existing(root / "CelebA-HQ-img", "CelebA-HQ's photographs")
        masks = existing(root / "CelebAMask-HQ-mask-anno", "CelebAMask-HQ's masks")
        answers = attributes(root / "CelebAMask-HQ-attribute-anno.txt")
        poses = table(root / "CelebAMask-HQ-pose-anno.txt", ("Yaw", "Pitch", "Raw"), "head poses")
        persons = identities(root / "identity_CelebA.txt")
        items = []
        for index, original in _mapping(root / "CelebA-HQ-to-CelebA-mapping.txt"):
            if _split_of(original) != split:
                continue
            name = f"{index}.jpg"
            if name not in answers or name not in poses:
                raise DataError(f"{root}: {name} has no attributes or no pose")
            stem = masks / str(index // _FOLDER_SIZE) / f"{index:05d}"
            label = answers[name], poses[name], stem
            items.append(Item(images / name, label, persons.get(original, original)))
        return items

    def load(self, item: Item, image: NDArray[np.uint8]) -> Sample | None:
        """See FolderSource.load."""
        answers, (yaw, pitch, _), stem = item.label
        skin = _mask(_path(stem, "skin"))
        ids = np.where(skin, CLASSES.index("skin"), CLASSES.index("background")).astype(np.uint8)
        for part, name in LAYERS.items():
            path = _path(stem, part)
            if path.exists():
                ids[_mask(path, skin.shape)] = UNKNOWN if name is None else CLASSES.index(name)
        if not skin.any():
            return None
        labels = {
            "parsing": parsing_label(_enlarged(ids, image.shape)),
            "attributes": answers,
            "gender": int(answers[MALE]),
            "pose": np.array([yaw, pitch, 0.0]),
        }
        return Sample(image, box_around(_enlarged(skin, image.shape)), labels, trust={"pose": 0.5})


def _mapping(path: Path) -> list[tuple[int, str]]:
    """Number in CelebA-HQ, and name in CelebA, of each photograph."""
    rows = []
    for number, line in enumerate(lines_of(path, "the photographs' names in CelebA")[1:], start=2):
        words = line.split()
        if len(words) != 3 or not words[0].isdigit() or not Path(words[2]).stem.isdigit():
            raise DataError(f"{path} line {number}: not an index, CelebA's index and CelebA's file name")
        rows.append((int(words[0]), words[2]))
    return rows


def _split_of(original: str) -> str:
    number = int(Path(original).stem)
    return "test" if number >= _FIRST["test"] else "val" if number >= _FIRST["val"] else "train"


def _path(stem: Path, part: str) -> Path:
    return stem.with_name(f"{stem.name}_{part}.png")


def _mask(path: Path, shape: tuple[int, ...] | None = None) -> NDArray[np.bool_]:
    """A black and white mask; it must have the given shape, if any."""
    mask = decode_image(existing(path, "a mask of CelebAMask-HQ").read_bytes(), str(path))[..., 0] > 127
    if shape not in (None, mask.shape):
        raise DataError(f"{path}: {mask.shape} pixels, but the mask of the skin has {shape}")
    return mask


def _enlarged(values: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """The masks are half as large as the photographs: the same values in a photograph's (H, W, ...)."""
    return np.asarray(Image.fromarray(values).resize((shape[1], shape[0]), Image.Resampling.NEAREST))
