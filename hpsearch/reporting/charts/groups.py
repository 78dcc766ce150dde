"""Trials by model, or by another branch: every trial a dot, and the best one's curves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from hpsearch.formatting import count_noun
from hpsearch.metrics import EpochMetrics
from hpsearch.reporting.blocks import Chart, Column, Table
from hpsearch.reporting.charts.lines import Line, full_range, lines_figure, zoom_note, zoom_range
from hpsearch.reporting.charts.style import Trace, axis, figure
from hpsearch.reporting.content import StudyContent
from hpsearch.reporting.labels import Unit, in_chart, sentence, setting
from hpsearch.reporting.palette import SERIES, var

#: Largest number of groups in the chart; a table has all.
SHOWN = 20
_HEIGHT = 360
#: State of a trial -> its symbol, its colour and its name in the legend.
_STATES = {
    "complete": ("circle", "series-1", "complete"),
    "stopped": ("x-thin-open", "soft", "stopped early or paused (last value)"),
    "running": ("circle-open", "series-3", "still running (last value)"),
}


@dataclass(frozen=True, kw_only=True)
class TrialGroup:
    """The trials of one model, or of another option."""

    name: str
    #: Rows of ``StudyContent.trials``; those with a rank first, best first.
    rows: Sequence[Mapping[str, Any]]
    #: Those that are complete; failed and invalid ones are in neither.
    complete: Sequence[Mapping[str, Any]]
    #: The best value and the median of complete trials; ``None`` without one.
    best: Mapping[str, Any] | None
    median: float | None


def groups(content: StudyContent) -> list[TrialGroup]:
    """Return the trials by the study's branch; groups with the best trial first."""
    path = content.branching.path
    by_name: dict[str, list[dict[str, Any]]] = {}
    for row in content.trials:
        name = content.branching.only if path is None else setting(row.get(path))
        by_name.setdefault(name, []).append(row)
    trial_groups = [_group(content, name, rows) for name, rows in by_name.items()]
    ranks = {number: rank for rank, number in enumerate(content.ranked)}
    sign = -1.0 if content.maximize else 1.0

    def key(group: TrialGroup) -> tuple[float, float, str]:
        values = [sign * value for row in group.rows if (value := _value(row)) is not None]
        rank = math.inf if group.best is None else ranks.get(group.best["number"], len(ranks))
        return rank, min(values, default=math.inf), group.name

    return sorted(trial_groups, key=key)


def dots(content: StudyContent, trial_groups: Sequence[TrialGroup]) -> Chart | None:
    """Return every trial as a dot, a row for each group; ``None`` before a trial has a value."""
    top_groups = trial_groups[:SHOWN]
    unit = content.unit
    # The first group on top
    places = {group.name: len(top_groups) - 1 - at for at, group in enumerate(top_groups)}
    traces = [_dots(top_groups, places, unit, state) for state in _STATES]
    if not any(trace["x"] for trace in traces):
        return None
    traces += [_medians(top_groups, places, unit), _bests(top_groups, places, unit)]
    title = f"Every trial by {content.branching.name}"
    complete = sum(len(group.complete) for group in trial_groups)
    left_out = (
        "" if len(trial_groups) <= SHOWN else f" The best {SHOWN} of {len(trial_groups)} are drawn."
    )
    return Chart(
        name="groups",
        title=title,
        description=f"{sentence(unit.name)} of every trial, in "
        f"{count_noun(len(top_groups), 'row')} by {content.branching.name}; "
        f"{count_noun(complete, 'trial')} of them complete.",
        figure=figure(
            [trace for trace in traces if trace["x"]],
            xaxis=axis(unit.axis),
            yaxis=axis(
                "",
                tickmode="array",
                tickvals=[places[group.name] for group in top_groups],
                ticktext=[in_chart(group.name, 22) for group in top_groups],
                range=[-0.6, len(top_groups) - 0.4],
                showgrid=False,
                zeroline=False,
            ),
            showlegend=True,
        ),
        height=150 + 62 * len(top_groups),
        note=_note(content) + left_out,
        table=_table(trial_groups, content, title),
    )


def best_curves(content: StudyContent, trial_groups: Sequence[TrialGroup]) -> list[Chart]:
    """Return accuracy and loss of each group's best trial, training and validation.

    Empty if fewer than two groups have a complete trial of two epochs or more.
    """
    curves = [
        (group.name, content.curves[group.best["number"]])
        for group in trial_groups
        if group.best is not None and len(content.curves.get(group.best["number"], [])) > 1
    ][: len(SERIES)]
    if len(curves) < 2:
        return []
    return [
        _curves(content, curves, "accuracy", maximize=True),
        _curves(content, curves, "loss", maximize=False),
    ]


def _curves(
    content: StudyContent,
    curves: Sequence[tuple[str, Sequence[EpochMetrics]]],
    what: str,
    *,
    maximize: bool,
) -> Chart:
    unit = Unit(what)
    lines = [
        Line(
            name=name,
            epochs=[epoch.epoch for epoch in curve],
            values=[unit.scaled(getattr(epoch, f"{part}_{what}")) for epoch in curve],
            colour=SERIES[place],
            dash="solid" if part == "val" else "dot",
            labelled=part == "val",
            width=2.4 if part == "val" else 1.6,
        )
        for place, (name, curve) in enumerate(curves)
        for part in ("val", "train")
    ]
    bounds = zoom_range(lines, unit, maximize=True, tight=False) if maximize else full_range(lines)
    return Chart(
        name=f"groups-{what}",
        title=f"{sentence(what)} by {content.branching.name}: the best trial of each",
        description=f"Training and validation {what} after each epoch, of {len(curves)} trials.",
        figure=lines_figure(
            [{**line.trace(), "showlegend": False} for line in lines],
            lines,
            unit,
            bounds,
            height=_HEIGHT,
        ),
        height=_HEIGHT,
        note="Solid: validation. Dotted: training." + zoom_note(lines, bounds),
    )


def _group(content: StudyContent, name: str, rows: Sequence[Mapping[str, Any]]) -> TrialGroup:
    complete = [row for row in rows if row["state"] == "complete" and _value(row) is not None]
    ranked = set(content.ranked)
    best = next((row for row in rows if row["number"] in ranked), None)
    values = [value for row in complete if (value := _value(row)) is not None]
    return TrialGroup(
        name=name,
        rows=rows,
        complete=complete,
        best=best,
        median=median(values) if values else None,
    )


def _value(row: Mapping[str, Any]) -> float | None:
    value = row["value"]
    return value if value is not None and math.isfinite(value) else None


def _kind(row: Mapping[str, Any]) -> str:
    state = str(row["state"])
    return {"pruned": "stopped", "paused": "stopped"}.get(state, state)


def _dots(
    trial_groups: Sequence[TrialGroup], places: Mapping[str, int], unit: Unit, state: str
) -> Trace:
    symbol, colour, name = _STATES[state]
    points = [
        (places[group.name] + _offset(row["number"]), row)
        for group in trial_groups
        for row in group.rows
        if _kind(row) == state and _value(row) is not None
    ]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [unit.scaled(row["value"]) for _, row in points],
        "y": [place for place, _ in points],
        "marker": {
            "color": var(colour),
            "size": 7,
            "symbol": symbol,
            "line": {"width": 1.4, "color": var(colour)},
        },
        "opacity": 0.8,
        "customdata": [row["number"] for _, row in points],
        "hovertemplate": "trial %{customdata}: %{x}<extra></extra>",
    }


def _offset(number: int) -> float:
    # Spread over the row, or trials with the same value would hide each other
    return round((number * 37 % 11 - 5) / 20, 2)


def _medians(trial_groups: Sequence[TrialGroup], places: Mapping[str, int], unit: Unit) -> Trace:
    x: list[float | None] = []
    y: list[float | None] = []
    for group in trial_groups:
        if group.median is not None:
            place = places[group.name]
            x += [unit.scaled(group.median)] * 2 + [None]
            y += [place - 0.4, place + 0.4, None]
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "median of complete trials",
        "x": x,
        "y": y,
        "line": {"color": var("ink"), "width": 2.4},
        "hovertemplate": "median of complete trials: %{x}<extra></extra>",
    }


def _bests(trial_groups: Sequence[TrialGroup], places: Mapping[str, int], unit: Unit) -> Trace:
    points = [(places[group.name], group.best) for group in trial_groups if group.best is not None]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "best complete trial",
        "x": [unit.scaled(row["value"]) for _, row in points],
        "y": [place + _offset(row["number"]) for place, row in points],
        "marker": {"color": var("series-2"), "size": 14, "symbol": "star"},
        "customdata": [row["number"] for _, row in points],
        "hovertemplate": "best, trial %{customdata}: %{x}<extra></extra>",
    }


def _note(content: StudyContent) -> str:
    counts = content.counts
    parts = ["Each trial has one seed: the best is optimistic."]
    if counts["pruned"] or counts["paused"]:
        parts.append(
            "A cross is a trial that was stopped early or is paused; its value is of its last "
            "epoch, so it isn't comparable with a complete one, and medians leave it out."
        )
    left_out = sum(_value(row) is None or _kind(row) not in _STATES for row in content.trials)
    if left_out:
        parts.append(
            f"Not drawn: {count_noun(left_out, 'trial')} (failed, declared invalid, or without an "
            "epoch yet)."
        )
    return " ".join(parts)


def _table(trial_groups: Sequence[TrialGroup], content: StudyContent, title: str) -> Table:
    unit = content.unit
    return Table(
        caption=title,
        columns=[
            Column(label=content.branching.name),
            Column(label="trials", numeric=True),
            Column(label="complete", numeric=True),
            Column(label="best", numeric=True),
            Column(label="of trial", numeric=True),
            Column(label="median", title="median of complete trials", numeric=True),
        ],
        rows=[
            [
                group.name,
                f"{len(group.rows):,}",
                f"{len(group.complete):,}",
                unit.value(None if group.best is None else group.best["value"]),
                "-" if group.best is None else str(group.best["number"]),
                unit.value(group.median),
            ]
            for group in trial_groups
        ],
    )
