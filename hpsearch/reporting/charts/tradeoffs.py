"""The objective against costs: each trial by its value and one cost, and the front."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hpsearch.reporting.blocks import Chart, Column, Table
from hpsearch.reporting.charts.style import Trace, axis, figure
from hpsearch.reporting.content import StudyContent
from hpsearch.reporting.labels import Unit, name_of, rounded, sentence
from hpsearch.reporting.palette import var

#: Cost -> title of its axis.
COSTS = {
    "parameters": "Parameters",
    "multiply_adds": "Multiply-adds per image",
    "receptive_field": "Receptive field (pixels)",
    "epoch_seconds": "Time of an epoch (s)",
    "latency": "Time for one image (ms)",
}

#: The axis is logarithmic from this ratio of the largest to the smallest cost on.
_WIDE = 20


def cost_of(row: Mapping[str, Any], name: str) -> float | None:
    """Return one cost of a trial; for a receptive field (height, width), the longer side."""
    value = row.get(name)
    if isinstance(value, list | tuple):
        value = max(value) if value else None
    return None if value is None else float(value)


def front_of(content: StudyContent, name: str) -> list[Mapping[str, Any]]:
    """Return the complete trials that are better than every cheaper one, cheapest first."""
    eligible = [
        row
        for number in content.ranked
        if cost_of(row := content.row(number), name) is not None and row["value"] is not None
    ]
    sign = -1.0 if content.maximize else 1.0
    order = sorted(eligible, key=lambda row: (cost_of(row, name), sign * row["value"]))
    front: list[Mapping[str, Any]] = []
    for row in order:
        if not front or sign * row["value"] < sign * front[-1]["value"]:
            front.append(row)
    return front


def tradeoff(content: StudyContent, name: str) -> Chart | None:
    """Return value against one cost; ``None`` if it isn't known, or is the same for all."""
    rows = [content.row(number) for number in content.ranked]
    with_cost = [row for row in rows if cost_of(row, name) is not None]
    costs = [cost for row in with_cost if (cost := cost_of(row, name)) is not None]
    if len(set(costs)) < 2:
        return None
    unit = content.unit
    # A receptive field isn't a cost: smaller isn't better
    front = front_of(content, name) if name != "receptive_field" else []
    front_numbers = {row["number"] for row in front}
    other_rows = [row for row in with_cost if row["number"] not in front_numbers]
    wide = min(costs) > 0 and max(costs) / min(costs) >= _WIDE
    title = f"{sentence(unit.name)} against {name_of(name)}"
    return Chart(
        name=f"tradeoff-{name.replace('_', '-')}",
        title=title,
        description=f"Points of {unit.name} over {name_of(name)} of {len(with_cost)} complete "
        "trials" + (f"; {len(front)} of them are on the Pareto front." if front else "."),
        figure=figure(
            [
                _points(other_rows, name, unit, "complete trials"),
                *([_front(front, name, unit)] if front else []),
            ],
            xaxis=axis(COSTS[name], type="log" if wide else "linear", **_short_ticks(wide)),
            yaxis=axis(unit.axis, title={"font": {"size": 12}}),
            showlegend=True,
        ),
        height=330,
        table=Table(
            caption=f"Pareto front: {title}" if front else title,
            columns=[
                Column(label="trial", numeric=True),
                Column(label=COSTS[name], numeric=True),
                Column(label=unit.name, numeric=True),
            ],
            rows=[
                [str(row["number"]), Unit(name).value(cost_of(row, name)), unit.value(row["value"])]
                for row in (front or with_cost)
            ],
        ),
    )


def _short_ticks(wide: bool) -> dict[str, Any]:
    return (
        {"dtick": "D2", "exponentformat": "SI"} if wide else {"exponentformat": "SI", "nticks": 6}
    )


def _points(rows: Sequence[Mapping[str, Any]], name: str, unit: Unit, label: str) -> Trace:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": label,
        "x": [rounded(cost_of(row, name)) for row in rows],
        "y": [unit.scaled(row["value"]) for row in rows],
        "marker": {"color": var("faint"), "size": 6, "symbol": "circle-open"},
        "hovertext": [_hover_text(row, name, unit) for row in rows],
        "hoverinfo": "text",
    }


def _front(rows: Sequence[Mapping[str, Any]], name: str, unit: Unit) -> Trace:
    return {
        **_points(rows, name, unit, "Pareto front"),
        "mode": "lines+markers",
        "line": {"color": var("series-2"), "width": 1.6, "shape": "hv"},
        "marker": {"color": var("series-2"), "size": 9, "symbol": "diamond"},
    }


def _hover_text(row: Mapping[str, Any], name: str, unit: Unit) -> str:
    return (
        f"trial {row['number']}: {unit.value(row['value'])}, {Unit(name).value(cost_of(row, name))}"
    )
