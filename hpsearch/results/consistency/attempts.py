"""One live owner at a time: attempts on a trial follow each other and never overlap."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hpsearch.results.consistency.facts import Facts
from hpsearch.results.consistency.rule import Breach
from hpsearch.search.events import BEGINNINGS, INTERRUPTIONS, Event, EventKind
from hpsearch.search.ledger_tables import FINISHED

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
        found, attempt = event.detail.get("epochs_done"), event.attempt or 0
        if not isinstance(found, int):
            continue  # `readable` reports it
        for row in rows:
            if (row.epoch > found) != (row.attempt >= attempt):
                yield (
                    f"ticket {ticket}",
                    f"epoch {row.epoch} was accepted from attempt {row.attempt}, but attempt "
                    f"{attempt} began after epoch {found}",
                )
