"""Reporting an epoch: its metrics, the decision that follows, and the end of the trial.

The hot path: one fenced transaction per epoch, with few statements, sent together.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.trial import TrialState
from sqlalchemy.engine import Connection

from hpsearch.metrics import EpochEnd
from hpsearch.search import optuna_rows
from hpsearch.search.decision import Decision, decide, lacks_audit
from hpsearch.search.epoch_rows import OWN_DECISION, decide_epoch, insert_epoch
from hpsearch.search.events import EventKind
from hpsearch.search.fence import FencedWrites
from hpsearch.search.ledger_statements import LOCK_TICKET, Row, lock_study, row_of
from hpsearch.search.ledger_tables import TicketState, tickets
from hpsearch.search.ledger_types import CheckpointRef, Claim, SearchRules
from hpsearch.search.outcomes import read_outcome, write_ending
from hpsearch.search.prepared import fetch_many
from hpsearch.search.promotion import Promotion, most_paused
from hpsearch.search.pruners import EpochScore
from hpsearch.search.rungs import (
    VAL_CONFUSION,
    any_lost,
    count_running,
    count_waiting,
    end_waiting,
    next_promoted,
)
from hpsearch.search.seen_events import gone_back
from hpsearch.search.storage import Database
from hpsearch.search.study_identity import IS_OURS, require_ours


class EpochReports(FencedWrites):
    """One worker's reports on one study; ``rules`` decide what follows each."""

    def __init__(self, database: Database, study_id: int, owner: str, rules: SearchRules) -> None:
        super().__init__(database, study_id, owner)
        self.rules = rules

    def report(
        self,
        claim: Claim,
        end: EpochEnd,
        checkpoint: CheckpointRef | None = None,
        measured: Mapping[str, float] | None = None,
    ) -> Decision:
        """Record one epoch, decide once whether the trial goes on, and end it if it doesn't.

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
            ticket, already = self._own_decision(connection, claim, end)
            if already is not None:
                return already
            ticket = self.require_ours(claim, ticket)
            if ticket["epochs_done"] < end.epoch - 1:
                # A failover may lose the last transactions: the curve would have a gap
                raise gone_back(self.database, f"study {self.study_id}")
            if ticket["epochs_done"] >= end.epoch:
                columns = self.name_checkpoint(connection, claim, checkpoint)
                self.event(connection, claim, EventKind.EPOCH_REDONE, {"epoch": end.epoch})
                # On another device the digits may differ, and so the epoch at which it stops
                decision = Decision.COMPLETE if end.last else Decision.CONTINUE
                if end.last:
                    columns |= self._end(connection, claim, dict(ticket), end, decision, measured)
                self.update(connection, claim, **columns)
                return decision
            value = float(getattr(end.metrics, self.rules.metric))
            better = max if self.rules.maximize else min
            best = value if ticket["best_value"] is None else better(ticket["best_value"], value)
            columns = {
                "epochs_done": end.epoch,
                "value": value,
                "best_value": best,
                "best_epoch": end.epoch if best != ticket["best_value"] else ticket["best_epoch"],
                "compute_seconds": ticket["compute_seconds"] + end.metrics.seconds,
                "failures": 0,
                **self.name_checkpoint(connection, claim, checkpoint),
            }
            if at_rung:
                # The comparison reads this row; another decision is written over PAUSED.
                insert_epoch(connection, claim, end.metrics, value, Decision.PAUSED)
                columns |= self._figures(connection, {**ticket, **columns}, measured)
                decision, place = self._stand_at_rung(
                    connection, study, claim, {**ticket, **columns}
                )
                columns |= place
                if decision is not Decision.PAUSED:
                    decide_epoch(connection, claim, end.epoch, decision)
            else:
                decision = self._decide(connection, ticket, end, value, best)
                if decision is Decision.KEPT_BY_AUDIT:
                    detail = {"epoch": end.epoch, "value": value}
                    self.event(connection, claim, EventKind.KEPT_BY_AUDIT, detail)
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
            self.update(connection, claim, **columns)
            return decision

        return self.fenced(claim, "report", work)

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

    def _stand_at_rung(
        self, connection: Connection, study: Row, claim: Claim, ticket: Row
    ) -> tuple[Decision, dict[str, Any]]:
        """Decide at a rung; returns the decision and the ticket's columns that follow from it.

        The ticket waits, and the claim rule chooses what a worker would get now. If that is this
        ticket, the trial goes on at once, without reading its checkpoint again.
        """
        if ticket["audited_from"] is not None:
            return Decision.CONTINUE, {}
        epoch = ticket["epochs_done"]
        waits = {"state": TicketState.PAUSED, "rung": epoch}
        trains = {"state": TicketState.RUNNING, "rung": None}
        names = ("epochs_done", "value", "best_value", "figures")
        standing = {name: ticket[name] for name in names}
        self.update(connection, claim, **standing, **waits)
        promoted = None
        if not any_lost(connection, self.study_id):
            promoted = next_promoted(connection, study, self.rules)
        if promoted is not None and promoted["ticket"] == claim.ticket:
            return Decision.CONTINUE, trains
        audit = self.rules.audit
        if audit.keeps(claim.ticket) or (audit.share and lacks_audit(connection, self.study_id)):
            self.event(
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
        self.event(connection, claim, EventKind.PAUSED, detail)

    def _figures(
        self, connection: Connection, ticket: Row, measured: Mapping[str, float] | None
    ) -> dict[str, Any]:
        """Return the column with the metrics of the goals, for a trial at a rung.

        The trial is compared by them, and it may end there.
        """
        if self.rules.goals is None:
            return {}
        found = read_outcome(connection, self.rules.goals, ticket, measured or {}, complete=False)
        return {"figures": json.dumps(found.metrics)}

    def end_excess(self) -> list[int]:
        """End the waiting trials beyond ``most_paused``; returns Optuna's numbers.

        They are the worst of the lowest rungs, which no promotion would reach.
        """

        def work(connection: Connection) -> list[int]:
            if count_waiting(connection, self.study_id) <= most_paused(0):
                return []
            lock_study(connection, self.study_id)
            kept = most_paused(count_running(connection, self.study_id))
            return end_waiting(connection, self.study_id, self.rules, owner=self.owner, most=kept)

        return self.database.write(work) if self.rules.rungs else []

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
            found = read_outcome(connection, goals, ticket, measured or {}, complete=complete)
            values = write_ending(
                connection, goals, ticket["trial_id"], found.metrics, complete=complete
            )
            columns["figures"] = json.dumps(found.metrics)
        optuna_rows.finish_trial(connection, ticket["trial_id"], state, values)
        _keep_attributes(connection, ticket["trial_id"], end)
        self.event(
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
        locked, decided, ours = fetch_many(
            connection,
            [(LOCK_TICKET, key), (OWN_DECISION, {**key, **epoch}), (IS_OURS, study)],
        )
        require_ours(connection, claim.study_id, ours)
        row = row_of(tickets, locked)
        if decided:
            return row, Decision(decided[0][0])
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
    kept = dict(end.attributes)
    if end.val_confusion is not None:
        kept[VAL_CONFUSION] = end.val_confusion
    for key, value in kept.items():
        optuna_rows.delete_user_attr(connection, trial_id, key)
        optuna_rows.insert_user_attr(connection, trial_id, key, value)
