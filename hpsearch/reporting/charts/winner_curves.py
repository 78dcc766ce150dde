"""The winner's training: accuracy, loss and times of its epochs, training beside validation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from hpsearch.metrics import EpochMetrics
from hpsearch.reporting.blocks import Chart, Column, Table
from hpsearch.reporting.charts.lines import Line, full_range, lines_figure, zoom_note, zoom_range
from hpsearch.reporting.content import StudyContent
from hpsearch.reporting.labels import COMPUTE, Unit
from hpsearch.reporting.palette import var

_HEIGHT = 320


def winner_curves(content: StudyContent) -> list[Chart]:
    """Return accuracy, loss and times of the winner's epochs; nothing without two epochs."""
    number = content.winner
    curve = content.curves.get(number, []) if number is not None else []
    if number is None or len(curve) < 2:
        return []
    first = curve[0]  # a metric that isn't measured is NaN in every epoch
    charts = []
    if math.isfinite(first.val_accuracy):
        charts.append(_accuracy(content, number, curve))
    if math.isfinite(first.val_loss):
        charts.append(_loss(content, number, curve))
    if first.val_seconds:
        charts.append(_times(number, curve))
    return charts


def epoch_table(number: int, curve: Sequence[EpochMetrics]) -> Table:
    """Return the metrics of every epoch of a trial."""
    share, loss = Unit("val_accuracy"), Unit("val_loss")
    columns = [
        ("epoch", [str(epoch.epoch) for epoch in curve]),
        ("training accuracy", [_text(share, epoch.train_accuracy) for epoch in curve]),
        ("validation accuracy", [_text(share, epoch.val_accuracy) for epoch in curve]),
        ("training loss", [_text(loss, epoch.train_loss) for epoch in curve]),
        ("validation loss", [_text(loss, epoch.val_loss) for epoch in curve]),
        ("training time", [_text(COMPUTE, epoch.train_seconds) for epoch in curve]),
        ("validation time", [_text(COMPUTE, epoch.val_seconds) for epoch in curve]),
        ("learning rate", ["" if epoch.lr != epoch.lr else f"{epoch.lr:.3g}" for epoch in curve]),
    ]
    for name in curve[0].others if curve else ():
        unit = Unit(name)
        columns.append((unit.name, [unit.value(epoch.others.get(name)) for epoch in curve]))
    # A study with a training loop of its own may not measure all of them
    columns = [(label, values) for label, values in columns if any(values)]
    return Table(
        caption=f"Epochs of trial {number}",
        columns=[Column(label=label, numeric=True) for label, _ in columns],
        rows=[list(row) for row in zip(*(values for _, values in columns), strict=True)],
    )


def _text(unit: Unit, value: float) -> str:
    return unit.value(value) if value == value else ""


def _accuracy(content: StudyContent, number: int, curve: Sequence[EpochMetrics]) -> Chart:
    unit = Unit("val_accuracy")
    lines = _pair(curve, "train_accuracy", "val_accuracy", unit)
    bounds = zoom_range(lines, unit, maximize=True, tight=False)
    return Chart(
        name="winner-accuracy",
        title=f"Accuracy of trial {number}",
        description=f"Training and validation accuracy of trial {number} over {len(curve)} epochs.",
        figure=lines_figure(
            [line.trace() for line in lines],
            lines,
            Unit("accuracy"),
            bounds,
            height=_HEIGHT,
            **_overfits_from(content, number),
        ),
        height=_HEIGHT,
        note="Training accuracy is measured during training, with augmentation and dropout: it may "
        "be the lower one." + zoom_note(lines, bounds),
    )


def _loss(content: StudyContent, number: int, curve: Sequence[EpochMetrics]) -> Chart:
    unit = Unit("loss")
    lines = _pair(curve, "train_loss", "val_loss", unit)
    since = content.overfits.get(number)
    return Chart(
        name="winner-loss",
        title=f"Loss of trial {number}",
        description=f"Training and validation loss of trial {number} over {len(curve)} epochs.",
        figure=lines_figure(
            [line.trace() for line in lines],
            lines,
            unit,
            full_range(lines),
            height=_HEIGHT,
            **_overfits_from(content, number),
        ),
        height=_HEIGHT,
        note="Cross-entropy."
        if since is None
        else f"Cross-entropy. Dotted line: it overfits from epoch {since} on.",
    )


def _times(number: int, curve: Sequence[EpochMetrics]) -> Chart:
    unit = Unit("epoch_seconds")
    lines = _pair(curve, "train_seconds", "val_seconds", unit)
    # From 0 on: of two times, how many times as long one takes is what matters
    top = max((value for line in lines for _, value in line.points), default=0.0) or 1.0
    return Chart(
        name="winner-times",
        title=f"Times of the epochs of trial {number}",
        description=f"Seconds of training and of validation in {len(curve)} epochs.",
        figure=lines_figure(
            [line.trace() for line in lines],
            lines,
            unit,
            [0.0, 1.08 * top],
            height=_HEIGHT,
        ),
        height=_HEIGHT,
        note="Measured in the search, beside the other trials that ran then.",
    )


def _pair(curve: Sequence[EpochMetrics], train: str, val: str, unit: Unit) -> list[Line]:
    return [
        Line(
            name=name,
            epochs=[epoch.epoch for epoch in curve],
            values=[unit.scaled(getattr(epoch, metric)) for epoch in curve],
            colour=colour,
            dash=dash,
        )
        for name, metric, colour, dash in (
            ("training", train, "series-1", "dash"),
            ("validation", val, "series-2", "solid"),
        )
    ]


def _overfits_from(content: StudyContent, number: int) -> dict[str, Any]:
    since = content.overfits.get(number)
    if since is None:
        return {}
    return {
        "shapes": [
            {
                "type": "line",
                "x0": since,
                "x1": since,
                "yref": "paper",
                "y0": 0,
                "y1": 1,
                "line": {"color": var("warn"), "width": 1.5, "dash": "dot"},
            }
        ]
    }
