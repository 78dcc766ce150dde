"""The best value of a study, and how reliable it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hpsearch.metrics import MetricFormat
from hpsearch.notebook import html
from hpsearch.results.confirmation.reading import read_confirmation
from hpsearch.results.confirmation.stored import is_confirmation
from hpsearch.results.confirmation_gap import TestGap, read_test_gap
from hpsearch.results.export.confirmed import LACKS_GROUPS
from hpsearch.results.export.frozen import caveat
from hpsearch.results.ranking import best as best_seen
from hpsearch.results.ranking import ranked
from hpsearch.results.records import StudyRecord
from hpsearch.search.storage import Database


@dataclass(frozen=True, kw_only=True)
class Best:
    """A study's best trial: the confirmed winner, or the best seen in the search."""

    study: str
    #: The trial's number in the search.
    trial: int
    metric: str
    #: If confirmed, the mean over ``seeds`` fresh seeds, else the optimistic value of the search.
    value: float
    confirmed: bool
    #: The 95 % interval, over seeds and validation images; ``None`` if unconfirmed.
    interval: tuple[float, float] | None
    #: Number of fresh seeds that ``value`` is the mean of; 0 if unconfirmed.
    seeds: int
    #: Its value in the search, with one seed.
    seen: float | None
    #: Path -> value.
    params: Mapping[str, Any]
    #: What the value means, in one or more sentences.
    note: str
    #: Number of groups of validation images in the interval; ``None`` if each image counts as
    #: independent.
    groups: int | None = None
    #: Why the test evaluation may lie outside ``interval``; ``None`` if it doesn't, or if there is
    #: no test evaluation.
    test_gap: TestGap | None = None
    #: Warnings about the study's trials, a sentence each: changed images, damaged rows.
    warnings: tuple[str, ...] = ()

    def _repr_html_(self) -> str:
        kind = "confirmed" if self.confirmed else "UNCONFIRMED"
        written = MetricFormat(self.metric)
        figure = f"{self.metric} {written.value(self.value)}"
        if self.interval is not None:
            figure += f" (95 %: {written.interval(self.interval)})"
        return html.page(
            html.title(f"{self.study}: trial {self.trial}, {kind}"),
            *([] if self.test_gap is None else [html.line(self.test_gap.headline, "bad")]),
            html.line(figure),
            html.line(self.note, "soft" if self.confirmed else "bad"),
            *(html.line(each, "bad") for each in self.warnings),
            html.table(("parameter", "value"), self.params.items()),
        )


def best_of(database: Database, record: StudyRecord) -> Best | None:
    """Return the confirmed winner, or the best seen if there is no valid winner.

    With several objectives, the best seen is the point of the front that is best by the objective
    that pruners decide by. Returns ``None`` if no trial can win yet.
    """
    metric, name = record.objective.metric, record.study.name
    verdict = None if is_confirmation(record.study) else read_confirmation(database, record)
    if verdict is not None and verdict.finished and verdict.winner is not None:
        trial = record.trial(verdict.winner)
        spread = verdict.over_seeds_and_images or verdict.over_seeds
        if spread is not None and not verdict.winner_is_invalid:
            seeds = len(verdict.reported)
            note = f"The mean of {seeds} trainings with fresh seeds that had no say in the choice."
            if verdict.groups is not None:
                note += f" Interval over seeds and groups: {verdict.sample}."
            if verdict.lacks_groups:
                note += f" {LACKS_GROUPS}"
            gap = read_test_gap(database, record, verdict)
            if gap is not None:
                note = " ".join([*gap.sentences(), note])
            return Best(
                study=name,
                trial=verdict.winner,
                metric=metric,
                value=spread.estimate,
                confirmed=True,
                interval=(spread.low, spread.high),
                seeds=seeds,
                seen=trial.value,
                params=record.values(trial.params),
                note=note,
                groups=verdict.groups,
                test_gap=gap,
                warnings=record.warnings,
            )
    trial_seen = best_seen(record)
    if trial_seen is None or trial_seen.number is None or trial_seen.value is None:
        return None
    note = caveat(trial_seen, 1, len(ranked(record)))
    if verdict is not None and verdict.winner_is_invalid:
        note += f" The confirmed winner, trial {verdict.winner}, was declared invalid."
    return Best(
        study=name,
        trial=trial_seen.number,
        metric=metric,
        value=trial_seen.value,
        confirmed=False,
        interval=None,
        seeds=0,
        seen=trial_seen.value,
        params=record.values(trial_seen.params),
        note=f"{note} `.confirm()` trains the best again with fresh seeds.",
        warnings=record.warnings,
    )
