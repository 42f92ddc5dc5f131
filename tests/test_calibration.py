"""Calibration figures, by hand and by the heads that report them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from faceperc.calibration import calibration_error, rank_correlation
from faceperc.heads.attributes import Attributes
from faceperc.heads.expression import Expression


@pytest.mark.parametrize(
    ("probabilities", "happened", "error"),
    [
        ([0.7] * 10, [True] * 7 + [False] * 3, 0.0),
        ([0.7] * 10, [True] * 10, 0.3),
        ([1.0, 1.0, 0.0], [True, False, False], 1 / 3),  # 1 falls into the last bin, not beyond it
        ([0.9, 0.1], [False, True], 0.9),  # errors of two bins do not cancel out
        ([0.51, 0.52], [True, False], 0.015),  # those of one bin do
    ],
)
def test_calibration_error(probabilities: list[float], happened: list[bool], error: float) -> None:
    assert calibration_error(np.array(probabilities), np.array(happened)) == pytest.approx(error)


def test_calibration_error_of_nothing_is_unknown() -> None:
    assert np.isnan(calibration_error(np.zeros(0), np.zeros(0, bool)))


def test_rank_correlation() -> None:
    numbers = np.array([1.0, 5.0, 2.0, 9.0])
    assert rank_correlation(numbers, numbers**3) == pytest.approx(1.0)
    assert rank_correlation(numbers, -numbers) == pytest.approx(-1.0)
    assert np.isnan(rank_correlation(numbers, np.ones(4))) and np.isnan(
        rank_correlation(numbers[:1], numbers[:1])
    )


def test_classes_report_how_sure_they_may_be() -> None:
    """Always 0.9 for the first class, which is right in six of ten: 30 % too sure."""
    head = Expression()
    probabilities = torch.full((10, 8), 0.1 / 7)
    probabilities[:, 0] = 0.9
    labels = torch.tensor([0] * 6 + [1, 2, 3, 4])
    target = {"distribution": torch.nn.functional.one_hot(labels, 8).float()}
    metrics = head.summarise(head.statistics({"probabilities": probabilities}, target).numpy())
    assert metrics["accuracy %"] == pytest.approx(60.0) and metrics["ECE %"] == pytest.approx(30.0, abs=1e-4)


def test_questions_count_only_known_answers() -> None:
    head = Attributes()
    size = len(head.info.labels)
    answers, known = torch.zeros(4, size), torch.zeros(4, size)
    answers[:2, 0], known[:, 0] = (
        1.0,
        1.0,
    )  # yes to the first question in two of four; the others are not known
    output = {"probabilities": torch.full((4, size), 0.8)}
    metrics = head.summarise(head.statistics(output, {"answers": answers, "known": known}).numpy())
    assert metrics["accuracy %"] == pytest.approx(50.0) and metrics["ECE %"] == pytest.approx(30.0, abs=1e-4)
