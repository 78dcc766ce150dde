"""Ridge and lasso against penalties in the loss; what they pull at, and what they leave alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from hpsearch.registry import Component
from hpsearch.study_file.trial_config import TrialConfig
from hpsearch.training.data.prepare import PreparedData
from hpsearch.training.engine import train
from hpsearch.training.randomness import derived_seed, shuffled
from hpsearch.training.registries import MODELS, REGULARIZERS
from hpsearch.training.regularizers import GradientChanges, weights_in


def penalized_loop(
    config: TrialConfig,
    data: PreparedData,
    penalty: Callable[[list[nn.Parameter]], torch.Tensor],
    class_weights: torch.Tensor,
) -> Iterator[tuple[float, float, float]]:
    """Training with the penalty in the loss, as a textbook has it.

    Yields the reported training loss, the validation loss, and the sum of all squared weights.
    """
    x = (data.images.double() / 255 - data.mean.view(-1, 1, 1)) / data.std.view(-1, 1, 1)
    torch.manual_seed(derived_seed(config.seed, "weights"))
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 3)).double()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for epoch in range(1, config.epochs + 1):
        order = shuffled(data.train_indices, derived_seed(config.seed, "order", epoch))
        losses = []
        for rows in order.split(config.batch_size):
            labels = data.labels[rows]
            each = F.cross_entropy(model(x[rows]), labels, reduction="none")
            loss = (each * class_weights[labels]).mean()
            optimizer.zero_grad()
            (loss + penalty([model[1].weight, model[3].weight])).backward()
            optimizer.step()
            losses += each.tolist()
        with torch.no_grad():
            val = F.cross_entropy(model(x[data.val_indices]), data.labels[data.val_indices])
            size = sum((each**2).sum() for each in model.parameters())
        yield sum(losses) / len(losses), val.item(), float(size)


EVEN = [1.0, 1.0, 1.0]
CASES = [
    pytest.param(
        {"regularization": (Component("l2", {"strength": 0.05}),)},
        lambda weights: 0.05 * sum((weight**2).sum() for weight in weights),
        EVEN,
        id="ridge",
    ),
    pytest.param(
        {"regularization": (Component("l1", {"strength": 0.01}),)},
        lambda weights: 0.01 * sum(weight.abs().sum() for weight in weights),
        EVEN,
        id="lasso",
    ),
    pytest.param(
        {
            "regularization": (
                Component("l1", {"strength": 0.005}),
                Component("l2", {"strength": 0.02}),
            )
        },
        lambda weights: sum(
            0.005 * weight.abs().sum() + 0.02 * (weight**2).sum() for weight in weights
        ),
        EVEN,
        id="both",
    ),
    pytest.param({"class_weights": "balanced"}, lambda weights: 0.0, None, id="class weights"),
]


@pytest.mark.parametrize(("changes", "penalty", "class_weights"), CASES)
def test_like_the_penalty_in_the_loss(
    plain_config: TrialConfig,
    data: PreparedData,
    use_data: Callable[[PreparedData], None],
    changes: dict[str, Any],
    penalty: Any,
    class_weights: list[float] | None,
) -> None:
    # Uneven: few images of class 0
    keep = data.labels[data.train_indices] != 0
    keep[:10] = True
    data = replace(data, train_indices=data.train_indices[keep])
    use_data(data)
    if class_weights is None:
        counts = torch.bincount(data.labels[data.train_indices], minlength=3)
        class_weights = (len(data.train_indices) / (3 * counts)).tolist()
        assert max(class_weights) > 2
    config = replace(plain_config, **changes)
    expected = penalized_loop(
        config, data, penalty, torch.tensor(class_weights, dtype=torch.float64)
    )
    plain = [result.metrics.val_loss for result in train(plain_config)]

    for mine, (train_loss, val_loss, size) in zip(train(config), expected, strict=True):
        assert mine.metrics.train_loss == pytest.approx(train_loss, abs=1e-4)  # without the penalty
        assert mine.metrics.val_loss == pytest.approx(val_loss, abs=1e-4)
        model = mine.state()["model"]
        assert sum(float((each**2).sum()) for each in model.values()) == pytest.approx(size, 1e-4)
    assert abs(mine.metrics.val_loss - plain[-1]) > 0.01  # it does something


def test_weights_are_kernels_and_matrices_that_are_trained() -> None:
    model: Any = MODELS.build(Component("small_net"), (1, 8, 8), 3)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    assert [names[id(each)] for each in weights_in(model.parameters())] == [
        "conv.weight",
        "out.weight",
    ]
    model.conv.weight.requires_grad_(False)
    assert [names[id(each)] for each in weights_in(model.parameters())] == ["out.weight"]


def changes(name: str, settings: dict[str, Any], parameters: list[nn.Parameter]) -> GradientChanges:
    return GradientChanges([REGULARIZERS.build(Component(name, settings))], parameters)


@pytest.mark.parametrize(("norm", "expected"), [(26.0, [3.0, 4.0, 12.0]), (6.5, [1.5, 2.0, 6.0])])
def test_clipping_shrinks_the_gradient_of_all_parameters_together(
    norm: float, expected: list[float]
) -> None:
    weight, bias = nn.Parameter(torch.zeros(1, 2)), nn.Parameter(torch.zeros(1))
    unused, frozen = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1), requires_grad=False)
    weight.grad, bias.grad = torch.tensor([[3.0, 4.0]]), torch.tensor([12.0])
    changes("clip_grad_norm", {"norm": norm}, [weight, bias, unused, frozen])()
    got = [*weight.grad.flatten().tolist(), *bias.grad.tolist()]
    assert got == pytest.approx(expected)


def test_clipping_comes_after_the_penalties() -> None:
    weight = nn.Parameter(torch.tensor([[3.0, 4.0]]))
    weight.grad = torch.zeros(1, 2)
    both = [
        REGULARIZERS.build(Component("clip_grad_norm", {"norm": 1.0})),
        REGULARIZERS.build(Component("l2", {"strength": 5.0})),
    ]
    GradientChanges(both, [weight])()
    assert weight.grad.tolist() == [pytest.approx([0.6, 0.8])]


def test_a_weight_that_the_loss_doesnt_reach_is_left_alone() -> None:
    reached, unused = nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.ones(2, 2))
    (3 * reached).sum().backward()
    changes("l2", {"strength": 0.5}, [reached, unused])()
    assert reached.grad is not None
    assert reached.grad.tolist() == [[4.0, 4.0], [4.0, 4.0]]
    assert unused.grad is None


def test_lasso_doesnt_pull_at_zero() -> None:
    weight = nn.Parameter(torch.tensor([[-2.0, 0.0, 3.0]]))
    weight.grad = torch.zeros(1, 3)
    changes("l1", {"strength": 0.5}, [weight])()
    assert weight.grad.tolist() == [[-0.5, 0.0, 0.5]]


@pytest.mark.parametrize("name", ["l1", "l2"])
def test_a_strength_of_0_is_none(plain_config: TrialConfig, name: str) -> None:
    off = replace(plain_config, regularization=(Component(name, {"strength": 0.0}),))
    assert [each.metrics.val_loss for each in train(off)] == [
        each.metrics.val_loss for each in train(plain_config)
    ]


def test_ridge_is_weight_decay_of_twice_the_strength(
    plain_config: TrialConfig, register: Callable[..., None]
) -> None:
    """With plain SGD, on a model without biases."""

    def without_biases(shape: Any, classes: int, /) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(64, classes, bias=False))

    register(MODELS, "without_biases", without_biases)
    config = replace(plain_config, model=Component("without_biases"))
    ridge = replace(config, regularization=(Component("l2", {"strength": 0.05}),))
    decay = replace(
        config, optimizer=Component("sgd", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1})
    )
    assert [each.metrics.val_loss for each in train(ridge)] == pytest.approx(
        [each.metrics.val_loss for each in train(decay)], rel=1e-5
    )
