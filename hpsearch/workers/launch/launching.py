"""A launch: its options, and running it to its end."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

from hpsearch.durable_files import why_unwritable
from hpsearch.errors import UserError
from hpsearch.failpoints import FailPoint, hit
from hpsearch.search.database.schema_version import ensure_tables
from hpsearch.search.database.storage import Database
from hpsearch.search.ledger import studies
from hpsearch.search.ledger.studies import StoredStudy
from hpsearch.study_file.study import StudyFile
from hpsearch.workers.launch.allocation import WorkerAllocation, allocate_workers
from hpsearch.workers.launch.progress import Progress
from hpsearch.workers.launch.supervisor import LaunchResult, Supervisor
from hpsearch.workers.worker_options import WorkerOptions

#: Bounds of a lease, in seconds.
SHORTEST_LEASE, LONGEST_LEASE = 0.5, 3600.0


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """How trials are run, for any study."""

    storage: str
    #: 0 stores the study for workers that attach by themselves; ``None``: see ``allocate_workers``.
    workers: int | None
    devices: str = "auto"
    workers_per_gpu: int | None = None
    #: Seconds after which running trials are paused; ``None``: the study's ``budget.time``.
    timeout: float | None = None
    lease_seconds: float = 30.0
    checkpoint_seconds: float = 30.0
    runs: Path = Path("runs")
    data: Path | None = None

    def on(self, study: StudyFile) -> LaunchOptions:
        """Return the options of a launch of ``study`` with these settings."""
        mine = {field.name: getattr(self, field.name) for field in fields(RunSettings)}
        return LaunchOptions(study=study, **mine)


@dataclass(frozen=True, kw_only=True)
class LaunchOptions(RunSettings):
    """The study to run, and its settings."""

    study: StudyFile


def launch(
    options: LaunchOptions,
    on_progress: Callable[[Progress], None],
    allocation: WorkerAllocation | None = None,
) -> LaunchResult:
    """Run workers until the study is finished, stopped, out of time or interrupted.

    A new study is created. Call it from the main thread, since it handles signals.

    Args:
        options: The study and its settings.
        on_progress: Called about twice a second, from the calling thread.
        allocation: What ``check_options`` returned; ``None``: it is called here.

    Raises:
        UserError: An option is out of bounds, or the stored study differs from ``options.study``.
    """
    allocation = allocation or check_options(options)
    database = Database(options.storage)
    try:
        ensure_tables(database)
        hit(FailPoint.TABLES_CREATED)
        stored = studies.attach(database, options.study)
        hit(FailPoint.STUDY_STORED)
        return supervise(database, stored, options, allocation, on_progress)
    finally:
        database.close()


def supervise(
    database: Database,
    stored: StoredStudy,
    options: LaunchOptions,
    allocation: WorkerAllocation,
    on_progress: Callable[[Progress], None],
) -> LaunchResult:
    """Run workers on a stored study, as ``launch`` does.

    Args:
        database: The database of the study.
        stored: The study.
        options: The same study as a study file, and its settings.
        allocation: The workers to begin with.
        on_progress: Called about twice a second, from the calling thread.
    """
    workers = WorkerOptions(
        study_name=stored.name,
        # The resolved URL: workers may run in another folder's process.
        storage=database.url.render_as_string(hide_password=False),
        device="cpu",  # each gets its own
        threads=allocation.threads,
        runs=options.runs.absolute(),
        data=options.data,
        lease_seconds=options.lease_seconds,
        checkpoint_seconds=options.checkpoint_seconds,
    )
    supervisor = Supervisor(
        database,
        stored,
        options.study,
        devices=allocation.devices,
        options=workers,
        autoscaler=allocation.autoscaler,
    )
    time_limit = options.timeout or options.study.budget.time
    return supervisor.run(on_progress, timeout=time_limit)


def check_options(options: LaunchOptions) -> WorkerAllocation:
    """Check the options of a launch and return the workers to begin with.

    Raises:
        UserError: An option is out of bounds, a device isn't there, or workers are to be started
            and the runs folder isn't writable.
    """
    allocation = allocate_workers(options.devices, options.workers, options.workers_per_gpu)
    if not SHORTEST_LEASE <= options.lease_seconds <= LONGEST_LEASE:
        raise UserError(
            f"a lease must last {SHORTEST_LEASE:g} to {LONGEST_LEASE:g} s, "
            f"but got {options.lease_seconds:g}"
        )
    if options.checkpoint_seconds < 0 or not math.isfinite(options.checkpoint_seconds):
        raise UserError(
            "the time between two checkpoints must be 0 s or more, "
            f"but got {options.checkpoint_seconds:g}"
        )
    if options.timeout is not None and options.timeout <= 0:
        raise UserError(f"--timeout must be more than 0 s, but got {options.timeout:g}")
    if options.workers != 0:
        require_writable(options.runs)
    return allocation


def require_writable(runs: Path) -> None:
    """Check that workers can write checkpoints to a runs folder, without creating anything.

    Raises:
        UserError: The folder isn't writable.
    """
    reason = why_unwritable(runs)
    if reason is not None:
        raise UserError(
            f"checkpoints are written into the runs folder {runs}, but it isn't writable "
            f"({reason}); give a writable folder with --runs or HPSEARCH_RUNS"
        )
