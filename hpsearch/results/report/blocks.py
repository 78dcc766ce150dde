"""What a report is made of, before it is a page, a Markdown file or anything else.

All text is plain: whoever writes it out escapes it for where it goes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

#: Rows of a long table that are seen at once; the rest unfolds.
ROWS_SHOWN = 20


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of a table."""

    label: str
    #: The whole name where ``label`` is a shortened one.
    title: str | None = None
    #: Whether cells are figures, set to the right.
    numeric: bool = False


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of text."""

    kind: ClassVar[str] = "table"

    #: What the table holds, for who can't see where it stands.
    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]
    #: Rows that stand out: the winner's.
    marked: frozenset[int] = frozenset()
    #: Rows that are seen at once.
    shown: int = ROWS_SHOWN
    #: Whether readers may sort by a column.
    sortable: bool = False


@dataclass(frozen=True, kw_only=True)
class Text:
    """One paragraph."""

    kind: ClassVar[str] = "text"

    text: str
    #: A lead is set large; a note is small; a warning stands out.
    style: Literal["plain", "lead", "note", "warning", "heading"] = "plain"


@dataclass(frozen=True, kw_only=True)
class Tile:
    """One figure that is worth a look by itself."""

    label: str
    value: str
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class Tiles:
    """Figures side by side."""

    kind: ClassVar[str] = "tiles"

    tiles: Sequence[Tile]


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Names and what they are."""

    kind: ClassVar[str] = "facts"

    facts: Sequence[tuple[str, str]]


@dataclass(frozen=True, kw_only=True)
class Commands:
    """Lines to be typed, or a file's text."""

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
    """A plotly figure, and the same as a sentence and as a table."""

    kind: ClassVar[str] = "chart"

    #: Unique within a study; also the name of the figure's file.
    name: str
    title: str
    #: What is seen, for who can't.
    description: str
    #: ``data`` and ``layout`` as ``plotly.graph_objects.Figure`` takes them; colours are
    #: ``palette.var`` names.
    figure: Mapping[str, Any]
    #: Pixels; where there is less room than ``width``, the chart scrolls.
    height: int = 380
    width: int = 0
    #: What the chart shows, in figures.
    table: Table | None = None
    #: How to read it, beneath.
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Charts:
    """Small charts side by side, as far as there is room."""

    kind: ClassVar[str] = "charts"

    #: Unique within a study; also the name of the file that has all of them.
    name: str
    charts: Sequence[Chart]


Block = Table | Text | Tiles | Facts | Commands | Pictures | Chart | Charts


@dataclass(frozen=True, kw_only=True)
class Section:
    """One part of a study's report. Where there is nothing to show, a block says why."""

    #: As in ``#cnn_dilation-effects``.
    name: str
    title: str
    blocks: Sequence[Block] = field(default_factory=tuple)


@dataclass(frozen=True, kw_only=True)
class StudyReport:
    """One study's part of the report."""

    #: Unique in the page, fit for an address.
    anchor: str
    name: str
    description: str
    sections: Sequence[Section]


@dataclass(frozen=True, kw_only=True)
class Report:
    """A whole report."""

    title: str
    #: When it was made (UTC), and by which version.
    made: str
    #: Over all studies; ``None`` of one.
    comparison: Section | None
    studies: Sequence[StudyReport]

    def charts(self) -> list[tuple[str, Chart]]:
        """Return every chart with its address in the page."""
        return [
            (f"{anchor}-chart-{chart.name}", chart)
            for anchor, block in self.figures()
            for chart in (block.charts if isinstance(block, Charts) else [block])
        ]

    def figures(self) -> list[tuple[str, Chart | Charts]]:
        """Return each chart, and those side by side as one, with the address of its study."""
        across = [] if self.comparison is None else [("all", self.comparison)]
        parts = [(study.anchor, section) for study in self.studies for section in study.sections]
        return [
            (anchor, block)
            for anchor, section in [*across, *parts]
            for block in section.blocks
            if isinstance(block, Chart | Charts)
        ]
