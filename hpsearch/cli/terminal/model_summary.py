"""A model layer by layer, similar to other tools' summaries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpsearch.cli.terminal.output import say, table

if TYPE_CHECKING:
    from hpsearch.training.models.inspection import ModelSummary

_MEGABYTE = 2**20


def print_model_summary(name: str, model: ModelSummary) -> None:
    """Print the layer table: layer, output shape, parameters; then totals and sizes in MB."""
    say()
    shape = " x ".join(map(str, model.input_shape))
    say(f"{name}, an image of {shape} (channels x height x width)", style="bold")
    table(
        ("layer", "kind", "output shape", "parameters", "multiply-adds"),
        [
            (
                layer.name,
                layer.kind,
                " x ".join(map(str, layer.output_shape)),
                f"{layer.parameters:,}",
                f"{layer.multiply_adds:,}",
            )
            for layer in model.layers
        ],
    )
    say(
        f"total {model.parameters:,} parameters, {model.trainable_parameters:,} trainable, "
        f"{model.multiply_adds:,} multiply-adds"
    )
    sizes = model_summary_json(model)["megabytes"]
    say(", ".join(f"{part.replace('_', '/')} {size:.2f} MB" for part, size in sizes.items()))


def model_summary_json(model: ModelSummary) -> dict[str, Any]:
    """Return the same as JSON-like data. Sizes are those of one image, in fp32."""
    parts = {
        "input": model.input_bytes,
        "forward_backward": model.forward_backward_bytes,
        "parameters": model.parameter_bytes,
    }
    parts["total"] = sum(parts.values())
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
        "megabytes": {part: size / _MEGABYTE for part, size in parts.items()},
    }
