"""Several studies side by side, such as the stages of a staged search."""

from __future__ import annotations

from collections.abc import Sequence

from hpsearch.formatting import count_noun
from hpsearch.reporting.analysis.comparison import Comparison
from hpsearch.reporting.blocks import Block, Column, Section, Table, Text
from hpsearch.reporting.charts.studies import progress, winners
from hpsearch.reporting.content import StudyContent
from hpsearch.reporting.labels import Unit, cut, params_line, sentence


def studies(comparison: Comparison, contents: Sequence[StudyContent]) -> Section:
    """Return the studies' winners, and which others can be distinguished from the leader."""
    blocks: list[Block] = []
    if comparison.leader is not None:
        blocks.append(Text(text=f"{comparison.leader} leads. {_rivals(comparison)}", style="lead"))
    blocks.append(Text(text=sentence(comparison.note) + ".", style="note"))
    metrics = {each.metric for each in comparison.lines}
    if len(metrics) == 1:
        unit = Unit(metrics.pop())
        charts = (winners(comparison, unit), progress(contents, unit))
        blocks += [chart for chart in charts if chart is not None]
    blocks.append(_table(comparison))
    return Section(name="studies", title="Studies side by side", blocks=blocks)


def _rivals(comparison: Comparison) -> str:
    units = {each.study: Unit(each.metric) for each in comparison.lines}
    told = []
    for rival in comparison.rivals:
        unit, behind = units[rival.study], rival.behind
        if behind is None:
            continue
        sure = "" if rival.distinguishable else ", which chance may explain"
        told.append(
            f"{rival.study} is {unit.width(behind.estimate)} behind (95 %: "
            f"{unit.differences(behind.low, behind.high)}){sure}"
        )
    return "; ".join(told) + "." if told else ""


def _table(comparison: Comparison) -> Table:
    rows = []
    for each in comparison.lines:
        unit, interval = Unit(each.metric), each.confirmed
        rows.append(
            [
                each.study,
                unit.name,
                f"{each.complete} of {each.trials}",
                unit.value(each.best_seen),
                "-" if interval is None else unit.value(interval.estimate),
                "-" if interval is None else unit.interval((interval.low, interval.high)),
                f"{each.epochs + each.confirmation_epochs:,}",
                f"{each.hours:.2f} h",
                each.starts_from or "-",
                cut(params_line(each.params), 200) or "-",
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
            Column(label="epochs", numeric=True),
            Column(label="compute", numeric=True),
            Column(label="starts from"),
            Column(label="winner's settings"),
        ],
        rows=rows,
        marked=frozenset(
            place for place, each in enumerate(comparison.lines) if each.study == comparison.leader
        ),
        sortable=True,
    )
