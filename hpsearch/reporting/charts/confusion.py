"""Which classes are mistaken for which, and how two finalists differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hpsearch.formatting import count_noun, in_percent
from hpsearch.metrics import SHARE
from hpsearch.reporting.analysis.matrices import Matrix, Versus
from hpsearch.reporting.blocks import Chart, Column, Table
from hpsearch.reporting.charts.style import axis, figure
from hpsearch.reporting.labels import in_chart
from hpsearch.reporting.palette import var

#: Largest number of classes for which cells have a number, also on a phone.
_WRITTEN = 25
#: With more classes, a phone has room for the first letters of a name only.
_FEW = 12
#: Pixels: the width of a phone's column, and of its names.
_PHONE, _NAMES, _SHORT_NAMES = 362, 84, 46


def confusion(
    matrix: Matrix, names: Sequence[str], *, subject: str, name: str = "confusion"
) -> Chart:
    """Return a matrix, each row in percent of its class's images.

    Args:
        matrix: The matrix.
        names: Class names, in the order of the matrix.
        subject: Description of the trainings, for the title.
        name: Name of the chart.
    """
    labels = [in_chart(name, 14) for name in names]
    shares = matrix.shares
    cells = [[None if cell is None else in_percent(cell, 1) for cell in row] for row in shares]
    size = len(names)
    has_numbers = size <= _WRITTEN
    trace = {
        "type": "heatmap",
        "z": cells,
        "x": list(range(size)),
        "y": list(range(size)),
        "zmin": 0,
        "zmax": 100,
        "colorscale": [[0, var("heat-0")], [1, var("heat-1")]],
        "xgap": 1,
        "ygap": 1,
        # Numbers need no scale beside them
        "showscale": not has_numbers,
        "colorbar": {
            "title": {"text": "% of the class", "side": "right"},
            "thickness": 12,
            "outlinewidth": 0,
        },
        "hovertext": [
            [
                f"{labels[row]} predicted as {labels[column]}: {count} of {sum(counts)}"
                for column, count in enumerate(counts)
            ]
            for row, counts in enumerate(matrix.counts)
        ],
        "hoverinfo": "text",
        "hoverongaps": False,
    }
    annotations = [
        {
            "x": column,
            "y": row,
            "text": f"{cell:.0f}",
            "showarrow": False,
            "font": {
                "size": 11 if size <= _FEW else 10,
                "color": var("page" if cell > 55 else "ink"),
            },
        }
        for row, line in enumerate(cells)
        for column, cell in enumerate(line)
        if cell is not None and (cell >= 0.5 or row == column) and has_numbers
    ]
    ticks = {"tickmode": "array", "tickvals": list(range(size)), "ticktext": labels}
    return Chart(
        name=name,
        title=f"Confusion matrix of {subject}, in % of each true class",
        description=f"Confusion matrix over {count_noun(size, 'class', 'classes')}; the table has "
        "its values.",
        figure=figure(
            [trace],
            xaxis=axis("Predicted class", showgrid=False, zeroline=False, tickangle=-40, **ticks),
            yaxis=axis("True class", showgrid=False, zeroline=False, autorange="reversed", **ticks),
            annotations=annotations,
            margin={"l": 90, "r": 10, "t": 10, "b": 90},
            meta={"narrow": {"l": _room(size), "r": 2, "t": 2, "b": 4}, "phone": _phone(names)},
        ),
        height=min(720, 240 + 34 * size),
        max_width=min(860, 200 + 42 * size),
        table=Table(
            caption="Images by true class (rows) and predicted class",
            columns=[
                Column(label="true class"),
                *(Column(label=in_chart(name, 20), title=name, numeric=True) for name in names),
            ],
            rows=[
                [name, *(f"{count:,}" for count in counts)]
                for name, counts in zip(names, matrix.counts, strict=True)
            ],
            visible_rows=30,
        ),
    )


def _room(size: int) -> int:
    return _NAMES if size <= _FEW else _SHORT_NAMES


def _phone(names: Sequence[str]) -> dict[str, Any]:
    """Return what differs on a phone: all classes fit its width, with their numbers."""
    size = len(names)
    few = size <= _FEW
    room = _room(size)
    cell = (_PHONE - room) / size
    labels = [in_chart(name, 12 if few else 6) for name in names]
    common = {"ticktext": labels, "tickfont": {"size": 10 if few else 9}, "ticks": ""}
    return {
        "height": round(max(300, _PHONE - room)) + room + 30,
        # "100" is less than twice as wide as its letters are high
        "numbers": round(max(6, min(11, cell / 1.93)), 1),
        "xaxis": {**common, "tickangle": -90},
        "yaxis": {**common, "title": {"text": ""}, "automargin": False},
    }


def class_differences(versus: Versus) -> Chart | None:
    """Return the winner's lead in each class's recall; ``None`` if it isn't known."""
    differences = [difference for difference in versus.classes if difference.ahead is not None]
    if not differences:
        return None
    order = sorted(
        differences, key=lambda difference: difference.ahead.estimate if difference.ahead else 0.0
    )
    estimates, above, below, colours, texts = [], [], [], [], []
    for difference in order:
        ahead = difference.ahead
        if ahead is None:
            continue
        estimates.append(in_percent(ahead.estimate))
        above.append(in_percent(ahead.high - ahead.estimate))
        below.append(in_percent(ahead.estimate - ahead.low))
        sure = ahead.excludes(0.0)
        colours.append(var(("better" if ahead.estimate > 0 else "worse") if sure else "faint"))
        texts.append(
            f"{in_chart(difference.name)}: {SHARE.difference(ahead.estimate)} "
            f"({SHARE.differences(ahead.low, ahead.high)})"
        )
    grouped = any(difference.groups is not None for difference in differences)
    title = f"Trial {versus.trial} against trial {versus.other}: recall by class"
    return Chart(
        name=f"classes-against-{versus.other}",
        title=title,
        description=f"Difference of recall in points for {len(differences)} classes, with "
        "intervals.",
        figure=figure(
            [
                {
                    "type": "scatter",
                    "mode": "markers",
                    "y": list(range(len(order))),
                    "x": estimates,
                    "error_x": {
                        "type": "data",
                        "symmetric": False,
                        "array": above,
                        "arrayminus": below,
                        "color": var("soft"),
                        "thickness": 1.4,
                        "width": 4,
                    },
                    "marker": {"color": colours, "size": 9, "symbol": "diamond"},
                    "hovertext": texts,
                    "hoverinfo": "text",
                }
            ],
            xaxis=axis(
                "Points; to the right of 0 the winner is better", zeroline=True, zerolinewidth=2
            ),
            yaxis=axis(
                "",
                tickmode="array",
                tickvals=list(range(len(order))),
                ticktext=[in_chart(difference.name, 16) for difference in order],
                showgrid=False,
                zeroline=False,
            ),
        ),
        height=110 + 26 * len(order),
        note=(
            f"Over {count_noun(versus.seeds, 'seed')}{' and groups of images' if grouped else ''}; "
            "the intervals are valid for all classes at once. Coloured: those that exclude 0."
        ),
        table=Table(
            caption=title,
            columns=[
                Column(label="class"),
                Column(label="images", numeric=True),
                *([Column(label="groups", numeric=True)] if grouped else []),
                Column(label="ahead by", numeric=True),
                Column(label="95 % interval", numeric=True),
            ],
            rows=[
                [
                    difference.name,
                    f"{difference.images:,}",
                    *([f"{difference.groups:,}" if difference.groups else "-"] if grouped else []),
                    SHARE.difference(difference.ahead.estimate),
                    SHARE.differences(difference.ahead.low, difference.ahead.high),
                ]
                for difference in reversed(order)
                if difference.ahead is not None
            ],
        ),
    )
