"""Colours that people with any colour vision can tell apart.

Most are those of Okabe and Ito (2008, https://jfly.uni-koeln.de/color). The order of ``MASK_COLOURS`` is
chosen for face parsing: parts that touch in a face stay apart for protanopes, deuteranopes and tritanopes.
The tests hold the distance, by the simulation of Machado, Oliveira and Fernandes (IEEE TVCG 15(6), 2009).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Colour = tuple[int, int, int]

ORANGE, SKY, GREEN = (230, 159, 0), (86, 180, 233), (0, 158, 115)
YELLOW, BLUE, VERMILION, PINK = (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167)
WHITE, BLACK = (255, 255, 255), (0, 0, 0)
VIOLET, BROWN, NAVY, PALE = (136, 0, 255), (140, 60, 20), (0, 60, 140), (204, 255, 170)

MASK_COLOURS = (SKY, VIOLET, BROWN, WHITE, VERMILION, YELLOW, NAVY, PINK, PALE, ORANGE, GREEN, BLUE)
POINT_COLOURS = (YELLOW, SKY, PINK, GREEN)
AXIS_COLOURS = (VERMILION, GREEN, BLUE)  # head's axes: to the image's right, up, out of the face


def mask_colours(count: int, start: int = 0) -> NDArray[np.uint8]:
    """A colour for each class but the first, the background; beyond the twelfth, greyer shades of the same.

    Args:
        count: number of classes.
        start: how many colours are left out because another mask of the picture has them.

    Returns:
        (count, 3) RGB; the first is black and not meant to be seen.
    """
    colours = np.zeros((max(count, 1), 3))
    for index in range(1, count):
        turn, hue = divmod(start + index - 1, len(MASK_COLOURS))
        colours[index] = 128 + (np.array(MASK_COLOURS[hue]) - 128) * 0.6**turn
    return colours.round().astype(np.uint8)
