"""The contestants of ``whole_search``: starts each, watches it for its time, and ends it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hpsearch.search.database.schema_version import revision_of
from hpsearch.search.database.storage import Database
from hpsearch.search.ledger import queries, studies

#: Seconds between two measurements of a contestant's best accuracy.
LOOK = 1.0


@dataclass(frozen=True)
class Task:
    """The settings that are the same for all contestants."""

    folder: Path
    data: Path
    seconds: float
    workers: int
    #: Epochs of a trial that isn't pruned.
    epochs: int
    seed: int
    #: A fixed list to run without pruning; ``None`` for a real search.
    configs: Sequence[Mapping[str, Any]] | None


@dataclass
class Reached:
    """The result of one contestant; its time starts with its first process."""

    name: str
    epochs: int = 0
    trials: int = 0
    #: (seconds, best validation accuracy so far).
    best: list[tuple[float, float]] = field(default_factory=list)

    def best_at(self, seconds: float) -> float:
        """Return the best accuracy after so many seconds, 0 before the first."""
        return max((value for at, value in self.best if at <= seconds), default=0.0)


def plain_optuna(task: Task, *, threads: int | None) -> Reached:
    """Run ``peers.plain_optuna``, with one process per worker."""
    log = task.folder / "log.jsonl"
    log.touch()
    command = [sys.executable, "-m", "benchmarks.peers.plain_optuna"]
    command += ["--storage", f"sqlite:///{task.folder}/plain.db", "--data", str(task.data)]
    command += ["--log", str(log), "--epochs", str(task.epochs)]
    command += [] if threads is None else ["--threads", str(threads)]
    command += _configs(task)
    commands = [[*command, "--seed", str(task.seed + n)] for n in range(task.workers)]
    name = "plain Optuna script" + ("" if threads is None else f", {threads} thread a worker")
    return _watched(name, commands, task, lambda: _logged(log))


def ray_tune(task: Task) -> Reached:
    """Run ``peers.ray_asha``."""
    log = task.folder / "log.jsonl"
    log.touch()
    command = [sys.executable, "-m", "benchmarks.peers.ray_asha", "--folder", str(task.folder)]
    command += ["--data", str(task.data), "--log", str(log), "--epochs", str(task.epochs)]
    command += ["--seed", str(task.seed), "--workers", str(task.workers), *_configs(task)]
    return _watched("Ray Tune, ASHA", [command], task, lambda: _logged(log))


def ours(task: Task, study: str) -> Reached:
    """Run ``hpsearch launch`` of the study file ``study``."""
    file = task.folder / "study.yaml"
    file.write_text(study)
    url = f"sqlite:///{task.folder}/hpsearch.db"
    command = [sys.executable, "-m", "hpsearch", "launch", "--study", str(file)]
    command += ["--storage", url, "--runs", str(task.folder / "runs"), "--data", str(task.data)]
    command += ["--workers", str(task.workers)]
    database = Database(url)
    try:
        return _watched("hpsearch", [command], task, lambda: _in_ledger(database))
    finally:
        database.close()


#: (trial, epoch, accuracy).
Epoch = tuple[int, int, float]


def _watched(
    name: str, commands: list[list[str]], task: Task, look: Callable[[], list[Epoch]]
) -> Reached:
    reached = Reached(name)
    began = time.monotonic()
    output = task.folder / "output.txt"
    with running(commands, output, _environment()) as is_running:
        while is_running() and time.monotonic() - began < task.seconds:
            time.sleep(LOOK)
            _note(reached, look(), time.monotonic() - began)
    if not reached.epochs:
        raise RuntimeError(f"{name} came to nothing:\n{output.read_text()}")
    return reached


@contextmanager
def running(
    commands: Sequence[list[str]], output: Path, environment: Mapping[str, str]
) -> Iterator[Callable[[], bool]]:
    """Run processes, and end them and what they started when the block ends.

    Args:
        commands: One for each process.
        output: The file of what they print.
        environment: Their environment variables.

    Yields:
        Whether at least one of them is still running.
    """
    with output.open("w") as file:
        processes = [
            subprocess.Popen(
                command, stdout=file, stderr=file, start_new_session=True, env=environment
            )
            for command in commands
        ]
        try:
            yield lambda: any(process.poll() is None for process in processes)
        finally:
            for process in processes:
                _end(process)


def _note(reached: Reached, epochs: list[Epoch], at: float) -> None:
    reached.epochs = len(epochs)
    reached.trials = len({trial for trial, _, _ in epochs})
    best = max((accuracy for _, _, accuracy in epochs), default=None)
    if best is not None and (not reached.best or best > reached.best[-1][1]):
        reached.best.append((at, best))


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and the processes that it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(timeout=15)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def _logged(log: Path) -> list[Epoch]:
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.endswith("}")]
    return [(line["trial"], line["epoch"], line["val_accuracy"]) for line in lines]


def _in_ledger(database: Database) -> list[Epoch]:
    if not Path(str(database.url.database)).exists() or database.read(revision_of) is None:
        return []
    stored = studies.find_or_none(database, "whole_search")
    if stored is None:
        return []
    return [
        (ticket, result.epoch, result.val_accuracy)
        for ticket, curve in queries.curves(database, stored.study_id).items()
        for result in curve
    ]


def _configs(task: Task) -> list[str]:
    if task.configs is None:
        return []
    path = task.folder / "configs.json"
    path.write_text(json.dumps(list(task.configs)))
    return ["--configs", str(path)]


def _environment() -> dict[str, str]:
    threads = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    return {key: value for key, value in os.environ.items() if key not in threads}
