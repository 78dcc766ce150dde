"""The state of a study of hpsearch, which the dashboard shows besides Optuna's rows.

It is read from the ledger and cached until the event log grows, so it is never stored or out of
date.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from threading import Lock

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from hpsearch.errors import StorageError
from hpsearch.results.ablation.stored import ablated_search
from hpsearch.results.confirmation.reading import read_verdict
from hpsearch.results.confirmation.stored import (
    confirmations,
    is_confirmation,
    kept_trainings,
)
from hpsearch.results.confirmation.verdict import ConfirmationResult
from hpsearch.results.confirmation_gap import TestGap, read_test_gap
from hpsearch.results.interim import read_interim
from hpsearch.results.kept_weights import weights_kept
from hpsearch.results.question import introduction
from hpsearch.results.ranking import front, ranked
from hpsearch.results.records import StudyRecord, TrialRecord, read_study
from hpsearch.search.database.storage import Database
from hpsearch.search.database.tables import events
from hpsearch.search.ledger import studies
from hpsearch.search.ledger.decision import kept_by_audit
from hpsearch.search.ledger.studies import StoredStudy


@dataclass(frozen=True, kw_only=True)
class StudyView:
    """The state of a study at one moment."""

    record: StudyRecord
    #: By Optuna's trial id; infeasible trials have no record.
    by_trial: Mapping[int, TrialRecord]
    #: Trial number -> 1-based rank of a complete trial that satisfies the constraints.
    rank: Mapping[int, int]
    #: Numbers of the trials that are shown as best: the confirmed winner; without one the best
    #: seen, or the front; for a confirmation, the winner's trainings with the report's seeds.
    best: Sequence[int]
    #: Numbers of the trials whose best weights are kept.
    weights: frozenset[int]
    #: The result of the newest confirmation; ``None`` if there is none, or it can't be read.
    verdict: ConfirmationResult | None
    #: The name of the newest confirmation; ``None`` if there is none.
    confirmation: str | None
    confirmations: int
    #: What the search would answer if it ended now, as sentences; empty if there is no forecast, or
    #: if the winner is confirmed.
    interim: Sequence[str]
    #: How the test evaluation contradicts the confirmed value; ``None`` if it doesn't.
    test_gap: TestGap | None
    #: Ticket -> the epoch after which the pruning audit kept the trial.
    kept_by_audit: Mapping[int, int]
    #: Changes if the study changes.
    revision: str

    @property
    def is_confirmed(self) -> bool:
        """Whether a finished confirmation has a valid winner."""
        return self.verdict is not None and self.verdict.has_valid_winner


class StudyViews:
    """Caches the state of each study. It is thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = Lock()
        self._views: dict[str, StudyView] = {}

    def of(self, name: str) -> StudyView:
        """Return the state of the study ``name``.

        Raises:
            UnknownName: There is no such study.
            StorageError: The database can't be read, or the study is damaged.
        """
        with self._lock:
            stored = studies.find(self._database, name)
            confirming = confirmations(self._database, name)
            revision = self._database.read(
                lambda connection: _revision(connection, [stored, *confirming])
            )
            view = self._views.get(name)
            if view is None or view.revision != revision:
                self._views[name] = view = _read(self._database, name, confirming, revision)
            return view


def _revision(connection: Connection, stored_studies: Sequence[StoredStudy]) -> str:
    """Return a text that changes with every event, and with a study's text and budget."""
    # The count besides the newest: on Postgres, an event may be committed after a newer one.
    query = (
        sa.select(events.c.study_id, sa.func.count(), sa.func.max(events.c.event_id))
        .where(events.c.study_id.in_([study.study_id for study in stored_studies]))
        .group_by(events.c.study_id)
        .order_by(events.c.study_id)
    )
    event_counts = [tuple(row) for row in connection.execute(query)]
    definitions = [
        (study.run_key, study.trial_budget, introduction(study.document))
        for study in stored_studies
    ]
    return json.dumps([event_counts, definitions])


def _read(
    database: Database, name: str, confirming: Sequence[StoredStudy], revision: str
) -> StudyView:
    record = read_study(database, name)
    verdict = None
    if confirming:
        try:
            verdict = read_verdict(database, record, read_study(database, confirming[-1].name))
        except StorageError as error:
            warning = f"the confirmation {confirming[-1].name} can't be read: {error}"
            record = replace(record, warnings=(*record.warnings, warning))
    order = ranked(record)
    is_confirmed = verdict is not None and verdict.has_valid_winner
    forecast = None if is_confirmed else read_interim(database, record)
    return StudyView(
        record=record,
        by_trial={trial.trial_id: trial for trial in record.trials if trial.trial_id is not None},
        rank={
            trial.number: place for place, trial in enumerate(order, 1) if trial.number is not None
        },
        best=_numbers(best_trials(record, verdict)),
        weights=frozenset(_numbers(weights_kept(record))),
        verdict=verdict,
        confirmation=confirming[-1].name if confirming else None,
        confirmations=len(confirming),
        interim=()
        if forecast is None
        else forecast.sentences(record.objective.metric, record.study.epochs_per_trial),
        test_gap=None if verdict is None else read_test_gap(database, record, verdict),
        kept_by_audit=database.read(
            lambda connection: kept_by_audit(connection, record.study.study_id)
        ),
        revision=revision,
    )


def best_trials(record: StudyRecord, verdict: ConfirmationResult | None) -> Sequence[TrialRecord]:
    """Return the trials that are shown as best; ``verdict`` is that of the newest confirmation."""
    if ablated_search(record.study) is not None:
        return []
    if is_confirmation(record.study):
        # The best of its trainings would only be that with the luckiest seed.
        return kept_trainings(record) if record.is_finished else []
    if verdict is not None and verdict.has_valid_winner and not record.goals.is_multi_objective:
        return [trial for trial in record.trials if trial.number == verdict.winner]
    return front(record)


def _numbers(trials: Sequence[TrialRecord]) -> list[int]:
    return [trial.number for trial in trials if trial.number is not None]
