"""The finalists of a confirmation: values in the search, and with fresh seeds."""

from __future__ import annotations

from collections.abc import Sequence

from hpsearch.formatting import count_noun
from hpsearch.reporting.blocks import Chart
from hpsearch.reporting.charts.style import Trace, axis, figure
from hpsearch.reporting.labels import Unit
from hpsearch.reporting.palette import var
from hpsearch.results.confirmation.verdict import ConfirmationResult


def finalists(verdict: ConfirmationResult) -> Chart | None:
    """Return a row for each finalist, the winner on top; ``None`` before any training ended."""
    unit = Unit(verdict.metric)
    order = list(reversed(verdict.finalists))
    if not any(finalist.standing.mean is not None for finalist in order):
        return None
    rows = {finalist.standing.trial: place for place, finalist in enumerate(order)}
    traces: list[Trace] = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": "in the search (one seed)",
            "x": [unit.scaled(finalist.seen) for finalist in order],
            "y": list(rows.values()),
            "marker": {"symbol": "circle-open", "size": 11, "color": var("soft")},
            "hovertemplate": "in the search: %{x}<extra></extra>",
        },
        {
            "type": "scatter",
            "mode": "markers",
            "name": "mean of the choosing seeds",
            "x": [unit.scaled(finalist.standing.mean) for finalist in order],
            "y": list(rows.values()),
            "marker": {"symbol": "diamond", "size": 9, "color": var("series-1")},
            "hovertemplate": "mean of the choosing seeds: %{x}<extra></extra>",
        },
    ]
    with_fresh_seeds = [finalist for finalist in order if finalist.reported is not None]
    interval = verdict.over_seeds_and_images
    if with_fresh_seeds:
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": "mean of fresh seeds",
                "x": [unit.scaled(finalist.reported) for finalist in with_fresh_seeds],
                "y": [rows[finalist.standing.trial] for finalist in with_fresh_seeds],
                "marker": {"symbol": "square", "size": 10, "color": var("series-2")},
                "hovertemplate": "mean of fresh seeds: %{x}<extra></extra>",
            }
        )
    if interval is not None and verdict.winner in rows:
        place = rows[verdict.winner]
        traces.insert(
            0,
            {
                "type": "scatter",
                "mode": "lines",
                "name": "95 % interval of the winner",
                "x": [unit.scaled(interval.low), unit.scaled(interval.high)],
                "y": [place, place],
                "line": {"color": var("series-2"), "width": 5},
                "opacity": 0.45,
                "hoverinfo": "skip",
            },
        )
    return Chart(
        name="finalists",
        title="Values in the search, and with fresh seeds",
        description=f"{count_noun(len(order), 'finalist')}: value in the search, mean of the "
        "choosing seeds and of the reporting seeds.",
        figure=figure(
            traces,
            xaxis=axis(unit.axis, range=_around(traces)),
            yaxis=axis(
                "",
                tickmode="array",
                tickvals=list(rows.values()),
                ticktext=[f"trial {number}" for number in rows],
                range=[-0.6, len(rows) - 0.4],
                showgrid=False,
                zeroline=False,
            ),
            showlegend=True,
        ),
        height=170 + 34 * len(rows),
    )


def _around(traces: Sequence[Trace]) -> list[float]:
    """Return the range of all values with room on both sides: plotly adds none for lines."""
    values = [value for trace in traces for value in trace["x"] if value is not None]
    room = 0.05 * (max(values) - min(values)) or 1.0
    return [min(values) - room, max(values) + room]
