"""Each parameter's share of the objective's variation."""

from __future__ import annotations

from hpsearch.formatting import format_percent, format_percent_range, in_percent
from hpsearch.reporting.analysis.importances import Group
from hpsearch.reporting.blocks import Chart, Column, Table
from hpsearch.reporting.charts.style import axis, figure
from hpsearch.reporting.labels import cut, in_chart
from hpsearch.reporting.palette import var


def importance_chart(group: Group, title: str, place: int) -> Chart | None:
    """Return one group's shares as bars, the largest on top.

    Args:
        group: The group.
        title: Title of the chart.
        place: Index of the chart, for its name.

    Returns:
        The chart; ``None`` if there are no shares.
    """
    shares = group.importances
    if not shares:
        return None
    upside_down = list(reversed(shares))
    trace = {
        "type": "bar",
        "orientation": "h",
        "y": list(range(len(shares))),
        "x": [in_percent(importance.share) for importance in upside_down],
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [
                in_percent(max(0.0, importance.high - importance.share))
                for importance in upside_down
            ],
            "arrayminus": [
                in_percent(max(0.0, importance.share - importance.low))
                for importance in upside_down
            ],
            "color": var("ink"),
            "thickness": 1.4,
            "width": 4,
        },
        "marker": {"color": var("series-1"), "opacity": 0.8},
        "hovertext": [
            f"{in_chart(importance.parameter, 60)}: {format_percent(importance.share)} "
            f"({format_percent_range(importance.low, importance.high)})"
            for importance in upside_down
        ],
        "hoverinfo": "text",
    }
    return Chart(
        name=f"importances-{place}",
        title=title,
        description=f"Bars of the importance of {len(shares)} parameters; the most important is "
        f"{shares[0].name} with {format_percent(shares[0].share)}.",
        figure=figure(
            [trace],
            xaxis=axis("Share (%)", rangemode="tozero"),
            yaxis=axis(
                "",
                tickmode="array",
                tickvals=list(range(len(shares))),
                ticktext=[in_chart(importance.name, 24) for importance in upside_down],
                showgrid=False,
            ),
        ),
        height=90 + 30 * len(shares),
        table=Table(
            caption=title,
            columns=[
                Column(label="parameter"),
                Column(label="share", numeric=True),
                Column(label="95 % of resamples", numeric=True),
            ],
            rows=[
                [
                    cut(importance.parameter, 80),
                    format_percent(importance.share, 1),
                    format_percent_range(importance.low, importance.high, 1),
                ]
                for importance in shares
            ],
        ),
    )
