"""What a long search costs its workers: start, memory and one trial's way beside 10,000 others.

Each figure comes from a process of its own, which holds nothing when it begins: a worker of ours,
and Optuna's stock study over the same database. Both are asked by TPE.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import os
import statistics
import time
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import TrialState
from rich.console import Console
from rich.table import Table

from benchmarks.databases import fresh_databases
from benchmarks.past_trials import insert_finished
from benchmarks.untrained import (
    EPOCHS,
    NAME,
    SPACE,
    OurWorker,
    Side,
    epoch_end,
    prepare,
    stock_study,
    suggest,
    trial_row,
)
from hpsearch.search.database.storage import Database
from hpsearch.search.ledger import studies
from hpsearch.search.ledger.types import Claim

#: Trials that each process takes after its start.
STEPS = 5


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """The costs of one process."""

    #: Seconds until every past trial is read; of wall time and of the process's CPU time.
    start_seconds: float
    start_cpu_seconds: float
    #: More than before it read any trial.
    megabytes: float
    #: Medians of the seconds to claim, suggest and finish one trial.
    step_seconds: float
    step_cpu_seconds: float


def fill(url: str, trials: int, epochs_each: int = EPOCHS) -> None:
    """Create a study with ``trials`` finished trials and a larger budget."""
    prepare("ours", url, trials + 100)
    with closing(Database(url)) as database:
        study_id = studies.find(database, NAME).study_id
        insert_finished(database, study_id, SPACE, trials, epochs_each=epochs_each)


def footprint(side: Side, url: str) -> Footprint:
    """Measure a worker of ``side`` in a new process."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_our_footprint if side == "ours" else _stock_footprint, (url,))


def _our_footprint(url: str) -> Footprint:
    worker = OurWorker(url, f"worker-{os.getpid()}", "tpe")

    def step() -> None:
        claim = worker.claims.claim()
        if not isinstance(claim, Claim):
            raise RuntimeError(f"no trial to take: {claim}")
        worker.ledger.start(claim, trial_row(worker.draw(claim)))
        # One report, as the other side has: training stopped early after its first epoch
        worker.ledger.report(claim, replace(epoch_end(1, 0.5), last=True))

    measurement = _measure(worker.history.refresh, step)
    worker.database.close()
    return measurement


def _stock_footprint(url: str) -> Footprint:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = stock_study(url, "tpe", seed=0)

    def step() -> None:
        trial = study.ask()
        suggest(trial)
        study.tell(trial, 0.5, state=TrialState.COMPLETE)

    return _measure(lambda: study.get_trials(deepcopy=False), step)


def _measure(start: Any, step: Any) -> Footprint:
    gc.collect()
    before, wall, cpu = _resident(), time.perf_counter(), time.process_time()
    start()
    start_wall, start_cpu = time.perf_counter() - wall, time.process_time() - cpu
    walls, cpus = [], []
    for _ in range(STEPS):
        wall, cpu = time.perf_counter(), time.process_time()
        step()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return Footprint(
        start_seconds=start_wall,
        start_cpu_seconds=start_cpu,
        megabytes=_resident() - before,
        step_seconds=statistics.median(walls),
        step_cpu_seconds=statistics.median(cpus),
    )


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main(arguments: list[str] | None = None) -> None:
    """Print one row per database and side."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--databases", nargs="+", default=["sqlite", "postgres"])
    options = parser.parse_args(arguments)
    table = Table(
        title=f"a worker beside {options.trials:,} finished trials: seconds, in brackets those of "
        f"its own computing ({os.cpu_count()} cores, load at the start {os.getloadavg()[0]:.1f})"
    )
    for column in ("database", "worker"):
        table.add_column(column)
    for column in ("start", "memory", "claim + suggest + finish"):
        table.add_column(column, justify="right")
    with fresh_databases(options.databases) as fresh:
        for kind in options.databases:
            url = fresh[kind]()
            fill(url, options.trials)
            sides: tuple[Side, ...] = ("ours", "stock")
            for side in sides:
                measurement = footprint(side, url)
                table.add_row(
                    kind,
                    "hpsearch" if side == "ours" else "stock",
                    f"{measurement.start_seconds:.2f} ({measurement.start_cpu_seconds:.2f})",
                    f"{measurement.megabytes:.0f} MB",
                    f"{measurement.step_seconds:.3f} ({measurement.step_cpu_seconds:.3f})",
                )
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
