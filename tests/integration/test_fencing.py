"""A worker that lost its lease and wakes up again writes nothing to its successor's trial."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from support.ledger import LEASE, Hand, Search, line_row

from hpsearch.errors import LeaseLost
from hpsearch.search.database import optuna_rows
from hpsearch.search.database.storage import Database
from hpsearch.search.database.tables import epochs, studies, tickets
from hpsearch.search.ledger.claims import free_tickets_of
from hpsearch.search.ledger.types import CheckpointRef, Claim, Idle

ZOMBIES_CHECKPOINT = CheckpointRef(key="zombie.pt", sha256="f" * 64, epoch=2)

#: Every write that a worker can make about its ticket.
WRITES = {
    "renew": lambda hand, claim: hand.ledger.renew(claim),
    "report": lambda hand, claim: hand.report(claim, 2, 0.99, ZOMBIES_CHECKPOINT),
    "last report": lambda hand, claim: hand.report(claim, 3, 0.99),
    "release": lambda hand, claim: hand.ledger.release(claim, "SIGTERM", ZOMBIES_CHECKPOINT),
    "fail": lambda hand, claim: hand.ledger.fail(claim, "out of memory", retry=True),
    "fail for good": lambda hand, claim: hand.ledger.fail(claim, "broken", retry=False),
    "infeasible": lambda hand, claim: hand.ledger.infeasible(
        claim, line_row(0.5), "too large", nth=0
    ),
    "start": lambda hand, claim: hand.ledger.start(claim, line_row(0.5)),
    "withdraw": lambda hand, claim: hand.ledger.withdraw(claim),
}


def contents(search: Search) -> dict[str, list[Any]]:
    """Everything in the database but the event log."""
    tables = [studies, tickets, epochs, *_optunas_tables()]

    def work(connection: sa.Connection) -> dict[str, list[Any]]:
        return {
            table.name: sorted(map(repr, connection.execute(sa.select(table)).all()))
            for table in tables
        }

    return search.database.read(work)


def _optunas_tables() -> list[sa.Table]:
    return [value for value in vars(optuna_rows).values() if isinstance(value, sa.Table)]


def overtaken(search: Search) -> tuple[Hand, Claim, Hand, Claim]:
    """A worker that reported one epoch and was stopped, and the one that took its ticket."""
    zombie, heir = search.hand("zombie"), search.hand("heir")
    old = zombie.started()
    zombie.report(old, 1, 0.5)
    heir.claims.claim()
    heir.look(LEASE)
    new = heir.claim()
    assert (new.ticket, new.attempt) == (old.ticket, old.attempt + 1)
    return zombie, old, heir, new


def refused_writes(search: Search, hand: Hand, claim: Claim) -> list[str]:
    """Try every write in turn; returns those that were refused and left everything as it was."""
    before = contents(search)
    refused = []
    for name, write in WRITES.items():
        with pytest.raises(LeaseLost, match=f"ticket 1: attempt {claim.attempt} is over"):
            write(hand, claim)
        assert contents(search) == before, name
        refused.append(name)
    return refused


def test_a_zombies_writes_are_refused_and_leave_a_trace(search):
    opened = search(trials=1)
    zombie, old, heir, new = overtaken(opened)
    seen = len(opened.events())
    assert refused_writes(opened, zombie, old) == list(WRITES)
    traces = opened.event_log(1)[seen:]
    assert {(trace.kind, trace.attempt, trace.owner) for trace in traces} == {
        ("write_refused", 1, "zombie")
    }
    assert [trace.detail["write"] for trace in traces] == [
        name.replace("last ", "").replace(" for good", "") for name in WRITES
    ]
    # The heir goes on as if nothing had happened.
    assert heir.report(new, 2, 0.6) == "continue"


def test_a_zombies_writes_are_refused_after_its_heir_has_finished(search):
    opened = search(trials=1)
    zombie, old, heir, new = overtaken(opened)
    heir.finish(new, [0.6, 0.7], first=2)
    assert refused_writes(opened, zombie, old) == list(WRITES)
    (trial,) = opened.trials()
    assert (trial.value, trial.intermediate_values) == (0.7, {1: 0.5, 2: 0.6, 3: 0.7})


def test_writes_are_refused_while_nobody_holds_the_ticket(search):
    """Its supervisor took it for dead and freed the ticket, but nobody has claimed it yet."""
    opened = search(trials=1)
    zombie = opened.hand("zombie")
    old = zombie.started()
    zombie.report(old, 1, 0.5)
    free_tickets_of(opened.database, opened.study_id, "zombie")
    assert refused_writes(opened, zombie, old) == list(WRITES)


def test_a_zombie_takes_new_work(search):
    opened = search(trials=1)
    zombie, old, heir, new = overtaken(opened)
    search(trials=2)
    with pytest.raises(LeaseLost):
        zombie.ledger.renew(old)
    fresh = zombie.started()
    assert fresh.ticket == 2
    zombie.finish(fresh)
    heir.finish(new, [0.6, 0.7], first=2)
    assert opened.counts().complete == 2


def test_a_zombie_that_claims_its_own_old_ticket_again_is_another_attempt(search):
    """The same process, the same name: only the attempt tells the old claim from the new one."""
    opened = search(trials=1)
    hand = opened.hand("one")
    old = hand.started()
    hand.ledger.release(old, "paused")
    new = hand.claim()
    before = contents(opened)
    with pytest.raises(LeaseLost):
        hand.report(old, 1, 0.9)
    assert contents(opened) == before
    assert hand.report(new, 1, 0.5) == "continue"


def test_a_zombie_that_never_started_creates_no_row(search):
    opened = search(trials=1)
    zombie, heir = opened.hand("zombie"), opened.hand("heir")
    old = zombie.claim()
    heir.claims.claim()
    heir.look(LEASE)
    new = heir.claim()
    heir.ledger.start(new, line_row(0.25))
    for row in (line_row(0.75), line_row(0.25)):
        with pytest.raises(LeaseLost):
            zombie.ledger.start(old, row)
    assert [trial.params for trial in opened.trials()] == [{"lr": 0.25}]


def test_nobody_takes_a_ticket_over_within_its_owners_transaction(search):
    """Between the fence and the commit of a report: whoever frees the ticket must wait.

    On Postgres the row lock of the fence does it, on SQLite the one writer at a time.
    """
    opened = search(trials=1, epochs=9)
    owner, heir = opened.hand("owner"), opened.hand("heir")
    claim = owner.started()
    heir.claims.claim()
    heir.look(LEASE)
    answers: list[Any] = []
    takeover = threading.Thread(target=lambda: answers.append(heir.claims.claim()))

    def pruner(_report: Any, _peers: Any) -> bool:
        takeover.start()
        takeover.join(timeout=0.5)
        assert answers == [], "the heir got an answer in the middle of the owner's transaction"
        return False

    owner.ledger.rules = replace(owner.ledger.rules, pruner=pruner)
    assert owner.report(claim, 1, 0.5) == "continue"
    takeover.join(timeout=240)
    assert answers == [Idle.WAIT], "the report was a sign of life"
    assert opened.ticket().owner == "owner"


def test_a_write_excludes_other_writers_from_its_first_statement(tmp_path, sqlite_template):
    """SQLite's plain BEGIN takes no lock: what was read may be stale at the first write."""
    path = tmp_path / "x.db"
    shutil.copy(sqlite_template, path)
    database = Database(f"sqlite:///{path}")

    def work(connection: sa.Connection) -> None:
        connection.execute(sa.select(tickets)).all()
        other = sqlite3.connect(path, timeout=0, isolation_level=None)
        with pytest.raises(sqlite3.OperationalError, match="database is locked"):
            other.execute("BEGIN IMMEDIATE")
        other.close()

    database.write(work)
    database.close()
