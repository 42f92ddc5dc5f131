"""The official evaluation of WIDER FACE, against figures worked out by hand and the authors' loops."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.io import savemat
from tiny_onnx import build_detector
from tiny_wider import cell, write_photo, write_truth
from typer.testing import CliRunner

from faceperc.cli import app
from faceperc.data.boxes import box_from_yunet, yunet_from_box
from faceperc.detector.evaluate_wider import main
from faceperc.detector.wider_ap import SETS, Truth, average_precisions, read_truth
from faceperc.errors import DataError, UsageError

Array = NDArray[np.float64]


# The rules of the authors' MATLAB programs in plain loops, named alike. A NaN loses in MATLAB's max.


def boxoverlap(a: list[float], b: list[float]) -> float:
    w = min(a[2], b[2]) - max(a[0], b[0]) + 1
    h = min(a[3], b[3]) - max(a[1], b[1]) + 1
    if w <= 0 or h <= 0:
        return 0.0
    area_a = (a[2] - a[0] + 1) * (a[3] - a[1] + 1)
    area_b = (b[2] - b[0] + 1) * (b[3] - b[1] + 1)
    return w * h / (area_a + area_b - w * h)


def norm_score(pred_list: list[list[list[float]]]) -> list[list[list[float]]]:
    scores = [row[4] for pred in pred_list for row in pred]
    if not scores:
        return pred_list
    low, high = min(scores), max(scores)
    scale = high - low
    return [
        [[*row[:4], (row[4] - low) / scale if scale else float("nan")] for row in pred] for pred in pred_list
    ]


def image_evaluation(
    pred: list[list[float]], gt: list[list[float]], ignore: list[int]
) -> tuple[list[int], list[int]]:
    pred_recall, recall_list, proposal_list = [], [0] * len(gt), [1] * len(pred)
    for h, (x, y, w, height, _) in enumerate(pred):
        overlaps = [boxoverlap([g[0], g[1], g[0] + g[2], g[1] + g[3]], [x, y, x + w, y + height]) for g in gt]
        best = max(overlaps)
        idx = overlaps.index(best)
        if best >= 0.5:
            if ignore[idx] == 0:
                recall_list[idx] = -1
                proposal_list[h] = -1
            elif recall_list[idx] == 0:
                recall_list[idx] = 1
        pred_recall.append(sum(value == 1 for value in recall_list))
    return pred_recall, proposal_list


def vocap(rec: list[float], prec: list[float]) -> float:
    mrec, mpre = [0.0, *rec, 1.0], [0.0, *prec, 0.0]
    for i in range(len(mpre) - 2, -1, -1):
        mpre[i] = mpre[i + 1] if np.isnan(mpre[i]) else max(mpre[i], mpre[i + 1])
    return sum((mrec[i] - mrec[i - 1]) * mpre[i] for i in range(1, len(mrec)) if mrec[i] != mrec[i - 1])


def reference_ap(truths: list[Truth], detections: list[Array], name: str) -> float:
    # read_pred.m sorts each file by descending score
    preds = norm_score([sorted(each.tolist(), key=lambda row: -row[4]) for each in detections])
    curve, count_face = [[0, 0] for _ in range(1000)], 0
    for truth, pred in zip(truths, preds, strict=True):
        keep_index = truth.counted[name].tolist()
        count_face += len(keep_index)
        if not len(truth.boxes) or not pred:
            continue
        ignore = [int(row in keep_index) for row in range(len(truth.boxes))]
        pred_recall, proposal_list = image_evaluation(pred, truth.boxes.tolist(), ignore)
        for t in range(1000):
            above = [h for h, row in enumerate(pred) if row[4] >= 1 - (t + 1) / 1000]
            if above:
                curve[t][0] += sum(value == 1 for value in proposal_list[: above[-1] + 1])
                curve[t][1] += pred_recall[above[-1]]
    if not count_face:
        return float("nan")
    precision = [found / all_ if all_ else float("nan") for all_, found in curve]
    return vocap([found / count_face for _, found in curve], precision)


@st.composite
def scenes(draw: st.DrawFn) -> tuple[list[Truth], list[Array]]:
    """Photographs with faces in a few places; detections near and far from them, some of equal scores."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    truths, detections = [], []
    for index in range(draw(st.integers(1, 4))):
        faces = draw(st.integers(0, 6))
        boxes = np.column_stack([rng.integers(0, 60, (faces, 2)), rng.integers(0, 25, (faces, 2))]).astype(
            float
        )
        counted = {
            name: np.flatnonzero(rng.random(faces) < share)
            for name, share in zip(SETS, (0.4, 0.7, 1.0), strict=True)
        }
        truths.append(Truth("0--Parade", str(index), boxes, counted))
        hits = np.repeat(boxes, draw(st.integers(0, 3)), axis=0)
        hits = hits + rng.integers(-3, 4, hits.shape) * draw(st.sampled_from([0.0, 0.5, 1.0]))
        misses = np.column_stack([rng.uniform(0, 80, (3, 2)), rng.uniform(1, 25, (3, 2))])
        found = np.vstack([hits, misses[: draw(st.integers(0, 3))]])
        found[:, 2:] = found[:, 2:].clip(min=0)
        scores = rng.integers(1, draw(st.sampled_from([2, 5, 1001])), len(found)) / 1000
        order = rng.permutation(len(found))
        detections.append(np.column_stack([found, scores])[order])
    return truths, detections


@settings(max_examples=60, deadline=None)
@given(scenes())
def test_figures_are_those_of_the_authors_program(scene: tuple[list[Truth], list[Array]]) -> None:
    truths, detections = scene
    figures = average_precisions(truths, detections)
    for name in SETS:
        expected = reference_ap(truths, detections, name)
        np.testing.assert_allclose(figures[name], expected, rtol=0, atol=1e-9, err_msg=name)


def photo(boxes: list[list[float]], **counted: list[int]) -> Truth:
    rows = {name: np.array(counted.get(name, []), dtype=np.intp) for name in SETS}
    return Truth("0--Parade", "0_Parade_1", np.array(boxes, dtype=float).reshape(-1, 4), rows)


FACES = [[10.0, 10, 20, 20], [50.0, 10, 20, 20]]
FAR = [100.0, 100, 9, 9]


@pytest.mark.parametrize(
    ("detections", "easy", "hard"),
    [
        ([[*FACES[0], 0.9], [*FACES[1], 0.5]], 1.0, 1.0),
        # hard: precision 1, 1/2, 2/3 at recall 1/2, 1/2, 1; easy: the second face is dropped
        ([[*FACES[0], 0.9], [*FAR, 0.7], [*FACES[1], 0.5]], 1.0, 1 / 2 + 1 / 3),
        ([[*FAR, 0.9], [*FACES[0], 0.5], [*FACES[1], 0.4]], 1 / 2, 2 / 3),
        # the second detection of a face is a false one
        ([[*FACES[0], 0.9], [*FACES[0], 0.8], [*FACES[1], 0.5]], 1.0, 1 / 2 + 1 / 3),
        ([[*FACES[1], 0.9], [*FACES[1], 0.8], [*FAR, 0.5]], 0.0, 1 / 2),
        ([], 0.0, 0.0),
        ([[*FACES[0], 0.9], [*FACES[1], 0.9]], 0.0, 0.0),  # equal scores: 0 / 0 in the authors' program
    ],
)
def test_figures_worked_out_by_hand(detections: list[list[float]], easy: float, hard: float) -> None:
    found = [np.array(detections, dtype=float).reshape(-1, 5)]
    figures = average_precisions([photo(FACES, easy=[0], hard=[0, 1])], found)
    assert figures["easy"] == pytest.approx(easy, abs=1e-12)
    assert figures["hard"] == pytest.approx(hard, abs=1e-12)
    assert np.isnan(figures["medium"])  # no face counts


@pytest.mark.parametrize(("shift", "hit"), [(6.0, True), (7.01, False)])
def test_a_box_includes_its_last_pixel(shift: float, hit: bool) -> None:
    """21 x 21 pixels, (21 - s) / (21 + s) >= 1/2: up to s = 7, where 20 x 20 would end at 6.67."""
    for inside in (shift, 7.0 if hit else shift):
        found = np.array([[10 + inside, 10, 20, 20, 0.9], [*FAR, 0.5]])
        assert average_precisions([photo(FACES, hard=[0])], [found])["hard"] == float(hit)


def test_photographs_without_a_labelled_face_do_not_count() -> None:
    truths = [photo(FACES, hard=[0, 1]), photo([])]
    found = [np.array([[*FACES[0], 0.9], [*FACES[1], 0.5]]), np.array([[*FAR, 0.99]])]
    assert average_precisions(truths, found)["hard"] == pytest.approx(1.0)


EVENTS: dict[str, dict[str, Any]] = {
    "0--Parade": {"0_Parade_a_1": [[9, 11, 20, 28], [70, 70, 20, 20]], "0_Parade_b_2": []},
    "1--Handshaking": {"1_Handshaking_c_3": [[49.0, 19, 30, 40]]},
}
COUNTED: dict[str, dict[str, dict[str, Any]]] = {
    "easy": {
        "0--Parade": {"0_Parade_a_1": [0], "0_Parade_b_2": []},
        "1--Handshaking": {"1_Handshaking_c_3": []},
    },
    "medium": {
        "0--Parade": {"0_Parade_a_1": [0], "0_Parade_b_2": []},
        "1--Handshaking": {"1_Handshaking_c_3": [0]},
    },
    "hard": {
        "0--Parade": {"0_Parade_a_1": [0, 1], "0_Parade_b_2": []},
        "1--Handshaking": {"1_Handshaking_c_3": [0]},
    },
}


@pytest.fixture
def wider(tmp_path: Path) -> Path:
    for event, photos in EVENTS.items():
        for name in photos:
            write_photo(tmp_path / f"WIDER_val/images/{event}/{name}.jpg")
    write_truth(tmp_path / "wider_face_split", EVENTS, COUNTED)
    return tmp_path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Finds the same two faces in every photograph; as rectangles x, y, w, h: 9 11 20 28 and 49 19 30 40."""
    boxes = np.array([[8.5, 10.5, 28.5, 38.5], [48.5, 18.5, 78.5, 58.5]])
    return build_detector(
        tmp_path_factory.mktemp("model") / "tiny.onnx", box_from_yunet(boxes).tolist(), [0.5, 0.9]
    )


def test_the_ground_truth_is_read_as_the_authors_write_it(wider: Path) -> None:
    truths = read_truth(wider)
    assert [(truth.event, truth.name) for truth in truths] == [
        (event, name) for event, photos in EVENTS.items() for name in photos
    ]
    for truth in truths:
        boxes = np.reshape(np.array(EVENTS[truth.event][truth.name], float), (-1, 4))
        np.testing.assert_array_equal(truth.boxes, boxes)
        for name in SETS:
            assert truth.counted[name].tolist() == COUNTED[name][truth.event][truth.name]


def test_the_ground_truth_may_lie_in_the_folder_of_the_tools(wider: Path) -> None:
    (wider / "eval_tools").mkdir()
    (wider / "wider_face_split").rename(wider / "eval_tools/ground_truth")
    assert len(read_truth(wider)) == 3


def test_the_command_gives_the_official_figures(
    wider: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Scores 0.9 (normalised 1) and 0.5 (0): the first finds the face of c, the second that of a."""
    out = wider / "predictions"
    main([str(wider), str(model), "--json", "-", "--out", str(out)])
    report = json.loads(capsys.readouterr().out)
    # 0.9: in a false, in c right; 0.5: in a right, in c false. Precision 1/2, then 2/4.
    assert report["ap"] == pytest.approx({"easy": 1 / 3, "medium": 1 / 2, "hard": 1 / 3})
    assert report["faces"] == {"easy": 1, "medium": 2, "hard": 3} and report["images"] == 3
    assert report["settings"]["max_side"] == 640 and report["settings"]["scales"] == 1
    lines = (out / "0--Parade/0_Parade_a_1.txt").read_text().splitlines()
    assert lines[:2] == ["0_Parade_a_1", "2"]
    rows = np.array([[float(word) for word in line.split()] for line in lines[2:]])
    np.testing.assert_allclose(rows, [[49, 19, 30, 40, 0.9], [9, 11, 20, 28, 0.5]], atol=1e-4)
    written = [
        np.array([[float(word) for word in line.split()] for line in path.read_text().splitlines()[2:]])
        for path in (out / truth.event / f"{truth.name}.txt" for truth in read_truth(wider))
    ]
    for name in SETS:
        assert reference_ap(read_truth(wider), written, name) == pytest.approx(report["ap"][name], abs=1e-9)


def test_boxes_can_stay_as_they_are(wider: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = wider / "predictions"
    main([str(wider), str(model), "--as-is", "--out", str(out)])
    row = (out / "0--Parade/0_Parade_a_1.txt").read_text().splitlines()[3]
    x, y, w, h, _ = map(float, row.split())
    expected = box_from_yunet([8.5, 10.5, 28.5, 38.5]) + 0.5
    np.testing.assert_allclose([x, y, x + w, y + h], expected, atol=1e-4)
    text = " ".join(capsys.readouterr().out.split())
    assert "boxes as the detector gives them" in text and "640 px" in text and "no tiles" in text


def test_tiles_are_looked_at_if_asked_for_and_said(
    wider: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The model finds its boxes in every picture it sees, so each tile adds some."""
    counts = []
    for number, more in enumerate(([], ["--tiles"])):
        out = wider / f"predictions{number}"
        main([str(wider), str(model), "--max-side", "64", "--json", "-", "--out", str(out), *more])
        assert json.loads(capsys.readouterr().out)["settings"]["tiles"] == bool(more)
        counts.append(int((out / "0--Parade/0_Parade_a_1.txt").read_text().splitlines()[1]))
    assert counts[0] == 2 < counts[1]
    main([str(wider), str(model), "--max-side", "64", "--tiles"])
    text = " ".join(capsys.readouterr().out.split())
    assert "in tiles of their own resolution as well" in text and "no tiles" not in text


def test_damaged_photographs_count_as_missed_and_are_named(
    wider: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = wider / "WIDER_val/images/1--Handshaking/1_Handshaking_c_3.jpg"
    broken.write_bytes(broken.read_bytes()[:300])
    main([str(wider), str(model), "--json", "-"])
    report = json.loads(capsys.readouterr().out)
    (named,) = report["unreadable"]
    assert str(broken) in named
    # what is left: a false one, then the face of a
    assert report["ap"] == pytest.approx({"easy": 1 / 2, "medium": 1 / 4, "hard": 1 / 6})


@pytest.mark.parametrize(
    ("missing", "told"),
    [
        ("wider_face_split/wider_medium_val.mat", r"eval_tools\.zip"),
        ("WIDER_val/images/0--Parade/0_Parade_b_2.jpg", r"WIDER_val\.zip"),
    ],
)
def test_missing_files_are_named_with_what_to_do(missing: str, told: str, wider: Path, model: Path) -> None:
    (wider / missing).unlink()
    with pytest.raises(DataError, match=rf"{Path(missing).name}.*missing.*{told}"):
        main([str(wider), str(model)])


def test_another_ground_truth_is_refused(wider: Path) -> None:
    savemat(wider / "wider_face_split/wider_hard_val.mat", {"gt_list": cell([cell([[1]])])})
    with pytest.raises(DataError, match="not the lists of WIDER FACE's validation set"):
        read_truth(wider)


def test_a_folder_that_cannot_be_made_is_a_wrong_usage(wider: Path, model: Path) -> None:
    (wider / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be made"):
        main([str(wider), str(model), "--out", str(wider / "file")])


def test_the_command_line_knows_it(wider: Path, model: Path) -> None:
    assert main([str(wider)]) is None  # the default detector, by its name
    result = CliRunner().invoke(app, ["eval-wider", str(wider), str(model)])
    assert result.exit_code == 0 and "50.0" in result.stdout


@given(
    st.tuples(*[st.floats(-1000, 1000)] * 2),
    st.tuples(*[st.floats(1, 1000)] * 2),
)
def test_the_two_box_conventions_convert_into_each_other(
    corner: tuple[float, float], extent: tuple[float, float]
) -> None:
    box = np.array([*corner, *np.add(corner, extent)])
    np.testing.assert_allclose(yunet_from_box(box_from_yunet(box)), box, atol=1e-9)
