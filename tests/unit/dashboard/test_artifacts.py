"""A trial's artifacts: made on request, named by numbers, and nothing else can be named."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from optuna.artifacts.exceptions import ArtifactNotFound
from support.searching import epoch_end, epoch_metrics
from support.wsgi import ask

from hpsearch.dashboard.app import application
from hpsearch.dashboard.artifacts import Artifacts
from hpsearch.dashboard.study_view import StudyViews
from hpsearch.reporting import trial_pictures as pictures
from hpsearch.search.ledger import studies

#: Class names of somebody who wishes us ill, or only writes mathematics.
NAMES = ["$\\frac{$", "<script>alert(1)</script>", "a&b", "\x00\x0b\ud800", "\U0001f600 smile" * 9]


def artifacts_of(routes: Any, number: int) -> list[dict[str, Any]]:
    trial: dict[str, Any] = ask(routes, "/api/studies/1").json["trials"][number]
    assert trial["number"] == number
    return [{**each, "trial_id": trial["trial_id"]} for each in trial["artifacts"]]


def test_the_artifacts_of_a_trial(searched: Any) -> None:
    database, study_id = searched.database, searched.stored.study_id
    studies.raise_budget(database, study_id, 7)
    claim = searched.start()
    matrix = [[3, 1], [0, 4]]
    for epoch in (1, 2, 3):
        result = epoch_end(epoch, 0.5, val_confusion=matrix, last=epoch == 3)
        searched.ledger.report(claim, result)
    routes = application(database)
    names = [each["filename"] for each in artifacts_of(routes, 7)]
    assert names == ["learning-curves.svg", "confusion-matrix.svg", "config.yaml"]
    # No matrix was kept, no epoch reported, nothing ever built
    assert len(artifacts_of(routes, 2)) == 2
    assert artifacts_of(routes, 6) == artifacts_of(routes, 1) == []
    for each in artifacts_of(routes, 7)[:2]:
        answer = ask(routes, f"/artifacts/{study_id}/{each['trial_id']}/{each['artifact_id']}")
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "image/svg+xml"
        assert ET.fromstring(answer.text).tag.endswith("svg")


@pytest.mark.parametrize(
    "path",
    [
        "/artifacts/1/3/1-3-d",
        "/artifacts/1/3/1-4-a",
        "/artifacts/1/3/2-3-a",
        "/artifacts/1/4/1-3-a",
        "/artifacts/9/3/1-3-a",
        "/artifacts/1/99/1-63-a",
        "/artifacts/1/3/1-3-b",
        "/artifacts/1/3/..-..-a",
        "/artifacts/1/3/..%2f..%2fetc%2fpasswd",
        "/artifacts/1/3/%2e%2e/%2e%2e/etc/passwd",
        "/artifacts/1/1-3-a",
        "/artifacts/1/3/1-3-a%00",
        "/static/../_app.py",
        "/static/..%2f_app.py",
        "/report/../artifacts",
    ],
)
def test_nothing_else_can_be_named(searched: Any, path: str) -> None:
    answer = ask(application(searched.database), path)
    assert answer.status in (403, 404), answer.body[:200]
    assert b"Traceback" not in answer.body
    assert str(Path.cwd()).encode() not in answer.body


@pytest.mark.parametrize("name", ["", "..", "1-3-a/../b", "1-3-A", "0x1-3-a", "1-3-a\n", "é-3-a"])
def test_the_store_looks_for_itself(searched: Any, name: str) -> None:
    store = Artifacts(searched.database, StudyViews(searched.database))
    with pytest.raises(ArtifactNotFound):
        store.open_reader(name)
    for write in (lambda: store.write("1-3-a", None), lambda: store.remove("1-3-a")):  # type: ignore[arg-type]
        with pytest.raises(PermissionError):
            write()


def test_hostile_class_names_are_drawn_as_they_are() -> None:
    matrix = [[index + column for column in range(5)] for index in range(5)]
    drawn = pictures.confusion_matrix(matrix, NAMES, title=NAMES[0]).decode()
    root = ET.fromstring(drawn)
    text = " ".join("".join(each.itertext()) for each in root.iter() if each.tag.endswith("text"))
    assert "$\\frac{$" in text
    assert "<script>alert(1)" in text
    assert not [each for each in root.iter() if each.tag.endswith("script")]


def test_a_picture_says_where_it_overfits() -> None:
    curve = [epoch_metrics(epoch, 0.5) for epoch in range(1, 6)]
    plain = pictures.learning_curves(curve, "val_accuracy", title="t", overfits_from=None)
    marked = pictures.learning_curves(curve, "val_accuracy", title="t", overfits_from=3)
    assert b"overfits" not in plain
    assert b"overfits" in marked
    again = pictures.learning_curves(curve, "val_accuracy", title="t", overfits_from=3)
    assert again == marked
    for metric in ("val_loss", "val_macro_f1"):
        assert b"<svg" in pictures.learning_curves(curve, metric, title="t", overfits_from=None)


def test_other_sites_scripts_read_no_artifact(searched: Any) -> None:
    from hpsearch.dashboard.guard import Guard

    guarded = Guard(application(searched.database))
    answer = ask(guarded, "/artifacts/1/3/1-3-a", ORIGIN="https://evil.example")
    assert answer.status == 200
    assert "Access-Control-Allow-Origin" not in answer.headers
