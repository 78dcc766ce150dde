"""One damaged row is named, and everything else is shown, wherever a study is read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import sqlalchemy as sa

from hpsearch.reporting.assemble import read_report, render
from hpsearch.results.consistency.facts import read_facts
from hpsearch.results.consistency.rule import findings_of
from hpsearch.results.consistency.rules import RULES
from hpsearch.results.ranking import ranked
from hpsearch.results.records import read_study
from hpsearch.search.database import optuna_rows, stored_json
from hpsearch.search.database.tables import events, prior_results, tickets
from hpsearch.search.history import TrialHistory, optuna_directions
from hpsearch.search.ledger import studies
from hpsearch.search.ledger.claims import Claims


@pytest.fixture(autouse=True)
def only_made_up_components(monkeypatch, made_up_components):
    monkeypatch.setattr("hpsearch.component_registries.registries", made_up_components)


@pytest.fixture(autouse=True)
def warns_anew():
    stored_json.warn.cache_clear()
    stored_json.decode_distribution.cache_clear()


def table_of(name: str) -> sa.Table:
    ours = {table.name: table for table in (tickets, events, prior_results)}
    return ours.get(name) or optuna_rows.METADATA.tables[name]


BROKEN = ("{", "[1, 2", "", "null", '"text"', "\x00", "[" * 2000)

#: Table, column, and the rows of it that are damaged (all of them where there is no condition).
CELLS = [
    ("hpsearch_tickets", "params", "ticket = 2"),
    ("hpsearch_tickets", "figures", "ticket = 2"),
    ("hpsearch_tickets", "state", "ticket = 3"),
    ("hpsearch_tickets", "value", "ticket = 2"),
    ("hpsearch_events", "detail", "kind = 'complete' AND ticket = 1"),
    ("hpsearch_events", "detail", "kind = 'infeasible'"),
    ("hpsearch_events", "detail", "kind = 'invalidated'"),
    ("hpsearch_events", "detail", "ticket = 2"),
    ("hpsearch_knowledge", "params", "1 = 1"),
    ("hpsearch_knowledge", "outcome", "1 = 1"),
    ("trial_user_attributes", "value_json", "trial_id = 3"),
    ("trial_user_attributes", "value_json", "key = 'infeasible'"),
    ("trial_user_attributes", "value_json", "key = 'data_hash'"),
    ("trial_system_attributes", "value_json", "1 = 1"),
    ("trial_params", "distribution_json", "trial_id = 3"),
    ("trial_params", "distribution_json", "trial_id = 2"),
    ("study_user_attributes", "value_json", "1 = 1"),
    ("study_system_attributes", "value_json", "key = 'study:metric_names'"),
]


def damage(database, table: str, column: str, where: str, text: str) -> int:
    def work(connection):
        statement = sa.text(f"UPDATE {table} SET {column} = :text WHERE {where}")
        return connection.execute(statement, {"text": text}).rowcount

    return database.write(work)


@pytest.fixture
def prepared(searched):
    """The study of ``searched`` with an invalid trial, knowledge and a user's own attribute."""
    from hpsearch.search.ledger import validity
    from hpsearch.search.prior_results import PriorResult, add

    study_id = searched.stored.study_id
    validity.invalidate(searched.database, study_id, 4, "wrong labels")
    lesson = PriorResult(
        place="line 2",
        params={"model.line.width": 8, "optimizer.walk.lr": 0.1},
        values=(0.5,),
        violations={},
    )
    add(searched.database, study_id, "old.csv", [lesson])
    optuna_rows_of_study = {"study_id": study_id, "key": "mine", "value_json": '"x"'}
    searched.database.write(
        lambda connection: connection.execute(
            sa.insert(optuna_rows.STUDY_USER_ATTRS).values(optuna_rows_of_study)
        )
    )
    return searched


@pytest.mark.parametrize(("table", "column", "where"), CELLS)
def test_every_reader_goes_on(prepared, table, column, where):
    for text in BROKEN:
        assert damage(prepared.database, table, column, where, text) >= 1
        reads_everything_else(prepared, table)


def reads_everything_else(prepared, table: str) -> None:
    database = prepared.database
    record = read_study(database, "made_up")
    assert len(record.trials) == 6
    assert {each.number for each in ranked(record)} >= {0}
    facts = read_facts(database, "made_up")
    found = [finding for rule in RULES for finding in findings_of(rule, facts)]
    if table.startswith("hpsearch_tickets"):
        assert [each.rule for each in found if each.rule == "readable"] == ["readable"]
    study_id = prepared.stored.study_id
    history = TrialHistory(database, study_id, *optuna_directions(prepared.study.goals))
    assert len(history.refresh()) == 7
    history.prior_trials(prepared.study.space)


COMMANDS = (
    ("status",),
    ("status", "--json"),
    ("show",),
    ("show", "0"),
    ("show", "2"),
    ("show", "1"),
    ("show", "--json"),
)


@pytest.mark.parametrize(("table", "column", "where"), CELLS)
def test_every_command_goes_on(hpsearch, prepared, table, column, where):
    damage(prepared.database, table, column, where, '{"half": ')
    arguments = ("--study", "made_up", "--storage", prepared.url)
    for command, *others in COMMANDS:
        ran = hpsearch(command, *arguments, *others)
        assert ran.code == 0, (command, others, ran.all)
        assert "Traceback" not in ran.all
    ran = hpsearch("doctor", *arguments)
    assert "Traceback" not in ran.all, ran.all
    assert ran.code == 1
    ran = hpsearch("studies", "--storage", prepared.url)
    assert (ran.code, "made_up" in ran.out) == (0, True)
    assert len(read_report(prepared.database, ["made_up"]).studies) == 1


def test_a_damaged_ticket_is_named_and_has_no_rank(hpsearch, prepared):
    damage(prepared.database, "hpsearch_tickets", "params", "ticket = 2", "{")
    arguments = ("--study", "made_up", "--storage", prepared.url)
    named = "ticket 2 (trial 2): params"
    for command in ("status", "show"):
        assert f"damaged rows in the database (hpsearch_tickets): {named}" in " ".join(
            hpsearch(command, *arguments).out.split()
        )
    assert named in hpsearch("status", *arguments, "--json").json["warnings"][0]
    assert hpsearch("status", *arguments, "--json").json["best"]["number"] != 2
    assert "damaged in the database: params" in hpsearch("show", *arguments, "2").out
    told = hpsearch("doctor", *arguments, "--json").json["problems"]
    assert [(each["rule"], each["where"]) for each in told] == [
        ("readable", "trial 2 (ticket 2)")
    ], "and nothing that only follows from it"
    ran = hpsearch("export", *arguments, "--trial", "2")
    assert (ran.code, "is damaged in the database" in ran.err) == (2, True), ran.all


def test_a_damaged_event_is_the_only_thing_that_doctor_finds(hpsearch, prepared):
    damage(prepared.database, "hpsearch_events", "detail", "kind = 'invalidated'", "{")
    told = hpsearch("doctor", "--study", "made_up", "--storage", prepared.url, "--json").json[
        "problems"
    ]
    assert [each["rule"] for each in told] == ["readable"]
    assert "(invalidated) can't be read" in told[0]["what"]


def test_a_damaged_study_costs_no_other_one(hpsearch, prepared, made_up_components):
    from hpsearch.study_file.loading import study_from_document

    other = study_from_document({**prepared.study.document, "study": "other"}, made_up_components)
    studies.attach(prepared.database, other)
    damage(prepared.database, "hpsearch_studies", "document", "name = 'made_up'", "{")
    ran = hpsearch("studies", "--storage", prepared.url, "--json")
    assert [each["study"] for each in ran.json["stored"]] == ["other"]
    assert "must be a JSON object" in ran.json["unusable"]["made_up"]
    assert hpsearch("status", "--study", "other", "--storage", prepared.url).code == 0
    ran = hpsearch("status", "--study", "made_up", "--storage", prepared.url)
    assert (ran.code, "Traceback" in ran.err) == (2, False)


def test_a_report_names_it(prepared):
    damage(prepared.database, "hpsearch_tickets", "params", "ticket = 2", "{")
    assert "ticket 2 (trial 2): params" in render(prepared.database, ["made_up"])


def test_a_paused_trial_whose_configuration_is_damaged_fails(prepared):
    """Nobody could go on with it; it must not end one worker after the other."""
    studies.raise_budget(prepared.database, prepared.stored.study_id, 7)
    claim = prepared.start(width=3)
    prepared.ledger.release(claim, "told to leave")
    where = f"ticket = {claim.ticket}"
    damage(prepared.database, "hpsearch_tickets", "params", where, "{")
    claims = Claims(
        prepared.database,
        prepared.stored.study_id,
        "worker-b",
        lease_seconds=30,
        seen_stops=0,
        needs_point=lambda ticket: False,
        rules=prepared.ledger.rules,
    )
    again = claims.claim()
    assert (again.ticket, again.damaged, again.params) == (claim.ticket, True, None)


@pytest.mark.parametrize(
    ("table", "column", "where"),
    [
        ("hpsearch_tickets", "params", "ticket = 2"),
        ("hpsearch_tickets", "last_error", "ticket = 5"),
        ("hpsearch_events", "detail", "ticket = 2"),
        ("trial_user_attributes", "value_json", "trial_id = 3"),
    ],
)
def test_bytes_that_are_no_text_cost_one_value(prepared, table, column, where):
    """A page of the file that the disk has lost; SQLite would refuse the whole answer."""
    prepared.database.write(
        lambda connection: connection.execute(
            sa.text(f"UPDATE {table} SET {column} = CAST(x'7bff7d' AS TEXT) WHERE {where}")
        )
    )
    reads_everything_else(prepared, "")
    assert len(read_report(prepared.database, ["made_up"]).studies) == 1


def test_a_value_that_is_no_number_is_named(prepared):
    damage(prepared.database, "hpsearch_tickets", "best_value", "ticket = 1", "abc")
    record = read_study(prepared.database, "made_up")
    assert record.trial(0).damaged == ("best_value",)
    assert json.loads(json.dumps(list(record.warnings)))


def test_the_dashboard_shows_the_rest(prepared):
    from hpsearch.dashboard.storage import DashboardStorage
    from hpsearch.dashboard.study_view import StudyViews

    for table, column, where in CELLS:
        damage(prepared.database, table, column, where, "{")
    storage = DashboardStorage(prepared.database, StudyViews(prepared.database))
    (study,) = storage.get_all_studies()
    assert "damaged rows in the database" in study.system_attrs["dashboard:note_str:0"]
    assert len(storage.get_all_trials(study._study_id)) == 7


def test_a_damaged_document_leaves_optunas_study_in_the_dashboard(prepared):
    from hpsearch.dashboard.storage import DashboardStorage
    from hpsearch.dashboard.study_view import StudyViews

    damage(prepared.database, "hpsearch_studies", "document", "1 = 1", "{")
    storage = DashboardStorage(prepared.database, StudyViews(prepared.database))
    (study,) = storage.get_all_studies()
    assert study.study_name == "made_up"
    assert "must be a JSON object" in study.user_attrs["damaged"]
    assert len(storage.get_all_trials(study._study_id)) == 7


def test_python_names_it(prepared, tmp_path: Path):
    from hpsearch import open_study

    damage(prepared.database, "hpsearch_tickets", "params", "ticket = 2", "{")
    study = open_study("made_up", storage=prepared.url)
    assert "ticket 2 (trial 2): params" in study.warnings[0]
    assert study.best is not None and study.best.warnings == study.warnings
    assert "ticket 2 (trial 2): params" in study._repr_html_()
    assert len(study.trials) >= 5
