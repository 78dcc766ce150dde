"""The elements of a report, independent of the output format.

All text is plain: each output format must escape it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

#: Rows of a long table that are visible at first; the rest unfolds.
ROWS_SHOWN = 20


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of a table."""

    label: str
    #: The whole name if ``label`` is shortened; otherwise ``None``.
    title: str | None = None
    #: Whether cells are numbers, aligned to the right.
    numeric: bool = False
    #: Whether the column is printed: paper has room for few.
    on_paper: bool = True


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of text."""

    kind: ClassVar[str] = "table"

    #: The table's content, for users of screen readers.
    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]
    #: Indices of highlighted rows: the winner's.
    marked: frozenset[int] = frozenset()
    #: Rows that are visible at first.
    visible_rows: int = ROWS_SHOWN
    #: Whether readers may sort by a column.
    sortable: bool = False


@dataclass(frozen=True, kw_only=True)
class Text:
    """One paragraph."""

    kind: ClassVar[str] = "text"

    text: str
    #: A lead is large, a note is small, a warning is highlighted.
    style: Literal["plain", "lead", "note", "warning", "heading"] = "plain"


@dataclass(frozen=True, kw_only=True)
class Tile:
    """One important number."""

    label: str
    value: str
    detail: str = ""
    #: Shown in red below it; empty for none.
    alarm: str = ""


@dataclass(frozen=True, kw_only=True)
class Tiles:
    """Important numbers side by side."""

    kind: ClassVar[str] = "tiles"

    tiles: Sequence[Tile]


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Names and their values."""

    kind: ClassVar[str] = "facts"

    facts: Sequence[tuple[str, str]]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One study of a search in stages."""

    name: str
    #: Its result.
    detail: str


@dataclass(frozen=True, kw_only=True)
class Stages:
    """Which study starts from which, as arrows."""

    kind: ClassVar[str] = "stages"

    #: Each from its first stage to its last; a stage with two successors is in two chains.
    chains: Sequence[Sequence[Stage]]


@dataclass(frozen=True, kw_only=True)
class Commands:
    """Lines to type, or a file's text, with a button that copies them."""

    kind: ClassVar[str] = "commands"

    label: str
    lines: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A thumbnail."""

    #: A data URI.
    source: str
    alt: str
    lines: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """Thumbnails side by side."""

    kind: ClassVar[str] = "pictures"

    pictures: Sequence[Picture]


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A plotly figure, and its content as a sentence and as a table."""

    kind: ClassVar[str] = "chart"

    #: Unique within a study; also the name of the chart's file.
    name: str
    title: str
    #: The chart's content, for users of screen readers.
    description: str
    #: ``data`` and ``layout`` of ``plotly.graph_objects.Figure``; colours are ``palette.var``
    #: names.
    figure: Mapping[str, Any]
    #: Pixels; if there is less room than ``width``, the chart scrolls.
    height: int = 380
    width: int = 0
    #: Pixels, if more would only stretch the chart; 0 for the whole column.
    max_width: int = 0
    #: The chart's numbers.
    table: Table | None = None
    #: Explanation below the chart.
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Charts:
    """Small charts side by side, as far as there is room."""

    kind: ClassVar[str] = "charts"

    #: Unique within a study; also the name of the file with all of them.
    name: str
    charts: Sequence[Chart]
    #: Whether they are a strip of very small ones, with their names alone.
    strip: bool = False


@dataclass(frozen=True, kw_only=True)
class Folded:
    """Blocks that are out of sight until a reader asks for them."""

    kind: ClassVar[str] = "folded"

    #: What is inside, in one sentence that is always in sight.
    summary: str
    blocks: Sequence[Block]


Block = Table | Text | Tiles | Facts | Stages | Commands | Pictures | Chart | Charts | Folded


@dataclass(frozen=True, kw_only=True)
class Section:
    """One part of a study's report. If there is nothing to show, a block gives the reason."""

    #: As in ``#cnn_dilation-effects``.
    name: str
    title: str
    blocks: Sequence[Block] = field(default_factory=tuple)


@dataclass(frozen=True, kw_only=True)
class StudyReport:
    """One study's part of the report."""

    #: Unique in the page, and valid in a URL.
    anchor: str
    name: str
    description: str
    sections: Sequence[Section]


@dataclass(frozen=True, kw_only=True)
class Report:
    """A whole report."""

    title: str
    #: Time (UTC) and version of hpsearch.
    byline: str
    #: Over all studies; ``None`` for one.
    comparison: Section | None
    studies: Sequence[StudyReport]

    def charts(self) -> list[tuple[str, Chart]]:
        """Return every chart with its anchor in the page."""
        return [
            (f"{anchor}-chart-{chart.name}", chart)
            for anchor, block in self.figures()
            for chart in (block.charts if isinstance(block, Charts) else [block])
        ]

    def figures(self) -> list[tuple[str, Chart | Charts]]:
        """Return each chart, and charts side by side as one, with the anchor of its study."""
        across = [] if self.comparison is None else [("all", self.comparison)]
        parts = [(study.anchor, section) for study in self.studies for section in study.sections]
        return [
            (anchor, block)
            for anchor, section in [*across, *parts]
            for block in _flat(section.blocks)
            if isinstance(block, Chart | Charts)
        ]


def _flat(blocks: Sequence[Block]) -> Iterator[Block]:
    for block in blocks:
        if isinstance(block, Folded):
            yield from _flat(block.blocks)
        else:
            yield block
