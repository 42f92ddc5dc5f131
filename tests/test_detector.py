"""The detector's training half: data, mosaics, loss, export and evaluation, on a tiny pack made here."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
pytest.importorskip("cv2")
pytest.importorskip("lightning")
onnx = pytest.importorskip("onnx")

from PIL import Image, ImageDraw  # noqa: E402

from faceperc.crop import box_from_landmarks  # noqa: E402
from faceperc.data.prepared import pack_label  # noqa: E402
from faceperc.data.rows import digest  # noqa: E402
from faceperc.data.teachers.format import PseudoLabel, Teacher, labels_path, write_labels  # noqa: E402
from faceperc.detect import FaceDetector as Runtime  # noqa: E402
from faceperc.detections import Detections  # noqa: E402
from faceperc.detector import evaluate, evaluate_heads, mosaic, sources  # noqa: E402
from faceperc.detector.data import DetectorData, MosaicBatches  # noqa: E402
from faceperc.detector.export import MOST, export_detector, load_checkpoint, weights_sha256  # noqa: E402
from faceperc.detector.export import main as export_main  # noqa: E402
from faceperc.detector.hair import head_box_from_hair  # noqa: E402
from faceperc.detector.loss import assign, detection_loss, iou_and_diou  # noqa: E402
from faceperc.detector.metrics import (  # noqa: E402
    Matches,
    average_precision,
    false_positives,
    judge,
    match,
    recall,
    score_at,
)
from faceperc.detector.model import FaceDetector  # noqa: E402
from faceperc.detector.targets import (  # noqa: E402
    BOX,
    DOUBT,
    HEAD,
    IGNORE,
    POINTS,
    ROTATION,
    SEEN,
    WEIGHT,
    WIDTH,
    head_row,
    region_row,
    target_array,
)
from faceperc.errors import ConfigError, DataError, ModelError, UsageError  # noqa: E402
from faceperc.rotations import angles_of, matrix_from_6d, matrix_from_angles  # noqa: E402
from faceperc.runtime import OnnxModel  # noqa: E402

TINY = {"widths": (8, 16, 16, 16), "depths": (0, 0, 0, 0), "neck": 16}
SIZES = [{**TINY, "patches": True}, {**TINY, "patches": False}]


def picture(size: tuple[int, int], box: tuple[int, int, int, int] | None) -> bytes:
    """A dull picture with a bright rectangle, whose pixels are box[0] ... box[2] - 1, for a face."""
    image = Image.new("RGB", size, (40, 60, 40))
    if box is not None:
        ImageDraw.Draw(image).rectangle((box[0], box[1], box[2] - 1, box[3] - 1), fill=(250, 250, 250))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def photo(
    size: tuple[int, int] = (100, 120), box: tuple[int, int, int, int] = (30, 40, 70, 90)
) -> sources.Photo:
    edges = np.array(box) - 0.5  # the outer border of the rectangle
    whole = region_row([-0.5, -0.5, size[0] - 0.5, size[1] - 0.5], DOUBT)
    return sources.Photo("w300", picture(size, box), size, target_array([head_row(edges), whole]))


def write(folder: Path, source: str, split: str, rows: list[dict]) -> None:
    (folder / source).mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), folder / source / f"{split}.parquet")


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Tiny networks are fastest on one thread, and other work may run beside the tests."""
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every source, in the layout of the pack's README."""
    folder = tmp_path_factory.mktemp("pack")
    points = np.random.default_rng(0).uniform([30, 50], [70, 90], (68, 2))
    points[[36, 45]] = [[40, 60], [60, 60]]
    face = {
        "image": {"bytes": picture((100, 120), (30, 40, 70, 90)), "path": "a.png"},
        "width": 100,
        "height": 120,
    }
    yunet = face | {"det_box": [30.0, 40.0, 70.0, 90.0], "det_score": 0.95}
    yunet |= {"pose_yaw": 10.0, "pose_pitch": -5.0, "yaw": 30.0}
    none = yunet | {"det_box": None, "det_score": None}
    # hair from y = 20 down to 100, as in the picture of the face, which is none here
    mask = io.BytesIO()
    Image.fromarray(np.pad(np.ones((80, 40), np.uint8), ((20, 20), (30, 30)))).save(mask, "PNG")
    hair = none | {"hair_mask": {"bytes": mask.getvalue(), "path": "m.png"}}
    marks = {"landmarks": points.ravel().tolist()}
    scene = {"image": {"bytes": picture((160, 120), None), "path": "n03000000_x.JPEG"}}
    people = scene | {"boxes": [[10.0, 10.0, 30.0, 40.0], [60.0, 10.0, 80.0, 40.0]], "scores": [0.95, 0.6]}
    dog = people | {"image": scene["image"] | {"path": "n02000000_dog.JPEG"}}
    for split in ("train", "val"):
        write(folder, "w300", split, [face | marks] * 3)
        write(folder, "ytf68", split, [yunet | marks | {"det_nme": 0.05}, yunet | marks | {"det_nme": 0.5}])
        for name in ("celebahq1k", "utkface", "muxspace", "fasseg", "figaro1k"):
            write(folder, name, split, [yunet | {"hair_mask": None}, hair if name == "figaro1k" else none])
        write(folder, "scenes", split, [people, dog, scene | {"boxes": [], "scores": []}])
    return folder


def test_every_source_is_read(pack: Path) -> None:
    photos = {name: sources.load_photos(pack, name, "train") for name in sources.SOURCES}
    counts = {name: [len(each.faces) for each in group] for name, group in photos.items()}
    assert counts["w300"] == [1, 1, 1]
    assert counts["ytf68"] == [1]  # the row with wrong landmarks is left out
    assert counts["utkface"] == [1]  # and the one without a box
    assert counts["figaro1k"] == [1, 0]  # which is hair from behind here
    assert counts["scenes"] == [1, 0, 0]  # a person, a dog, nothing
    back = photos["figaro1k"][1]
    assert len(back.heads) == 1 and back.targets[0, SEEN] == 0
    assert photos["scenes"][0].targets[:, WEIGHT].tolist() == [HEAD, IGNORE[0]]
    assert len(photos["scenes"][1].targets) == 1 and len(photos["scenes"][2].targets) == 0
    assert photos["scenes"][0].size == (160, 120)


def test_boxes_follow_the_landmark_convention(pack: Path) -> None:
    row = pq.read_table(pack / "w300" / "train.parquet").to_pylist()[0]
    expected = box_from_landmarks(np.array(row["landmarks"]).reshape(68, 2))
    found = sources.load_photos(pack, "w300", "train")[0].faces[0]
    np.testing.assert_allclose(found, expected, atol=1e-4)
    box = sources.box_from_yunet([0.0, 0.0, 100.0, 200.0])
    assert box[0] == pytest.approx(100 - box[2])  # symmetric, or mirrored pictures would disagree
    assert box[1] > 0  # YuNet's boxes begin higher


def test_missing_data_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FACEPERC_DATA", raising=False)
    with pytest.raises(DataError, match="FACEPERC_DATA"):
        sources.load_photos(None, "w300", "train")
    with pytest.raises(DataError, match="does not exist"):
        sources.load_photos(tmp_path / "nowhere", "w300", "train")
    with pytest.raises(DataError, match=r"w300.train\.parquet is missing"):
        sources.load_photos(tmp_path, "w300", "train")
    (tmp_path / "w300").mkdir()
    (tmp_path / "w300" / "train.parquet").write_bytes(b"not parquet")
    with pytest.raises(DataError, match="cannot be read"):
        sources.load_photos(tmp_path, "w300", "train")


def test_data_sets_of_the_users_join_the_pool(pack: Path, tmp_path: Path) -> None:
    from tiny_wider import TRAIN, write_split

    write_split(tmp_path, "train", TRAIN)
    data = DetectorData(
        str(pack), weights={"w300": 1.0, "wider": 1.0}, folders={"wider": str(tmp_path)}, sizes=(128,),
        shares=(1.0,), batch_size=4, workers=0,
    )  # fmt: skip
    data.setup("fit")
    photos = data.pools["train"].photos["wider"]
    assert photos and "wider" not in data.pools["val"].photos
    assert all(mosaic.decode(each).shape[:2] == each.size[::-1] for each in photos)
    assert sum(len(each.faces) for each in photos) > 0
    with pytest.raises(ConfigError, match="no weight"):
        DetectorData(str(pack), weights={"w300": 1.0}, folders={"wider": str(tmp_path)})
    with pytest.raises(ConfigError, match="no weight to rendered"):
        DetectorData(str(pack), weights={"w300": 1.0}, rendered=str(tmp_path))
    with pytest.raises(ConfigError, match=r"unknown source 'w30': did you mean 'w300'"):
        DetectorData(str(pack), weights={"fasseg": 1.0, "w30": 5.0})
    with pytest.raises(DataError, match="wider"):
        sources.load_folder("widr", str(tmp_path))


@pytest.mark.parametrize("side", [30.0, 50.0, 170.0])
@pytest.mark.parametrize("mirror", [False, True])
def test_boxes_follow_the_pixels(side: float, mirror: bool) -> None:
    source = photo(box=(20, 40, 60, 90))
    canvas = mosaic.Canvas(np.zeros((256, 256, 3), np.uint8), [])
    matrix = mosaic.place(source, side, np.array([120.0, 140.0]), 0.0, mirror)
    mosaic.paste(canvas, source, matrix, (0, 0, 256, 256))
    (face,) = [row for row in canvas.targets if row[WEIGHT] == HEAD]
    profile = np.clip((canvas.image[..., 0].astype(float) - 40) / 210, 0, 1)
    edges = [_extent(profile.max(axis=axis)) for axis in (0, 1)]
    seen = [edges[0][0], edges[1][0], edges[0][1], edges[1][1]]
    np.testing.assert_allclose(face[:4], seen, atol=0.35)
    assert max(face[2] - face[0], face[3] - face[1]) == pytest.approx(side)
    np.testing.assert_allclose((face[:2] + face[2:4]) / 2, [120, 140], atol=1e-3)


def test_small_faces_of_a_crowd_are_not_blown_up() -> None:
    rows = [head_row([10, 10, 20, 22]), head_row([50, 10, 90, 60])]
    crowd = sources.Photo("wider", b"", (100, 120), target_array(rows))
    for head, side in ((0, 12 * mosaic.MOST_ENLARGED), (1, 150.0)):
        matrix = mosaic.place(crowd, 150.0, np.array([64.0, 64.0]), 0.0, False, head)
        moved = mosaic.move_targets(crowd.targets, matrix, np.array([-999.0, -999, 999, 999]))[head]
        assert (moved[2:4] - moved[:2]).max() == pytest.approx(side)
        np.testing.assert_allclose((moved[:2] + moved[2:4]) / 2, 64, atol=1e-3)


def test_turned_boxes_are_those_of_the_ellipse() -> None:
    row = target_array([head_row([-20.0, -10.0, 20.0, 10.0])])
    everywhere = np.array([-99.0, -99.0, 99.0, 99.0])
    quarter = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0]])
    np.testing.assert_allclose(mosaic.move_targets(row, quarter, everywhere)[0][:4], [-10, -20, 10, 20])
    angle = np.radians(30)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0]])
    t = np.linspace(0, 2 * np.pi, 1000)
    outline = np.stack([20 * np.cos(t), 10 * np.sin(t)], 1) @ turn[:, :2].T
    expected = [*outline.min(0), *outline.max(0)]
    np.testing.assert_allclose(mosaic.move_targets(row, turn, everywhere)[0][:4], expected, atol=1e-2)


def test_hidden_and_tiny_faces_are_ignored() -> None:
    row = target_array([head_row([0.0, 0.0, 40.0, 40.0])])
    same, small = np.eye(2, 3), np.eye(2, 3) * 0.2
    whole, half = np.array([-9.0, -9.0, 99.0, 99.0]), np.array([-9.0, -9.0, 15.0, 99.0])
    assert mosaic.move_targets(row, same, whole)[0][WEIGHT] == HEAD
    assert mosaic.move_targets(row, same, half)[0][WEIGHT] == IGNORE[0]
    assert mosaic.move_targets(row, small, whole)[0][WEIGHT] == IGNORE[0]
    assert mosaic.move_targets(row, same, np.array([50.0, 50.0, 99.0, 99.0])) == []
    canvas = mosaic.Canvas(np.zeros((128, 128, 3), np.uint8), [head_row([50.0, 60, 70, 80])])
    source = photo()
    mosaic.paste(
        canvas, source, mosaic.place(source, 60.0, np.array([60.0, 70.0]), 0, False), (0, 0, 128, 128)
    )
    assert sum(each[WEIGHT] == HEAD for each in canvas.targets) == 1  # the one below is gone


def test_mosaics_are_reproducible_and_sound(pack: Path) -> None:
    data = DetectorData(str(pack), sizes=(128, 192), shares=(0.5, 0.5), batch_size=4, workers=0)
    data.setup("fit")
    batches = MosaicBatches(data.pools["train"], (128, 192), (0.5, 0.5), 4, 12, seed=(3, 1))
    faces = 0
    for i in range(len(batches)):
        batch, again = batches[i], batches[i]
        assert torch.equal(batch.image, again.image) and batch.image.dtype == torch.uint8
        assert batch.image.shape[1] in (128, 192) and len(batch.image) == len(batch.targets)
        for target in batch.targets:
            assert target.shape[1] == WIDTH and torch.isfinite(target[:, :6]).all()
            found = target[target[:, WEIGHT] == HEAD]
            faces += len(found)
            assert ((found[:, 2:4] - found[:, :2]).amax(-1) >= mosaic.MIN_FACE).all()
    assert faces > 20
    assert not torch.equal(
        batches[0].image, MosaicBatches(data.pools["train"], (128,), (1,), 4, 1, (3, 2))[0].image
    )


def test_every_face_keeps_a_cell_and_regions_weigh_less() -> None:
    model = FaceDetector(**TINY).eval()
    cells = model(torch.zeros(1, 256, 256, 3, dtype=torch.uint8)).cells
    rows = [
        [10, 10, 20, 22],
        [40, 40, 76, 85],
        [100, 100, 200, 230],
        [-20, -20, 270, 290],
        [150, 20, 240, 110],
    ]
    target = torch.from_numpy(target_array([head_row(row) for row in rows]))
    face, weight, _ = assign(cells, target, torch.zeros(len(cells)))
    assert set(face[face >= 0].tolist()) == set(range(len(rows)))
    assert (weight[face >= 0] == 1).all() and (weight == 0).any()
    regions = [region_row([0.0, 0, 128, 256], IGNORE), region_row([128, 0, 256, 256], DOUBT)]
    region = torch.from_numpy(target_array(regions))
    face, weight, _ = assign(cells, region, torch.full((len(cells),), 0.2))
    assert (face == -1).all()
    assert (weight[cells[:, 0] < 128] == 0).all() and (weight[cells[:, 0] > 128] == 1).all()
    assert (assign(cells, region, torch.full((len(cells),), 0.5))[1] == 0).all()
    region = torch.from_numpy(target_array([region_row([0.0, 0, 256, 256], IGNORE, heads_only=True)]))
    _, face_weight, head_weight = assign(cells, region, torch.zeros(len(cells)))
    assert (face_weight == 1).all() and (head_weight == 0).all()


def test_diou_of_known_boxes() -> None:
    a = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 10]])
    iou, diou = iou_and_diou(a, torch.tensor([[0.0, 0, 10, 10], [20, 0, 30, 10]]))
    assert iou.tolist() == [1, 0] and diou[0] == 1
    assert diou[1].item() == pytest.approx(-400 / 1000)


def test_loss_is_finite_without_faces() -> None:
    model = FaceDetector(**TINY)
    nobody = torch.zeros(0, WIDTH)
    losses = detection_loss(model(torch.zeros(2, 64, 64, 3, dtype=torch.uint8)), [nobody] * 2)
    losses["loss"].backward()
    assert torch.isfinite(losses["loss"])


@pytest.mark.parametrize("size", SIZES)
def test_overfits_one_batch(size: dict) -> None:
    torch.manual_seed(0)
    known = photo()
    known.targets[0, POINTS] = [40, 55, 60, 55, 50, 65, 42, 75, 58, 75]
    known.targets[0, ROTATION] = np.eye(3).ravel()
    pool = mosaic.pool_of(
        [known, sources.Photo("scenes", picture((90, 90), None), (90, 90), target_array([]))], {"w300": 1}
    )
    batch = MosaicBatches(pool, (128,), (1.0,), 4, 1, 5, augment=False, turned=0.5)[0]
    model = FaceDetector(**size)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
    history = []
    for _ in range(60):
        losses = detection_loss(model(batch.image), batch.targets)
        optimizer.zero_grad()
        losses["loss"].backward()
        optimizer.step()
        history.append(losses["loss"].item())
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert np.mean(history[-5:]) < 0.4 * history[0]


def test_a_head_from_behind_is_no_face() -> None:
    torch.manual_seed(0)
    model = FaceDetector(**TINY)
    image = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    target = torch.from_numpy(target_array([head_row([10, 10, 50, 50], seen=0.0, trust=0.0)]))
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
    for _ in range(40):
        losses = detection_loss(model(image), [target, target])
        assert losses["box"] == losses["points"] == losses["rotation"] == 0  # nothing is known of these
        optimizer.zero_grad()
        losses["loss"].backward()
        optimizer.step()
    predictions = model.eval()(image)
    best = predictions.heads[0].argmax()
    assert predictions.heads[0, best].sigmoid() > 0.6 and predictions.logits[0, best].sigmoid() < 0.2
    middle = (predictions.cells[best, :2] - 30).abs().max()
    assert middle <= predictions.cells[best, 2]


@pytest.mark.parametrize("angle", [0.0, 30.0, 90.0, 180.0, -110.0])
@pytest.mark.parametrize("mirror", [False, True])
def test_points_and_rotations_turn_with_the_picture(angle: float, mirror: bool) -> None:
    """A clockwise turn adds to the roll; a mirror negates it, and swaps the eyes."""
    row = head_row(
        [20, 30, 60, 80], points=np.arange(10.0).reshape(5, 2), rotation=matrix_from_angles(0.0, 0.0, 10.0)
    )
    source = sources.Photo("w300", b"", (100, 120), target_array([row]))
    matrix = mosaic.place(source, 50.0, np.array([64.0, 64.0]), angle, mirror)
    (moved,) = mosaic.move_targets(source.targets, matrix, np.array([-999.0, -999, 999, 999]))
    _, _, roll = angles_of(moved[ROTATION].reshape(3, 3))
    wanted = (-10.0 if mirror else 10.0) + angle
    assert (roll - wanted + 180) % 360 - 180 == pytest.approx(0, abs=1e-4)
    points = np.arange(10.0).reshape(5, 2) @ matrix[:, :2].T + matrix[:, 2]
    order = [1, 0, 2, 4, 3] if mirror else range(5)
    np.testing.assert_allclose(moved[POINTS].reshape(5, 2), points[list(order)], atol=1e-3)


def test_a_mirror_negates_yaw() -> None:
    row = head_row([20, 30, 60, 80], rotation=matrix_from_angles(40, 15, 0))
    source = sources.Photo("w300", b"", (100, 120), target_array([row]))
    matrix = mosaic.place(source, 50.0, np.array([64.0, 64.0]), 0.0, True)
    (moved,) = mosaic.move_targets(source.targets, matrix, np.array([-999.0, -999, 999, 999]))
    np.testing.assert_allclose(angles_of(moved[ROTATION].reshape(3, 3)), [-40, 15, 0], atol=1e-3)


def test_rendered_heads_cover_only_what_their_alpha_shows() -> None:
    image = Image.new("RGBA", (80, 80), (0, 0, 0, 0))
    ImageDraw.Draw(image).ellipse((20, 20, 60, 60), fill=(250, 0, 0, 255))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    row = head_row([20, 20, 60, 60])
    head = sources.Photo(sources.RENDERED, buffer.getvalue(), (80, 80), target_array([row]))
    # beside the head; behind it; and in a corner of its box, where nothing hides it
    below = [head_row([0, 0, 14, 14]), head_row([30, 30, 50, 50]), head_row([20, 20, 24, 24])]
    canvas = mosaic.Canvas(np.full((80, 80, 3), 9, np.uint8), below)
    mosaic.paste(canvas, head, np.eye(2, 3), (0, 0, 80, 80))
    assert canvas.image[5, 5].tolist() == [9, 9, 9] and canvas.image[40, 40].tolist() == [250, 0, 0]
    left = [[0, 0, 14, 14], [20, 20, 24, 24], [20, 20, 60, 60]]
    assert [row[BOX].tolist() for row in canvas.targets] == left
    assert all(row[WEIGHT] == HEAD for row in canvas.targets)


@pytest.mark.parametrize("side", [20.0, 40.0, 75.0])
def test_rendered_heads_have_no_dark_outline(side: float) -> None:
    """What is transparent in the file is black; none of it may show."""
    image = Image.new("RGBA", (160, 160), (0, 0, 0, 0))
    ImageDraw.Draw(image).ellipse((30, 30, 130, 130), fill=(200, 200, 200, 255))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    row = head_row([40, 40, 120, 120])
    head = sources.Photo(sources.RENDERED, buffer.getvalue(), (160, 160), target_array([row]))
    canvas = mosaic.Canvas(np.full((128, 128, 3), 200, np.uint8), [])
    mosaic.paste(canvas, head, mosaic.place(head, side, np.array([64.0, 64.0]), 17, False), (0, 0, 128, 128))
    assert np.abs(canvas.image.astype(int) - 200).max() <= 2


def test_a_resumed_run_keeps_its_weights(tmp_path: Path) -> None:
    import lightning.pytorch as pl

    from faceperc.detector.data import Batch
    from faceperc.detector.train import DetectorModule

    nobody = [torch.zeros(0, WIDTH)] * 2
    batches = [Batch(torch.zeros(2, 64, 64, 3, dtype=torch.uint8), nobody)]
    options = {
        "accelerator": "cpu",
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
    }
    weights = {}
    for name, more in (
        ("start", {}),
        ("last", {}),
        ("resumed", {"start_from": str(tmp_path / "start.ckpt")}),
    ):
        module = DetectorModule(**TINY, lr=1e-9, **more)
        trainer = pl.Trainer(max_epochs=2 if more else 1, enable_model_summary=False, **options)
        last = {"ckpt_path": tmp_path / "last.ckpt", "weights_only": True} if more else {}
        trainer.fit(module, batches, **last)
        trainer.save_checkpoint(tmp_path / f"{name}.ckpt")
        weights[name] = module.model.last.weight.detach().numpy().copy()
    np.testing.assert_allclose(weights["resumed"], weights["last"], atol=1e-6)
    assert np.abs(weights["resumed"] - weights["start"]).max() > 1e-3


def test_hair_tells_roughly_where_the_head_is() -> None:
    mask = np.zeros((200, 160), bool)
    mask[30:190, 40:120] = True  # long hair, 80 px wide
    box = head_box_from_hair(mask)
    assert box is not None and (box[0] + box[2]) / 2 == pytest.approx(79.5, abs=0.5)
    assert 50 < box[2] - box[0] < 70 and 30 < box[1] < 60 and 100 < box[3] < 130
    mirrored = [159 - box[2], box[1], 159 - box[0], box[3]]
    np.testing.assert_allclose(head_box_from_hair(mask[:, ::-1]), mirrored)
    assert head_box_from_hair(np.zeros((50, 50), bool)) is None
    mask[0] = True  # cut off by the picture's border
    assert head_box_from_hair(mask) is None


def test_a_teacher_gives_points_and_rotations(pack: Path, tmp_path: Path) -> None:
    (plain,) = sources.load_photos(pack, "utkface", "train")
    landmarks = np.random.default_rng(1).uniform(30, 90, (68, 2))
    box = plain.faces[0]
    labels = [
        PseudoLabel("utkface", "train", "a", digest(plain.data), where.tolist(), task, pack_label(value), 0.9)
        for task, value in (("landmarks", landmarks), ("pose", np.array([20.0, -5.0, 3.0])))
        for where in (box, box + 500)  # the second is somebody else
    ]
    path = labels_path(tmp_path, "utkface", "train", sources.TEACHER)
    write_labels(path, Teacher("x", "1", "o", "l"), labels)
    (taught,) = sources.load_photos(pack, "utkface", "train", tmp_path)
    points = taught.targets[0, POINTS].reshape(5, 2)
    np.testing.assert_allclose(points, sources.five_points(landmarks), rtol=1e-5)
    rotation = taught.targets[0, ROTATION].reshape(3, 3).astype(float)
    np.testing.assert_allclose(angles_of(rotation), [20, -5, 3], atol=1e-3)
    assert np.isnan(plain.targets[0, POINTS]).all()
    with pytest.raises(DataError, match="label the pack first"):
        sources.load_photos(pack, "celebahq1k", "train", tmp_path)


@pytest.fixture(scope="module", params=SIZES, ids=["patches", "convolutions"])
def exported(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[FaceDetector, Path]:
    torch.manual_seed(1)
    model = FaceDetector(**request.param)
    torch.nn.init.normal_(model.last.weight, std=0.3)  # or all cells would answer about the same
    model(torch.randint(0, 256, (4, 64, 64, 3), dtype=torch.uint8))  # batch statistics that are not 0 and 1
    model.eval()
    path = tmp_path_factory.mktemp("onnx") / "tiny.onnx"
    return model, export_detector(model, path, name="tiny", score=0.3)


@pytest.mark.parametrize("shape", [(64, 64), (320, 256), (96, 640), (448, 32)])
def test_onnx_gives_what_torch_gives(exported: tuple[FaceDetector, Path], shape: tuple[int, int]) -> None:
    model, path = exported
    image = np.random.default_rng(0).integers(0, 256, (1, *shape, 3), dtype=np.uint8)
    outputs = OnnxModel(path, threads=1).run({"image": image})
    _compare(outputs, model, image, atol=1e-3)


def test_eight_bits_give_about_the_same(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime.quantization")
    torch.manual_seed(1)
    model = FaceDetector(**SIZES[0])
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (64, 96, 3), dtype=np.uint8) for _ in range(4)]
    model(torch.from_numpy(np.stack(images)))
    path = export_detector(model.eval(), tmp_path / "int8.onnx", images=images)
    graph = onnx.load(path).graph
    first = next(node for node in graph.node if graph.input[0].name in node.input)
    assert first.op_type != "Cast"  # the bytes are multiplied as they are
    kinds = [node.op_type for node in graph.node]
    assert kinds.count("DequantizeLinear") > 20
    outputs = OnnxModel(path, threads=1).run({"image": images[0][None]})
    _compare(outputs, model, images[0][None], atol=2.0)
    with pytest.raises(ModelError, match="patches"):
        export_detector(FaceDetector(**SIZES[1]), tmp_path / "b.onnx", images=images)


def _compare(outputs: dict, model: FaceDetector, image: np.ndarray, atol: float) -> None:
    """The file's cells, the surest first, against the network's, box by box."""
    with torch.no_grad():
        wanted = model(torch.from_numpy(image))
    heads = torch.maximum(wanted.heads[0], wanted.logits[0]).sigmoid()
    count = min(MOST, len(heads))
    assert outputs["boxes"].shape == (count, 4) and outputs["points"].shape == (count, 5, 2)
    assert (outputs["heads"] >= outputs["scores"] - 1e-6).all()
    lowest = np.sort(heads.numpy())[::-1][count - 1]
    assert (outputs["heads"] >= lowest - max(1e-4, atol / 100)).all()  # the best ones
    gaps = np.abs(outputs["boxes"][:, None] - wanted.boxes[0].numpy()).max(-1)
    nearest = gaps.argmin(1)
    assert gaps.min(1).max() < atol
    np.testing.assert_allclose(outputs["heads"], heads[nearest].numpy(), atol=max(1e-4, atol / 100))
    scores = wanted.logits[0, nearest].sigmoid().numpy()
    np.testing.assert_allclose(outputs["scores"], scores, atol=max(1e-4, atol / 100))
    np.testing.assert_allclose(outputs["points"], wanted.points[0, nearest].numpy(), atol=atol)
    products = outputs["rotations"] @ outputs["rotations"].transpose(0, 2, 1)
    np.testing.assert_allclose(products, np.broadcast_to(np.eye(3), products.shape), atol=1e-4)
    rotations = matrix_from_6d(wanted.rotations[0, nearest]).numpy()
    np.testing.assert_allclose(outputs["rotations"], rotations, atol=max(1e-3, atol / 10))


def test_metadata_follow_the_contract(exported: tuple[FaceDetector, Path]) -> None:
    model, path = exported
    assert not list(path.parent.glob("*.part"))
    metadata = OnnxModel(path, threads=1).metadata
    assert metadata.role == "detector" and metadata.name == "tiny" and metadata.detector is not None
    assert metadata.detector.stride == 32 and metadata.detector.nms_score == 0.3
    assert metadata.weights_sha256 == weights_sha256(model) and len(metadata.weights_sha256) == 64
    assert {entry["name"] for entry in metadata.training["data"]} == {*sources.SOURCES, sources.RENDERED}
    assert all(entry["licence"] for entry in metadata.training["data"]) and metadata.training["licence"]


def test_evaluation_runs_on_a_pack(exported: tuple[FaceDetector, Path], pack: Path) -> None:
    detector = Runtime(OnnxModel(exported[1], threads=1))
    reports = evaluate.evaluate_all(detector, pack, count=4)
    again = evaluate.evaluate_all(detector, pack, count=4)
    assert reports == again
    names = [report.name for report in reports]
    sets = ["photographs", "large", "mosaics", "turned", "backs", "people", "scenes", "all scenes"]
    assert names == [*sources.FACE_SOURCES, *sets]
    assert json.loads(json.dumps([report.recall for report in reports]))
    assert reports[-2].images == 1 and reports[-2].faces == 0 and reports[-2].ap50["all"] is None
    assert reports[-1].images == 2 and reports[-4].images == 1


def test_heads_are_evaluated(
    exported: tuple[FaceDetector, Path], pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    image = io.BytesIO()
    Image.new("RGBA", (80, 80), (200, 100, 50, 255)).save(image, "PNG")
    rows = [
        {
            "image": {"bytes": image.getvalue(), "path": "a"},
            "width": 80,
            "height": 80,
            "face_box": [20.0, 20.0, 60.0, 60.0],
            "points5": [0.0] * 10,
            "rotation": matrix_from_angles(yaw, 0.0, 0.0).ravel().tolist(),
        }
        for yaw in (0.0, 75.0, 100.0, 170.0)
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "val.parquet")
    arguments = [str(exported[1]), "--rendered", str(tmp_path), "--data", str(pack), "--threads", "1"]
    evaluate_heads.main([*arguments, "--json", "-"])
    sets = {each["name"]: each for each in json.loads(capsys.readouterr().out)["sets"]}
    assert sum(each["heads"] for name, each in sets.items() if name.startswith("rendered")) == 4
    assert sets["hair from behind"]["heads"] == 1 and sets["w300"]["heads"] == 3
    assert all(0 <= each["faces"] <= each["found"] <= 1 for each in sets.values() if each["heads"])
    evaluate_heads.main(arguments)
    assert "rendered, 90 to 120 degrees" in capsys.readouterr().out


def test_figures_of_heads_are_those_of_what_is_found() -> None:
    """A detector that says what it is told: a head from behind, found, and one that is missed."""
    row = head_row([10, 10, 50, 50], points=np.full((5, 2), 30.0), rotation=np.eye(3))
    row[POINTS] = [20, 20, 40, 20, 30, 30, 22, 40, 38, 40]
    told = Detections(
        np.array([[10.0, 10, 50, 48]]), np.array([0.2]), np.array([0.9]),
        row[POINTS].reshape(1, 5, 2) + np.array([2.0, 0.0]), matrix_from_angles(0, 0, 10)[None],
    )  # fmt: skip

    class Told:
        min_score = 0.5

        def find(self, image: np.ndarray, heads: bool = False) -> Detections:
            return told if image[0, 0, 0] else told[:0]

    pictures = [np.full((64, 64, 3), value, np.uint8) for value in (0, 1)]
    figures = evaluate_heads.evaluate_heads(Told(), "x", [(each, row) for each in pictures])
    assert (figures.heads, figures.found, figures.faces) == (2, 0.5, 0.0)
    assert figures.degrees == pytest.approx((10.0, 10.0)) and figures.points == pytest.approx(10.0)


def test_training_runs_from_the_configuration(
    pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from faceperc.detector import train

    monkeypatch.chdir(tmp_path)  # checkpoints go to runs/ of the working folder
    monkeypatch.setattr("sys.argv", ["faceperc"])

    config = Path(__file__).parents[1] / "configs" / "detector" / "nano.yaml"
    overrides = [
        f"--data.root={pack}",
        "--data.workers=0",
        "--data.sizes=[64]",
        "--data.shares=[1.0]",
        "--data.batch_size=2",
        "--model.widths=[8,8,8,8]",
        "--data.labels=null",
        "--data.rendered=null",
        "--model.depths=[0,0,0,0]",
        "--model.neck=8",
        "--trainer.fast_dev_run=2",
        "--trainer.precision=32-true",
        "--trainer.accelerator=cpu",
        f"--trainer.default_root_dir={tmp_path}",
    ]
    train.main([str(config), *overrides])
    train.main([str(config), *overrides, "--trainer.fast_dev_run=false", "--trainer.max_steps=1"])
    last = "runs/detector-nano/last.ckpt"
    export_main([last, "--out", "a.onnx", "--weights", "a.safetensors"])
    module, before = (
        train.DetectorModule(widths=(8, 8, 8, 8), depths=(0, 0, 0, 0), neck=8),
        load_checkpoint(last),
    )
    assert train.start_from(module, "a.safetensors") == len(before.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(module.model.parameters(), before.parameters(), strict=True))
    with pytest.raises(ModelError, match=r"a\.onnx: is no checkpoint"):
        train.start_from(module, "a.onnx")
    learned = train.trained_on(last)
    assert set(learned) == set(sources.SOURCES)  # rendered heads have a weight, but there were none
    with pytest.raises(UsageError, match="is another run's, which this one would overwrite"):
        train.main([str(config), *overrides, "--trainer.fast_dev_run=false"])
    with pytest.raises(UsageError, match="in one process"):
        train.main([str(config), *overrides, "--trainer.devices=2", "--trainer.strategy=ddp"])
    for path, message in (
        ("none.ckpt", "no such checkpoint"),
        ("a.safetensors", "are weights, not the state"),
    ):
        with pytest.raises(UsageError, match=message):
            train.main([str(config), *overrides, "--ckpt_path", path])
    # the weights that a run began with had their sources too
    Path("training.json").write_text(json.dumps({"data": [{"name": "aflw"}, {"name": "fasseg"}]}))
    here = ["--trainer.fast_dev_run=false", "--trainer.max_steps=1", "--data.weights={fasseg: 1}"]
    shutil.rmtree("runs")
    train.main([str(config), *overrides, *here, "--model.start_from=a.safetensors"])
    assert train.trained_on(last) == ["aflw", "fasseg", "scenes"]
    with pytest.raises(SystemExit):
        train.main([str(config), "--model.no_such_key=1"])
    assert "faceperc train-detector" in capsys.readouterr().err


def test_unlabelled_neighbours_are_not_judged() -> None:
    targets = target_array([head_row([0, 0, 40, 40]), region_row([-0.5, -0.5, 99.5, 99.5], DOUBT)])
    boxes = np.array([[0.0, 0, 40, 40], [60, 0, 90, 30], [20, 20, 60, 60], [150, 0, 190, 40]])
    result, unjudged = judge(boxes, np.array([0.9, 0.8, 0.7, 0.6]), targets)
    assert unjudged.tolist() == [0.8]  # the neighbour; not the poor second box, nor what is elsewhere
    assert result.hits.tolist() == [True, False, False]


def test_metrics_of_a_hand_made_case() -> None:
    faces = np.array([[0.0, 0, 10, 10], [50, 50, 100, 100]])
    boxes = np.array(
        [[0.0, 0, 10, 10], [1, 1, 10, 10], [200, 200, 240, 240], [52, 50, 100, 100], [300, 0, 320, 20]]
    )
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.95])
    ignored = np.array([[290.0, -10, 330, 30]])
    result = match(boxes, scores, faces, ignored)
    assert result.scores.tolist() == [0.9, 0.8, 0.7, 0.6] and result.hits.tolist() == [
        True,
        False,
        False,
        True,
    ]
    assert recall(result, 0.65) == 0.5 and recall(result, 0.65, (20.0, np.inf)) == 0.0
    assert false_positives(result, 0.75) == 1 and false_positives(result, 0.0) == 2
    assert average_precision(result) == pytest.approx((1 + 0.5) / 2)
    # small faces only: the large one's hit does not count, nor does the large wrong box
    assert average_precision(result, (0.0, 20.0)) == 1.0 and average_precision(result, (20.0, np.inf)) == 0.5
    assert np.isnan(average_precision(result, (60.0, np.inf)))
    ten = Matches.join([result] * 10)
    assert false_positives(ten, score_at(ten, 1.0)) <= 1 < false_positives(ten, 0.7)


def _extent(profile: np.ndarray) -> tuple[float, float]:
    middle = (profile * np.arange(len(profile))).sum() / profile.sum()
    return middle - profile.sum() / 2, middle + profile.sum() / 2
