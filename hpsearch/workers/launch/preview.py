"""What a launch will do and cost, computed before anything is created.

``preview_launch`` needs torch, since it builds models. A launch itself needs none and calls it
through ``isolation``; objects that need torch are returned as bytes.
"""

from __future__ import annotations

import pickle
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from hpsearch.search.database.schema_version import ensure_tables, revision_of
from hpsearch.search.database.storage import Database
from hpsearch.search.ledger import queries, studies
from hpsearch.search.ledger.queries import Counts
from hpsearch.search.ledger.studies import StoredStudy
from hpsearch.search.pruning.forecast import completion, expected_complete
from hpsearch.search.pruning.promotion import Promotion, most_paused
from hpsearch.search.pruning.pruners import PRUNERS
from hpsearch.search.samplers import SAMPLERS
from hpsearch.study_file.study import StudyFile
from hpsearch.workers.devices import resolve_devices
from hpsearch.workers.launch.allocation import WorkerAllocation, allocate_workers
from hpsearch.workers.launch.launching import check_options
from hpsearch.workers.launch.probe import Probe, time_of
from hpsearch.workers.launch.timing import TimeRange
from hpsearch.workers.run_config import RunConfig
from hpsearch.workers.threads import crowding, others_on_this_host


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What a launch will do and cost, known before anything is created."""

    study: str
    #: The budget.
    trials: int
    epochs_per_trial: int
    #: Models of a trial, each trained for ``epochs_per_trial``: one per fold or split.
    trainings_per_trial: int = 1
    #: The maximum: pruning saves a part.
    epochs_total: int
    #: Trials that had ended before this launch.
    finished: int
    #: Searched parameters, all branches together.
    parameters: int
    #: Wall time if nothing is pruned, with one worker if none is started; ``None`` if it wasn't
    #: measured (``with_time``) or couldn't be.
    time: TimeRange | None
    #: The most that checkpoints and best weights take at one time.
    disk_bytes: int
    #: One entry per worker of this launch.
    devices: tuple[str, ...]
    #: The maximum over the sampled configurations.
    threads_per_worker: int
    #: The most workers that may share a device; ``None`` if their number is fixed.
    most_per_device: int | None
    #: Whether the study isn't in the database yet.
    new: bool
    #: The workers that ``launch`` begins with.
    allocation: WorkerAllocation
    #: About how many of the trials will complete, and what a report can show of them.
    completion: str
    #: Reasons for slow or unreliable results.
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class PendingPreview:
    """A preview without the time, and what is needed to measure it."""

    preview: Preview
    #: The sampled configurations.
    probe: Probe
    #: The most pieces in which a trial is trained: it pauses at each rung.
    pieces: int = 1


def preview_launch(study: StudyFile, run: RunConfig) -> PendingPreview:
    """Check everything that can be checked, and return what the launch will do.

    Only the data cache is created.

    Raises:
        UserError: Options, study, data or database don't allow this launch.
    """
    from hpsearch.workers.launch.estimate import sample

    allocation = check_options(run)
    SAMPLERS.build(study.sampler).check(study.space)
    stored, counts, others = _database_state(study, run.storage)
    if stored is not None:
        _require_same_images(study, run, stored)
    # If no worker is started here, the estimate is for one on this machine
    device = allocation.devices[0] if allocation.devices else resolve_devices(run.devices)[0]
    study_sample = sample(study, device=device, threads=allocation.threads, data=run.data)
    trials = study.budget.trials + (0 if stored is None else stored.granted)
    preview = Preview(
        study=study.name,
        trials=trials,
        epochs_per_trial=study.budget.epochs_per_trial,
        trainings_per_trial=study_sample.rounds,
        epochs_total=trials * study.budget.epochs_per_trial * study_sample.rounds,
        finished=0 if counts is None else counts.finished,
        completion=completion(
            expected_complete(PRUNERS.build(study.pruner), trials, study.budget.epochs_per_trial),
            trials,
        ),
        parameters=len(study.space.parameters()),
        time=None,
        disk_bytes=study_sample.checkpoint_bytes * allocation.count
        + _waiting_bytes(
            study, study_sample.checkpoint_bytes, workers=allocation.count, trials=trials
        ),
        devices=tuple(allocation.devices),
        most_per_device=None if allocation.autoscaler is None else allocation.autoscaler.most,
        threads_per_worker=max(
            (build_plan.threads for build_plan in study_sample.build_plans),
            default=allocation.threads,
        ),
        new=stored is None,
        allocation=allocation,
        warnings=tuple(filter(None, [_crowding(allocation, others)])),
    )
    probe = Probe(
        build_plans=pickle.dumps(study_sample.build_plans), plugins=study.plugins, data=run.data
    )
    return PendingPreview(preview=preview, probe=probe, pieces=_pieces(study))


def time_alone(study: StudyFile, *, data: Path | None) -> TimeRange | None:
    """Return how long one worker on this machine takes for all trials of a study.

    Returns:
        The range; ``None`` if nothing could be measured.
    """
    from hpsearch.workers.launch.estimate import sample

    allocation = allocate_workers("auto", 1, None)
    device = allocation.devices[0]
    study_sample = sample(study, device=device, threads=allocation.threads, data=data)
    return time_of(
        Probe(build_plans=pickle.dumps(study_sample.build_plans), plugins=study.plugins, data=data),
        trainings=study.budget.trials,
        epochs=study.budget.epochs_per_trial,
        workers=1,
        on_cpu=allocation.on_cpu,
        pieces=_pieces(study),
    )


def _pieces(study: StudyFile) -> int:
    pruner = PRUNERS.build(study.pruner)
    return (
        1 + len(pruner.rungs(study.budget.epochs_per_trial)) if isinstance(pruner, Promotion) else 1
    )


def _waiting_bytes(study: StudyFile, checkpoint_bytes: int, *, workers: int, trials: int) -> int:
    """Return the most disk space that checkpoints of trials that wait at a rung take.

    Args:
        study: The study file.
        checkpoint_bytes: The size of the checkpoints of one running trial.
        workers: How many workers run trials at once.
        trials: The study's budget.

    Returns:
        Bytes; 0 if no trial ever waits.
    """
    from hpsearch.workers.trial.run_folder import KEPT_CHECKPOINTS  # it imports torch

    pruner = PRUNERS.build(study.pruner)
    epochs = study.budget.epochs_per_trial
    if not isinstance(pruner, Promotion) or not pruner.rungs(epochs):
        return 0
    return min(trials, most_paused(workers)) * checkpoint_bytes // KEPT_CHECKPOINTS


def _require_same_images(study: StudyFile, run: RunConfig, stored: StoredStudy) -> None:
    from hpsearch.workers.trial.same_images import require_same_images

    with closing(Database(run.storage)) as database:
        require_same_images(database, stored, study, run.data)


def with_time(pending: PendingPreview) -> Preview:
    """Return the preview with the time that the launch will take, if it can be measured."""
    preview = pending.preview
    time_range = time_of(
        pending.probe,
        trainings=preview.trials - preview.finished,
        epochs=preview.epochs_per_trial,
        workers=preview.allocation.count,
        on_cpu=preview.allocation.on_cpu,
        pieces=pending.pieces,
    )
    return replace(preview, time=time_range)


def _crowding(allocation: WorkerAllocation, others: int) -> str | None:
    """Return a warning if other workers, or more workers than cores, will share the CPU."""
    on_cpu = allocation.devices.count("cpu")
    return crowding(on_cpu, others) if on_cpu else None


class _DatabaseState(NamedTuple):
    """What the database contains before a launch."""

    #: ``None`` if the study isn't there.
    stored: StoredStudy | None = None
    counts: Counts | None = None
    #: Workers of this host that train, for any study.
    others: int = 0


def _database_state(study: StudyFile, storage: str) -> _DatabaseState:
    """Return the study as it is in the database, without creating it.

    Tables of an older version are upgraded: studies can't be read before that.
    """
    database = Database(storage)
    try:
        if database.is_sqlite and not Path(str(database.url.database)).exists():
            return _DatabaseState()
        if database.read(revision_of) is None:
            return _DatabaseState()
        ensure_tables(database)
        stored = studies.find_or_none(database, study.name)
        others = len(others_on_this_host(database))
        if stored is None:
            return _DatabaseState(others=others)
        studies.require_same(stored, study)
        return _DatabaseState(stored, queries.counts(database, stored.study_id), others)
    finally:
        database.close()
