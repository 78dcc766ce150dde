"""Dense networks, and the dense layers that end a convolutional network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field
from torch import nn

from hpsearch.registry import Component
from hpsearch.training.models.activations import RELU, Activation
from hpsearch.training.models.widths import MlpHidden, widths_of
from hpsearch.training.registries import ACTIVATIONS, MODELS

#: A model's ``dropout`` key: the share of activations zeroed in training, 0 for none.
Dropout = Annotated[float, Field(ge=0, lt=1)]


@MODELS.register("mlp")
def mlp(
    input_shape: tuple[int, int, int],
    classes: int,
    /,
    *,
    hidden: MlpHidden = [128],  # noqa: B006 - never changed; a key's default must be JSON
    activation: Activation = RELU,
    dropout: Dropout = 0.0,
) -> nn.Module:
    """A dense network: pixels, hidden layers of widths given or by a rule, logits.

    Args:
        input_shape: (channels, height, width).
        classes: Number of classes.
        hidden: Widths of the hidden layers, the rule for them, or a report's name.
        activation: Follows each hidden layer.
        dropout: Share of activations zeroed in training, after each hidden layer.
    """
    channels, height, width = input_shape
    model = nn.Sequential()
    model.add_module("flatten", nn.Flatten())
    add_dense_layers(
        model, channels * height * width, hidden, classes, activation=activation, dropout=dropout
    )
    return model


def add_dense_layers(
    model: nn.Sequential,
    inputs: int,
    hidden: Sequence[int] | str,
    classes: int,
    *,
    activation: Component,
    dropout: float,
    batch_norm: bool = False,
    dropout_before: bool = False,
) -> None:
    """Append the hidden layers (each dense, activation, dropout) and the layer of the logits.

    Args:
        model: Its output so far has the shape (n, inputs); afterwards (n, classes).
        inputs: Number of values per sample that enter the first layer.
        hidden: Widths of the hidden layers, or the rule for them.
        classes: Number of classes.
        activation: Follows each hidden layer.
        dropout: Share of activations zeroed in training; 0 appends no dropout.
        batch_norm: Whether batch norm follows each activation.
        dropout_before: Whether a dropout precedes the first layer.
    """
    if dropout_before and dropout > 0:
        model.add_module("features_dropout", nn.Dropout(dropout))
    for number, width in enumerate(widths_of(hidden, inputs=inputs, classes=classes), start=1):
        model.add_module(f"dense{number}", nn.Linear(inputs, width))
        model.add_module(f"dense{number}_act", ACTIVATIONS.build(activation))
        if batch_norm:
            model.add_module(f"dense{number}_bn", nn.BatchNorm1d(width))
        if dropout > 0:
            model.add_module(f"dense{number}_dropout", nn.Dropout(dropout))
        inputs = width
    model.add_module("logits", nn.Linear(inputs, classes))
