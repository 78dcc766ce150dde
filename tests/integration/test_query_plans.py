"""No statement that is repeated reads a whole table, or all rows of a study.

Every statement of a worker that trains, of its supervisor's look and of ``status`` is recorded as
it is sent, and the database explains how it would run it. A plan that reads all rows of a growing
table, or of one study in it, needs an entry in ``ALLOWED``.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg
import sqlalchemy as sa
from sqlalchemy import event

from benchmarks.scale import Clock, SimulatedWorker, fill
from benchmarks.untrained import NAME, study_file
from hpsearch.reporting.status import status_of
from hpsearch.results.records import read_study
from hpsearch.search.database import optuna_rows
from hpsearch.search.database.storage import Database
from hpsearch.search.database.tables import epochs, events, tickets
from hpsearch.search.ledger import studies
from hpsearch.workers.launch.progress import ProgressReader

TRIALS = 600

#: The tables that have rows for every trial.
GROWING = frozenset(
    each.name for each in (tickets, epochs, events, optuna_rows.TRIALS, *optuna_rows.OF_TRIALS)
)

#: Part of a statement of a worker -> why it may read more than it needs.
ALLOWED = {
    "max(hpsearch_tickets.ticket)": "one step from the end of the index",
    "ORDER BY trials.trial_id DESC": "stops at its first row",
    "hpsearch_tickets.audited_from IS NOT NULL": "stops at its first row, of a small index",
    "SELECT DISTINCT hpsearch_tickets.epochs_done": "the model of `forest` is made of all curves",
}

#: The same for a supervisor's look and for ``status``.
SHOWN = {
    "max(hpsearch_events.event_id)": "one step from the end of the study's index",
    "hpsearch_tickets.last_error FROM hpsearch_tickets": "every trial is shown or ranked",
    "GROUP BY trial_user_attributes.value_json": "the images of all trials are compared",
    "GROUP BY hpsearch_tickets.state": "the database counts them, and sends a row per state",
    "SELECT (SELECT count(*) AS count_1 FROM trials": "the same",
}


def repeated(url: str, record: Callable[[Database], Any]) -> Any:
    """Fill a study, warm up, and record what a worker, a supervisor and ``status`` then repeat."""
    fill(url, TRIALS)
    worker = SimulatedWorker(url, 0, Clock())
    finished = worker.clock.seconds["finish"]
    while not finished:
        worker.step()
    with record(worker.database) as statements:
        finished.clear()
        while not finished:
            worker.step()
    reader = ProgressReader(worker.database, studies.find(worker.database, NAME), study_file(1))
    reader.look([])
    with record(worker.database) as shown:
        reader.look([])
        status_of(worker.database, read_study(worker.database, NAME))
    worker.database.close()
    return statements, shown


# SQLite


@contextmanager
def traced(database: Database) -> Iterator[set[str]]:
    """Collect the statements that SQLite gets, with their values."""
    seen: set[str] = set()

    def begin(connection: sqlite3.Connection, *_: Any) -> None:
        connection.set_trace_callback(seen.add)

    database.close()
    event.listen(database.engine, "connect", begin)
    yield seen
    event.remove(database.engine, "connect", begin)
    database.close()


def whole_on_sqlite(url: str, statement: str) -> list[str]:
    """Return the steps of SQLite's plan that read a growing table, or a study in it, completely."""
    with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
        plan = connection.execute(f"EXPLAIN QUERY PLAN {statement}").fetchall()
    steps = [row[3] for row in plan]
    return [step for step in steps if is_whole_on_sqlite(step)]


def is_whole_on_sqlite(step: str) -> bool:
    """Whether a step such as ``SEARCH trials USING INDEX i (study_id=?)`` reads too much."""
    kind, table, *_ = step.split()
    return table in GROWING and (kind == "SCAN" or step.endswith("(study_id=?)"))


def test_no_repeated_statement_reads_a_whole_table_on_sqlite(tmp_path):
    url = f"sqlite:///{tmp_path / 'plans.db'}"
    statements, shown = repeated(url, traced)
    told = {each.split()[0] for each in statements}
    assert {"SELECT", "INSERT", "UPDATE", "BEGIN", "COMMIT"} <= told, "all of them are recorded"
    found = {each: steps for each in explained(statements) if (steps := whole_on_sqlite(url, each))}
    assert unexpected(found, ALLOWED) == {}
    found = {each: steps for each in explained(shown) if (steps := whole_on_sqlite(url, each))}
    assert unexpected(found, ALLOWED | SHOWN) == {}


# Postgres


@contextmanager
def listened(database: Database) -> Iterator[dict[str, Any]]:
    """Collect the statements that Postgres gets, each with its last values."""
    seen: dict[str, Any] = {}

    class Recording(psycopg.Cursor[Any]):
        def execute(self, query: Any, params: Any = None, **others: Any) -> Any:
            seen[str(query)] = params
            return super().execute(query, params, **others)

    def begin(connection: Any, *_: Any) -> None:
        connection.cursor_factory = Recording

    database.close()
    event.listen(database.engine, "connect", begin)
    yield seen
    event.remove(database.engine, "connect", begin)
    database.close()


def whole_on_postgres(database: Database, statement: str, values: Any) -> list[str]:
    """Return the nodes of Postgres's plan that read a growing table or a study completely."""

    def work(connection: sa.Connection) -> Any:
        raw: Any = connection.connection.driver_connection
        # Sequential scans only if there is no other way: the tables of a test are small
        raw.execute("SET enable_seqscan = off")
        return raw.execute(f"EXPLAIN (FORMAT JSON) {statement}", values).fetchone()[0]

    plan = database.read(work)
    plan = json.loads(plan) if isinstance(plan, str) else plan
    return [
        f"{node['Node Type']} of {node.get('Relation Name')}: {node.get('Index Cond')}"
        for node in nodes(plan[0]["Plan"])
        if is_whole_on_postgres(node)
    ]


def nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield a plan's nodes."""
    yield plan
    for each in plan.get("Plans", ()):
        yield from nodes(each)


def is_whole_on_postgres(node: Mapping[str, Any]) -> bool:
    """Whether a node reads all rows of a growing table, or of a study in it."""
    if node["Node Type"] == "Bitmap Index Scan":
        table = True  # its name is that of an index
    else:
        table = node.get("Relation Name") in GROWING
    if not table or node["Node Type"] in ("Bitmap Heap Scan", "ModifyTable"):
        return False
    condition = node.get("Index Cond", "").strip("()")
    only_study = condition.startswith("study_id = ") and " AND " not in condition
    return condition == "" or only_study


def test_no_repeated_statement_reads_a_whole_table_on_postgres(postgres):
    url = postgres.create()
    statements, shown = repeated(url, listened)
    told = {each.split()[0] for each in statements}
    assert {"SELECT", "INSERT", "UPDATE", "BEGIN", "COMMIT"} <= told, "all of them are recorded"
    database = Database(url)
    try:
        for texts, allowed in ((statements, ALLOWED), (shown, ALLOWED | SHOWN)):
            found = {
                each: steps
                for each in explained(texts)
                if (steps := whole_on_postgres(database, each, texts[each]))
            }
            assert unexpected(found, allowed) == {}
    finally:
        database.close()
        postgres.drop(url)


def explained(statements: Any) -> list[str]:
    """Return the statements that have a plan."""
    planned = ("SELECT", "UPDATE", "DELETE", "INSERT")
    return [each for each in statements if each.split()[0] in planned]


def unexpected(found: Mapping[str, Any], allowed: Mapping[str, str]) -> dict[str, Any]:
    """Return the entries of ``found`` without a reason."""
    return {
        statement: steps
        for statement, steps in found.items()
        if not any(part in " ".join(statement.split()) for part in allowed)
    }
