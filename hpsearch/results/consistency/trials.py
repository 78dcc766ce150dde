"""Optuna's rows agree with the ledger: one row per trial, and one per infeasible draw."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from optuna.trial import TrialState

from hpsearch.results.consistency.facts import Facts, OptunaRow
from hpsearch.results.consistency.rule import Breach, name_of
from hpsearch.search.database.tables import TicketState
from hpsearch.search.ledger.queries import Ticket
from hpsearch.search.ledger.validity import row_values

_STATES = {
    TicketState.RUNNING: TrialState.RUNNING,
    TicketState.PAUSED: TrialState.RUNNING,
    TicketState.COMPLETE: TrialState.COMPLETE,
    TicketState.PRUNED: TrialState.PRUNED,
    TicketState.FAILED: TrialState.FAIL,
    TicketState.INVALID: TrialState.FAIL,
}


def one_data_set(facts: Facts) -> Iterator[Breach]:
    """All trials whose configurations choose the same images were trained on the same ones."""
    for trial in facts.record.trials:
        where = f"ticket {trial.ticket}" if trial.number is None else f"trial {trial.number}"
        if trial.other_images is not None:
            yield f"{where} (ticket {trial.ticket})", f"was {trial.other_images}"


def readable(facts: Facts) -> Iterator[Breach]:
    """Every row can be read."""
    for what in facts.damaged:
        yield "the study", f"can't be read: {what}"
    for ticket in facts.tickets:
        if ticket.damaged:
            columns = ", ".join(ticket.damaged)
            yield name_of(ticket), f"hpsearch_tickets can't be read: {columns}"
    for event in facts.events:
        if event.damaged:
            where = "the study" if event.ticket is None else f"ticket {event.ticket}"
            yield where, f"the details of its event {event.event_id} ({event.kind}) can't be read"
    for row in facts.rows:
        for what in row.damaged:
            yield f"trial {row.number}", f"can't be read in Optuna's tables: {what}"


def numbers_in_order(facts: Facts) -> Iterator[Breach]:
    """Optuna's numbers are 0, 1, 2 and so on, each once."""
    numbers = [row.number for row in facts.rows]
    for number, times in sorted(Counter(numbers).items()):
        if times > 1:
            yield f"trial {number}", f"{times} of Optuna's rows have this number"
    for number in sorted(set(range(len(numbers))) - set(numbers)):
        yield (
            f"trial {number}",
            "no row of Optuna's has this number, but rows with higher numbers exist",
        )


def every_trial_has_its_row(facts: Facts) -> Iterator[Breach]:
    """A configured trial has one row of its own in Optuna's table."""
    rows = {row.trial_id: row for row in facts.rows}
    owners: dict[int, Ticket] = {}
    for ticket in facts.tickets:
        if ticket.trial_id is None:
            if ticket.epochs_done or ticket.state.is_finished:
                yield name_of(ticket), f"is {ticket.state}, but never got a row"
            continue
        row = rows.get(ticket.trial_id)
        if row is None:
            yield name_of(ticket), "has no row in Optuna's table"
        elif (row.number, row.ticket) != (ticket.number, ticket.ticket) and not row.damaged:
            yield (
                name_of(ticket),
                f"has Optuna's row of trial {row.number} (ticket {row.ticket})",
            )
        if ticket.trial_id in owners:
            yield name_of(ticket), f"shares its row with {name_of(owners[ticket.trial_id])}"
        owners[ticket.trial_id] = ticket


def every_row_has_its_trial(facts: Facts) -> Iterator[Breach]:
    """A row of Optuna's belongs to a ticket, or is an infeasible draw, which is PRUNED."""
    trial_ids = {ticket.trial_id for ticket in facts.tickets}
    for row in facts.rows:
        if row.trial_id in trial_ids:
            continue
        if not row.infeasible:
            yield f"trial {row.number}", "is a row of Optuna's without a ticket"
        elif row.state is not TrialState.PRUNED:
            yield f"trial {row.number}", f"is an infeasible draw, but {row.state.name}, not PRUNED"
    if any(row.damaged for row in facts.rows):
        return  # the unreadable part may be the draw's ticket
    draws = Counter(
        row.ticket for row in facts.rows if row.infeasible and row.trial_id not in trial_ids
    )
    for ticket in facts.tickets:
        if draws[ticket.ticket] != ticket.infeasible:
            yield (
                name_of(ticket),
                f"counts {ticket.infeasible} infeasible draws, but Optuna's table has "
                f"{draws[ticket.ticket]}",
            )


def states_and_values_agree(facts: Facts) -> Iterator[Breach]:
    """State, value and parameters are the same on both sides."""
    rows = {row.trial_id: row for row in facts.rows}
    for ticket in facts.tickets:
        row = rows.get(ticket.trial_id) if ticket.trial_id is not None else None
        if row is not None:
            yield from _differences(facts, ticket, row)


def _differences(facts: Facts, ticket: Ticket, row: OptunaRow) -> Iterator[Breach]:
    where = name_of(ticket)
    expected = _STATES[ticket.state]
    if ticket.state is TicketState.FAILED and row.marked:
        # Its configuration caused the failure; samplers learn from rows in this state
        expected = TrialState.PRUNED
    if row.state is not expected:
        yield where, f"is {ticket.state}, but {row.state.name} in Optuna's table"
    objectives = row_values(ticket.state, facts.record.goals, vars(ticket), ticket.figures or {})
    if row.objectives != objectives and not ticket.damaged:
        yield (
            where,
            f"has the value {_values(objectives)}, but {_values(row.objectives)} in Optuna's table",
        )
    params = dict(ticket.params or {})
    # Damaged columns can't be compared (``readable`` lists them)
    if params != row.params and not ticket.damaged and not row.damaged:
        different = sorted(
            path
            for path in params.keys() | row.params.keys()
            if params.get(path) != row.params.get(path)
        )
        yield where, f"has other parameters in Optuna's table: {', '.join(different)}"


def _values(objectives: Sequence[float | None]) -> str:
    return ", ".join(map(str, objectives)) or "None"
