"""Several studies side by side, such as the stages of a staged search."""

from __future__ import annotations

from collections.abc import Sequence

from hpsearch.formatting import count_noun
from hpsearch.reporting.analysis.comparison import Comparison, Line
from hpsearch.reporting.blocks import (
    Block,
    Column,
    Commands,
    Facts,
    Section,
    Stage,
    Stages,
    Table,
    Text,
)
from hpsearch.reporting.charts.studies import progress, winners
from hpsearch.reporting.content import StudyContent
from hpsearch.reporting.labels import COMPUTE, Unit, params_line, sentence


def studies(comparison: Comparison, contents: Sequence[StudyContent]) -> Section:
    """Return the studies' winners, and which others can be distinguished from the leader."""
    lines = comparison.lines
    metrics = {line.metric for line in lines}
    blocks: list[Block] = []
    if len(metrics) == 1:
        blocks.append(Text(text=_result(comparison), style="lead"))
    blocks.append(Text(text=sentence(comparison.note) + ".", style="note"))
    chains = _chains(lines)
    if chains:
        blocks.append(Text(text="Which study starts from which", style="heading"))
        blocks.append(Stages(chains=chains))
    if len(metrics) == 1:
        unit = Unit(metrics.pop())
        charts = (winners(comparison, unit), progress(contents, unit))
        blocks += [chart for chart in charts if chart is not None]
    blocks.append(_table(comparison))
    settings = [(line.study, params_line(line.params)) for line in lines if line.params]
    if settings:
        blocks.append(Text(text="Settings of each study's winner", style="heading"))
        blocks.append(Facts(facts=settings))
    unconfirmed = [line for line in lines if line.confirmed is None and line.best_seen is not None]
    if unconfirmed:
        blocks.append(
            Commands(
                label="Confirm the winners that aren't confirmed",
                lines=[f"hpsearch confirm --study {line.study}" for line in unconfirmed],
            )
        )
    return Section(name="studies", title="Studies side by side", blocks=blocks)


def _result(comparison: Comparison) -> str:
    by_name = {line.study: line for line in comparison.lines}
    if comparison.leader is None:
        confirmed = sum(line.confirmed is not None for line in comparison.lines)
        return (
            f"None of them leads: {confirmed or 'none'} of "
            f"{count_noun(len(by_name), 'study', 'studies')} {'is' if confirmed else 'are'} "
            "confirmed, and two are needed."
        )
    leader = by_name[comparison.leader]
    unit = Unit(leader.metric)
    distances = [
        f"{rival.study} is {unit.width(rival.behind.estimate)} behind (95 %: "
        f"{unit.differences(rival.behind.low, rival.behind.high)})"
        + ("" if rival.distinguishable else ", which chance may explain")
        for rival in comparison.rivals
    ]
    sure = all(rival.distinguishable for rival in comparison.rivals)
    begin = f"{leader.study} leads" if sure else f"{leader.study} has the best confirmed value"
    return f"{begin}: {_value(leader)}. {'; '.join(distances)}."


def _value(line: Line) -> str:
    """Return the value of a study's winner, and how reliable it is."""
    unit, interval = Unit(line.metric), line.confirmed
    if interval is not None:
        return (
            f"{unit.value(interval.estimate)} confirmed "
            f"(95 %: {unit.interval((interval.low, interval.high))})"
        )
    if line.best_seen is not None:
        return f"{unit.value(line.best_seen)} best seen, not confirmed"
    return "no complete trial"


def _chains(lines: Sequence[Line]) -> list[list[Stage]]:
    """Return each last stage with all that it starts from; none if no study starts from another."""
    by_name = {line.study: line for line in lines}
    before = {line.study: line.starts_from for line in lines}
    chains = []
    for last in lines:
        if last.study in before.values():
            continue
        names: list[str] = []
        name: str | None = last.study
        while name is not None and name not in names:
            names.insert(0, name)
            name = before.get(name)
        chains.append(names)
    return [
        [
            Stage(name=name, detail=_value(by_name[name]) if name in by_name else "not shown here")
            for name in names
        ]
        for names in chains
        if len(names) > 1
    ]


def _table(comparison: Comparison) -> Table:
    rows = []
    for line in comparison.lines:
        unit, interval = Unit(line.metric), line.confirmed
        rows.append(
            [
                line.study,
                unit.name,
                f"{line.complete} of {line.trials}",
                unit.value(line.best_seen),
                "-" if interval is None else unit.value(interval.estimate),
                "-" if interval is None else unit.interval((interval.low, interval.high)),
                f"{line.epochs + line.confirmation_epochs:,}",
                COMPUTE.value(3600 * line.hours),
            ]
        )
    return Table(
        caption=count_noun(len(rows), "study", "studies"),
        columns=[
            Column(label="study"),
            Column(label="objective"),
            Column(label="complete", numeric=True),
            Column(label="best seen", numeric=True),
            Column(label="confirmed", numeric=True),
            Column(label="95 % interval", numeric=True),
            Column(label="epochs", title="with those of the confirmation", numeric=True),
            Column(label="compute", title="of the search", numeric=True),
        ],
        rows=rows,
        marked=frozenset(
            place for place, line in enumerate(comparison.lines) if line.study == comparison.leader
        ),
        sortable=True,
    )
