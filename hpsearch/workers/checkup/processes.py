"""Running trials whose worker process on this host has ended."""

from __future__ import annotations

from dataclasses import dataclass

from hpsearch.results.consistency.facts import Facts
from hpsearch.results.consistency.rule import name_of
from hpsearch.search.database.tables import TicketState
from hpsearch.search.ledger.events import BEGINNINGS
from hpsearch.search.ledger.queries import Ticket
from hpsearch.workers.owners import host_of, is_alive, this_host


@dataclass(frozen=True, kw_only=True)
class DeadOwner:
    """A running trial whose worker process doesn't exist on this host."""

    owner: str
    pid: int
    #: The trial's name in messages.
    name: str


def dead_owners(facts: Facts) -> list[DeadOwner]:
    """Return the running trials of this host whose worker is gone.

    They aren't faults: the next worker claims them after their lease. A container may share the
    host's name but not its processes, so the owner of a lease that is still renewed is alive.
    """
    owners = []
    for ticket in facts.tickets:
        if ticket.state is not TicketState.RUNNING or ticket.owner is None:
            continue
        pid = _pid(facts, ticket)
        if pid is not None and host_of(ticket.owner) == this_host() and not is_alive(pid):
            owners.append(DeadOwner(owner=ticket.owner, pid=pid, name=name_of(ticket)))
    return owners


def _pid(facts: Facts, ticket: Ticket) -> int | None:
    beginnings = [event for event in facts.log(ticket.ticket) if event.kind in BEGINNINGS]
    pid = beginnings[-1].detail.get("pid") if beginnings else None
    return pid if isinstance(pid, int) else None
