"""A launch: checking its options, and running it to its end."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from hpsearch.durable_files import why_unwritable
from hpsearch.errors import UserError
from hpsearch.failpoints import FailPoint, hit
from hpsearch.results.deadline.forecast import is_over, read_forecast, seconds_used
from hpsearch.results.deadline.stages import stage_of
from hpsearch.results.deadline.stored import (
    Deadline,
    closing_of,
    deadline_of,
    set_deadline,
)
from hpsearch.results.records import read_study
from hpsearch.search.database.schema_version import ensure_tables
from hpsearch.search.database.storage import Database
from hpsearch.search.ledger import queries, studies
from hpsearch.search.ledger.claims import free_tickets_of
from hpsearch.search.ledger.fleets import Fleet, fleet_key
from hpsearch.search.ledger.studies import StoredStudy
from hpsearch.study_file.study import StudyFile
from hpsearch.workers.launch.allocation import WorkerAllocation, allocate_workers
from hpsearch.workers.launch.progress import Progress
from hpsearch.workers.launch.supervisor import LaunchResult, Supervisor
from hpsearch.workers.owners import is_alive, this_host
from hpsearch.workers.run_config import RunConfig, WorkerOptions
from hpsearch.workers.runs_place.checks import require_usable
from hpsearch.workers.runs_place.place import Runs, absolute

#: The engine of a launch on this machine.
LOCAL = "local"

#: Seconds by which a launch lets its workers stop by themselves when a deadline needs it.
_STOPPING = 2.0

#: Bounds of a lease, in seconds.
SHORTEST_LEASE, LONGEST_LEASE = 0.5, 3600.0


def launch(
    study: StudyFile,
    run: RunConfig,
    on_progress: Callable[[Progress], None],
    allocation: WorkerAllocation | None = None,
    deadline: Deadline | None = None,
) -> LaunchResult:
    """Run workers until the study is finished, stopped, out of time or interrupted.

    A new study is created. Call it from the main thread, since it handles signals.

    Args:
        study: The study.
        run: How its trials are run.
        on_progress: Called about twice a second, from the calling thread.
        allocation: What ``check_options`` returned; ``None``: it is called here.
        deadline: The study's new deadline; ``None``: the stored one, until it has passed.

    Raises:
        UserError: An option is out of bounds, or the stored study differs from ``study``.
    """
    allocation = allocation or check_options(run)
    database = Database(run.storage)
    try:
        ensure_tables(database)
        hit(FailPoint.TABLES_CREATED)
        stored = studies.attach(database, study)
        hit(FailPoint.STUDY_STORED)
        set_or_keep(database, stored, deadline)
        under = deadline_of(database, stored)
        if under is not None:
            free_dead_workers(database, stored.study_id)
            if closing_of(database, stored.study_id, under) is not None:
                counts = queries.counts(database, stored.study_id)
                return LaunchResult(reason="deadline", counts=counts)
        return supervise(database, stored, study, run, allocation, on_progress)
    finally:
        database.close()


def supervise(
    database: Database,
    stored: StoredStudy,
    study: StudyFile,
    run: RunConfig,
    allocation: WorkerAllocation,
    on_progress: Callable[[Progress], None],
) -> LaunchResult:
    """Run workers on a stored study, as ``launch`` does.

    Args:
        database: The database of the study.
        stored: The study.
        study: The same study as a study file.
        run: How its trials are run.
        allocation: The workers to begin with.
        on_progress: Called about twice a second, from the calling thread.
    """
    workers = WorkerOptions(
        run=replace(
            run,
            # The resolved URL: workers may run in another folder's process.
            storage=database.url.render_as_string(hide_password=False),
            runs=absolute(run.runs),
            timeout=None,  # the supervisor ends them
        ),
        study_name=stored.name,
        device="cpu",  # each gets its own
        threads=allocation.threads,
        seen_stops=stored.stops,
    )
    supervisor = Supervisor(
        database,
        stored,
        study,
        devices=allocation.devices,
        options=workers,
        autoscaler=allocation.autoscaler,
        fleet=_fleet(stored, workers.run, len(allocation.devices)),
    )
    time_limit = run.timeout or study.budget.time
    stage = stage_of(stored)

    start = time.time()
    # Nobody waits for what is planned after the deadline
    is_past = stage is not None and is_over(
        read_forecast(database, stored, now=start, workers=1), start
    )

    def until_deadline() -> float | None:
        now = time.time()
        forecast = None if is_past else read_forecast(database, stored, now=now, workers=1)
        if forecast is None:
            return None
        # Workers stop by themselves; only one whose training doesn't ask must be told
        return forecast.training_ends(stage) + _STOPPING - now

    return supervisor.run(on_progress, timeout=time_limit, until_deadline=until_deadline)


def free_dead_workers(database: Database, study_id: int) -> None:
    """Free the trials of this host's workers that have ended, without waiting for their leases.

    Args:
        database: The study's database.
        study_id: Optuna's id of the study.
    """
    for owner, pid in queries.owners_at_work(database, host=this_host()).items():
        if not is_alive(pid):
            free_tickets_of(database, study_id, owner)


def set_or_keep(database: Database, stored: StoredStudy, deadline: Deadline | None) -> None:
    """Store a new deadline of a search, or remove the stored one if it has passed.

    Args:
        database: The study's database.
        stored: The study.
        deadline: The new deadline; ``None`` to keep the stored one.
    """
    if deadline is not None:
        record = read_study(database, stored.name)
        set_deadline(
            database, stored.study_id, replace(deadline, used_before=seconds_used(database, record))
        )
        return
    previous = deadline_of(database, stored)
    if previous is not None and previous.has_passed(time.time()):
        set_deadline(database, stored.study_id, None)


def _fleet(stored: StoredStudy, run: RunConfig, workers: int) -> Fleet:
    """Return what other processes see of a launch on this machine."""
    host, pid = this_host(), os.getpid()
    return Fleet(
        key=fleet_key(stored, f"{host[:20]}-{pid}"),
        study=stored.name,
        engine=LOCAL,
        profile=host,
        settings={"host": host, "pid": pid},
        workers=workers,
        runs=str(run.runs),
        data=None if run.data is None else str(run.data),
        lease_seconds=run.lease_seconds,
        checkpoint_seconds=run.checkpoint_seconds,
    )


def check_options(run: RunConfig) -> WorkerAllocation:
    """Check the options of a launch; return the workers to begin with.

    Raises:
        UserError: An option is out of bounds, a device isn't there, or workers are to be started
            and the runs place isn't writable.
    """
    allocation = allocate_workers(run.devices, run.workers, run.workers_per_gpu)
    if not SHORTEST_LEASE <= run.lease_seconds <= LONGEST_LEASE:
        raise UserError(
            f"a lease must last {SHORTEST_LEASE:g} to {LONGEST_LEASE:g} s, "
            f"but got {run.lease_seconds:g}"
        )
    if run.checkpoint_seconds < 0 or not math.isfinite(run.checkpoint_seconds):
        raise UserError(
            "the time between two checkpoints must be 0 s or more, "
            f"but got {run.checkpoint_seconds:g}"
        )
    if run.timeout is not None and run.timeout <= 0:
        raise UserError(f"--timeout must be more than 0 s, but got {run.timeout:g}")
    if run.workers != 0:
        require_writable(run.runs)
    return allocation


def require_writable(runs: Runs) -> None:
    """Check that workers can write checkpoints to a runs place; nothing is left there.

    Raises:
        UserError: The folder isn't writable, or a package for the URL isn't installed.
        RunsUnreachable: The object store can't be used with these credentials, or not now.
    """
    if not isinstance(runs, Path):
        require_usable(runs)
        return
    reason = why_unwritable(runs)
    if reason is not None:
        raise UserError(
            f"checkpoints are written into the runs folder {runs}, but it isn't writable "
            f"({reason}); give a writable folder with --runs or HPSEARCH_RUNS"
        )
