"""The objective after each epoch: a line for each of the best trials, the others as a backdrop."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from hpsearch.formatting import count_noun
from hpsearch.metrics import EpochMetrics
from hpsearch.reporting.blocks import Chart, Column, Table
from hpsearch.reporting.charts.style import Trace, axis, figure
from hpsearch.reporting.content import StudyContent
from hpsearch.reporting.labels import Unit
from hpsearch.reporting.palette import DASHES, SERIES, var

#: Trials that have a line of their own.
LINES = 5
#: Largest number of curves of complete, and of stopped trials in the backdrop; more are unreadable.
BACKDROP = 150
#: Largest number of epochs with a column in the table.
_EPOCHS_TOLD = 7


def learning_curves(content: StudyContent) -> Chart | None:
    """Return the chart; ``None`` before a trial has reported an epoch."""
    if not content.curves:
        return None
    unit = content.unit
    best = [number for number in content.ranked[:LINES] if number in content.curves]
    others = [number for number in content.curves if number not in best]
    complete = [number for number in others if content.state_of(number) == "complete"]
    stopped = [number for number in others if content.state_of(number) != "complete"]
    traces = [
        _backdrop(content, _spread(stopped), "stopped or unfinished", "dot"),
        _backdrop(content, _spread(complete), "other complete trials", "solid"),
        *(_line(content, number, place) for place, number in enumerate(best)),
    ]
    drawn = [trace for trace in traces if trace["x"]]
    told = ""
    if max(len(stopped), len(complete)) > BACKDROP:
        told = f"Of the {count_noun(len(others), 'other trial')} {2 * BACKDROP} at most are drawn. "
    return Chart(
        name="learning-curves",
        title=f"{unit.name[:1].upper()}{unit.name[1:]} after each epoch",
        description=(
            f"Lines of {unit.name} over epochs: the best {len(best)} of "
            f"{count_noun(len(content.curves), 'trial')} are highlighted."
        ),
        figure=figure(
            drawn,
            xaxis=axis("Epoch", tickformat="d"),
            yaxis=axis(unit.axis),
            showlegend=True,
        ),
        height=440,
        table=_table(content, best, unit),
        note=told + "Dotted: stopped by the pruner, or not finished.",
    )


def loss_curves(content: StudyContent) -> Chart | None:
    """Return training and validation loss of the winner; ``None`` if it has no curve."""
    number = content.winner
    curve = content.curves.get(number, []) if number is not None else []
    if len(curve) < 2:
        return None
    epochs = [each.epoch for each in curve]
    unit = Unit("val_loss")
    traces = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": name,
            "x": epochs,
            "y": [unit.scaled(getattr(each, metric_name)) for each in curve],
            "line": {"color": var(colour), "width": 2.2, "dash": dash},
            "hovertemplate": "epoch %{x}: %{y}",
        }
        for name, metric_name, colour, dash in (
            ("training", "train_loss", "series-1", "dash"),
            ("validation", "val_loss", "series-2", "solid"),
        )
    ]
    layout: dict[str, Any] = {"showlegend": True}
    since = content.overfits.get(number) if number is not None else None
    note = f"Trial {number}, as it was in the search."
    if since is not None:
        layout["shapes"] = [
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
        note += f" Dotted line: it overfits from epoch {since} on."
    return Chart(
        name="winner-loss",
        title=f"Loss of trial {number}",
        description=f"Training and validation loss of trial {number} over {len(curve)} epochs.",
        figure=figure(
            traces, xaxis=axis("Epoch", tickformat="d"), yaxis=axis("Cross-entropy"), **layout
        ),
        height=320,
        table=Table(
            caption=f"Epochs of trial {number}",
            columns=[
                Column(label=label, numeric=True)
                for label in ("epoch", "train loss", "val loss", "train acc", "val acc", "lr")
            ],
            rows=[_epoch_row(each) for each in curve],
        ),
        note=note,
    )


def _epoch_row(each: EpochMetrics) -> list[str]:
    share, loss = Unit("val_accuracy"), Unit("val_loss")
    return [
        str(each.epoch),
        loss.value(each.train_loss),
        loss.value(each.val_loss),
        share.value(each.train_accuracy),
        share.value(each.val_accuracy),
        f"{each.lr:.3g}",
    ]


def _backdrop(content: StudyContent, numbers: Sequence[int], name: str, dash: str) -> Trace:
    x: list[int | None] = []
    y: list[float | None] = []
    whose: list[int | None] = []
    for number in numbers:
        for each in content.curves[number]:
            x.append(each.epoch)
            y.append(content.scaled(each))
            whose.append(number)
        x.append(None)
        y.append(None)
        whose.append(None)
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": x,
        "y": y,
        "customdata": whose,
        "line": {"color": var("faint"), "width": 1, "dash": dash},
        "opacity": 0.55,
        "hovertemplate": "trial %{customdata}, epoch %{x}: %{y}<extra></extra>",
    }


def _line(content: StudyContent, number: int, place: int) -> Trace:
    curve = content.curves[number]
    return {
        "type": "scatter",
        "mode": "lines",
        "name": f"trial {number}" + (" (winner)" if number == content.winner else ""),
        "x": [each.epoch for each in curve],
        "y": [content.scaled(each) for each in curve],
        "line": {"color": var(SERIES[place]), "width": 2.4, "dash": DASHES[place]},
        "hovertemplate": f"trial {number}, epoch %{{x}}: %{{y}}<extra></extra>",
    }


def _spread(numbers: Sequence[int]) -> list[int]:
    """Return at most ``BACKDROP`` of them, evenly spaced."""
    if len(numbers) <= BACKDROP:
        return list(numbers)
    return [numbers[at * len(numbers) // BACKDROP] for at in range(BACKDROP)]


def _table(content: StudyContent, best: Sequence[int], unit: Unit) -> Table:
    longest = max(len(curve) for curve in content.curves.values())
    epochs = _some(range(1, longest + 1))
    rows = []
    for number in best:
        by_epoch = {each.epoch: each for each in content.curves[number]}
        cells = [
            unit.value(content.objective_of(by_epoch[epoch])) if epoch in by_epoch else "-"
            for epoch in epochs
        ]
        rows.append([str(number), *cells])
    return Table(
        caption=f"{unit.name} of the best trials after some epochs",
        columns=[
            Column(label="trial", numeric=True),
            *(Column(label=f"epoch {epoch}", numeric=True) for epoch in epochs),
        ],
        rows=rows,
    )


def _some(epochs: Iterable[int]) -> list[int]:
    every = list(epochs)
    if len(every) <= _EPOCHS_TOLD:
        return every
    last = len(every) - 1
    return [every[round(at * last / (_EPOCHS_TOLD - 1))] for at in range(_EPOCHS_TOLD)]
