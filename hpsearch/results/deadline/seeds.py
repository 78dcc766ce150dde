"""An ablation under a deadline gets as many seeds as there is time for.

The number follows from measured times alone, never from values. So nothing can add seeds until an
answer is the desired one, and the error rates stay those of a fixed number of seeds. For the same
reason, the time that a settled difference saves adds no seeds either.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from hpsearch.results.ablation.plan import FIRST_ROUND, progress
from hpsearch.results.ablation.spec import FEWEST_SEEDS, AblationSpec, spec_of
from hpsearch.results.ablation.stored import progress_of, trainings
from hpsearch.results.confirmation.plan import PlannedTraining
from hpsearch.results.deadline.costs import makespan
from hpsearch.results.deadline.forecast import Forecast
from hpsearch.results.deadline.trained import Begun, begun_of, epoch_mean, seconds_of_trainings
from hpsearch.results.records import StudyRecord, read_study
from hpsearch.search.database.storage import Database
from hpsearch.search.ledger import studies
from hpsearch.search.ledger.events import EventKind
from hpsearch.search.ledger.studies import StoredStudy


def seconds_for(
    spec: AblationSpec,
    begun: Begun,
    seconds: Mapping[int, float],
    seeds: int,
    *,
    epochs: int,
    workers: int,
) -> float:
    """Return how long an ablation takes until all its variants have ``seeds`` seeds.

    Args:
        spec: Its settings. What is settled counts as if it weren't.
        begun: What was trained before.
        seconds: Variant -> seconds of a whole training.
        seeds: The number of seeds.
        epochs: Epochs of a training.
        workers: How many workers train side by side.
    """
    lost = progress(spec, begun.outcomes).failed
    total, before = 0.0, 0
    looks = {look for look in spec.looks if look < seeds}
    for last in sorted({min(FIRST_ROUND, seeds), *looks, seeds}):  # workers wait between rounds
        entries = [
            PlannedTraining(trial=variant, seed=seed)
            for seed in range(before + 1, last + 1)
            for variant in range(len(spec.variants))
            if variant not in lost
        ]
        total += makespan(
            [
                seconds[entry.trial] * (1 - begun.epochs_done.get(entry, 0) / max(1, epochs))
                for entry in entries
                if entry not in begun.outcomes
            ],
            workers,
        )
        before = last
    return total


def seeds_in_time(
    spec: AblationSpec,
    begun: Begun,
    seconds: Mapping[int, float],
    *,
    epochs: int,
    workers: int,
    left: float,
) -> int:
    """Return the number of seeds that all variants can have in time.

    It is never lower than the seeds that have begun. It is higher than now only once all trainings
    that are planned have begun: until then nothing waits for more.

    Args:
        spec: The ablation's settings, whose ``most_seeds`` is set.
        begun: What was trained before.
        seconds: Variant -> seconds of a whole training.
        epochs: Epochs of a training.
        workers: How many workers train side by side.
        left: Seconds until the last training must have ended.
    """
    planned = progress(spec, begun.outcomes).planned
    reached = max((entry.seed for entry in planned[: begun.issued]), default=0)
    waits = begun.issued >= len(planned) and reached == spec.seeds
    least = max(FEWEST_SEEDS, reached)
    most = (spec.most_seeds or spec.seeds) if waits else spec.seeds
    for seeds in range(max(most, least), least, -1):
        needed = seconds_for(spec, begun, seconds, seeds, epochs=epochs, workers=workers)
        if needed <= left:
            return seeds
    return least


def complete_seeds(spec: AblationSpec, begun: Begun) -> int:
    """Return the number of seeds of which every planned training has ended."""
    planned = progress(spec, begun.outcomes).planned
    left = [entry.seed for entry in planned if entry not in begun.outcomes]
    return min(left, default=1 + max((entry.seed for entry in planned), default=0)) - 1


def fit_seeds(
    database: Database, name: str, forecast: Forecast, *, now: float, workers: int
) -> bool:
    """Change an ablation's number of seeds to what ends before ``forecast.answer_ends``.

    Args:
        database: The ablation's database.
        name: The ablation's name.
        forecast: That of its search.
        now: Seconds since 1970.
        workers: How many workers train.

    Returns:
        Whether it was changed.
    """
    record = read_study(database, name)
    spec, started = spec_of(record.study), trainings(record)
    if spec.most_seeds is None:
        return False
    begun = begun_of(record, started)
    searched = forecast.epoch_seconds.get(spec.trial, forecast.epoch.mean)
    usual = dict.fromkeys(range(len(spec.variants)), epoch_mean(started) or searched)
    seeds = seeds_in_time(
        spec,
        begun,
        seconds_of_trainings(record, started, usual, forecast),
        epochs=record.study.epochs_per_trial,
        workers=max(1, workers, record.counts.running),
        left=forecast.answer_ends - now,
    )
    return _store(database, record, replace(spec, seeds=seeds), begun)


def keep_complete_seeds(database: Database, name: str) -> bool:
    """Drop the seeds of an ablation that not every variant has; return whether that ends it.

    Args:
        database: The ablation's database.
        name: The ablation's name.
    """
    record = read_study(database, name)
    spec, begun = spec_of(record.study), _begun(record)
    seeds = complete_seeds(spec, begun)
    if spec.most_seeds is None or not FEWEST_SEEDS <= seeds < spec.seeds:
        return False
    return _store(database, record, replace(spec, seeds=seeds), begun)


def keep_deadline(database: Database, study: StoredStudy) -> StoredStudy:
    """Return an ablation that ends in time from now on, also if it was begun without a deadline.

    Args:
        database: The ablation's database.
        study: The ablation. If it had a fixed number of seeds, it gets no more than these.
    """
    while (spec := spec_of(study)).most_seeds is None:
        record = read_study(database, study.name)
        _change(database, record, replace(spec, most_seeds=spec.seeds), _begun(record))
        study = studies.find(database, study.name)
    return study


def _begun(record: StudyRecord) -> Begun:
    return begun_of(record, trainings(record))


def _store(database: Database, record: StudyRecord, spec: AblationSpec, begun: Begun) -> bool:
    """Write the settings, if they differ; return whether they were written."""
    if spec.seeds == spec_of(record.study).seeds or progress_of(record).due is not None:
        return False
    return _change(database, record, spec, begun)


def _change(database: Database, record: StudyRecord, spec: AblationSpec, begun: Begun) -> bool:
    return studies.change_plan(
        database,
        record.study,
        {"ablates": spec.to_document()},
        trainings=len(progress(spec, begun.outcomes).planned),
        issued=begun.issued,
        kind=EventKind.SEEDS_CHANGED,
        detail={"before": spec_of(record.study).seeds, "now": spec.seeds},
    )
