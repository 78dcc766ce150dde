"""Which trial is best. Only trials that were trained to the last epoch are compared."""

from __future__ import annotations

from hpsearch.results.confirmation.stored import is_confirmation, kept_trainings
from hpsearch.results.records import StudyRecord, TrialRecord
from hpsearch.search.ledger_tables import TicketState


def ranked(record: StudyRecord) -> list[TrialRecord]:
    """Return the complete trials, best first; of equal ones the lower number is first.

    A pruned trial's value is from another epoch, so it has no rank.
    """
    sign = -1.0 if record.objective.direction == "maximize" else 1.0
    complete = [
        (sign * trial.value, trial.number, trial)
        for trial in record.trials
        if trial.state is TicketState.COMPLETE
        and trial.value is not None
        and trial.number is not None
    ]
    return [trial for *_, trial in sorted(complete, key=lambda entry: entry[:2])]


def best(record: StudyRecord) -> TrialRecord | None:
    """Return the winner so far, ``None`` before a trial is complete."""
    return next(iter(ranked(record)), None)


def weights_kept(record: StudyRecord) -> list[TrialRecord]:
    """Return the trials whose best weights stay on disk."""
    if is_confirmation(record.study):
        return kept_trainings(record)
    winner = best(record)
    return [] if winner is None else [winner]
