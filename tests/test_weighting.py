"""Learned task weights: they start plain, follow the losses, and count labels as one process would."""

from __future__ import annotations

import pytest
import torch

from faceperc.weighting import UncertaintyWeighting

ONE, ZERO = torch.ones(()), torch.zeros(())


def test_it_starts_as_the_plain_sum() -> None:
    losses = {"pose": torch.tensor(0.3), "age": torch.tensor(4.0)}
    terms = UncertaintyWeighting(losses)(losses, dict.fromkeys(losses, ONE))
    assert {task: float(term) for task, term in terms.items()} == pytest.approx({"pose": 0.3, "age": 4.0})


def test_weights_settle_where_the_theory_says() -> None:
    losses = {"pose": torch.tensor(0.3), "age": torch.tensor(4.0)}
    weighting = UncertaintyWeighting(losses)
    optimiser = torch.optim.Adam(weighting.parameters(), 0.05)
    for _ in range(300):
        optimiser.zero_grad()
        sum(weighting(losses, dict.fromkeys(losses, ONE)).values()).backward()
        optimiser.step()
    factors = {task: float(factor) for task, factor in weighting.factors().items()}
    assert factors == pytest.approx({task: 1 / (2 * float(loss)) for task, loss in losses.items()}, rel=0.02)


def test_a_task_without_labels_keeps_its_weight_but_has_a_gradient() -> None:
    weighting = UncertaintyWeighting(["pose"])
    sum(weighting({"pose": ZERO}, {"pose": ZERO}).values()).backward()
    (parameter,) = weighting.parameters()
    assert parameter.grad is not None and float(parameter.grad) == 0


def test_the_mean_gradient_of_two_processes_is_that_of_one() -> None:
    each = torch.tensor([0.2, 0.9, 0.7])  # losses of three labels; the second process has none of them

    def gradient(parts: list[torch.Tensor]) -> float:
        weighting = UncertaintyWeighting(["pose"])
        total = torch.tensor(3 / len(parts))
        for part in parts:
            labelled = torch.tensor(float(len(part))) / total
            terms = weighting({"pose": part.sum() / total}, {"pose": labelled})
            (sum(terms.values()) / len(parts)).backward()
        return float(weighting.log_variances["pose"].grad)

    assert gradient([each, each[:0]]) == pytest.approx(gradient([each]))
    assert gradient([each]) == pytest.approx(0.5 - float(each.mean()))
    assert gradient([each[:1], each[1:]]) == pytest.approx(gradient([each]))
