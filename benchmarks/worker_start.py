"""What a worker costs before its first trial: seconds, and memory of its own.

A real launch is started on a study, with one worker; then more workers are added the way a
supervisor adds them (forked from the preloaded server) and the way most tools do (a spawned
interpreter that imports everything). Measured from the request until the worker stands at its first
claim, with its storage open and its study loaded; its private memory is what the kernel counts as
its alone (``/proc/self/smaps_rollup``).
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import tempfile
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

STUDY = """\
study: start
budget: {trials: 1, epochs_per_trial: 1}
data: {source: digits}
model: {simple_cnn: }
optimizer: {sgd: {lr: {min: 1e-3, max: 0.1, log: true}}}
batch_size: 32
"""


@dataclass(frozen=True)
class Started:
    """One worker at its first claim."""

    seconds: float
    private_mb: float


class _AtFirstClaim(Exception):
    pass


def stand_at_the_first_claim(url: str, folder: str, answer: Connection) -> None:
    """Run a worker until it requests its first ticket; the target of a process."""
    from hpsearch.workers import worker
    from hpsearch.workers.run_config import RunConfig, WorkerOptions

    def stop_at_claim(*_: Any) -> None:
        answer.send((time.monotonic(), _private_mb()))
        raise _AtFirstClaim

    worker._pull = stop_at_claim  # type: ignore[assignment] # the last line before the first claim
    options = WorkerOptions(
        run=RunConfig(storage=url, runs=Path(folder)), study_name="start", device="cpu", threads=1
    )
    try:
        worker.run_worker(options)
    except _AtFirstClaim:
        return


def _private_mb() -> float:
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    private = [line.split() for line in lines if line.startswith("Private_")]
    return sum(int(kilobytes) for _, kilobytes, _ in private) / 1000


def start(context: Any, url: str, folder: str) -> Started:
    """Start one worker and wait until its first claim."""
    ours, its = multiprocessing.Pipe()
    process = context.Process(target=stand_at_the_first_claim, args=(url, folder, its))
    began = time.monotonic()
    process.start()
    at, private = ours.recv()
    process.join()
    return Started(at - began, private)


def main() -> None:
    """Print one row per way of starting."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    from hpsearch import component_registries
    from hpsearch.search.database.schema_version import ensure_tables
    from hpsearch.search.database.storage import Database
    from hpsearch.search.ledger import studies
    from hpsearch.study_file.loading import load_study
    from hpsearch.workers.launch.fork_server import start_fork_server

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "start.yaml"
        file.write_text(STUDY)
        url = f"sqlite:///{folder}/start.db"
        database = Database(url)
        ensure_tables(database)
        studies.attach(database, load_study(file, component_registries.registries))
        database.close()
        contexts = {
            "forked from the preloaded server": start_fork_server(),
            "spawned": multiprocessing.get_context("spawn"),
        }
        start(contexts["forked from the preloaded server"], url, folder)  # waits for its imports
        rows: dict[str, list[Started]] = {name: [] for name in contexts}
        for _ in range(options.rounds):
            for name, context in contexts.items():
                rows[name].append(start(context, url, folder))
    table = Table(title=f"a worker at its first claim, median of {options.rounds}")
    for column in ("", "seconds", "private MB"):
        table.add_column(column, justify="right" if column else "left")
    for name, starts in rows.items():
        seconds = statistics.median(start_time.seconds for start_time in starts)
        private = statistics.median(start_time.private_mb for start_time in starts)
        table.add_row(name, f"{seconds:.2f}", f"{private:.0f}")
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
