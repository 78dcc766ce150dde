"""The statements by which the reporting transaction writes and reads ``epochs``."""

from __future__ import annotations

from dataclasses import asdict

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from hpsearch.metrics import METRIC_COLUMNS, EpochMetrics
from hpsearch.search.decision import Decision
from hpsearch.search.ledger_tables import epochs
from hpsearch.search.ledger_types import Claim
from hpsearch.search.prepared import Statement, execute, insertion

_INSERT = insertion(epochs, "study_id", "ticket", "attempt", "value", "decision", *METRIC_COLUMNS)

_DECIDE = Statement(
    sa.update(epochs)
    .where(
        epochs.c.study_id == sa.bindparam("of_study"),
        epochs.c.ticket == sa.bindparam("of_ticket"),
        epochs.c.epoch == sa.bindparam("of_epoch"),
    )
    .values(decision=sa.bindparam("decision"))
)

#: The decision that an attempt got when it reported an epoch before.
OWN_DECISION = Statement(
    sa.select(epochs.c.decision).where(
        epochs.c.study_id == sa.bindparam("study_id"),
        epochs.c.ticket == sa.bindparam("ticket"),
        epochs.c.epoch == sa.bindparam("epoch"),
        epochs.c.attempt == sa.bindparam("attempt"),
    )
)


def insert_epoch(
    connection: Connection, claim: Claim, metrics: EpochMetrics, value: float, decision: Decision
) -> None:
    """Insert an epoch's metrics and the decision that followed.

    Args:
        connection: The transaction that reports the epoch.
        claim: The ticket, as its worker claimed it.
        metrics: The epoch's metrics.
        value: The objective at this epoch.
        decision: What follows the epoch.
    """
    execute(
        connection,
        _INSERT,
        study_id=claim.study_id,
        ticket=claim.ticket,
        attempt=claim.attempt,
        value=value,
        decision=decision.value,
        **asdict(metrics),
    )


def decide_epoch(connection: Connection, claim: Claim, epoch: int, decision: Decision) -> None:
    """Change the decision of an epoch that this transaction has inserted.

    Args:
        connection: The transaction that reports the epoch.
        claim: The ticket, as its worker claimed it.
        epoch: The number of the epoch, from 1.
        decision: What follows the epoch.
    """
    execute(
        connection,
        _DECIDE,
        of_study=claim.study_id,
        of_ticket=claim.ticket,
        of_epoch=epoch,
        decision=decision.value,
    )
