"""What the dashboard reads in bulk is what Optuna's own storage reads."""

from __future__ import annotations

import math
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial

from hpsearch.dashboard.storage import DashboardStorage
from hpsearch.dashboard.study_view import StudyViews
from hpsearch.dashboard.trials import LARGE, StudyTrials
from hpsearch.search.database.storage import Database
from hpsearch.search.ledger import validity

optuna.logging.set_verbosity(optuna.logging.ERROR)


def comparable(trial: FrozenTrial) -> dict[str, Any]:
    """Everything of a trial; NaN made equal to itself, large attributes left out."""
    content = dict(vars(trial))
    curve = trial.intermediate_values.items()
    content["intermediate_values"] = {
        step: "nan" if math.isnan(value) else value for step, value in curve
    }
    content["_user_attrs"] = {
        key: value for key, value in trial.user_attrs.items() if key not in LARGE
    }
    return content


def test_every_kind_of_trial(zoo: optuna.Study, database: Database) -> None:
    found = StudyTrials(database, zoo._study_id).refresh()
    theirs = zoo.get_trials()
    assert [comparable(each) for each in found.trials] == [comparable(each) for each in theirs]
    assert found.large == {theirs[6]._trial_id: {"val_confusion"}}


def test_only_what_may_have_changed_is_read_again(zoo: optuna.Study, database: Database) -> None:
    trials = StudyTrials(database, zoo._study_id)
    first = trials.refresh()
    again = trials.refresh()
    assert again is first
    zoo.tell(8, 0.125)
    changed = trials.refresh()
    assert changed.version != first.version
    assert changed.trials[8].value == 0.125
    assert changed.trials[0] is first.trials[0]
    assert trials.refresh() is changed


def test_a_large_attribute_that_comes_alone_is_seen(zoo: optuna.Study, database: Database) -> None:
    trials = StudyTrials(database, zoo._study_id)
    trial_id = trials.refresh().trials[8]._trial_id
    zoo._storage.set_trial_user_attr(trial_id, "val_confusion", [[1]])
    assert trials.refresh().large[trial_id] == {"val_confusion"}


def test_a_new_trial_is_found_whatever_its_id(zoo: optuna.Study, database: Database) -> None:
    trials = StudyTrials(database, zoo._study_id)
    before = len(trials.refresh().trials)
    zoo.enqueue_trial({"lr": 0.1})
    assert len(trials.refresh().trials) == before + 1


def test_another_study_under_the_same_id(zoo: optuna.Study, database: Database) -> None:
    trials = StudyTrials(database, zoo._study_id)
    trials.refresh()
    storage = zoo._storage
    optuna.delete_study(study_name="zoo", storage=storage)
    other = optuna.create_study(storage=storage, study_name="other")
    other.add_trial(optuna.trial.create_trial(value=7.0))
    # SQLite gives the ids of deleted rows again, Postgres doesn't.
    same = other._study_id == zoo._study_id
    assert same == database.is_sqlite
    assert [each.value for each in trials.refresh().trials] == ([7.0] if same else [])


def test_a_trial_that_is_declared_invalid_and_valid_again(searched: Any) -> None:
    database, study_id = searched.database, searched.stored.study_id
    storage = DashboardStorage(database, StudyViews(database))

    def best() -> list[int]:
        standing = storage.view(study_id)
        assert standing is not None
        return list(standing.best)

    def state() -> str:
        return storage.snapshot(study_id).trials[2].state.name

    assert (best(), state()) == ([2], "COMPLETE")
    record = storage.view(study_id).record  # type: ignore[union-attr]
    validity.invalidate(database, study_id, record.trial(2).ticket, "wrong labels")
    assert (best(), state()) == ([4], "FAIL")
    validity.reinstate(database, study_id, record.trial(2).ticket, record.goals)
    assert (best(), state()) == ([2], "COMPLETE")
    assert storage.snapshot(study_id).trials[2].value == 0.8


def test_whatever_writes_is_refused(zoo: optuna.Study, database: Database) -> None:
    storage = DashboardStorage(database, StudyViews(database))
    study = optuna.load_study(study_name="zoo", storage=storage)
    before = [comparable(each) for each in zoo.get_trials()]
    writes = [
        lambda: study.set_user_attr("a", 1),
        lambda: storage.set_study_system_attr(study._study_id, "a", 1),
        lambda: study.ask(),
        lambda: study.tell(8, 0.5),
        lambda: optuna.create_study(storage=storage, study_name="new"),
        lambda: optuna.delete_study(storage=storage, study_name="zoo"),
        lambda: storage.set_trial_user_attr(1, "a", 1),
        lambda: storage.set_trial_system_attr(1, "a", 1),
        lambda: storage.set_trial_intermediate_value(1, 9, 0.5),
        lambda: storage.set_trial_param(1, "a", 0.5, zoo.trials[0].distributions["lr"]),
    ]
    for write in writes:
        with pytest.raises(PermissionError, match="read-only"):
            write()
    assert [comparable(each) for each in zoo.get_trials()] == before
