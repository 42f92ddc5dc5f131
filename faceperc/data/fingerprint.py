"""One hash that tells whether two runs saw the same photographs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np

from faceperc.data.rows import digest
from faceperc.data.source import EncodedImage, Sample


def fingerprint(samples: Iterable[Sample]) -> str:
    """SHA-256 over the sorted digests of the samples' photographs, hexadecimal.

    It depends on neither their order nor their labels; a photograph of two faces counts twice. The digest is
    that of the image's file where the source gives it, else that of what the source keeps.
    """
    whole = hashlib.sha256()
    for each in sorted(_digest(sample) for sample in samples):
        whole.update(each.encode())
    return whole.hexdigest()


def _digest(sample: Sample) -> str:
    if sample.digest:
        return sample.digest
    image = sample.image
    return digest(image.data if isinstance(image, EncodedImage) else np.ascontiguousarray(image).tobytes())
