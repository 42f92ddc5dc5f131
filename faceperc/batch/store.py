"""What a job has done so far: parts of the result in a folder beside it, so that a later run goes on.

``results.parquet.part/`` holds

- ``lock``: held by the process that works here,
- ``job.json``: the settings,
- ``images.jsonl``: the images, a JSON list ``[path, error or null]`` per line. Lines are added, never moved,
- ``000000000.part``, ``000000000.json``: for each part, named by the number of its first image, its data and
  then its record, without which the data does not count. A record tells the data's size too: data that is
  missing or cut off does not count either.
"""

from __future__ import annotations

import contextlib
import json
import os
import reprlib
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from faceperc._files import Draft, write_file
from faceperc.batch.inputs import Input
from faceperc.errors import UsageError

SHOWN_FAILURES = 20


@dataclass
class Tally:
    """What became of images.

    Attributes:
        images: how many were looked at, the failed ones too.
        faces: how many were found in them.
        without_face: images in which none was found.
        failed: images that could not be done.
        failures: the source and the reason of the first of those.
    """

    images: int = 0
    faces: int = 0
    without_face: int = 0
    failed: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)

    def add(self, source: str, faces: int, error: str | None) -> None:
        """Count an image."""
        self.images += 1
        self.faces += faces
        self.failed += error is not None
        self.without_face += error is None and not faces
        if error is not None and len(self.failures) < SHOWN_FAILURES:
            self.failures.append((source, error))

    def __iadd__(self, other: Tally) -> Tally:
        """Count the images of another."""
        self.images += other.images
        self.faces += other.faces
        self.without_face += other.without_face
        self.failed += other.failed
        self.failures += other.failures[: SHOWN_FAILURES - len(self.failures)]
        return self


class Store:
    """The folder of a job; a context manager, which lets other processes have it.

    Attributes:
        path: the folder.
        total: how many images the job has.
        tally: what became of those that are done.
    """

    def __init__(self, target: Path) -> None:
        """Open or make the folder beside a target.

        Raises:
            UsageError: if it cannot be made, is somebody else's, or another process works in it.
        """
        self.path = folder_of(target)
        self.total = 0
        self.tally = Tally()
        self._parts: list[Path] = []
        self._images = self.path / "images.jsonl"
        self._settings = self.path / "job.json"
        try:
            self.path.mkdir(exist_ok=True)
            if any(self.path.iterdir()) and not (self.path / "lock").exists():
                raise UsageError(
                    f"{self.path}: is no unfinished job, but has other files; choose another name"
                )
            self._lock = _lock(self.path)
        except OSError as error:
            raise UsageError(f"{self.path}: cannot be made: {error.strerror or error}") from error

    def __enter__(self) -> Store:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let others have the folder, and remove it if it holds no job."""
        if not self._settings.exists():
            self.remove()  # while it is locked: afterwards it may be another's
        os.close(self._lock)

    def begin(self, settings: dict[str, Any], images: Iterable[Input]) -> None:
        """Begin a job, or go on with the one that is here: images that came since are added at its end.

        Args:
            settings: what the results depend on, JSON-ready.
            images: the images that are wanted.

        Raises:
            UsageError: if the job that is here has other settings, or is damaged.
        """
        known: dict[str, str | None] = {}
        if self._settings.exists():
            self._check(settings)
            known = self._known()
            self._read_records()
            self._clear_up()
        is_longer = False
        for image in images:
            is_longer |= image.path not in known
            known.setdefault(image.path, image.error)
        if is_longer:
            draft = Draft(self._images)
            with draft.path.open("w", encoding="ascii") as file:
                file.writelines(json.dumps(pair) + "\n" for pair in known.items())
            draft.finish(durable=True)
        self.total = len(known)
        write_file(self._settings, json.dumps(settings, indent=2).encode(), durable=True)

    def images(self, start: int = 0) -> Iterator[Input]:
        """The images of the job from a number on."""
        with self._images.open(encoding="ascii") as file:
            for line in islice(file, start, None):
                yield Input(*json.loads(line))

    def add(self, data: bytes, tally: Tally) -> None:
        """Keep the next images' part of the result."""
        part = self.path / f"{self.tally.images:09}.part"
        record = {"bytes": len(data), **asdict(tally)}
        write_file(part, data, durable=True)
        write_file(part.with_suffix(".json"), json.dumps(record).encode(), durable=True)
        self._parts.append(part)
        self.tally += tally

    def parts(self) -> list[Path]:
        """The files of all parts, in order."""
        return list(self._parts)

    def remove(self) -> None:
        """Remove the folder: the result is complete."""
        shutil.rmtree(self.path, ignore_errors=True)

    def _check(self, settings: dict[str, Any]) -> None:
        try:
            before = json.loads(self._settings.read_text())
        except (OSError, ValueError) as error:
            raise UsageError(f"{self._settings}: is damaged ({error}); remove the folder") from error
        changed = [
            f"{name} was {reprlib.repr(before.get(name))}, now {reprlib.repr(settings.get(name))}"
            for name in {**before, **settings}
            if before.get(name) != settings.get(name)
        ]
        if changed:
            raise UsageError(
                f"{self.path}: holds an unfinished job with other settings ({'; '.join(changed)}); go on "
                "with those, choose another file, or remove the folder to begin anew"
            )

    def _known(self) -> dict[str, str | None]:
        try:
            return {image.path: image.error for image in self.images()}
        except (OSError, ValueError, TypeError) as error:
            raise UsageError(f"{self._images}: is damaged ({error}); remove the folder") from error

    def _read_records(self) -> None:
        """The parts that are complete: up to the first that is not."""
        while (record := self.path / f"{self.tally.images:09}.json").exists():
            try:
                fields = json.loads(record.read_text())
                size, tally = fields.pop("bytes"), Tally(**fields)
            except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
                raise UsageError(f"{record}: is damaged ({error}); remove the folder") from error
            part = record.with_suffix(".part")
            if not part.is_file() or part.stat().st_size != size:
                return  # its images and all after them are done again
            self._parts.append(part)
            self.tally += tally

    def _clear_up(self) -> None:
        """Remove what does not count: records after a gap, and drafts of a process that was killed."""
        for record in self.path.glob("*[0-9].json"):
            if int(record.stem) >= self.tally.images:
                record.unlink()
        for draft in self.path.glob(".*"):
            shutil.rmtree(draft, ignore_errors=True)


def folder_of(target: Path) -> Path:
    """Where the unfinished job for a file is: beside the file itself, where it is named by a link."""
    real = Path(os.path.realpath(target)) if target.is_symlink() else target
    return real.with_name(f"{real.name}.part")


def _lock(folder: Path) -> int:
    """Hold a folder against other processes, where the system can; the lock goes with the process."""
    handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    with contextlib.suppress(ImportError):  # Windows
        import fcntl

        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(handle)
            raise UsageError(f"{folder}: another process works on this job; wait, or end that") from error
    return handle
