"""Trials and curves as CSV, one row each, for spreadsheets and data frames."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from typing import Any

from hpsearch.foreign_text import clean
from hpsearch.metrics import METRIC_COLUMNS
from hpsearch.reporting.content import StudyContent

#: A spreadsheet treats text with such a beginning as a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def trials_csv(studies: Sequence[StudyContent]) -> str:
    """Return one row per trial, ranked ones first, with every column of any study."""
    columns = list(dict.fromkeys(name for study in studies for name in study.columns))
    rows = (
        [study.name, ranks.get(row["number"]), *(row.get(name) for name in columns)]
        for study in studies
        for ranks in [{number: rank for rank, number in enumerate(study.ranked, start=1)}]
        for row in study.trials
    )
    return _csv(["study", "rank", *columns], rows)


def curves_csv(studies: Sequence[StudyContent]) -> str:
    """Return one row per epoch of each trial, with all its metrics."""
    rows = (
        [study.name, number, *(getattr(epoch, name) for name in METRIC_COLUMNS)]
        for study in studies
        for number, curve in sorted(study.curves.items())
        for epoch in curve
    )
    return _csv(["study", "trial", *METRIC_COLUMNS], rows)


def _csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([_cell(name) for name in columns])
    writer.writerows([_cell(value) for value in row] for row in rows)
    return file.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, list | tuple | dict):
        value = json.dumps(value)  # in ASCII
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f"'{clean(value)}" if value.startswith(_FORMULA) else clean(value)
    return value
