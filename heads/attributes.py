"""The 40 attributes of CelebA (Liu et al., "Deep Learning Face Attributes in the Wild", ICCV 2015)."""

from __future__ import annotations

from faceperc.classifier import ProbabilitiesHead
from faceperc.head import OutputInfo

CELEBA_ATTRIBUTES = (
    "5_o_Clock_Shadow", "Arched_Eyebrows", "Attractive", "Bags_Under_Eyes", "Bald", "Bangs", "Big_Lips",
    "Big_Nose", "Black_Hair", "Blond_Hair", "Blurry", "Brown_Hair", "Bushy_Eyebrows", "Chubby",
    "Double_Chin", "Eyeglasses", "Goatee", "Gray_Hair", "Heavy_Makeup", "High_Cheekbones", "Male",
    "Mouth_Slightly_Open", "Mustache", "Narrow_Eyes", "No_Beard", "Oval_Face", "Pale_Skin", "Pointy_Nose",
    "Receding_Hairline", "Rosy_Cheeks", "Sideburns", "Smiling", "Straight_Hair", "Wavy_Hair",
    "Wearing_Earrings", "Wearing_Hat", "Wearing_Lipstick", "Wearing_Necklace", "Wearing_Necktie", "Young",
)  # fmt: skip


class Attributes(ProbabilitiesHead):
    """A label is (40,) of 0 or 1, NaN where unknown, in CelebA's order."""

    info = OutputInfo("probabilities", "CelebA attributes, many of them opinions", labels=CELEBA_ATTRIBUTES)
