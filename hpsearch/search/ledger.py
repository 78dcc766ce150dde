"""The ledger: every write about a ticket, each in one fenced transaction.

A transaction first checks that the attempt is still ours, then writes Optuna's rows and our own
together. So a worker that was stopped, lost its lease and woke up again can write nothing: its
calls raise ``LeaseLost``. Calls may be repeated after a commit whose answer was lost.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from optuna.trial import TrialState
from sqlalchemy.engine import Connection

from hpsearch.errors import LeaseLost
from hpsearch.measurement import EpochResult
from hpsearch.search import optuna_rows
from hpsearch.search.decision import SPARED, decide
from hpsearch.search.epoch_rows import OWN_DECISION, insert_epoch
from hpsearch.search.fence import FencedWrites
from hpsearch.search.ledger_statements import (
    LOCK_TICKET,
    Row,
    end_badly,
    is_ticket,
    lock_study,
    lock_ticket,
    row_of,
    take_point,
)
from hpsearch.search.ledger_tables import TicketState, studies, tickets
from hpsearch.search.ledger_types import CheckpointRef, Claim, SearchRules, TrialRow
from hpsearch.search.outcomes import write_outcome
from hpsearch.search.prepared import ask_all
from hpsearch.search.pruners import Report
from hpsearch.search.storage import Database


class Ledger(FencedWrites):
    """One worker's hand on one study's ledger. ``owner`` names the worker, uniquely."""

    def __init__(self, database: Database, study_id: int, owner: str, rules: SearchRules) -> None:
        super().__init__(database, study_id, owner)
        self.rules = rules

    def renew(self, claim: Claim) -> int:
        """Show a sign of life; returns how often the study was asked to stop."""

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
            # No late write: our own last report is in, and its answer is on its way or was lost.
            raise LeaseLost(f"ticket {claim.ticket}: attempt {claim.attempt} has ended it")
        return stops

    def _has_ended_it(self, claim: Claim, ticket: Row | None) -> bool:
        """Whether this very attempt's report has ended the trial; nobody else's can."""
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
            self.event(connection, claim, "started", {"trial": number})
            return trial_id, number

        return self.fenced(claim, "start", work)

    def infeasible(self, claim: Claim, row: TrialRow, reason: str, *, nth: int) -> int | None:
        """Record the ticket's ``nth`` (from 0) infeasible draw; returns the next point.

        Optuna gets a PRUNED row with a violated constraint: the only form in which its samplers
        learn from it. Where ``row`` tells none of the study's own, it is one that can't be kept.
        The budget isn't touched.
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
            if self.rules.enumerates:
                point = take_point(connection, study)
            self.update(connection, claim, infeasible=nth + 1, point=point)
            self.event(connection, claim, "infeasible", {"trial": number, "reason": reason})
            return point

        return self.fenced(claim, "infeasible", work)

    def report(
        self,
        claim: Claim,
        result: EpochResult,
        checkpoint: CheckpointRef | None = None,
        measured: Mapping[str, float] | None = None,
    ) -> str:
        """Record one epoch, decide once whether the trial goes on, and end it where it doesn't.

        ``measured`` holds the figures of the study's goals that no epoch measures, as far as they
        are known (``SearchRules.goals``).

        Returns:
            "continue", "pruned" or "complete" (of the study's last epoch, and where training has
            stopped early). A repeated epoch (its checkpoint was older than its report) keeps the
            first figures and the first decision.
        """

        def work(connection: Connection) -> str:
            ticket, already = self._own_decision(connection, claim, result)
            if already is not None:
                return already
            ticket = self.require_ours(claim, ticket)
            if ticket["epochs_done"] >= result.epoch:
                columns = self.name_checkpoint(connection, claim, checkpoint)
                self.event(connection, claim, "epoch_redone", {"epoch": result.epoch})
                # On another device its digits may differ, and so the epoch at which it stops
                decision = "complete" if result.last else "continue"
                if result.last:
                    columns |= self._end(
                        connection, claim, dict(ticket), result, decision, measured
                    )
                self.update(connection, claim, **columns)
                return decision
            value = float(getattr(result, self.rules.metric))
            better = max if self.rules.maximize else min
            best = value if ticket["best_value"] is None else better(ticket["best_value"], value)
            decision = self._decide(connection, claim, result, value, best)
            insert_epoch(connection, claim, result, value, decision)
            optuna_rows.insert_intermediate_value(
                connection, ticket["trial_id"], result.epoch, value
            )
            columns = {
                "epochs_done": result.epoch,
                "value": value,
                "best_value": best,
                "best_epoch": result.epoch
                if best != ticket["best_value"]
                else ticket["best_epoch"],
                "compute_seconds": ticket["compute_seconds"] + result.seconds,
                "failures": 0,
                **self.name_checkpoint(connection, claim, checkpoint),
            }
            if decision != "continue":
                columns |= self._end(
                    connection, claim, {**ticket, **columns}, result, decision, measured
                )
            self.update(connection, claim, **columns)
            return decision

        return self.fenced(claim, "report", work)

    def release(self, claim: Claim, reason: str, checkpoint: CheckpointRef | None = None) -> None:
        """Give the ticket back at once: the next worker goes on from ``checkpoint``."""

        def work(connection: Connection) -> None:
            self.fence(connection, claim)
            columns: dict[str, Any] = {"state": TicketState.PAUSED, "owner": None}
            columns |= self.name_checkpoint(connection, claim, checkpoint)
            self.update(connection, claim, **columns)
            self.event(connection, claim, "released", {"reason": reason})

        self.fenced(claim, "release", work, leaves="released")

    def fail(
        self,
        claim: Claim,
        error: str,
        *,
        retry: bool,
        at_most: int | None = None,
        lesson: Mapping[str, Any] | None = None,
    ) -> bool:
        """End the attempt with ``error``; returns whether the ticket will be tried again.

        ``at_most`` is a number of attempts below the rules' own. ``lesson`` (attributes for
        Optuna's row) says that the configuration itself is at fault: once the ticket has FAILED,
        its row is marked as infeasible draws are, so that the sampler learns from it.
        """

        def work(connection: Connection) -> bool:
            lock_study(connection, self.study_id)
            ticket = self.fence(connection, claim)
            most = self.rules.max_failures if retry else 1
            limit = most if at_most is None else min(most, at_most)
            return end_badly(connection, ticket, "attempt_failed", error, limit, lesson)

        return self.fenced(claim, "fail", work, leaves="attempt_failed")

    def note(self, claim: Claim, kind: str, detail: Mapping[str, Any]) -> None:
        """Append to the event log what happened to this attempt outside the ledger."""
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
            self.event(connection, claim, "withdrawn", {"reason": "the space has no point left"})

        self.fenced(claim, "withdraw", work, leaves="withdrawn")

    def _decide(
        self, connection: Connection, claim: Claim, result: EpochResult, value: float, best: float
    ) -> str:
        if result.last or result.epoch >= self.rules.epochs_per_trial:
            return "complete"
        sign = 1.0 if self.rules.maximize else -1.0
        report = Report(
            ticket=claim.ticket,
            epoch=result.epoch,
            epochs=self.rules.epochs_per_trial,
            score=sign * value,
            best_score=sign * best,
        )
        decision = decide(
            connection, self.study_id, report, sign, self.rules.pruner, self.rules.audit
        )
        if decision == SPARED:
            self.event(connection, claim, SPARED, {"epoch": result.epoch, "value": value})
            return "continue"
        return decision

    def _end(
        self,
        connection: Connection,
        claim: Claim,
        ticket: Mapping[str, Any],
        result: EpochResult,
        decision: str,
        measured: Mapping[str, float] | None,
    ) -> dict[str, Any]:
        """End Optuna's row with the value that ``ticket`` holds; returns the ticket's columns."""
        final = ticket["best_value"] if self.rules.best_epoch_counts else ticket["value"]
        state = TrialState.COMPLETE if decision == "complete" else TrialState.PRUNED
        columns: dict[str, Any] = {"state": decision, "owner": None}
        values: Sequence[float] = [final]
        if self.rules.goals is not None:
            complete = decision == "complete"
            found = write_outcome(connection, self.rules.goals, ticket, measured or {}, complete)
            values, columns["figures"] = found.values, json.dumps(found.figures)
        optuna_rows.finish_trial(connection, ticket["trial_id"], state, values)
        if result.val_confusion is not None:
            optuna_rows.insert_user_attr(
                connection, ticket["trial_id"], "val_confusion", result.val_confusion
            )
        for key, kept in result.attributes.items():
            optuna_rows.insert_user_attr(connection, ticket["trial_id"], key, kept)
        self.event(connection, claim, decision, {"epoch": ticket["epochs_done"], "value": final})
        return columns

    def _insert_trial(self, connection: Connection, claim: Claim, row: TrialRow) -> tuple[int, int]:
        return optuna_rows.insert_trial(
            connection,
            self.study_id,
            params=row.params,
            distributions=row.distributions,
            user_attrs={"ticket": claim.ticket, **row.user_attrs},
            system_attrs=row.system_attrs,
        )

    def _own_decision(
        self, connection: Connection, claim: Claim, result: EpochResult
    ) -> tuple[Row | None, str | None]:
        """Lock the ticket; returns its row, and what this attempt was told of the epoch before."""
        key = {"study_id": claim.study_id, "ticket": claim.ticket}
        epoch = {"epoch": result.epoch, "attempt": claim.attempt}
        locked, decided = ask_all(
            connection, [(LOCK_TICKET, key), (OWN_DECISION, {**key, **epoch})]
        )
        row = row_of(tickets, locked)
        if decided:
            return row, str(decided[0][0])
        # An epoch that an heir did again has no row of its attempt, and may have ended the trial
        if (
            result.last
            and row is not None
            and row["attempt"] == claim.attempt
            and row["state"] == TicketState.COMPLETE
        ):
            return row, str(row["state"])
        return row, None
