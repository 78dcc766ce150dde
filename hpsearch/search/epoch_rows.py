"""The rows of ``epochs``, as the reporting transaction writes and asks for them."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from hpsearch.metrics import METRIC_COLUMNS, EpochResult
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

#: What an attempt was answered when it reported an epoch before.
OWN_DECISION = Statement(
    sa.select(epochs.c.decision).where(
        epochs.c.study_id == sa.bindparam("study_id"),
        epochs.c.ticket == sa.bindparam("ticket"),
        epochs.c.epoch == sa.bindparam("epoch"),
        epochs.c.attempt == sa.bindparam("attempt"),
    )
)


def insert_epoch(
    connection: Connection, claim: Claim, result: EpochResult, value: float, decision: Decision
) -> None:
    """Keep an epoch's figures and what was decided after it; ``value`` is the objective."""
    execute(
        connection,
        _INSERT,
        study_id=claim.study_id,
        ticket=claim.ticket,
        attempt=claim.attempt,
        value=value,
        decision=decision.value,
        **{name: getattr(result, name) for name in METRIC_COLUMNS},
    )


def decide_epoch(
    connection: Connection, claim: Claim, result: EpochResult, decision: Decision
) -> None:
    """Write what was decided after an epoch that this transaction has inserted."""
    execute(
        connection,
        _DECIDE,
        of_study=claim.study_id,
        of_ticket=claim.ticket,
        of_epoch=result.epoch,
        decision=decision.value,
    )
