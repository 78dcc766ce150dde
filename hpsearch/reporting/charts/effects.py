"""The effect of each parameter on the objective, and the pairs that depend on each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hpsearch.reporting.analysis.findings import Effect, Interaction, Level
from hpsearch.reporting.blocks import Chart, Charts, Column, Table
from hpsearch.reporting.charts.style import VERDICT_COLOURS, axis, figure
from hpsearch.reporting.labels import Unit, cut, in_chart
from hpsearch.reporting.palette import DASHES, SERIES, SYMBOLS, var

#: Largest number of distinguishable lines of a pair.
_LINES = len(SERIES)
#: Longer labels of levels are rotated.
_LONG = 14


def effect_chart(effect: Effect, unit: Unit, place: int) -> Chart | None:
    """Return one parameter's means with their intervals.

    Args:
        effect: The parameter's effect.
        unit: Unit of the objective.
        place: Index of the chart, for its name.

    Returns:
        The chart; ``None`` if there is no estimate.
    """
    if not effect.levels:
        return None
    levels = effect.levels
    labels = [in_chart(level.label, 28) for level in levels]
    return Chart(
        name=f"effect-{place}",
        title=f"{cut(effect.name)}: {effect.verdict}",
        description=f"Mean {unit.name} with its 95 % interval by {effect.name}. {effect.sentence}",
        figure=figure(
            [_means(effect, unit)],
            xaxis=_levels_axis(labels),
            yaxis=axis(unit.axis, title={"font": {"size": 12}}),
            margin={"l": 60, "r": 10, "t": 6, "b": 40},
        ),
        height=250,
        note=effect.sentence,
        table=Table(
            caption=f"{unit.name} by {effect.name}",
            columns=[
                Column(label=cut(effect.name), title=effect.parameter),
                Column(label="mean", numeric=True),
                Column(label="95 % interval", numeric=True),
                Column(label="trials", numeric=True),
                Column(label="complete", numeric=True),
            ],
            rows=[
                [
                    level.label,
                    unit.value(level.mean),
                    unit.interval((level.low, level.high)),
                    str(level.trials),
                    str(level.complete),
                ]
                for level in levels
            ],
        ),
    )


def effect_strip(effects: Sequence[Effect], unit: Unit) -> Charts | None:
    """Return very small charts of several parameters with one axis, which can be compared.

    Args:
        effects: The effects; those without an estimate are left out.
        unit: Unit of the objective.

    Returns:
        The charts; ``None`` if there is no estimate.
    """
    drawable = [effect for effect in effects if effect.levels]
    if not drawable:
        return None
    ends = [
        end
        for effect in drawable
        for level in effect.levels
        for bound in (level.low, level.high)
        if (end := unit.scaled(bound)) is not None
    ]
    margin = 0.05 * (max(ends) - min(ends)) if ends else 0.0
    span = {"range": [min(ends) - margin, max(ends) + margin]} if ends else {}
    small = {"l": 36, "r": 6, "t": 4, "b": 18}
    return Charts(
        name="undecided",
        strip=True,
        charts=[
            Chart(
                name=f"undecided-{place}",
                title=cut(effect.name),
                description=f"Mean {unit.name} with its 95 % interval by {effect.name}. "
                f"{effect.sentence}",
                figure=figure(
                    [_means(effect, unit)],
                    xaxis=_levels_axis(
                        [in_chart(level.label, 8) for level in effect.levels],
                        font=9,
                    ),
                    yaxis=axis("", nticks=4, tickfont={"size": 9}, **span),
                    margin=small,
                    meta={"narrow": small},
                ),
                height=130,
            )
            for place, effect in enumerate(drawable)
        ],
    )


def _means(effect: Effect, unit: Unit) -> dict[str, Any]:
    """Return one parameter's means and intervals as a trace."""
    levels, colour = effect.levels, var(VERDICT_COLOURS[effect.verdict])
    return {
        "type": "scatter",
        "mode": "markers" if effect.scale == "categories" else "lines+markers",
        "x": list(range(len(levels))),
        "y": [unit.scaled(level.mean) for level in levels],
        "error_y": _bars(levels, unit, colour),
        "marker": {
            "color": colour,
            "size": 9,
            "symbol": ["star" if level.label == effect.best else "circle" for level in levels],
        },
        "line": {"color": colour, "width": 1.5},
        "hovertext": [
            f"{in_chart(level.label, 28)}: {unit.value(level.mean)} "
            f"({unit.interval((level.low, level.high))})"
            f"<br>{level.trials} trials, {level.complete} complete"
            for level in levels
        ],
        "hoverinfo": "text",
    }


def interaction_chart(pair: Interaction, unit: Unit, place: int) -> Chart | None:
    """Return the means of one parameter at each level of another, with a line per level.

    Args:
        pair: The interaction.
        unit: Unit of the objective.
        place: Index of the chart, for its name.

    Returns:
        The chart; ``None`` if there is no estimate.
    """
    cells = {(cell.a, cell.b): cell for cell in pair.cells}
    if not cells or not any(cell.mean is not None for cell in pair.cells):
        return None
    traces = []
    count = min(len(pair.b_labels), _LINES)
    for index, b in enumerate(pair.b_labels[:_LINES]):
        row = [cells.get((a, b)) for a in pair.a_labels]
        points = [
            (at, cell) for at, cell in enumerate(row) if cell is not None and cell.mean is not None
        ]
        shift = (index - (count - 1) / 2) * 0.08
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": in_chart(b, 26),
                "x": [at + shift for at, _ in points],
                "y": [unit.scaled(cell.mean) for _, cell in points],
                "error_y": _bars([cell for _, cell in points], unit, var(SERIES[index])),
                "marker": {"color": var(SERIES[index]), "size": 8, "symbol": SYMBOLS[index]},
                "line": {"color": var(SERIES[index]), "width": 1.6, "dash": DASHES[index]},
                "hovertext": [
                    f"{in_chart(pair.a_name)} {in_chart(cell.a)}, {in_chart(pair.b_name)} "
                    f"{in_chart(cell.b)}: {unit.value(cell.mean)}<br>{cell.trials} trials"
                    for _, cell in points
                ],
                "hoverinfo": "text",
            }
        )
    names = f"{cut(pair.a_name)} with {cut(pair.b_name)}"
    return Chart(
        name=f"pair-{place}",
        title=f"{names}: {pair.verdict}",
        description=f"Mean {unit.name} by {pair.a_name}, a line for each {pair.b_name}. "
        f"{pair.sentence}",
        figure=figure(
            traces,
            xaxis=_levels_axis(
                [in_chart(label, 28) for label in pair.a_labels], in_chart(pair.a_name)
            ),
            yaxis=axis(unit.axis, title={"font": {"size": 12}}),
            showlegend=True,
            legend={"title": {"text": in_chart(pair.b_name)}},
        ),
        height=330,
        note=pair.sentence,
        table=Table(
            caption=f"{unit.name} by {pair.a_name} and {pair.b_name}",
            columns=[
                Column(label=cut(pair.a_name), title=pair.a),
                Column(label=cut(pair.b_name), title=pair.b),
                Column(label="mean", numeric=True),
                Column(label="95 % interval", numeric=True),
                Column(label="trials", numeric=True),
            ],
            rows=[
                [
                    cell.a,
                    cell.b,
                    unit.value(cell.mean),
                    "-"
                    if cell.low is None or cell.high is None
                    else unit.interval((cell.low, cell.high)),
                    str(cell.trials),
                ]
                for cell in pair.cells
            ],
        ),
    )


def _bars(levels: Sequence[Level | Any], unit: Unit, colour: str) -> dict[str, Any]:
    def distance(one: float | None, other: float | None) -> float | None:
        first, second = unit.scaled(one), unit.scaled(other)
        return None if first is None or second is None else abs(first - second)

    return {
        "type": "data",
        "symmetric": False,
        "array": [distance(level.high, level.mean) for level in levels],
        "arrayminus": [distance(level.mean, level.low) for level in levels],
        "color": colour,
        "thickness": 1.6,
        "width": 4,
    }


def _levels_axis(
    labels: Sequence[str], title: str = "", *, font: int | None = None
) -> dict[str, Any]:
    # The two ends of a bin are on two lines
    labels = [label.replace(" to ", "<br>to ") for label in labels]
    lines = [line for label in labels for line in label.split("<br>")]
    askew = len(labels) > 2 and max(map(len, lines)) > _LONG
    return axis(
        title,
        tickmode="array",
        tickvals=list(range(len(labels))),
        ticktext=list(labels),
        range=[-0.5, len(labels) - 0.5],
        showgrid=False,
        zeroline=False,
        tickangle=-30 if askew else 0,
        **({} if font is None else {"tickfont": {"size": font}}),
    )
