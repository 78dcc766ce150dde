"""Regularizers by name: the components under ``regularization``, all applied at once.

They change what a step minimizes, but no metric: ``train_loss`` and ``val_loss`` stay the plain
cross-entropy, so that trials with and without them are comparable. Dropout is a key of the models.
Weight decay is a key of the optimizers and applies to every parameter.

Ridge and lasso apply only to *weights*: convolution kernels and the matrices of dense layers
(parameters of two dimensions and more), not biases and batch norm. Their exact gradients are added
to those of the loss before each step, which equals adding the penalty to the loss and is cheaper.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat
from torch import Tensor, nn

from hpsearch.registry import Registry


@dataclass(frozen=True, kw_only=True)
class Regularizer:
    """The effects of one regularizer; ``None`` for an effect that it doesn't have."""

    #: Maps targets to those to learn instead; both float (n, classes), each row sums to 1.
    targets: Callable[[Tensor], Tensor] | None = None
    #: Adds to the gradients (``.grad``, never ``None``) of the given weights.
    gradients: Callable[[Sequence[nn.Parameter]], None] | None = None
    #: Changes the gradients of all trained parameters (``.grad``, never ``None``), after those.
    limit: Callable[[Sequence[nn.Parameter]], None] | None = None


REGULARIZERS: Registry[Regularizer] = Registry("regularizer")


@REGULARIZERS.register("l2")
def l2(*, strength: NonNegativeFloat) -> Regularizer:
    """Ridge: adds strength * (sum of the squared weights) to the loss.

    With plain SGD it equals a weight decay of 2 * strength, applied only to weights.
    """

    def add(weights: Sequence[nn.Parameter]) -> None:
        for weight in weights:
            _gradient(weight).add_(weight, alpha=2 * strength)

    return Regularizer(gradients=add)


@REGULARIZERS.register("l1")
def l1(*, strength: NonNegativeFloat) -> Regularizer:
    """Lasso: adds strength * (sum of the weights' absolute values) to the loss."""

    def add(weights: Sequence[nn.Parameter]) -> None:
        for weight in weights:
            _gradient(weight).add_(weight.sign(), alpha=strength)

    return Regularizer(gradients=add)


@REGULARIZERS.register("label_smoothing")
def label_smoothing(*, amount: Annotated[float, Field(ge=0, lt=1)] = 0.1) -> Regularizer:
    """Gives every class ``amount`` / classes of the target, and the true one the rest too.

    Source: Szegedy et al. 2016, "Rethinking the Inception Architecture for Computer Vision".
    """
    return Regularizer(targets=lambda targets: torch.lerp(targets, _even(targets), amount))


@REGULARIZERS.register("clip_grad_norm")
def clip_grad_norm(*, norm: PositiveFloat = 1.0) -> Regularizer:
    """Shrinks the gradient of all parameters to length ``norm`` if it is longer, before each step.

    Source: Pascanu et al. 2013, "On the difficulty of training recurrent neural networks".
    """

    def clip(parameters: Sequence[nn.Parameter]) -> None:
        nn.utils.clip_grad_norm_(parameters, norm)

    return Regularizer(limit=clip)


def weights_in(parameters: Iterable[nn.Parameter]) -> list[nn.Parameter]:
    """Return the trained weights among a model's parameters: no biases, no batch norm."""
    return [
        parameter for parameter in parameters if parameter.requires_grad and parameter.dim() >= 2
    ]


class GradientChanges:
    """Changes gradients between ``backward`` and the step, by the regularizers of a study.

    Args:
        regularizers: Those without an effect on gradients are ignored.
        parameters: The model's.
    """

    def __init__(
        self, regularizers: Iterable[Regularizer], parameters: Iterable[nn.Parameter]
    ) -> None:
        effects = list(regularizers)
        self._parameters = [parameter for parameter in parameters if parameter.requires_grad]
        self._weights = weights_in(self._parameters)
        self._penalties = [effect.gradients for effect in effects if effect.gradients is not None]
        self._limits = [effect.limit for effect in effects if effect.limit is not None]

    def __call__(self) -> None:
        """Change the gradients. A parameter that the loss doesn't use has none and is skipped."""
        if self._penalties or self._limits:  # called for every batch, and most studies have none
            self._change()

    @torch.no_grad()
    def _change(self) -> None:
        if self._penalties:
            weights = _reached(self._weights)
            for add in self._penalties:
                add(weights)
        for limit in self._limits:
            limit(_reached(self._parameters))


def _reached(parameters: Iterable[nn.Parameter]) -> list[nn.Parameter]:
    return [parameter for parameter in parameters if parameter.grad is not None]


def _gradient(weight: nn.Parameter) -> Tensor:
    gradient = weight.grad
    if gradient is None:
        raise RuntimeError("a regularizer is given weights that have gradients")
    return gradient


def _even(targets: Tensor) -> Tensor:
    return torch.full_like(targets, 1 / targets.shape[1])
