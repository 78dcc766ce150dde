"""The ledger: every write about a ticket, each in one fenced transaction.

A transaction first checks that the attempt is still ours, then writes Optuna's rows and our own
together. So a worker that was stopped, lost its lease and woke up again can't write: its calls
raise ``LeaseLost``. A call may be repeated if the answer of its commit was lost.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from optuna.trial import TrialState
from sqlalchemy.engine import Connection

from hpsearch.errors import LeaseLost
from hpsearch.search import optuna_rows
from hpsearch.search.epoch_reports import EpochReports
from hpsearch.search.events import EventKind
from hpsearch.search.ledger_statements import (
    Row,
    fail_attempt,
    is_ticket,
    lock_study,
    lock_ticket,
    next_grid_index,
)
from hpsearch.search.ledger_tables import TicketState, studies, tickets
from hpsearch.search.ledger_types import CheckpointRef, Claim, TrialRow


class Ledger(EpochReports):
    """One worker's writes to one study's ledger. ``owner`` is the worker's unique name.

    ``epoch_reports`` contains the report of an epoch.
    """

    def renew(self, claim: Claim) -> int:
        """Renew the lease; returns how often the study was asked to stop.

        Raises:
            LeaseLost: The attempt is over, or its own report has ended the trial.
        """

        def work(connection: Connection) -> int | None:
            ticket = lock_ticket(connection, claim.study_id, claim.ticket)
            if self._has_ended_it(claim, ticket):
                return None
            self.require_ours(claim, ticket)
            self.update(connection, claim)
            return int(
                connection.execute(
                    sa.select(studies.c.stops).where(studies.c.study_id == self.study_id)
                ).scalar_one()
            )

        stops = self.fenced(claim, "renew", work)
        if stops is None:
            # Not a late write: our own last report is stored, but its answer isn't here yet.
            raise LeaseLost(f"ticket {claim.ticket}: attempt {claim.attempt} has ended it")
        return stops

    def _has_ended_it(self, claim: Claim, ticket: Row | None) -> bool:
        """Whether this attempt's own report has ended the trial; no other attempt's can."""
        reported = (TicketState.COMPLETE, TicketState.PRUNED)
        return (
            ticket is not None
            and ticket["attempt"] == claim.attempt
            and ticket["state"] in reported
        )

    def start(self, claim: Claim, row: TrialRow) -> tuple[int, int]:
        """Create Optuna's row with its whole configuration; returns (trial_id, number)."""

        def work(connection: Connection) -> tuple[int, int]:
            lock_study(connection, self.study_id)
            ticket = self.fence(connection, claim)
            if ticket["trial_id"] is not None:
                return ticket["trial_id"], ticket["number"]
            trial_id, number = self._insert_trial(connection, claim, row)
            self.update(
                connection,
                claim,
                trial_id=trial_id,
                number=number,
                params=json.dumps(dict(row.params)),
            )
            self.event(connection, claim, EventKind.STARTED, {"trial": number})
            return trial_id, number

        return self.fenced(claim, "start", work)

    def infeasible(self, claim: Claim, row: TrialRow, reason: str, *, nth: int) -> int | None:
        """Record an infeasible draw of the ticket.

        Optuna gets a PRUNED row with a violated constraint: the only form in which its samplers
        learn from it. The budget doesn't change.

        Args:
            claim: The ticket, as this worker claimed it.
            row: The configuration; its ``system_attrs`` are its violations of the study's
                constraints. If it has none, it gets ``optuna_rows.INFEASIBLE_MARKS``.
            reason: Why the configuration is infeasible.
            nth: The number of the ticket's infeasible draws before this one.

        Returns:
            The next point of an enumerated space; ``None`` if the space isn't enumerated.

        Raises:
            LeaseLost: The attempt is over.
        """

        def work(connection: Connection) -> int | None:
            study = lock_study(connection, self.study_id)
            ticket = self.fence(connection, claim)
            if ticket["infeasible"] > nth:
                return None if ticket["point"] is None else int(ticket["point"])
            infeasible_row = TrialRow(
                params=row.params,
                distributions=row.distributions,
                user_attrs={**row.user_attrs, "infeasible": reason},
                system_attrs=row.system_attrs or optuna_rows.INFEASIBLE_MARKS,
            )
            trial_id, number = self._insert_trial(connection, claim, infeasible_row)
            optuna_rows.finish_trial(connection, trial_id, TrialState.PRUNED)
            point: int | None = ticket["point"]
            if self.rules.is_enumerated:
                point = next_grid_index(connection, study)
            self.update(connection, claim, infeasible=nth + 1, point=point)
            self.event(connection, claim, EventKind.INFEASIBLE, {"trial": number, "reason": reason})
            return point

        return self.fenced(claim, "infeasible", work)

    def release(self, claim: Claim, reason: str, checkpoint: CheckpointRef | None = None) -> None:
        """Give the ticket back, so that the next worker continues it at once.

        Args:
            claim: The ticket, as this worker claimed it.
            reason: Why, for the event log.
            checkpoint: The checkpoint to continue from; ``None`` for the last one recorded.

        Raises:
            LeaseLost: The attempt is over.
        """

        def work(connection: Connection) -> None:
            self.fence(connection, claim)
            columns: dict[str, Any] = {"state": TicketState.PAUSED, "owner": None}
            columns |= self.name_checkpoint(connection, claim, checkpoint)
            self.update(connection, claim, **columns)
            self.event(connection, claim, EventKind.RELEASED, {"reason": reason})

        self.fenced(claim, "release", work, leaves=EventKind.RELEASED)

    def fail(
        self,
        claim: Claim,
        error: str,
        *,
        retry: bool,
        at_most: int | None = None,
        infeasible_attrs: Mapping[str, Any] | None = None,
    ) -> bool:
        """End the attempt with an error.

        Args:
            claim: The ticket, as this worker claimed it.
            error: The error's text.
            retry: Whether another attempt may succeed.
            at_most: A limit of failures that replaces a higher ``SearchRules.max_failures``;
                ``None`` for no other limit.
            infeasible_attrs: User attributes for Optuna's row, if the configuration itself is at
                fault: when the ticket has FAILED, its row is marked as an infeasible draw, so that
                the sampler learns from it. ``None`` if it isn't at fault.

        Returns:
            Whether another attempt will follow.

        Raises:
            LeaseLost: The attempt is over.
        """

        def work(connection: Connection) -> bool:
            lock_study(connection, self.study_id)
            ticket = self.fence(connection, claim)
            most = self.rules.max_failures if retry else 1
            limit = most if at_most is None else min(most, at_most)
            return fail_attempt(
                connection, ticket, EventKind.ATTEMPT_FAILED, error, limit, infeasible_attrs
            )

        return self.fenced(claim, "fail", work, leaves=EventKind.ATTEMPT_FAILED)

    def note(self, claim: Claim, kind: EventKind, detail: Mapping[str, Any]) -> None:
        """Append to the event log what happened to this attempt outside the ledger.

        Args:
            claim: The ticket, as this worker claimed it; it needn't be ours any more.
            kind: What has happened.
            detail: JSON values, depending on the kind.
        """
        self.database.write(lambda connection: self.event(connection, claim, kind, detail))

    def withdraw(self, claim: Claim) -> None:
        """Take back a ticket for which the enumerated space has no point left."""

        def work(connection: Connection) -> None:
            lock_study(connection, self.study_id)
            self.fence(connection, claim)
            connection.execute(sa.delete(tickets).where(is_ticket(claim.study_id, claim.ticket)))
            connection.execute(
                sa.update(studies).where(studies.c.study_id == self.study_id).values(exhausted=True)
            )
            self.event(
                connection, claim, EventKind.WITHDRAWN, {"reason": "the space has no point left"}
            )

        self.fenced(claim, "withdraw", work, leaves=EventKind.WITHDRAWN)

    def _insert_trial(self, connection: Connection, claim: Claim, row: TrialRow) -> tuple[int, int]:
        return optuna_rows.insert_trial(
            connection,
            self.study_id,
            params=row.params,
            distributions=row.distributions,
            user_attrs={"ticket": claim.ticket, **row.user_attrs},
            system_attrs=row.system_attrs,
        )
