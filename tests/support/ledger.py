"""Workers without training: claims and fenced writes of one study, by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import sqlalchemy as sa
from optuna import load_study
from optuna.storages import RDBStorage
from optuna.study import Study
from optuna.trial import FrozenTrial
from sqlalchemy import NullPool
from sqlalchemy.engine import Connection
from sqlalchemy.exc import OperationalError

from hpsearch.search.database.storage import Database
from hpsearch.search.database.tables import TicketState, tickets
from hpsearch.search.history import distribution_of
from hpsearch.search.ledger import queries, studies
from hpsearch.search.ledger.claims import Claims
from hpsearch.search.ledger.decision import AuditSample
from hpsearch.search.ledger.events import Event, event_log
from hpsearch.search.ledger.lease import LeaseState, LeaseWatch
from hpsearch.search.ledger.ledger import Ledger
from hpsearch.search.ledger.studies import StoredStudy
from hpsearch.search.ledger.types import CheckpointRef, Claim, Idle, SearchRules, TrialRow
from hpsearch.search.pruning.pruners import PRUNERS
from hpsearch.study_file.space import Space
from hpsearch.study_file.study import StudyFile
from support.searching import LINE, epoch_end

T = TypeVar("T")

LEASE = 30.0


class Clock:
    """A monotonic clock that tests move."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Hand:
    """One worker: what it may claim, and its hand on the ledger."""

    claims: Claims
    ledger: Ledger
    clock: Clock = field(default_factory=Clock)

    def claim(self) -> Claim:
        """Claim a ticket that must be there."""
        claim = self.claims.claim()
        assert isinstance(claim, Claim), claim
        return claim

    def idle(self) -> Idle:
        """Ask for a ticket where there must be none."""
        answer = self.claims.claim()
        assert isinstance(answer, Idle), answer
        return answer

    def started(self, row: TrialRow | None = None) -> Claim:
        """Claim a ticket and create its trial."""
        claim = self.claim()
        trial_id, number = self.ledger.start(claim, row or line_row(claim.ticket / 100))
        return replace(claim, trial_id=trial_id, number=number)

    def report(
        self,
        claim: Claim,
        epoch: int,
        value: float,
        checkpoint: CheckpointRef | None = None,
        measured: Mapping[str, float] | None = None,
        **others: Any,
    ) -> str:
        """Report one epoch."""
        end = epoch_end(epoch, value, **others)
        return self.ledger.report(claim, end, checkpoint, measured)

    def finish(self, claim: Claim, values: list[float] | None = None, *, first: int = 1) -> str:
        """Report the epochs from ``first`` on; returns the last decision."""
        decision = ""
        for epoch, value in enumerate(values or [0.5] * 3, start=first):
            decision = self.report(claim, epoch, value)
        return decision

    def look(self, seconds: float, every: float = 5.0) -> None:
        """Watch the others' leases for ``seconds`` of this worker's own time."""
        for _ in range(round(seconds / every)):
            self.clock.now += every
            self.claims._watch.expired(self.claims._database.read(running_leases))


def running_leases(connection: Connection) -> list[LeaseState]:
    """Return the leases as a claim reads them."""
    query = sa.select(
        tickets.c.ticket, tickets.c.attempt, tickets.c.renewals, tickets.c.lease_seconds
    ).where(tickets.c.state == TicketState.RUNNING)
    return [LeaseState(**row) for row in connection.execute(query).mappings()]


@dataclass
class Search:
    """One study in one database."""

    database: Database
    stored: StoredStudy
    file: StudyFile
    rules: SearchRules

    @property
    def study_id(self) -> int:
        """Optuna's study_id, and the ledger's."""
        return self.stored.study_id

    def hand(self, owner: str = "one", *, lease_seconds: float = LEASE) -> Hand:
        """Return a worker of this name."""
        clock = Clock()
        claims = Claims(
            self.database,
            self.study_id,
            owner,
            lease_seconds=lease_seconds,
            seen_stops=studies.find(self.database, self.stored.name).stops,
            needs_point=lambda _: self.rules.is_enumerated,
            rules=self.rules,
            watch=LeaseWatch(clock),
        )
        ledger = Ledger(self.database, self.study_id, owner, self.rules)
        return Hand(claims=claims, ledger=ledger, clock=clock)

    def tickets(self) -> list[queries.Ticket]:
        """Return every ticket."""
        return queries.all_tickets(self.database, self.study_id)

    def ticket(self, number: int = 1) -> queries.Ticket:
        """Return one ticket."""
        return next(ticket for ticket in self.tickets() if ticket.ticket == number)

    def counts(self) -> queries.Counts:
        """Count the tickets by state."""
        return queries.counts(self.database, self.study_id)

    def events(self, ticket: int | None = None) -> list[str]:
        """Return the kinds of the events, oldest first."""
        return [event.kind for event in self.event_log(ticket)]

    def event_log(self, ticket: int | None = None) -> list[Event]:
        """Return the events, oldest first."""
        return event_log(self.database, self.study_id, ticket)

    def optuna_study(self) -> Study:
        """Return the study as Optuna's own storage loads it."""
        return optuna_study(self.database, self.stored.name)

    def trials(self) -> list[FrozenTrial]:
        """Return the trials as Optuna's own storage reads them."""
        return self.optuna_study().get_trials()


def open_search(
    database: Database,
    file: StudyFile,
    *,
    pruner: str = "none",
    settings: Mapping[str, Any] | None = None,
    is_enumerated: bool = False,
    max_failures: int = 3,
    audit: AuditSample | None = None,
) -> Search:
    """Attach ``file`` to a database that has tables; ``asha`` promotes from the third trial on."""
    rule = {**({"startup_trials": 1} if pruner == "asha" else {}), **(settings or {})}
    rules = SearchRules(
        metric=file.objective.metric,
        maximize=file.objective.direction == "maximize",
        best_epoch_counts=file.objective.at == "best",
        epochs_per_trial=file.budget.epochs_per_trial,
        pruner=PRUNERS[pruner].build(**rule),
        is_enumerated=is_enumerated,
        max_failures=max_failures,
        audit=audit or AuditSample(),
        goals=None if file.goals.is_single_unconstrained else file.goals,
    )
    return Search(database=database, stored=studies.attach(database, file), file=file, rules=rules)


def optuna_study(database: Database, name: str) -> Study:
    """Load a study with nothing but Optuna."""
    return load_study(study_name=name, storage=optuna_storage(database))


def optuna_storage(database: Database) -> RDBStorage:
    """Open the database with nothing but Optuna; no connection outlives a call."""
    url = database.url.render_as_string(hide_password=False)
    return RDBStorage(
        url,
        engine_kwargs={"poolclass": NullPool},
        skip_compatibility_check=True,
        skip_table_creation=True,
    )


def row(params: Mapping[str, Any], space: Space, **user_attrs: Any) -> TrialRow:
    """Return a configuration of ``space`` as the ledger takes it."""
    parameters = space.parameters()
    return TrialRow(
        params=params,
        distributions={path: distribution_of(parameters[path]) for path in params},
        user_attrs=user_attrs,
        system_attrs={},
    )


def line_row(lr: float) -> TrialRow:
    """Return a configuration of ``LINE``."""
    return row({"lr": lr}, LINE)


class LosesAnswers(Database):
    """A database whose answers are lost after the commit, as often as it is told to."""

    to_lose = 0

    def _once(self, work: Callable[[Connection], T], *, writes: bool) -> T:
        answer = super()._once(work, writes=writes)
        if writes and self.to_lose:
            self.to_lose -= 1
            cause: Exception = _cut_off()
            raise OperationalError("COMMIT", {}, cause, connection_invalidated=True)
        return answer


def _cut_off() -> Exception:
    import sqlite3

    return sqlite3.OperationalError("database is locked")
