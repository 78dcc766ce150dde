"""The budget, and one end per trial."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hpsearch.results.consistency.facts import Facts
from hpsearch.results.consistency.rule import Breach, name_of
from hpsearch.search.events import BEGINNINGS, INTERRUPTIONS, Event, EventKind
from hpsearch.search.ledger_tables import FINISHED, TicketState
from hpsearch.search.queries import Ticket
from hpsearch.search.validity import declaration_in


def within_budget(facts: Facts) -> Iterator[Breach]:
    """No more tickets than the study's budget, or any earlier budget."""
    budget = max([facts.record.study.trial_budget, *_earlier_budgets(facts.events)])
    issued = len(facts.tickets)
    if issued > budget:
        yield "the study", f"{issued} tickets were issued, but its budget is {budget} trials"


def numbered_without_gap(facts: Facts) -> Iterator[Breach]:
    """Tickets are 1, 2, 3 and so on; only those that an exhausted space withdrew are missing."""
    withdrawn = {event.ticket for event in facts.events if event.kind == EventKind.WITHDRAWN}
    known = {ticket.ticket for ticket in facts.tickets}
    last = max([*known, *facts.logs], default=0)
    for number in range(1, last + 1):
        if number not in known and number not in withdrawn:
            yield f"ticket {number}", "was issued once, but its row is gone"


def one_ending(facts: Facts) -> Iterator[Breach]:
    """An ended trial has one end in the log; any other has none."""
    for ticket in facts.tickets:
        endings: list[str] = []
        for event in facts.log(ticket.ticket):
            if event.kind in FINISHED:
                endings.append(event.kind)
            elif event.kind == EventKind.REOPENED:  # cancels the previous end
                endings = endings[:-1]
        if len(endings) > 1:
            yield name_of(ticket), f"ended {len(endings)} times: {', '.join(endings)}"
        elif ticket.state.is_finished and not endings:
            yield name_of(ticket), f"is {ticket.state}, but its log has no end"
        elif endings and endings[0] != came_to(facts, ticket):
            yield name_of(ticket), f"is {ticket.state}, but its log says {endings[0]}"


def came_to(facts: Facts, ticket: Ticket) -> TicketState:
    """Return a ticket's state; for an invalid one, its state before that."""
    declared = declaration_in(facts.log(ticket.ticket))
    if ticket.state is not TicketState.INVALID:
        return ticket.state
    if declared is not None:
        return declared.before
    # Its declaration is damaged, but the log has its end
    ended = [event.kind for event in facts.log(ticket.ticket) if event.kind in FINISHED]
    return TicketState(ended[-1]) if ended else ticket.state


def invalid_as_logged(facts: Facts) -> Iterator[Breach]:
    """A trial is invalid if and only if the last such event in its log declares it."""
    for ticket in facts.tickets:
        if any(event.damaged for event in facts.log(ticket.ticket)):
            continue  # `readable` reports it
        declared = declaration_in(facts.log(ticket.ticket)) is not None
        if declared and ticket.state is not TicketState.INVALID:
            yield name_of(ticket), f"was declared invalid, but is {ticket.state}"
        elif not declared and ticket.state is TicketState.INVALID:
            yield name_of(ticket), "is invalid, but its log has no reason"


def state_as_logged(facts: Facts) -> Iterator[Breach]:
    """State, owner and attempt are those of the last step in the log."""
    for ticket in facts.tickets:
        steps = [
            event
            for event in facts.log(ticket.ticket)
            if event.kind in (*BEGINNINGS, *INTERRUPTIONS, *FINISHED, EventKind.REOPENED)
        ]
        if not steps:
            yield name_of(ticket), "has a row, but nobody ever took it"
            continue
        yield from _last_step(ticket, came_to(facts, ticket), steps[-1])


def _last_step(ticket: Ticket, state: TicketState, last: Event) -> Iterator[Breach]:
    where = name_of(ticket)
    if ticket.attempt != last.attempt:
        yield where, f"is at attempt {ticket.attempt}, but its log ends at {last.attempt}"
    if last.kind in BEGINNINGS:
        expected = TicketState.RUNNING
    elif last.kind in (*INTERRUPTIONS, EventKind.REOPENED):
        expected = TicketState.PAUSED
    else:
        expected = TicketState(last.kind)
    if state != expected:
        yield where, f"is {state}, but after {last.kind!r} it must be {expected}"
    owner = last.owner if expected is TicketState.RUNNING else None
    if ticket.owner != owner:
        yield where, f"belongs to {ticket.owner}, but its log says {owner}"


def _earlier_budgets(events: Sequence[Event]) -> Iterator[int]:
    for event in events:
        if event.kind == EventKind.BUDGET_CHANGED and isinstance(event.detail.get("before"), int):
            yield int(event.detail["before"])
