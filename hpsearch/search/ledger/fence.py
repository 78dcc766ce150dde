"""The fence around every write about a ticket: only the ticket's owner can write."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, TypeVar

from sqlalchemy.engine import Connection

from hpsearch.errors import LeaseLost
from hpsearch.search.database.storage import Database
from hpsearch.search.database.tables import TicketState
from hpsearch.search.ledger.events import EventKind, record_event
from hpsearch.search.ledger.seen_events import gone_back
from hpsearch.search.ledger.statements import Row, has_event, lock_ticket, update_ticket
from hpsearch.search.ledger.types import CheckpointRef, Claim

T = TypeVar("T")


class Fence:
    """What all writes of a worker share: the fence, the renewal of the lease, the event log.

    ``owner`` is the worker's unique name.
    """

    def __init__(self, database: Database, study_id: int, owner: str) -> None:
        self.database = database
        self.study_id = study_id
        self.owner = owner
        #: (Ticket, attempt) -> the most renewals that its row has had.
        self._renewals: dict[tuple[int, int], int] = {}

    def lock(self, connection: Connection, claim: Claim) -> Row:
        """Lock the ticket's row and check that it is still ours."""
        return self.require_ours(claim, lock_ticket(connection, claim.study_id, claim.ticket))

    def require_ours(self, claim: Claim, row: Row | None) -> Row:
        """Return the locked ``row`` if the attempt is still ours.

        Args:
            claim: The ticket, as this worker claimed it.
            row: The ticket's row, ``None`` if it is gone. Its values are committed, since it is
                locked.

        Raises:
            LeaseLost: The attempt is over.
            DatabaseReplaced: The row is older than one that was read before: its attempt
                or its renewals shrank.
        """
        if row is not None and self._is_older(claim, row):
            raise gone_back(self.database, f"study {self.study_id}")
        if (
            row is None
            or row["attempt"] != claim.attempt
            or row["state"] != TicketState.RUNNING
            or row["owner"] != self.owner
        ):
            raise LeaseLost(f"ticket {claim.ticket}: attempt {claim.attempt} is over")
        return row

    def _is_older(self, claim: Claim, row: Row) -> bool:
        key = (claim.ticket, claim.attempt)
        if row["attempt"] != claim.attempt:
            return bool(row["attempt"] < claim.attempt)
        most = self._renewals.get(key, 0)
        # One attempt is enough: a worker has only one, and late writes of the last are refused.
        self._renewals = {key: max(most, row["renewals"])}
        return bool(row["renewals"] < most)

    def run(
        self,
        claim: Claim,
        name: str,
        work: Callable[[Connection], T],
        *,
        leaves: EventKind | None = None,
    ) -> T:
        """Run ``work`` in a transaction, and log the write if the fence refuses it.

        Args:
            claim: The ticket, as this worker claimed it.
            name: The name of the write, for the event log.
            work: What to do; it may run several times.
            leaves: The event of a write that gives the ticket up; ``None`` for other writes. If
                the answer of the commit is lost, the repetition finds by this event that the
                write is done, although the ticket isn't ours any more.

        Returns:
            What ``work`` returned.

        Raises:
            LeaseLost: The attempt is over.
        """
        answers: list[T] = []

        def once(connection: Connection) -> T:
            if answers and leaves is not None and has_event(connection, claim, leaves, self.owner):
                return answers[-1]
            answers.append(work(connection))
            return answers[-1]

        try:
            return self.database.write(once)
        except LeaseLost:
            detail = {"write": name}
            self.database.write(
                lambda connection: self.event(connection, claim, EventKind.WRITE_REFUSED, detail)
            )
            raise

    def update(self, connection: Connection, claim: Claim, **columns: Any) -> None:
        """Write columns of the ticket, and renew its lease."""
        update_ticket(connection, claim.study_id, claim.ticket, **columns)

    def event(
        self, connection: Connection, claim: Claim, kind: EventKind, detail: Mapping[str, Any]
    ) -> None:
        """Append an event of this attempt to the event log.

        Args:
            connection: The transaction that the event belongs to.
            claim: The ticket, as this worker claimed it.
            kind: What has happened.
            detail: JSON values, depending on the kind.
        """
        record_event(
            connection, self.study_id, claim.ticket, claim.attempt, kind, self.owner, detail
        )

    def name_checkpoint(
        self, connection: Connection, claim: Claim, checkpoint: CheckpointRef | None
    ) -> dict[str, Any]:
        """Log a new checkpoint.

        Args:
            connection: The transaction that writes the ticket.
            claim: The ticket, as this worker claimed it.
            checkpoint: The checkpoint; ``None`` if there is no new one.

        Returns:
            The ticket's columns that name the checkpoint; empty if there is none.
        """
        if checkpoint is None:
            return {}
        self.event(connection, claim, EventKind.CHECKPOINT, asdict(checkpoint))
        return {
            "checkpoint": checkpoint.key,
            "checkpoint_sha256": checkpoint.sha256,
            "checkpoint_epoch": checkpoint.epoch,
        }
