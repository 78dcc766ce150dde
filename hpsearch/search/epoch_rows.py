"""The rows of ``epochs``, as the reporting transaction writes and asks for them."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from hpsearch.measurement import FIGURES, EpochResult
from hpsearch.search.ledger_statements import is_ticket
from hpsearch.search.ledger_tables import TicketState, epochs, tickets
from hpsearch.search.ledger_types import Claim


def insert_epoch(
    connection: Connection, claim: Claim, result: EpochResult, value: float, decision: str
) -> None:
    """Keep an epoch's figures and what was decided after it; ``value`` is the objective."""
    connection.execute(
        sa.insert(epochs).values(
            study_id=claim.study_id,
            ticket=claim.ticket,
            attempt=claim.attempt,
            value=value,
            decision=decision,
            **{name: getattr(result, name) for name in FIGURES},
        )
    )


def own_decision(connection: Connection, claim: Claim, result: EpochResult) -> str | None:
    """Return what this very attempt was answered when it reported this epoch before."""
    decided: str | None = connection.execute(
        sa.select(epochs.c.decision).where(
            epochs.c.study_id == claim.study_id,
            epochs.c.ticket == claim.ticket,
            epochs.c.epoch == result.epoch,
            epochs.c.attempt == claim.attempt,
        )
    ).scalar_one_or_none()
    if decided is not None or not result.last:
        return decided
    # An epoch that an heir did again has no row of its attempt, and may have ended the trial
    return connection.execute(
        sa.select(tickets.c.state).where(
            is_ticket(claim.study_id, claim.ticket),
            tickets.c.attempt == claim.attempt,
            tickets.c.state == TicketState.COMPLETE,
        )
    ).scalar_one_or_none()
