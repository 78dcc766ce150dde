"""A study and its trials as stored in the ledger, valued by the study's objective."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hpsearch.errors import UnknownName
from hpsearch.formatting import first_few
from hpsearch.results import data_sets, trial_attributes
from hpsearch.search.database.storage import Database
from hpsearch.search.database.tables import TicketState
from hpsearch.search.ledger import queries, studies, validity
from hpsearch.search.ledger.queries import Counts, Ticket
from hpsearch.search.ledger.studies import StoredStudy
from hpsearch.search.ledger.validity import Declaration
from hpsearch.study_file.goals import Goals, Objective
from hpsearch.study_file.space import plain_values
from hpsearch.study_file.study import Confirm

#: Largest number of damaged rows in a sentence.
_DAMAGED_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """One trial, over all its attempts."""

    ticket: int
    #: Optuna's number, which users see; ``None`` before its configuration is drawn.
    number: int | None
    trial_id: int | None
    state: TicketState
    #: Path -> stored value; empty before it is drawn.
    params: Mapping[str, Any]
    #: The objective by the study's rule (last or best epoch); ``None`` before the first epoch.
    value: float | None
    last_value: float | None
    best_value: float | None
    best_epoch: int | None
    epochs_done: int
    #: The rung at which a promoting pruner keeps it: it waits or has ended there.
    rung: int | None
    compute_seconds: float
    #: Number of attempts.
    attempts: int
    #: The worker of the current attempt.
    owner: str | None
    #: Number of infeasible draws before this one.
    infeasible: int
    #: The last error, with its traceback if there was one.
    error: str | None
    #: Relative to the runs root.
    checkpoint: str | None
    checkpoint_epoch: int | None
    #: Name -> value of each objective and each constrained metric, once the trial has ended; empty
    #: with one objective and no constraint.
    metrics: Mapping[str, float] = field(default_factory=dict)
    #: Why it was declared invalid; ``None`` if it wasn't.
    invalid: Declaration | None = None
    #: A warning if it was trained on other images than the first trials.
    other_images: str | None = None
    #: Columns of its ticket that can't be read.
    damaged: tuple[str, ...] = ()

    @property
    def flaws(self) -> list[str]:
        """Warnings for every comparison of the trial, a phrase each."""
        lines = [] if self.other_images is None else [self.other_images]
        return lines + (
            [f"damaged in the database: {', '.join(self.damaged)}"] if self.damaged else []
        )

    @property
    def waits(self) -> bool:
        """Whether it is paused at a rung until it is promoted or the study's budget is used."""
        return self.state is TicketState.PAUSED and self.rung is not None


@dataclass(frozen=True, kw_only=True)
class StudyRecord:
    """A stored study and its trials by ticket."""

    study: StoredStudy
    goals: Goals
    counts: Counts
    trials: tuple[TrialRecord, ...]
    #: Sentences to show with every list or ranking of the trials.
    warnings: tuple[str, ...] = ()

    @property
    def objective(self) -> Objective:
        """The metric that every epoch measures; with one objective, the one that ranks trials."""
        return self.goals.objective

    @property
    def confirm(self) -> Confirm:
        """How the study file asks to confirm the winner."""
        return Confirm(**(self.study.document.get("confirm") or {}))

    @property
    def is_finished(self) -> bool:
        """Whether every trial of the budget, or of an exhausted space, has ended."""
        return self.counts.all_ended(self.study.trial_budget, exhausted=self.study.exhausted)

    def values(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return stored parameters as in the study file: lists as lists."""
        return plain_values(self.study.document, params)

    @property
    def paths(self) -> list[str]:
        """Paths of all parameters of the trials."""
        return list(dict.fromkeys(path for trial in self.trials for path in trial.params))

    def trial(self, number: int) -> TrialRecord:
        """Return the trial with Optuna's ``number``.

        Raises:
            UnknownName: If there is none.
        """
        for trial in self.trials:
            if trial.number == number:
                return trial
        numbers = [trial.number for trial in self.trials if trial.number is not None]
        raise UnknownName(f"trial of study {self.study.name!r}", str(number), _runs(numbers))


def first_of_try_first(database: Database, record: StudyRecord) -> TrialRecord | None:
    """Return the trial of the first configuration of ``try_first``.

    Args:
        database: The study's database.
        record: The study with its trials.

    Returns:
        The trial; ``None`` if there is none. If the configuration couldn't be built, the first
        trial has another one.
    """
    first = next((trial for trial in record.trials if trial.ticket == 1), None)
    if first is None or first.trial_id is None:
        return None
    is_from_try_first = trial_attributes.read(database, first.trial_id).get("try_first", False)
    return first if is_from_try_first else None


def _runs(numbers: Iterable[int]) -> list[str]:
    """Return numbers as runs: ``0``, ``2 to 6``."""
    runs: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return [str(low) if low == high else f"{low} to {high}" for low, high in runs]


def read_study(database: Database, name: str) -> StudyRecord:
    """Read a study and all its trials.

    Raises:
        UnknownName: If there is no such study; it lists the existing ones.
    """
    study = studies.find(database, name)
    goals = Goals.of(study.document)
    tickets = queries.all_tickets(database, study.study_id)
    invalid: Mapping[int, Declaration] = {}
    if any(ticket.state is TicketState.INVALID for ticket in tickets):
        invalid = validity.declarations(database, study.study_id)
    others = data_sets.on_other_images(database, study.study_id, tickets)
    return StudyRecord(
        study=study,
        goals=goals,
        counts=queries.counts(database, study.study_id),
        trials=tuple(
            _record(ticket, goals.objective, invalid.get(ticket.ticket), others)
            for ticket in tickets
        ),
        warnings=tuple(
            filter(None, (data_sets.changed_images_warning(tickets, others), _damage(tickets)))
        ),
    )


def _damage(tickets: Sequence[Ticket]) -> str | None:
    """Return the sentence that names the rows that can't be read."""
    damaged = [ticket for ticket in tickets if ticket.damaged]
    if not damaged:
        return None
    rows = [
        f"ticket {ticket.ticket}"
        + ("" if ticket.number is None else f" (trial {ticket.number})")
        + f": {', '.join(ticket.damaged)}"
        for ticket in damaged
    ]
    return (
        "damaged rows in the database (hpsearch_tickets): "
        f"{first_few(rows, _DAMAGED_SHOWN, '; ')}. All other rows are shown"
    )


def _record(
    ticket: Ticket,
    objective: Objective,
    invalid: Declaration | None,
    others: Mapping[int, str],
) -> TrialRecord:
    return TrialRecord(
        ticket=ticket.ticket,
        number=ticket.number,
        trial_id=ticket.trial_id,
        state=ticket.state,
        params=ticket.params or {},
        value=ticket.best_value if objective.at == "best" else ticket.value,
        last_value=ticket.value,
        best_value=ticket.best_value,
        best_epoch=ticket.best_epoch,
        epochs_done=ticket.epochs_done,
        rung=ticket.rung,
        compute_seconds=ticket.compute_seconds,
        attempts=ticket.attempt,
        owner=ticket.owner,
        infeasible=ticket.infeasible,
        error=ticket.last_error,
        checkpoint=ticket.checkpoint,
        checkpoint_epoch=ticket.checkpoint_epoch,
        metrics=ticket.figures or {},
        invalid=invalid,
        other_images=others.get(ticket.ticket),
        damaged=ticket.damaged,
    )
