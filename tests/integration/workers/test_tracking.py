"""Trials in real trackers' files: one run each for its whole life, whatever happens to its workers.

And in trackers that fail: figures and ends of the trials are those without any tracker.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.tracked import read
from support.trials import IN_EPOCH_3, NO_CHECKPOINTS, ONE_TRIAL, SmallSearch, leave_after

from hpsearch.registry import Component
from hpsearch.search.ledger.claims import free_tickets_of
from hpsearch.tracking.tracker import TRACKERS, TrackedTrial
from hpsearch.tracking.tracking import Tracking
from hpsearch.workers.trial.tracked import close_orphaned_runs
from hpsearch.workers.trial.trial_run import run_trial

# What other people's packages warn of is none of these tests' business
pytestmark = pytest.mark.filterwarnings("ignore")

KINDS = {
    "tensorboard": Component("tensorboard"),
    "wandb": Component("wandb", {"mode": "offline"}),
    "mlflow": Component("mlflow"),
}

#: What the team's own reports of earlier studies are made from.
FIGURES = {"train_accuracy", "val_accuracy", "train_loss", "val_loss"}

LONG = 120.0


@pytest.fixture
def prepared_url(sqlite_template: Path, tmp_path: Path) -> str:
    """One kind of database: nothing here depends on it."""
    shutil.copy(sqlite_template, tmp_path / "hpsearch.db")
    return f"sqlite:///{tmp_path / 'hpsearch.db'}"


@pytest.fixture(autouse=True)
def _no_tracker_of_the_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("WANDB_MODE", "WANDB_API_KEY", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)


class Dies(BaseException):
    """As if the process were killed: nothing of ours catches it."""


def folder_of(search: SmallSearch) -> Path:
    return search.runs / search.stored.name / search.stored.run_key


def curve(search: SmallSearch, ticket: int = 1) -> list[tuple[int, float]]:
    return [(point[0], pytest.approx(point[4], abs=1e-6)) for point in search.figures()[ticket]]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


def test_a_trial_is_tracked_from_its_parameters_to_its_end(open_study, kind) -> None:
    search = open_study(ONE_TRIAL)
    tracking = Tracking([KINDS[kind]])
    search.run_all(tracking=tracking)
    tracking.close(LONG)

    run = read(kind, folder_of(search), 0)
    (trial,) = search.record().trials
    assert run.curves.keys() >= FIGURES
    assert all(len(points) == 3 for points in run.curves.values())
    assert run.curves["val_accuracy"] == curve(search)
    assert (run.state, run.value) == ("complete", pytest.approx(trial.value, abs=1e-6))
    attributes = search.trials()[0].user_attrs
    assert float(run.config["optimizer.sgd.lr"]) == pytest.approx(trial.params["optimizer.sgd.lr"])
    for seed in ("trial_seed", "split_seed"):
        assert float(run.config[seed]) == pytest.approx(attributes[seed], rel=1e-6)
    if kind == "wandb":
        assert (run.told["group"], run.told["tags"]) == ("small", ["small"])
    if kind == "mlflow":
        assert run.told["status"] == "FINISHED"
        assert run.told["tags"]["hpsearch.study"] == "small"


def test_the_same_run_goes_on_after_a_pause_and_after_a_death(open_study, undisturbed, kind):
    search = open_study(ONE_TRIAL)
    first = Tracking([KINDS[kind]])
    search.run_one(leave=leave_after(IN_EPOCH_3 - 6), tracking=first)
    first.close(LONG)
    if kind == "mlflow":
        assert read(kind, folder_of(search), 0).told["status"] == "SCHEDULED"

    # Killed in epoch 3: nothing is told to the tracker any more, and its files stay as they are
    killed = Tracking([KINDS[kind]])
    asked = leave_after(8)

    def die() -> bool:
        if asked():
            raise Dies
        return False

    claim = search.claim("two")
    bench = search.bench("two", leave=die, tracking=killed, checkpoint_seconds=NO_CHECKPOINTS)
    killed.end = lambda *_: None  # type: ignore[method-assign]
    with pytest.raises(Dies):
        run_trial(bench, claim)
    _wait_for(lambda: killed._channels[kind]._last == 2)
    if kind == "wandb":
        # Its own process, which notices that the worker is gone
        import wandb

        wandb.teardown()
    assert search.ticket().epochs_done == 2
    free_tickets_of(search.database, search.stored.study_id, "two", reason="died")

    last = Tracking([KINDS[kind]])
    ticket = search.run_one("three", tracking=last)
    last.close(LONG)
    assert (ticket.state, ticket.attempt) == ("complete", 3)
    assert search.figures()[1] == undisturbed
    assert "epoch_redone" in [event.kind for event in search.events()]

    run = read(kind, folder_of(search), 0)
    for name in FIGURES:
        assert [epoch for epoch, _ in run.curves[name]] == [1, 2, 3], name
    assert run.curves["val_accuracy"] == curve(search)
    assert run.state == "complete"
    if kind == "wandb":
        assert set(run.told["ids"]) == {f"{search.stored.run_key}-0"}
    killed.close(LONG)


def _wait_for(what: Callable[[], bool], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_pruned_and_failed_trials_end_so(open_study, kind) -> None:
    search = open_study(ONE_TRIAL)
    tracking = Tracking([KINDS[kind]])
    bench = search.bench(tracking=tracking)
    bench.ledger.rules = replace(bench.ledger.rules, pruner=lambda report, _: report.epoch == 2)
    run_trial(bench, search.claim())
    tracking.close(LONG)
    assert search.ticket().state == "pruned"
    run = read(kind, folder_of(search), 0)
    assert run.state == "pruned"
    assert len(run.curves["val_loss"]) == search.ticket().epochs_done == 2
    if kind == "mlflow":
        assert run.told["status"] == "KILLED"

    diverging = open_study(ONE_TRIAL, "study=diverging", "optimizer.sgd.lr={values: [1e30]}")
    tracking = Tracking([KINDS[kind]])
    diverging.run_all(tracking=tracking)
    tracking.close(LONG)
    assert diverging.ticket().state == "failed"
    run = read(kind, folder_of(diverging), 0)
    assert run.state == "failed"
    if kind == "mlflow":
        assert run.told["status"] == "FAILED"
    if kind == "wandb":
        assert run.told["exit_code"] == 1


def test_a_run_that_a_dead_worker_left_open_is_ended_by_whoever_finishes_the_study(
    open_study, kind
) -> None:
    search = open_study(ONE_TRIAL)
    killed = Tracking([KINDS[kind]])
    ends: list[Any] = []
    killed.end = lambda *end: ends.append(end)  # type: ignore[method-assign]
    search.run_all(tracking=killed)
    killed.close(LONG)
    for channel in ends:
        assert channel[0] in ("complete", "paused")
    assert read(kind, folder_of(search), 0).state is None

    # Locks of a process are gone when it is; here the process goes on
    for file in folder_of(search).glob("tracking/*/*"):
        copy = file.with_name("copy")
        shutil.copy(file, copy)
        copy.replace(file)
    other = Tracking([KINDS[kind]])
    close_orphaned_runs(search.bench("two", tracking=other))
    other.close(LONG)
    run = read(kind, folder_of(search), 0)
    assert run.state == "complete"
    assert run.curves["val_accuracy"] == curve(search)
    assert list(folder_of(search).glob("tracking/*/open-*")) == []


@pytest.fixture
def bad_trackers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TRACKERS, "_entries", dict(TRACKERS._entries))

    class Bad:
        def begin(self, trial: Any) -> int:
            return 0

        def log(self, epoch: int, figures: Any) -> None: ...

        def end(self, state: str, value: float | None) -> None: ...

        def close(self) -> None: ...

    @TRACKERS.register("raises_when_made")
    class RaisesWhenMade(Bad):
        def __init__(self) -> None:
            raise RuntimeError("no")

    @TRACKERS.register("raises")
    class Raises(Bad):
        def log(self, epoch: int, figures: Any) -> None:
            raise OSError("no")

        end = close = begin = log  # type: ignore[assignment]

    @TRACKERS.register("hangs")
    class Hangs(Bad):
        def log(self, epoch: int, figures: Any) -> None:
            time.sleep(3600)

    @TRACKERS.register("slow")
    class Slow(Bad):
        def log(self, epoch: int, figures: Any) -> None:
            time.sleep(0.5)


def test_trackers_that_fail_change_nothing_of_a_trial(open_study, bad_trackers) -> None:
    plain = open_study("study=plain")
    plain.run_all()
    names = ["raises_when_made", "raises", "hangs", "slow"]
    search = open_study()
    tracking = Tracking([Component(name) for name in names])
    search.run_all(tracking=tracking)
    tracking.close(0.5)
    assert search.figures() == plain.figures()
    assert [each.state for each in search.tickets()] == ["complete"] * 3
    assert [each.value for each in search.tickets()] == [each.value for each in plain.tickets()]
    assert [each.attempt for each in search.tickets()] == [1] * 3


def test_a_late_worker_tracks_nothing(open_study, bad_trackers) -> None:
    search = open_study(ONE_TRIAL)
    told: list[Any] = []

    class Notes:
        def begin(self, trial: Any) -> int:
            told.append("begin")
            return 0

        def log(self, epoch: int, figures: Any) -> None:
            told.append(epoch)

        def end(self, state: str, value: float | None) -> None:
            told.append(state)

        def close(self) -> None: ...

    TRACKERS.register("notes")(Notes)
    tracking = Tracking([Component("notes")])
    asked = leave_after(IN_EPOCH_3)

    def loses_its_lease() -> bool:
        if asked():
            free_tickets_of(search.database, search.stored.study_id, "one", reason="too late")
        return False

    search.run_one(tracking=tracking, leave=loses_its_lease)
    tracking.close(LONG)
    assert told == ["begin", 1, 2, "paused"]


_HOLDS_A_RUN = """
import sys, time
from pathlib import Path
from hpsearch.registry import Component
from hpsearch.tracking.tracker import TRACKERS, TrackedTrial
import hpsearch.tracking.builtin

tracker = TRACKERS.build(Component("wandb", {"mode": "offline"}))
tracker.begin(TrackedTrial(
    study="s", study_key="k", number=0, params={}, facts={}, metric="val_loss", confirms=False,
    folder=Path(sys.argv[1]),
))
tracker.log(1, {"val_loss": 0.5})
print("open", flush=True)
time.sleep(600)
"""


def _works(process: psutil.Process) -> bool:
    """Whether it is there, and not only for want of somebody who takes note of its end."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_killed_worker_leaves_no_process_and_its_epochs_are_written_again(
    tmp_path: Path,
) -> None:
    worker = subprocess.Popen(
        [sys.executable, "-c", _HOLDS_A_RUN, str(tmp_path / "s" / "k")],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert worker.stdout is not None
    try:
        assert worker.stdout.readline() == "open\n"
        service = psutil.Process(worker.pid).children(recursive=True)
        assert service, "wandb has a process beside the worker's"
    finally:
        worker.kill()
        worker.wait()
        worker.stdout.close()
    _wait_for(lambda: not any(_works(each) for each in service), seconds=90)

    tracker = TRACKERS.build(KINDS["wandb"])
    trial = TrackedTrial(
        study="s",
        study_key="k",
        number=0,
        params={},
        facts={},
        metric="val_loss",
        confirms=False,
        folder=tmp_path / "s" / "k",
    )
    assert tracker.begin(trial) == 0
    tracker.log(1, {"val_loss": 0.5})
    tracker.end("paused", None)
    assert tracker.begin(trial) == 1
    tracker.log(2, {"val_loss": 0.25})
    tracker.end("complete", 0.25)
    tracker.close()
    run = read("wandb", tmp_path / "s" / "k", 0)
    assert run.curves["val_loss"] == [(1, 0.5), (2, 0.25)]
    assert (run.state, run.value, run.told["ids"]) == ("complete", 0.25, ["k-0", "k-0"])
