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
    found = content.failures
    blocks: list[Block] = []
    if found.kinds:
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
                    for kind in found.kinds
                ],
            )
        )
    else:
        blocks.append(Text(text="No trial failed."))
    if found.out_of_memory:
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
                        str(each.number),
                        "-" if each.peak_mb is None else f"{each.peak_mb:,.0f} MB",
                        "-" if each.asked_mb is None else f"{each.asked_mb:,.0f} MB",
                        cut(params_line(each.params, content.short_names), 300),
                    ]
                    for each in found.out_of_memory
                ],
            )
        )
    if not found.infeasible:
        blocks.append(Text(text="Every drawn configuration could be built."))
        return Section(name="failures", title="Failures", blocks=blocks)
    blocks.append(
        Text(
            text=f"{count_noun(found.infeasible, 'draw')} couldn't be built; they used no budget."
            + (
                f" {found.unexplained} of them are in none of these regions."
                if found.unexplained and found.regions
                else ""
            )
        )
    )
    if found.regions:
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
                        cut(each.label, 120),
                        str(each.infeasible),
                        str(each.drawn),
                        cut(each.reason, 300),
                    ]
                    for each in found.regions
                ],
            )
        )
    return Section(name="failures", title="Failures", blocks=blocks)
