"""The study's data is what optuna-dashboard says of it, and what hpsearch adds."""

from __future__ import annotations

import json
from typing import Any

import optuna
import optuna_dashboard
import pytest
from optuna_dashboard._serializer import serialize_frozen_trial
from support.ledger import optuna_storage
from support.wsgi import ask

from hpsearch.dashboard.app import application
from hpsearch.dashboard.trial_json import TrialWriter, with_note
from hpsearch.dashboard.trials import LARGE, StudyTrials
from hpsearch.foreign_text import clean
from hpsearch.search.database.optuna_rows import insert_user_attr
from hpsearch.search.database.storage import Database
from hpsearch.search.ledger import studies, validity

optuna.logging.set_verbosity(optuna.logging.ERROR)


def test_a_trial_is_written_as_optuna_dashboard_does(zoo: optuna.Study, database: Database) -> None:
    trials = StudyTrials(database, zoo._study_id).refresh().trials
    writer = TrialWriter(zoo._study_id)
    for trial in trials:
        ours = json.loads(with_note(writer.write(trial, []), ""))
        theirs = json.loads(json.dumps(serialize_frozen_trial(zoo._study_id, trial, {})))
        assert ours == theirs


def without_ours(detail: dict[str, Any]) -> dict[str, Any]:
    for trial in (*detail["trials"], *detail["best_trials"]):
        trial["note"] = trial["artifacts"] = None
        attrs = {each["key"]: each["value"] for each in trial["user_attrs"]}
        trial["user_attrs"] = {key: value for key, value in attrs.items() if key not in LARGE}
    names = {each["key"]: each["sortable"] for each in detail["union_user_attrs"]}
    detail["union_user_attrs"] = {key: names[key] for key in names if key not in LARGE}
    return {**detail, "note": None, "user_attrs": None}


def test_a_study_of_ours(searched: Any) -> None:
    study_id = searched.stored.study_id
    stock = optuna_dashboard.wsgi(optuna_storage(searched.database))
    ours = ask(application(searched.database), f"/api/studies/{study_id}").json
    theirs = ask(stock, f"/api/studies/{study_id}").json
    assert without_ours(ours) == without_ours(theirs)
    assert [each["number"] for each in ours["best_trials"]] == [2]


def test_a_study_that_hpsearch_didnt_create(zoo: optuna.Study, database: Database) -> None:
    stock = optuna_dashboard.wsgi(optuna_storage(database))
    path = f"/api/studies/{zoo._study_id}"
    ours, theirs = ask(application(database), path).json, ask(stock, path).json
    assert without_ours(ours) == without_ours(theirs)
    assert ours["note"]["body"] == ""


def test_only_what_the_page_doesnt_have_is_sent(searched: Any) -> None:
    routes = application(searched.database)
    path = f"/api/studies/{searched.stored.study_id}"
    assert [each["number"] for each in ask(routes, f"{path}?after=5").json["trials"]] == [5, 6]
    assert ask(routes, f"{path}?after=99").json["trials"] == []
    assert ask(routes, f"{path}?after=-1").status == 400
    assert ask(routes, "/api/studies/99").status == 404


def test_an_answer_is_sent_again_only_where_something_has_changed(searched: Any) -> None:
    routes = application(searched.database)
    path = f"/api/studies/{searched.stored.study_id}"
    first = ask(routes, path, ACCEPT_ENCODING="gzip, br")
    assert first.headers["Content-Encoding"] == "gzip"
    assert first.body == ask(routes, path).body
    tag = first.headers["ETag"]
    assert ask(routes, path, IF_NONE_MATCH=tag).status == 304
    assert ask(routes, f"{path}?after=3", IF_NONE_MATCH=tag).status == 200
    studies.raise_budget(searched.database, searched.stored.study_id, 7)
    searched.trial(0.5, 0.6, 0.95)
    changed = ask(routes, path, IF_NONE_MATCH=tag)
    assert changed.status == 200
    assert [each["number"] for each in changed.json["best_trials"]] == [7]
    assert "rank 1 of 4" in changed.json["trials"][7]["note"]["body"]
    assert "rank 2 of 4" in changed.json["trials"][2]["note"]["body"]


def test_a_trial_that_is_declared_invalid_is_told_anew(searched: Any) -> None:
    routes = application(searched.database)
    path = f"/api/studies/{searched.stored.study_id}"
    before = ask(routes, path).json["trials"][2]
    assert (before["state"], before["values"]) == ("Complete", [0.8])
    validity.invalidate(searched.database, searched.stored.study_id, 2, "leaked")
    after = ask(routes, path).json["trials"][2]
    assert (after["state"], after.get("values")) == ("Fail", None)


def test_an_epoch_of_a_running_trial_is_seen(searched: Any) -> None:
    routes = application(searched.database)
    path = f"/api/studies/{searched.stored.study_id}?after=7"
    studies.raise_budget(searched.database, searched.stored.study_id, 7)
    claim = searched.start()
    assert ask(routes, path).json["trials"][0]["intermediate_values"] == []
    searched.epoch(claim, 1, 0.5)
    (trial,) = ask(routes, path).json["trials"]
    assert trial["intermediate_values"] == [{"step": 1, "value": 0.5}]
    assert "epoch 1 of 3 done" in trial["note"]["body"]


@pytest.mark.parametrize("method", ["HEAD"])
def test_a_head_has_no_body(searched: Any, method: str) -> None:
    routes = application(searched.database)
    for path in (f"/api/studies/{searched.stored.study_id}", "/", "/dashboard/studies/1"):
        answer = ask(routes, path, method)
        assert (answer.status, answer.body) == (200, b"")


def test_what_the_rest_of_the_page_asks_for(searched: Any) -> None:
    routes = application(searched.database)
    assert ask(routes, "/api/meta").json["artifact_is_available"] is True
    (listed,) = ask(routes, "/api/studies").json["study_summaries"]
    told = {each["key"]: each["value"] for each in listed["user_attrs"]}
    assert told["winner"] == (
        "The best seen is line (trial 2): val_accuracy 80.00 %, not confirmed (one seed, the best "
        "of 3 complete trials: optimistic)."
    )
    assert told["report"] == "/report/made_up"
    assert ask(routes, "/csv/1").text.startswith("Number,State,val_accuracy,")


def test_text_of_others_steers_no_browser_or_reader(searched: Any) -> None:
    hostile = "\x1b[31m\x07\u202egnp.exe\u200b"
    study_id, database = searched.stored.study_id, searched.database
    trials = StudyTrials(database, study_id).refresh().trials
    trial_id = next(each._trial_id for each in trials if each.number == 2)

    def write(connection: Any) -> None:
        insert_user_attr(connection, trial_id, "said", {"by": [hostile]})
        insert_user_attr(connection, trial_id, "name", hostile)

    database.write(write)
    for address in (f"/api/studies/{study_id}", "/api/studies"):
        text = json.dumps(ask(application(database), address).json, ensure_ascii=False)
        assert clean(text) == text
    assert "gnp.exe" in json.dumps(ask(application(database), f"/api/studies/{study_id}").json)


def test_names_and_choices_of_parameters_steer_no_browser_or_reader(database: Database) -> None:
    """Also in what optuna-dashboard makes of them itself; two choices stay two."""
    study = optuna.create_study(storage=optuna_storage(database), study_name="other")
    kinds = optuna.distributions.CategoricalDistribution(("a\u202eb", "a\x1bb", "plain\nline", 3))
    widths = optuna.distributions.IntDistribution(1, 4)
    for kind in kinds.choices:
        study.add_trial(
            optuna.trial.create_trial(
                value=0.5,
                params={"\u2066kind": kind, "width": 2},
                distributions={"\u2066kind": kinds, "width": widths},
            )
        )
    routes = application(database)
    answer = ask(routes, f"/api/studies/{study._study_id}").json
    text = json.dumps(answer, ensure_ascii=False)
    assert clean(text) == text
    shown = [{each["name"]: each for each in trial["params"]} for trial in answer["trials"]]
    assert all(each.keys() == {"\\u2066kind", "width"} for each in shown)
    values = [each["\\u2066kind"]["param_external_value"] for each in shown]
    assert values == ["a\\u202eb", "a\\u001bb", "plain\nline", "3"]
    assert [each["\\u2066kind"]["param_internal_value"] for each in shown] == [0, 1, 2, 3]
    importances = ask(routes, f"/api/studies/{study._study_id}/param_importances")
    assert "\u2066" not in json.dumps(importances.json, ensure_ascii=False)
