"""Workers, and the whole command, die while a winner is confirmed: each training is done once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from support.confirming import Confirming, confirming
from support.failpoints import worker_that_dies
from support.processes import _without_main_module
from support.trials import SmallSearch, open_small

from hpsearch.failpoints import FailPoint
from hpsearch.results.consistency.facts import read_facts
from hpsearch.results.consistency.rule import findings_of
from hpsearch.results.consistency.rules import RULES
from hpsearch.search.database.schema_version import ensure_tables
from hpsearch.search.database.storage import Database
from hpsearch.workers.confirmation import ConfirmRequest, prepare_confirmation, run
from hpsearch.workers.launch import worker_pool
from hpsearch.workers.launch.supervisor import LaunchResult
from hpsearch.workers.run_config import RunConfig

pytestmark = pytest.mark.timeout(1800)

#: One in each round, and one between two of them.
DEATHS = [
    FailPoint.CHECKPOINT_SAVED,
    FailPoint.BEST_SAVED,
    FailPoint.TRIAL_COMPLETE,
    FailPoint.ROUND_PLANNED,
]


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """As many as each of two workers has here."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def searched(folder: Path, data: Path) -> SmallSearch:
    folder.mkdir(exist_ok=True)
    database = Database(f"sqlite:///{folder}/hpsearch.db")
    ensure_tables(database)
    search = open_small(database, folder, data, "objective={metric: val_loss, at: best}")
    search.run_all()
    return search


def result(confirm: Confirming) -> dict[str, Any]:
    """Return all that must not depend on who died when."""
    facts = read_facts(confirm.database, confirm.stored.name)
    assert [finding for rule in RULES for finding in findings_of(rule, facts)] == []
    trainings = confirm.trainings()
    assert len(trainings) == len(confirm.tickets())
    figures = confirm.figures()
    return {
        "standing": confirm.standing(),
        "curves": {entry: figures[trial.ticket] for entry, trial in trainings.items()},
        "predictions": confirm.predictions(),
        "files": len(confirm.files()),
    }


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> dict[str, Any]:
    confirm = confirming(searched(tmp_path_factory.mktemp("undisturbed"), shared_data))
    confirm.run_to_end()
    return result(confirm)


def run_here(confirm: Confirming, search: SmallSearch, dies_at: str = "") -> LaunchResult:
    """Run the confirmation with two workers, in which ``HPSEARCH_EXIT_AT`` is ``dies_at``."""
    asked = prepare_confirmation(search.database, search.record(), search.study, ConfirmRequest())
    assert asked.name == confirm.stored.name
    config = RunConfig(
        storage=str(search.database.url),
        workers=2,
        devices="cpu",
        lease_seconds=1.0,
        checkpoint_seconds=0.0,
        runs=search.runs,
        data=search.data,
    )
    real = worker_pool.worker_process
    worker_pool.worker_process = partial(worker_that_dies, dies_at, "")  # type: ignore[assignment]
    try:
        with _without_main_module():
            return run(search.database, asked, config, lambda _: None)
    finally:
        worker_pool.worker_process = real


def test_workers_that_die_leave_no_trace(
    tmp_path: Path, shared_data: Path, undisturbed: dict[str, Any]
) -> None:
    search = searched(tmp_path, shared_data)
    confirm = confirming(search)
    markers = {step: tmp_path / f"died-{step.name.lower()}" for step in DEATHS}
    dies_at = ",".join(f"{step.name.lower()}:1:{file}" for step, file in markers.items())
    assert run_here(confirm, search, dies_at).reason == "finished"
    assert [step for step, file in markers.items() if not file.exists()] == []
    assert result(confirm) == undisturbed


def test_a_command_that_is_killed_goes_on(
    tmp_path: Path, shared_data: Path, undisturbed: dict[str, Any]
) -> None:
    search = searched(tmp_path, shared_data)
    confirm = confirming(search)
    command = [sys.executable, "-m", "hpsearch", "confirm", "--study", "small", "--workers", "2"]
    command += ["--lease", "1", "--checkpoint-interval", "0", "--devices", "cpu"]
    command += ["--storage", str(search.database.url), "--runs", str(search.runs)]
    process = subprocess.Popen(
        [*command, "--data", str(search.data)],
        start_new_session=True,  # so that one signal hits it and all its workers
        stdout=subprocess.DEVNULL,
        env={key: value for key, value in os.environ.items() if not key.startswith("HPSEARCH")},
    )
    try:
        deadline = time.monotonic() + 240
        while sum(each.state.is_finished for each in confirm.tickets()) < 2:
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.01)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    left = [each for each in confirm.tickets() if not each.state.is_finished]
    assert not confirm.standing().finished
    assert run_here(replace(confirm), search).reason == "finished"
    assert result(confirm) == undisturbed
    # Whoever held one went on with it: no training began twice
    begun = [event.ticket for event in confirm.events("started")]
    assert len(begun) == len(set(begun)) >= len(left)
