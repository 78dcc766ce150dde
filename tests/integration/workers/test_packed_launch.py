"""A real launch whose number of workers follows what they get done."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
from support.failpoints import worker_that_waits
from support.processes import _without_main_module
from support.trials import SmallSearch

from hpsearch.failpoints import FailPoint
from hpsearch.search.database.storage import Database
from hpsearch.search.ledger import studies
from hpsearch.search.ledger.events import EventKind
from hpsearch.workers.launch import autoscale, worker_pool
from hpsearch.workers.launch.autoscale import Autoscaler
from hpsearch.workers.launch.progress import Progress
from hpsearch.workers.launch.supervisor import LaunchResult, Supervisor
from hpsearch.workers.run_config import RunConfig, WorkerOptions

TRIALS, EPOCHS = 6, 6

#: Epochs of a tenth of a second. Each worker waits after its first one until the test lets it go
#: on: so there is work left, however slowly the others start.
LONG = (
    f"budget={{trials: {TRIALS}, epochs_per_trial: {EPOCHS}}}",
    "model={simple_cnn: {conv1_channels: 8, conv2_channels: 8, hidden: [16]}}",
    "data={source: digits, limit: 600, input_size: 20}",
)


class Told(Autoscaler):
    """Wants one number of workers after the other, each once the one before is reached."""

    def __init__(self, *numbers: int) -> None:
        super().__init__(most=8)
        self.numbers = list(numbers)
        self.works: list[float] = []

    def update(self, now: float, work: float) -> int:
        self.works.append(work)
        return self.workers

    def reached(self, working: int) -> None:
        if working == self.workers and self.numbers:
            self.workers = self.numbers.pop(0)


@pytest.fixture
def packed(open_study, monkeypatch, tmp_path):
    """Launch on one device with a ``Told``; returns its end and how many workers there were.

    After each look ``heed(database, study_id, working)`` says whether workers may go on.
    """
    monkeypatch.setattr(autoscale, "LOOK_SECONDS", 0.2)
    gate = tmp_path / "gate"
    waits = partial(worker_that_waits, f"{FailPoint.EPOCH_REPORTED.name.lower()}:1:{gate}")
    monkeypatch.setattr(worker_pool, "worker_process", waits)

    def launch(
        rule: Told, heed: Callable[[Database, int, int], bool]
    ) -> tuple[LaunchResult, list[int], SmallSearch]:
        gate.touch()
        search = open_study(*LONG)
        url = search.database.url.render_as_string(hide_password=False)
        options = WorkerOptions(
            run=RunConfig(storage=url, runs=search.runs, data=search.data),
            study_name=search.stored.name,
            device="cpu",
            threads=1,
        )
        seen: list[int] = []

        def note(progress: Progress) -> None:
            working = sum(each.pid is not None for each in progress.workers)
            if not seen or seen[-1] != working:
                seen.append(working)
                rule.reached(working)
            if heed(database, search.stored.study_id, working):
                gate.unlink(missing_ok=True)

        database = Database(url)
        try:
            supervisor = Supervisor(
                database,
                search.stored,
                search.study,
                devices=["cpu"],
                options=options,
                autoscaler=rule,
            )
            with _without_main_module():
                return supervisor.run(note, timeout=240), seen, search
        finally:
            gate.unlink(missing_ok=True)
            database.close()

    return launch


def test_workers_come_and_go_and_nothing_is_lost(packed):
    rule = Told(3, 1, 2)
    outcome, seen, search = packed(rule, lambda _database, _study_id, working: working == 3)
    assert outcome.reason == "finished"
    assert seen[0] == 1
    assert max(seen) == 3
    assert 1 in seen[seen.index(3) :], "none of the three was asked to stop"
    # Who left in the middle of a trial paused it, and another worker went on with it.
    assert [each.state for each in search.tickets()] == ["complete"] * TRIALS
    epochs = {ticket: [row[0] for row in curve] for ticket, curve in search.figures().items()}
    every = list(range(1, EPOCHS + 1))
    assert epochs == dict.fromkeys(range(1, TRIALS + 1), every)
    assert not search.events("epoch_redone")
    # The unit is an epoch's multiply-adds, the same for all these trials.
    (noted,) = {row.user_attrs["multiply_adds"] for row in search.trials()}
    per_epoch = noted * 480  # training images
    assert 0 < rule.works[-1] <= TRIALS * EPOCHS * per_epoch
    assert all(work % per_epoch == 0 for work in rule.works)


def test_a_number_that_does_not_fit_into_memory_is_taken_back(packed):
    """A trial that waits for memory is told in the event log, by whatever worker."""
    rule = Told(3)
    told: list[int] = []

    def shortage(database: Database, study_id: int, working: int) -> bool:
        if working == 3 and not told:
            told.append(working)
            studies.record_study_event(
                database,
                study_id,
                EventKind.WAITING_FOR_MEMORY,
                {"needed_bytes": 2, "free_bytes": 1},
            )
        return rule.workers == 2

    outcome, seen, search = packed(rule, shortage)
    assert told, "there were never three"
    assert (rule.most, rule.workers) == (2, 2)
    # On a busy machine the others may have ended before the next look, so 2 may not be seen
    assert max(seen[seen.index(3) + 1 :]) <= 2
    assert outcome.reason == "finished"
    assert [each.state for each in search.tickets()] == ["complete"] * TRIALS
