"""Each parameter's share of the objective's variation."""

from __future__ import annotations

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
        "x": [round(100 * each.share, 2) for each in upside_down],
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [round(100 * max(0.0, each.high - each.share), 2) for each in upside_down],
            "arrayminus": [round(100 * max(0.0, each.share - each.low), 2) for each in upside_down],
            "color": var("ink"),
            "thickness": 1.4,
            "width": 4,
        },
        "marker": {"color": var("series-1"), "opacity": 0.8},
        "hovertext": [
            f"{in_chart(each.parameter, 60)}: {each.share:.0%} ({each.low:.0%} to {each.high:.0%})"
            for each in upside_down
        ],
        "hoverinfo": "text",
    }
    return Chart(
        name=f"importances-{place}",
        title=title,
        description=f"Bars of the importance of {len(shares)} parameters; the most important is "
        f"{shares[0].name} with {shares[0].share:.0%}.",
        figure=figure(
            [trace],
            xaxis=axis("Share (%)", rangemode="tozero"),
            yaxis=axis(
                "",
                tickmode="array",
                tickvals=list(range(len(shares))),
                ticktext=[in_chart(each.name, 24) for each in upside_down],
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
                [cut(each.parameter, 80), f"{each.share:.1%}", f"{each.low:.1%} to {each.high:.1%}"]
                for each in shares
            ],
        ),
    )
