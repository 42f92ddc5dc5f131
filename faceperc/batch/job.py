"""A job: many images in, one file of results out. It may be interrupted, and goes on with the next run."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from faceperc import __version__
from faceperc._cores import physical_cores
from faceperc._files import Draft, check_target
from faceperc.batch.formats import Format, choose_format
from faceperc.batch.inputs import Input, find_images
from faceperc.batch.pool import WorkerPool
from faceperc.batch.progress import Advance, print_summary, progress
from faceperc.batch.store import Store, Tally
from faceperc.batch.worker import Outcome, Work
from faceperc.detect import FaceDetector
from faceperc.errors import UsageError
from faceperc.predict import Predictor
from faceperc.provenance import file_sha256
from faceperc.runtime import OnnxModel
from faceperc.settings import Settings
from faceperc.zoo import DEFAULT_MODEL

# A part is written when one of these is reached: what an interruption costs, and what is held in memory.
PART_IMAGES = 256
PART_FACES = 2048
PART_SECONDS = 30.0


def predict_files(
    images: Iterable[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    masks: str = "png",
    workers: int | None = None,
    overwrite: bool = False,
    model: str = DEFAULT_MODEL,
    **options: Any,
) -> Tally:
    """Predict on many images and write the results to one file (docs/folders.md).

    What is done is kept in the folder ``<out>.part``: after an interruption a call with the same
    arguments goes on from there. Progress and a summary go to standard error.

    In a program of one's own the call belongs under ``if __name__ == "__main__":``, for each worker imports
    that program.

    Args:
        images: files, folders or patterns, see ``faceperc.batch.inputs.find_images``.
        out: the file: ``.parquet``, ``.csv`` or ``.jsonl``.
        masks: what is kept of a mask: "png" (class ids at the model's resolution), "rle" (COCO's run lengths
            in the frame of the image) or "none".
        workers: processes; by default one per processor core, one in all where a GPU runs the model.
        overwrite: replace ``out`` if it is there.
        model: see ``Predictor``.
        options: ``detector``, ``tasks``, ``threads``, ``provider``, ``min_score``, ``heads`` and ``tiles`` of
            ``Predictor``. ``threads`` are those of each worker; by default the cores are shared out.

    Returns:
        What became of the images; those that failed have a row, or line, with the reason.

    Raises:
        UsageError: if an argument cannot be served, ``out`` exists or cannot be written, or the unfinished
            job beside it has other settings.
        ModelError: if a model cannot be opened, or processes die whatever they do.
        KeyboardInterrupt: on Ctrl-C; what is done by then is kept.
    """
    target, names = Path(out), [os.fspath(name) for name in images]
    if workers is not None and workers < 1:
        raise UsageError(f"workers is a positive integer; got {workers}")
    _check_can_spawn()
    _check_out(target, overwrite)
    settings = Settings(model, **options)
    predictor = settings.open()  # whatever is wrong with the settings is said before the work
    form = choose_format(target, predictor.tasks, masks)
    about = _about(predictor, settings, masks)
    workers, settings = _share_cores(workers, settings, predictor.provider)
    del predictor
    start = time.monotonic()
    with Store(target) as store:
        _check_out(target, overwrite)  # another process may have finished the same job meanwhile
        store.begin({**_named(names), **about["job"]}, find_images(names))
        before = store.tally.images
        with progress(store.total, before) as advance:
            _work_off(store, Work(settings, form), workers, advance)
        _check_out(target, overwrite)
        _write(store, form, target, about)
        print_summary(store.tally, before, time.monotonic() - start, str(out))
        return store.tally


def _work_off(store: Store, work: Work, workers: int, advance: Advance) -> None:
    """Do the images that are left, and keep each part as soon as it is complete."""
    left = store.total - store.tally.images
    if not left:
        return
    part = _Part(store, work.form)
    with WorkerPool[Input, Outcome](min(workers, left), work, work.lost) as pool:
        try:
            for outcome in pool.run(store.images(store.tally.images)):
                part.add(outcome)
                advance(part.so_far)
        finally:  # also on Ctrl-C
            part.keep()


class _Part:
    """The results that are not on the disk yet."""

    def __init__(self, store: Store, form: Format) -> None:
        self._store, self._form = store, form
        self._begin()

    def _begin(self) -> None:
        self._outcomes: list[Outcome] = []
        self._tally = Tally()
        self._since = time.monotonic()

    @property
    def so_far(self) -> Tally:
        """The counts with those of earlier parts."""
        total = Tally()
        total += self._store.tally
        total += self._tally
        return total

    def add(self, outcome: Outcome) -> None:
        self._outcomes.append(outcome)
        self._tally.add(outcome.source, outcome.faces, outcome.error)
        if (
            self._tally.images >= PART_IMAGES
            or self._tally.faces >= PART_FACES
            or time.monotonic() - self._since >= PART_SECONDS
        ):
            self.keep()

    def keep(self) -> None:
        outcomes, tally = self._outcomes, Tally()
        self._begin()  # first: should Ctrl-C come now, these are done again, and never kept twice
        for each in outcomes:  # counted here: Ctrl-C may have come between an outcome and its count
            tally.add(each.source, each.faces, each.error)
        if outcomes:
            self._store.add(self._form.part([each.encoded for each in outcomes]), tally)


def _check_can_spawn() -> None:
    """Refuse to start processes in a worker that imports the program: each of its own would do so again.

    Raises:
        UsageError: if this is such a worker.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):  # as multiprocessing itself asks
        raise UsageError(
            "each worker imports the program that calls predict_files, and must not call it again; put the "
            'call under: if __name__ == "__main__":'
        )


def _named(names: list[str]) -> dict[str, Any]:
    """The inputs as settings; relative ones are the same images only in the same folder."""
    places = {"images": [os.path.abspath(name) for name in names]}
    return places if all(map(os.path.isabs, names)) else {**places, "working_folder": os.getcwd()}


def _check_out(target: Path, overwrite: bool) -> None:
    check_target(target)
    if target.exists() and not target.is_file():
        raise UsageError(f"{target}: is no regular file; name a new one")
    if target.exists() and not overwrite:
        raise UsageError(f"{target}: is there already; give --overwrite to replace it, or another name")


def _share_cores(workers: int | None, settings: Settings, provider: str) -> tuple[int, Settings]:
    """Workers, and settings with each one's threads."""
    available = physical_cores()
    if workers is None:
        workers = available if provider in ("cpu", "openvino") else 1
    threads = settings.threads or max(1, available // workers)
    return workers, replace(settings, threads=threads)


def _about(predictor: Predictor, settings: Settings, masks: str) -> dict[str, Any]:
    """What the results depend on (``job``), and what the model says of its answers."""
    detector = predictor.detector
    if not isinstance(detector, FaceDetector) or not isinstance(detector.model, OnnxModel):
        raise UsageError(f"each process opens the detector: give its name or its file; got {detector!r}")
    metadata = predictor.metadata
    plain = asdict(settings)
    job = {
        "faceperc": __version__,
        "model": metadata.name,
        "model_sha256": file_sha256(predictor.model.path),
        "detector": detector.model.metadata.name,
        "detector_sha256": file_sha256(detector.model.path),
        "tasks": list(predictor.tasks),
        "masks": masks,
        **{name: plain[name] for name in ("min_score", "heads", "tiles")},
    }
    return {
        "job": job,
        "weights_sha256": metadata.weights_sha256,
        "training": metadata.training,
        "tasks": {name: metadata.raw["tasks"][name] for name in predictor.tasks},
    }


def _write(store: Store, form: Format, target: Path, about: dict[str, Any]) -> None:
    """Put the parts together; the file appears when it is complete."""
    draft = Draft(target, scratch=store.path)  # whatever happens, it goes with that folder
    try:
        form.join(store.parts(), draft.path, about)
        draft.finish(durable=True)  # the parts are removed next
    except OSError as error:
        raise UsageError(
            f"{target}: cannot be written: {error.strerror or error}; {store.path} has the results: run the "
            "same again when this is mended"
        ) from error
    finally:
        draft.discard()
    store.remove()
