"""A launch: what it is, what it will cost, and running it to its end."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hpsearch.errors import UserError
from hpsearch.kill_points import Step, passing
from hpsearch.search import ledger_reads, studies
from hpsearch.search.ledger_reads import Counts
from hpsearch.search.samplers import SAMPLERS
from hpsearch.search.schema_version import ensure_tables, require_tables, revision_of
from hpsearch.search.storage import Database
from hpsearch.search.studies import StoredStudy
from hpsearch.study_file.study import StudyFile
from hpsearch.workers.devices import resolve_devices
from hpsearch.workers.estimate import Estimate, estimate
from hpsearch.workers.progress import Progress
from hpsearch.workers.staffing import Staff, staff
from hpsearch.workers.supervisor import Outcome, Supervisor
from hpsearch.workers.worker import WorkerOptions

#: Seconds that lease and checkpoint intervals may have.
SHORTEST_LEASE, LONGEST_LEASE = 0.5, 3600.0


@dataclass(frozen=True, kw_only=True)
class LaunchOptions:
    """What to run and how."""

    study: StudyFile
    storage: str
    #: 0 stores the study for workers that attach by themselves; ``None``: as many as pay.
    workers: int | None
    devices: str = "auto"
    workers_per_gpu: int | None = None
    #: Seconds; running trials are paused then.
    timeout: float | None = None
    lease_seconds: float = 30.0
    checkpoint_seconds: float = 30.0
    runs: Path = Path("runs")
    data: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What a launch will do and cost, known before anything is created."""

    study: str
    #: The budget.
    trials: int
    epochs_per_trial: int
    #: At most: pruning saves a part.
    epochs_total: int
    #: Trials that had ended before this launch.
    finished: int
    #: Searched parameters, all branches together.
    parameters: int
    #: Wall time if nothing is pruned (of one worker where there are none); ``None`` where it
    #: couldn't be measured.
    seconds: float | None
    #: Checkpoints and best weights at one time.
    disk_bytes: int
    #: One entry per worker of this launch.
    devices: tuple[str, ...]
    threads_per_worker: int
    #: How many workers may come to share a device; ``None`` where their number is fixed.
    most_per_device: int | None
    #: Whether the database doesn't know the study yet.
    new: bool


def preview(options: LaunchOptions) -> Preview:
    """Check everything that can be checked, and say what the launch will cost.

    Nothing is created but the data cache.

    Raises:
        UserError: options, study, data or database don't allow this launch.
    """
    study = options.study
    crew = check_options(options)
    SAMPLERS.build(study.sampler).check(study.space)
    stored, counts = _stored(options)
    # Where no worker is started here, one on this machine stands for those elsewhere
    device = crew.devices[0] if crew.devices else resolve_devices(options.devices)[0]
    cost: Estimate = estimate(
        study, device=device, threads=crew.threads, data=options.data, apart=True
    )
    finished = 0 if counts is None else counts.finished
    open_trials = max(0, study.budget.trials - finished)
    epochs_left = open_trials * study.budget.epochs_per_trial
    seconds = None
    if cost.epoch_seconds is not None:
        seconds = epochs_left * cost.epoch_seconds / min(crew.count, max(1, open_trials))
    return Preview(
        study=study.name,
        trials=study.budget.trials,
        epochs_per_trial=study.budget.epochs_per_trial,
        epochs_total=study.budget.trials * study.budget.epochs_per_trial,
        finished=finished,
        parameters=len(study.space.parameters()),
        seconds=seconds,
        disk_bytes=cost.checkpoint_bytes * crew.count,
        devices=tuple(crew.devices),
        most_per_device=None if crew.packing is None else crew.packing.most,
        threads_per_worker=crew.threads,
        new=stored is None,
    )


def launch(options: LaunchOptions, on_progress: Callable[[Progress], None]) -> Outcome:
    """Run workers until the study is finished, stopped, out of time or interrupted.

    Creates the study where it is new. ``on_progress`` is called about twice a second, from the
    calling thread, which must be the main one (signals).
    """
    crew = check_options(options)
    database = Database(options.storage)
    try:
        ensure_tables(database)
        passing(Step.TABLES_CREATED)
        stored = studies.attach(database, options.study)
        passing(Step.STUDY_STORED)
        return supervise(database, stored, options, crew, on_progress)
    finally:
        database.close()


def supervise(
    database: Database,
    stored: StoredStudy,
    options: LaunchOptions,
    crew: Staff,
    on_progress: Callable[[Progress], None],
) -> Outcome:
    """Run ``crew`` on a stored study, ``options.study``, as ``launch`` does."""
    workers = WorkerOptions(
        study_name=stored.name,
        # The resolved URL: workers may run in another folder's process.
        storage=database.url.render_as_string(hide_password=False),
        device="cpu",  # each gets its own
        threads=crew.threads,
        runs=options.runs.absolute(),
        data=options.data,
        lease_seconds=options.lease_seconds,
        checkpoint_seconds=options.checkpoint_seconds,
    )
    supervisor = Supervisor(
        database,
        stored,
        options.study,
        devices=crew.devices,
        options=workers,
        packing=crew.packing,
    )
    time_limit = options.timeout or options.study.budget.time
    return supervisor.run(on_progress, timeout=time_limit)


def check_options(options: LaunchOptions) -> Staff:
    """Return the workers to begin with. Raises ``UserError`` where an option is out of bounds."""
    crew = staff(options.devices, options.workers, options.workers_per_gpu)
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
    return crew


def _stored(options: LaunchOptions) -> tuple[StoredStudy | None, Counts | None]:
    """Return the study as the database knows it, creating nothing."""
    database = Database(options.storage)
    try:
        if database.is_sqlite and not Path(str(database.url.database)).exists():
            return None, None
        if database.read(revision_of) is None:
            return None, None
        require_tables(database)
        stored = studies.find_or_none(database, options.study.name)
        if stored is None:
            return None, None
        studies.require_same(stored, options.study)
        return stored, ledger_reads.counts(database, stored.study_id)
    finally:
        database.close()
