"""The budget, one end per trial, and one live owner at a time.

Attempts on a trial follow each other and never overlap.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hpsearch.results.consistency.facts import Facts
from hpsearch.results.consistency.rule import Breach, name_of
from hpsearch.search.database.tables import FINISHED, TicketState
from hpsearch.search.ledger.events import BEGINNINGS, INTERRUPTIONS, Event, EventKind
from hpsearch.search.ledger.queries import Ticket
from hpsearch.search.ledger.validity import declaration_in


def within_budget(facts: Facts) -> Iterator[Breach]:
    """No more tickets than the study's budget, or any earlier budget."""
    budget = max([facts.record.study.trial_budget, *_earlier_budgets(facts.events)])
    issued = len(facts.tickets)
    if issued > budget:
        yield "the study", f"{issued} tickets were issued, but its budget is {budget} trials"


def numbered_without_gap(facts: Facts) -> Iterator[Breach]:
    """Tickets are 1, 2, 3 and so on; only those that an exhausted space withdrew are missing."""
    withdrawn = {event.ticket for event in facts.events if event.kind == EventKind.WITHDRAWN}
    numbers = {ticket.ticket for ticket in facts.tickets}
    last = max([*numbers, *facts.logs], default=0)
    for number in range(1, last + 1):
        if number not in numbers and number not in withdrawn:
            yield f"ticket {number}", "was issued, but its row is missing"


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
        elif endings and endings[0] != state_when_valid(facts, ticket):
            yield name_of(ticket), f"is {ticket.state}, but its log has {endings[0]}"


def state_when_valid(facts: Facts, ticket: Ticket) -> TicketState:
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
            yield name_of(ticket), "has a row, but no worker ever claimed it"
            continue
        yield from _last_step(ticket, state_when_valid(facts, ticket), steps[-1])


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
        yield where, f"belongs to {ticket.owner}, but its log has {owner}"


def _earlier_budgets(events: Sequence[Event]) -> Iterator[int]:
    for event in events:
        if event.kind == EventKind.BUDGET_CHANGED and isinstance(event.detail.get("before"), int):
            yield int(event.detail["before"])


#: Accepted writes of an owner; the ends of its attempts are writes, too.
_WRITES = (
    EventKind.STARTED,
    EventKind.INFEASIBLE,
    EventKind.CHECKPOINT,
    EventKind.EPOCH_REDONE,
)
_ENDS = (*INTERRUPTIONS, *FINISHED, EventKind.WITHDRAWN)


def one_owner_at_a_time(facts: Facts) -> Iterator[Breach]:
    """An attempt begins only after the one before it has ended, and has the next number."""
    for ticket, log in facts.logs.items():
        live: Event | None = None
        last = 0
        for event in log:
            if event.kind in BEGINNINGS:
                if live is not None:
                    yield (
                        f"ticket {ticket}",
                        f"attempt {event.attempt} of {event.owner} began while attempt "
                        f"{live.attempt} of {live.owner} was live (event {event.event_id})",
                    )
                if event.attempt != last + 1:
                    yield f"ticket {ticket}", f"attempt {event.attempt} follows attempt {last}"
                live, last = event, event.attempt or 0
            elif event.kind in _ENDS:
                live = None


def no_late_write(facts: Facts) -> Iterator[Breach]:
    """Only the live attempt's owner has written."""
    for ticket, log in facts.logs.items():
        yield from _late_writes(ticket, log)
    for ticket, log in facts.logs.items():
        yield from _late_epochs(facts, ticket, log)


def _late_writes(ticket: int, log: Sequence[Event]) -> Iterator[Breach]:
    live: Event | None = None
    for event in log:
        if event.kind in BEGINNINGS:
            live = event
        elif event.kind in _WRITES or event.kind in _ENDS:
            # A failure is two events: the error, and the end after too many errors. Any worker
            # that finds the budget used ends the trials that wait at a rung.
            follows = live is None and (
                event.kind == EventKind.FAILED or event.detail.get("waited", False)
            )
            if not follows and (
                live is None or (live.attempt, live.owner) != (event.attempt, event.owner)
            ):
                yield (
                    f"ticket {ticket}",
                    f"{event.kind!r} of attempt {event.attempt} by {event.owner} was accepted, but "
                    f"the attempt wasn't live (event {event.event_id})",
                )
            if event.kind in _ENDS:
                live = None


def _late_epochs(facts: Facts, ticket: int, log: Sequence[Event]) -> Iterator[Breach]:
    """Epochs after a resumption belong to its attempt or a later one, the others to older ones."""
    rows = facts.epochs_of(ticket)
    for event in log:
        if event.kind != EventKind.RESUMED:
            continue
        epochs_done, attempt = event.detail.get("epochs_done"), event.attempt or 0
        if not isinstance(epochs_done, int):
            continue  # `readable` reports it
        for row in rows:
            if (row.epoch > epochs_done) != (row.attempt >= attempt):
                yield (
                    f"ticket {ticket}",
                    f"epoch {row.epoch} was accepted from attempt {row.attempt}, but attempt "
                    f"{attempt} began after epoch {epochs_done}",
                )
