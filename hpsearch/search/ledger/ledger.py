"""The ledger: every write about a ticket, each in one fenced transaction.

A transaction first checks that the attempt is still ours (``fence``), then writes Optuna's rows and
our own together. So a worker that was stopped, lost its lease and woke up again can't write: its
calls raise ``LeaseLost``. A call may be repeated if the answer of its commit was lost.

The report of an epoch is the hot path: few statements, sent together.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from optuna.trial import TrialState
from sqlalchemy.engine import Connection

from hpsearch.errors import LeaseLost
from hpsearch.metrics import EpochEnd
from hpsearch.search.database import optuna_rows
from hpsearch.search.database.prepared import fetch_many
from hpsearch.search.database.storage import Database
from hpsearch.search.database.tables import TicketState, studies, tickets
from hpsearch.search.ledger.decision import Decision, decide, lacks_audit
from hpsearch.search.ledger.events import EventKind
from hpsearch.search.ledger.fence import Fence
from hpsearch.search.ledger.outcomes import read_outcome, write_ending
from hpsearch.search.ledger.rungs import (
    VAL_CONFUSION,
    RungCounter,
    any_lost,
    count_running,
    count_waiting,
    end_waiting,
    next_promoted,
)
from hpsearch.search.ledger.seen_events import gone_back
from hpsearch.search.ledger.statements import (
    LOCK_TICKET,
    OWN_DECISION,
    Row,
    decide_epoch,
    fail_attempt,
    insert_epoch,
    is_ticket,
    lock_study,
    lock_ticket,
    next_grid_index,
    row_of,
)
from hpsearch.search.ledger.study_identity import IS_OURS, require_ours
from hpsearch.search.ledger.types import CheckpointRef, Claim, SearchRules, TrialRow
from hpsearch.search.pruning.promotion import Promotion, most_paused
from hpsearch.search.pruning.pruners import EpochScore


class Ledger:
    """One worker's writes to one study's ledger.

    Args:
        database: The study's database.
        study_id: Optuna's id of the study.
        owner: The worker's unique name.
        rules: They decide what follows each epoch, and how a trial ends.
    """

    def __init__(self, database: Database, study_id: int, owner: str, rules: SearchRules) -> None:
        self.database = database
        self.study_id = study_id
        self.rules = rules
        self._fence = Fence(database, study_id, owner)
        self._counter = RungCounter(study_id, rules.rungs)

    @property
    def owner(self) -> str:
        """The worker's unique name."""
        return self._fence.owner

    def renew(self, claim: Claim) -> int:
        """Renew the lease; returns how often the study was asked to stop.

        Raises:
            LeaseLost: The attempt is over, or its own report has ended the trial.
        """

        def work(connection: Connection) -> int | None:
            ticket = lock_ticket(connection, claim.study_id, claim.ticket)
            if self._has_ended_it(claim, ticket):
                return None
            self._fence.require_ours(claim, ticket)
            self._fence.update(connection, claim)
            return int(
                connection.execute(
                    sa.select(studies.c.stops).where(studies.c.study_id == self.study_id)
                ).scalar_one()
            )

        stops = self._fence.run(claim, "renew", work)
        if stops is None:
            # Not a late write: our own last report is stored, but its answer isn't here yet.
            raise LeaseLost(f"ticket {claim.ticket} was already ended by attempt {claim.attempt}")
        return stops

    def _has_ended_it(self, claim: Claim, ticket: Row | None) -> bool:
        """Whether this attempt's own report has ended the trial or left it at a rung.

        No other attempt's report can. (A trial that another worker has freed is at no rung.)
        """
        if ticket is None or ticket["attempt"] != claim.attempt:
            return False
        if ticket["state"] == TicketState.PAUSED:
            return ticket["rung"] is not None
        return ticket["state"] in (TicketState.COMPLETE, TicketState.PRUNED)

    def start(self, claim: Claim, row: TrialRow) -> tuple[int, int]:
        """Create Optuna's row with its whole configuration; returns (trial_id, number)."""

        def work(connection: Connection) -> tuple[int, int]:
            lock_study(connection, self.study_id)
            ticket = self._fence.lock(connection, claim)
            if ticket["trial_id"] is not None:
                return ticket["trial_id"], ticket["number"]
            trial_id, number = self._insert_trial(connection, claim, row)
            self._fence.update(
                connection,
                claim,
                trial_id=trial_id,
                number=number,
                params=json.dumps(dict(row.params)),
            )
            self._fence.event(connection, claim, EventKind.STARTED, {"trial": number})
            return trial_id, number

        return self._fence.run(claim, "start", work)

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
            ticket = self._fence.lock(connection, claim)
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
            self._fence.update(connection, claim, infeasible=nth + 1, point=point)
            self._fence.event(
                connection, claim, EventKind.INFEASIBLE, {"trial": number, "reason": reason}
            )
            return point

        return self._fence.run(claim, "infeasible", work)

    def report(
        self,
        claim: Claim,
        end: EpochEnd,
        checkpoint: CheckpointRef | None = None,
        measured: Mapping[str, float] | None = None,
    ) -> Decision:
        """Record one epoch, decide once whether the trial continues, and end it if it doesn't.

        Args:
            claim: The ticket, as this worker claimed it.
            end: The epoch's end.
            checkpoint: The checkpoint that was written after the epoch; ``None`` if there is none.
            measured: The metrics in ``SearchRules.goals`` that no epoch measures, as far as they
                are known; ``None`` for none.

        Returns:
            What follows; never ``KEPT_BY_AUDIT``. A repeated epoch (its checkpoint was older than
            its report) keeps the first metrics and the first decision.

        Raises:
            LeaseLost: The attempt is over.
            DatabaseReplaced: The database is older than it was.
        """

        at_rung = end.epoch in self.rules.rungs and not end.last

        def work(connection: Connection) -> Decision:
            study: Row = {}
            if at_rung:
                # A rung counts trials: the study's lock comes before the ticket's
                study = lock_study(connection, self.study_id)
            ticket, earlier_decision = self._own_decision(connection, claim, end)
            if earlier_decision is not None:
                return earlier_decision
            ticket = self._fence.require_ours(claim, ticket)
            if ticket["epochs_done"] < end.epoch - 1:
                # A failover may lose the last transactions: the curve would have a gap
                raise gone_back(self.database, f"study {self.study_id}")
            if ticket["epochs_done"] >= end.epoch:
                columns = self._fence.name_checkpoint(connection, claim, checkpoint)
                self._fence.event(connection, claim, EventKind.EPOCH_REDONE, {"epoch": end.epoch})
                # On another device the digits may differ, and so the epoch at which it stops
                decision = Decision.COMPLETE if end.last else Decision.CONTINUE
                if end.last:
                    columns |= self._end(connection, claim, dict(ticket), end, decision, measured)
                self._fence.update(connection, claim, **columns)
                return decision
            value = end.metrics.value(self.rules.metric)
            better = max if self.rules.maximize else min
            best = value if ticket["best_value"] is None else better(ticket["best_value"], value)
            columns = {
                "epochs_done": end.epoch,
                "value": value,
                "best_value": best,
                "best_epoch": end.epoch if best != ticket["best_value"] else ticket["best_epoch"],
                "compute_seconds": ticket["compute_seconds"] + end.metrics.seconds,
                "failures": 0,
                **self._fence.name_checkpoint(connection, claim, checkpoint),
            }
            if at_rung:
                # The comparison reads this row; another decision is written over PAUSED.
                insert_epoch(connection, claim, end.metrics, value, Decision.PAUSED)
                columns |= self._figures(connection, {**ticket, **columns}, measured)
                decision, place = self._decide_at_rung(
                    connection, study, claim, {**ticket, **columns}
                )
                columns |= place
                if decision is not Decision.PAUSED:
                    decide_epoch(connection, claim, end.epoch, decision)
            else:
                decision = self._decide(connection, ticket, end, value, best)
                if decision is Decision.KEPT_BY_AUDIT:
                    detail = {"epoch": end.epoch, "value": value}
                    self._fence.event(connection, claim, EventKind.KEPT_BY_AUDIT, detail)
                    columns["audited_from"] = end.epoch
                    decision = Decision.CONTINUE
                insert_epoch(connection, claim, end.metrics, value, decision)
            optuna_rows.insert_intermediate_value(connection, ticket["trial_id"], end.epoch, value)
            if decision is Decision.PAUSED:
                self._pause(connection, claim, {**ticket, **columns}, end)
            elif decision is not Decision.CONTINUE:
                columns |= self._end(
                    connection, claim, {**ticket, **columns}, end, decision, measured
                )
            self._fence.update(connection, claim, **columns)
            return decision

        return self._fence.run(claim, "report", work)

    def end_excess(self) -> list[int]:
        """End the waiting trials beyond ``most_paused``; returns Optuna's numbers.

        They are the worst of the lowest rungs, which no promotion would reach.
        """

        def work(connection: Connection) -> list[int]:
            if count_waiting(connection, self.study_id) <= most_paused(0):
                return []
            lock_study(connection, self.study_id)
            most = most_paused(count_running(connection, self.study_id))
            return end_waiting(connection, self.study_id, self.rules, owner=self.owner, most=most)

        return self.database.write(work) if self.rules.rungs else []

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
            self._fence.lock(connection, claim)
            columns: dict[str, Any] = {"state": TicketState.PAUSED, "owner": None}
            columns |= self._fence.name_checkpoint(connection, claim, checkpoint)
            self._fence.update(connection, claim, **columns)
            self._fence.event(connection, claim, EventKind.RELEASED, {"reason": reason})

        self._fence.run(claim, "release", work, leaves=EventKind.RELEASED)

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
            ticket = self._fence.lock(connection, claim)
            most = self.rules.max_failures if retry else 1
            limit = most if at_most is None else min(most, at_most)
            return fail_attempt(
                connection, ticket, EventKind.ATTEMPT_FAILED, error, limit, infeasible_attrs
            )

        return self._fence.run(claim, "fail", work, leaves=EventKind.ATTEMPT_FAILED)

    def note(self, claim: Claim, kind: EventKind, detail: Mapping[str, Any]) -> None:
        """Append to the event log what happened to this attempt outside the ledger.

        Args:
            claim: The ticket, as this worker claimed it; it needn't be ours any more.
            kind: What has happened.
            detail: JSON values, depending on the kind.
        """
        self.database.write(lambda connection: self._fence.event(connection, claim, kind, detail))

    def withdraw(self, claim: Claim) -> None:
        """Take back a ticket for which the enumerated space has no point left."""

        def work(connection: Connection) -> None:
            lock_study(connection, self.study_id)
            self._fence.lock(connection, claim)
            connection.execute(sa.delete(tickets).where(is_ticket(claim.study_id, claim.ticket)))
            connection.execute(
                sa.update(studies).where(studies.c.study_id == self.study_id).values(exhausted=True)
            )
            self._fence.event(
                connection,
                claim,
                EventKind.WITHDRAWN,
                {"reason": "every point of the space has been used"},
            )

        self._fence.run(claim, "withdraw", work, leaves=EventKind.WITHDRAWN)

    def _insert_trial(self, connection: Connection, claim: Claim, row: TrialRow) -> tuple[int, int]:
        return optuna_rows.insert_trial(
            connection,
            self.study_id,
            params=row.params,
            distributions=row.distributions,
            user_attrs={"ticket": claim.ticket, **row.user_attrs},
            system_attrs=row.system_attrs,
        )

    def _decide(
        self, connection: Connection, ticket: Row, end: EpochEnd, value: float, best: float
    ) -> Decision:
        if end.last or end.epoch >= self.rules.epochs_per_trial:
            return Decision.COMPLETE
        if isinstance(self.rules.pruner, Promotion) or ticket["audited_from"] is not None:
            return Decision.CONTINUE
        sign = 1.0 if self.rules.maximize else -1.0
        score = EpochScore(
            ticket=ticket["ticket"],
            epoch=end.epoch,
            epochs=self.rules.epochs_per_trial,
            score=sign * value,
            best_score=sign * best,
        )
        return decide(connection, self.study_id, score, sign, self.rules.pruner, self.rules.audit)

    def _decide_at_rung(
        self, connection: Connection, study: Row, claim: Claim, ticket: Row
    ) -> tuple[Decision, dict[str, Any]]:
        """Decide at a rung; returns the decision and the ticket's columns that follow from it.

        The ticket waits, and the claim rule chooses what a worker would get now. If that is this
        ticket, the trial continues at once, without reading its checkpoint again.
        """
        if ticket["audited_from"] is not None:
            return Decision.CONTINUE, {}
        epoch = ticket["epochs_done"]
        waits = {"state": TicketState.PAUSED, "rung": epoch}
        trains = {"state": TicketState.RUNNING, "rung": None}
        names = ("epochs_done", "value", "best_value", "figures")
        progress = {name: ticket[name] for name in names}
        self._fence.update(connection, claim, **progress, **waits)
        promoted = None
        if not any_lost(connection, self.study_id):
            promoted = next_promoted(connection, study, self.rules, self._counter)
        if promoted is not None and promoted["ticket"] == claim.ticket:
            return Decision.CONTINUE, trains
        audit = self.rules.audit
        if audit.keeps(claim.ticket) or (audit.share and lacks_audit(connection, self.study_id)):
            self._fence.event(
                connection,
                claim,
                EventKind.KEPT_BY_AUDIT,
                {"epoch": epoch, "value": ticket["value"]},
            )
            return Decision.CONTINUE, {**trains, "audited_from": epoch}
        return Decision.PAUSED, {**waits, "owner": None}

    def _pause(
        self,
        connection: Connection,
        claim: Claim,
        ticket: Row,
        end: EpochEnd,
    ) -> None:
        """Log that the trial waits.

        It may end here without another worker, so the attributes of an ended trial are written now.
        """
        _keep_attributes(connection, ticket["trial_id"], end)
        detail = {"epoch": ticket["epochs_done"], "value": ticket["value"]}
        self._fence.event(connection, claim, EventKind.PAUSED, detail)

    def _figures(
        self, connection: Connection, ticket: Row, measured: Mapping[str, float] | None
    ) -> dict[str, Any]:
        """Return the column with the metrics of the goals, for a trial at a rung.

        The trial is compared by them, and it may end there.
        """
        if self.rules.goals is None:
            return {}
        outcome = read_outcome(connection, self.rules.goals, ticket, measured or {}, complete=False)
        return {"figures": json.dumps(outcome.metrics)}

    def _end(
        self,
        connection: Connection,
        claim: Claim,
        ticket: Mapping[str, Any],
        end: EpochEnd,
        decision: Decision,
        measured: Mapping[str, float] | None,
    ) -> dict[str, Any]:
        """End Optuna's row with the value in ``ticket``; returns the ticket's columns."""
        final = ticket["best_value"] if self.rules.best_epoch_counts else ticket["value"]
        state = TrialState.COMPLETE if decision is Decision.COMPLETE else TrialState.PRUNED
        columns: dict[str, Any] = {"state": TicketState(decision.value), "owner": None}
        values: Sequence[float] = [final]
        if self.rules.goals is not None:
            complete = decision is Decision.COMPLETE
            goals = self.rules.goals
            outcome = read_outcome(connection, goals, ticket, measured or {}, complete=complete)
            values = write_ending(
                connection, goals, ticket["trial_id"], outcome.metrics, complete=complete
            )
            columns["figures"] = json.dumps(outcome.metrics)
        optuna_rows.finish_trial(connection, ticket["trial_id"], state, values)
        _keep_attributes(connection, ticket["trial_id"], end)
        self._fence.event(
            connection,
            claim,
            EventKind(decision.value),
            {"epoch": ticket["epochs_done"], "value": final},
        )
        return columns

    def _own_decision(
        self, connection: Connection, claim: Claim, end: EpochEnd
    ) -> tuple[Row | None, Decision | None]:
        """Lock the ticket; returns its row, and this attempt's earlier decision on the epoch."""
        key = {"study_id": claim.study_id, "ticket": claim.ticket}
        epoch = {"epoch": end.epoch, "attempt": claim.attempt}
        study = {"study_id": claim.study_id}
        ticket_rows, decisions, key_rows = fetch_many(
            connection,
            [(LOCK_TICKET, key), (OWN_DECISION, {**key, **epoch}), (IS_OURS, study)],
        )
        require_ours(connection, claim.study_id, key_rows)
        row = row_of(tickets, ticket_rows)
        if decisions:
            return row, Decision(decisions[0][0])
        # An epoch that a later attempt repeated has no row of that attempt, but may have ended it
        if (
            end.last
            and row is not None
            and row["attempt"] == claim.attempt
            and row["state"] == TicketState.COMPLETE
        ):
            return row, Decision(row["state"])
        return row, None


def _keep_attributes(connection: Connection, trial_id: int, end: EpochEnd) -> None:
    """Write the attributes of the newest epoch to the trial's row, in place of earlier ones."""
    attributes = dict(end.attributes)
    if end.val_confusion is not None:
        attributes[VAL_CONFUSION] = end.val_confusion
    for key, value in attributes.items():
        optuna_rows.delete_user_attr(connection, trial_id, key)
        optuna_rows.insert_user_attr(connection, trial_id, key, value)
