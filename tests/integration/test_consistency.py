"""Every rule of `hpsearch doctor` about rows: a sound ledger breaks none, each damage breaks one.

The damage is done with SQL to a ledger that real claims and writes made.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy as sa
from optuna.trial import TrialState
from support.ledger import Search, line_row, open_search
from support.searching import study_file

from hpsearch.results.consistency.facts import read_facts
from hpsearch.results.consistency.rule import Finding, findings_of
from hpsearch.results.consistency.rules import RULES
from hpsearch.search.database import optuna_rows as rows
from hpsearch.search.database.storage import Database, read_snapshot
from hpsearch.search.database.tables import epochs, events, tickets
from hpsearch.search.database.tables import studies as studies_table
from hpsearch.search.ledger import studies
from hpsearch.search.ledger.claims import free_tickets_of
from hpsearch.search.ledger.types import CheckpointRef


def checkpoint(ticket: int, epoch: int) -> CheckpointRef:
    return CheckpointRef(key=f"line/{ticket}/epoch-{epoch}.pt", sha256="a" * 64, epoch=epoch)


#: Of the study that each rule is tested with.
PRUNER = {"stop": True, "reduction_factor": 2, "min_epochs": 1}


def fill(opened: Search) -> None:
    """Ticket 1 complete after a release and a death, 2 pruned, 3 failed, 4 runs, 5 paused."""
    one, two = opened.hand("host:one"), opened.hand("host:two")
    first = one.started()
    one.report(first, 1, 0.5, checkpoint(1, 1))
    one.report(first, 2, 0.6)
    one.ledger.release(first, "told to leave", checkpoint(1, 2))
    first = two.claim()
    two.report(first, 3, 0.9, checkpoint(1, 3))
    free_tickets_of(opened.database, opened.study_id, "host:two")
    first = one.claim()
    assert one.report(first, 4, 0.8) == "complete"
    second = one.claim()
    one.ledger.infeasible(second, line_row(0.99), "too large", nth=0)
    one.ledger.start(second, line_row(0.5))
    assert one.report(second, 1, 0.1) == "pruned"
    third = one.started()
    one.ledger.fail(third, "poison", retry=False)
    fourth = one.started()
    one.report(fourth, 1, 0.95, checkpoint(4, 1))
    fifth = two.started()
    two.ledger.release(fifth, "told to leave")


@pytest.fixture
def searched(search):
    """A study with every kind of ticket, on each kind of server in turn."""
    opened = search(trials=6, epochs=4, pruner="asha", settings=PRUNER)
    fill(opened)
    return opened


@pytest.fixture(scope="module")
def searched_file(sqlite_template, tmp_path_factory) -> Path:
    """The same study in a SQLite file, to be copied."""
    path = tmp_path_factory.mktemp("searched") / "searched.db"
    shutil.copy(sqlite_template, path)
    with closing(Database(f"sqlite:///{path}")) as database:
        study = study_file(trials=6, epochs=4)
        fill(open_search(database, study, pruner="asha", settings=PRUNER))
    return path


@pytest.fixture
def copied(searched_file: Path, tmp_path: Path) -> Iterator[Database]:
    """A copy of the file, to be damaged."""
    shutil.copy(searched_file, tmp_path / "hpsearch.db")
    with closing(Database(f"sqlite:///{tmp_path / 'hpsearch.db'}")) as database:
        yield database


def findings(database: Database) -> list[Finding]:
    facts = read_facts(database, "line")
    return [finding for rule in RULES for finding in findings_of(rule, facts)]


def test_a_sound_ledger_breaks_no_rule(searched):
    assert {each.state.value for each in searched.tickets()} == {
        "complete", "pruned", "failed", "running", "paused"
    }  # fmt: skip
    assert findings(searched.database) == []


def test_a_study_without_trials_breaks_no_rule(search):
    search()
    assert findings(search().database) == []


def test_a_lowered_budget_is_no_breach(searched):
    """The tickets were right when they were issued, and the log says so."""
    studies.attach(searched.database, study_file(trials=2, epochs=4))
    assert searched.events()[-1] == "budget_changed"
    assert findings(searched.database) == []


def test_a_withdrawn_ticket_leaves_no_gap(search):
    opened = search(trials=2, is_enumerated=True)
    one, two = opened.hand("one"), opened.hand("two")
    first, second = one.claim(), two.started()
    one.ledger.withdraw(first)
    assert [each.ticket for each in opened.tickets()] == [second.ticket]
    assert findings(opened.database) == []


def test_an_epoch_done_again_breaks_no_rule(search):
    opened = search(trials=1, epochs=3)
    one, two = opened.hand("one"), opened.hand("two")
    claim = one.started()
    one.report(claim, 1, 0.5, checkpoint(1, 1))
    one.report(claim, 2, 0.6)
    free_tickets_of(opened.database, opened.study_id, "one")
    claim = two.claim()
    two.report(claim, 2, 0.6)
    assert opened.events()[-1] == "epoch_redone"
    assert findings(opened.database) == []
    assert two.report(claim, 3, 0.7) == "complete"
    assert findings(opened.database) == []


def test_a_trial_that_taught_the_sampler_breaks_no_rule(search):
    """Out of memory: FAILED in the ledger, PRUNED and marked in Optuna's table."""
    opened = search(trials=1)
    hand = opened.hand("one")
    hand.ledger.fail(
        hand.started(), "out of memory", retry=False, infeasible_attrs={"infeasible": "memory"}
    )
    assert findings(opened.database) == []
    assert [trial.state for trial in opened.trials()] == [TrialState.PRUNED]


@dataclass(frozen=True)
class Damage:
    """One statement, and what the doctor must say of it."""

    rule: str
    says: str
    statement: sa.Executable


def of(ticket: int) -> sa.ColumnElement[bool]:
    return tickets.c.ticket == ticket


def epoch(ticket: int, number: int) -> sa.ColumnElement[bool]:
    return sa.and_(epochs.c.ticket == ticket, epochs.c.epoch == number)


def event(ticket: int, kind: str, attempt: int) -> sa.ColumnElement[bool]:
    return sa.and_(events.c.ticket == ticket, events.c.kind == kind, events.c.attempt == attempt)


def row(number: int) -> sa.ColumnElement[bool]:
    return rows.TRIALS.c.number == number


def trial_id(number: int) -> sa.ScalarSelect[int]:
    return sa.select(rows.TRIALS.c.trial_id).where(row(number)).scalar_subquery()


def one_more(ticket: int, kind: str, attempt: int, owner: str, **detail: object) -> sa.Executable:
    return sa.insert(events).values(
        study_id=sa.select(studies_table.c.study_id).scalar_subquery(),
        ticket=ticket,
        attempt=attempt,
        kind=kind,
        owner=owner,
        at="2026-01-01T00:00:00.000+00:00",
        detail=json.dumps({"pid": 1, "epochs_done": 1, **detail}),
    )


#: Optuna's numbers: ticket 1 is trial 0, 1 the infeasible draw, ticket 2 is 2, then 3, 4, 5.
DAMAGES = [
    Damage(
        "readable",
        "hpsearch_tickets can't be read: params",
        sa.update(tickets).where(of(1)).values(params="{"),
    ),
    Damage(
        "readable",
        "(released) can't be read",
        sa.update(events).where(event(1, "released", 1)).values(detail='{"half": '),
    ),
    Damage(
        "readable",
        "can't be read in Optuna's tables: trial_params: lr",
        sa.update(rows.PARAMS)
        .where(rows.PARAMS.c.trial_id == trial_id(0))
        .values(distribution_json="?"),
    ),
    Damage(
        "one data set",
        "trained on other images than trial 0 (data hash newer, not older)",
        sa.insert(rows.TRIAL_USER_ATTRS).values(
            [
                {"trial_id": trial_id(number), "key": "data_hash", "value_json": json.dumps(found)}
                for number, found in ((0, "older"), (2, "newer"))
            ]
        ),
    ),
    Damage("budget", "5 tickets were issued", sa.update(studies_table).values(trials=4)),
    Damage("invalid", "has no reason", sa.update(tickets).where(of(1)).values(state="invalid")),
    Damage(
        "invalid",
        "was declared invalid, but is complete",
        one_more(1, "invalidated", 3, "host:one", reason="why", before="complete", again=False),
    ),
    Damage("tickets", "its row is missing", sa.delete(tickets).where(of(3))),
    # Two ends, none, and another one than the row says.
    Damage("one end", "ended 2 times: complete, complete", one_more(1, "complete", 3, "host:one")),
    Damage("one end", "has no end", sa.delete(events).where(event(2, "pruned", 1))),
    Damage(
        "one end",
        "is complete, but its log has pruned",
        sa.update(events).where(event(1, "complete", 3)).values(kind="pruned"),
    ),
    # The row against the log's last step.
    Damage("state", "must be running", sa.update(tickets).where(of(4)).values(state="paused")),
    Damage("state", "must be paused", sa.update(tickets).where(of(5)).values(state="running")),
    Damage("state", "belongs to None", sa.update(tickets).where(of(4)).values(owner=None)),
    Damage("state", "is at attempt 7", sa.update(tickets).where(of(4)).values(attempt=7)),
    Damage("state", "no worker ever claimed it", sa.delete(events).where(events.c.ticket == 4)),
    # An heir that began before its predecessor's end; attempts with a hole.
    Damage("one owner", "was live", sa.delete(events).where(event(1, "worker_died", 2))),
    Damage("one owner", "was live", one_more(4, "resumed", 2, "host:two")),
    Damage(
        "one owner",
        "attempt 5 follows attempt 2",
        sa.update(events).where(event(1, "resumed", 3)).values(attempt=5),
    ),
    # Writes of somebody who had lost the trial, or never had it.
    Damage("late write", "'checkpoint' of attempt 1", one_more(1, "checkpoint", 1, "host:one")),
    Damage("late write", "'started' of attempt 1", one_more(4, "started", 1, "host:two")),
    Damage(
        "late write",
        "epoch 3 was accepted from attempt 1",
        sa.update(epochs).where(epoch(1, 3)).values(attempt=1),
    ),
    Damage(
        "late write",
        "epoch 2 was accepted from attempt 2",
        sa.update(epochs).where(epoch(1, 2)).values(attempt=2),
    ),
    # Holes, epochs too many, and totals.
    Damage("epochs", "but has 1, 3, 4", sa.delete(epochs).where(epoch(1, 2))),
    Damage("epochs", "counts 3 epochs", sa.update(tickets).where(of(1)).values(epochs_done=3)),
    Damage("epochs", "at most 3", sa.update(studies_table).values(epochs_per_trial=3)),
    Damage("epochs", "epochs, but no row", sa.update(epochs).where(epoch(4, 1)).values(ticket=9)),
    Damage("totals", "has the value 0.7", sa.update(tickets).where(of(1)).values(value=0.7)),
    Damage("totals", "at epoch 2", sa.update(tickets).where(of(1)).values(best_epoch=2)),
    Damage("totals", "best value 0.95", sa.update(tickets).where(of(1)).values(best_value=0.95)),
    Damage(
        "decisions",
        "continued after epoch 2",
        sa.update(epochs).where(epoch(1, 2)).values(decision="pruned"),
    ),
    Damage(
        "decisions",
        "has the decision continue",
        sa.update(epochs).where(epoch(2, 1)).values(decision="continue"),
    ),
    Damage("decisions", "after 4 of 5 epochs", sa.update(studies_table).values(epochs_per_trial=5)),
    # Optuna's side.
    Damage(
        "reported values",
        "epoch 2 has 0.6 in the ledger, but 0.61",
        sa.update(rows.INTERMEDIATE_VALUES)
        .where(
            rows.INTERMEDIATE_VALUES.c.trial_id == trial_id(0),
            rows.INTERMEDIATE_VALUES.c.step == 2,
        )
        .values(intermediate_value=0.61),
    ),
    Damage(
        "reported values",
        "epoch 1 has 0.95 in the ledger, but None",
        sa.delete(rows.INTERMEDIATE_VALUES).where(
            rows.INTERMEDIATE_VALUES.c.trial_id == trial_id(4)
        ),
    ),
    Damage("numbers", "have this number", sa.update(rows.TRIALS).where(row(5)).values(number=4)),
    Damage(
        "numbers",
        "rows with higher numbers exist",
        sa.update(rows.TRIALS).where(row(5)).values(number=7),
    ),
    Damage("trial rows", "no row in Optuna's", sa.update(tickets).where(of(4)).values(trial_id=99)),
    Damage("trial rows", "never got a row", sa.update(tickets).where(of(1)).values(trial_id=None)),
    Damage(
        "trial rows",
        "shares its row",
        sa.update(tickets).where(of(5)).values(trial_id=trial_id(4)),
    ),
    Damage("trial rows", "row of trial 4", sa.update(tickets).where(of(4)).values(number=2)),
    Damage(
        "foreign rows",
        "without a ticket",
        sa.insert(rows.TRIALS).values(
            study_id=sa.select(studies_table.c.study_id).scalar_subquery(),
            number=6,
            state=TrialState.COMPLETE,
        ),
    ),
    Damage(
        "foreign rows",
        "an infeasible draw, but RUNNING",
        sa.update(rows.TRIALS).where(row(1)).values(state=TrialState.RUNNING),
    ),
    Damage(
        "foreign rows",
        "counts 3 infeasible draws",
        sa.update(tickets).where(of(2)).values(infeasible=3),
    ),
    Damage(
        "both sides",
        "RUNNING in Optuna's table",
        sa.update(rows.TRIALS).where(row(0)).values(state=TrialState.RUNNING),
    ),
    Damage(
        "both sides",
        "has the value 0.8, but 0.9",
        sa.update(rows.VALUES).where(rows.VALUES.c.trial_id == trial_id(0)).values(value=0.9),
    ),
    Damage(
        "both sides",
        "other parameters in Optuna's table: lr",
        sa.update(rows.PARAMS)
        .where(rows.PARAMS.c.trial_id == trial_id(0))
        .values(param_value=0.75),
    ),
]


def require_named(database: Database, damage: Damage) -> None:
    """Do the damage, and check that its rule alone says so once."""
    database.write(lambda connection: connection.execute(damage.statement))
    found = findings(database)
    hits = [each for each in found if each.rule == damage.rule and damage.says in each.what]
    assert len(hits) == 1, found
    assert hits[0].where and hits[0].means


@pytest.mark.parametrize("damage", DAMAGES, ids=[f"{each.rule}: {each.says}" for each in DAMAGES])
def test_a_damaged_ledger_is_named(copied, damage):
    """On SQLite: a rule compares what was read, which is the same from Postgres."""
    require_named(copied, damage)


@pytest.mark.parametrize("says", [each.says for each in DAMAGES if each.rule == "readable"])
def test_what_cannot_be_read_is_named_on_each_server(searched, says):
    (damage,) = [each for each in DAMAGES if each.says == says]
    require_named(searched.database, damage)


def test_every_rule_is_damaged_here():
    assert {damage.rule for damage in DAMAGES} == {rule.name for rule in RULES}


def test_facts_are_of_one_moment(searched):
    """What commits while the tables are read is in none of them, or a rule would seem broken."""
    hand = searched.hand("host:three")
    claim = hand.claim()

    def count(database):
        query = sa.select(sa.func.count()).select_from(epochs)
        return database.read(lambda connection: connection.execute(query).scalar_one())

    def look(view):
        before = count(view)
        hand.report(claim, 1, 0.5)
        return before, count(view)

    before, after = read_snapshot(searched.database, look)
    assert before == after
    assert count(searched.database) == before + 1


def test_a_look_never_writes(searched):
    def change(view):
        view.write(lambda connection: None)

    with pytest.raises(RuntimeError, match="is read-only"):
        read_snapshot(searched.database, change)
