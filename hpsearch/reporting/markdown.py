"""The report as Markdown. Text from outside is escaped: it can't add a link, HTML or a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from hpsearch.reporting.blocks import (
    Block,
    Chart,
    Charts,
    Commands,
    Facts,
    Folded,
    Pictures,
    Report,
    Section,
    Stages,
    Table,
    Text,
    Tiles,
)
from hpsearch.results.markdown import block as code_block
from hpsearch.results.markdown import inline, plain, table

#: Rows of a long table; the CSV has all.
_ROWS = 50


def markdown(report: Report, figures: Mapping[str, str]) -> str:
    """Return the report. ``figures``: anchor of a study and name of a chart -> its image file."""
    lines = [f"# {inline(report.title)}", f"Made {inline(report.byline)}."]
    alone = len(report.studies) == 1
    if report.comparison is not None:
        lines += _section(report.comparison, "all", 2, figures)
    for study in report.studies:
        if not alone:
            lines.append(f"## {inline(study.name)}")
        if study.description:
            lines.append(plain(study.description))
        for section in study.sections:
            lines += _section(section, study.anchor, 2 if alone else 3, figures)
    return "\n\n".join(lines) + "\n"


def _section(
    section: Section, anchor: str, level: int, figures: Mapping[str, str]
) -> Iterator[str]:
    yield f"{'#' * level} {inline(section.title)}"
    for block in section.blocks:
        yield from _block(block, anchor, level, figures)


def _block(block: Block, anchor: str, level: int, figures: Mapping[str, str]) -> Iterator[str]:
    match block:
        case Text(style="heading"):
            yield f"{'#' * (level + 1)} {inline(block.text)}"
        case Text(style="warning" | "lead"):
            yield f"**{inline(block.text)}**"
        case Text():
            yield plain(block.text)
        case Tiles():
            yield "\n".join(
                f"- {inline(tile.label)}: **{inline(tile.value)}**"
                + (f" ({inline(tile.detail)})" if tile.detail else "")
                + (f" **{inline(tile.alarm)}**" if tile.alarm else "")
                for tile in block.tiles
            )
        case Facts():
            yield table(("", ""), block.facts)
        case Stages():
            for chain in block.chains:
                stages = (f"**{inline(stage.name)}** ({inline(stage.detail)})" for stage in chain)
                yield " → ".join(stages)
        case Commands():
            yield code_block("\n".join(block.lines))
        case Pictures():
            yield table(
                ("picture", "", ""),
                ([*picture.lines, "", ""][:3] for picture in block.pictures),
            )
        case Table():
            yield from _table(block)
        case Chart():
            yield from _chart(block, anchor, figures)
        case Folded():
            yield plain(block.summary)
            for inside in block.blocks:
                yield from _block(inside, anchor, level, figures)
        case Charts(strip=True):
            # The table beside a strip has its numbers
            names = ", ".join(chart.title for chart in block.charts)
            yield from _picture(figures.get(f"{anchor}-{block.name}"), names)
        case Charts():
            yield from _picture(figures.get(f"{anchor}-{block.name}"), block.name)
            for chart in block.charts:
                yield from _chart(chart, anchor, figures)


def _chart(chart: Chart, anchor: str, figures: Mapping[str, str]) -> Iterator[str]:
    yield f"**{inline(chart.title)}**"
    yield from _picture(figures.get(f"{anchor}-{chart.name}"), chart.description)
    if chart.note:
        yield plain(chart.note)
    if chart.table is not None:
        yield from _table(chart.table)


def _picture(path: str | None, description: str) -> Iterator[str]:
    if path is not None:
        yield f"![{inline(description)}]({path})"


def _table(block: Table) -> Iterator[str]:
    yield table([column.title or column.label for column in block.columns], block.rows[:_ROWS])
    if len(block.rows) > _ROWS:
        yield f"({_ROWS} of {len(block.rows):,} rows; the CSV file has all.)"
