"""The home page, and the head of a study's page."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import optuna
import sqlalchemy as sa
from support.ledger import optuna_storage
from support.wsgi import ask

from hpsearch.dashboard.app import application
from hpsearch.dashboard.home import thumbnail
from hpsearch.results.records import read_study
from hpsearch.search.database.tables import studies as studies_table
from hpsearch.search.ledger import studies


def test_the_home_page_shows_state_winner_and_curve(searched: Any) -> None:
    routes = application(searched.database)
    home = ask(routes, "/")
    assert home.status == 200
    assert "script-src 'none'" in home.headers["Content-Security-Policy"]
    for text in (
        '<a href="/dashboard/studies/1">made_up</a>',
        '<span class="state running">running</span>',
        '<p class="value">80.00 %</p>',
        "val_accuracy of one seed, not confirmed: no interval",
        "The best seen is line (trial 2): val_accuracy 80.00 %",
        " trials begun (3 complete",
        '<a href="/report/made_up">',
        'aria-label="val_accuracy of trial 2, epoch 1 to 3: 40.00 % to 80.00 %"',
    ):
        assert text in home.text, text
    # The winner's curve, and those of the two others with a rank
    assert home.text.count("<polyline") == 3
    assert ask(routes, "/", IF_NONE_MATCH=home.headers["ETag"]).status == 304
    studies.raise_budget(searched.database, searched.stored.study_id, 7)
    searched.trial(0.5, 0.6, 0.95)
    assert '<p class="value">95.00 %</p>' in ask(routes, "/").text


def test_an_empty_database_says_how_to_begin(made_up: Any) -> None:
    def forget(connection: Any) -> None:
        connection.execute(sa.text("DELETE FROM hpsearch_studies"))
        connection.execute(sa.text("DELETE FROM studies"))

    made_up.database.write(forget)
    assert "hpsearch launch --study quickstart" in ask(application(made_up.database), "/").text


def test_damaged_and_other_studies_are_listed_too(searched: Any) -> None:
    optuna.create_study(storage=optuna_storage(searched.database), study_name="<b>theirs")
    damage = sa.update(studies_table).values(document="{")
    searched.database.write(lambda connection: connection.execute(damage))
    home = ask(application(searched.database), "/")
    assert home.status == 200
    assert '<span class="state damaged">damaged</span>' in home.text
    assert '<a href="/dashboard/studies/2">&lt;b&gt;theirs</a>' in home.text


def test_the_home_of_optuna_dashboard_is_the_home_page(searched: Any) -> None:
    routes = application(searched.database)
    for path in ("/dashboard", "/dashboard/"):
        answer = ask(routes, path)
        assert (answer.status, answer.headers["Location"]) == (302, "/")


def test_a_study_s_page_begins_with_its_note(searched: Any) -> None:
    routes = application(searched.database)
    page = ask(routes, "/dashboard/studies/1").text
    note = page.index('id="hpsearch-note"')
    assert page.index("<body>") < note < page.index('<div id="dashboard">')
    assert "figures that nobody trained" in page[note:]
    assert "hpsearch confirm --study made_up" in page[note:]
    # It replaces functions that the other program would otherwise keep
    assert page.index("/hpsearch.js") < page.index("/static/bundle.js")
    script = ask(routes, "/hpsearch.js")
    assert script.headers["Content-Type"].startswith("text/javascript")
    assert "pushState" in script.text


def test_few_trials_have_no_importances(searched: Any) -> None:
    routes = application(searched.database)
    path, hidden = "/api/studies/1/param_importances", "#graph-hyperparameter-importances) {"
    assert ask(routes, path).json == {"param_importances": [[]]}
    assert hidden in ask(routes, "/dashboard/studies/1").text
    complete = read_study(searched.database, "made_up").counts.complete
    studies.raise_budget(searched.database, searched.stored.study_id, 30)
    for place in range(10 - complete):
        searched.trial(0.5, 0.6, 0.5 + place / 30, width=16 + place)
    [importances] = ask(routes, path).json["param_importances"]
    assert {each["name"] for each in importances} == {"model.line.width", "optimizer.walk.lr"}
    assert hidden not in ask(routes, "/dashboard/studies/1").text


def test_a_diverged_curve_does_not_flatten_the_others(searched: Any) -> None:
    trial = replace(read_study(searched.database, "made_up").trials[0], number=7)
    front = [(1, 2.0), (2, 1.0)]
    alone = thumbnail([front], trial, "val_loss")
    beside = thumbnail([[(1, 1e9), (2, math.inf)], [], front], trial, "val_loss")
    assert alone is not None
    assert beside is not None
    assert beside.label == "val_loss of trial 7, epoch 1 to 2: 2 to 1"
    heights = [float(point.split(",")[1]) for point in beside.lines[-1].split()]
    assert max(heights) - min(heights) > beside.height / 4
    assert thumbnail([front, [(1, math.nan)]], trial, "val_loss") is None
