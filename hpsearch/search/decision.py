"""What follows an epoch, decided once inside the reporting transaction; and the pruner's audit.

The audit lets a small share of the trials live that the rule would stop. Only so can anybody tell
what pruning costs: how a stopped trial would have ended is never seen otherwise. Which tickets
follows from the study's seed, before anything is known of them. To all others such a trial ends
where it would have been stopped: its later epochs are no pruner's business, so the audit changes
no other trial's fate.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from hpsearch.search.ledger_tables import TicketState, epochs, events, tickets
from hpsearch.search.prepared import Statement, ask
from hpsearch.search.pruners import Report, StoppingRule
from hpsearch.search.stored_json import decode_or

#: The event of a trial that the rule would have stopped; ``detail`` holds ``epoch`` and ``value``.
SPARED = "spared"

# Nobody is measured against a number that can't be trusted.
_INVALID = sa.select(tickets.c.ticket).where(
    tickets.c.study_id == sa.bindparam("of_study"), tickets.c.state == sa.bindparam("invalid")
)
_SCORES_AT = Statement(
    sa.select(epochs.c.ticket, epochs.c.value).where(
        epochs.c.study_id == sa.bindparam("study_id"),
        epochs.c.epoch == sa.bindparam("epoch"),
        epochs.c.ticket != sa.bindparam("ticket"),
        epochs.c.ticket.not_in(_INVALID),
    )
)
_SCORES_OF_COMPLETE = Statement(
    sa.select(epochs.c.ticket, epochs.c.value)
    .where(
        epochs.c.study_id == sa.bindparam("study_id"),
        epochs.c.epoch == sa.bindparam("epoch"),
        epochs.c.ticket != sa.bindparam("ticket"),
        tickets.c.state == sa.bindparam("state"),
    )
    .join(
        tickets,
        sa.and_(tickets.c.study_id == epochs.c.study_id, tickets.c.ticket == epochs.c.ticket),
    )
)


class Audit:
    """Which tickets are spared where the pruning rule would stop them."""

    def __init__(self, share: float = 0.0, seed: int = 0) -> None:
        #: Of all tickets, 0..1.
        self.share = share
        self.seed = seed
        self._looked_at = 0
        self._spared: list[int] = []

    def spares(self, ticket: int) -> bool:
        """Whether the trial of ``ticket`` runs to its end whatever the rule says."""
        digest = hashlib.sha256(f"{self.seed}/audit/{ticket}".encode()).digest()
        return int.from_bytes(digest[:8], "big") < self.share * 2**64

    def among(self, found: Collection[int]) -> list[int]:
        """Return those of ``found`` that are spared. Looks at each number once in a process."""
        if self.share == 0 or not found:
            return []
        last = max(found)
        self._spared += filter(self.spares, range(self._looked_at + 1, last + 1))
        self._looked_at = max(self._looked_at, last)
        return [ticket for ticket in self._spared if ticket in found]


def spared_since(
    connection: Connection, study_id: int, of_tickets: Collection[int] | None = None
) -> dict[int, int]:
    """Return ticket -> the epoch at which the rule would have stopped it, if it would.

    Of all tickets, or of those in ``of_tickets``.
    """
    query = sa.select(events.c.ticket, events.c.detail).where(
        events.c.study_id == study_id, events.c.kind == SPARED
    )
    if of_tickets is not None:
        query = query.where(events.c.ticket.in_(of_tickets))
    found = {}
    for ticket, text in connection.execute(query):
        epoch = decode_or({}, text, "hpsearch_events.detail", f"ticket {ticket}").get("epoch")
        if isinstance(epoch, int):
            found[ticket] = epoch
    return found


def decide(
    connection: Connection,
    study_id: int,
    report: Report,
    sign: float,
    pruner: StoppingRule,
    audit: Audit,
) -> str:
    """Return "continue", "pruned", or ``SPARED``: the rule stops it, and the audit lets it live.

    ``SPARED`` once at most; from then on it goes on. ``sign`` is that of ``LedgerPeers``.
    """
    spares = audit.spares(report.ticket)
    if spares and spared_since(connection, study_id, [report.ticket]):
        return "continue"
    peers = LedgerPeers(connection, study_id, report.ticket, sign, audit)
    if not pruner(report, peers):
        return "continue"
    return SPARED if spares else "pruned"


class LedgerPeers:
    """The other trials of a study, read inside the reporting transaction (``pruners.Peers``).

    ``sign`` is -1 where less is better.
    """

    def __init__(
        self, connection: Connection, study_id: int, ticket: int, sign: float, audit: Audit
    ) -> None:
        self._connection = connection
        self._study_id = study_id
        self._ticket = ticket
        self._sign = sign
        self._audit = audit

    def scores_at(self, epoch: int, *, completed_only: bool = False) -> Mapping[int, float]:
        """Return ticket -> score of every other trial that reported ``epoch``."""
        values: dict[str, Any] = {
            "study_id": self._study_id,
            "epoch": epoch,
            "ticket": self._ticket,
        }
        if completed_only:
            values["state"] = TicketState.COMPLETE
        else:
            values |= {"of_study": self._study_id, "invalid": TicketState.INVALID}
        query = _SCORES_OF_COMPLETE if completed_only else _SCORES_AT
        found = ask(self._connection, query, **values)
        scores = {ticket: self._sign * value for ticket, value in found}
        if audited := self._audit.among(scores.keys()):
            for ticket, since in spared_since(self._connection, self._study_id, audited).items():
                if completed_only or since < epoch:
                    del scores[ticket]
        return scores
