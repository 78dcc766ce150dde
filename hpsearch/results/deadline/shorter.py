"""A confirmation that would be late gets fewer seeds, so that it ends in time.

What was trained stays: a selection is shortened after the rounds that have begun, and the report
after the seeds that have begun. So a known ticket keeps its place in the plan.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from hpsearch.results.confirmation.plan import TrainingResult, progress
from hpsearch.results.confirmation.spec import (
    FIRST_ROUND,
    ConfirmationSpec,
    Shortened,
    spec_of,
)
from hpsearch.results.confirmation.stored import trainings
from hpsearch.results.deadline.costs import makespan
from hpsearch.results.deadline.forecast import Forecast
from hpsearch.results.deadline.trained import Begun, begun_of, seconds_of_trainings
from hpsearch.results.records import StudyRecord, read_study
from hpsearch.search.database.storage import Database
from hpsearch.search.ledger import studies
from hpsearch.search.ledger.events import EventKind

#: The fewest seeds of the report: one alone has no interval.
FEWEST_REPORTED = 2


def seconds_left(
    spec: ConfirmationSpec, begun: Begun, seconds: Mapping[int, float], *, epochs: int, workers: int
) -> float:
    """Return how long the rest of a confirmation takes if no other finalist is dropped.

    Args:
        spec: Its settings.
        begun: What was trained before.
        seconds: Trial -> seconds of a whole training.
        epochs: Epochs of a training.
        workers: How many workers train side by side.
    """
    assumed, total = dict(begun.outcomes), 0.0
    otherwise = max(seconds.values(), default=0.0)
    while not (now := progress(spec, assumed)).finished:
        means = [rank.mean for rank in now.standings if rank.mean is not None]
        level = means[0] if means else 0.0
        left = [entry for entry in now.planned if entry not in assumed]
        total += makespan(
            [
                seconds.get(entry.trial, otherwise)
                * (1 - begun.epochs_done.get(entry, 0) / max(1, epochs))
                for entry in left
            ],
            workers,
        )
        assumed |= {entry: TrainingResult(value=level) for entry in left}
    return total


def shorter_specs(spec: ConfirmationSpec, begun: Begun) -> Iterator[ConfirmationSpec]:
    """Yield the settings with fewer and fewer seeds that contain every training that has begun."""
    now = progress(spec, begun.outcomes)
    issued = now.planned[: begun.issued]
    used = max((entry.seed for entry in issued if entry.seed <= spec.seeds), default=0)
    reported = max((entry.seed - spec.seeds for entry in issued), default=0)
    # Once the report has begun, its place in the plan is fixed
    fixed = len(spec.selection_seeds) if now.winner is not None else None
    least = max(FIRST_ROUND, used if fixed is None else fixed)
    fewest = max(FEWEST_REPORTED, reported)
    for number in range(spec.seeds, 0, -1):
        selection = max(least, min(number, len(spec.selection_seeds)))
        report = max(fewest, min(number, len(spec.report_seeds)))
        shorter = replace(spec, shortened=Shortened(selection=selection, report=report))
        if (selection, report) != (len(spec.selection_seeds), len(spec.report_seeds)):
            yield shorter
        if (selection, report) == (least, fewest):
            return


def spec_in_time(
    spec: ConfirmationSpec,
    begun: Begun,
    seconds: Mapping[int, float],
    *,
    epochs: int,
    workers: int,
    left: float,
) -> ConfirmationSpec | None:
    """Return settings with fewer seeds that end in time, or the smallest there are.

    Args:
        spec: The settings.
        begun: What was trained before.
        seconds: Trial -> seconds of a whole training.
        epochs: Epochs of a training.
        workers: How many workers train side by side.
        left: Seconds until the confirmation must have ended.

    Returns:
        The settings; ``None`` if the present ones fit, or no smaller ones are possible.
    """
    if seconds_left(spec, begun, seconds, epochs=epochs, workers=workers) <= left:
        return None
    smallest = None
    for smallest in shorter_specs(spec, begun):
        if seconds_left(smallest, begun, seconds, epochs=epochs, workers=workers) <= left:
            break
    return smallest


def cut(spec: ConfirmationSpec, begun: Begun) -> ConfirmationSpec | None:
    """Return the settings that need only what has ended; ``None`` if that isn't enough.

    It is enough if a winner is chosen and has two seeds of the report, with those that it is
    compared with.
    """
    now = progress(spec, begun.outcomes)
    if now.winner is None or now.finished:
        return None
    open_ones = [entry.seed for entry in now.planned if entry not in begun.outcomes]
    report = min(open_ones) - 1 - spec.seeds
    if report < FEWEST_REPORTED:
        return None
    shortened = Shortened(selection=len(spec.selection_seeds), report=report)
    return replace(spec, shortened=shortened)


def shorten_if_late(
    database: Database, name: str, forecast: Forecast, *, now: float, workers: int
) -> bool:
    """Lower the seeds of a confirmation that would end after ``forecast.confirmation_ends``.

    Args:
        database: The confirmation's database.
        name: The confirmation's name.
        forecast: That of its search.
        now: Seconds since 1970.
        workers: How many workers train.

    Returns:
        Whether it was changed.
    """
    record = read_study(database, name)
    spec, started = spec_of(record.study), trainings(record)
    begun = begun_of(record, started)
    usual = {trial: forecast.epoch_seconds.get(trial, forecast.epoch.mean) for trial in spec.params}
    shorter = spec_in_time(
        spec,
        begun,
        seconds_of_trainings(record, started, usual, forecast),
        epochs=record.study.epochs_per_trial,
        workers=max(1, workers, record.counts.running),
        left=forecast.confirmation_ends - now,
    )
    return shorter is not None and _store(database, record, shorter, begun)


def cut_to_what_ended(database: Database, name: str) -> bool:
    """Drop the seeds of the report that haven't ended; return whether that ends a confirmation."""
    record = read_study(database, name)
    begun = begun_of(record, trainings(record))
    shorter = cut(spec_of(record.study), begun)
    return shorter is not None and _store(database, record, shorter, begun)


def _store(database: Database, record: StudyRecord, spec: ConfirmationSpec, begun: Begun) -> bool:
    """Write the settings, unless another training has begun; return whether they were written."""
    planned = len(progress(spec, begun.outcomes).planned)
    study, before = record.study, spec_of(record.study)
    rule = (
        f"{before.rule.partition(_NOTE)[0]}{_NOTE}{len(spec.selection_seeds)} of {spec.seeds} "
        f"seeds choose and {len(spec.report_seeds)} of {spec.seeds} report"
    )
    return studies.change_plan(
        database,
        study,
        {"confirms": replace(spec, rule=rule).to_document()},
        trainings=planned,
        issued=begun.issued,
        kind=EventKind.PLAN_SHORTENED,
        detail={"selection": len(spec.selection_seeds), "report": len(spec.report_seeds)},
    )


#: How the note begins that a shortened confirmation adds to its rule.
_NOTE = "; to end before the deadline, "
