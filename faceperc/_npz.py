"""Read NumPy's archives, whatever is wrong with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def read_arrays(path: str | Path) -> dict[str, NDArray[Any]]:
    """All arrays of an ``.npz`` file. Nothing is unpickled.

    Raises:
        OSError: if there is no such file, or it cannot be read.
        ValueError: if it is damaged, or another kind of file.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError):
        raise
    except Exception as error:  # NumPy, zipfile and zlib raise a dozen kinds at damaged bytes
        raise ValueError(f"it is no whole NumPy archive: {error!r}") from error
