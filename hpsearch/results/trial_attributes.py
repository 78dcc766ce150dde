"""Data that only Optuna's rows have: a trial's attributes, and the infeasible draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from hpsearch.search.database import optuna_rows as rows
from hpsearch.search.database.storage import Database
from hpsearch.search.database.stored_json import Damaged, decode, drawn_value, warn


@dataclass(frozen=True, kw_only=True)
class InfeasibleDraw:
    """A configuration that was drawn and couldn't be built; it used no budget."""

    number: int
    #: The ticket that drew again afterwards.
    ticket: int
    params: Mapping[str, Any]
    #: Why it can't be built.
    reason: str


def read(database: Database, trial_id: int) -> dict[str, Any]:
    """Return the attributes that the worker recorded: device, threads, hashes and so on."""
    return database.read(lambda connection: _attributes(connection, trial_id))


def read_many(database: Database, study_id: int, names: Sequence[str]) -> dict[int, dict[str, Any]]:
    """Return trial id -> its attributes, for all trials at once.

    Args:
        database: The study's database.
        study_id: Its id.
        names: Names of the attributes; a trial may lack some.
    """
    table, trials = rows.TRIAL_USER_ATTRS, rows.TRIALS
    query = (
        sa.select(table.c.trial_id, table.c.key, table.c.value_json)
        .join(trials, trials.c.trial_id == table.c.trial_id)
        .where(trials.c.study_id == study_id, table.c.key.in_(names))
    )

    def work(connection: Connection) -> dict[int, dict[str, Any]]:
        attributes: dict[int, dict[str, Any]] = {}
        for row in connection.execute(query):
            _take(attributes.setdefault(row.trial_id, {}), row)
        return attributes

    return database.read(work)


def infeasible_draws(database: Database, study_id: int) -> list[InfeasibleDraw]:
    """Return every draw that couldn't be built, by number."""
    marked = read_many(database, study_id, ["infeasible", "ticket"])
    marked = {
        trial_id: attributes
        for trial_id, attributes in marked.items()
        if "infeasible" in attributes
    }
    params, trials = rows.PARAMS, rows.TRIALS
    query = (
        sa.select(
            trials.c.trial_id,
            trials.c.number,
            params.c.param_name,
            params.c.param_value,
            params.c.distribution_json,
        )
        .join(trials, trials.c.trial_id == params.c.trial_id)
        .join(
            rows.TRIAL_USER_ATTRS,
            sa.and_(
                rows.TRIAL_USER_ATTRS.c.trial_id == trials.c.trial_id,
                rows.TRIAL_USER_ATTRS.c.key == "infeasible",
            ),
        )
        .where(trials.c.study_id == study_id)
        .order_by(trials.c.number, params.c.param_id)
    )

    def work(connection: Connection) -> dict[tuple[int, int], dict[str, Any]]:
        draws: dict[tuple[int, int], dict[str, Any]] = {}
        for row in connection.execute(query):
            parameter = drawn_value(row.distribution_json, row.param_value)
            params = draws.setdefault((row.number, row.trial_id), {})
            if parameter is not None:
                params[row.param_name] = parameter[1]
        return draws

    return [
        InfeasibleDraw(
            number=number,
            ticket=_ticket_in(marked[trial_id]),
            params=values,
            reason=str(marked[trial_id]["infeasible"]),
        )
        for (number, trial_id), values in sorted(database.read(work).items())
        if trial_id in marked
    ]


def infeasible_draw(database: Database, study_id: int, number: int) -> InfeasibleDraw | None:
    """Return an infeasible draw.

    Args:
        database: The study's database.
        study_id: Its id.
        number: Optuna's number.

    Returns:
        The draw; ``None`` if this number isn't one.
    """

    def work(connection: Connection) -> InfeasibleDraw | None:
        trial_id = connection.execute(
            sa.select(rows.TRIALS.c.trial_id).where(
                rows.TRIALS.c.study_id == study_id, rows.TRIALS.c.number == number
            )
        ).scalar_one_or_none()
        attributes = {} if trial_id is None else _attributes(connection, trial_id)
        if trial_id is None or "infeasible" not in attributes:
            return None
        return InfeasibleDraw(
            number=number,
            ticket=_ticket_in(attributes),
            params=_params(connection, trial_id),
            reason=str(attributes["infeasible"]),
        )

    return database.read(work)


def _attributes(connection: Connection, trial_id: int) -> dict[str, Any]:
    table = rows.TRIAL_USER_ATTRS
    query = sa.select(table.c.trial_id, table.c.key, table.c.value_json).where(
        table.c.trial_id == trial_id
    )
    attributes: dict[str, Any] = {}
    for row in connection.execute(query):
        _take(attributes, row)
    return attributes


def _take(attributes: dict[str, Any], row: sa.Row[Any]) -> None:
    """Add an attribute to those of its trial, unless it is damaged."""
    try:
        attributes[row.key] = decode(row.value_json, object)
    except Damaged as damage:
        warn(f"trial_user_attributes.value_json {row.key!r} of trial id {row.trial_id} {damage}")
        if row.key == "infeasible":  # its presence marks the row
            attributes[row.key] = "(damaged in the database)"


def _ticket_in(attributes: Mapping[str, Any]) -> int:
    ticket = attributes.get("ticket")
    return ticket if isinstance(ticket, int) else 0


def _params(connection: Connection, trial_id: int) -> dict[str, Any]:
    table = rows.PARAMS
    query = sa.select(table).where(table.c.trial_id == trial_id).order_by(table.c.param_id)
    parameters = {
        row.param_name: drawn_value(row.distribution_json, row.param_value)
        for row in connection.execute(query)
    }
    return {name: parameter[1] for name, parameter in parameters.items() if parameter is not None}
