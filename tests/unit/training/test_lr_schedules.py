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
