"""Until when a study may train, from its deadline and what the ledger contains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from statistics import fmean

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from hpsearch.results.ablation.spec import timed_search
from hpsearch.results.ablation.stored import ablations
from hpsearch.results.confirmation.stored import newest
from hpsearch.results.deadline.costs import (
    EpochTime,
    quantile,
    spread_of,
    training_seconds,
)
from hpsearch.results.deadline.stages import STAGES, Measured, reserved_seconds
from hpsearch.results.deadline.stored import (
    Deadline,
    closing_of,
    deadline_of,
    search_of,
    stage_seconds,
)
from hpsearch.results.question import compared_values
from hpsearch.results.ranking import contenders
from hpsearch.results.records import StudyRecord, TrialRecord, read_study
from hpsearch.search.database.storage import Database
from hpsearch.search.database.tables import TicketState, epochs, events
from hpsearch.search.ledger import queries
from hpsearch.search.ledger.events import BEGINNINGS, EventKind
from hpsearch.search.ledger.studies import StoredStudy

#: Seconds for the report and the bundle before they were measured, and the multiple of what was
#: measured: another program may need the machine at the wrong moment.
UNKNOWN_REPORT, REPORT_MARGIN = 15.0, 1.5

#: The most of the time from the launch to the deadline that is kept for them.
MOST_FOR_REPORT = 0.25

#: Seconds of an attempt besides its epochs before they were measured.
_UNKNOWN_OVERHEAD = 0.5

#: The newest events from which that is measured.
_RECENT = 300

#: Epochs of a new trial are expected to take as long as this quantile of the trials' epochs.
_MOST = 0.8

#: Seconds before the deadline for what can't be estimated: a worker that leaves, a last write.
_SLACK = 2.0

#: Seconds from the last trial of a search to the first training of its confirmation: the launch
#: looks only now and then, and chooses the finalists.
_HANDOVER = 3.0

#: Seconds that the answer keeps free, or the share of its time, if that is more.
_ANSWER_SLACK, _ANSWER_SHARE = 5.0, 0.05

#: How far a slow epoch may run into the reserved time before it is interrupted, as a share of it.
_INTO_THE_RESERVE = 0.1


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What is known of a study under a deadline at one moment; moments in seconds since 1970."""

    #: When everything must be written.
    at: float
    #: Stage after the search -> estimated seconds.
    reserved: Mapping[str, float]
    #: When the search was ended for the deadline; ``None`` if it wasn't yet.
    closed_at: float | None
    #: The time of epochs of a trial that isn't known yet.
    epoch: EpochTime
    #: Seconds of an attempt besides its epochs.
    overhead: float
    #: Complete trials.
    complete: int = 0
    #: Trial number -> seconds of an epoch, of the trials that may be confirmed.
    epoch_seconds: Mapping[int, float] = field(default_factory=dict)

    @property
    def search_ends(self) -> float:
        """The moment at which the reserved time begins."""
        planned = self.at - sum(self.reserved.values()) - _SLACK - _HANDOVER
        return planned if self.closed_at is None else min(planned, self.closed_at)

    @property
    def search_is_cut(self) -> float:
        """The moment at which an epoch of the search that still runs is interrupted."""
        into = _INTO_THE_RESERVE * self.reserved.get("confirm", 0.0)
        return self.search_ends + into

    def training_ends(self, stage: str | None) -> float:
        """Return the moment at which a training that still runs is interrupted within its epoch.

        Args:
            stage: The stage that it belongs to; ``None`` for the search.
        """
        return self.search_is_cut if stage is None else self.ends_of(stage)

    @property
    def confirmation_ends(self) -> float:
        """The moment at which the last training of the confirmation must have ended."""
        return self.ends_of("confirm")

    @property
    def answer_ends(self) -> float:
        """The moment at which the last training of the answer must have ended."""
        return self.ends_of("answer")

    def ends_of(self, stage: str) -> float:
        """Return the moment at which a stage must have ended, so that later ones have their time.

        Args:
            stage: A stage after the search, in ``reserved`` or not.
        """
        order = [stage.name for stage in STAGES]
        later = order[order.index(stage) + 1 :]
        end = self.at - sum(self.reserved.get(name, 0.0) for name in later) - _SLACK
        if stage == "answer":  # it uses all of its time, and then its result is computed
            end -= max(_ANSWER_SLACK, _ANSWER_SHARE * self.reserved.get(stage, 0.0))
        return end

    def time_of(self, epochs: int, done: int = 0, seconds: float = 0.0) -> float:
        """Return about how long ``epochs`` more epochs of a trial take at most.

        Args:
            epochs: The number of epochs.
            done: Epochs that the trial has trained before.
            seconds: The seconds that these took.
        """
        mean = seconds / done if done and seconds > 0 else self.epoch.mean
        return training_seconds(
            EpochTime(mean=mean, spread=self.epoch.spread), epochs, overhead=self.overhead
        )


def is_over(forecast: Forecast | None, now: float) -> bool:
    """Whether a deadline has passed at ``now`` (seconds since 1970); not without a deadline."""
    return forecast is not None and forecast.at <= now


def next_goal(done: int, rungs: Sequence[int], last: int) -> int:
    """Return the epoch that makes more training worth it: the last rung, or the last epoch.

    Args:
        done: Epochs that the trial has trained.
        rungs: The epochs at which trials pause, ascending.
        last: Epochs of a whole trial.
    """
    return rungs[-1] if rungs and rungs[-1] > done else last


def read_forecast(
    database: Database, study: StoredStudy, *, now: float, workers: int
) -> Forecast | None:
    """Estimate until when a search and its confirmation may train.

    Args:
        database: The study's database.
        study: The search, or a planned study of it that keeps its deadline.
        now: Seconds since 1970.
        workers: How many workers train; at least those that run now are assumed.

    Returns:
        The forecast; ``None`` if the study has no deadline.
    """
    # Most studies have none, and reading all trials takes long
    deadline = deadline_of(database, study)
    if deadline is None:
        return None
    search = read_study(database, search_of(study) or study.name)
    estimate = forecast(database, search, deadline, now, workers)
    if search.study.study_id == study.study_id:
        return estimate
    # Its own epochs show better how long another training of it takes
    means = _epoch_means(read_study(database, study.name))
    mean = quantile(means, _MOST) if means else estimate.epoch.mean
    return replace(estimate, epoch=EpochTime(mean=mean, spread=estimate.epoch.spread))


def forecast(
    database: Database, record: StudyRecord, deadline: Deadline, now: float, workers: int
) -> Forecast:
    """Estimate until when a search and its confirmation may train.

    Args:
        database: The study's database.
        record: The search.
        deadline: Its deadline.
        now: Seconds since 1970.
        workers: How many workers train; at least those that run now are assumed.
    """
    workers = max(1, workers, record.counts.running)
    study_id = record.study.study_id
    overhead = _overhead(database, study_id)
    at = deadline.at
    if at is None:
        left = (deadline.worker_seconds or 0.0) - (
            seconds_used(database, record) - deadline.used_before
        )
        at = now + left / workers
    trained_trials = [
        trial for trial in record.trials if trial.epochs_done and trial.compute_seconds > 0
    ]
    means = _epoch_means(record)
    candidates = [
        trial for trial in _candidates(record, trained_trials) if trial.compute_seconds > 0
    ]
    sample = [trial.ticket for trial in candidates[:12]]
    curves = queries.curves(database, study_id, sample) if sample else {}
    spread = spread_of([[end.seconds for end in curve] for curve in curves.values()])
    total = record.study.epochs_per_trial
    settings = record.confirm

    def whole(trial: TrialRecord) -> float:
        mean = trial.compute_seconds / trial.epochs_done
        return training_seconds(EpochTime(mean=mean, spread=spread), total, overhead=overhead)

    first = next((trial for trial in trained_trials if trial.ticket == 1), None)
    has_try_first = bool(record.study.document.get("try_first"))
    report = stage_seconds(database, study_id, "report")
    measured = Measured(
        workers=workers,
        finalists=tuple(map(whole, candidates[: settings.top])),
        baseline=whole(first) if has_try_first and first is not None else None,
        confirm=settings,
        total=at - deadline.begun,
        values=compared_values(record) if "answer" in deadline.stages else 0,
        report=UNKNOWN_REPORT
        if report is None
        else min(
            1 + REPORT_MARGIN * report, max(UNKNOWN_REPORT, MOST_FOR_REPORT * (at - deadline.begun))
        ),
    )
    closing = closing_of(database, study_id, deadline)
    seconds = reserved_seconds(measured, deadline.stages)
    if record.goals.is_multi_objective:
        seconds["confirm"] = 0.0  # finalists are compared by one objective
    return Forecast(
        at=at,
        reserved=seconds,
        closed_at=None if closing is None else closing.moment,
        epoch=EpochTime(mean=quantile(means, _MOST) if means else 0.0, spread=spread),
        overhead=overhead,
        complete=record.counts.complete,
        epoch_seconds={
            trial.number: trial.compute_seconds / trial.epochs_done
            for trial in trained_trials
            if trial.number is not None
        },
    )


def _epoch_means(record: StudyRecord) -> list[float]:
    """Return the mean seconds of an epoch of each trial that has any."""
    return [
        trial.compute_seconds / trial.epochs_done
        for trial in record.trials
        if trial.epochs_done and trial.compute_seconds > 0
    ]


def seconds_used(database: Database, record: StudyRecord) -> float:
    """Return the seconds of training that a search and what follows it have used.

    Its newest confirmation follows it, and the ablations that keep its deadline.
    """
    confirmation = newest(database, record.study.name)
    timed = [
        read_study(database, ablation.name)
        for ablation in ablations(database, record.study.name)
        if timed_search(ablation) is not None
    ]
    planned = [*([] if confirmation is None else [confirmation]), *timed]
    return sum(_seconds_used(database, study) for study in [record, *planned])


def _seconds_used(database: Database, record: StudyRecord) -> float:
    attempts = sum(trial.attempts for trial in record.trials)
    overhead = _overhead(database, record.study.study_id) if attempts else 0.0
    return record.counts.compute_seconds + attempts * overhead


def _candidates(record: StudyRecord, trained_trials: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Return the trials that may be confirmed, best first; before there are any, all trials."""
    trials = [
        trial
        for trial in contenders(record)
        if trial.state is TicketState.COMPLETE or trial.rung is not None
    ]
    return trials or sorted(trained_trials, key=lambda trial: -trial.epochs_done)


def _overhead(database: Database, study_id: int) -> float:
    """Return the mean seconds of an attempt besides its epochs.

    The times of an attempt's first and last event are of one worker's clock. They are used for
    this estimate only.
    """
    ends = (EventKind.PAUSED, EventKind.COMPLETE, EventKind.PRUNED)
    recent = (
        sa.select(events.c.ticket, events.c.attempt, events.c.kind, events.c.at)
        .where(
            events.c.study_id == study_id,
            events.c.kind.in_([kind.value for kind in (*BEGINNINGS, *ends)]),
        )
        .order_by(events.c.event_id.desc())
        .limit(_RECENT)
    )

    def work(connection: Connection) -> list[float]:
        begun: dict[tuple[int, int], float] = {}
        took: dict[tuple[int, int], float] = {}
        for ticket, attempt, kind, at in reversed(connection.execute(recent).all()):
            key, moment = (ticket, attempt), datetime.fromisoformat(at).timestamp()
            if kind in BEGINNINGS:
                begun[key] = moment
            elif key in begun and key not in took:
                took[key] = moment - begun[key]
        if not took:
            return []
        query = (
            sa.select(epochs.c.ticket, epochs.c.attempt, sa.func.sum(epochs.c.seconds))
            .where(
                epochs.c.study_id == study_id,
                epochs.c.ticket.in_(sorted({ticket for ticket, _ in took})),
            )
            .group_by(epochs.c.ticket, epochs.c.attempt)
        )
        seconds = {(row[0], row[1]): float(row[2]) for row in connection.execute(query)}
        return [max(0.0, took[key] - seconds[key]) for key in took if key in seconds]

    overheads = database.read(work)
    return fmean(overheads) if overheads else _UNKNOWN_OVERHEAD
