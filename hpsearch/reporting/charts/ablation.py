"""The effects that an ablation measured: a row for each comparison, with its interval."""

from __future__ import annotations

from hpsearch.formatting import count_noun
from hpsearch.reporting.blocks import Chart, Column, Table
from hpsearch.reporting.charts.style import VERDICT_COLOURS, Trace, axis, figure
from hpsearch.reporting.labels import Unit, in_chart
from hpsearch.reporting.palette import var
from hpsearch.results.ablation.judging import AblationResult, Effect
from hpsearch.results.ablation.sentences import (
    effect_name,
    effect_result,
    setting_names,
    settings,
)
from hpsearch.study_file.space import format_value

#: Most characters of a comparison's name beside the chart.
_LONGEST = 64

#: Most characters of what is shown for a point.
_HOVER = 200


def ablation(result: AblationResult, unit: Unit, place: int) -> Chart | None:
    """Return the effects of one ablation, the first comparison on top.

    Args:
        result: The ablation's result.
        unit: Unit of the objective.
        place: Index of the chart, for its name.

    Returns:
        The chart; ``None`` before anything can be compared.
    """
    comparisons = [(effect, effect.ahead) for effect in result.effects if effect.ahead is not None]
    if not comparisons:
        return None
    scale = 100.0 if unit.is_share else 1.0
    order = list(reversed(comparisons))
    traces: list[Trace] = [
        {
            "type": "scatter",
            "mode": "lines",
            "x": [scale * ahead.low, scale * ahead.high],
            "y": [row, row],
            "line": {"color": var(VERDICT_COLOURS[effect.answer]), "width": 4},
            "opacity": 0.5,
            "hoverinfo": "skip",
        }
        for row, (effect, ahead) in enumerate(order)
    ]
    traces.append(
        {
            "type": "scatter",
            "mode": "markers",
            "x": [scale * ahead.estimate for _, ahead in order],
            "y": list(range(len(order))),
            "marker": {
                "symbol": "circle",
                "size": 9,
                "color": [var(VERDICT_COLOURS[effect.answer]) for effect, _ in order],
            },
            "hovertext": [in_chart(_whole(effect, result), _HOVER) for effect, _ in order],
            "hoverinfo": "text",
        }
    )
    ends = [scale * end for _, ahead in comparisons for end in (ahead.low, ahead.high)]
    room = 0.05 * (max(*ends, 0.0) - min(*ends, 0.0)) or 1.0
    names = [in_chart(_label(effect, result), _LONGEST) for effect, _ in order]
    what = "points of " if unit.is_share else ""
    return Chart(
        name=f"ablation-{place}",
        title=_title(result),
        description=f"{count_noun(len(comparisons), 'comparison')} with intervals; right of 0 is "
        "better. " + "; ".join(_whole(effect, result) for effect, _ in comparisons),
        figure=figure(
            traces,
            xaxis=axis(
                f"\u2190 worse   {what}{unit.name}   better \u2192",
                range=[min(*ends, 0.0) - room, max(*ends, 0.0) + room],
                zeroline=False,
            ),
            shapes=[
                {
                    "type": "line",
                    "x0": 0,
                    "x1": 0,
                    "yref": "paper",
                    "y0": 0,
                    "y1": 1,
                    "line": {"color": var("ink"), "width": 1, "dash": "dot"},
                }
            ],
            yaxis=axis(
                "",
                tickmode="array",
                tickvals=list(range(len(order))),
                ticktext=names,
                range=[-0.6, len(order) - 0.4],
                showgrid=False,
                zeroline=False,
                automargin=True,
            ),
        ),
        height=110 + 28 * len(order),
        note="Blue: yes, it differs. Grey: no, the difference is smaller than what counts. "
        "Any other colour: undecided.",
        table=Table(
            caption="What each change is worth",
            columns=[
                Column(label="change"),
                Column(label="effect (interval): does it differ?"),
                Column(label="seeds", numeric=True),
            ],
            rows=[
                [
                    effect_name(effect, result.spec),
                    effect_result(effect, result.spec),
                    str(effect.seeds),
                ]
                for effect in result.effects
            ],
        ),
    )


def _label(effect: Effect, result: AblationResult) -> str:
    """Return a comparison's name beside the chart: at a place, without the parameter's name."""
    contrast = effect.contrast
    if not contrast.at:
        return effect_name(effect, result.spec)
    change = f"{format_value(contrast.level)} instead of {format_value(contrast.base)}"
    return f"{change}: {settings(contrast.at, result.spec)}"


def _title(result: AblationResult) -> str:
    """Return the chart's title, which names the parameter if all comparisons change the same."""
    paths = {effect.contrast.parameter for effect in result.effects}
    if len(paths) > 1 or not result.effects[0].contrast.at:
        return "What each change is worth"
    return f"What {setting_names(paths, result.spec)} is worth"


def _whole(effect: Effect, result: AblationResult) -> str:
    return f"{effect_name(effect, result.spec)}: {effect_result(effect, result.spec)}"
