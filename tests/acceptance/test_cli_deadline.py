"""`launch --for`: one command from a study file to a confirmed winner, its report and bundle."""

from __future__ import annotations

import shutil
import time
from contextlib import closing

import pytest
from support.processes import _without_main_module

from hpsearch.cli.commands import after_search
from hpsearch.results.deadline.stored import (
    Closing,
    Deadline,
    close_search,
    set_deadline,
)
from hpsearch.results.records import read_study
from hpsearch.search.database.storage import Database

pytestmark = pytest.mark.usefixtures("threads_restored")

STUDY = """\
study: small
seed: 5
budget: {trials: 3, epochs_per_trial: 2}
confirm: {top: 1, seeds: 2}
sampler: random
pruner: none
data: {source: digits, limit: 400}
model: {mlp: {hidden: [16]}}
optimizer: {adam: {lr: {min: 1e-4, max: 3e-2, log: true}}}
"""


def test_a_deadline_includes_confirmation_final_training_report_and_bundle(
    hpsearch, here, monkeypatch
):
    (here / "small.yaml").write_text(STUDY)
    with _without_main_module():
        ran = hpsearch("launch", "--study", "small.yaml", "--for", "5h", "--train-final")
    assert ran.code == 0, ran.all
    for path in (
        "small-report/report.html", "small-best/weights.safetensors", "small-best/best.yaml",
        "small-final/weights.safetensors", "small-report/figures/history-epochs.svg",
    ):  # fmt: skip
        assert (here / path).exists(), (path, ran.all)
    told = hpsearch("status", "--study", "small", "--json").json
    assert told["confirmation"]["finished"]
    assert list(told["deadline"]["reserved_seconds"]) == ["confirm", "train-final", "report"]
    assert "the search ended at" in hpsearch("status", "--study", "small").out

    # Figures take most of a report's time: from here on there is none for them
    shutil.rmtree(here / "small-report")
    monkeypatch.setattr(after_search, "_FIGURES", float("inf"))
    # A search that was closed for its deadline, as before a kill, isn't continued under it
    with closing(Database(f"sqlite:///{here / 'hpsearch.db'}")) as database:
        study_id = read_study(database, "small").study.study_id
        now = time.time()
        set_deadline(database, study_id, Deadline(begun=now, at=now + 7200))
        close_search(database, study_id, Closing(at="", moment=now, reserved={}))
    # A fault in one stage is reported when the others have done their work
    with _without_main_module(), monkeypatch.context() as faulty:
        faulty.setitem(after_search._WORK, "confirm", lambda after: 1 / 0)
        again = hpsearch("launch", "--study", "small.yaml", "--trials", "9")
    assert again.code == 1 and "ZeroDivisionError" in again.all, again.all
    assert hpsearch("status", "--study", "small", "--json").json["trials"]["total"] == 3
    assert (here / "small-report" / "report.html").exists()
    assert not (here / "small-report" / "figures").exists()
    # With a new deadline it is, and what it finds is confirmed anew
    with _without_main_module():
        more = hpsearch("launch", "--study", "small.yaml", "--trials", "4", "--for", "5h")
    assert more.code == 0, more.all
    assert hpsearch("status", "--study", "small", "--json").json["confirmation"]["study"] == (
        "small-confirm-2"
    )


def test_when_the_time_is_over_trials_are_paused_and_go_on_later(hpsearch, here):
    """The reserve begins as soon as the first trial trains; nothing here takes long."""
    (here / "small.yaml").write_text(STUDY)
    with _without_main_module():
        hpsearch("launch", "--study", "small.yaml", "--workers", "0")
    with closing(Database(f"sqlite:///{here / 'hpsearch.db'}")) as database:
        study_id = read_study(database, "small").study.study_id
        now = time.time()
        set_deadline(database, study_id, Deadline(begun=now - 7200, at=now + 1))
    worked = hpsearch("worker", "--study", "small")
    assert worked.code == 0, worked.all
    assert "the time until its deadline is used" in worked.out
    assert hpsearch("status", "--study", "small", "--json").json["trials"]["complete"] == 0
    refused = hpsearch("launch", "--study", "small.yaml", "--for", "5s")
    assert refused.code == 2
    assert "a deadline needs time for a report and a bundle" in refused.all
