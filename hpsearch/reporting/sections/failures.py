"""Failed trials, and draws that couldn't be built."""

from __future__ import annotations

from hpsearch.formatting import count_noun, first_few
from hpsearch.reporting.blocks import Block, Column, Section, Table, Text
from hpsearch.reporting.content import StudyContent
from hpsearch.reporting.labels import cut, params_line

#: Largest number of trials listed by number.
_LISTED = 30


def failures(content: StudyContent) -> Section:
    """Return the failed trials, and the regions that can't be built."""
    summary = content.failures
    blocks: list[Block] = []
    if summary.kinds:
        blocks.append(
            Table(
                caption="Failed trials by kind of error",
                columns=[
                    Column(label="trials", numeric=True),
                    Column(label="which"),
                    Column(label="error"),
                ],
                rows=[
                    [str(len(kind.trials)), first_few(kind.trials, _LISTED), cut(kind.error, 300)]
                    for kind in summary.kinds
                ],
            )
        )
    else:
        blocks.append(Text(text="No trial failed."))
    if summary.out_of_memory:
        blocks.append(
            Table(
                caption="Trials that ran out of memory",
                columns=[
                    Column(label="trial", numeric=True),
                    Column(label="held", numeric=True),
                    Column(label="requested", numeric=True),
                    Column(label="settings"),
                ],
                rows=[
                    [
                        str(trial.number),
                        "-" if trial.peak_mb is None else f"{trial.peak_mb:,.0f} MB",
                        "-" if trial.asked_mb is None else f"{trial.asked_mb:,.0f} MB",
                        cut(params_line(trial.params, content.short_names), 300),
                    ]
                    for trial in summary.out_of_memory
                ],
            )
        )
    if not summary.infeasible:
        blocks.append(Text(text="Every drawn configuration could be built."))
        return Section(name="failures", title="Failures", blocks=blocks)
    blocks.append(
        Text(
            text=f"{count_noun(summary.infeasible, 'draw')} couldn't be built; they used no budget."
            + (
                f" {summary.unexplained} of them are in none of these regions."
                if summary.unexplained and summary.regions
                else ""
            )
        )
    )
    if summary.regions:
        blocks.append(
            Table(
                caption="Regions of the space where no configuration can be built",
                columns=[
                    Column(label="where"),
                    Column(label="can't be built", numeric=True),
                    Column(label="draws there", numeric=True),
                    Column(label="why"),
                ],
                rows=[
                    [
                        cut(region.label, 120),
                        str(region.infeasible),
                        str(region.drawn),
                        cut(region.reason, 300),
                    ]
                    for region in summary.regions
                ],
            )
        )
    return Section(name="failures", title="Failures", blocks=blocks)
