"""The contents of the ledger and Optuna's tables about one study, in one snapshot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import sqlalchemy as sa
from optuna.trial import TrialState
from sqlalchemy.engine import Connection

from hpsearch.results.records import StudyRecord, read_study
from hpsearch.search.database import optuna_rows as rows
from hpsearch.search.database.storage import Database, read_snapshot
from hpsearch.search.database.stored_json import Damaged, decode, drawn_value
from hpsearch.search.database.tables import epochs as epochs_table
from hpsearch.search.database.tables import prior_results
from hpsearch.search.ledger import queries
from hpsearch.search.ledger.events import Event, event_log
from hpsearch.search.ledger.queries import Ticket


@dataclass(frozen=True, kw_only=True)
class EpochRow:
    """An accepted epoch."""

    epoch: int
    #: The attempt that reported it first.
    attempt: int
    value: float
    decision: str


@dataclass(frozen=True, kw_only=True)
class OptunaRow:
    """A trial in Optuna's tables."""

    trial_id: int
    number: int
    state: TrialState
    #: The trial's values, by objective; empty before its end.
    objectives: Sequence[float | None]
    #: Step -> reported value.
    values: Mapping[int, float | None]
    params: Mapping[str, Any]
    #: The ticket in its attributes.
    ticket: int | None
    #: Whether it is a draw that couldn't be built, not a trial.
    infeasible: bool
    #: Whether samplers treat its configuration as infeasible.
    marked: bool
    #: Unreadable columns: ``trial_params: optimizer.sgd.lr``.
    damaged: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Facts:
    """One study in one snapshot."""

    record: StudyRecord
    tickets: Sequence[Ticket]
    #: Ticket -> its epochs in order.
    epochs: Mapping[int, Sequence[EpochRow]]
    #: The whole event log, oldest first.
    events: Sequence[Event]
    #: By Optuna's number.
    rows: Sequence[OptunaRow]
    #: Rows of the study itself that can't be read, a phrase each.
    damaged: Sequence[str] = ()

    @cached_property
    def logs(self) -> Mapping[int, Sequence[Event]]:
        """Ticket -> its events, oldest first; withdrawn tickets have events, too."""
        by_ticket: dict[int, list[Event]] = {}
        for event in self.events:
            if event.ticket is not None:
                by_ticket.setdefault(event.ticket, []).append(event)
        return by_ticket

    def log(self, ticket: int) -> Sequence[Event]:
        """Return one ticket's events, oldest first."""
        return self.logs.get(ticket, ())

    def epochs_of(self, ticket: int) -> Sequence[EpochRow]:
        """Return one ticket's epochs, in order."""
        return self.epochs.get(ticket, ())


def read_facts(database: Database, name: str) -> Facts:
    """Read a study in one snapshot, even while workers write.

    Raises:
        UnknownName: If there is no such study.
    """
    return read_snapshot(database, lambda view: _read(view, name))


def _read(view: Database, name: str) -> Facts:
    record = read_study(view, name)
    study_id = record.study.study_id
    return Facts(
        record=record,
        tickets=queries.all_tickets(view, study_id),
        epochs=view.read(lambda connection: _epochs(connection, study_id)),
        events=event_log(view, study_id),
        rows=view.read(lambda connection: _rows(connection, study_id)),
        damaged=view.read(lambda connection: list(_damaged(connection, study_id))),
    )


def _damaged(connection: Connection, study_id: int) -> Iterator[str]:
    """Yield the unreadable attributes and prior results of the study."""
    for table in (rows.STUDY_USER_ATTRS, rows.STUDY_SYSTEM_ATTRS):
        attributes = sa.select(table.c.key, table.c.value_json).where(table.c.study_id == study_id)
        for key, text in connection.execute(attributes):
            if not _is_json(text, object):
                yield f"{table.name}: {key}"
    columns = (
        prior_results.c.source,
        prior_results.c.place,
        prior_results.c.params,
        prior_results.c.outcome,
    )
    results = sa.select(*columns).where(prior_results.c.study_id == study_id)
    for source, place, params, outcome in connection.execute(results):
        if not (_is_json(params, dict) and _is_json(outcome, dict)):
            yield f"{prior_results.name}: {place} of {source}"


def _is_json(text: Any, shape: type) -> bool:
    try:
        decode(text, shape)
    except Damaged:
        return False
    return True


def _epochs(connection: Connection, study_id: int) -> dict[int, list[EpochRow]]:
    columns = (epochs_table.c[name] for name in EpochRow.__dataclass_fields__)
    query = (
        sa.select(epochs_table.c.ticket, *columns)
        .where(epochs_table.c.study_id == study_id)
        .order_by(epochs_table.c.ticket, epochs_table.c.epoch)
    )
    by_ticket: dict[int, list[EpochRow]] = {}
    for ticket, *values in connection.execute(query):
        fields = dict(zip(EpochRow.__dataclass_fields__, values, strict=True))
        by_ticket.setdefault(ticket, []).append(EpochRow(**fields))
    return by_ticket


def _rows(connection: Connection, study_id: int) -> list[OptunaRow]:
    def of_trials(table: sa.Table, *columns: sa.Column[Any]) -> Any:
        joined = sa.select(table.c.trial_id, *columns).join(
            rows.TRIALS, rows.TRIALS.c.trial_id == table.c.trial_id
        )
        return connection.execute(joined.where(rows.TRIALS.c.study_id == study_id))

    steps: dict[int, dict[int, float | None]] = {}
    table = rows.INTERMEDIATE_VALUES
    for trial_id, step, value in of_trials(table, table.c.step, table.c.intermediate_value):
        steps.setdefault(trial_id, {})[step] = value
    damaged: list[tuple[int, str]] = []
    params: dict[int, dict[str, Any]] = {}
    table = rows.PARAMS
    columns = (table.c.param_name, table.c.param_value, table.c.distribution_json)
    for trial_id, name, value, distribution in of_trials(table, *columns):
        parameter = drawn_value(distribution, value)
        if parameter is None:
            damaged.append((trial_id, f"trial_params: {name}"))
        else:
            params.setdefault(trial_id, {})[name] = parameter[1]
    attributes: dict[int, dict[str, Any]] = {}
    table = rows.TRIAL_USER_ATTRS
    for trial_id, key, text in of_trials(table, table.c.key, table.c.value_json):
        try:
            attributes.setdefault(trial_id, {})[key] = decode(text, object)
        except Damaged:
            damaged.append((trial_id, f"trial_user_attributes: {key}"))
            attributes.setdefault(trial_id, {})[key] = None
    table = rows.TRIAL_SYSTEM_ATTRS
    marked = set()
    for trial_id, key, text in of_trials(table, table.c.key, table.c.value_json):
        if key in rows.INFEASIBLE_MARKS:
            marked.add(trial_id)
        try:
            decode(text, object)
        except Damaged:
            damaged.append((trial_id, f"trial_system_attributes: {key}"))
    table = rows.VALUES
    objectives: dict[int, list[float | None]] = {}
    values = of_trials(table, table.c.objective, table.c.value).all()
    for trial_id, _, value in sorted(values, key=lambda row: (row[0], row[1])):
        objectives.setdefault(trial_id, []).append(value)
    query = (
        sa.select(rows.TRIALS.c.trial_id, rows.TRIALS.c.number, rows.TRIALS.c.state)
        .where(rows.TRIALS.c.study_id == study_id)
        .order_by(rows.TRIALS.c.number, rows.TRIALS.c.trial_id)
    )
    return [
        OptunaRow(
            trial_id=trial_id,
            number=number,
            state=state,
            objectives=objectives.get(trial_id, []),
            values=steps.get(trial_id, {}),
            params=params.get(trial_id, {}),
            ticket=attributes.get(trial_id, {}).get("ticket"),
            infeasible="infeasible" in attributes.get(trial_id, {}),
            marked=trial_id in marked,
            damaged=tuple(what for damaged_trial, what in damaged if damaged_trial == trial_id),
        )
        for trial_id, number, state in connection.execute(query)
    ]
