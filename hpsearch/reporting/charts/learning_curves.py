"""The objective after each epoch: a line for each of the best trials, the others as a backdrop."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hpsearch.formatting import count_noun
from hpsearch.reporting.blocks import Chart, Column, Table
from hpsearch.reporting.charts.lines import Line, lines_figure, zoom_note, zoom_range
from hpsearch.reporting.charts.style import Trace
from hpsearch.reporting.content import StudyContent
from hpsearch.reporting.labels import Unit
from hpsearch.reporting.palette import DASHES, SERIES, var

#: Trials that have a line of their own.
LINES = 5
#: Largest number of curves of complete, and of stopped trials in the backdrop; more are unreadable.
BACKDROP = 150
#: Pixels.
HEIGHT = 440
#: Largest number of epochs with a column in the table.
_EPOCHS_SHOWN = 7


def learning_curves(content: StudyContent) -> Chart | None:
    """Return the chart; ``None`` before a trial has reported an epoch."""
    if not content.curves:
        return None
    unit = content.unit
    best = [number for number in content.ranked[:LINES] if number in content.curves]
    others = [number for number in content.curves if number not in best]
    complete = [number for number in others if content.state_of(number) == "complete"]
    stopped = [number for number in others if content.state_of(number) != "complete"]
    lines = [_line(content, number, place) for place, number in enumerate(best)]
    traces = [
        _backdrop(content, _spread(stopped), "stopped or unfinished", "dot"),
        _backdrop(content, _spread(complete), "other complete trials", "solid"),
        *(line.trace() for line in lines),
    ]
    visible = [trace for trace in traces if trace["x"]]
    bounds = zoom_range(lines, unit, maximize=content.maximize)
    text = ""
    if max(len(stopped), len(complete)) > BACKDROP:
        text = f"Of the {count_noun(len(others), 'other trial')} {2 * BACKDROP} at most are drawn. "
    return Chart(
        name="learning-curves",
        title=f"{unit.name[:1].upper()}{unit.name[1:]} after each epoch",
        description=(
            f"Lines of {unit.name} over epochs: the best {len(best)} of "
            f"{count_noun(len(content.curves), 'trial')} are highlighted."
        ),
        figure=lines_figure(visible, lines, unit, bounds, height=HEIGHT),
        height=HEIGHT,
        table=_table(content, best, unit),
        note=text
        + "Dotted: stopped by the pruner, or not finished."
        + zoom_note(lines, bounds, others=bool(others)),
    )


def _backdrop(content: StudyContent, numbers: Sequence[int], name: str, dash: str) -> Trace:
    x: list[int | None] = []
    y: list[float | None] = []
    trial_numbers: list[int | None] = []
    for number in numbers:
        for epoch in content.curves[number]:
            x.append(epoch.epoch)
            y.append(content.scaled(epoch))
            trial_numbers.append(number)
        x.append(None)
        y.append(None)
        trial_numbers.append(None)
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": x,
        "y": y,
        "customdata": trial_numbers,
        "line": {"color": var("faint"), "width": 1, "dash": dash},
        "opacity": 0.55,
        "hovertemplate": "trial %{customdata}, epoch %{x}: %{y}<extra></extra>",
    }


def _line(content: StudyContent, number: int, place: int) -> Line:
    curve = content.curves[number]
    return Line(
        name=f"trial {number}" + (" (winner)" if number == content.winner else ""),
        epochs=[epoch.epoch for epoch in curve],
        values=[content.scaled(epoch) for epoch in curve],
        colour=SERIES[place],
        dash=DASHES[place],
    )


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
        by_epoch = {metrics.epoch: metrics for metrics in content.curves[number]}
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
    all_epochs = list(epochs)
    if len(all_epochs) <= _EPOCHS_SHOWN:
        return all_epochs
    last = len(all_epochs) - 1
    return [all_epochs[round(at * last / (_EPOCHS_SHOWN - 1))] for at in range(_EPOCHS_SHOWN)]
