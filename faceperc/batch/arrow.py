"""The predictor for tables: what Ray Data and Hugging Face ``datasets`` map over batches of rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from faceperc._names import unknown_name
from faceperc.batch.inputs import shown
from faceperc.batch.rows import Row, arrow_schema, columns, face_rows, failed_row, import_pyarrow
from faceperc.batch.worker import attempt
from faceperc.errors import UsageError
from faceperc.image import ImageSource
from faceperc.predict import Predictor
from faceperc.settings import Settings
from faceperc.zoo import DEFAULT_MODEL

if TYPE_CHECKING:
    import pyarrow


class FacePredictor:
    """A batch of rows with images in, a table with a row per face out, in the columns of docs/folders.md.

    It can be pickled; each process opens the models at its first batch.

    Example:
        >>> dataset.map(  # of Hugging Face
        ...     FacePredictor(), batched=True, batch_size=32, remove_columns=dataset.column_names
        ... )  # doctest: +SKIP
    """

    def __init__(
        self,
        column: str = "image",
        *,
        keep: Sequence[str] = (),
        masks: str = "png",
        model: str = DEFAULT_MODEL,
        threads: int = 1,
        **options: Any,
    ) -> None:
        """Describe what to predict, and on what.

        Args:
            column: where the images are: the bytes of image files, paths, Pillow images, RGB uint8 arrays, or
                the struct of ``bytes`` and ``path`` in which ``datasets`` keeps images.
            keep: columns of the input that each row of a face gets from the row of its image, such as a key.
            masks: what is kept of a mask: "png", "rle" or "none".
            model: see ``Predictor``.
            threads: of each process.
            options: ``detector``, ``tasks``, ``provider``, ``min_score``, ``heads`` and ``tiles`` of
                ``Predictor``.

        Raises:
            UsageError: if pyarrow is not installed, or an argument is wrong.
        """
        import_pyarrow()
        columns({}, masks)  # checks it
        self._column, self._keep, self._masks = column, tuple(keep), masks
        self._settings = Settings(model, threads=threads, **options)
        self._predictor: Predictor | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Without the models, which cannot be pickled."""
        return {**self.__dict__, "_predictor": None}

    def __call__(self, batch: pyarrow.Table | Mapping[str, Sequence[Any]]) -> pyarrow.Table:
        """Predict.

        Args:
            batch: a table of Arrow, or lists or arrays by the name of the column.

        Returns:
            The kept columns, and those of ``rows.columns``: a row per face, one without ``face`` for an image
            that shows none, and one with ``error`` for an image that cannot be done.

        Raises:
            UsageError: if a column is missing, or one that is kept has the name of a result's.
            ModelError: if a model cannot be opened.
        """
        pa = import_pyarrow()
        names = batch.column_names if isinstance(batch, pa.Table) else list(batch)
        for name in (self._column, *self._keep):
            if name not in names:
                raise UsageError(unknown_name("column", name, names))
        if self._predictor is None:
            self._predictor = self._settings.open()
        schema = arrow_schema(columns(self._predictor.tasks, self._masks))
        if taken := set(self._keep) & set(schema.names):
            raise UsageError(f"{', '.join(sorted(taken))}: a result has this name; rename the column")
        rows: list[Row] = []
        origins: list[int] = []  # for each row the number of its image
        for number, cell in enumerate(_cells(batch[self._column])):
            found = self._rows(self._predictor, cell)
            rows += found
            origins += [number] * len(found)
        table = pa.Table.from_pylist(rows, schema)
        for place, name in enumerate(self._keep):
            kept = batch[name] if isinstance(batch, pa.Table) else pa.array(batch[name])
            table = table.add_column(place, name, kept.take(pa.array(origins, pa.int64())))
        return table

    def _rows(self, predictor: Predictor, cell: Any) -> list[Row]:
        path, image = _image(cell)
        source = None if path is None else shown(path)
        if image is None:
            return [failed_row(source, "there is no image")]
        return attempt(
            lambda: face_rows(predictor(image), self._masks, source),
            lambda reason: [failed_row(source, reason)],
            path,
        )


def _cells(column: Any) -> Iterator[Any]:
    """The values of a column, one at a time: they may be large."""
    return (cell.as_py() if hasattr(cell, "as_py") else cell for cell in column)


def _image(cell: Any) -> tuple[str | None, ImageSource | None]:
    """The path of an image, where it is known, and what to read."""
    if isinstance(cell, Mapping):
        path = cell.get("path")
        return path, cell.get("bytes") or path
    return (cell if isinstance(cell, str) else None), cell
