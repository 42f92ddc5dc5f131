"""The predictor on a Ray cluster: images in, faces out (docs/scaling.md).

Ray starts the actors, feeds them, and does again what was lost with one; nothing of that is ours.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from faceperc.batch.arrow import FacePredictor
from faceperc.errors import UsageError

if TYPE_CHECKING:
    from ray.data import Dataset

__all__ = ["FacePredictor", "predict"]


def predict(
    dataset: Dataset,
    column: str = "image",
    *,
    keep: Sequence[str] = (),
    workers: int | tuple[int, int] | None = None,
    batch_size: int = 32,
    cpus: float = 1,
    gpus: float = 0,
    **options: Any,
) -> Dataset:
    """A row per face, for a dataset with a row per image. As all of Ray Data it is done when it is read.

    Example:
        >>> import ray
        >>> photos = ray.data.read_parquet("photos/")  # doctest: +SKIP
        >>> faceperc.ray.predict(photos, keep=["id"]).write_parquet("faces/")  # doctest: +SKIP

    Args:
        dataset: images in a column; see ``FacePredictor`` for what an image may be.
        column: the name of that column.
        keep: columns of the input that each face's row gets from its image's.
        workers: how many actors, or the least and the most; by default as many as the cluster has room for. A
            fixed number must leave cores for reading and writing, or Ray waits for ever: a RuntimeWarning.
        batch_size: images that an actor is handed at once: those that are done again if it dies.
        cpus: cores of an actor; whole ones are also its threads.
        gpus: GPUs of an actor, such as 0.5; with it goes ``provider="cuda"``.
        options: further arguments of ``FacePredictor``.

    Returns:
        The dataset of faces, in the columns of docs/folders.md.

    Raises:
        UsageError: if Ray is not installed, or an argument is wrong.
    """
    try:
        from ray.data import ActorPoolStrategy
    except ImportError as error:
        raise UsageError('Ray Data is not installed: pip install "faceperc[cpu,ray]"') from error
    arguments = {"column": column, "keep": tuple(keep), "threads": max(1, int(cpus)), **options}
    FacePredictor(**arguments)  # a wrong argument is said here, not by an actor
    if isinstance(workers, int):
        _warn_of_no_room(workers * cpus)
        compute = ActorPoolStrategy(size=workers)
    else:
        low, high = workers or (1, None)
        compute = ActorPoolStrategy(min_size=low, max_size=high)
    return dataset.map_batches(
        FacePredictor,
        fn_constructor_kwargs=arguments,
        batch_format="pyarrow",
        batch_size=batch_size,
        compute=compute,
        num_cpus=cpus,
        num_gpus=gpus,
    )


def _warn_of_no_room(cores: float) -> None:
    """Tell of actors that would take every core of the cluster, so that nothing could read their input."""
    import ray

    if ray.is_initialized() and cores >= (there := ray.cluster_resources().get("CPU", 0)):
        warnings.warn(
            f"the actors take {cores:g} of the cluster's {there:g} cores, which leaves none for reading and "
            "writing: unless the cluster grows, nothing gets done; use fewer workers or fewer cpus for each",
            RuntimeWarning,
            stacklevel=3,
        )
