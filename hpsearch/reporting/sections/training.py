"""The winner's training: curves, times, the layers of its model."""

from __future__ import annotations

from hpsearch.reporting.blocks import Block, Charts, Column, Section, Table, Text
from hpsearch.reporting.charts.winner_curves import epoch_table, winner_curves
from hpsearch.reporting.content import StudyContent
from hpsearch.reporting.labels import sentence


def training(content: StudyContent) -> Section:
    """Return accuracy, loss and times of the winner's epochs, and the layers of its model."""
    title, number = "The winner's training", content.winner
    if number is None:
        text = "No trial is complete, so there is no winner."
        return Section(name="training", title=title, blocks=[Text(text=text)])
    blocks: list[Block] = []
    charts = winner_curves(content)
    if charts:
        blocks.append(Charts(name="winner-curves", charts=charts))
    curve = content.curves.get(number, [])
    if curve:
        blocks.append(
            Text(text=f"Epochs of trial {number}, as it was in the search", style="heading")
        )
        blocks.append(epoch_table(number, curve))
    if not content.has_loop:
        blocks += _layers(content)
    return Section(name="training", title=title, blocks=blocks)


def _layers(content: StudyContent) -> list[Block]:
    layers = content.layers
    heading = Text(text=f"Layers of trial {content.winner}", style="heading")
    if layers.summary is None:
        return [heading, Text(text=layers.reason or "")]
    # Imported late: it imports torch, which a report without a table of layers doesn't need
    from hpsearch.training.models.layer_table import (
        LAYER_COLUMNS,
        input_text,
        layer_rows,
        sizes_text,
        totals_text,
    )

    return [
        heading,
        Table(
            caption=f"Layers of {layers.model}, {input_text(layers.summary)}",
            columns=[
                Column(label=label, numeric=label in ("parameters", "multiply-adds"))
                for label in LAYER_COLUMNS
            ],
            rows=layer_rows(layers.summary),
        ),
        Text(
            text=f"{layers.model}, for {input_text(layers.summary)}. "
            f"{sentence(totals_text(layers.summary))}. For one image in fp32: "
            f"{sizes_text(layers.summary)}.",
            style="note",
        ),
    ]
