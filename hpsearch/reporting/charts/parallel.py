"""Parallel coordinates: each trial is a line through its settings, coloured by its value.

They are drawn as plain lines. Plotly's ``parcoords`` needs WebGL and can't leave a gap where
a parameter doesn't apply to a trial, such as those of another model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hpsearch.formatting import count_noun
from hpsearch.reporting.blocks import Chart
from hpsearch.reporting.charts.style import Trace, axis, figure
from hpsearch.reporting.content import StudyContent
from hpsearch.reporting.labels import in_chart, setting
from hpsearch.reporting.palette import RAMP, var

#: Largest number of axes that is readable on a page.
AXES = 9
#: Largest number of labelled choices of an axis.
_TICKS = 8
#: Largest number of lines; with more trials, the best and an evenly spaced part of the rest.
LINES = 400


@dataclass(frozen=True)
class _Scale:
    """Positions of a parameter's values on its axis, 0..1."""

    places: Mapping[str, float] | None
    low: float = 0.0
    high: float = 1.0
    log: bool = False

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
            named = [(place, in_chart(label, 14)) for label, place in self.places.items()]
            step = -(-len(named) // _TICKS)
            return named[::step]
        middle = math.sqrt(self.low * self.high) if self.log else (self.low + self.high) / 2
        return [
            (at, f"{value:.2g}") for at, value in ((0.0, self.low), (0.5, middle), (1.0, self.high))
        ]


def parallel(content: StudyContent, order: Sequence[str]) -> Chart | None:
    """Return a chart of the parameters in ``order``; ``None`` for less than two, or one trial."""
    rows = [row for row in content.trials if row["value"] is not None]
    paths = [path for path in order if any(row.get(path) is not None for row in rows)][:AXES]
    rows = [row for row in rows if row["state"] in ("complete", "pruned")]
    if len(paths) < 2 or len(rows) < 2:
        return None
    rows = _drawn(rows, content)
    scales = {path: _scale([row.get(path) for row in rows]) for path in paths}
    groups = _fifths(rows, maximize=content.maximize)
    unit = content.unit
    traces = []
    for place, group in enumerate(groups):
        if group:
            values = [row["value"] for row in group]
            name = f"{unit.value(min(values))} to {unit.value(max(values))}"
            traces.append(_lines(group, paths, scales, place, name))
    names = content.short_names
    best = [row for row in rows if row["number"] == content.winner]
    if best:
        traces.append(_lines(best, paths, scales, None, f"winner, trial {content.winner}"))
    told = "".join(
        f" {count_noun(len(order) - len(paths), 'parameter')} of less importance left out."
        if len(order) > len(paths)
        else ""
    )
    return Chart(
        name="parallel",
        title="Settings of all trials",
        description=(
            f"Parallel coordinates: {count_noun(len(rows), 'trial')} as lines through "
            f"{count_noun(len(paths), 'parameter')}, coloured by {unit.name}."
        ),
        figure=figure(
            traces,
            xaxis=axis(
                "",
                tickmode="array",
                tickvals=list(range(len(paths))),
                ticktext=[in_chart(names[path], 18) for path in paths],
                range=[-0.15, len(paths) - 0.55],
                showgrid=False,
                zeroline=False,
                tickangle=-25 if len(paths) > 4 else 0,
            ),
            yaxis=axis("", visible=False, range=[-0.04, 1.04]),
            annotations=_labels(paths, scales),
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
                for at in range(len(paths))
            ],
            showlegend=True,
        ),
        height=480,
        width=90 * len(paths),
        note=(
            "Trials in fifths, from the worst to the best; a trial that was stopped early counts "
            "with its last value. A line ends where a parameter doesn't apply." + told
        ),
    )


def _lines(
    rows: Sequence[Mapping[str, Any]],
    paths: Sequence[str],
    scales: Mapping[str, _Scale],
    place: int | None,
    name: str,
) -> Trace:
    x: list[int | None] = []
    y: list[float | None] = []
    text: list[str | None] = []
    for row in rows:
        for at, path in enumerate(paths):
            where = scales[path].at(row.get(path))
            if where is not None:
                # Small offsets, or trials with the same choice would hide each other
                where += ((row["number"] * 37) % 11 - 5) / 200 if scales[path].places else 0
            x.append(at)
            y.append(None if where is None else round(where, 4))
            text.append(f"trial {row['number']}: {in_chart(setting(row.get(path)))}")
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


def _labels(paths: Sequence[str], scales: Mapping[str, _Scale]) -> list[dict[str, Any]]:
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
        for at, path in enumerate(paths)
        for where, label in scales[path].ticks()
    ]


def _scale(values: Sequence[Any]) -> _Scale:
    known = [value for value in values if value is not None]
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in known)
    labels = list(dict.fromkeys(setting(value) for value in known))
    if not numbers or len(labels) <= _TICKS:
        if numbers:
            labels = [setting(value) for value in sorted(set(known))]
        last = max(1, len(labels) - 1)
        places = {
            label: at / last for at, label in enumerate(sorted(labels) if not numbers else labels)
        }
        return _Scale(places=dict.fromkeys(labels, 0.5) if len(labels) == 1 else places)
    low, high = float(min(known)), float(max(known))
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


def _drawn(rows: list[dict[str, Any]], content: StudyContent) -> list[dict[str, Any]]:
    if len(rows) <= LINES:
        return rows
    kept = set(content.ranked[: LINES // 4])
    rest = [row for row in rows if row["number"] not in kept]
    free = LINES - len(kept)
    chosen = [rest[at * len(rest) // free] for at in range(free)]
    return [row for row in rows if row["number"] in kept] + chosen
