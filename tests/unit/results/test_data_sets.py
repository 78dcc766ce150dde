"""Trials on other images than the first ones: found, named, and marked wherever they are ranked."""

from __future__ import annotations

import json

import pytest
import sqlalchemy as sa

from hpsearch.errors import DataError
from hpsearch.reporting.assemble import render
from hpsearch.results import data_sets
from hpsearch.results.data_sets import Images
from hpsearch.results.records import read_study
from hpsearch.search.database import optuna_rows
from hpsearch.search.ledger import validity

OLD, NEW = "d" * 64, "f" * 64
ATTRS = optuna_rows.TRIAL_USER_ATTRS


@pytest.fixture(autouse=True)
def only_made_up_components(monkeypatch, made_up_components):
    monkeypatch.setattr("hpsearch.component_registries.registries", made_up_components)


def record(made_up, number: int, **attributes: object) -> None:
    """Let a trial's row say other things of its images."""

    def work(connection):
        trial_id = connection.execute(
            sa.select(optuna_rows.TRIALS.c.trial_id).where(optuna_rows.TRIALS.c.number == number)
        ).scalar_one()
        for key, value in attributes.items():
            connection.execute(
                sa.delete(ATTRS).where(ATTRS.c.trial_id == trial_id, ATTRS.c.key == key)
            )
            connection.execute(
                sa.insert(ATTRS).values(trial_id=trial_id, key=key, value_json=json.dumps(value))
            )

    made_up.database.write(work)


@pytest.fixture
def changed(made_up):
    """Three trials, of which the last was trained on other images, and is best."""
    made_up.trial(0.5, 0.6, 0.7)
    made_up.trial(0.5, 0.6, 0.71)
    made_up.trial(0.5, 0.6, 0.99)
    record(made_up, 2, data_hash=NEW)
    return made_up


def require(made_up, images: Images, params: dict[str, object] | None = None) -> None:
    stored = made_up.stored
    known = data_sets.KnownHashes(stored.study_id)
    data_sets.require_same(made_up.database, stored.name, params or {}, images, known)


def test_the_same_images_are_no_matter(made_up):
    made_up.trial(0.5, 0.6, 0.7)
    require(made_up, Images(data_hash=OLD))
    assert read_study(made_up.database, "made_up").warnings == ()


def test_a_study_without_trials_takes_any(made_up):
    require(made_up, Images(data_hash=NEW))


def test_both_hashes_and_what_changed_are_told(made_up):
    made_up.trial(0.5, 0.6, 0.7)
    names = ["cat", "dog", "owl"]
    record(made_up, 0, class_names=names, images_per_class=[20, 20, 5])
    now = Images(data_hash=NEW, class_names=("cat", "dog", "elk"), per_class=(20, 10, 3), total=33)
    with pytest.raises(DataError) as caught:
        require(made_up, now)
    message = str(caught.value)
    assert f"the data hash is {NEW} now, and was {OLD} for trial 0" in message
    assert "45 images -> 33, removed classes: 'owl', new classes: 'elk', 'dog': 20 -> 10" in message
    assert "--name made_up_2" in message and "hpsearch invalidate" in message


@pytest.mark.parametrize(
    ("recorded", "says"),
    [
        ({"train_images": 32, "val_images": 8}, "40 images -> 30"),
        ({}, "The former number of images isn't recorded"),
        ({"train_images": 24, "val_images": 6}, "some images differ"),
        ({"train_images": 40, "val_images": 40, "trainings": 5}, "isn't recorded"),
    ],
)
def test_older_trials_recorded_less(made_up, recorded, says):
    made_up.trial(0.5, 0.6, 0.7)
    record(made_up, 0, **recorded)
    with pytest.raises(DataError, match=says):
        require(made_up, Images(data_hash=NEW, class_names=("a",), per_class=(30,), total=30))


def test_a_mixed_study_refuses_either(changed):
    for found in (OLD, NEW):
        with pytest.raises(DataError, match="have changed"):
            require(changed, Images(data_hash=found))


def test_trials_that_count_for_nothing_are_passed_over(changed):
    """So a study can go on: its old trials are declared invalid, or the one on other images is."""
    validity.invalidate(changed.database, changed.stored.study_id, 3, "trained on other images")
    require(changed, Images(data_hash=OLD))
    assert read_study(changed.database, "made_up").warnings == ()


def test_configurations_that_choose_other_images_may_differ():
    """A searched source or limit has a hash for each choice; the size of the pictures has none."""
    choice = data_sets._choice
    assert choice({"data.source": "a"}) != choice({"data.source": "b"})
    assert choice({"data.limit": 100}) != choice({"data.limit": 200})
    assert choice({"data.input_size": 28, "model.x": 1}) == choice({"data.input_size": 32})
    assert choice({"data.augmentation.flip.p": 0.1}) == choice({})


MARK = "trial 2 was trained on other images than the first trials"
TRIAL = "trained on other images than trial 0 (data hash ffffffffffff, not dddddddddddd)"


def test_every_command_that_ranks_marks_it(hpsearch, changed, here):
    arguments = ("--study", "made_up", "--storage", changed.url)
    for command in ("status", "show"):
        assert f"warning: the images have changed during this study: {MARK}" in " ".join(
            hpsearch(command, *arguments).out.split()
        )
    assert "complete (!)" in hpsearch("show", *arguments).out
    assert TRIAL in hpsearch("show", *arguments, "2").out
    assert MARK in hpsearch("status", *arguments, "--json").json["warnings"][0]
    listed = hpsearch("show", *arguments, "--json").json
    assert [each.get("flaws") for each in listed] == [[TRIAL], None, None]
    ran = hpsearch("doctor", *arguments, "--json")
    found = [(each["rule"], each["where"], each["what"]) for each in ran.json["problems"]]
    assert found == [("one data set", "trial 2 (ticket 3)", f"was {TRIAL}")]
    ran = hpsearch("export", *arguments, "--out", "best.yaml", "--card", "card.md")
    assert ran.code == 0, ran.all
    assert MARK in ran.out
    assert MARK in " ".join((here / "best.yaml").read_text().split())
    assert "**Warning.**" in (here / "card.md").read_text()


def test_report_dashboard_and_python_mark_it(changed):
    from hpsearch import open_study
    from hpsearch.dashboard.storage import DashboardStorage
    from hpsearch.dashboard.study_view import StudyViews

    assert MARK in render(changed.database, ["made_up"])
    storage = DashboardStorage(changed.database, StudyViews(changed.database))
    (study,) = storage.get_all_studies()
    assert "**Warning**: the images have changed" in study.system_attrs["dashboard:note_str:0"]
    opened = open_study("made_up", storage=changed.url)
    assert MARK in opened.warnings[0]
    assert opened.best is not None and opened.best.warnings == tuple(opened.warnings)
    assert MARK in opened._repr_html_()
