"""A launch whose checkpoints are in an object store: a worker is killed, the store is stopped."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.commands import Ran
from support.launches import STUDY, Launch, assert_exact
from support.object_store import ObjectStore, names_in
from support.processes import _without_main_module
from support.trials import open_small

from hpsearch.search.database.schema_version import ensure_tables
from hpsearch.search.database.storage import Database

TRIALS, EPOCHS = 3, 3
SMALL = STUDY.replace(
    "trials: 4, epochs_per_trial: 6", f"trials: {TRIALS}, epochs_per_trial: {EPOCHS}"
)


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Launch]:
    (tmp_path / "launch").mkdir()
    launch = Launch(tmp_path / "launch", f"sqlite:///{tmp_path}/search.db", SMALL)
    yield launch
    launch.end()


def test_a_killed_worker_and_a_stopped_store_lose_nothing(
    launch: Launch,
    object_store: ObjectStore,
    hpsearch: Callable[..., Ran],
    here: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = object_store.place(tmp_path / "unused")
    launch.start("--runs", str(place), hold_after=[1])
    victim = launch.held(workers=2)
    object_store.stop()
    os.kill(launch.pid_of(victim.ticket), signal.SIGKILL)
    launch.let_go()
    launch.wait_for(lambda: launch.events(kind="checkpoint_skipped"))
    object_store.start()
    launch.finish()

    assert_exact(launch, TRIALS, EPOCHS)
    (resumed,) = launch.events(victim.ticket, "resumed")
    assert resumed.detail["checkpoint_epoch"] == 1, "its successor waited for the store"
    assert not launch.events(kind="checkpoint_unusable")
    local = Database(f"sqlite:///{tmp_path}/local.db")
    ensure_tables(local)
    undisturbed = open_small(local, tmp_path, Path(os.environ["HPSEARCH_DATA"]), text=SMALL)
    undisturbed.run_all()
    assert launch.figures() == undisturbed.figures()
    local.close()
    assert len(names_in(place)) == 1, "the winner's weights"
    assert not (launch.folder / "runs").exists()

    # Another host has nothing but the database, the URL and the images
    assert list(here.iterdir()) == []
    monkeypatch.setenv("HPSEARCH_STORAGE", launch.storage)
    monkeypatch.setenv("HPSEARCH_RUNS", str(place))
    with _without_main_module():
        for command in (
            ("doctor", "--study", "storm"),
            ("report", "--study", "storm", "--out", "report"),
            ("export", "--study", "storm", "--bundle", "best"),
        ):
            ran = hpsearch(*command)
            assert ran.code == 0, ran.all
    assert (here / "best" / "best.yaml").exists() and (here / "report" / "report.html").exists()
