"""Launches whose processes die at a named step, fast: this process's fork server makes workers.

The step is handed to each worker, since the fork server's environment is that of its start.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from hpsearch import component_registries
from hpsearch.failpoints import VARIABLE, WAIT_VARIABLE, FailPoint
from hpsearch.results.consistency.facts import read_facts
from hpsearch.results.consistency.rule import findings_of
from hpsearch.results.consistency.rules import RULES
from hpsearch.results.error_text import first_line
from hpsearch.results.records import read_study
from hpsearch.search.database.storage import Database
from hpsearch.search.ledger import queries
from hpsearch.study_file.loading import load_study
from hpsearch.study_file.study import StudyFile
from hpsearch.workers.launch import worker_pool
from hpsearch.workers.launch.launching import launch
from hpsearch.workers.launch.supervisor import LaunchResult
from hpsearch.workers.run_config import RunConfig
from hpsearch.workers.trial.run_folder import RunFolder
from hpsearch.workers.worker import StopSignal
from support.ledger import optuna_study
from support.processes import _without_main_module

#: One worker, so that tickets and decisions come in the same order in every launch: then a launch
#: in which processes died must end with the very rows of one in which none did. Among the trials:
#: one whose first draw can't be built (most kernels are too large), one that is pruned, one whose
#: loss is soon no number.
STUDY = """
study: steps
seed: 5
objective: val_loss
budget: {trials: 5, epochs_per_trial: 3}
sampler: random
pruner: {asha: {reduction_factor: 2, min_epochs: 1, stop: true}}
data: {source: digits, limit: 120, input_size: 16}
model:
  dilated_cnn:
    conv1: {channels: 4, kernel_size: {values: [3, 20, 21, 22, 23]}}
    conv2: {channels: 4}
optimizer: {sgd: {lr: {min: 1e-4, max: 1e30, log: true}}}
batch_size: 32
try_first:
  - {model: {dilated_cnn: {conv1: {kernel_size: 3}}}, optimizer: {sgd: {lr: 0.1}}}
  - {optimizer: {sgd: {lr: 0.1}}}
  - {model: {dilated_cnn: {conv1: {kernel_size: 3}}}, optimizer: {sgd: {lr: 0.05}}}
  - {model: {dilated_cnn: {conv1: {kernel_size: 3}}}, optimizer: {sgd: {lr: 1e30}}}
  - {model: {dilated_cnn: {conv1: {kernel_size: 3}}}, optimizer: {sgd: {lr: 1e-4}}}
"""

#: The same search, in which trials wait at their rungs and are promoted.
PROMOTING = STUDY.replace("stop: true", "startup_trials: 3")

#: Times that a worker asks whether to leave, to the middle of the first trial's second epoch.
ASKED = 9

#: Of a trial's record, what must not depend on who died when.
SAME = (
    "ticket",
    "number",
    "state",
    "value",
    "best_value",
    "best_epoch",
    "epochs_done",
    "infeasible",
)


@dataclass(frozen=True)
class Place:
    """Where a study lives: its database and its files."""

    storage: str
    folder: Path
    data: Path
    study: str = STUDY

    def file(self) -> StudyFile:
        """Return ``study`` as a study file."""
        file = self.folder / "steps.yaml"
        file.write_text(self.study)
        return load_study(file, component_registries.registries)

    def config(self) -> RunConfig:
        """Return a run by one worker, with a checkpoint after every epoch."""
        return RunConfig(
            storage=self.storage,
            workers=1,
            devices="cpu",
            lease_seconds=5.0,
            checkpoint_seconds=0.0,
            runs=self.folder / "runs",
            data=self.data,
        )

    def run(self, *, dies_at: str = "", told: bool = False) -> LaunchResult:
        """Launch in this process, workers with ``HPSEARCH_EXIT_AT`` set to ``dies_at``.

        ``told``: the first worker is told to leave in the middle of an epoch.
        """
        real = worker_pool.worker_process
        file = str(self.folder / "told") if told else ""
        dying = partial(worker_that_dies, dies_at, file)
        worker_pool.worker_process = dying  # type: ignore[assignment]
        try:
            with _without_main_module():
                return launch(self.file(), self.config(), lambda _: None)
        finally:
            worker_pool.worker_process = real

    def marker(self, step: FailPoint) -> Path:
        """Return the file that a process creates when it dies at ``step``."""
        return self.folder / f"died-{step.name.lower()}"

    def dies_at(self, step: FailPoint) -> str:
        """Return what makes the first process that passes ``step`` die there."""
        return f"{step.name.lower()}:1:{self.marker(step)}"

    def result(self) -> dict[str, Any]:
        """Return all that must not depend on who died when: rows, curves, files."""
        database = Database(self.storage)
        try:
            record = read_study(database, "steps")
            facts = read_facts(database, "steps")
            found = [finding for rule in RULES for finding in findings_of(rule, facts)]
            assert found == []
            curves = queries.curves(database, record.study.study_id)
            folder = RunFolder(self.folder / "runs", "steps", record.study.run_key).path
            return {
                "tickets": [
                    {name: getattr(each, name) for name in SAME} | {"params": dict(each.params)}
                    for each in record.trials
                ],
                "reasons": {
                    each.ticket: first_line(each.error or "")
                    for each in record.trials
                    if each.state.value == "failed"
                },
                "curves": {
                    ticket: [(each.epoch, each.train_loss, each.val_loss) for each in curve]
                    for ticket, curve in curves.items()
                },
                "rows": [
                    (trial.number, trial.state.name, trial.value, trial.params)
                    for trial in optuna_study(database, "steps").get_trials(deepcopy=False)
                ],
                "files": sorted(
                    path.relative_to(folder).as_posix()
                    for path in folder.rglob("*")
                    if path.is_file()
                ),
            }
        finally:
            database.close()


def worker_that_dies(dies_at: str, told: str, *arguments: Any) -> None:
    """Be a worker in whose environment the step stands; the first one is ``told`` to leave."""
    os.environ[VARIABLE] = dies_at
    if told and not Path(told).exists():
        Path(told).touch()
        _leave_after(ASKED)
    worker_pool.worker_process(*arguments)


def worker_that_waits(waits_at: str, *arguments: Any) -> None:
    """Be a worker that waits where ``waits_at`` says, as ``HPSEARCH_WAIT_AT`` does."""
    os.environ[WAIT_VARIABLE] = waits_at
    worker_pool.worker_process(*arguments)


def _leave_after(asked: int) -> None:
    """Send this process a SIGTERM when it has asked so often whether it should leave."""
    left = asked
    real = StopSignal.requested

    def due(self: StopSignal) -> bool:
        nonlocal left
        left -= 1
        if left == 0:
            signal.raise_signal(signal.SIGTERM)
        return real(self)

    StopSignal.requested = due  # type: ignore[method-assign]
