"""Where an engine's tests run: a cluster on this machine, a study, and its worker processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from hpsearch.cli.app import run_command
from hpsearch.engines.engine import WORKER, FleetWorker
from hpsearch.engines.fleet_state import fleet_state
from hpsearch.search.database.storage import Database
from hpsearch.search.database.tables import tickets
from hpsearch.search.ledger import queries, studies
from hpsearch.search.ledger.events import Event, EventKind, event_log
from hpsearch.search.ledger.fleets import fleets_of
from support.postgres import PostgresServer
from support.slurm import Slurm

#: Seconds that a step may take on a busy machine.
PATIENCE = 180.0


def study_text(name: str, *, trials: int, epochs: int = 3) -> str:
    """Return the file of a small study whose trials all run to their end."""
    return f"""\
study: {name}
seed: 3
budget: {{trials: {trials}, epochs_per_trial: {epochs}}}
sampler: random
pruner: none
data: {{source: digits, limit: 300}}
model: {{mlp: {{hidden: {{values: [[16], [32]]}}}}}}
optimizer: {{adam: {{lr: {{min: 1e-4, max: 3e-2, log: true}}}}}}
"""


@dataclass
class Site:
    """One study, its database, and an engine."""

    folder: Path
    storage: str
    engine: str
    #: ``key=value`` settings of every launch.
    settings: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    study: str = "fleet"

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "fleet.yaml").write_text(study_text("fleet", trials=8))

    @property
    def hold(self) -> Path:
        """While this file exists, each worker process waits after its first epoch."""
        return self.folder / "hold"

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run ``hpsearch ARGUMENTS`` in the folder, in this process, which imports torch once."""
        out, err = StringIO(), StringIO()
        with pytest.MonkeyPatch.context() as patched, redirect_stdout(out), redirect_stderr(err):
            for name in [name for name in os.environ if name.startswith("HPSEARCH")]:
                patched.delenv(name)
            own = {"HPSEARCH_DATA": str(self.folder.parent / "data"),
                   "HPSEARCH_STORAGE": self.storage}  # fmt: skip
            for name, value in {**own, **self.environment}.items():
                patched.setenv(name, value)
            patched.chdir(self.folder)
            code = run_command(arguments)
        return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())

    def done(self, *arguments: str) -> str:
        """Run it, require exit code 0, return what it printed."""
        ran = self.run(*arguments)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    def launch(self, workers: int, *more: str, env: Mapping[str, str] | None = None) -> str:
        """Submit workers that wait at ``hold``."""
        inside = {"HPSEARCH_WAIT_AT": f"epoch_reported:1:{self.hold}", **(env or {})}
        settings = [f"env={json.dumps(inside)}", *self.settings]
        return self.done(
            *("launch", "--study", "fleet.yaml", "--engine", self.engine, "--detach"),
            *(f"--workers={workers}", "--lease=3", "--checkpoint-interval=0"),
            *(word for each in settings for word in ("-E", each)),
            *more,
        )

    def status(self) -> Any:
        return json.loads(self.done("status", "--study", self.study, "--json"))

    def workers(self) -> list[FleetWorker]:
        """Return what the engine reports of every worker."""
        with self._database() as database:
            states = [
                fleet_state(each, self.storage)
                for each in fleets_of(database, studies.find(database, self.study))
            ]
        assert [each.problem for each in states if each.problem] == []
        return [worker for each in states for worker in each.workers]

    def fleet(self) -> dict[int, FleetWorker]:
        """Return number -> what the engine reports of a worker that hasn't ended."""
        return {each.number: each for each in self.workers() if each.state != "ended"}

    def restarts(self) -> dict[int, int]:
        return {each.number: each.restarts for each in self.workers()}

    def processes(self) -> dict[int, set[int]]:
        """Return a worker's number -> its processes on this machine."""
        found: dict[int, set[int]] = {}
        for pid, environment in _workers().items():
            if environment.get("HPSEARCH_RUNS") == str(self.folder / "runs"):
                found.setdefault(int(environment[WORKER]), set()).add(pid)
        return found

    def pids(self, number: int) -> set[int]:
        """Return the processes of one worker."""
        return self.processes().get(number, set())

    def kill(self, number: int) -> None:
        """Kill a worker as the kernel does when memory runs out."""
        for pid in self.pids(number):
            os.kill(pid, signal.SIGKILL)

    def start_requeued(self, slurm: Slurm) -> None:
        """Let Slurm start what it has requeued, instead of after its two minutes.

        Not in the same second: Slurm revokes a credential for jobs up to the second of its end.
        """

        def waiting() -> list[FleetWorker]:
            return [each for each in self.workers() if each.reason == "BeginTime"]

        wait_for(lambda: bool(waiting()), "requeued task")
        for each in waiting():
            slurm.run("scontrol", "update", f"jobid={each.native_id}", "StartTime=now+3")

    def epochs(self) -> int:
        with self._database() as database:
            study_id = studies.find(database, self.study).study_id
            return queries.counts(database, study_id).epochs_run

    def renewals(self) -> int:
        """Return how often leases have been renewed."""
        with self._database() as database:
            query = sa.select(sa.func.sum(tickets.c.renewals))
            return int(database.read(lambda connection: connection.execute(query).scalar_one()))

    def events(self, kind: EventKind) -> list[Event]:
        with self._database() as database:
            log = event_log(database, studies.find(database, self.study).study_id)
        return [each for each in log if each.kind == kind]

    def is_finished(self) -> bool:
        with self._database() as database:
            counts = queries.counts(database, studies.find(database, self.study).study_id)
        return counts.finished == 8

    def require_exact(self) -> None:
        """Check that every trial was trained once, every epoch is there, and all files are."""
        counts = self.status()["trials"]
        assert (counts["total"], counts["complete"]) == (8, 8)
        health = json.loads(self.done("doctor", "--study", self.study, "--json"))
        assert (health["well"], health["checked"]["epochs"]) == (True, 24), health

    def curves(self) -> dict[int, list[tuple[float, ...]]]:
        """Return a ticket -> its metrics by epoch, to every digit."""
        with self._database() as database:
            study_id = studies.find(database, self.study).study_id
            every = [each.ticket for each in queries.all_tickets(database, study_id)]
            curves = queries.curves(database, study_id, every)
        return {
            ticket: [(each.train_loss, each.val_loss, each.val_accuracy) for each in epochs]
            for ticket, epochs in curves.items()
        }

    def _database(self) -> closing[Database]:
        return closing(Database(self.storage))


@contextmanager
def running_site(
    folder: Path, postgres: PostgresServer, engine: str, environment: Mapping[str, str]
) -> Iterator[Site]:
    """Yield an empty folder, a database, and an engine; at the end no worker of it is left."""
    url = postgres.create()
    site = Site(folder / "here", url, engine, environment=environment)
    with pytest.MonkeyPatch.context() as patched:
        for name, value in environment.items():
            patched.setenv(name, value)
        try:
            yield site
        finally:
            site.hold.unlink(missing_ok=True)
            if site.processes():
                site.run("stop", "--study", site.study)
                wait_for(lambda: not site.processes(), "end of the workers")
    postgres.drop(url)


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Wait until ``condition`` returns True."""
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until, f"no {what} within {PATIENCE:g} s"
        # A look may start a process of the cluster's, and connects to the database
        time.sleep(0.5)


def _workers() -> dict[int, dict[str, str]]:
    """Return pid -> environment of every process of a fleet's worker."""
    found = {}
    for each in Path("/proc").glob("[0-9]*"):
        try:
            words = (each / "cmdline").read_bytes().split(b"\0")
            pairs = (each / "environ").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        environment = dict(pair.partition("=")[::2] for pair in pairs)
        starts = any(word.rpartition(b"/")[2] == b"hpsearch" for word in words)
        if starts and b"worker" in words and WORKER in environment:
            found[int(each.name)] = environment
    return found
