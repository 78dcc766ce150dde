"""Parameters: importances, effects, pairs, and the objective against costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hpsearch.formatting import count_noun, first_few
from hpsearch.reporting.analysis.findings import Contrast, Effect, Effects
from hpsearch.reporting.blocks import (
    Block,
    Charts,
    Column,
    Facts,
    Folded,
    Section,
    Table,
    Text,
)
from hpsearch.reporting.charts.effects import effect_chart, effect_strip, interaction_chart
from hpsearch.reporting.charts.importances import importance_chart
from hpsearch.reporting.charts.tradeoffs import COSTS, tradeoff
from hpsearch.reporting.content import StudyContent
from hpsearch.reporting.labels import Unit, cut, name_of, sentence
from hpsearch.results.verdicts import Verdict

#: Largest number of parameters with a chart; the table has all.
_EFFECTS_DRAWN = 16

#: Undecided parameters that the sentence about them names.
_NAMED = 12


def importances(content: StudyContent) -> Section:
    """Return shares of importance, a chart for each group of trials that share parameters."""
    summary = content.importances
    blocks: list[Block] = []
    charts = []
    reasons = []
    for place, group in enumerate(summary.groups):
        where = _where(group.branch)
        title = f"{where or 'All trials'} ({count_noun(group.trials, 'trial')})"
        chart = importance_chart(group, title, place)
        if chart is not None:
            charts.append(chart)
        elif group.reason is not None:
            reasons.append(f"{where or 'All trials'}: {group.reason}.")
    if charts:
        blocks.append(
            Text(
                text="An importance is the share of the objective's variation that a parameter "
                "explains. It has no direction: Effects shows which value to choose.",
                style="note",
            )
        )
        blocks.append(Charts(name="importances", charts=charts))
        blocks.append(Text(text=f"{summary.evaluator}, {summary.note}.", style="note"))
    blocks += [Text(text=sentence, style="note" if charts else "plain") for sentence in reasons]
    if not blocks:
        blocks.append(Text(text="No parameter was searched, or no trial has begun."))
    return Section(name="importances", title="Importances", blocks=blocks)


def effects(content: StudyContent) -> Section:
    """Return what is decided about parameters and pairs; what isn't is folded away."""
    summary, unit, title = content.effects, content.unit, "Effects"
    if summary.reason is not None or not summary.effects:
        why = summary.reason or "No parameter was searched."
        text = sentence(f"{why.rstrip('.')}.")
        return Section(name="effects", title=title, blocks=[Text(text=text)])
    decided = [effect for effect in summary.effects if effect.verdict is not Verdict.UNDECIDED]
    undecided = [effect for effect in summary.effects if effect.verdict is Verdict.UNDECIDED]
    pairs = [pair for pair in summary.interactions if pair.verdict is not Verdict.UNDECIDED]
    blocks: list[Block] = []
    if decided:
        blocks.append(_effects_table(decided, unit, "Parameters that are decided"))
        charts = [
            chart
            for place, effect in enumerate(decided[:_EFFECTS_DRAWN])
            if (chart := effect_chart(effect, unit, place)) is not None
        ]
        blocks.append(Text(text="Marginal means with 95 % intervals", style="heading"))
        blocks.append(Charts(name="effects", charts=charts))
    pair_charts = [
        chart
        for place, pair in enumerate(pairs)
        if (chart := interaction_chart(pair, unit, place)) is not None
    ]
    if pair_charts:
        blocks.append(Text(text="Pairs that depend on each other", style="heading"))
        blocks.append(Charts(name="pairs", charts=pair_charts))
    blocks += _undecided_blocks(summary, undecided, unit)
    blocks.append(Text(text=_basis(summary, unit), style="note"))
    return Section(name="effects", title=title, blocks=blocks)


def _undecided_blocks(summary: Effects, undecided: Sequence[Effect], unit: Unit) -> list[Block]:
    """Return one sentence, with a strip of small charts and the numbers folded below it."""
    pairs = [pair for pair in summary.interactions if pair.verdict is Verdict.UNDECIDED]
    if not undecided and not pairs:
        return []
    names = first_few([cut(effect.name) for effect in undecided], _NAMED) or "no single parameter"
    examined = count_noun(summary.examined_pairs, "pair")
    text = f"Undecided: {names}"
    if pairs:
        text += f"; and whether any of {examined} of parameters depend on each other"
    inside: list[Block] = []
    strip = effect_strip(undecided, unit)
    if strip is not None:
        inside.append(strip)
    table = _effects_table(undecided, unit, "Parameters that are undecided")
    if table.rows:
        inside.append(table)
    facts = [
        (effect.name, sentence(effect.reason)) for effect in undecided if effect.reason is not None
    ]
    facts += [(f"{cut(pair.a_name)}, {cut(pair.b_name)}", pair.sentence) for pair in pairs]
    if facts:
        inside.append(Facts(facts=facts))
    return [
        Folded(
            summary=f"{text}. The trials are too few, or the differences too small.", blocks=inside
        )
    ]


def _basis(summary: Effects, unit: Unit) -> str:
    text = (
        f"Estimated from {count_noun(summary.trials, 'trial')}: {summary.complete} complete, "
        f"{summary.foretold} stopped early (their end value is predicted from their curve), "
        f"{summary.diverged} diverged. A difference matters from {unit.width(summary.margin)} on. "
    )
    if summary.floor is not None and summary.floored:
        text += (
            f"Values worse than {unit.value(summary.floor)} count as that value "
            f"({count_noun(summary.floored, 'trial')}). "
        )
    return text + (
        "Yes: the levels differ by more than chance explains. No: every difference is smaller than "
        "that. Undecided: the data exclude neither. p values are corrected for "
        f"{count_noun(summary.examined, 'parameter')}."
    )


def _effects_table(effects: Sequence[Effect], unit: Unit, caption: str) -> Table:
    return Table(
        caption=caption,
        columns=[
            Column(label="parameter"),
            Column(label="matters?"),
            Column(label="best level"),
            Column(label="best against worst", numeric=True),
            Column(label="95 % interval", numeric=True),
            Column(label="p", title="corrected for the number of parameters", numeric=True),
        ],
        rows=[
            [
                cut(effect.name, 40) + (f" ({_where(effect.branch)})" if effect.branch else ""),
                str(effect.verdict),
                "-" if effect.best is None else cut(effect.best),
                *_span(effect.span, unit),
                "-" if effect.p_value is None else f"{effect.p_value:.2g}",
            ]
            for effect in effects
            if effect.reason is None
        ],
    )


def _span(span: Contrast | None, unit: Unit) -> tuple[str, str]:
    if span is None:
        return "-", "-"
    ahead = span.ahead
    return unit.difference(ahead.estimate), unit.differences(ahead.low, ahead.high)


def _where(branch: Mapping[str, str]) -> str:
    return ", ".join(f"{path.split('.')[-1]} {cut(option)}" for path, option in branch.items())


def tradeoffs(content: StudyContent) -> Section:
    """Return the objective against each cost that is known."""
    charts, names = [], []
    for name in COSTS:
        chart = tradeoff(content, name)
        if chart is None:
            names.append(name_of(name))
        else:
            charts.append(chart)
    blocks: list[Block] = [Charts(name="tradeoffs", charts=charts)] if charts else []
    if names:
        blocks.append(
            Text(
                text=f"Not shown: {', '.join(names)}. Fewer than two complete trials differ in "
                "it, or it wasn't recorded.",
                style="note" if charts else "plain",
            )
        )
    return Section(name="tradeoffs", title="What accuracy costs", blocks=blocks)
