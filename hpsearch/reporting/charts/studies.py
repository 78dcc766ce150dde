"""Several studies in one chart."""

from __future__ import annotations

from collections.abc import Sequence

from hpsearch.formatting import count_noun
from hpsearch.reporting.analysis.comparison import Comparison
from hpsearch.reporting.blocks import Chart
from hpsearch.reporting.charts.style import Trace, axis, figure
from hpsearch.reporting.content import StudyContent
from hpsearch.reporting.labels import Unit, cut_middle, in_chart
from hpsearch.reporting.palette import DASHES, SERIES, var


def winners(comparison: Comparison, unit: Unit) -> Chart | None:
    """Return each study's best seen and confirmed value; ``None`` if no study has one."""
    lines = [line for line in reversed(comparison.lines) if line.best_seen is not None]
    if not lines:
        return None
    rows = list(range(len(lines)))
    traces: list[Trace] = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": "best seen (one seed)",
            "x": [unit.scaled(line.best_seen) for line in lines],
            "y": rows,
            "marker": {"symbol": "circle-open", "size": 11, "color": var("soft")},
            "hovertemplate": "best seen: %{x}<extra></extra>",
        }
    ]
    intervals = [
        (row, line.confirmed) for row, line in enumerate(lines) if line.confirmed is not None
    ]
    if intervals:
        low = [unit.scaled(interval.estimate - interval.low) for _, interval in intervals]
        high = [unit.scaled(interval.high - interval.estimate) for _, interval in intervals]
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": "confirmed, 95 %",
                "x": [unit.scaled(interval.estimate) for _, interval in intervals],
                "y": [row for row, _ in intervals],
                "error_x": {
                    "type": "data",
                    "symmetric": False,
                    "array": high,
                    "arrayminus": low,
                    "color": var("series-2"),
                    "thickness": 2,
                    "width": 5,
                },
                "marker": {"symbol": "diamond", "size": 10, "color": var("series-2")},
                "hovertemplate": "confirmed: %{x}<extra></extra>",
            }
        )
    return Chart(
        name="winners",
        title="The winner of each study",
        description=f"Best seen and confirmed {unit.name} of "
        f"{count_noun(len(lines), 'study', 'studies')}.",
        figure=figure(
            traces,
            xaxis=axis(unit.axis),
            yaxis=axis(
                "",
                tickmode="array",
                tickvals=rows,
                ticktext=[in_chart(cut_middle(line.study)) for line in lines],
                range=[-0.6, len(lines) - 0.4],
                showgrid=False,
                zeroline=False,
            ),
            showlegend=True,
        ),
        height=150 + 34 * len(lines),
    )


def progress(contents: Sequence[StudyContent], unit: Unit) -> Chart | None:
    """Return the best so far of each study over its epochs; ``None`` if there is none."""
    traces = []
    for place, content in enumerate(contents):
        steps = content.costs.best_so_far
        if not steps:
            continue
        end = content.costs.ended[-1].epochs
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": in_chart(cut_middle(content.name)),
                "x": [*(step.epochs for step in steps), end],
                "y": [unit.scaled(value) for value in [*(s.value for s in steps), steps[-1].value]],
                "line": {
                    "color": var(SERIES[place % len(SERIES)]),
                    "dash": DASHES[place % len(DASHES)],
                    "width": 2.2,
                    "shape": "hv",
                },
                "hovertemplate": "%{y} after %{x} epochs",
            }
        )
    if not traces:
        return None
    return Chart(
        name="progress",
        title="Best so far of each study",
        description=f"The best {unit.name} so far over the epochs of "
        f"{count_noun(len(traces), 'study', 'studies')}.",
        figure=figure(
            traces,
            xaxis=axis("Epochs of the study", rangemode="tozero"),
            yaxis=axis(unit.axis),
            showlegend=True,
        ),
        height=380,
    )
