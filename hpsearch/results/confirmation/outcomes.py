"""The trainings of a planned study that were started, and the results of those that have ended.

Ticket n is entry n of the study's plan, which follows from the tickets that have ended.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from hpsearch.results.confirmation.plan import PlannedTraining, TrainingResult
from hpsearch.results.confirmation.predictions import Predictions, decode
from hpsearch.results.records import StudyRecord, TrialRecord
from hpsearch.search.database import optuna_rows
from hpsearch.search.database.storage import Database
from hpsearch.search.database.stored_json import decode_or
from hpsearch.search.database.tables import TicketState

#: The attribute of a training's row with its predictions.
PREDICTIONS = "val_predictions"


def walk(
    record: StudyRecord,
    plan: Callable[[Mapping[PlannedTraining, TrainingResult]], Sequence[PlannedTraining]],
) -> dict[PlannedTraining, TrainingResult]:
    """Return the result of each training that has ended, without its predictions.

    Args:
        record: The planned study.
        plan: Returns every training that is known to be needed, from those that have ended. A known
            entry keeps its place.
    """
    ended = {trial.ticket: trial for trial in record.trials if trial.state.is_finished}
    previous = -1
    outcomes: dict[PlannedTraining, TrainingResult] = {}
    # Each completed round determines the next one, and its tickets
    while len(outcomes) > previous:
        previous = len(outcomes)
        outcomes = {
            entry: _outcome(ended[number])
            for number, entry in enumerate(plan(outcomes), start=1)
            if number in ended
        }
    return outcomes


def started_trainings(
    record: StudyRecord, planned: Sequence[PlannedTraining]
) -> dict[PlannedTraining, TrialRecord]:
    """Return each training that was started, in the order of their tickets."""
    by_ticket = {trial.ticket: trial for trial in record.trials}
    return {
        entry: by_ticket[number]
        for number, entry in enumerate(planned, start=1)
        if number in by_ticket
    }


def results_of(
    trainings: Mapping[PlannedTraining, TrialRecord],
) -> dict[PlannedTraining, TrainingResult]:
    """Return the result of each training that has ended, without its predictions."""
    return {entry: _outcome(trial) for entry, trial in trainings.items() if trial.state.is_finished}


def with_predictions(
    database: Database, record: StudyRecord, trainings: Mapping[PlannedTraining, TrialRecord]
) -> dict[PlannedTraining, TrainingResult]:
    """Return the result of each training that has ended, with its predictions.

    Args:
        database: The database of the planned study.
        record: The planned study.
        trainings: Its trainings that were started.

    Raises:
        StorageError: If stored predictions are damaged.
    """
    predictions = _predictions(database, record.study.study_id)
    return {
        entry: _outcome(trial, predictions.get(trial.trial_id or -1))
        for entry, trial in trainings.items()
        if trial.state.is_finished
    }


def _outcome(trial: TrialRecord, predictions: Predictions | None = None) -> TrainingResult:
    complete = trial.state is TicketState.COMPLETE
    return TrainingResult(value=trial.value if complete else None, predictions=predictions)


def _predictions(database: Database, study_id: int) -> dict[int, Predictions]:
    """Return trial id -> predictions."""
    attributes, trials = optuna_rows.TRIAL_USER_ATTRS, optuna_rows.TRIALS
    query = (
        sa.select(attributes.c.trial_id, attributes.c.value_json)
        .join(trials, trials.c.trial_id == attributes.c.trial_id)
        .where(trials.c.study_id == study_id, attributes.c.key == PREDICTIONS)
    )

    def work(connection: Connection) -> dict[int, str]:
        return {row.trial_id: row.value_json for row in connection.execute(query)}

    return {
        trial_id: decode(decode_or("damaged", text, "trial_user_attributes", trial_id, str))
        for trial_id, text in database.read(work).items()
    }
