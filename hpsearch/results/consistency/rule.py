"""The data classes of rules and findings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from hpsearch.results.consistency.facts import Facts
from hpsearch.search.ledger.queries import Ticket

#: Place and error.
Breach = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """An invariant of a stored study."""

    name: str
    #: Yields every breach.
    check: Callable[[Facts], Iterator[Breach]]
    #: The meaning of a breach for the study's owner.
    means: str


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One breach of one rule."""

    rule: str
    where: str
    what: str
    means: str


def findings_of(rule: Rule, facts: Facts) -> list[Finding]:
    """Return every breach of ``rule``."""
    return [
        Finding(rule=rule.name, where=where, what=what, means=rule.means)
        for where, what in rule.check(facts)
    ]


def name_of(ticket: Ticket) -> str:
    """Return a ticket's name as users see it."""
    if ticket.number is None:
        return f"ticket {ticket.ticket}"
    return f"trial {ticket.number} (ticket {ticket.ticket})"
