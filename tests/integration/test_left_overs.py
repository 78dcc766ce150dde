"""Studies that another program deleted with Optuna's own tools, and deleting with ours."""

from __future__ import annotations

from dataclasses import replace

import optuna
import pytest
import sqlalchemy as sa
from optuna.trial import TrialState
from support.ledger import line_row, open_search, optuna_storage
from support.searching import study_file

from hpsearch.errors import LeftOverStudy, StorageError, UnknownName, UserError
from hpsearch.results.records import read_study
from hpsearch.search.database import optuna_rows
from hpsearch.search.ledger import studies
from hpsearch.search.ledger.study_deletion import delete_rows, stored_rows
from hpsearch.search.ledger.study_identity import OWN_TABLES
from hpsearch.workers.deleting import delete, plan_deletion


@pytest.fixture
def trained(search):
    """A study of two trials, one of which has ended."""
    opened = search(trials=3)
    hand = opened.hand()
    hand.finish(hand.started())
    hand.report(hand.started(), 1, 0.5)
    return opened


@pytest.fixture
def deleted(trained):
    """The same, after `optuna delete-study`."""
    optuna.delete_study(study_name="line", storage=optuna_storage(trained.database))
    return trained


def own_rows(database, study_id):
    def work(connection):
        return {
            table.name: connection.execute(
                sa.select(sa.func.count()).where(table.c.study_id == study_id)
            ).scalar_one()
            for table in OWN_TABLES
        }

    return database.read(work)


def plain_study(database, name):
    """Create a study as any other program of Optuna's does; returns it with one running trial."""
    study = optuna.create_study(study_name=name, storage=optuna_storage(database))
    study.ask()
    return study


SAYS = r"'line' can't be used: another program .* `hpsearch studies --delete line --storage"


def test_every_attach_refuses_a_left_over_by_name(deleted):
    database = deleted.database
    for use in (
        lambda: studies.attach(database, study_file(trials=3)),
        lambda: studies.create_or_find(database, study_file(trials=3)),
        lambda: studies.find(database, "line"),
        lambda: studies.find_or_none(database, "line"),
        lambda: read_study(database, "line"),
    ):
        with pytest.raises(LeftOverStudy, match=SAYS):
            use()
    assert studies.everything(database) == []
    assert list(studies.unusable(database)) == ["line"]


@pytest.mark.parametrize("name", ["theirs", "line"])
def test_nothing_is_written_into_a_study_that_another_program_created_since(deleted, name):
    """On SQLite it has the same id, and its trial the same number."""
    theirs = plain_study(deleted.database, name)
    with pytest.raises(LeftOverStudy, match="can't be used"):
        studies.attach(deleted.database, study_file(trials=9))
    assert [each.state for each in theirs.trials] == [TrialState.RUNNING]
    assert theirs.user_attrs == {}


@pytest.mark.parametrize("name", [None, "theirs", "line"])
def test_a_worker_at_work_writes_nothing_into_it(trained, name):
    """The study goes while a trial is being trained."""
    hand = trained.hand("one")
    claim = hand.claim()
    trial = trained.hand("two")
    optuna.delete_study(study_name="line", storage=optuna_storage(trained.database))
    theirs = None if name is None else plain_study(trained.database, name)
    for write in (
        lambda: hand.ledger.start(claim, line_row(0.5)),
        lambda: hand.report(claim, 1, 0.5),
        lambda: hand.ledger.fail(claim, "poison", retry=False),
        trial.claims.claim,
    ):
        with pytest.raises(LeftOverStudy, match="can't be used"):
            write()
    if theirs is not None:
        (only,) = theirs.trials
        assert (only.state, only.params, only.intermediate_values) == (TrialState.RUNNING, {}, {})


def test_a_new_study_never_meets_left_overs(deleted):
    """It would find tickets under its id, and begin in the middle."""
    before = own_rows(deleted.database, deleted.study_id)
    other = open_search(deleted.database, study_file(name="other", trials=1))
    assert other.study_id != deleted.study_id
    assert other.tickets() == []
    hand = other.hand()
    assert hand.finish(hand.started()) == "complete"
    assert [each.state for each in other.trials()] == [TrialState.COMPLETE]
    assert own_rows(deleted.database, deleted.study_id) == before
    # And whoever comes after that
    plain_study(deleted.database, "theirs")
    third = open_search(deleted.database, study_file(name="third", trials=1))
    assert third.tickets() == []


def test_a_left_over_can_be_deleted_and_its_name_used_again(deleted, tmp_path):
    theirs = plain_study(deleted.database, "theirs")
    plan = plan_deletion(deleted.database, "line", tmp_path)
    assert [each.rows.left_over for each in plan.studies] == [True]
    plan_again = plan_deletion(deleted.database, "line", tmp_path)
    delete(deleted.database, plan, clock=_Watch(), sleep=lambda _: None)
    delete(deleted.database, plan_again, clock=_Watch(), sleep=lambda _: None)
    assert set(own_rows(deleted.database, deleted.study_id).values()) == {0}
    assert [each.state for each in theirs.trials] == [TrialState.RUNNING], "theirs stays"
    again = open_search(deleted.database, study_file(trials=1))
    assert again.tickets() == []
    assert studies.unusable(deleted.database) == {}


def test_deleting_leaves_nothing_of_the_study_and_all_of_the_others(trained, tmp_path):
    other = open_search(trained.database, study_file(name="other", trials=1))
    hand = other.hand()
    hand.finish(hand.started())
    theirs = plain_study(trained.database, "theirs")
    before = all_rows(trained.database, but=trained.study_id)
    file = study_file(name="line-confirm", trials=1)
    document = {**file.document, "confirms": {"study": "line"}}
    confirmation = open_search(trained.database, replace(file, document=document))
    hand = confirmation.hand()
    hand.finish(hand.started())
    plan = plan_deletion(trained.database, "line", tmp_path)
    assert [each.rows.name for each in plan.studies] == ["line", "line-confirm"]
    delete(trained.database, plan, clock=_Watch(), sleep=lambda _: None)
    assert all_rows(trained.database, but=None) == before
    assert optuna.get_all_study_names(optuna_storage(trained.database)) == ["other", "theirs"]
    assert len(theirs.trials) == 1
    with pytest.raises(UnknownName, match="unknown study 'line'"):
        plan_deletion(trained.database, "line", tmp_path)


def test_a_worker_that_slept_through_a_deletion_writes_nothing(trained, tmp_path):
    """Its study is gone; on SQLite another one may have the id by now."""
    hand = trained.hand("sleeper")
    claim = hand.started()
    delete(
        trained.database,
        plan_deletion(trained.database, "line", tmp_path),
        clock=_Watch(),
        sleep=lambda _: None,
    )
    with pytest.raises(StorageError, match="was deleted"):
        hand.report(claim, 1, 0.5)
    again = open_search(trained.database, study_file(trials=3))
    with pytest.raises(StorageError, match="was deleted"):
        hand.claims.claim()
    assert again.tickets() == []


def test_a_study_on_which_somebody_works_is_not_deleted(trained, tmp_path):
    hand = trained.hand("alive")
    claim = hand.started()
    plan = plan_deletion(trained.database, "line", tmp_path)
    with pytest.raises(UserError, match=r"no worker uses it, .*hpsearch stop --study line"):
        delete(
            trained.database,
            plan,
            clock=_Watch(),
            sleep=lambda _: hand.ledger.renew(claim),
        )
    assert len(trained.tickets()) == 3


def test_a_plain_study_of_optunas_is_not_ours_to_delete(trained, tmp_path):
    plain_study(trained.database, "theirs")
    with pytest.raises(UserError, match="'theirs' was created by another program"):
        plan_deletion(trained.database, "theirs", tmp_path)


def test_a_repeated_deletion_takes_no_new_study(trained):
    """The answer to the first may have been lost."""
    rows = stored_rows(trained.database, "line")
    delete_rows(trained.database, rows.name, rows.run_key)
    again = studies.attach(trained.database, study_file(trials=1))
    delete_rows(trained.database, rows.name, rows.run_key)
    assert studies.find(trained.database, "line") == again


class _Watch:
    """A clock by which a lease is over after a few looks."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 20.0
        return self.now


def all_rows(database, *, but):
    """Count the rows of every table, those of study ``but`` left out where they name one."""
    tables = [*OWN_TABLES, *optuna_rows.METADATA.sorted_tables]

    def work(connection):
        ours = sa.select(optuna_rows.TRIALS.c.trial_id).where(
            optuna_rows.TRIALS.c.study_id == (-1 if but is None else but)
        )
        counted = {}
        for table in tables:
            query = sa.select(sa.func.count()).select_from(table)
            if "study_id" in table.c:
                query = query.where(table.c.study_id != (-1 if but is None else but))
            elif "trial_id" in table.c:
                query = query.where(table.c.trial_id.not_in(ours))
            counted[table.name] = connection.execute(query).scalar_one()
        return counted

    return database.read(work)
