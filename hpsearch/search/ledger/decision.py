"""What follows an epoch, decided once in the reporting transaction; and the pruning audit.

The audit keeps a small share of the trials that the pruner would stop. Otherwise the end of a
stopped trial would be unknown, and so would the cost of pruning. The study's seed chooses the
tickets in advance; if that gives none in a small search, it is the next one that the pruner would
stop (``lacks_audit``). Pruners don't see the later epochs of such a trial, so the audit changes no
decision about other trials.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from hpsearch.search.database.prepared import Statement, fetch
from hpsearch.search.database.stored_json import decode_or
from hpsearch.search.database.tables import TicketState, epochs, events, tickets
from hpsearch.search.ledger.events import EventKind
from hpsearch.search.pruning.pruners import EpochScore, StoppingRule
from hpsearch.seeds import hashed_seed


class Decision(StrEnum):
    """What follows an epoch. All but ``KEPT_BY_AUDIT`` are stored: their values never change."""

    CONTINUE = "continue"
    #: The trial waits at a rung; its ticket is given back.
    PAUSED = "paused"
    PRUNED = "pruned"
    #: The last epoch of the study, or of a training that has stopped early.
    COMPLETE = "complete"
    #: The pruner would stop the trial, but the audit keeps it (stored as ``CONTINUE``).
    KEPT_BY_AUDIT = "spared"


#: Stopped or waiting trials; if there are more, the audit keeps at least one.
MOST_UNAUDITED = 10

# A trial isn't compared with invalid ones, nor with later epochs of those that the audit keeps.
_LEFT_OUT = sa.select(tickets.c.ticket).where(
    tickets.c.study_id == sa.bindparam("of_study"),
    sa.or_(
        tickets.c.state == sa.bindparam("invalid"),
        tickets.c.audited_from < sa.bindparam("before"),
    ),
)
_SCORES_AT = Statement(
    sa.select(epochs.c.ticket, epochs.c.value).where(
        epochs.c.study_id == sa.bindparam("study_id"),
        epochs.c.epoch == sa.bindparam("epoch"),
        epochs.c.ticket != sa.bindparam("ticket"),
        epochs.c.ticket.not_in(_LEFT_OUT),
    )
)
_SCORES_OF_COMPLETE = Statement(
    sa.select(epochs.c.ticket, epochs.c.value)
    .where(
        epochs.c.study_id == sa.bindparam("study_id"),
        epochs.c.epoch == sa.bindparam("epoch"),
        epochs.c.ticket != sa.bindparam("ticket"),
        tickets.c.state == sa.bindparam("state"),
        tickets.c.audited_from.is_(None),
    )
    .join(
        tickets,
        sa.and_(tickets.c.study_id == epochs.c.study_id, tickets.c.ticket == epochs.c.ticket),
    )
)


class AuditSample:
    """Which tickets the audit keeps although the pruner would stop them."""

    def __init__(self, share: float = 0.0, seed: int = 0) -> None:
        #: Share of all tickets, 0..1.
        self.share = share
        self.seed = seed

    def keeps(self, ticket: int) -> bool:
        """Whether the trial of ``ticket`` runs to its end although the pruner would stop it."""
        return hashed_seed(self.seed, "audit", ticket, bits=64) < self.share * 2**64


def kept_by_audit(connection: Connection, study_id: int) -> dict[int, int]:
    """Return ticket -> epoch at which the pruner would have stopped it, of the audit's trials."""
    query = sa.select(events.c.ticket, events.c.detail).where(
        events.c.study_id == study_id, events.c.kind == EventKind.KEPT_BY_AUDIT
    )
    audit_epochs = {}
    for ticket, text in connection.execute(query):
        epoch = decode_or({}, text, "hpsearch_events.detail", f"ticket {ticket}").get("epoch")
        if isinstance(epoch, int):
            audit_epochs[ticket] = epoch
    return audit_epochs


def lacks_audit(connection: Connection, study_id: int) -> bool:
    """Whether more than ``MOST_UNAUDITED`` trials were stopped or paused, and the audit kept none.

    In a small search the audit's share may give no trial; then the audit keeps the next one that
    the pruner would stop or pause, whatever its value.
    """
    table = tickets.c
    query = sa.select(table.ticket).where(table.study_id == study_id)
    if connection.execute(query.where(table.audited_from.is_not(None)).limit(1)).first():
        return False
    at_rung = sa.and_(
        table.state.in_((TicketState.PAUSED, TicketState.INVALID)), table.rung.is_not(None)
    )
    count = 0
    for condition in (table.state == TicketState.PRUNED, at_rung):
        limited = query.where(condition).limit(MOST_UNAUDITED + 1)
        count += len(connection.execute(limited).all())
    return count > MOST_UNAUDITED


def decide(
    connection: Connection,
    study_id: int,
    score: EpochScore,
    sign: float,
    pruner: StoppingRule,
    audit: AuditSample,
) -> Decision:
    """Return ``CONTINUE``, ``PRUNED`` or ``KEPT_BY_AUDIT``.

    It isn't called for a trial that the audit keeps already.

    Args:
        connection: The transaction that reports the epoch.
        study_id: Optuna's id of the study.
        score: The epoch, as a pruner sees it.
        sign: 1, or -1 if less of the objective is better.
        pruner: The rule.
        audit: Which trials continue although the rule stops them.
    """
    peers = LedgerPeers(connection, study_id, score.ticket, sign)
    if not pruner(score, peers):
        return Decision.CONTINUE
    if audit.keeps(score.ticket) or (audit.share and lacks_audit(connection, study_id)):
        return Decision.KEPT_BY_AUDIT
    return Decision.PRUNED


class LedgerPeers:
    """The other trials of a study, read in the reporting transaction (``pruners.Peers``).

    ``sign`` is -1 if less of the objective is better.
    """

    def __init__(self, connection: Connection, study_id: int, ticket: int, sign: float) -> None:
        self._connection = connection
        self._study_id = study_id
        self._ticket = ticket
        self._sign = sign

    def scores_at(self, epoch: int, *, completed_only: bool = False) -> Mapping[int, float]:
        """Return ticket -> score of every other trial that reported ``epoch``."""
        values: dict[str, Any] = {
            "study_id": self._study_id,
            "epoch": epoch,
            "ticket": self._ticket,
        }
        if completed_only:
            query, values["state"] = _SCORES_OF_COMPLETE, TicketState.COMPLETE
        else:
            query = _SCORES_AT
            values |= {
                "of_study": self._study_id,
                "invalid": TicketState.INVALID,
                "before": epoch,
            }
        rows = fetch(self._connection, query, **values)
        return {ticket: self._sign * value for ticket, value in rows}
