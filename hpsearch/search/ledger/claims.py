"""Claiming: which ticket a worker takes next. One transaction, so that no two take the same."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from hpsearch.errors import StorageError
from hpsearch.search.database import optuna_rows
from hpsearch.search.database.prepared import Statement, execute, fetch_many, insertion
from hpsearch.search.database.storage import Database
from hpsearch.search.database.stored_json import Damaged, decode
from hpsearch.search.database.tables import TicketState, studies, tickets
from hpsearch.search.ledger.events import EventKind, record_event
from hpsearch.search.ledger.lease import LeaseState, LeaseWatch
from hpsearch.search.ledger.rungs import (
    IS_LOST,
    VAL_CONFUSION,
    RungCounter,
    end_waiting,
    next_promoted,
)
from hpsearch.search.ledger.seen_events import SeenEvent, gone_back, newest_event
from hpsearch.search.ledger.statements import (
    LOCK_STUDY,
    Row,
    fail_attempt,
    lock_study,
    lock_ticket,
    next_grid_index,
    row_of,
    update_ticket,
)
from hpsearch.search.ledger.study_identity import IS_OURS, require_ours
from hpsearch.search.ledger.types import CheckpointRef, Claim, Idle, SearchRules

_of_study_in_state = sa.and_(
    tickets.c.study_id == sa.bindparam("study_id"), tickets.c.state == sa.bindparam("state")
)
# Not the column itself: Postgres would read all tickets in this order, since it expects the first
# lost one soon; mostly there is none. The index finds all paused ones, which are few.
_BY_TICKET = tickets.c.ticket + 0
_RUNS = tickets.c.state == TicketState.RUNNING
_RUNNING = Statement(
    sa.select(
        tickets.c.ticket, tickets.c.attempt, tickets.c.renewals, tickets.c.lease_seconds
    ).where(_of_study_in_state)
)
_FIRST_LOST = Statement(
    sa.select(tickets)
    .where(tickets.c.study_id == sa.bindparam("study_id"), IS_LOST)
    .order_by(_BY_TICKET)
    .limit(1)
)
# Tickets have the numbers 1, 2, 3, ... without a gap, except in an exhausted space
_ISSUED = Statement(
    sa.select(sa.func.coalesce(sa.func.max(tickets.c.ticket), 0)).where(
        tickets.c.study_id == sa.bindparam("study_id")
    )
)
_INSERT = insertion(
    tickets,
    "study_id",
    "ticket",
    "state",
    "attempt",
    "owner",
    "claim_key",
    "lease_seconds",
    "point",
)


class Claims:
    """Takes tickets for one worker.

    Args:
        database: The study's database.
        study_id: Optuna's id of the study.
        owner: The worker's name, unique among all workers that the study has had.
        lease_seconds: Seconds without a renewal after which other workers may take our ticket.
        seen_stops: The study's ``stops`` when the worker began; a larger one stops it.
        needs_point: Returns whether a new ticket, given by number, draws from an enumerated space.
        rules: The study's rules for promotions and for failed attempts.
        watch: Decides which leases have expired; ``None`` for a new one.
        has_time: Returns whether a trial may be trained further, given its epochs so far and
            their seconds (zeros for a new one); a study with a deadline needs it.
    """

    def __init__(
        self,
        database: Database,
        study_id: int,
        owner: str,
        *,
        lease_seconds: float,
        seen_stops: int,
        needs_point: Callable[[int], bool],
        rules: SearchRules,
        watch: LeaseWatch | None = None,
        has_time: Callable[[int, float], bool] = lambda epochs, seconds: True,
    ) -> None:
        self._database = database
        self._study_id = study_id
        self._owner = owner
        self._lease_seconds = lease_seconds
        self._seen_stops = seen_stops
        self._needs_point = needs_point
        self._rules = rules
        self._watch = watch or LeaseWatch()
        self._has_time = has_time
        self._counter = RungCounter(study_id, rules.rungs)
        self._run_key: str | None = None
        #: How many trials ran at the last claim.
        self._running = 0
        #: The event of the last claim.
        self._last_event: SeenEvent | None = None

    @property
    def running(self) -> int:
        """How many trials ran at the last claim, without the claimed one."""
        return self._running

    def claim(self) -> Claim | Idle:
        """Take a ticket that was lost or given back, a promoted one, or a new one, in this order.

        If no such ticket is left and no trial runs, the trials that still wait at a rung end: the
        study's budget is used.

        Raises:
            DatabaseReplaced: The event of the last claim is gone.
        """
        key = uuid4().hex
        tries = count()

        def work(connection: Connection) -> tuple[Claim | Idle, SeenEvent | None]:
            # A new key can't be in the table yet: only a repetition must look for it.
            claimed = self._claim(connection, key, repeated=next(tries) > 0)
            if isinstance(claimed, Idle):
                return claimed, None
            newest = newest_event(connection, self._study_id, claimed.ticket)
            return replace(claimed, running=self._running), newest

        claimed, event = self._database.write(work)
        # Not before the commit: a rolled-back event was never there.
        self._last_event = event or self._last_event
        return claimed

    def _claim(self, connection: Connection, key: str, *, repeated: bool) -> Claim | Idle:
        of_study = {"study_id": self._study_id}
        study_rows, key_rows, running, lost_rows, ((issued,),) = fetch_many(
            connection,
            [
                (LOCK_STUDY, of_study),
                (IS_OURS, of_study),
                (_RUNNING, {**of_study, "state": TicketState.RUNNING}),
                (_FIRST_LOST, of_study),
                (_ISSUED, of_study),
            ],
        )
        require_ours(connection, self._study_id, key_rows)
        study = row_of(studies, study_rows)
        if study is None:
            raise RuntimeError(f"study {self._study_id} is no longer in the database")
        self._require_same(study)
        if self._last_event is not None and not self._last_event.is_kept(connection):
            raise gone_back(self._database, f"study {study['name']!r}")
        if repeated:
            own = self._find(connection, tickets.c.claim_key == key)
            if own is not None:  # The commit succeeded, but its answer was lost.
                return _claim_of(own)
        if study["stops"] > self._seen_stops:
            return Idle.STOPPED
        lost = row_of(tickets, lost_rows)
        # Running tickets are read before lost ones, and only once: a ticket that is given back in
        # between would be neither, and the study would seem to be finished. If none runs, nothing
        # changes while we hold the study's lock.
        self._running = len(running)
        somebody_runs = bool(running)
        expired = self._watch.expired(_lease_of(row) for row in running)
        for lease in expired:
            self._free(connection, lease)
        if expired:
            somebody_runs = self._find(connection, _RUNS) is not None
            lost = self._find(connection, IS_LOST)
        if lost is not None and self._may_go_on(lost):
            return self._resume(connection, key, lost)
        may_begin = self._has_time(0, 0.0)
        promoted = next_promoted(
            connection, study, self._rules, self._counter, closing=not may_begin
        )
        if promoted is not None and self._may_go_on(promoted):
            return self._resume(connection, key, promoted)
        is_left = issued < study["trials"] + study["granted"] and not study["exhausted"]
        if is_left and may_begin:
            return self._issue(connection, key, study, issued + 1)
        if is_left or lost is not None or promoted is not None:
            return Idle.OUT_OF_TIME
        if somebody_runs:
            return Idle.WAIT
        if self._rules.rungs:
            end_waiting(connection, self._study_id, self._rules, owner=self._owner)
        return Idle.FINISHED

    def _may_go_on(self, ticket: Row) -> bool:
        return self._has_time(ticket["epochs_done"], ticket["compute_seconds"])

    def _require_same(self, study: Row) -> None:
        """Refuse another study that has the id of this worker's study."""
        self._run_key = self._run_key or study["run_key"]
        if study["run_key"] != self._run_key:
            raise StorageError(
                "the study of this worker was deleted, and its id now belongs to study "
                f"{study['name']!r}; start a new worker"
            )

    def _find(self, connection: Connection, condition: sa.ColumnElement[bool]) -> Row | None:
        query = (
            sa.select(tickets)
            .where(tickets.c.study_id == self._study_id, condition)
            .order_by(_BY_TICKET)
            .limit(1)
        )
        row = connection.execute(query).mappings().first()
        return None if row is None else dict(row)

    def _free(self, connection: Connection, lease: LeaseState) -> None:
        """Pause a ticket whose lease has expired, unless its owner has just renewed it."""
        row = lock_ticket(connection, self._study_id, lease.ticket)
        if (
            row is not None
            and row["state"] == TicketState.RUNNING
            and (row["attempt"], row["renewals"]) == (lease.attempt, lease.renewals)
        ):
            silence = f"no heartbeat for {lease.lease_seconds:g} s"
            fail_attempt(
                connection, row, EventKind.LEASE_EXPIRED, silence, self._rules.max_failures
            )

    def _resume(self, connection: Connection, key: str, row: Row) -> Claim:
        attempt = row["attempt"] + 1
        update_ticket(
            connection,
            self._study_id,
            row["ticket"],
            state=TicketState.RUNNING,
            attempt=attempt,
            owner=self._owner,
            claim_key=key,
            lease_seconds=self._lease_seconds,
            rung=None,
        )
        detail = {
            "pid": os.getpid(),
            "epochs_done": row["epochs_done"],
            "checkpoint_epoch": row["checkpoint_epoch"],
        }
        if row["rung"] is not None:
            detail["promoted_from"] = row["rung"]
            optuna_rows.delete_user_attr(connection, row["trial_id"], VAL_CONFUSION)
        record_event(
            connection,
            self._study_id,
            row["ticket"],
            attempt,
            EventKind.RESUMED,
            self._owner,
            detail,
        )
        return _claim_of({**row, "attempt": attempt})

    def _issue(self, connection: Connection, key: str, study: Row, ticket: int) -> Claim:
        point = next_grid_index(connection, study) if self._needs_point(ticket) else None
        execute(
            connection,
            _INSERT,
            study_id=self._study_id,
            ticket=ticket,
            state=TicketState.RUNNING,
            attempt=1,
            owner=self._owner,
            claim_key=key,
            lease_seconds=self._lease_seconds,
            point=point,
        )
        detail = {"pid": os.getpid()}
        record_event(connection, self._study_id, ticket, 1, EventKind.CLAIMED, self._owner, detail)
        return Claim(
            study_id=self._study_id,
            ticket=ticket,
            attempt=1,
            trial_id=None,
            number=None,
            params=None,
            point=point,
            infeasible=0,
            epochs_done=0,
            checkpoint=None,
        )


def _lease_of(row: Sequence[Any]) -> LeaseState:
    ticket, attempt, renewals, lease_seconds = row
    return LeaseState(
        ticket=ticket, attempt=attempt, renewals=renewals, lease_seconds=lease_seconds
    )


def free_tickets_of(
    database: Database,
    study_id: int,
    owner: str,
    max_failures: int = 3,
    *,
    reason: str = "the worker process died",
) -> int:
    """Pause the running tickets of a worker that has died, without waiting for their leases.

    Only for a caller that saw the process end, such as its parent.

    Args:
        database: The study's database.
        study_id: Optuna's id of the study.
        owner: The name of the dead worker.
        max_failures: Failures without a new epoch in between after which a ticket has FAILED.
        reason: The error that the tickets get.

    Returns:
        The number of tickets.
    """

    def work(connection: Connection) -> int:
        lock_study(connection, study_id)
        query = (
            sa.select(tickets)
            .where(
                tickets.c.study_id == study_id,
                tickets.c.owner == owner,
                tickets.c.state == TicketState.RUNNING,
            )
            .with_for_update()
        )
        rows = [dict(row) for row in connection.execute(query).mappings()]
        for row in rows:
            fail_attempt(connection, row, EventKind.WORKER_DIED, reason, max_failures)
        return len(rows)

    return database.write(work)


def _claim_of(row: Mapping[Any, Any]) -> Claim:
    checkpoint = None
    if row["checkpoint"] is not None:
        checkpoint = CheckpointRef(
            key=row["checkpoint"],
            sha256=row["checkpoint_sha256"],
            epoch=row["checkpoint_epoch"],
        )
    try:
        params = None if row["params"] is None else decode(row["params"])
        damaged = False
    except Damaged:
        params, damaged = None, True
    return Claim(
        study_id=row["study_id"],
        ticket=row["ticket"],
        attempt=row["attempt"],
        trial_id=row["trial_id"],
        number=row["number"],
        params=params,
        damaged=damaged,
        point=row["point"],
        infeasible=row["infeasible"],
        epochs_done=row["epochs_done"],
        checkpoint=checkpoint,
    )
