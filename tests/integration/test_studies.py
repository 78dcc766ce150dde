"""Creating, finding and changing studies."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import optuna
import pytest
import sqlalchemy as sa
from optuna.study import StudyDirection
from support.ledger import optuna_storage, optuna_study
from support.searching import study_file

from hpsearch.errors import StudyMismatch, UnknownName
from hpsearch.search.database import optuna_rows
from hpsearch.search.database.storage import Database
from hpsearch.search.ledger import studies


def test_attach_creates_what_find_returns(database):
    file = study_file(name="first", trials=12, epochs=5)
    stored = studies.attach(database, file)
    assert stored == studies.find(database, "first")
    assert (stored.name, stored.trial_budget, stored.epochs_per_trial) == ("first", 12, 5)
    assert (stored.text, stored.document) == (file.text, file.document)
    assert stored.fingerprint == file.fingerprint
    assert (stored.stops, stored.exhausted) == (0, False)


@pytest.mark.parametrize(
    ("metric", "direction"),
    [("val_accuracy", StudyDirection.MAXIMIZE), ("val_loss", StudyDirection.MINIMIZE)],
)
def test_optuna_sees_the_direction_and_the_metrics_name(database, metric, direction):
    studies.attach(database, study_file(metric=metric))
    study = optuna_study(database, "line")
    assert study.direction is direction
    assert study.metric_names == [metric]


def test_attaching_again_finds_the_same_study_and_takes_the_new_budget(database):
    first = studies.attach(database, study_file(trials=4))
    again = studies.attach(database, study_file(trials=9))
    assert (again.study_id, again.run_key) == (first.study_id, first.run_key)
    assert again.trial_budget == 9
    assert again.document["budget"]["trials"] == 9, "the document says the same as the budget"
    assert len(studies.everything(database)) == 1


def test_another_space_is_refused_with_the_difference_and_nothing_changes(database):
    before = studies.attach(database, study_file(trials=4))
    document = {
        **study_file(trials=99).document,
        "optimizer": {"sgd": {"lr": {"min": 0.0, "max": 2.0}}},
    }
    with pytest.raises(StudyMismatch) as caught:
        studies.attach(database, study_file(trials=99, document=document))
    message = str(caught.value)
    assert "study 'line' already exists with other settings" in message
    assert "optimizer.sgd.lr: {min: 0.0, max: 1.0} -> {min: 0.0, max: 2.0}" in message
    assert "--name line_2" in message
    assert studies.find(database, "line") == before


def test_a_path_that_was_stored_as_it_was_written_goes_on_from_the_same_file(database):
    """Of a plug-in's data source; now its file means an absolute path."""

    def of(path: str, trials: int = 4):
        document = {
            **study_file(trials=trials).document,
            "data": {"source": {"own": {"path": path}}},
        }
        return study_file(trials=trials, document=document)

    before = studies.attach(database, of("data/photos"))
    again = studies.attach(database, of("/home/me/studies/data/photos", trials=9))
    assert (again.study_id, again.fingerprint) == (before.study_id, before.fingerprint)
    assert again.document["data"] == before.document["data"]
    for other in ("/home/me/photos", "/data/photos/more", "photos"):
        with pytest.raises(StudyMismatch, match=r"source\.own\.path: data/photos -> "):
            studies.attach(database, of(other))


def test_more_epochs_make_another_study(database):
    studies.attach(database, study_file(epochs=3))
    with pytest.raises(StudyMismatch, match=r"budget\.epochs_per_trial: 3 -> 4"):
        studies.attach(database, study_file(epochs=4))


def test_a_study_that_optuna_made_is_not_taken_over(database):
    storage = optuna_storage(database)
    optuna.create_study(study_name="line", storage=storage)
    with pytest.raises(StudyMismatch, match="'line' that hpsearch didn't create"):
        studies.attach(database, study_file())
    assert studies.everything(database) == []
    assert optuna.get_all_study_names(storage) == ["line"]


def test_an_unknown_study_lists_those_that_exist(database):
    for name in ("baseline", "wide"):
        studies.attach(database, study_file(name=name))
    with pytest.raises(UnknownName) as caught:
        studies.find(database, "basline")
    message = str(caught.value)
    assert "Did you mean 'baseline'? Known: baseline, wide." in message
    assert database.display_url in message


def test_studies_are_listed_oldest_first_and_have_folders_of_their_own(database):
    for name in ("b", "a", "c"):
        studies.attach(database, study_file(name=name))
    listed = studies.everything(database)
    assert [stored.name for stored in listed] == ["b", "a", "c"]
    assert len({stored.run_key for stored in listed}) == 3


def test_a_stop_is_counted(database):
    stored = studies.attach(database, study_file())
    studies.request_stop(database, stored.study_id)
    studies.request_stop(database, stored.study_id)
    assert studies.find(database, "line").stops == 2


def test_the_order_of_the_document_survives(database):
    """Branches and augmentations have an order; a store that sorts keys would change draws."""
    document = {**study_file().document, "model": {"z": {}, "a": {}, "m": {}}}
    studies.attach(database, study_file(document=document))
    assert list(studies.find(database, "line").document["model"]) == ["z", "a", "m"]


def test_a_study_is_created_whole_or_not_at_all(database, monkeypatch):
    """A crash between Optuna's row and ours leaves neither."""

    def crash(*_args, **_kwargs):
        raise RuntimeError("killed here")

    monkeypatch.setattr(studies, "json", type("json", (), {"dumps": crash}))
    with pytest.raises(RuntimeError, match="killed here"):
        studies.attach(database, study_file())
    monkeypatch.undo()
    count = database.read(
        lambda connection: len(connection.execute(optuna_rows.STUDIES.select()).all())
    )
    assert count == 0
    assert studies.attach(database, study_file()).name == "line"


def test_first_launches_at_once_make_one_study(prepared_url):
    """Each looks for the study, finds none and would create it."""
    together = threading.Barrier(8)

    def launch(_number: int) -> int:
        database = Database(prepared_url)
        database.read(lambda connection: connection.execute(sa.text("SELECT 1")).scalar())
        together.wait(timeout=240)
        stored = studies.attach(database, study_file())
        database.close()
        return stored.study_id

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(launch, range(8)))) == 1


def test_a_file_that_says_nothing_of_a_prior_goes_on_with_the_stored_one(database):
    """A study from before there were priors has none, whatever the default is by now."""
    before = studies.attach(database, study_file())
    search = {"search": {"prior": "rule"}}
    by_default = replace(
        study_file(trials=9, document={**study_file(trials=9).document, **search}),
        prior="rule", auto_sections=frozenset({"search"}),
    )  # fmt: skip
    again = studies.attach(database, by_default)
    assert (again.trial_budget, again.fingerprint) == (9, before.fingerprint)
    assert again.document == study_file(trials=9).document
    asked = replace(by_default, auto_sections=frozenset())
    with pytest.raises(StudyMismatch, match=r"search: \(absent\) -> {prior: rule}"):
        studies.attach(database, asked)
    # The other way round as well: it keeps its prior
    document = {**study_file(name="other").document, **search}
    other = studies.attach(database, study_file(name="other", document=document))
    silent = replace(study_file(name="other"), auto_sections=frozenset({"search"}))
    assert studies.attach(database, silent).document["search"] == {"prior": "rule"}
    assert other.document["search"] == {"prior": "rule"}
