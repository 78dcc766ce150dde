"""All files of a report in a folder. Each is replaced completely or not at all."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpsearch.durable_files import replacing, write_file
from hpsearch.errors import UserError
from hpsearch.foreign_text import clean, escape_json
from hpsearch.metrics import METRIC_COLUMNS
from hpsearch.reporting.assemble import ReportContent, assemble
from hpsearch.reporting.blocks import Report
from hpsearch.reporting.content import StudyContent
from hpsearch.reporting.markdown import markdown

PAGE, TEXT, DATA = "report.html", "report.md", "report.json"
TRIALS, CURVES, LABEL_ERRORS = "trials.csv", "curves.csv", "label_errors.csv"
FIGURES = "figures"


@dataclass(frozen=True, kw_only=True)
class ReportFiles:
    """The written files."""

    folder: Path
    #: The most important first.
    files: tuple[Path, ...]

    @property
    def page(self) -> Path:
        """The HTML page."""
        return self.folder / PAGE


def write_report(content: ReportContent, folder: Path, *, figures: bool = True) -> ReportFiles:
    """Write page, text, tables and charts into ``folder``, replacing files of the same names.

    Args:
        content: The data of the report.
        folder: The folder, created if it is missing.
        figures: Whether to write the charts as PNG and SVG.

    Raises:
        UserError: If the folder can't be written.
    """
    from hpsearch.reporting.page import page

    report = assemble(content)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        pictures = _figures(report, folder) if figures else {}
        data = json.dumps(content.as_json(), ensure_ascii=False, allow_nan=False)
        texts: dict[str, str] = {
            PAGE: page(report),
            TEXT: markdown(report, pictures),
            TRIALS: trials_csv(content.studies),
            CURVES: curves_csv(content.studies),
            LABEL_ERRORS: label_errors_csv(content.studies),
            DATA: escape_json(data),
        }
        for name, text in texts.items():
            write_file(folder / name, text)
    except OSError as error:
        raise UserError(
            f"a report needs a writable folder, but {folder} isn't writable "
            f"({error.strerror or error}); name another with --out"
        ) from error
    chart_files = [folder / path for png in pictures.values() for path in (png, f"{png[:-3]}svg")]
    return ReportFiles(folder=folder, files=(*(folder / name for name in texts), *chart_files))


def _figures(report: Report, folder: Path) -> dict[str, str]:
    """Write every chart; return its anchor and name -> its PNG, relative to ``folder``."""
    from hpsearch.reporting.matplotlib_charts import static_charts

    png_files = {}
    alone = len(report.studies) == 1
    for chart in static_charts(report):
        study = "" if alone else chart.anchor.removeprefix("study-") + "-"
        png = f"{FIGURES}/{study}{chart.name}.png"
        for path in (png, f"{png[:-3]}svg"):
            with replacing(folder / path) as unfinished:
                chart.save(unfinished)
        png_files[f"{chart.anchor}-{chart.name}"] = png
    return png_files


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
    epochs = [
        (study.name, number, epoch)
        for study in studies
        for number, curve in sorted(study.curves.items())
        for epoch in curve
    ]
    others = list(dict.fromkeys(name for *_, epoch in epochs for name in epoch.others))
    rows = (
        [
            study,
            number,
            *(_or_empty(getattr(epoch, name)) for name in METRIC_COLUMNS),
            *(epoch.others.get(name) for name in others),
        ]
        for study, number, epoch in epochs
    )
    return _csv(["study", "trial", *METRIC_COLUMNS, *others], rows)


def label_errors_csv(studies: Sequence[StudyContent]) -> str:
    """Return one row per picture whose label is probably wrong."""
    rows = (
        [
            study.name,
            study.pictures.names.get(picture.row, ""),
            picture.row,
            picture.truth,
            picture.taken_for,
            picture.trainings,
            picture.probability,
        ]
        for study in studies
        if study.matrices is not None
        for picture in study.matrices.pictures.label_errors
    )
    columns = ["study", "file", "row", "label", "predicted", "trainings", "label_probability"]
    return _csv(columns, rows)


def _or_empty(value: float) -> float | None:
    """Return an empty cell for NaN: a metric that wasn't measured."""
    return value if value == value else None


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
