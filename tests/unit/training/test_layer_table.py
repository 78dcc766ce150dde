"""A model's layers as a table, as people print them beside their results."""

from __future__ import annotations

from pathlib import Path

import pytest

import hpsearch.training.builtin  # noqa: F401
from hpsearch.registry import Component
from hpsearch.training.models.layer_table import (
    LAYER_COLUMNS,
    input_text,
    layer_rows,
    sizes_text,
    summary_json,
    summary_of,
    totals_text,
)


def model(name: str, **settings: object) -> Component:
    return Component(name, settings)


def test_the_table_is_that_of_a_published_report() -> None:
    """Layer, output shape and parameters of a network whose table was printed elsewhere."""
    summary = summary_of(model("emoji_net"), (3, 32, 32), 5)
    assert all(len(row) == len(LAYER_COLUMNS) for row in layer_rows(summary))
    learned = [(row[1], row[2], row[3]) for row in layer_rows(summary) if row[3] != "0"]
    assert learned == [
        ("Conv2d", "32 x 16 x 16", "896"),
        ("Conv2d", "64 x 8 x 8", "18,496"),
        ("Linear", "256", "1,048,832"),
        ("Linear", "5", "1,285"),
    ]
    assert totals_text(summary).startswith("total 1,069,509 parameters, 1,069,509 trainable")
    assert sizes_text(summary) == (
        "input 0.01 MB, forward/backward 0.11 MB, parameters 4.08 MB, total 4.20 MB"
    )
    assert input_text(summary) == "an image of 3 x 32 x 32 (channels x height x width)"


def test_data_and_text_agree() -> None:
    summary = summary_of(model("cnn_small"), (3, 32, 32), 10)
    data = summary_json(summary)
    assert data["parameters"] == 1_816_714
    assert [f"{layer['parameters']:,}" for layer in data["layers"]] == [
        row[3] for row in layer_rows(summary)
    ]
    assert data["megabytes"]["total"] == pytest.approx(
        sum(size for part, size in data["megabytes"].items() if part != "total")
    )


def test_pretrained_weights_are_not_needed(tmp_path: Path) -> None:
    """A report is read where the file that training began with need not be."""
    gone = model("resnet18", weights=tmp_path / "gone.pt")
    assert summary_of(gone, (3, 32, 32), 10).parameters > 11_000_000
