"""A study as a notebook uses it, on figures that are made up."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from dataclasses import replace

import pytest

import hpsearch
from hpsearch.errors import StorageError, UnknownName, UserError
from hpsearch.notebook.html import page, table
from hpsearch.notebook.progress import InNotebook
from hpsearch.search.ledger.queries import Counts
from hpsearch.workers.launch.progress import Progress, WorkerStatus
from hpsearch.workers.launch.timing import TimeRange

HOSTILE = '<img src=x onerror="alert(1)">&\'"'


@pytest.fixture(autouse=True)
def only_made_up_components(monkeypatch, made_up_components, here):
    monkeypatch.setattr("hpsearch.component_registries.registries", made_up_components)


@pytest.fixture
def study(searched):
    return hpsearch.open_study("made_up", storage=searched.url)


def test_trials_are_a_frame(study):
    trials = study.trials
    assert list(trials.index) == [0, 2, 3, 4, 5, 6]
    assert trials.index.name == "trial"
    assert list(trials.state) == [
        "complete", "complete", "pruned", "complete", "failed", "running"
    ]  # fmt: skip
    assert trials.loc[2, "value"] == 0.8
    assert trials["model.line.width"].dtype == "Int64"
    assert trials.loc[2, "model.line.width"] == 16
    assert trials.loc[5, "error"] == "RuntimeError: [red]poison[/red]"


def test_curves_are_a_long_frame(study):
    curves = study.curves
    assert list(curves.columns[:7]) == [
        "trial", "epoch", "train_loss", "val_loss", "train_accuracy", "val_accuracy", "seconds"
    ]  # fmt: skip
    assert len(curves) == 3 + 3 + 2 + 3 + 1
    of_two = curves[curves.trial == 2]
    assert list(of_two.epoch) == [1, 2, 3]
    assert list(of_two.val_accuracy) == [0.4, 0.6, 0.8]
    assert set(curves.seconds) == {2.0}


def test_a_new_study_has_empty_frames(made_up):
    study = hpsearch.open_study("made_up", storage=made_up.url)
    assert (len(study.trials), len(study.curves), study.best) == (0, 0, None)
    assert "0 of 6 trials" in study._repr_html_()


def test_the_best_says_that_it_is_unconfirmed(study):
    best = study.best
    assert (best.trial, best.value, best.confirmed, best.seeds) == (2, 0.8, False, 0)
    assert "best of 3 complete trials: optimistic" in best.sentence
    assert "made_up: trial 2, UNCONFIRMED" in best._repr_html_()


def test_an_invalid_trial_is_no_more_the_best(study):
    study.invalidate(2, "wrong labels")
    assert study.best.trial == 4
    assert study.trials.loc[2, "state"] == "invalid"
    assert study.status["trials"]["invalid"] == 1
    with pytest.raises(UnknownName, match="unknown trial of study 'made_up' '99'"):
        study.invalidate(99, "why")
    with pytest.raises(UserError, match=r"is running\. Stop it first"):
        study.invalidate(6, "why")


def test_it_is_read_anew(made_up):
    study = hpsearch.open_study("made_up", storage=made_up.url)
    made_up.trial(0.5, 0.6, 0.7)
    before = study.best.trial
    made_up.trial(0.9, 0.95, 0.99, width=3)
    assert (before, study.best.trial) == (0, 1)


def test_how_it_is_shown(study):
    assert repr(study) == "<Study made_up: 5 of 6 trials finished>"
    shown = study._repr_html_()
    assert "3 complete, 1 pruned, 1 failed, 1 running, 0 paused" in shown
    assert "The best seen is line (trial 2): val_accuracy 80.00 %, not confirmed (" in shown
    assert "<td>2</td><td>80.00 %</td><td>16</td><td>0.25</td>" in shown


def test_text_of_others_is_escaped(study, searched):
    """In a study's name, a parameter, a worker's message, an error."""
    best = replace(study.best, study=HOSTILE, note=HOSTILE, params={HOSTILE: HOSTILE})
    progress = Progress(
        counts=Counts(
            total=1, complete=0, pruned=0, failed=0, running=1, paused=0, infeasible=0,
            epochs_run=0, compute_seconds=0.0,
        ),
        budget_trials=2,
        epochs_per_second=0.5,
        seconds_left=TimeRange(low=61.0, high=3700.0),
        best=(1, 0.5),
        workers=(
            WorkerStatus(owner="w", pid=1, device=HOSTILE, state="training", number=1, epoch=2),
        ),
        messages=(),
        elapsed=1.0,
    )  # fmt: skip
    live = InNotebook(HOSTILE, HOSTILE)
    live._messages.append(HOSTILE)
    for shown in (best._repr_html_(), live.render(progress), page(table([HOSTILE], [[HOSTILE]]))):
        assert "<img" not in shown
        assert "&lt;img src=x onerror=&quot;alert(1)&quot;&gt;&amp;" in shown
    assert "1 min 1 s to 1 h 1 min left" in live.render(progress)


def test_what_is_not_there(searched, here, tmp_path):
    with pytest.raises(UnknownName, match="unknown study 'made_op'"):
        hpsearch.open_study("made_op", storage=searched.url)
    with pytest.raises(StorageError):
        hpsearch.open_study("made_up", storage="mysql://nowhere/db")
    fresh = hpsearch.open_study("quickstart", storage=f"sqlite:///{tmp_path}/none.db")
    assert repr(fresh) == "<Study quickstart: not launched yet>"
    assert "not launched yet" in fresh._repr_html_()
    with pytest.raises(StorageError, match="no study has been launched into"):
        _ = fresh.trials
    assert not (tmp_path / "none.db").exists()


def test_the_environment_names_the_database(searched, monkeypatch):
    monkeypatch.setenv("HPSEARCH_STORAGE", searched.url)
    assert hpsearch.open_study("made_up").best.trial == 2


def test_figures_are_plotlys(study):
    go = pytest.importorskip("plotly.graph_objects")
    assert "history-epochs" in study.figures
    figure = study.figures["history-epochs"]
    assert isinstance(figure, go.Figure)
    assert "var(--" not in figure.to_json()
    with pytest.raises(UnknownName, match="Did you mean 'history-epochs'"):
        study.figures["history-epoch"]
    assert study.figures.get("nothing") is None


def test_only_the_main_thread_launches(study):
    raised: list[Exception] = []

    def launch() -> None:
        try:
            study.launch()
        except UserError as error:
            raised.append(error)

    thread = threading.Thread(target=launch)
    thread.start()
    thread.join()
    assert "must be called from the main thread" in str(raised[0])


def test_importing_hpsearch_imports_nothing_slow():
    code = (
        "import hpsearch, sys; assert 'open_study' in dir(hpsearch);"
        "print([n for n in ('optuna', 'pandas', 'torch', 'sqlalchemy') if n in sys.modules])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=240
    )
    assert ran.stdout == "[]\n"
    with pytest.raises(AttributeError, match="no attribute 'open_studdy'"):
        _ = hpsearch.open_studdy  # type: ignore[attr-defined]


def test_the_report_is_that_of_the_command(study, tmp_path):
    page = study.report(tmp_path / "new" / "report", figures=False)
    assert page == tmp_path / "new" / "report" / "report.html"
    assert "made_up" in page.read_text(encoding="utf-8")
    told = json.loads((page.parent / "report.json").read_text(encoding="utf-8"))
    assert [each["name"] for each in told["studies"]] == ["made_up"]
    assert told["studies"][0]["ranked"] == [2, 4, 0]
    assert not list(page.parent.rglob("*.png"))
