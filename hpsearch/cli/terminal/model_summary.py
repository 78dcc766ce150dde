"""A model layer by layer, similar to other tools' summaries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpsearch.cli.terminal.output import say, table

if TYPE_CHECKING:
    from hpsearch.training.models.inspection import ModelSummary


def print_model_summary(name: str, model: ModelSummary) -> None:
    """Print the layer table: layer, output shape, parameters; then totals and sizes in MB."""
    from hpsearch.training.models.layer_table import (
        LAYER_COLUMNS,
        input_text,
        layer_rows,
        sizes_text,
        totals_text,
    )

    say()
    say(f"{name}, {input_text(model)}", style="bold")
    table(LAYER_COLUMNS, layer_rows(model))
    say(totals_text(model))
    say(sizes_text(model))
