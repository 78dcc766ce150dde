"""Copying studies between SQLite and Postgres, in both directions."""

from __future__ import annotations

import hashlib
import shutil
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from support.ledger import Search, line_row, open_search, optuna_storage, optuna_study
from support.searching import study_file

from hpsearch.errors import StorageError, UserError
from hpsearch.results.consistency.facts import read_facts
from hpsearch.results.consistency.rule import findings_of
from hpsearch.results.consistency.rules import RULES
from hpsearch.search.database import optuna_rows
from hpsearch.search.database.storage import Database
from hpsearch.search.database.tables import TicketState, tickets
from hpsearch.search.ledger import queries, study_copy
from hpsearch.search.ledger import studies as stored_studies
from hpsearch.search.ledger.events import event_log
from hpsearch.search.ledger.study_copy import copy_study
from hpsearch.search.ledger.types import Claim
from hpsearch.workers import copying
from hpsearch.workers.copying import copy_studies


@pytest.fixture
def target(database, tmp_path, request):
    """An open database of the other kind, with tables and with another study in it."""
    if database.is_sqlite:
        url = request.getfixturevalue("postgres_prepared")
    else:
        path = tmp_path / "target.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        url = f"sqlite:///{path}"
    with closing(Database(url)) as other:
        # So that no id of the copy is the same as its source's
        hand = open_search(other, study_file(name="other", trials=3)).hand()
        hand.finish(hand.started())
        hand.finish(hand.started())
        yield other
    if database.is_sqlite:
        request.getfixturevalue("postgres").empty(url)


@pytest.fixture
def trained(search) -> Search:
    """A study with trials in every state but running: complete, at a rung, failed, given back."""
    opened = search(trials=9, pruner="asha", settings={"startup_trials": 3})
    hand = opened.hand()
    for place in range(3):
        hand.report(hand.started(line_row(0.01 * (place + 1))), 1, 0.3 - 0.1 * place)
    promoted = hand.claim()
    hand.finish(promoted, [0.5, 0.6], first=2)
    failed = hand.started(line_row(0.5))
    hand.ledger.fail(failed, "RuntimeError: broken \u00fc\u2603", retry=False)
    hand.ledger.release(hand.started(line_row(0.7)), "left")
    states = {each.state for each in opened.tickets()}
    assert states == {TicketState.COMPLETE, TicketState.PAUSED, TicketState.FAILED}
    return opened


def seen(database, name):
    """Everything of a study but the ids, as its readers see it."""
    study = stored_studies.find(database, name)
    rows = [
        {**vars(each), "trial_id": None} for each in queries.all_tickets(database, study.study_id)
    ]
    log = [
        (each.ticket, each.attempt, each.kind, each.owner, each.at, each.detail)
        for each in event_log(database, study.study_id)
    ]
    trials = [
        (each.number, each.state, each.values, each.params, each.distributions, each.user_attrs,
         each.system_attrs, each.intermediate_values, each.datetime_start, each.datetime_complete)
        for each in optuna_study(database, name).get_trials()
    ]  # fmt: skip
    return rows, log, trials, study.document, study.run_key


def test_a_copy_has_every_row_and_new_ids(trained, target):
    copied = copy_study(trained.database, target, "line")
    assert (copied.trials, copied.existed) == (len(trained.trials()), False)
    assert seen(target, "line") == seen(trained.database, "line")
    theirs = stored_studies.find(target, "line").study_id
    assert theirs != trained.study_id
    # The ledger's trial ids are Optuna's
    numbers = {
        each._trial_id: each.number
        for each in optuna_study(target, "line").get_trials(deepcopy=False)
    }
    for ticket in queries.all_tickets(target, theirs):
        assert numbers.get(ticket.trial_id) == ticket.number
    facts = read_facts(target, "line")
    assert [each for rule in RULES for each in findings_of(rule, facts)] == []
    assert len(optuna_storage(target).get_all_studies()) == 2


def test_the_copy_goes_on_to_its_exact_budget(trained, target):
    copy_study(trained.database, target, "line")
    opened = open_search(target, trained.file, pruner="asha")
    hand = opened.hand()
    while isinstance(claim := hand.claims.claim(), Claim):
        if claim.trial_id is None:
            trial_id, number = hand.ledger.start(claim, line_row(1e-3 * claim.ticket))
            claim = replace(claim, trial_id=trial_id, number=number)
        epoch = claim.epochs_done + 1
        while hand.report(claim, epoch, 0.5) == "continue":
            epoch += 1
    counts = opened.counts()
    assert (counts.total, counts.running, counts.paused) == (9, 0, 0)
    assert counts.complete + counts.pruned == 8


def test_a_copy_that_exists_is_compared(trained, target):
    copy_study(trained.database, target, "line")
    before = seen(target, "line")
    assert copy_study(trained.database, target, "line").existed
    assert seen(target, "line") == before
    trained.hand().started(line_row(0.9))
    with pytest.raises(UserError, match=r"'line' that differs now: one of the two was continued"):
        copy_study(trained.database, target, "line")
    assert seen(target, "line") == before


def test_another_study_of_the_name_is_refused(trained, target):
    open_search(target, study_file(trials=2))
    with pytest.raises(UserError, match=r"has another study 'line'; delete it there"):
        copy_study(trained.database, target, "line")
    assert len(queries.all_tickets(target, stored_studies.find(target, "line").study_id)) == 0


def test_a_copy_that_stops_midway_leaves_nothing(trained, target, monkeypatch):
    before = optuna_storage(target).get_all_studies()
    whole = study_copy._batches

    def broken_off(rows):
        for number, batch in enumerate(whole(rows)):
            yield batch
            if number == 0 and "detail" in batch[0]:  # the events
                raise KeyboardInterrupt

    monkeypatch.setattr(study_copy, "_batches", broken_off)
    with pytest.raises(KeyboardInterrupt):
        copy_study(trained.database, target, "line")
    assert len(optuna_storage(target).get_all_studies()) == len(before)
    assert stored_studies.find_or_none(target, "line") is None
    monkeypatch.undo()
    assert not copy_study(trained.database, target, "line").existed


def test_a_copy_that_loses_a_value_is_refused(trained, target, monkeypatch):
    whole = study_copy._batches

    def loses(rows):
        for batch in whole(rows):
            yield [{**row, "best_value": None} if "best_value" in row else row for row in batch]

    monkeypatch.setattr(study_copy, "_batches", loses)
    with pytest.raises(StorageError, match="must equal its source, but it differs"):
        copy_study(trained.database, target, "line")
    assert stored_studies.find_or_none(target, "line") is None


def test_a_row_of_no_trial_is_refused(trained, target):
    lost = sa.update(tickets).where(tickets.c.ticket == 1).values(trial_id=987_654)
    trained.database.write(lambda connection: connection.execute(lost))
    with pytest.raises(StorageError, match=r"hpsearch_tickets has the trial_id 987654.*doctor"):
        copy_study(trained.database, target, "line")
    assert stored_studies.find_or_none(target, "line") is None


def test_more_rows_than_a_batch(trained, target, monkeypatch):
    monkeypatch.setattr(study_copy, "BATCH", 2)
    copy_study(trained.database, target, "line")
    assert seen(target, "line") == seen(trained.database, "line")


def test_a_study_with_a_worker_is_refused(trained, target, tmp_path):
    hand = trained.hand(lease_seconds=30.0)
    claim = hand.started(line_row(0.9))

    def renewed(connection):
        connection.execute(
            sa.update(tickets)
            .where(tickets.c.ticket == claim.ticket)
            .values(renewals=tickets.c.renewals + 1)
        )

    stop = threading.Event()

    def renew():
        with closing(Database(trained.database.url.render_as_string(hide_password=False))) as own:
            while not stop.wait(0.2):
                own.write(renewed)

    worker = threading.Thread(target=renew)
    worker.start()
    try:
        with pytest.raises(UserError, match=r"a study can be copied only when no worker uses it"):
            list(copy_studies(trained.database, target, (), runs=tmp_path))
    finally:
        stop.set()
        worker.join()
    assert stored_studies.find_or_none(target, "line") is None


def test_files_are_copied_once(trained, target, tmp_path):
    run_key = stored_studies.find(trained.database, "line").run_key
    folder = tmp_path / "runs" / "line" / run_key / "trial-0000"
    folder.mkdir(parents=True)
    (folder / "best.pt").write_bytes(b"weights")
    to = tmp_path / "other"
    known = []
    for _ in range(2):
        list(copy_studies(trained.database, target, ["line"], runs=tmp_path / "runs", to_runs=to))
        copy = to / "line" / run_key / "trial-0000" / "best.pt"
        assert copy.read_bytes() == b"weights"
        assert [each.name for each in copy.parent.iterdir()] == ["best.pt"]
        known.append(copy.stat().st_ino)
    assert known[0] == known[1]


def test_the_command_copies_all_or_what_it_names(trained, target, hpsearch):
    source, to = (
        each.url.render_as_string(hide_password=False) for each in (trained.database, target)
    )
    unknown = hpsearch(
        "storage", "copy", "--from-storage", source, "--storage", to, "--study", "lime"
    )
    assert (unknown.code, unknown.out) == (2, "")
    assert "Did you mean 'line'?" in unknown.err
    first = hpsearch("storage", "copy", "--from-storage", source, "--storage", to, "--json")
    assert first.code == 0, first.err
    (copied,) = first.json["studies"]
    assert (copied["study"], copied["existed"], copied["problems"]) == ("line", False, [])
    again = hpsearch(
        "storage", "copy", "--from-storage", source, "--storage", to, "--study", "line"
    )
    assert again.out.startswith("line: was there already, equal: 5 trials, ")
    assert "continue each study in one database only" in again.out


def _copy_nothing(source, target):
    Path(target.where()).mkdir(parents=True)


def test_problems_of_the_copy_alone_are_reported(trained, target, hpsearch, tmp_path, monkeypatch):
    """Files that the copy's runs folder lacks are none of the source's problems."""
    number = trained.tickets()[1].number
    run_key = stored_studies.find(trained.database, "line").run_key
    key = f"line/{run_key}/trial-{number:04d}/epoch-0001.attempt-1.pt"
    file = tmp_path / "runs" / key
    file.parent.mkdir(parents=True)
    file.write_bytes(b"checkpoint")
    sha256 = hashlib.sha256(b"checkpoint").hexdigest()
    trained.database.write(
        lambda connection: connection.execute(
            sa.update(tickets)
            .where(tickets.c.ticket == 2)
            .values(checkpoint=key, checkpoint_sha256=sha256, checkpoint_epoch=1)
        )
    )
    source, to = (
        each.url.render_as_string(hide_password=False) for each in (trained.database, target)
    )
    arguments = ["--from-storage", source, "--storage", to, "--runs", str(tmp_path / "runs")]
    with monkeypatch.context() as patched:
        patched.setattr(copying, "copy_files", _copy_nothing)
        lost = hpsearch("storage", "copy", *arguments, "--to-runs", str(tmp_path / "empty"))
    assert lost.code == 1
    assert "problem that the source doesn't have: " in lost.out
    assert hpsearch("storage", "copy", *arguments, "--to-runs", str(tmp_path / "to")).code == 0


def test_the_same_database_is_refused(trained, tmp_path):
    with pytest.raises(UserError, match="a study is copied into another database, but both are"):
        list(copy_studies(trained.database, trained.database, (), runs=tmp_path))


def test_every_table_with_rows_of_a_study_is_copied():
    known = {
        table.name
        for table in (
            optuna_rows.STUDIES,
            optuna_rows.TRIALS,
            *study_copy._OTHER_TABLES,
        )
    }
    every = {*optuna_rows.METADATA.tables, *tickets.metadata.tables}
    # A fleet belongs to the database that it was launched into
    assert every - known - {"hpsearch_fleets"} == {"version_info", "alembic_version"} & every
