"""The charts of a report as plotly figures."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpsearch.errors import UnknownName
from hpsearch.reporting.palette import LIGHT
from hpsearch.results.records import StudyRecord
from hpsearch.search.database.storage import Database

if TYPE_CHECKING:
    import plotly.graph_objects as go


class UnknownFigure(UnknownName, KeyError):
    """There is no chart of this name; a ``KeyError``, too, as a mapping's ``get`` expects."""

    __str__ = Exception.__str__


_COLOUR = re.compile(r"var\(--([a-z0-9-]+)\)")


class Figures(Mapping[str, "go.Figure"]):
    """Name -> figure, in the report's order; a figure is made on access."""

    def __init__(self, charts: Mapping[str, Mapping[str, Any]], titles: Mapping[str, str]) -> None:
        self._charts = charts
        self._titles = titles

    @classmethod
    def of(cls, database: Database, record: StudyRecord, data: Path | None) -> Figures:
        """Return the charts of a study's report.

        Args:
            database: The database of the study.
            record: The study.
            data: The folder of the images; ``None`` for the default.

        Raises:
            UserError: The study is a confirmation, which has no report.
        """
        from hpsearch.reporting.assemble import assemble, read_report

        content = read_report(database, [record.study.name], data=data, pictures=False)
        charts = [chart for _, chart in assemble(content).charts()]
        return cls(
            {chart.name: chart.figure for chart in charts},
            {chart.name: chart.title for chart in charts},
        )

    def __getitem__(self, name: str) -> go.Figure:
        """Return a figure.

        Raises:
            UnknownFigure: There is no such figure; the message lists those that exist.
        """
        import plotly.graph_objects as go

        if name not in self._charts:
            raise UnknownFigure("figure", name, list(self._charts))
        figure = go.Figure(with_colours(self._charts[name]))
        # In a report, colours follow the theme of the page; here they are those of the light one
        ground = {"paper_bgcolor": LIGHT["page"], "plot_bgcolor": LIGHT["page"]}
        figure.update_layout(title={"text": self._titles[name]}, margin={"t": 64}, **ground)
        return figure

    def __iter__(self) -> Iterator[str]:
        return iter(self._charts)

    def __len__(self) -> int:
        return len(self._charts)

    def __repr__(self) -> str:
        return f"<Figures: {', '.join(self._charts)}>"


def with_colours(part: Any) -> Any:
    """Return a chart with the light theme's colours in place of the page's colour names."""
    match part:
        case str():
            return _COLOUR.sub(lambda match: LIGHT[match[1]], part)
        case Mapping():
            return {key: with_colours(child) for key, child in part.items()}
        case list() | tuple():
            return [with_colours(child) for child in part]
    return part
