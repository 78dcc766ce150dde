"""Lines over epochs: an axis that shows where they differ, and labels at their ends."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from hpsearch.reporting.charts.style import MARGIN, NARROW, Trace, axis, figure
from hpsearch.reporting.labels import Unit, in_chart
from hpsearch.reporting.palette import var

#: Pixels between the middles of two labels, and from a line's end to its label.
_LABEL, _LEADER = 16, 16
#: Pixels above the plot that a legend of a few rows takes, at most.
_LEGEND = 60
#: Pixels of an average character of a label.
_CHARACTER = 6.6
#: Longest label.
_LONGEST = 20
#: The least distance of ends that an axis resolves: points of a share, or a share of a loss.
_POINT, _PART = 1.0, 0.05
#: A range that is wider by less than this factor shows everything.
_WORTH = 1.5
#: With so many epochs, each has a tick.
_EVERY = 10
#: Room below the lowest end, in multiples of the ends' spread.
_BELOW = 2.0


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line; values are scaled for charts (``Unit.scaled``)."""

    name: str
    epochs: Sequence[int]
    values: Sequence[float | None]
    #: Name of its colour, and its dash.
    colour: str
    dash: str = "solid"
    #: Whether ``name`` is at its end; otherwise it is in the legend.
    labelled: bool = True
    width: float = 2.4

    @property
    def points(self) -> list[tuple[int, float]]:
        """Its points (epoch, value) that are finite numbers."""
        return [
            (epoch, value)
            for epoch, value in zip(self.epochs, self.values, strict=True)
            if value is not None and math.isfinite(value)
        ]

    def trace(self) -> Trace:
        """Return it as a trace of plotly's."""
        return {
            "type": "scatter",
            "mode": "lines",
            "name": in_chart(self.name),
            "showlegend": not self.labelled,
            "x": list(self.epochs),
            "y": list(self.values),
            "line": {"color": var(self.colour), "width": self.width, "dash": self.dash},
            "hovertemplate": f"{in_chart(self.name)}, epoch %{{x}}: %{{y}}<extra></extra>",
        }


def zoom_range(
    lines: Sequence[Line], unit: Unit, *, maximize: bool, tight: bool = True
) -> list[float] | None:
    """Return the range of a value axis on which the lines' ends can be distinguished.

    The range contains every end and the best value of each line. Towards worse values it ends at
    the worst value of the lines' second halves, and if it is tight no further from the ends than
    twice their spread: epochs at chance would press all ends together.

    Args:
        lines: The lines; those of the background don't count.
        unit: The metric.
        maximize: Whether higher values are better.
        tight: Whether the differences between the ends matter more than the lines' course.

    Returns:
        [lowest, highest]; ``None`` without a point.
    """
    sign = 1.0 if maximize else -1.0
    points = [[sign * value for _, value in line.points] for line in lines]
    points = [line for line in points if line]
    if not points:
        return None
    ends = [line[-1] for line in points]
    late = [value for line in points for value in line[len(line) // 2 :]]
    least = _POINT if unit.is_share else _PART * abs(median(ends)) or 1e-6
    spread = max(max(ends) - min(ends), least)
    floor = min(ends) - _BELOW * spread if tight else -math.inf
    worst = min(min(ends), max(min(late), floor))
    values = [value for line in points for value in line]
    best = max(values)
    if best - min(values) <= _WORTH * max(best - worst, least):
        worst = min(values)
    # With a single line, or equal ones, the axis has a width all the same
    missing = max(0.0, least - (best - worst)) / 2
    room = 0.06 * (best - worst) + missing
    bounds = sorted((sign * (worst - room), sign * (best + room)))
    return [float(f"{bound:.5g}") for bound in bounds]


def zoom_note(
    lines: Sequence[Line], bounds: Sequence[float] | None, *, others: bool = False
) -> str:
    """Return a sentence about the range of the axis if a line leaves it; otherwise nothing.

    Args:
        lines: The lines.
        bounds: The range of the value axis.
        others: Whether there are lines in the background, which may leave the range as well.
    """
    if bounds is None:
        return ""
    low, high = bounds
    cut = any(not low <= value <= high for line in lines for _, value in line.points)
    if not (cut or others):
        return ""
    return (
        " The axis shows the range in which the labelled lines differ; a double click shows all "
        "values."
    )


def lines_figure(
    traces: Sequence[Trace],
    lines: Sequence[Line],
    unit: Unit,
    bounds: list[float] | None,
    *,
    height: int,
    **layout: Any,
) -> dict[str, Any]:
    """Return a figure of a metric over epochs, with its lines' names at their ends.

    Args:
        traces: The traces, including those of ``lines``.
        lines: The lines that have labels at their ends.
        unit: The metric.
        bounds: The range of the value axis (``zoom_range``, ``full_range``); ``None`` for
            plotly's choice.
        height: Pixels of the chart.
        layout: Further parts of plotly's layout.
    """
    legend = any(trace.get("showlegend", True) for trace in traces)
    top = _LEGEND if legend else MARGIN["t"]
    room = label_margin(lines)
    labels = [] if bounds is None else end_labels(lines, bounds, height - top - MARGIN["b"])
    return figure(
        traces,
        xaxis=axis("Epoch", tickformat="d", **_epochs(traces)),
        yaxis=axis(unit.axis, **({} if bounds is None else {"range": bounds})),
        annotations=labels,
        margin={"r": max(MARGIN["r"], room)},
        meta={"narrow": {"r": max(NARROW["r"], room)}},
        showlegend=legend,
        **layout,
    )


def _epochs(traces: Sequence[Trace]) -> dict[str, Any]:
    """Return the range of the epochs: plotly's own would make room for the labels in the plot."""
    epochs = [epoch for trace in traces for epoch in trace["x"] if epoch is not None]
    if not epochs:
        return {}
    room = 0.01 * (max(epochs) - min(epochs)) or 0.5
    few = {"dtick": 1} if max(epochs) <= _EVERY else {}
    return {"range": [min(epochs) - room, max(epochs) + room], **few}


def full_range(lines: Sequence[Line]) -> list[float] | None:
    """Return the range of all values of the lines; ``None`` without a point."""
    values = [value for line in lines for _, value in line.points]
    if not values:
        return None
    room = 0.06 * (max(values) - min(values)) or 0.06 * abs(max(values)) or 1.0
    return [float(f"{bound:.5g}") for bound in (min(values) - room, max(values) + room)]


def label_margin(lines: Sequence[Line]) -> int:
    """Return the pixels to the right of a chart that the labels of its lines need."""
    longest = max((len(_text(line)) for line in lines if line.labelled), default=0)
    return round(_LEADER + 8 + _CHARACTER * longest) if longest else 0


def end_labels(lines: Sequence[Line], bounds: Sequence[float], pixels: int) -> list[dict[str, Any]]:
    """Return the names of the labelled lines as annotations at their ends, without overlaps.

    A short line in the colour of its curve connects each label with the curve's end.

    Args:
        lines: The lines.
        bounds: The range of the value axis.
        pixels: Height of the plot without its margins.
    """
    low, high = bounds
    labelled_lines = [line for line in lines if line.labelled and line.points]
    # Ends outside of the range, if any, are labelled at its border
    ends = [min(max(line.points[-1][1], low), high) for line in labelled_lines]
    places = apart(ends, gap=_LABEL * (high - low) / pixels, low=low, high=high)
    last = max((line.points[-1][0] for line in labelled_lines), default=0)
    return [
        {
            "x": line.points[-1][0],
            "y": float(f"{end:.6g}"),
            # A line that ends early has its label in the margin, too, where nothing crosses it
            "xref": "x",
            "axref": "pixel" if line.points[-1][0] == last else "x",
            "ax": _LEADER if line.points[-1][0] == last else last,
            "ayref": "y",
            "ay": float(f"{place:.6g}"),
            "text": _text(line),
            "showarrow": True,
            "arrowhead": 0,
            "arrowwidth": 1.2,
            "arrowcolor": var(line.colour),
            "xanchor": "left",
            "align": "left",
            "font": {"size": 12, "color": var("ink")},
        }
        for line, end, place in zip(labelled_lines, ends, places, strict=True)
    ]


def apart(values: Sequence[float], *, gap: float, low: float, high: float) -> list[float]:
    """Return places in the order of ``values``, near them and at least ``gap`` apart.

    Args:
        values: The preferred places.
        gap: The least distance; if there is no room for it, gaps are equal and smaller.
        low: The lowest place.
        high: The highest one.
    """
    if len(values) < 2:
        return list(values)
    gap = min(gap, (high - low) / (len(values) - 1))
    order = sorted(range(len(values)), key=lambda index: values[index])
    places = [values[index] for index in order]
    for at in range(1, len(places)):
        places[at] = max(places[at], places[at - 1] + gap)
    places[-1] = min(places[-1], high)
    for at in range(len(places) - 2, -1, -1):
        places[at] = min(places[at], places[at + 1] - gap)
    places[0] = max(places[0], low)
    for at in range(1, len(places)):
        places[at] = max(places[at], places[at - 1] + gap)
    placements = [0.0] * len(values)
    for index, place in zip(order, places, strict=True):
        placements[index] = place
    return placements


def _text(line: Line) -> str:
    return in_chart(line.name, _LONGEST)
