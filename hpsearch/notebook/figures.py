"""The charts of a report as plotly figures."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpsearch.errors import UnknownName
from hpsearch.results.records import StudyRecord
from hpsearch.results.report.palette import LIGHT
from hpsearch.search.storage import Database

if TYPE_CHECKING:
    import plotly.graph_objects as go


class UnknownFigure(UnknownName, KeyError):
    """No chart is called so; also the ``KeyError`` that a mapping's ``get`` and ``in`` expect."""

    __str__ = Exception.__str__


_COLOUR = re.compile(r"var\(--([a-z0-9-]+)\)")


class Figures(Mapping[str, "go.Figure"]):
    """Name -> figure, in the report's order; a figure is made when it is asked for."""

    def __init__(self, drawn: Mapping[str, Mapping[str, Any]], titles: Mapping[str, str]) -> None:
        self._drawn = drawn
        self._titles = titles

    @classmethod
    def of(cls, database: Database, record: StudyRecord, data: Path | None) -> Figures:
        """Return the charts of ``record``'s report. Raises ``UserError`` as a report does."""
        from hpsearch.results.report.assemble import assemble, read_report
        from hpsearch.results.report.blocks import Chart

        content = read_report(database, [record.study.name], data=data, pictures=False)
        charts = [
            block
            for study in assemble(content).studies
            for section in study.sections
            for block in section.blocks
            if isinstance(block, Chart)
        ]
        return cls(
            {chart.name: chart.figure for chart in charts},
            {chart.name: chart.title for chart in charts},
        )

    def __getitem__(self, name: str) -> go.Figure:
        """Return a figure. Raises ``UnknownName``, a ``KeyError`` too, listing those there are."""
        import plotly.graph_objects as go

        if name not in self._drawn:
            raise UnknownFigure("figure", name, list(self._drawn))
        figure = go.Figure(coloured(self._drawn[name]))
        # On a page colours follow its theme; here they are those of a light one, on its ground
        ground = {"paper_bgcolor": LIGHT["page"], "plot_bgcolor": LIGHT["page"]}
        figure.update_layout(title={"text": self._titles[name]}, margin={"t": 64}, **ground)
        return figure

    def __iter__(self) -> Iterator[str]:
        return iter(self._drawn)

    def __len__(self) -> int:
        return len(self._drawn)

    def __repr__(self) -> str:
        return f"<Figures: {', '.join(self._drawn)}>"


def coloured(part: Any) -> Any:
    """Return a chart with the light theme's colours where it names colours of the page."""
    match part:
        case str():
            return _COLOUR.sub(lambda found: LIGHT[found[1]], part)
        case Mapping():
            return {key: coloured(each) for key, each in part.items()}
        case list() | tuple():
            return [coloured(each) for each in part]
    return part
