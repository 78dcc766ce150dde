"""All files of a report in a folder. Each is replaced completely or not at all."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from hpsearch.durable_files import replacing, write_file
from hpsearch.errors import UserError
from hpsearch.foreign_text import escape_json
from hpsearch.reporting.assemble import ReportContent, assemble
from hpsearch.reporting.blocks import Report
from hpsearch.reporting.markdown import markdown
from hpsearch.reporting.tables import curves_csv, trials_csv

PAGE, TEXT, DATA = "report.html", "report.md", "report.json"
TRIALS, CURVES = "trials.csv", "curves.csv"
FIGURES = "figures"


@dataclass(frozen=True, kw_only=True)
class Written:
    """The written files."""

    folder: Path
    #: The most important first.
    files: tuple[Path, ...]

    @property
    def page(self) -> Path:
        """The HTML page."""
        return self.folder / PAGE


def write_report(content: ReportContent, folder: Path, *, figures: bool = True) -> Written:
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
            DATA: escape_json(data),
        }
        for name, text in texts.items():
            write_file(folder / name, text)
    except OSError as error:
        raise UserError(
            f"a report needs a writable folder, but {folder} isn't writable "
            f"({error.strerror or error}); name another with --out"
        ) from error
    drawn = [folder / path for png in pictures.values() for path in (png, f"{png[:-3]}svg")]
    return Written(folder=folder, files=(*(folder / name for name in texts), *drawn))


def _figures(report: Report, folder: Path) -> dict[str, str]:
    """Write every chart; return its anchor and name -> its PNG, relative to ``folder``."""
    from hpsearch.reporting.matplotlib_charts import static_charts

    found = {}
    alone = len(report.studies) == 1
    for chart in static_charts(report):
        study = "" if alone else chart.anchor.removeprefix("study-") + "-"
        png = f"{FIGURES}/{study}{chart.name}.png"
        for path in (png, f"{png[:-3]}svg"):
            with replacing(folder / path) as unfinished:
                chart.save(unfinished)
        found[f"{chart.anchor}-{chart.name}"] = png
    return found
