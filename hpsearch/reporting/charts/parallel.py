"""Parallel coordinates: each trial is a line through its settings, coloured by its value.

They are drawn as plain lines. Plotly's ``parcoords`` needs WebGL and has no place for a parameter
that doesn't apply to a trial, such as those of another model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hpsearch.formatting import count_noun
from hpsearch.reporting.blocks import Chart
from hpsearch.reporting.charts.style import Trace, axis, figure, stacked_legend
from hpsearch.reporting.content import StudyContent
from hpsearch.reporting.labels import Unit, in_chart, setting
from hpsearch.reporting.palette import RAMP, var

#: Largest number of parameters in one chart; more are spread over several.
AXES = 10
#: Largest number of labelled choices of an axis.
_TICKS = 8
#: The place of trials to which a parameter doesn't apply, below its axis from 0 to 1.
_BELOW = -0.16
#: Names of the fifths.
_FIFTHS = ("worst fifth", "fourth", "third", "second", "best fifth")
#: Largest number of lines; with more trials, the best and an evenly spaced part of the rest.
LINES = 400


@dataclass(frozen=True)
class _Scale:
    """Positions of a parameter's values on its axis, 0..1."""

    places: Mapping[str, float] | None
    low: float = 0.0
    high: float = 1.0
    log: bool = False
    text: Callable[[float], str] = "{:.2g}".format

    def at(self, value: Any) -> float | None:
        if value is None:
            return None
        if self.places is not None:
            return self.places.get(setting(value))
        number = float(value)
        if self.log:
            return _share(math.log(number), math.log(self.low), math.log(self.high))
        return _share(number, self.low, self.high)

    def ticks(self) -> list[tuple[float, str]]:
        if self.places is not None:
            labels = [(place, in_chart(label, 14)) for label, place in self.places.items()]
            step = -(-len(labels) // _TICKS)
            return labels[::step]
        middle = math.sqrt(self.low * self.high) if self.log else (self.low + self.high) / 2
        if self.low == self.high:
            return [(0.5, self.text(self.low))]
        return [
            (at, self.text(value))
            for at, value in ((0.0, self.low), (0.5, middle), (1.0, self.high))
        ]


@dataclass(frozen=True)
class _Axis:
    """One axis: a parameter, or the objective."""

    name: str
    scale: _Scale
    value: Callable[[Mapping[str, Any]], Any]
    text: Callable[[Any], str]
    #: Whether some trials don't have it.
    partial: bool

    def place(self, row: Mapping[str, Any]) -> float:
        where = self.scale.at(self.value(row))
        # Small offsets, or trials with the same choice would hide each other
        offset: float = (int(row["number"]) * 37 % 11 - 5) / 200
        if where is None:
            return _BELOW + offset
        return where + (offset if self.scale.places else 0.0)


def parallel(content: StudyContent, order: Sequence[str]) -> list[Chart]:
    """Return charts of the parameters in ``order``, each with the objective as its last axis.

    Every parameter that a drawn trial has is in one of them, at most ``AXES`` in each. The list is
    empty without a parameter, or with fewer than two trials that have a value.
    """
    ended_rows = [row for row in content.trials if row["state"] in ("complete", "pruned")]
    rows = [row for row in ended_rows if row["value"] is not None and math.isfinite(row["value"])]
    if len(rows) < 2:
        return []
    rows = _thin(rows, content)
    names = content.short_names
    axes = [
        _axis(names[path], path, rows)
        for path in order
        if any(row.get(path) is not None for row in rows)
    ]
    if not axes:
        return []
    count = -(-len(axes) // AXES)
    # Of similar length: 9 parameters are 5 and 4
    size = -(-len(axes) // count)
    parts = [axes[start : start + size] for start in range(0, len(axes), size)]
    return [_chart(content, rows, part, at, len(parts)) for at, part in enumerate(parts, start=1)]


def _axis(name: str, path: str, rows: Sequence[Mapping[str, Any]]) -> _Axis:
    return _Axis(
        name=name,
        scale=_scale([row.get(path) for row in rows]),
        value=lambda row: row.get(path),
        text=setting,
        partial=any(row.get(path) is None for row in rows),
    )


def _objective(unit: Unit, rows: Sequence[Mapping[str, Any]]) -> _Axis:
    values = [float(row["value"]) for row in rows]
    return _Axis(
        name=unit.name,
        scale=_Scale(places=None, low=min(values), high=max(values), text=unit.value),
        value=lambda row: row["value"],
        text=unit.value,
        partial=False,
    )


def _chart(
    content: StudyContent, rows: Sequence[dict[str, Any]], part: Sequence[_Axis], at: int, of: int
) -> Chart:
    unit = content.unit
    axes = [*part, _objective(unit, rows)]
    traces = []
    for place, group in enumerate(_fifths(rows, maximize=content.maximize)):
        if group:
            values = [row["value"] for row in group]
            span = f"{unit.value(min(values))} to {unit.value(max(values))}"
            traces.append(_lines(group, axes, place, f"{_FIFTHS[place]}: {span}"))
    best = [row for row in rows if row["number"] == content.winner]
    if best:
        traces.append(_lines(best, axes, None, f"winner, trial {content.winner}"))
    below = any(coordinate.partial for coordinate in axes)
    return Chart(
        name="parallel" if at == 1 else f"parallel-{at}",
        title="Settings of all trials" + (f" ({at} of {of})" if of > 1 else ""),
        description=(
            f"Parallel coordinates: {count_noun(len(rows), 'trial')} as lines through "
            f"{count_noun(len(part), 'parameter')} and {unit.name}, coloured by {unit.name}."
        ),
        figure=figure(
            traces,
            xaxis=axis(
                "",
                tickmode="array",
                tickvals=list(range(len(axes))),
                ticktext=[in_chart(coordinate.name, 24) for coordinate in axes],
                range=[-0.15, len(axes) - 0.3],
                showgrid=False,
                zeroline=False,
                tickangle=-25 if len(axes) > 4 else 0,
            ),
            yaxis=axis("", visible=False, range=[_BELOW - 0.08 if below else -0.04, 1.04]),
            annotations=_labels(axes),
            shapes=[
                {
                    "type": "line",
                    "x0": at,
                    "x1": at,
                    "y0": 0,
                    "y1": 1,
                    "line": {"color": var("line"), "width": 1.5},
                    "layer": "below",
                }
                for at in range(len(axes))
            ],
            showlegend=True,
            # Below each other: a phone shows only the left part of the chart at once
            **stacked_legend(traces),
        ),
        height=480,
        width=90 * len(axes),
        note="Trials in fifths, from the worst to the best; a trial that was stopped early counts "
        "with its last value."
        + (" Below an axis: the parameter doesn't apply to these trials." if below else ""),
    )


def _lines(
    rows: Sequence[Mapping[str, Any]], axes: Sequence[_Axis], place: int | None, name: str
) -> Trace:
    x: list[int | None] = []
    y: list[float | None] = []
    text: list[str | None] = []
    for row in rows:
        for at, coordinate in enumerate(axes):
            x.append(at)
            y.append(round(coordinate.place(row), 4))
            text.append(
                f"trial {row['number']}: {in_chart(coordinate.text(coordinate.value(row)))}"
            )
        x.append(None)
        y.append(None)
        text.append(None)
    colour = "series-2" if place is None else RAMP[place]
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": x,
        "y": y,
        "text": text,
        "hoverinfo": "text",
        "line": {"color": var(colour), "width": 3.5 if place is None else 1.5},
        "opacity": 1 if place is None else 0.45 + 0.1 * place,
    }


def _labels(axes: Sequence[_Axis]) -> list[dict[str, Any]]:
    return [
        {
            "x": at,
            "y": where,
            "text": label,
            "showarrow": False,
            "xanchor": "left",
            "xshift": 5,
            "font": {"size": 11, "color": var("ink")},
            "bgcolor": var("page"),
            "opacity": 0.88,
            "borderpad": 1,
        }
        for at, coordinate in enumerate(axes)
        for where, label in [
            *coordinate.scale.ticks(),
            *([(_BELOW, "not used")] if coordinate.partial else []),
        ]
    ]


def _scale(values: Sequence[Any]) -> _Scale:
    present_values = [value for value in values if value is not None]
    numbers = all(
        isinstance(value, int | float) and not isinstance(value, bool) for value in present_values
    )
    labels = list(dict.fromkeys(setting(value) for value in present_values))
    # Whole numbers are often a choice such as 16, 32, 64: each has its own tick, at equal distances
    few = len(labels) <= _TICKS and not any(isinstance(value, float) for value in present_values)
    if not numbers or few:
        if numbers:
            labels = [setting(value) for value in sorted(set(present_values))]
        last = max(1, len(labels) - 1)
        places = {
            label: at / last for at, label in enumerate(sorted(labels) if not numbers else labels)
        }
        return _Scale(places=dict.fromkeys(labels, 0.5) if len(labels) == 1 else places)
    low, high = float(min(present_values)), float(max(present_values))
    return _Scale(places=None, low=low, high=high, log=low > 0 and high / low >= 30)


def _share(value: float, low: float, high: float) -> float:
    return (value - low) / (high - low) if high > low else 0.5


def _fifths(rows: Sequence[Mapping[str, Any]], *, maximize: bool) -> list[list[Mapping[str, Any]]]:
    """Return the trials in five groups of equal size, the worst first."""
    order = sorted(rows, key=lambda row: row["value"], reverse=not maximize)
    groups: list[list[Mapping[str, Any]]] = [[] for _ in RAMP]
    for place, row in enumerate(order):
        groups[place * len(groups) // len(order)].append(row)
    return groups


def _thin(rows: list[dict[str, Any]], content: StudyContent) -> list[dict[str, Any]]:
    if len(rows) <= LINES:
        return rows
    best = set(content.ranked[: LINES // 4])
    rest = [row for row in rows if row["number"] not in best]
    free = LINES - len(best)
    sample = [rest[at * len(rest) // free] for at in range(free)]
    return [row for row in rows if row["number"] in best] + sample
