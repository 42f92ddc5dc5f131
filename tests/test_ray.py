"""The predictor over tables: Ray Data, with a worker that is killed, and Hugging Face datasets."""

from __future__ import annotations

import io
import os
import pickle
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import faceperc.ray
from faceperc.batch.arrow import FacePredictor
from faceperc.errors import UsageError

ROOT = Path(__file__).parents[1]

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


@pytest.fixture
def arguments(face_model: Path, detector_model: Path) -> dict[str, Any]:
    return {"model": str(face_model), "detector": str(detector_model)}


@pytest.fixture
def data(photo: Path) -> bytes:
    return photo.read_bytes()


# Tables


def test_images_may_come_in_any_form(
    arguments: dict[str, Any], photo: Path, data: bytes, pixels: np.ndarray
) -> None:
    cells = [
        data,
        str(photo),
        {"bytes": data, "path": "a.png"},
        {"bytes": None, "path": str(photo)},
        Image.open(photo),
        pixels,
    ]
    table = FacePredictor(keep=["id"], **arguments)({"image": cells, "id": [*"abcdef"]})
    assert table["id"].to_pylist() == [*"aabbccddeeff"] and table["face"].to_pylist() == [0, 1] * 6
    sources = [None, str(photo), "a.png", str(photo), None, None]
    assert table["source"].to_pylist() == [source for source in sources for _ in range(2)]
    assert len({*table["redness.value"].to_pylist()}) == 2  # all forms are the same image


def test_tensors_of_ray(arguments: dict[str, Any], pixels: np.ndarray) -> None:
    """What ``ray.data.read_images`` gives; images of several sizes are stored in another way."""
    tensors = pytest.importorskip("ray.data.extensions")
    alike = tensors.ArrowTensorArray.from_numpy(np.stack([pixels, pixels]))
    unlike = tensors.ArrowVariableShapedTensorArray.from_numpy([pixels, pixels[:, :90]])
    for column, widths in ((alike, {100}), (unlike, {90, 100})):
        table = FacePredictor(**arguments)(pa.table({"image": column}))
        assert table["face"].to_pylist() == [0, 1] * 2 and {*table["width"].to_pylist()} == widths


def test_arrow_table_with_bad_rows(arguments: dict[str, Any], data: bytes) -> None:
    batch = pa.table({"picture": [b"no image", data, None], "id": pa.array([1, 2, 3], pa.int8())})
    table = FacePredictor("picture", keep=["id"], tasks=["age"], masks="none", **arguments)(batch)
    assert table["id"].to_pylist() == [1, 2, 2, 3] and table.schema.field("id").type == pa.int8()
    assert [error is None for error in table["error"].to_pylist()] == [False, True, True, False]
    assert table.column_names[-2:] == ["age.value", "age.std"]


def test_result_of_no_row_has_all_columns(arguments: dict[str, Any], data: bytes) -> None:
    predictor = FacePredictor(keep=["id"], **arguments)
    empty = predictor(pa.table({"image": pa.array([], pa.binary()), "id": pa.array([], pa.int64())}))
    assert len(empty) == 0 and empty.schema == predictor(pa.table({"image": [data], "id": [7]})).schema


def test_open_models_are_not_pickled(arguments: dict[str, Any], data: bytes) -> None:
    predictor = FacePredictor(**arguments)
    before = pickle.dumps(predictor)
    rows = predictor({"image": [data]})
    assert pickle.dumps(predictor) == before and pickle.loads(before)({"image": [data]}) == rows


def test_rows_are_those_of_a_job(arguments: dict[str, Any], data: bytes, tmp_path: Path) -> None:
    """Names that are no text are shown, and reasons begin without the name, which is in its own column."""
    name = os.fsdecode(bytes(tmp_path) + b"/caf\xe9.png")
    cells = [{"bytes": data, "path": name}, {"bytes": None, "path": name}]
    table = FacePredictor(tasks="age", **arguments)({"image": cells})
    assert table["source"].to_pylist() == [rf"{tmp_path}/caf\xe9.png"] * 3
    assert table["error"].to_pylist() == [None, None, "no such file; check the path"]


@pytest.mark.parametrize(
    ("options", "batch", "reason"),
    [
        ({"column": "imag"}, {"image": []}, "unknown column 'imag': did you mean 'image'"),
        ({"keep": ["id"]}, {"image": []}, "unknown column 'id'"),
        ({"keep": ["score"]}, {"image": [], "score": []}, "score: a result has this name"),
        ({"masks": "gif"}, {}, "masks is one of"),
    ],
)
def test_wrong_usage(
    arguments: dict[str, Any], options: dict[str, Any], batch: dict[str, Any], reason: str
) -> None:
    with pytest.raises(UsageError, match=reason):
        FacePredictor(**options, **arguments)(batch)


# Hugging Face datasets


@pytest.mark.parametrize("processes", [None, 2])
def test_datasets_map(
    arguments: dict[str, Any],
    data: bytes,
    tmp_path: Path,
    processes: int | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    datasets = pytest.importorskip("datasets")
    # with processes it leaves a copy in the place of os.environ, which other tests' programs would not read
    monkeypatch.setattr(os, "environ", os.environ)
    features = datasets.Features({"id": datasets.Value("int64"), "image": datasets.Image()})
    rows = {"id": [*range(10)], "image": [{"bytes": data, "path": None}] * 10}
    dataset = datasets.Dataset.from_dict(rows, features=features)
    if processes:
        dataset = dataset.with_format("arrow")  # no decoding by the other library
    faces = dataset.map(
        FacePredictor(keep=["id"], **arguments),
        batched=True,
        batch_size=4,
        remove_columns=dataset.column_names,
        num_proc=processes,
        cache_file_name=None if processes else str(tmp_path / "cache.arrow"),
    )
    faces = faces.with_format(None)
    assert faces["id"][:] == [number for number in range(10) for _ in range(2)]
    assert faces["face"][:] == [0, 1] * 10 and "landmarks.points" in faces.column_names


# Ray


class Mortal(FacePredictor):
    """Is killed, as by a system without memory, over the image 33, once."""

    def __call__(self, batch: Any) -> Any:
        mark = Path(os.environ["FACEPERC_TEST_MARK"])
        if 33 in batch["id"].to_pylist() and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(batch)


@pytest.fixture(scope="module")
def ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    ray = pytest.importorskip("ray")
    patch = pytest.MonkeyPatch()
    patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "tests")]))  # actors import Mortal
    patch.setenv("FACEPERC_TEST_MARK", str(tmp_path_factory.mktemp("ray") / "killed"))
    # 75 MiB is the least that Ray takes
    ray.init(
        num_cpus=2,
        object_store_memory=80 * 2**20,
        include_dashboard=False,
        log_to_driver=False,
        configure_logging=False,
    )
    yield ray
    ray.shutdown()
    patch.undo()


def test_ray__every_face_once_though_a_worker_is_killed(
    ray: Any, arguments: dict[str, Any], data: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").mkdir()
    for number in range(4):
        ids = [*range(30 * number, 30 * number + 30)]
        parquet.write_table(
            pa.table({"id": ids, "image": [data] * 30}), tmp_path / "in" / f"{number}.parquet"
        )
    monkeypatch.setattr(faceperc.ray, "FacePredictor", Mortal)
    photos = ray.data.read_parquet(str(tmp_path / "in"), override_num_blocks=12)
    faces = faceperc.ray.predict(photos, keep=["id"], workers=2, cpus=0.5, batch_size=5, **arguments)
    faces.write_parquet(str(tmp_path / "out"))
    assert Path(os.environ["FACEPERC_TEST_MARK"]).exists()
    table = parquet.read_table(tmp_path / "out")
    keys = [*zip(table["id"].to_pylist(), table["face"].to_pylist(), strict=True)]
    assert sorted(keys) == [(number, face) for number in range(120) for face in range(2)]
    assert set(table["error"].to_pylist()) == {None}


def test_ray__actors_that_take_every_core_are_warned_of(ray: Any, arguments: dict[str, Any]) -> None:
    with pytest.warns(RuntimeWarning, match="take 2 of the cluster's 2 cores"):
        faceperc.ray.predict(ray.data.range(1), workers=2, **arguments)


def test_ray__wrong_argument_is_said_before_the_work(ray: Any) -> None:
    with pytest.raises(UsageError, match="masks is one of"):
        faceperc.ray.predict(ray.data.range(1), masks="gif")


def test_bytes_of_no_image_are_named_by_their_size(arguments: dict[str, Any]) -> None:
    stream = io.BytesIO()
    Image.new("RGB", (3, 3)).save(stream, "PNG")
    (error,) = FacePredictor(**arguments)({"image": [stream.getvalue()]})["error"].to_pylist()
    assert "is too small: 3 x 3 pixels" in error
