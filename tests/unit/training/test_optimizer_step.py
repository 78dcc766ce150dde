"""The lean step changes parameters and state as the optimizer's own ``step`` does."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import ExponentialLR

import hpsearch.training.builtin  # noqa: F401 - registers the optimizers
from hpsearch.registry import Component
from hpsearch.training.optimizer_step import OptimizerStep
from hpsearch.training.registries import OPTIMIZERS

OPTIMIZER_SETTINGS = [
    ("sgd", {"lr": 0.1}),
    ("sgd", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}),
    ("sgd", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    ("adam", {"lr": 0.01, "beta1": 0.8, "weight_decay": 0.01}),
    ("adamw", {"lr": 0.01}),
    ("adagrad", {"lr": 0.01}),
    ("adadelta", {}),
    ("rmsprop", {"lr": 0.01, "momentum": 0.5}),
]

#: One of each kind that keeps something from step to step.
WITH_STATE = [OPTIMIZER_SETTINGS[1], OPTIMIZER_SETTINGS[3]]

#: What a test changes before a step; it is given the parameters, the optimizer and the step's
#: number from 0.
Change = Callable[[list[nn.Parameter], Optimizer, int], None]


def parameters() -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    return [
        nn.Parameter(torch.randn(size, generator=generator)) for size in ((7, 5), (7,), (2, 3, 2))
    ]


def gradients(step: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(step + 1)
    return [torch.randn(each.shape, generator=generator) for each in parameters()]


def stepped(
    make: Callable[[list[nn.Parameter]], Optimizer], change: Change, *, lean: bool
) -> tuple[list[nn.Parameter], dict[str, Any]]:
    """Make six steps; return the parameters and the optimizer's state."""
    trained = parameters()
    optimizer = make(trained)
    update = OptimizerStep(optimizer)
    for step in range(6):
        for parameter, gradient in zip(trained, gradients(step), strict=True):
            parameter.grad = gradient
        change(trained, optimizer, step)
        if lean:
            update()
        else:
            optimizer.step()
    return trained, optimizer.state_dict()


def assert_as_by_itself(
    make: Callable[[list[nn.Parameter]], Optimizer], change: Change = lambda *_: None
) -> None:
    lean, lean_state = stepped(make, change, lean=True)
    plain, plain_state = stepped(make, change, lean=False)
    for one, other, first in zip(lean, plain, parameters(), strict=True):
        assert torch.equal(one, other)
        assert not torch.equal(one, first)
    torch.testing.assert_close(lean_state, plain_state, rtol=0, atol=0)


@pytest.mark.parametrize(("name", "settings"), OPTIMIZER_SETTINGS)
def test_the_same_digits(name: str, settings: dict[str, Any]) -> None:
    def shrink(_: object, optimizer: Optimizer, step: int) -> None:
        optimizer.param_groups[0]["lr"] *= 0.7**step

    assert_as_by_itself(
        lambda trained: OPTIMIZERS.build(Component(name, settings), trained), shrink
    )


@pytest.mark.parametrize(
    "make",
    [
        lambda trained: Adam(trained, lr=0.01, amsgrad=True, fused=True),
        lambda trained: SGD(
            [{"params": trained[:1]}, {"params": trained[1:], "lr": 1.0}], fused=True
        ),
    ],
    ids=["amsgrad", "two groups"],
)
def test_optimizers_of_plug_ins_keep_their_own_step(
    make: Callable[[list[nn.Parameter]], Optimizer],
) -> None:
    lean, lean_state = stepped(make, lambda *_: None, lean=True)
    plain, plain_state = stepped(make, lambda *_: None, lean=False)

    assert all(map(torch.equal, lean, plain))
    torch.testing.assert_close(lean_state, plain_state, rtol=0, atol=0)


@pytest.mark.parametrize(("name", "settings"), WITH_STATE)
def test_a_parameter_that_has_no_gradient_this_time_stays(
    name: str, settings: dict[str, Any]
) -> None:
    def drop(trained: list[nn.Parameter], _: object, step: int) -> None:
        if step in (2, 3):
            trained[1].grad = None

    assert_as_by_itself(lambda trained: OPTIMIZERS.build(Component(name, settings), trained), drop)


# PyTorch's fused SGD with momentum can't do this itself
@pytest.mark.parametrize(("name", "settings"), [OPTIMIZER_SETTINGS[0], OPTIMIZER_SETTINGS[3]])
def test_a_parameter_that_had_no_gradient_at_first_is_trained(
    name: str, settings: dict[str, Any]
) -> None:
    def drop(trained: list[nn.Parameter], _: object, step: int) -> None:
        if step < 2:
            trained[2].grad = None

    assert_as_by_itself(lambda trained: OPTIMIZERS.build(Component(name, settings), trained), drop)


def test_momentum_that_a_schedule_begins_later() -> None:
    def begin(_: object, optimizer: Optimizer, step: int) -> None:
        optimizer.param_groups[0]["momentum"] = 0.0 if step < 3 else 0.5

    assert_as_by_itself(lambda trained: SGD(trained, lr=0.1, fused=True), begin)


@pytest.mark.parametrize(
    ("make", "own_steps"),
    [
        (partial(SGD, lr=0.1, fused=True), 1),
        (partial(Adam, lr=0.1, fused=True), 1),
        (partial(AdamW, lr=0.1, fused=True), 1),
        (partial(SGD, lr=0.1), 6),
        (partial(Adam, lr=0.1), 6),
    ],
)
def test_fused_ones_make_their_own_step_only_once(
    make: partial[Optimizer], own_steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # PyTorch wraps the step of the class that is built first, AdamW's own or Adam's
    kind = make.func
    own, steps = kind.step, []

    def counted(optimizer: Any, closure: None = None) -> None:
        steps.append(1)
        own(optimizer, closure)

    monkeypatch.setattr(kind, "step", counted)
    stepped(make, lambda *_: None, lean=True)

    assert len(steps) == own_steps


def test_gradients_are_cleared() -> None:
    trained = parameters()
    for parameter, gradient in zip(trained, gradients(0), strict=True):
        parameter.grad = gradient

    OptimizerStep(SGD(trained, lr=0.1)).clear()

    assert [each.grad for each in trained] == [None, None, None]


def test_a_schedule_knows_that_steps_were_made() -> None:
    trained = parameters()
    optimizer = SGD(trained, lr=0.1, fused=True)
    schedule = ExponentialLR(optimizer, 0.5)
    update = OptimizerStep(optimizer)
    trained[0].grad = gradients(0)[0]

    update()

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        schedule.step()
