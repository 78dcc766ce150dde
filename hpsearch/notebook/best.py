"""The best value of a study, and how reliable it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hpsearch.notebook import html
from hpsearch.results.confirmation.reading import read_confirmation
from hpsearch.results.confirmation.stored import confirmations
from hpsearch.results.confirmation_gap import TestGap, read_test_gap
from hpsearch.results.planned import parent_of
from hpsearch.results.records import StudyRecord
from hpsearch.results.winner import basis_of, winner_of
from hpsearch.search.database.storage import Database


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
    #: What the study asks about and the model, the trial, its value, and how reliable that is.
    sentence: str
    #: What the value is based on, in one or more sentences.
    note: str
    #: What it is compared with, in a sentence; empty if there is nothing to compare.
    against: str = ""
    #: Number of groups of validation images in the interval; ``None`` if each image counts as
    #: independent.
    groups: int | None = None
    #: Why the test evaluation may be outside ``interval``; ``None`` if it doesn't, or if there is
    #: no test evaluation.
    test_gap: TestGap | None = None
    #: Warnings about the study's trials, a sentence each: changed images, damaged rows.
    warnings: tuple[str, ...] = ()

    def _repr_html_(self) -> str:
        kind = "confirmed" if self.confirmed else "UNCONFIRMED"
        return html.page(
            html.title(f"{self.study}: trial {self.trial}, {kind}"),
            *([] if self.test_gap is None else [html.line(self.test_gap.headline, "bad")]),
            html.line(f"{self.sentence} {self.against}".rstrip()),
            html.line(self.note, "soft" if self.confirmed else "bad"),
            *(html.line(warning, "bad") for warning in self.warnings),
            html.table(("parameter", "value"), self.params.items()),
        )


def best_of(database: Database, record: StudyRecord) -> Best | None:
    """Return the confirmed winner, or the best seen if there is no valid winner.

    With several objectives, the best seen is the point of the front that is best by the objective
    that pruners decide by. Returns ``None`` if no trial can win yet.
    """
    verdict = None if parent_of(record.study) is not None else read_confirmation(database, record)
    winner = winner_of(record, verdict)
    if winner is None:
        return None
    trial, gap = record.trial(winner.trial), None
    if verdict is not None and winner.is_confirmed:
        note = basis_of(verdict, len(confirmations(database, record.study.name)))
        gap = read_test_gap(database, record, verdict)
        if gap is not None:
            note = " ".join([*gap.sentences(), note])
    else:
        note = "`.confirm()` trains the best again with fresh seeds."
        if verdict is not None and verdict.winner_is_invalid:
            note = f"The confirmed winner, trial {verdict.winner}, was declared invalid. {note}"
    return Best(
        study=record.study.name,
        trial=winner.trial,
        metric=winner.metric,
        value=winner.value,
        confirmed=winner.is_confirmed,
        interval=winner.interval,
        seeds=winner.seeds,
        seen=trial.value,
        params=record.values(trial.params),
        sentence=winner.sentence,
        against=winner.against,
        note=note,
        groups=verdict.groups if verdict is not None and winner.is_confirmed else None,
        test_gap=gap,
        warnings=record.warnings,
    )
