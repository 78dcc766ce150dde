"""Reporting an epoch: its figures, the decision that follows, and the end of the trial.

The hot path: one fenced transaction per epoch, with few statements that travel together.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.trial import TrialState
from sqlalchemy.engine import Connection

from hpsearch.measurement import EpochResult
from hpsearch.search import optuna_rows
from hpsearch.search.decision import SPARED, decide
from hpsearch.search.epoch_rows import OWN_DECISION, insert_epoch
from hpsearch.search.fence import FencedWrites
from hpsearch.search.ledger_statements import LOCK_TICKET, Row, row_of
from hpsearch.search.ledger_tables import TicketState, tickets
from hpsearch.search.ledger_types import CheckpointRef, Claim, SearchRules
from hpsearch.search.outcomes import write_outcome
from hpsearch.search.prepared import ask_all
from hpsearch.search.pruners import Report
from hpsearch.search.storage import Database
from hpsearch.search.study_identity import IS_OURS, require_ours


class EpochReports(FencedWrites):
    """One worker's reports on one study, decided upon by ``rules``."""

    def __init__(self, database: Database, study_id: int, owner: str, rules: SearchRules) -> None:
        super().__init__(database, study_id, owner)
        self.rules = rules

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

    def _own_decision(
        self, connection: Connection, claim: Claim, result: EpochResult
    ) -> tuple[Row | None, str | None]:
        """Lock the ticket; returns its row, and what this attempt was told of the epoch before."""
        key = {"study_id": claim.study_id, "ticket": claim.ticket}
        epoch = {"epoch": result.epoch, "attempt": claim.attempt}
        study = {"study_id": claim.study_id}
        locked, decided, ours = ask_all(
            connection,
            [(LOCK_TICKET, key), (OWN_DECISION, {**key, **epoch}), (IS_OURS, study)],
        )
        require_ours(connection, claim.study_id, ours)
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
