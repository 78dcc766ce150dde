"""Schedules against their closed forms; optimizers against their settings."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from hpsearch.errors import InfeasibleConfig
from hpsearch.registry import Component
from hpsearch.training.lr_schedules import finish_epoch, moves_within_epoch
from hpsearch.training.registries import LR_SCHEDULES, OPTIMIZERS

LR, EPOCHS = 0.2, 12


@pytest.mark.parametrize(
    ("schedule", "formula"),
    [
        pytest.param(Component("constant"), lambda e: LR, id="constant"),
        pytest.param(
            Component("exponential", {"gamma": 0.9}), lambda e: LR * 0.9**e, id="exponential"
        ),
        pytest.param(
            Component("step", {"step_size": 5, "gamma": 0.3}),
            lambda e: LR * 0.3 ** (e // 5),
            id="step",
        ),
        pytest.param(
            Component("multistep", {"milestones": [9, 2, 4], "gamma": 0.5}),
            lambda e: LR * 0.5 ** sum(m <= e for m in (2, 4, 9)),
            id="multistep, in any order",
        ),
        pytest.param(
            Component("cosine"),
            lambda e: LR * (1 + math.cos(math.pi * e / EPOCHS)) / 2,
            id="cosine to 0",
        ),
        pytest.param(
            Component("cosine", {"final_fraction": 0.1}),
            lambda e: LR * (0.1 + 0.9 * (1 + math.cos(math.pi * e / EPOCHS)) / 2),
            id="cosine to a tenth",
        ),
    ],
)
def test_closed_forms(schedule: Component, formula: Any) -> None:
    optimizer = OPTIMIZERS.build(Component("sgd", {"lr": LR}), [nn.Parameter(torch.zeros(1))])
    made = LR_SCHEDULES.build(schedule, optimizer, EPOCHS, 100)
    assert not moves_within_epoch(made)

    rates = []
    for _ in range(EPOCHS):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        finish_epoch(made, val_loss=1.0)

    assert rates == pytest.approx([formula(epoch) for epoch in range(EPOCHS)], rel=1e-9)


@pytest.mark.parametrize("name", LR_SCHEDULES.names())
def test_the_rates_of_all_groups_move_alike(name: str) -> None:
    """``muon`` has a group for matrices and one for the rest, each with a rate of its own."""
    required = {
        "exponential": {"gamma": 0.7},
        "step": {"step_size": 2},
        "multistep": {"milestones": [2]},
        "plateau": {"patience": 2},
        "cosine": {"final_fraction": 0.1},
    }
    weights = [nn.Parameter(torch.zeros(2, 2)) for _ in range(3)]
    optimizer = OPTIMIZERS.build(Component("muon", {"lr": LR, "rest_lr": LR / 8}), weights)
    made = LR_SCHEDULES.build(Component(name, required.get(name, {})), optimizer, 4, 1)
    for _ in range(4):
        first, other = (group["lr"] for group in optimizer.param_groups)
        assert other == pytest.approx(first / 8)
        optimizer.step()
        if moves_within_epoch(made):
            made.step()
        finish_epoch(made, val_loss=1.0)


def one_cycle_rate(position: float, warmup: float, start: float, final: float) -> float:
    """Return the rate when ``position`` (0..1) of all batches are done, as a share of the peak."""
    if position < warmup:
        return start + (1 - start) * (1 - math.cos(math.pi * position / warmup)) / 2
    left = (position - warmup) / (1 - warmup)
    return final + (1 - final) * (1 + math.cos(math.pi * left)) / 2


@pytest.mark.parametrize(
    ("settings", "warmup", "start", "final"),
    [
        pytest.param({}, 0.3, 0.04, 0.0, id="defaults"),
        pytest.param(
            {"warmup_fraction": 0.5, "start_fraction": 0.1, "final_fraction": 0.2},
            0.5,
            0.1,
            0.2,
            id="all given",
        ),
        pytest.param({"warmup_fraction": 0.0}, 0.0, 0.04, 0.0, id="no warmup: from the peak down"),
        pytest.param({"warmup_fraction": 0.1}, 0.1, 0.04, 0.0, id="one batch of warmup"),
    ],
)
@pytest.mark.parametrize(("epochs", "steps"), [(2, 5), (1, 1), (3, 40)])
def test_one_cycle(
    settings: dict[str, Any], warmup: float, start: float, final: float, epochs: int, steps: int
) -> None:
    optimizer = OPTIMIZERS.build(
        Component("sgd", {"lr": LR, "momentum": 0.7}), [nn.Parameter(torch.zeros(1))]
    )
    made = LR_SCHEDULES.build(Component("one_cycle", settings), optimizer, epochs, steps)
    assert moves_within_epoch(made)

    rates = []
    for batch in range(epochs * steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        made.step()
        if (batch + 1) % steps == 0:
            finish_epoch(made, val_loss=1.0)  # nothing to do then

    positions = [batch / (epochs * steps) for batch in range(epochs * steps)]
    expected = [LR * one_cycle_rate(each, warmup, start, final) for each in positions]
    assert rates == pytest.approx(expected, rel=1e-9)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(LR * final, abs=1e-9)
    assert optimizer.param_groups[0]["momentum"] == 0.7


@pytest.mark.parametrize(
    ("settings", "losses", "halvings"),
    [
        # The halvings that the rate of each epoch has seen, the first after no loss at all
        pytest.param({"patience": 1}, [5, 4, 4, 3, 3, 3], [0, 0, 0, 1, 1, 2, 3], id="at once"),
        pytest.param(
            {"patience": 2}, [5, 5, 4, 4, 4, 4, 4], [0, 0, 0, 0, 0, 1, 1, 2], id="2 waits"
        ),
        pytest.param(
            {"patience": 1, "min_delta": 0.5},
            [5, 4.6, 4.4, 4.2],
            [0, 0, 1, 1, 2],
            id="a fall of less than min_delta is none",
        ),
        pytest.param({"patience": 2}, [5, 6, 5.5], [0, 0, 0, 1], id="lower than the last is none"),
    ],
)
def test_plateau(settings: dict[str, Any], losses: list[float], halvings: list[int]) -> None:
    optimizer = OPTIMIZERS.build(Component("sgd", {"lr": LR}), [nn.Parameter(torch.zeros(1))])
    schedule = Component("plateau", {"gamma": 0.5, **settings})
    made = LR_SCHEDULES.build(schedule, optimizer, EPOCHS, 100)
    assert not moves_within_epoch(made)

    rates = [optimizer.param_groups[0]["lr"]]
    for loss in losses:
        optimizer.step()
        finish_epoch(made, val_loss=loss)
        rates.append(optimizer.param_groups[0]["lr"])

    assert rates == pytest.approx([LR * 0.5**each for each in halvings])


def test_plateau_lowers_tiny_rates_too() -> None:
    optimizer = OPTIMIZERS.build(Component("sgd", {"lr": 1e-9}), [nn.Parameter(torch.zeros(1))])
    made = LR_SCHEDULES.build(Component("plateau", {"patience": 1}), optimizer, EPOCHS, 100)
    for _ in range(2):
        finish_epoch(made, val_loss=1.0)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(1e-10)


def adadelta(lr: float, rho: float, gradient: float) -> float:
    """Return weight 1 after two steps of Zeiler's algorithm 1, whose epsilon is PyTorch's 1e-6."""
    weight, squares, steps = 1.0, 0.0, 0.0
    for _ in range(2):
        squares = rho * squares + (1 - rho) * gradient**2
        step = gradient * ((steps + 1e-6) / (squares + 1e-6)) ** 0.5
        steps = rho * steps + (1 - rho) * step**2
        weight -= lr * step
    return weight


ADADELTA = adadelta(lr=0.5, rho=0.8, gradient=0.5)


# One step from weight 1 with gradient 0.5, written out for each optimizer
@pytest.mark.parametrize(
    ("optimizer", "after_two_steps"),
    [
        pytest.param(Component("sgd", {"lr": 0.1}), 1 - 0.05 - 0.05, id="sgd"),
        pytest.param(
            # velocity 0.5, then 0.9 * 0.5 + 0.5
            Component("sgd", {"lr": 0.1, "momentum": 0.9}),
            1 - 0.1 * 0.5 - 0.1 * 0.95,
            id="momentum",
        ),
        pytest.param(
            # gradient + momentum * velocity in each step
            Component("sgd", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
            1 - 0.1 * (0.5 + 0.9 * 0.5) - 0.1 * (0.5 + 0.9 * 0.95),
            id="nesterov",
        ),
        pytest.param(
            # gradient 0.5 + 0.2 * weight
            Component("sgd", {"lr": 0.1, "weight_decay": 0.2}),
            0.93 - 0.1 * (0.5 + 0.2 * 0.93),
            id="weight decay",
        ),
        pytest.param(
            # a constant gradient: both corrected means are its own, so each step is lr
            Component("adam", {"lr": 0.1}),
            1 - 0.1 - 0.1,
            id="adam",
        ),
        pytest.param(
            # shrunk by lr * weight_decay first, then as adam
            Component("adamw", {"lr": 0.1, "weight_decay": 0.5, "beta1": 0.8, "beta2": 0.9}),
            (1 * 0.95 - 0.1) * 0.95 - 0.1,
            id="adamw",
        ),
        pytest.param(
            # lr * gradient / root of the sum of squares; the second step's rate / (1 + 0.5)
            Component("adagrad", {"lr": 0.1, "lr_decay": 0.5}),
            1 - 0.1 * 0.5 / 0.5 - 0.1 / 1.5 * 0.5 / (2 * 0.25) ** 0.5,
            id="adagrad",
        ),
        pytest.param(
            # gradients 0.5 + 0.4 * weight
            Component("adagrad", {"lr": 0.1, "weight_decay": 0.4}),
            0.9 - 0.1 * 0.86 / (0.9**2 + 0.86**2) ** 0.5,
            id="adagrad, weight decay",
        ),
        pytest.param(
            # mean squares 0.2 * 0.25, then 0.8 * that + 0.2 * 0.25
            Component("rmsprop", {"lr": 0.1, "alpha": 0.8}),
            1 - 0.1 * 0.5 / 0.05**0.5 - 0.1 * 0.5 / 0.09**0.5,
            id="rmsprop",
        ),
        pytest.param(
            # the second step has half of the first one in it
            Component("rmsprop", {"lr": 0.1, "alpha": 0.8, "momentum": 0.5}),
            1 - 1.5 * 0.1 * 0.5 / 0.05**0.5 - 0.1 * 0.5 / 0.09**0.5,
            id="rmsprop, momentum",
        ),
        pytest.param(
            # less the squared mean gradient: (0.2 * 0.5)^2, then (0.36 * 0.5)^2
            Component("rmsprop", {"lr": 0.1, "alpha": 0.8, "centered": True}),
            1 - 0.1 * 0.5 / (0.05 - 0.01) ** 0.5 - 0.1 * 0.5 / (0.09 - 0.0324) ** 0.5,
            id="rmsprop, centered",
        ),
        pytest.param(Component("adadelta", {"lr": 0.5, "rho": 0.8}), ADADELTA, id="adadelta"),
    ],
)
def test_two_steps_of_each_optimizer(optimizer: Component, after_two_steps: float) -> None:
    weight = nn.Parameter(torch.ones(1))
    made = OPTIMIZERS.build(optimizer, [weight])

    for _ in range(2):
        weight.grad = torch.full((1,), 0.5)
        made.step()

    assert weight.item() == pytest.approx(after_two_steps, rel=1e-6)


def test_betas_reach_adam() -> None:
    made = OPTIMIZERS.build(
        Component("adam", {"beta1": 0.7, "beta2": 0.8}), [nn.Parameter(torch.zeros(1))]
    )

    assert made.param_groups[0]["betas"] == (0.7, 0.8)
    assert made.param_groups[0]["lr"] == 1e-3


def test_nesterov_without_momentum_is_infeasible() -> None:
    with pytest.raises(InfeasibleConfig) as raised:
        OPTIMIZERS.build(
            Component("sgd", {"lr": 0.1, "nesterov": True}), [nn.Parameter(torch.zeros(1))]
        )

    assert str(raised.value) == (
        "sgd: nesterov needs momentum > 0, but momentum is 0; "
        "set nesterov: false, or give a momentum"
    )
