"""Every epoch once: the ledger's epochs, its totals, and Optuna's reported values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hpsearch.results.consistency.facts import EpochRow, Facts
from hpsearch.results.consistency.rule import Breach, name_of
from hpsearch.results.consistency.tickets import state_when_valid
from hpsearch.search.database.tables import TicketState
from hpsearch.search.ledger.decision import Decision
from hpsearch.search.ledger.events import EventKind
from hpsearch.search.ledger.queries import Ticket


def each_epoch_once(facts: Facts) -> Iterator[Breach]:
    """A trial's epochs are 1 to its ``epochs_done``, at most as many as one may train."""
    numbers = {ticket.ticket for ticket in facts.tickets}
    most = facts.record.study.epochs_per_trial
    for ticket in facts.tickets:
        epochs = [row.epoch for row in facts.epochs_of(ticket.ticket)]
        if epochs != list(range(1, ticket.epochs_done + 1)):
            yield name_of(ticket), f"counts {ticket.epochs_done} epochs, but has {_spans(epochs)}"
        if ticket.epochs_done > most:
            yield name_of(ticket), f"has {ticket.epochs_done} epochs, but at most {most} are run"
    for number in sorted(facts.epochs.keys() - numbers):
        yield f"ticket {number}", "has epochs, but no row"


def totals_agree(facts: Facts) -> Iterator[Breach]:
    """A trial's value and best value are those of its epochs."""
    maximize = facts.record.objective.direction == "maximize"
    for ticket in facts.tickets:
        rows = facts.epochs_of(ticket.ticket)
        last = rows[-1].value if rows else None
        top = _best(rows, maximize=maximize)
        best = (None, None) if top is None else (top.value, top.epoch)
        if ticket.value != last:
            yield name_of(ticket), f"has the value {ticket.value}, but its last epoch has {last}"
        if (ticket.best_value, ticket.best_epoch) != best:
            yield (
                name_of(ticket),
                f"has the best value {ticket.best_value} at epoch {ticket.best_epoch}, but its "
                f"epochs have {best[0]} at epoch {best[1]}",
            )


def decided_once(facts: Facts) -> Iterator[Breach]:
    """Every epoch but the last has the decision to continue; the last one has the trial's end.

    After a decision to pause, epochs follow only if the trial was promoted from there.
    """
    for ticket in facts.tickets:
        rows = facts.epochs_of(ticket.ticket)
        promoted = {
            event.detail["promoted_from"]
            for event in facts.log(ticket.ticket)
            if "promoted_from" in event.detail
        }
        early = [
            row
            for row in rows[:-1]
            if row.decision != Decision.CONTINUE
            and not (row.decision == Decision.PAUSED and row.epoch in promoted)
        ]
        for row in early:
            yield (
                name_of(ticket),
                f"continued after epoch {row.epoch}, whose decision was {row.decision}",
            )
        if rows and rows[-1].decision not in _last_decisions(facts, ticket):
            yield (
                name_of(ticket),
                f"is {ticket.state}, but its last epoch, {rows[-1].epoch}, has the decision "
                f"{rows[-1].decision}",
            )
        yield from _too_short(facts, ticket)


def _last_decisions(facts: Facts, ticket: Ticket) -> tuple[Decision, ...]:
    state = state_when_valid(facts, ticket)
    if state is TicketState.PRUNED:
        return (Decision.PRUNED,) if ticket.rung is None else (Decision.PAUSED,)
    if state is not TicketState.COMPLETE:
        # It waits at a rung, or was promoted and hasn't finished another epoch
        return (Decision.CONTINUE, Decision.PAUSED)
    # A repeated epoch keeps its first decision, even if the later attempt stopped there
    redone = any(event.kind == EventKind.EPOCH_REDONE for event in facts.log(ticket.ticket))
    return (Decision.COMPLETE, Decision.CONTINUE) if redone else (Decision.COMPLETE,)


def _too_short(facts: Facts, ticket: Ticket) -> Iterator[Breach]:
    planned = facts.record.study.epochs_per_trial
    may_stop_early = facts.record.study.document.get("early_stopping") is not None
    complete = state_when_valid(facts, ticket) is TicketState.COMPLETE
    if complete and ticket.epochs_done < planned and not may_stop_early:
        yield name_of(ticket), f"is complete after {ticket.epochs_done} of {planned} epochs"


def reported_values_agree(facts: Facts) -> Iterator[Breach]:
    """Optuna's intermediate values are the ledger's, epoch by epoch."""
    rows = {row.trial_id: row for row in facts.rows}
    for ticket in facts.tickets:
        row = rows.get(ticket.trial_id) if ticket.trial_id is not None else None
        if row is None:
            continue  # `trials.every_trial_has_its_row` reports it
        ledger_values = {
            ledger_row.epoch: ledger_row.value for ledger_row in facts.epochs_of(ticket.ticket)
        }
        for epoch in sorted(ledger_values.keys() | row.values.keys()):
            if ledger_values.get(epoch) != row.values.get(epoch):
                yield (
                    name_of(ticket),
                    f"epoch {epoch} has {ledger_values.get(epoch)} in the ledger, but "
                    f"{row.values.get(epoch)} in Optuna's table",
                )


def _best(rows: Sequence[EpochRow], *, maximize: bool) -> EpochRow | None:
    """Return the first of the best epochs."""
    sign = 1.0 if maximize else -1.0
    return max(rows, key=lambda row: (sign * row.value, -row.epoch), default=None)


def _spans(numbers: Sequence[int]) -> str:
    if not numbers:
        return "none"
    return ", ".join(map(str, numbers)) if len(numbers) <= 12 else f"{len(numbers)} of them"
