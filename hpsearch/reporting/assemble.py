"""A whole report, of one study or of several side by side."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import hpsearch
from hpsearch.json_values import json_safe
from hpsearch.reporting.analysis.comparison import Comparison, compare
from hpsearch.reporting.blocks import Report, StudyReport
from hpsearch.reporting.content import StudyContent
from hpsearch.reporting.reading import read_content
from hpsearch.reporting.sections import (
    answer,
    architectures,
    experiment,
    failures,
    images,
    parameters,
    reproduce,
    running,
    studies,
    training,
    trials,
    winner,
)
from hpsearch.results.records import read_study
from hpsearch.search.database.storage import Database

#: The parts of a study's report, in order.
PARTS = (
    answer.answer,
    experiment.experiment,
    winner.winner,
    architectures.architectures,
    training.training,
    trials.leaderboard,
    trials.curves,
    trials.history,
    trials.settings,
    parameters.importances,
    parameters.effects,
    parameters.tradeoffs,
    images.classes,
    images.label_errors,
    images.hardest,
    running.overfitting,
    running.pruning,
    failures.failures,
    running.cost,
    reproduce.reproduce,
)


#: What needs images, or a model that hpsearch has built.
_OF_IMAGES = (architectures.architectures, images.classes, images.label_errors, images.hardest)


def _left_out(content: StudyContent) -> tuple[object, ...]:
    """Return the parts that a study with a training loop of its own can't have."""
    return _OF_IMAGES if content.has_loop else ()


@dataclass(frozen=True, kw_only=True)
class ReportContent:
    """The data of a report."""

    #: ISO 8601, UTC.
    made_at: str
    version: str
    studies: Sequence[StudyContent]
    #: ``None`` for one study.
    comparison: Comparison | None

    def as_json(self) -> dict[str, Any]:
        """Return a JSON-like dictionary; numbers that aren't finite are null."""
        content: dict[str, Any] = json_safe(self)
        return content


def read_report(
    database: Database, names: Sequence[str], *, data: Path | None = None, pictures: bool = True
) -> ReportContent:
    """Read several studies for a report.

    Args:
        database: Their database.
        names: Names of the studies, in the report's order; repetitions are ignored.
        data: Folder of the images, of which the hardest are shown; ``None`` for the default.
        pictures: Whether to show images; otherwise they are only listed.

    Raises:
        UnknownName: If there is no such study.
        UserError: If a study is a confirmation.
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
    names = [study.name for study in content.studies]
    when = datetime.fromisoformat(content.made_at).strftime("%Y-%m-%d %H:%M UTC")
    comparison = content.comparison
    return Report(
        title=", ".join(names),
        byline=f"{when} by hpsearch {content.version}",
        comparison=None if comparison is None else studies.studies(comparison, content.studies),
        studies=[
            StudyReport(
                anchor=anchor_of(study.name),
                name=study.name,
                description=study.description,
                sections=[part(study) for part in PARTS if part not in _left_out(study)],
            )
            for study in content.studies
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
    """Return the page of several studies as one HTML text.

    It has one inline style, one block of JSON and one inline script, and loads nothing.

    Args:
        database: Their database.
        names: Names of the studies, in the page's order.
        data: Folder of the images; ``None`` for the default.
        pictures: Whether to show images; otherwise they are only listed.
        nonce: CSP nonce of the style, the JSON and the script; ``None`` for none.

    Raises:
        UnknownName: If there is no such study.
        UserError: If a study is a confirmation.
    """
    # Imported late: jinja2 and plotly's file take long
    from hpsearch.reporting.page import page

    content = read_report(database, names, data=data, pictures=pictures)
    return page(assemble(content), nonce=nonce)


def anchor_of(name: str) -> str:
    """Return a study's anchor in the page: letters, digits, - and _."""
    return "study-" + re.sub(r"[^A-Za-z0-9_-]", "-", name)
