"""A short overview of a study, as a notebook shows it."""

from __future__ import annotations

from hpsearch.metrics import MetricFormat
from hpsearch.notebook import html
from hpsearch.notebook.best import best_of
from hpsearch.results.ranking import ranked
from hpsearch.results.records import StudyRecord
from hpsearch.search.database.storage import Database

#: Most trials and parameters in the overview.
_TRIALS_SHOWN, _PARAMETERS_SHOWN = 5, 8


def overview(database: Database, record: StudyRecord) -> str:
    """Return a study's progress, its best value and its leading trials as HTML."""
    counts, metric = record.counts, record.objective.metric
    parts = [
        html.title(f"{record.study.name}: {counts.finished} of {record.study.trial_budget} trials"),
        html.bar(counts.finished / max(record.study.trial_budget, 1)),
        html.line(
            f"{counts.complete} complete, {counts.pruned} pruned, {counts.failed} failed, "
            f"{counts.running} running, {counts.paused} paused"
            + (f", {counts.invalid} invalid" if counts.invalid else "")
        ),
    ]
    parts += [html.line(warning, "bad") for warning in record.warnings]
    best = best_of(database, record)
    if best is not None:
        if best.test_gap is not None:
            parts.insert(1, html.line(best.test_gap.headline, "bad"))
        parts.append(html.line(f"{best.sentence} {best.against}".rstrip()))
    order = ranked(record)[:_TRIALS_SHOWN]
    paths = list(dict.fromkeys(path for trial in order for path in trial.params))
    paths = paths[:_PARAMETERS_SHOWN]
    if order:
        rows = [
            (
                trial.number,
                MetricFormat(metric).value(trial.value),
                *(trial.params.get(path) for path in paths),
            )
            for trial in order
        ]
        parts.append(html.table(("trial", metric, *paths), rows))
    return html.page(*parts)
