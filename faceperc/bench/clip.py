"""Made-up clips with known motion: copies of the face in the bundled photograph on a grey ground."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from faceperc.image import read_image
from faceperc.predict import Predictor
from faceperc.video.frames import Frame
from faceperc.video.smooth import face_size
from faceperc.zoo import sample_image

Array = NDArray[np.float64]

FPS = 30
_MARGIN = 0.5  # of the face's size: what is shown of the photograph around the face
_GROUND = 110  # grey level


@dataclass(frozen=True)
class Portrait:
    """The face of the bundled photograph.

    Attributes:
        image: the photograph around the face.
        size: longer side of the face's box in it, pixels.
    """

    image: Image.Image
    size: float

    @classmethod
    def find(cls, predictor: Predictor) -> Portrait:
        """The face, found by the predictor's detector."""
        photo = read_image(sample_image())
        box = predictor.detector.detect(photo)[0][0]
        size = face_size(box)
        left, top, right, bottom = np.concatenate([box[:2] - _MARGIN * size, box[2:] + _MARGIN * size])
        return cls(Image.fromarray(photo).crop((round(left), round(top), round(right), round(bottom))), size)

    def draw(self, frame: Image.Image, centre: Array, size: float) -> None:
        """Draw it into a frame.

        Args:
            frame: RGB.
            centre: (2,) x, y of its middle, pixels; fractions count.
            size: longer side of the face's box in the frame, pixels.
        """
        scale = size / self.size
        half = np.array(self.image.size) * scale / 2
        low = np.floor(centre - half).astype(int)
        high = np.ceil(centre + half).astype(int)
        x, y = (low - centre + half) / scale  # of the part's corner, in pixels of the photograph
        part = self.image.transform(
            (int(high[0] - low[0]), int(high[1] - low[1])),
            Image.Transform.AFFINE,
            (1 / scale, 0, x, 0, 1 / scale, y),
            resample=Image.Resampling.BICUBIC,
            fillcolor=(_GROUND,) * 3,
        )
        frame.paste(part, (int(low[0]), int(low[1])))


def clip(
    portrait: Portrait,
    size: float,
    shape: tuple[int, int],
    paths: list[Callable[[float], Array]],
    seconds: float,
    noise: np.random.Generator | None = None,
) -> Iterator[Frame]:
    """A clip of faces that move along paths, 30 frames per second.

    Args:
        portrait: the face.
        size: longer side of its box, pixels.
        shape: width and height of the frames.
        paths: where the middle of each face (x, y) is at a time in seconds.
        seconds: length of the clip.
        noise: adds that of a sensor.
    """
    for index in range(round(seconds * FPS)):
        frame = Image.new("RGB", shape, (_GROUND,) * 3)
        for path in paths:
            portrait.draw(frame, np.asarray(path(index / FPS), dtype=np.float64), size)
        image = np.asarray(frame)
        yield Frame(image if noise is None else sensor_noise(image, noise), index, Fraction(1, FPS))


def sensor_noise(image: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
    """An image (H, W, 3) with the Poisson-Gaussian noise of a sensor (Foi et al., IEEE TIP 2008).

    The variance is 16 + 48 I / 255: a standard deviation of 4 grey levels in black and of 8 in white, each
    pixel and channel for itself, as of a webcam in a dim room.
    """
    deviation = np.sqrt(16 + 48 * image.astype(np.float64) / 255)
    noisy = image + deviation * random.standard_normal(image.shape)
    return noisy.round().clip(0, 255).astype(np.uint8)
