"""The report as Markdown. Text of other people is escaped: no link, no HTML, no table of theirs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from hpsearch.results.report.blocks import (
    Block,
    Chart,
    Charts,
    Commands,
    Facts,
    Pictures,
    Report,
    Section,
    Table,
    Text,
    Tiles,
)

_SPECIAL = re.compile(r"([\\`*_\[\]<>|~$])")
#: Rows of a long table; the CSV has all.
_ROWS = 50


def markdown(report: Report, figures: Mapping[str, str]) -> str:
    """Return the report. ``figures``: anchor of a study and name of a chart -> its picture."""
    lines = [f"# {_plain(report.title)}", f"Made {_plain(report.made)}."]
    alone = len(report.studies) == 1
    if report.comparison is not None:
        lines += _section(report.comparison, "all", 2, figures)
    for study in report.studies:
        if not alone:
            lines.append(f"## {_plain(study.name)}")
        if study.description:
            lines.append(_plain(study.description))
        for section in study.sections:
            lines += _section(section, study.anchor, 2 if alone else 3, figures)
    return "\n\n".join(lines) + "\n"


def _section(
    section: Section, anchor: str, level: int, figures: Mapping[str, str]
) -> Iterator[str]:
    yield f"{'#' * level} {_plain(section.title)}"
    for block in section.blocks:
        yield from _block(block, anchor, level, figures)


def _block(block: Block, anchor: str, level: int, figures: Mapping[str, str]) -> Iterator[str]:
    match block:
        case Text(style="heading"):
            yield f"{'#' * (level + 1)} {_plain(block.text)}"
        case Text(style="warning" | "lead"):
            yield f"**{_plain(block.text)}**"
        case Text():
            yield _plain(block.text)
        case Tiles():
            yield "\n".join(
                f"- {_plain(tile.label)}: **{_plain(tile.value)}**"
                + (f" ({_plain(tile.detail)})" if tile.detail else "")
                for tile in block.tiles
            )
        case Facts():
            yield _rows(("", ""), block.facts)
        case Commands():
            fence = "`" * max(3, 1 + max((_ticks(line) for line in block.lines), default=0))
            yield "\n".join([fence, *block.lines, fence])
        case Pictures():
            yield _rows(
                ("picture", "", ""),
                ([*picture.lines, "", ""][:3] for picture in block.pictures),
            )
        case Table():
            yield from _table(block)
        case Chart():
            yield from _chart(block, anchor, figures)
        case Charts():
            yield from _picture(figures.get(f"{anchor}-{block.name}"), block.name)
            for chart in block.charts:
                yield from _chart(chart, anchor, figures)


def _chart(chart: Chart, anchor: str, figures: Mapping[str, str]) -> Iterator[str]:
    yield f"**{_plain(chart.title)}**"
    yield from _picture(figures.get(f"{anchor}-{chart.name}"), chart.description)
    if chart.note:
        yield _plain(chart.note)
    if chart.table is not None:
        yield from _table(chart.table)


def _picture(path: str | None, description: str) -> Iterator[str]:
    if path is not None:
        yield f"![{_plain(description)}]({path})"


def _table(table: Table) -> Iterator[str]:
    yield _rows([column.title or column.label for column in table.columns], table.rows[:_ROWS])
    if len(table.rows) > _ROWS:
        yield f"({_ROWS} of {len(table.rows):,} rows; the CSV file has all.)"


def _rows(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    heads = list(columns)
    lines: list[Iterable[str]] = [map(_plain, heads), ["---"] * len(heads)]
    lines += [map(_plain, row) for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _plain(text: str) -> str:
    line = " ".join(str(text).split())
    # At its beginning some signs would make it a heading, a rule or a list
    line = _SPECIAL.sub(r"\\\1", line)
    line = re.sub(r"^([-+=#])", r"\\\1", line)
    return re.sub(r"^(\d+)([.)]\s)", r"\1\\\2", line)


def _ticks(line: str) -> int:
    return max((len(run) for run in re.findall(r"`+", line)), default=0)
