"""Muon: steps whose matrices are orthogonal (Jordan et al., 2024), and another rule for the rest.

PyTorch's own ``torch.optim.Muon`` accepts matrices only, so that convolution kernels, biases and
norms need a second optimizer; and it works in bfloat16, which many CPUs emulate. This one has all
parameters in two groups, flattens kernels, and orthogonalises all matrices of a shape together, in
float32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal

import torch
from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.adamw import adamw
from torch.optim.sgd import sgd

from hpsearch.training.optimizers import Decay
from hpsearch.training.registries import OPTIMIZERS

#: Coefficients of the iteration that moves every singular value to about 1, and its steps.
_ITERATION = (3.4445, -4.7750, 2.0315)
_STEPS = 5
_TINY = 1e-7

#: The rule for the parameters that aren't hidden matrices.
Rest = Literal["adamw", "sgd"]


@OPTIMIZERS.register("muon")
def muon(
    parameters: Iterable[nn.Parameter],
    /,
    *,
    lr: PositiveFloat = 0.02,
    momentum: Decay = 0.95,
    nesterov: bool = True,
    weight_decay: NonNegativeFloat = 0.0,
    rest: Rest = "adamw",
    rest_lr: PositiveFloat = 3e-3,
    rest_momentum: Decay = 0.9,
) -> Optimizer:
    """Muon (Jordan 2024) for hidden matrices and kernels; AdamW or SGD for all other parameters.

    Args:
        parameters: The parameters to train, in the model's order.
        lr: Learning rate of the matrices; a step has about this spectral norm.
        momentum: Share of the gradients' running mean that each step keeps (matrices).
        nesterov: Whether the matrices' momentum is Nesterov's.
        weight_decay: Decay of all weights per step, in units of their learning rate.
        rest: The rule for biases, norms, and the first and the last layer.
        rest_lr: Learning rate of ``rest``.
        rest_momentum: ``sgd``'s (Nesterov) momentum, or ``adamw``'s beta1.
    """
    all_parameters = list(parameters)
    hidden = _hidden(all_parameters)
    hidden_ids = {id(parameter) for parameter in hidden}
    others = [parameter for parameter in all_parameters if id(parameter) not in hidden_ids]
    groups: list[dict[str, Any]] = []
    if hidden:
        groups.append(
            {
                "params": hidden,
                "rule": "muon",
                "lr": lr,
                "momentum": momentum,
                "nesterov": nesterov,
            }
        )
    if others:
        groups.append({"params": others, "rule": rest, "lr": rest_lr, "momentum": rest_momentum})
    return Muon(groups, weight_decay=weight_decay)


def _hidden(parameters: list[nn.Parameter]) -> list[nn.Parameter]:
    """Return the matrices and kernels between the first and the last layer.

    The last layer's rows belong to classes, and the first one's columns to pixels, so neither is a
    map between two hidden spaces. A model of two layers has nothing between them; its first one
    counts as hidden.
    """
    weights = [parameter for parameter in parameters if parameter.dim() >= 2]
    return weights[:1] if len(weights) == 2 else weights[1:-1]


class Muon(Optimizer):
    """Steps each group of parameters by its ``rule``: ``muon``, ``adamw`` or ``sgd``.

    Args:
        groups: Groups of parameters, each with ``params``, ``rule``, ``lr`` and ``momentum``.
        weight_decay: Decay of the weights per step, in units of a group's learning rate.
    """

    def __init__(self, groups: list[dict[str, Any]], *, weight_decay: float) -> None:
        # PyTorch moves a loaded step count to the device of fused groups only
        super().__init__(groups, {"weight_decay": weight_decay, "fused": True})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Make one step; ``closure`` is not used."""
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            if parameters:
                getattr(self, f"_{group['rule']}")(group, parameters)

    def _muon(self, group: dict[str, Any], parameters: list[nn.Parameter]) -> None:
        gradients = _gradients(parameters)
        means = [self._buffer(parameter, "momentum_buffer") for parameter in parameters]
        torch._foreach_lerp_(means, gradients, 1 - group["momentum"])
        steps = means
        if group["nesterov"]:
            steps = list(torch._foreach_lerp(gradients, means, group["momentum"]))
        if group["weight_decay"]:
            torch._foreach_mul_(list[Tensor](parameters), 1 - group["lr"] * group["weight_decay"])
        by_shape: dict[tuple[int, int], list[int]] = {}
        for index, parameter in enumerate(parameters):
            by_shape.setdefault((len(parameter), parameter[0].numel()), []).append(index)
        for (rows, columns), members in by_shape.items():
            size = group["lr"] * max(1.0, rows / columns) ** 0.5
            matrices = torch.stack([steps[index].reshape(rows, columns) for index in members])
            for index, matrix in zip(members, orthogonal(matrices), strict=True):
                parameters[index].add_(matrix.reshape(parameters[index].shape), alpha=-size)

    def _adamw(self, group: dict[str, Any], parameters: list[nn.Parameter]) -> None:
        steps = [self._buffer(parameter, "step", scalar=True) for parameter in parameters]
        adamw(
            list[Tensor](parameters),
            _gradients(parameters),
            [self._buffer(parameter, "exp_avg") for parameter in parameters],
            [self._buffer(parameter, "exp_avg_sq") for parameter in parameters],
            [],
            steps,
            fused=True,
            amsgrad=False,
            beta1=group["momentum"],
            beta2=0.999,
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=1e-8,
            maximize=False,
        )

    def _sgd(self, group: dict[str, Any], parameters: list[nn.Parameter]) -> None:
        if group["weight_decay"]:
            torch._foreach_mul_(list[Tensor](parameters), 1 - group["lr"] * group["weight_decay"])
        sgd(
            list[Tensor](parameters),
            _gradients(parameters),
            [self._buffer(parameter, "momentum_buffer") for parameter in parameters],
            fused=True,
            weight_decay=0.0,
            momentum=group["momentum"],
            lr=group["lr"],
            dampening=0.0,
            nesterov=group["momentum"] > 0,
            maximize=False,
        )

    def _buffer(self, parameter: nn.Parameter, name: str, *, scalar: bool = False) -> Tensor:
        """Return a tensor of the parameter's state, which begins with zeros."""
        state = self.state[parameter]
        if name not in state:
            state[name] = (
                torch.zeros((), device=parameter.device) if scalar else torch.zeros_like(parameter)
            )
        buffer: Tensor = state[name]
        return buffer


def orthogonal(matrices: Tensor) -> Tensor:
    """Return matrices with the same singular vectors, whose singular values are 0.7 to 1.2.

    Args:
        matrices: float (n, rows, columns).
    """
    a, b, c = _ITERATION
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=_TINY)
    for _ in range(_STEPS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


def _gradients(parameters: list[nn.Parameter]) -> list[Tensor]:
    return [parameter.grad for parameter in parameters if parameter.grad is not None]
