"""``from: NAME``: what a stored study found, and what becomes of it when that study goes on."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support.trials import open_small

from hpsearch.errors import StudyFileError, StudyMismatch
from hpsearch.results.opening import study_file
from hpsearch.results.ranking import ranked
from hpsearch.search.database.storage import Database
from hpsearch.search.ledger import studies

LATER = """
study: later
budget: {trials: 2, epochs_per_trial: 3}
from: small
model: {found: {activation: {relu: , tanh: }}}
"""


@pytest.fixture
def url(sqlite_template, tmp_path):
    path = tmp_path / "hpsearch.db"
    shutil.copy(sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture
def small(url, tmp_path, tmp_path_factory):
    """The earlier study, launched, with no trial yet."""
    database = Database(url)
    yield open_small(database, tmp_path, tmp_path_factory.getbasetemp() / "data")
    database.close()


@pytest.fixture
def later(url, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("later.yaml").write_text(LATER)

    def load(*overrides: str):
        return study_file("later.yaml", storage=url, overrides=overrides)

    return load


def test_the_best_complete_trial_is_taken_and_recorded(small, later):
    small.run_all()
    winner, second, _ = ranked(small.record())
    study = later()
    assert study.document["found"] == {
        "study": "small",
        "trial": winner.number,
        "fingerprint": small.study.fingerprint,
        "value": winner.value,
    }
    assert study.document["optimizer"]["sgd"]["lr"] == winner.params["optimizer.sgd.lr"]
    assert study.document["data"] == small.study.document["data"]
    assert study.document["model"]["mlp"]["hidden"] == [16]
    assert list(study.space.parameters()) == ["model.mlp.activation"]

    other = later(f"from.trial={second.number}")
    assert other.document["found"]["trial"] == second.number
    assert other.document["optimizer"]["sgd"]["lr"] == second.params["optimizer.sgd.lr"]


def test_a_study_whose_source_found_something_better_is_another_study(small, later, tmp_path):
    small.run_all()
    study = later()
    studies.attach(small.database, study)
    # The source goes on, with trials that are one epoch of another learning rate apart
    more = open_small(small.database, tmp_path, small.data, "budget.trials=12")
    before = ranked(small.record())[0]
    more.run_all()
    after = ranked(small.record())[0]
    assert after.number != before.number, "no better winner came: the test needs another seed"

    with pytest.raises(StudyMismatch) as caught:
        studies.attach(small.database, later())
    message = str(caught.value)
    assert f"  found.trial: {before.number} -> {after.number}" in message
    assert "--name later_2" in message
    # It can still go on as it was
    assert studies.attach(small.database, later(f"from.trial={before.number}")).name == "later"


def test_a_study_without_a_complete_trial_found_nothing(small, later):
    with pytest.raises(StudyFileError) as caught:
        later()
    assert str(caught.value) == (
        "later.yaml:4: from: a study can be based only on a complete trial, but study 'small' has "
        "none yet (0 running, 0 paused, 0 pruned, 0 failed); launch it until one is complete"
    )
    small.claim()
    with pytest.raises(StudyFileError, match=r"\(1 running, 0 paused"):
        later()


def test_a_trial_that_is_not_complete_can_not_be_named(small, later):
    small.run_one(leave=iter([False] * 8 + [True] * 100).__next__)
    ticket = small.ticket()
    assert ticket.state.value == "paused"
    with pytest.raises(StudyFileError) as caught:
        later(f"from.trial={ticket.number}")
    assert (
        "from: a study can be based only on a complete trial, but trial 0 of study 'small' is "
        "paused;" in (str(caught.value))
    )
    with pytest.raises(StudyFileError, match="unknown trial of study 'small' '9'"):
        later("from.trial=9")


def test_a_study_that_was_never_launched_is_told_with_those_that_were(small, later):
    with pytest.raises(StudyFileError) as caught:
        later("from=smal")
    assert str(caught.value).startswith(
        "--set from=smal: from: unknown study 'smal'. Did you mean 'small'? Known: small."
    )
    assert str(caught.value).endswith("Launch it first, or give a frozen config (.yaml).")


def test_a_database_that_is_not_there_is_not_created(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("later.yaml").write_text(LATER)
    with pytest.raises(StudyFileError) as caught:
        study_file("later.yaml", storage="sqlite:///none.db")
    assert "later.yaml:4: from: study 'small' must be launched first" in str(caught.value)
    assert not Path("none.db").exists()
