"""Muon: orthogonal steps of hidden matrices, PyTorch's own rules for the rest."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn, optim

import hpsearch.training.builtin  # noqa: F401 - registers the optimizers
from hpsearch.registry import Component
from hpsearch.training.muon import orthogonal
from hpsearch.training.registries import MODELS, OPTIMIZERS

#: Convolution and bias, two matrices of one shape and one of another, a norm, the last layer.
SHAPES = [(4, 1, 2, 2), (4,), (6, 4, 2, 2), (6, 16), (20, 6), (6,), (3, 20)]
HIDDEN = [2, 3, 4]


def random_like(step: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(step)
    return [torch.randn(shape, generator=generator) for shape in SHAPES]


def trained(make: Any, which: list[int]) -> list[Tensor]:
    """Make five steps with the same weights and gradients; return the parameters at ``which``."""
    parameters = [nn.Parameter(each) for each in random_like(0)]
    optimizer = make([parameters[index] for index in which])
    for step in range(1, 6):
        for index, gradient in enumerate(random_like(step)):
            parameters[index].grad = gradient
        optimizer.step()
    return [parameters[index].detach() for index in which]


def muon(**settings: Any) -> Any:
    return lambda parameters: OPTIMIZERS.build(Component("muon", settings), parameters)


@pytest.mark.parametrize("shape", [(3, 12, 30), (2, 30, 12), (1, 8, 8)])
def test_orthogonal_matrices_keep_their_singular_vectors(shape: tuple[int, ...]) -> None:
    given = torch.randn(shape, generator=torch.Generator().manual_seed(1))

    found = orthogonal(given)

    assert torch.linalg.svdvals(found).sub(0.95).abs().max() < 0.3
    left, _, right = torch.linalg.svd(given, full_matrices=False)
    inner = left.mT @ found @ right.mT
    assert torch.allclose(inner, torch.diag_embed(inner.diagonal(dim1=1, dim2=2)), atol=1e-4)


@pytest.mark.parametrize("nesterov", [True, False])
def test_matrices_move_as_by_pytorchs_own(nesterov: bool) -> None:
    settings = {"lr": 0.05, "momentum": 0.9, "nesterov": nesterov, "weight_decay": 0.1}
    every = list(range(len(SHAPES)))
    mine = [trained(muon(**settings), every)[index] for index in (3, 4)]

    theirs = trained(lambda parameters: optim.Muon(parameters, **settings), [3, 4])

    start = random_like(0)
    for own, other, first in zip(mine, theirs, (start[3], start[4]), strict=True):
        # Theirs iterates in bfloat16, of two to three digits
        assert (own - other).norm() < 0.03 * (other - first).norm()


def test_a_kernel_moves_as_its_flattened_matrix() -> None:
    parameters = [nn.Parameter(torch.ones(2, 2)) for _ in range(4)]
    kernel = nn.Parameter(random_like(0)[2])
    parameters[1], parameters[2] = kernel, nn.Parameter(kernel.detach().flatten(1))
    optimizer = muon()(parameters)
    for step in range(1, 4):
        gradient = random_like(step)[2]
        parameters[1].grad, parameters[2].grad = gradient, gradient.flatten(1)
        optimizer.step()

    assert torch.allclose(kernel.flatten(1), parameters[2], atol=1e-6)
    assert not torch.allclose(kernel, random_like(0)[2], atol=1e-2)


@pytest.mark.parametrize(
    ("rest", "reference"),
    [
        ("adamw", {"betas": (0.8, 0.999)}),
        ("sgd", {"momentum": 0.8, "nesterov": True}),
    ],
)
def test_the_rest_moves_by_its_own_rule(rest: str, reference: dict[str, Any]) -> None:
    settings = {"rest": rest, "rest_lr": 0.03, "rest_momentum": 0.8}
    others = [index for index in range(len(SHAPES)) if index not in HIDDEN]
    mine = trained(muon(**settings), list(range(len(SHAPES))))

    kind = {"adamw": optim.AdamW, "sgd": optim.SGD}[rest]
    theirs = trained(
        lambda parameters: kind(parameters, lr=0.03, weight_decay=0.0, **reference), others
    )

    for index, other in zip(others, theirs, strict=True):
        assert torch.allclose(mine[index], other, atol=1e-6)


def muon_names(model: Component, shape: tuple[int, int, int]) -> list[str]:
    """Return the names of a model's parameters that Muon's own rule moves."""
    built = MODELS.build(model, shape, 3)
    names = {id(parameter): name for name, parameter in built.named_parameters()}
    groups = muon()(list(built.parameters())).param_groups
    return [
        names[id(each)] for group in groups if group["rule"] == "muon" for each in group["params"]
    ]


def test_hidden_matrices_are_those_between_the_first_and_the_last_layer() -> None:
    assert muon_names(Component("mlp", {"hidden": [8, 7]}), (1, 4, 4)) == ["dense2.weight"]
    assert muon_names(Component("mlp", {"hidden": [8]}), (1, 4, 4)) == ["dense1.weight"]
    assert muon_names(Component("mlp", {"hidden": []}), (1, 4, 4)) == []
    convolutions = [
        f"groups.{group}.conv{number}.weight" for group in (0, 1, 2) for number in (1, 2)
    ]
    assert muon_names(Component("airbench", {"width": 4}), (1, 8, 8)) == convolutions


def test_a_parameter_without_a_gradient_stays() -> None:
    parameters = [nn.Parameter(each) for each in random_like(0)]
    optimizer = muon(weight_decay=0.1)(parameters)
    for index in (3, 6):
        parameters[index].grad = torch.ones_like(parameters[index])

    optimizer.step()

    moved = [
        index
        for index, (now, before) in enumerate(zip(parameters, random_like(0), strict=True))
        if not torch.equal(now, before)
    ]
    assert moved == [3, 6]
