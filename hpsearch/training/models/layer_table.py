"""A model's layers as a table: for terminals, reports and model cards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hpsearch.registry import Component
from hpsearch.training.models.inspection import ModelSummary, describe
from hpsearch.training.models.pretrained import weights_come_later

#: The columns of ``layer_rows``; the last two are numbers.
LAYER_COLUMNS = ("layer", "kind", "output shape", "parameters", "multiply-adds")

_MEGABYTE = 2**20


def summary_of(model: Component, input_shape: Sequence[int], classes: int) -> ModelSummary:
    """Return a model's layers, without its weights: pretrained ones are neither read nor loaded.

    Args:
        model: Its name and settings, such as ``TrialConfig.model``.
        input_shape: (channels, height, width) of an image.
        classes: Number of classes.

    Raises:
        InfeasibleConfig: If such an image doesn't fit the model.
        UserError: If the model doesn't return logits.
    """
    channels, height, width = input_shape
    with weights_come_later():
        return describe(model, input_shape=(channels, height, width), classes=classes)


def layer_rows(model: ModelSummary) -> list[tuple[str, ...]]:
    """Return one row per layer in the order of their use, with the columns ``LAYER_COLUMNS``."""
    return [
        (
            layer.name,
            layer.kind,
            " x ".join(map(str, layer.output_shape)),
            f"{layer.parameters:,}",
            f"{layer.multiply_adds:,}",
        )
        for layer in model.layers
    ]


def input_text(model: ModelSummary) -> str:
    """Return ``an image of 1 x 8 x 8 (channels x height x width)``."""
    return f"an image of {' x '.join(map(str, model.input_shape))} (channels x height x width)"


def totals_text(model: ModelSummary) -> str:
    """Return the totals of all layers: parameters, trainable ones, multiply-adds."""
    return (
        f"total {model.parameters:,} parameters, {model.trainable_parameters:,} trainable, "
        f"{model.multiply_adds:,} multiply-adds"
    )


def sizes_text(model: ModelSummary) -> str:
    """Return the sizes of one image, of all outputs with gradients, of parameters, and the sum."""
    return ", ".join(
        f"{part.replace('_', '/')} {size:.2f} MB" for part, size in _megabytes(model).items()
    )


def summary_json(model: ModelSummary) -> dict[str, Any]:
    """Return the table and its totals as JSON-like data. Sizes are those of one image, in fp32."""
    return {
        "input_shape": list(model.input_shape),
        "parameters": model.parameters,
        "trainable_parameters": model.trainable_parameters,
        "multiply_adds": model.multiply_adds,
        "receptive_field": model.receptive_field,
        "layers": [
            {
                "name": layer.name,
                "kind": layer.kind,
                "output_shape": list(layer.output_shape),
                "parameters": layer.parameters,
                "multiply_adds": layer.multiply_adds,
            }
            for layer in model.layers
        ],
        "megabytes": _megabytes(model),
    }


def _megabytes(model: ModelSummary) -> dict[str, float]:
    parts = {
        "input": model.input_bytes,
        "forward_backward": model.forward_backward_bytes,
        "parameters": model.parameter_bytes,
    }
    return {
        part: size / _MEGABYTE for part, size in {**parts, "total": sum(parts.values())}.items()
    }
