"""Activation functions: a layer that follows every hidden layer of a model.

A model takes ``activation: Activation = RELU`` and builds a new module for every place, so that
no layer is shared. None works in place: that would break a block such as ``x + activation(x)``,
and it saves under 5 % of a step (measured on one CPU core).
"""

from __future__ import annotations

from typing import Annotated

from pydantic import NonNegativeFloat, PositiveFloat
from torch import nn

from hpsearch.registry import Component
from hpsearch.training.registries import ACTIVATIONS

#: The annotation of a model's ``activation`` key.
Activation = Annotated[Component, ACTIVATIONS]

#: The default of that key.
RELU = Component("relu")


@ACTIVATIONS.register("relu")
def relu() -> nn.Module:
    """Rectified linear unit: max(0, x)."""
    return nn.ReLU()


@ACTIVATIONS.register("leaky_relu")
def leaky_relu(*, negative_slope: NonNegativeFloat = 0.01) -> nn.Module:
    """Leaky ReLU: x if positive, negative_slope * x otherwise."""
    return nn.LeakyReLU(negative_slope)


@ACTIVATIONS.register("relu6")
def relu6() -> nn.Module:
    """ReLU capped at 6: min(max(0, x), 6)."""
    return nn.ReLU6()


@ACTIVATIONS.register("elu")
def elu(*, alpha: PositiveFloat = 1.0) -> nn.Module:
    """Exponential linear unit: x if positive, alpha * (exp(x) - 1) otherwise."""
    return nn.ELU(alpha)


@ACTIVATIONS.register("tanh")
def tanh() -> nn.Module:
    """Hyperbolic tangent."""
    return nn.Tanh()


@ACTIVATIONS.register("silu")
def silu() -> nn.Module:
    """Sigmoid linear unit (swish): x * sigmoid(x)."""
    return nn.SiLU()


@ACTIVATIONS.register("gelu")
def gelu() -> nn.Module:
    """Gaussian error linear unit: x * Phi(x)."""
    return nn.GELU()


@ACTIVATIONS.register("sigmoid")
def sigmoid() -> nn.Module:
    """Logistic function: 1 / (1 + exp(-x))."""
    return nn.Sigmoid()


@ACTIVATIONS.register("softmax")
def softmax() -> nn.Module:
    """Softmax over a hidden layer's units or channels (never the last layer: that gives logits)."""
    return nn.Softmax(dim=1)
