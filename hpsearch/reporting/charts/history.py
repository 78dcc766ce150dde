"""The course of the search: every trial at its end, and the best so far."""

from __future__ import annotations

from typing import Literal

from hpsearch.reporting.blocks import Chart, Column, Table
from hpsearch.reporting.charts.style import Trace, axis, figure
from hpsearch.reporting.content import StudyContent
from hpsearch.reporting.labels import COMPUTE, Unit, sentence
from hpsearch.reporting.palette import var

Against = Literal["epochs", "seconds"]

_MARKS = {
    "complete": ("circle", "series-1"),
    "pruned": ("x-thin-open", "faint"),
    "failed": ("triangle-up", "series-2"),
}


def history(content: StudyContent, against: Against) -> Chart | None:
    """Return the best so far over all epochs run, or over time; ``None`` before a trial ended."""
    if not content.costs.ended:
        return None
    unit = content.unit
    scale, label = _scale(content, against)
    traces = [_ended(content, state, against, scale, unit) for state in _MARKS]
    traces.append(_best(content, against, scale, unit))
    what = "epochs run" if against == "epochs" else "time at work"
    return Chart(
        name=f"history-{against}",
        title=f"Best so far against {what}",
        description=f"The best {unit.name} of complete trials over {what}; it was improved "
        f"{len(content.costs.best_so_far)} times.",
        figure=figure(
            [trace for trace in traces if trace["x"]],
            xaxis=axis(label, rangemode="tozero"),
            yaxis=axis(unit.axis),
            showlegend=True,
        ),
        height=360,
        table=Table(
            caption=f"Each time that {unit.name} was improved",
            columns=[
                Column(label="trial", numeric=True),
                Column(label=unit.name, numeric=True),
                Column(label="trials ended", numeric=True),
                Column(label="epochs run", numeric=True),
                Column(label="after"),
            ],
            rows=[
                [
                    str(step.number),
                    unit.value(step.value),
                    f"{step.trials:,}",
                    f"{step.epochs:,}",
                    COMPUTE.value(step.seconds),
                ]
                for step in content.costs.best_so_far
            ],
        ),
    )


def _scale(content: StudyContent, against: Against) -> tuple[float, str]:
    if against == "epochs":
        return 1.0, "Epochs of all trials"
    longest = content.costs.ended[-1].seconds
    if longest >= 2 * 3600:
        return 3600.0, "Hours at work"
    return (60.0, "Minutes at work") if longest >= 120 else (1.0, "Seconds at work")


def _ended(content: StudyContent, state: str, against: Against, scale: float, unit: Unit) -> Trace:
    symbol, colour = _MARKS[state]
    trials = [trial for trial in content.costs.ended if trial.state == state]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": {"pruned": "stopped early (last value)"}.get(state, state),
        "x": [round(getattr(trial, against) / scale, 4) for trial in trials],
        "y": [unit.scaled(trial.value) for trial in trials],
        "marker": {
            "color": var(colour),
            "size": 7,
            "symbol": symbol,
            "line": {"width": 1.4, "color": var(colour)},
        },
        "customdata": [trial.number for trial in trials],
        "hovertemplate": "trial %{customdata}: %{y}<extra></extra>",
    }


def _best(content: StudyContent, against: Against, scale: float, unit: Unit) -> Trace:
    steps = content.costs.best_so_far
    x = [getattr(step, against) / scale for step in steps]
    y = [unit.scaled(step.value) for step in steps]
    if steps:
        x.append(getattr(content.costs.ended[-1], against) / scale)
        y.append(y[-1])
    return {
        "type": "scatter",
        "mode": "lines",
        "name": sentence("best so far"),
        "x": [round(number, 4) for number in x],
        "y": y,
        "line": {"color": var("series-2"), "width": 2.4, "shape": "hv"},
        "hovertemplate": "best so far %{y}<extra></extra>",
    }
