"""A whole report, of one study or of several side by side."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import hpsearch
from hpsearch.results.analysis.comparison import Comparison, compare
from hpsearch.results.records import read_study
from hpsearch.results.report.blocks import Report, StudyReport
from hpsearch.results.report.content import StudyContent
from hpsearch.results.report.json_file import as_json
from hpsearch.results.report.reading import read_content
from hpsearch.results.report.sections import (
    answer,
    failures,
    images,
    parameters,
    reproduce,
    running,
    studies,
    trials,
    winner,
)
from hpsearch.search.storage import Database

#: The parts of a study's report, in order.
PARTS = (
    answer.answer,
    winner.winner,
    trials.leaderboard,
    trials.curves,
    trials.history,
    trials.settings,
    parameters.importances,
    parameters.effects,
    parameters.tradeoffs,
    images.classes,
    images.hardest,
    running.overfitting,
    running.pruning,
    failures.failures,
    running.cost,
    reproduce.reproduce,
)


@dataclass(frozen=True, kw_only=True)
class ReportContent:
    """Everything that a report tells."""

    #: ISO 8601, UTC.
    made_at: str
    version: str
    studies: Sequence[StudyContent]
    #: ``None`` of one study.
    comparison: Comparison | None

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON takes it; figures that aren't finite are null."""
        told: dict[str, Any] = as_json(self)
        return told


def read_report(
    database: Database, names: Sequence[str], *, data: Path | None = None, pictures: bool = True
) -> ReportContent:
    """Read the studies called ``names``, each once, in that order.

    ``data`` is where images lie, of which the hardest are shown; without ``pictures`` they are
    named only. Raises ``UnknownName``, and ``UserError`` for a confirmation's name.
    """
    names = list(dict.fromkeys(names))
    contents = [read_content(database, name, data=data, pictures=pictures) for name in names]
    records = [read_study(database, name) for name in names] if len(names) > 1 else []
    return ReportContent(
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        version=hpsearch.__version__,
        studies=contents,
        comparison=compare(database, records) if records else None,
    )


def assemble(content: ReportContent) -> Report:
    """Return the report as blocks."""
    names = [each.name for each in content.studies]
    when = datetime.fromisoformat(content.made_at).strftime("%Y-%m-%d %H:%M UTC")
    several = content.comparison
    return Report(
        title=", ".join(names),
        made=f"{when} by hpsearch {content.version}",
        comparison=None if several is None else studies.studies(several, content.studies),
        studies=[
            StudyReport(
                anchor=anchor_of(each.name),
                name=each.name,
                description=each.description,
                sections=[part(each) for part in PARTS],
            )
            for each in content.studies
        ],
    )


def render(
    database: Database,
    names: Sequence[str],
    *,
    data: Path | None = None,
    pictures: bool = True,
    nonce: str | None = None,
) -> str:
    """Return the page of the studies called ``names`` as one HTML text.

    It has one inline style, one block of JSON and one inline script, each with ``nonce`` where one
    is given, and asks for nothing from anywhere. Errors as ``read_report``.
    """
    # Imported late: jinja2 and plotly's file
    from hpsearch.results.report.page import page

    content = read_report(database, names, data=data, pictures=pictures)
    return page(assemble(content), nonce=nonce)


def anchor_of(name: str) -> str:
    """Return a study's name as the address of its part of the page: letters, digits, - and _."""
    return "study-" + re.sub(r"[^A-Za-z0-9_-]", "-", name)
