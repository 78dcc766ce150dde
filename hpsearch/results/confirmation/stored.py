"""A confirmation in the database: a study of its own, named after the search.

Its settings are in its document (``spec``). Ticket n is entry n of the plan, which follows from the
tickets that have ended. So nothing else is stored, and every worker computes the same plan.
"""

from __future__ import annotations

from collections.abc import Mapping

from hpsearch.results.confirmation.outcomes import started_trainings, walk, with_predictions
from hpsearch.results.confirmation.plan import (
    PlannedTraining,
    Progress,
    TrainingResult,
    expected_length,
    progress,
)
from hpsearch.results.confirmation.spec import confirmed_search, spec_of
from hpsearch.results.records import StudyRecord, TrialRecord, read_study
from hpsearch.search.database.storage import Database
from hpsearch.search.database.tables import TicketState
from hpsearch.search.ledger import studies
from hpsearch.search.ledger.events import EventKind, event_log
from hpsearch.search.ledger.studies import StoredStudy

#: Suffix of the search's name; later confirmations end in ``-confirm-2``, ``-confirm-3``, ...
SUFFIX = "-confirm"


def name_of(study: str, nth: int) -> str:
    """Return the name of a search's ``nth`` confirmation, from 1."""
    return studies.nth_name(f"{study}{SUFFIX}", nth)


def is_confirmation(study: StoredStudy) -> bool:
    """Whether a stored study is a confirmation, not a search."""
    return confirmed_search(study) is not None


def confirmations(database: Database, study: str) -> list[StoredStudy]:
    """Return the confirmations of the search called ``study``, oldest first.

    If another program deleted one, it and the later ones are left out.
    """
    return studies.numbered(database, name_of(study, 1), is_confirmation)


def newest(database: Database, study: str) -> StudyRecord | None:
    """Read the newest confirmation of the search called ``study``; ``None`` if there is none."""
    oldest_first = confirmations(database, study)
    return read_study(database, oldest_first[-1].name) if oldest_first else None


def trainings(confirmation: StudyRecord) -> dict[PlannedTraining, TrialRecord]:
    """Return each training that was started, in the order of their tickets."""
    return started_trainings(confirmation, progress_of(confirmation).planned)


def progress_of(confirmation: StudyRecord) -> Progress:
    """Return the confirmation's progress."""
    return ended_trainings(confirmation)[0]


def expected_trainings(confirmation: StudyRecord) -> int:
    """Return about how many trainings the confirmation will have, including those that have ended.

    Its budget contains only what the plan knows so far, which grows from round to round.
    """
    return expected_length(spec_of(confirmation.study), ended_trainings(confirmation)[1])


def ended_trainings(
    confirmation: StudyRecord,
) -> tuple[Progress, dict[PlannedTraining, TrainingResult]]:
    """Return the progress, and the result of each training that has ended."""
    spec = spec_of(confirmation.study)
    outcomes = walk(confirmation, lambda ended: progress(spec, ended).planned)
    return progress(spec, outcomes), outcomes


def outcomes_of(
    database: Database, confirmation: StudyRecord
) -> dict[PlannedTraining, TrainingResult]:
    """Return the result of each training that has ended, with its predictions.

    Raises:
        StorageError: If stored predictions are damaged.
    """
    return with_predictions(database, confirmation, trainings(confirmation))


def kept_trainings(confirmation: StudyRecord) -> list[TrialRecord]:
    """Return the trainings whose best weights are kept.

    These are the winner's trainings with the report's seeds, which are evaluated and exported.
    While the winner may still fail, they are those of every report seed.
    """
    spec, now = spec_of(confirmation.study), progress_of(confirmation)
    return [
        trial
        for entry, trial in trainings(confirmation).items()
        if trial.state is TicketState.COMPLETE
        and entry.seed in spec.report_seeds
        and (not now.finished or entry.trial == now.winner)
    ]


def invalid_finalists(search: StudyRecord, confirmation: StudyRecord) -> dict[int, str]:
    """Return finalist -> why its value in the search was declared invalid.

    Its trainings in the confirmation have fresh seeds, but they may have the same fault.
    """
    params = spec_of(confirmation.study).params
    return {
        trial.number: trial.invalid.reason
        for trial in search.trials
        if trial.invalid is not None and trial.number in params
    }


def newer_trials(search: StudyRecord, confirmation: StudyRecord) -> int:
    """Return how many trials of the search have ended since the finalists were chosen."""
    return search.counts.finished - spec_of(confirmation.study).search.trials


def record_latencies(
    database: Database, confirmation: StudyRecord, seconds: Mapping[int, float], device: str
) -> None:
    """Store the latency of each finalist's model, measured side by side.

    Args:
        database: The confirmation's database.
        confirmation: The confirmation.
        seconds: Trial -> seconds per image.
        device: The device that they were measured on.
    """
    detail = {
        "device": device,
        "seconds": {str(trial): latency for trial, latency in seconds.items()},
    }
    studies.record_study_event(
        database, confirmation.study.study_id, EventKind.LATENCY_MEASURED, detail
    )


def latencies(database: Database, confirmation: StudyRecord) -> dict[int, float]:
    """Return trial -> seconds per image, as measured last; empty if it wasn't measured."""
    log = event_log(database, confirmation.study.study_id)
    for event in reversed(log):
        if event.kind == EventKind.LATENCY_MEASURED and "seconds" in event.detail:
            return {int(trial): latency for trial, latency in event.detail["seconds"].items()}
    return {}
