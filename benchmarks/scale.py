"""Fleets of simulated workers over studies of 10,000 and 50,000 trials: what the database answers.

``python -m benchmarks.scale``, a minute with ``--quick``. Ledger, sampler, pruner and database are
the real ones; only training is replaced by waiting. A simulated worker is a thread that makes the
calls of ``workers.worker`` in its order, with an engine, connections and a ``LeaseKeeper`` of its
own. Two things differ from a real worker:

- Its configurations are drawn in a process that the workers of one fleet process share, so that a
  draw (a tenth of a second of computing) doesn't stop the threads beside it.
- It writes no file.

An epoch takes ``--epoch`` seconds of waiting, half to one and a half times. It is chosen such that
the cores aren't the limit: the table shows the offered load and how busy the machine was.

The second part lets one worker alone work in studies of growing size: seconds of each call, the
worker's memory, the size of the database. Studies are filled with the rows of ``past_trials``.
The plot shows the computing of the worker's process, which other programs don't change; on SQLite
this includes the database.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import multiprocessing
import os
import random
import resource
import statistics
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from multiprocessing.pool import Pool
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import sqlalchemy as sa
from rich.console import Console
from rich.table import Table

from benchmarks.databases import fresh_databases
from benchmarks.past_trials import insert_finished
from benchmarks.untrained import (
    EPOCHS,
    NAME,
    SPACE,
    OurWorker,
    epoch_end,
    study_file,
    trial_row,
)
from hpsearch.results import data_sets
from hpsearch.results.consistency.facts import read_facts
from hpsearch.results.consistency.rule import findings_of
from hpsearch.results.consistency.rules import RULES
from hpsearch.search.database.schema_version import ensure_tables
from hpsearch.search.database.storage import Database, read_snapshot
from hpsearch.search.ledger import queries, studies
from hpsearch.search.ledger.decision import AuditSample, Decision
from hpsearch.search.ledger.ledger import Ledger
from hpsearch.search.ledger.types import CheckpointRef, Claim, Idle, SearchRules
from hpsearch.search.pruning.pruners import PRUNERS
from hpsearch.search.suggest import DrawnTrial
from hpsearch.workers.launch.progress import ProgressReader
from hpsearch.workers.trial.context import ended_and_kept
from hpsearch.workers.trial.lease_keeper import LeaseKeeper
from hpsearch.workers.trial.same_images import SameImages
from hpsearch.workers.worker import POLL_SECONDS

T = TypeVar("T")

#: The calls of a worker, in the order of a trial; ``renew`` is made by its lease keeper.
CALLS = ("claim", "look", "suggest", "start", "report", "finish", "tidy", "renew")

#: Processes of a fleet, and workers of one host.
PROCESSES, WORKERS_PER_HOST = 4, 8

LEASE_SECONDS = 30.0

#: Seconds of an epoch by the number of workers, such that two cores aren't the limit.
EPOCH_SECONDS = {64: 10.0, 256: 20.0, 1024: 60.0}

#: The trials of the growing studies.
SIZES = (100, 1_000, 5_000, 10_000, 20_000, 50_000)

_IMAGES = "0" * 64

#: Each new process would import torch for seconds. No connection is open when they fork.
_PROCESSES = multiprocessing.get_context("fork")


def promoting_rules() -> SearchRules:
    """Return the rules of a study with the defaults: ASHA that promotes, and a pruning audit."""
    return SearchRules(
        metric="val_accuracy",
        maximize=True,
        best_epoch_counts=False,
        epochs_per_trial=EPOCHS,
        pruner=PRUNERS["asha"].build(),
        audit=AuditSample(0.05, 7),
    )


def fill(url: str, trials: int) -> int:
    """Create a study with so many finished trials and a larger budget; returns its bytes."""
    with closing(Database(url)) as database:
        ensure_tables(database)
        stored = studies.attach(database, study_file(trials + 1_000_000))
        insert_finished(
            database,
            stored.study_id,
            SPACE,
            trials,
            epochs_each=EPOCHS,
            rungs=promoting_rules().rungs,
            attributes={data_sets.DATA_HASH: _IMAGES, "threads": 1, "device": "cpu"},
        )
        if not database.is_sqlite:
            # As autovacuum does after some minutes
            with closing(database.engine.raw_connection()) as connection:
                connection.cursor().execute("VACUUM (ANALYZE)")
        return size_of(database)


def size_of(database: Database) -> int:
    """Return the size of the database in bytes."""
    if database.is_sqlite:
        path = Path(str(database.url.database))
        return sum(file.stat().st_size for file in path.parent.glob(f"{path.name}*"))
    query = sa.text("SELECT pg_database_size(current_database())")
    return database.read(lambda connection: int(connection.execute(query).scalar_one()))


def problems(url: str) -> list[str]:
    """Return what ``doctor`` finds in the database."""
    with closing(Database(url)) as database:
        facts = read_snapshot(database, lambda view: read_facts(view, NAME))
        return [
            f"{problem.where} {problem.what}"
            for rule in RULES
            for problem in findings_of(rule, facts)
        ]


class Clock:
    """Collects the seconds of calls by name; several threads may use it."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = defaultdict(list)

    def time(self, name: str, call: Callable[[], T]) -> T:
        """Run ``call``."""
        began = time.perf_counter()
        answer = call()
        self.seconds[name].append(time.perf_counter() - began)
        return answer


class TimedLedger(Ledger):
    """A ledger whose renewals are timed, which the lease keeper calls."""

    clock: Clock

    def renew(self, claim: Claim) -> int:
        """Renew the lease."""
        return self.clock.time("renew", lambda: super(TimedLedger, self).renew(claim))


class SimulatedWorker:
    """One worker.

    Args:
        url: The database.
        number: Its number in the fleet.
        clock: Collects the seconds of its calls.
        draw: Draws a ticket's configuration; ``None`` to draw in this process.
        train: Waits as long as an epoch takes; returns whether the worker may go on.
    """

    def __init__(
        self,
        url: str,
        number: int,
        clock: Clock,
        draw: Callable[[Claim], DrawnTrial] | None = None,
        train: Callable[[], bool] = lambda: True,
    ) -> None:
        self.host = f"node-{number // WORKERS_PER_HOST}"
        owner = f"{self.host}:worker-{number}-{os.getpid()}"
        self.worker = OurWorker(url, owner, "forest", promoting_rules())
        self.database = self.worker.database
        self.ledger = TimedLedger(self.database, self.worker.study_id, owner, promoting_rules())
        self.ledger.clock = self.clock = clock
        self.images = SameImages(self.database, NAME)
        self._draw = draw
        self.train = train

    def step(self) -> bool:
        """Claim once, and train what was claimed until it pauses or ends; returns whether to go on.

        Raises:
            RuntimeError: The study is over, which its budget should prevent.
        """
        claimed = self.clock.time("claim", self.worker.claims.claim)
        if claimed is Idle.WAIT:
            time.sleep(POLL_SECONDS)
            return True
        if not isinstance(claimed, Claim):
            raise RuntimeError(f"no trial to take: {claimed}")
        with LeaseKeeper(
            self.ledger, claimed, lease_seconds=LEASE_SECONDS, leave=lambda: False, seen_stops=0
        ):
            return self._run(claimed)

    def _run(self, claim: Claim) -> bool:
        self.clock.time("look", lambda: self._look(claim))
        if claim.params is None:
            if self._draw is None:
                draw = self.clock.time("suggest", lambda: self.worker.draw(claim))
            else:
                draw = self._draw(claim)
            self.clock.time("start", lambda: self._start(claim, draw))
            params = draw.params
        else:
            params = claim.params
        for epoch in range(claim.epochs_done + 1, EPOCHS + 1):
            if not self.train():
                self.ledger.release(claim, "the benchmark is over")
                return False
            end = epoch_end(epoch, curve(params, epoch))
            reference = None
            if epoch in promoting_rules().rungs:
                key = f"{NAME}/key/trial-{claim.ticket:04d}/epoch-{epoch:04d}.pt"
                reference = CheckpointRef(key=key, sha256="0" * 64, epoch=epoch)
            ends = "finish" if end.last else "report"
            decision = self.clock.time(
                ends, lambda end=end, reference=reference: self.ledger.report(claim, end, reference)
            )
            if decision is Decision.PAUSED:
                self.clock.time("tidy", self.ledger.end_excess)
            elif decision is Decision.COMPLETE:
                here = range(max(0, claim.ticket - 50), claim.ticket)
                self.clock.time("tidy", lambda here=here: ended_and_kept(self.database, NAME, here))
            if decision is not Decision.CONTINUE:
                break
        return True

    def _look(self, claim: Claim) -> None:
        """Look for other workers of this host, and for other images."""
        queries.owners_at_work(self.database, host=self.host)
        self.images.require(claim.params or {}, data_sets.Images(data_hash=_IMAGES))

    def _start(self, claim: Claim, draw: DrawnTrial) -> None:
        attributes = {data_sets.DATA_HASH: _IMAGES, "threads": 1, "device": "cpu"}
        row = trial_row(draw)
        self.ledger.start(claim, type(row)(**{**vars(row), "user_attrs": attributes}))


def curve(params: Mapping[str, Any], epoch: int) -> float:
    """Return the accuracy of a made-up training: some rates are better, and all rise."""
    miss = abs(math.log10(params["lr"]) + 2) + abs(params["dropout"] - 0.2)
    noise = random.Random(f"{params['lr']}{epoch}").random() / 50
    return (1 - math.exp(-epoch / 6)) / (1 + miss) + noise


# One fleet


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """What is simulated."""

    kind: str
    trials: int
    workers: int
    #: Seconds of an epoch, on average.
    epoch: float
    #: Seconds that are measured.
    seconds: float


@dataclass(kw_only=True)
class FleetResult:
    """What was measured."""

    fleet: Fleet
    #: Call -> its seconds, each of them.
    calls: dict[str, list[float]] = field(default_factory=dict)
    #: Connections to Postgres, the most at one moment: all, and those in a transaction.
    connections: int = 0
    active: int = 0
    #: Share of the cores' time that was used, by everything on the machine.
    busy: float = 0.0
    load: float = 0.0
    megabytes: float = 0.0


def run_fleet(fleet: Fleet, url: str) -> FleetResult:
    """Let a fleet work for a while on a filled database."""
    processes = min(PROCESSES, fleet.workers)
    barrier = _PROCESSES.Barrier(processes + 1)
    pipes, children = [], []
    for number in range(processes):
        ours, theirs = _PROCESSES.Pipe(duplex=False)
        numbers = range(number, fleet.workers, processes)
        child = _PROCESSES.Process(
            target=_fleet_process, args=(fleet, url, numbers, barrier, theirs)
        )
        child.start()
        pipes.append(ours)
        children.append(child)
    barrier.wait(timeout=300 + fleet.epoch)
    result = FleetResult(fleet=fleet, load=os.getloadavg()[0])
    with _busy(result), closing(Database(url)) as database:
        until = time.monotonic() + fleet.seconds
        while time.monotonic() < until:
            time.sleep(0.5)
            if not database.is_sqlite:
                every, active = _connections(database)
                result.connections = max(result.connections, every - 1)
                result.active = max(result.active, active - 1)
        result.megabytes = size_of(database) / 1e6
    for pipe in pipes:
        for name, seconds in pipe.recv().items():
            result.calls.setdefault(name, []).extend(seconds)
    for child in children:
        child.join()
        if child.exitcode:
            raise RuntimeError(f"a process of the fleet ended with {child.exitcode}")
    return result


def _fleet_process(fleet: Fleet, url: str, numbers: Sequence[int], barrier: Any, pipe: Any) -> None:
    over = threading.Event()
    clock = Clock()
    with _PROCESSES.Pool(1, _open_drawer, (url,)) as pool:
        pool.apply(_ready)
        workers = [_member(fleet, url, number, clock, pool, over) for number in numbers]
        with ThreadPoolExecutor(len(workers)) as threads:
            futures = [threads.submit(_pull, worker) for worker in workers]
            # The fleet begins within one epoch, not in one moment
            over.wait(fleet.epoch)
            clock.seconds.clear()
            barrier.wait(timeout=300)
            over.wait(fleet.seconds)
            measured = {name: list(seconds) for name, seconds in clock.seconds.items()}
            over.set()
            for future in futures:
                future.result()
        for worker in workers:
            worker.database.close()
    pipe.send(measured)


def _member(
    fleet: Fleet, url: str, number: int, clock: Clock, pool: Pool, over: threading.Event
) -> SimulatedWorker:
    rng = random.Random(number)

    def draw(claim: Claim) -> DrawnTrial:
        trial, seconds = pool.apply(_draw, (claim,))
        clock.seconds["suggest"].append(seconds)
        return trial

    def train() -> bool:
        return not over.wait(fleet.epoch * (0.5 + rng.random()))

    return SimulatedWorker(url, number, clock, draw, train)


def _pull(worker: SimulatedWorker) -> None:
    while worker.train() and worker.step():
        pass


_DRAWER: list[OurWorker] = []


def _open_drawer(url: str) -> None:
    _DRAWER.append(OurWorker(url, f"drawer-{os.getpid()}", "forest", promoting_rules()))
    _DRAWER[0].history.refresh()


def _ready() -> None:
    """Return when the process is ready."""


def _draw(claim: Claim) -> tuple[DrawnTrial, float]:
    began = time.perf_counter()
    trial = _DRAWER[0].draw(claim)
    return trial, time.perf_counter() - began


def _connections(database: Database) -> tuple[int, int]:
    query = sa.text(
        "SELECT count(*), count(*) FILTER (WHERE state <> 'idle') FROM pg_stat_activity "
        "WHERE datname = current_database() AND backend_type = 'client backend'"
    )
    every, active = database.read(lambda connection: tuple(connection.execute(query).one()))
    return int(every), int(active)


@contextmanager
def _busy(result: FleetResult) -> Iterator[None]:
    """Measure how busy all cores are."""
    before = _cpu_times()
    yield
    used = [now - then for now, then in zip(_cpu_times(), before, strict=True)]
    # The fourth and fifth numbers are idle time and waiting for the disk
    result.busy = 1 - (used[3] + used[4]) / sum(used)


def _cpu_times() -> list[int]:
    return [int(ticks) for ticks in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]


# One worker alone in studies of growing size


@dataclass(frozen=True, kw_only=True)
class Alone:
    """One worker in a study of some size."""

    kind: str
    trials: int
    #: Call -> median of its seconds: wall time, and computing of the worker's own process.
    seconds: dict[str, float]
    computing: dict[str, float]
    #: Memory of the worker's process after its steps, and before it read the study.
    megabytes: float
    megabytes_before: float
    #: The most that it had.
    megabytes_peak: float
    database_megabytes: float
    load: float


def alone(kind: str, url: str, trials: int, steps: int) -> Alone:
    """Fill a database and measure one worker in a new process."""
    megabytes = fill(url, trials) / 1e6
    with _PROCESSES.Pool(1) as pool:
        figures = pool.apply(_alone, (url, steps))
    return Alone(
        kind=kind, trials=trials, database_megabytes=megabytes, load=os.getloadavg()[0], **figures
    )


def _alone(url: str, steps: int) -> dict[str, Any]:
    computing = defaultdict(list)

    class Both(Clock):
        def time(self, name: str, call: Callable[[], T]) -> T:
            began = time.process_time()
            answer = super().time(name, call)
            computing[name].append(time.process_time() - began)
            return answer

    # What the first use of a library costs isn't the study's
    from sklearn.tree import ExtraTreeRegressor

    ExtraTreeRegressor().fit([[0.0], [1.0]], [0.0, 1.0])
    gc.collect()
    before = _resident()
    clock = Both()
    worker = SimulatedWorker(url, 0, clock)
    worker.worker.history.refresh()
    while len(clock.seconds["suggest"]) < steps:
        worker.step()
    gc.collect()
    after, peak = _resident(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    # A supervisor's look, which isn't a worker's
    stored = studies.find(worker.database, NAME)
    reader = ProgressReader(worker.database, stored, study_file(1))
    for _ in range(3):
        clock.time("supervisor", lambda: reader.look([]))
    worker.database.close()
    return {
        "seconds": {name: statistics.median(seconds) for name, seconds in clock.seconds.items()},
        "computing": {name: statistics.median(seconds) for name, seconds in computing.items()},
        "megabytes": after,
        "megabytes_before": before,
        "megabytes_peak": peak,
    }


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


# Tables and the plot


def show_fleets(results: Sequence[FleetResult]) -> None:
    """Print two rows per fleet: p50 and p99 of each call."""
    table = Table(title=f"milliseconds of a call, {os.cpu_count()} cores")
    for column in ("database", "trials", "workers", "", *CALLS, "a second", "connections", "busy"):
        table.add_column(column, justify="right")
    for result in results:
        fleet = result.fleet
        total = sum(map(len, result.calls.values())) / fleet.seconds
        what = (fleet.kind, f"{fleet.trials:,}", f"{fleet.workers:,}")
        load = (f"{total:.0f}", f"{result.connections} ({result.active})", f"{result.busy:.0%}")
        none = ("", "", "")
        for share in (50, 99):
            cells = [_milliseconds(result.calls.get(name, []), share) for name in CALLS]
            first = share == 50
            table.add_row(
                *(what if first else none), f"p{share}", *cells, *(load if first else none)
            )
    Console(width=170).print(table)


def _milliseconds(seconds: Sequence[float], share: float) -> str:
    return f"{1000 * float(np.percentile(seconds, share)):.1f}" if seconds else "-"


def show_growth(results: Sequence[Alone]) -> None:
    """Print a row per study of the worker alone."""
    names = [*(name for name in CALLS if name != "renew"), "supervisor"]
    table = Table(title="one worker alone: median milliseconds of a call, memory")
    for column in ("database", "trials", *names, "worker, MB", "peak, MB", "database, MB", "load"):
        table.add_column(column, justify="right")
    for result in results:
        table.add_row(
            result.kind,
            f"{result.trials:,}",
            *(
                f"{1000 * result.seconds[name]:.1f}" if name in result.seconds else "-"
                for name in names
            ),
            f"{result.megabytes:.0f} (+{result.megabytes - result.megabytes_before:.0f})",
            f"{result.megabytes_peak:.0f}",
            f"{result.database_megabytes:.0f}",
            f"{result.load:.1f}",
        )
    Console(width=170).print(table)


def plot(results: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw the computing of each call and a worker's memory over the number of trials."""
    from hpsearch.matplotlib_style import mpl_style, new_figure, save

    kinds = list(dict.fromkeys(result["kind"] for result in results))
    names = ("claim", "look", "suggest", "start", "report", "finish", "tidy")
    with mpl_style({"svg.fonttype": "none"}):
        figure = new_figure((4.2 * (len(kinds) + 1), 3.4))
        axes = figure.subplots(1, len(kinds) + 1)
        for axis, kind in zip(axes, kinds, strict=False):
            kind_results = [result for result in results if result["kind"] == kind]
            for name in names:
                points = [
                    (result["trials"], 1000 * result["computing"][name])
                    for result in kind_results
                    if name in result["computing"]
                ]
                axis.plot(*zip(*points, strict=True), marker="o", markersize=3, label=name)
            axis.set(xscale="log", yscale="log", title=kind, xlabel="trials in the study")
            _plain(axis.xaxis, sorted({result["trials"] for result in kind_results}))
            _plain(axis.yaxis, (1, 10, 100, 1000))
            axis.set_ylabel("ms of the worker's computing, median")
            axis.grid(alpha=0.3)
        axes[0].legend(fontsize="x-small", ncols=2)
        for kind in kinds:
            kind_results = [result for result in results if result["kind"] == kind]
            axes[-1].plot(
                [result["trials"] for result in kind_results],
                [result["megabytes"] - result["megabytes_before"] for result in kind_results],
                marker="o", markersize=3, label=f"a worker, {kind}",
            )  # fmt: skip
        axes[-1].set(ylim=(0, None), title="memory", xlabel="trials in the study")
        axes[-1].set_ylabel("MB, more than before it read the study")
        axes[-1].grid(alpha=0.3)
        axes[-1].legend(fontsize="x-small")
        save(figure, path, "svg")


def _plain(axis: Any, places: Sequence[int]) -> None:
    """Label a logarithmic axis with these numbers only."""
    axis.set_ticks(places, [f"{place:,}" for place in places])
    axis.set_ticks([], minor=True)


def main(arguments: list[str] | None = None) -> None:
    """Print both tables; keep every figure in a file, and draw the plot."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", nargs="*", default=["growth", "fleets"])
    parser.add_argument("--databases", nargs="+", default=["sqlite", "postgres"])
    parser.add_argument("--trials", type=int, nargs="+", default=[10_000, 50_000])
    parser.add_argument("--workers", type=int, nargs="+", default=[64, 256, 1024])
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--epoch", type=float, help="seconds of an epoch; by the workers if unset")
    parser.add_argument("--seconds", type=float, default=90.0, help="of each fleet")
    parser.add_argument("--steps", type=int, default=15, help="trials of the worker alone")
    parser.add_argument("--quick", action="store_true", help="small studies, a minute")
    parser.add_argument("--keep", type=Path, help="a file for all figures (JSON lines)")
    parser.add_argument("--plot", type=Path, help="an SVG file for the growth, of all that is kept")
    options = parser.parse_args(arguments)
    if options.quick:
        options.trials, options.workers, options.sizes = [500], [16], [100, 500]
        options.seconds, options.epoch, options.steps = 5.0, 1.0, 3
    grown: list[Alone] = []
    fleets: list[FleetResult] = []

    def keep(result: Any) -> None:
        if options.keep is not None:
            with options.keep.open("a") as file:
                file.write(json.dumps(asdict(result)) + "\n")

    most = 3 * max(options.workers) + 20
    with fresh_databases(options.databases, max_connections=most) as fresh:
        for kind in options.databases if "growth" in options.parts else []:
            for trials in options.sizes:
                grown.append(alone(kind, fresh[kind](), trials, options.steps))
                keep(grown[-1])
        for kind in options.databases if "fleets" in options.parts else []:
            for trials in options.trials:
                url = fresh[kind]()
                fill(url, trials)
                for workers in options.workers:
                    if kind == "sqlite" and workers > 64:
                        continue
                    epoch = options.epoch or EPOCH_SECONDS.get(workers, 20.0)
                    fleet = Fleet(
                        kind=kind, trials=trials, workers=workers, epoch=epoch,
                        seconds=options.seconds,
                    )  # fmt: skip
                    fleets.append(run_fleet(fleet, url))
                    keep(fleets[-1])
                if faults := problems(url):
                    raise RuntimeError(f"doctor isn't clean: {faults[:5]}")
    show_growth(grown)
    show_fleets(fleets)
    if options.plot is not None:
        records = [asdict(result) for result in grown]
        if options.keep is not None:
            lines = map(json.loads, options.keep.read_text().splitlines())
            records = [line for line in lines if "computing" in line]
        plot(records, options.plot)


if __name__ == "__main__":
    main()
