"""A backbone that isn't trained: weights, batch norm and dropout stay as they were loaded."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from hpsearch.errors import InfeasibleConfig
from hpsearch.registry import Component
from hpsearch.training.models.inspection import describe
from hpsearch.training.registries import MODELS

SHAPE = (3, 16, 16)


@pytest.fixture
def weights(tmp_path: Path) -> str:
    """A file of weights for resnet18."""
    model = MODELS.build(Component("resnet18", {"stem": "imagenet"}), SHAPE, 4)
    torch.save(model.state_dict(), tmp_path / "weights.pth")
    return str(tmp_path / "weights.pth")


@pytest.fixture
def frozen(weights: str) -> nn.Module:
    settings = {"weights": weights, "freeze": "backbone", "hidden": [8], "dropout": 0.5}
    return MODELS.build(Component("resnet18", settings), SHAPE, 4)


def test_only_the_dense_layers_learn(frozen: nn.Module) -> None:
    before = {name: tensor.clone() for name, tensor in frozen.state_dict().items()}
    optimizer = torch.optim.SGD(frozen.parameters(), lr=0.1, weight_decay=0.1, momentum=0.9)
    frozen.train()

    for _ in range(2):
        nn.functional.cross_entropy(frozen(torch.randn(4, *SHAPE)), torch.arange(4)).backward()
        optimizer.step()

    after = frozen.state_dict()
    changed = {name for name in after if not torch.equal(after[name], before[name])}
    assert changed == {name for name in after if name.startswith("head.")}


def test_training_mode_reaches_the_dense_layers_alone(frozen: nn.Module) -> None:
    frozen.eval()
    frozen.train()

    modes = {name: module.training for name, module in frozen.named_modules() if name}
    assert {name for name, training in modes.items() if training} == {
        name for name in modes if name.startswith("head")
    }


def test_layers_are_frozen_by_their_names(weights: str) -> None:
    names = ["conv1", "bn1", "layer1", "layer2.0"]
    model = MODELS.build(Component("resnet18", {"weights": weights, "freeze": names}), SHAPE, 4)
    model.train()

    def of_frozen(name: str) -> bool:
        return any(f"{name}.".startswith(f"backbone.{each}.") for each in names)

    modes = {name: module.training for name, module in model.named_modules()}
    assert {name for name, training in modes.items() if not training} == set(
        filter(of_frozen, modes)
    )
    learned = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    assert {name for name, learns in learned.items() if not learns} == set(
        filter(of_frozen, learned)
    )


def test_unknown_layers_are_refused_with_those_that_there_are(weights: str) -> None:
    model = Component("resnet18", {"weights": weights, "freeze": ["layer1", "layer9"]})
    with pytest.raises(InfeasibleConfig, match=r"conv1, bn1, .*layer4.*, but got 'layer9'"):
        MODELS.build(model, SHAPE, 4)


def test_what_is_trained_is_counted(weights: str) -> None:
    model = Component("resnet18", {"weights": weights, "freeze": "backbone"})

    summary = describe(model, input_shape=SHAPE, classes=4)

    assert summary.trainable_parameters == 512 * 4 + 4
    # Of the frozen layers nothing is kept for a backward pass: the features alone are
    assert summary.saved_bytes == 512 * 4


def test_random_weights_are_never_frozen() -> None:
    with pytest.raises(InfeasibleConfig) as raised:
        MODELS.build(Component("resnet18", {"freeze": "backbone"}), SHAPE, 4)

    assert str(raised.value) == (
        "freeze: backbone keeps loaded weights, but weights is none; use freeze: none, or load "
        "weights"
    )
