"""What a launch shows while it runs, read from the ledger."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from hpsearch.metrics import MetricFormat
from hpsearch.results.ablation import stored as ablation
from hpsearch.results.ablation.sentences import variant_names
from hpsearch.results.ablation.spec import spec_of
from hpsearch.results.confirmation.stored import (
    expected_trainings,
    is_confirmation,
    progress_of,
    trainings,
)
from hpsearch.results.error_text import first_line
from hpsearch.results.ranking import leader
from hpsearch.results.records import StudyRecord, TrialRecord, read_study
from hpsearch.search.database.storage import Database
from hpsearch.search.database.tables import TicketState
from hpsearch.search.ledger.events import Event, EventKind, event_log, newest_event_id
from hpsearch.search.ledger.queries import Counts
from hpsearch.search.ledger.seen_events import SameLedger
from hpsearch.search.ledger.studies import StoredStudy
from hpsearch.study_file.study import StudyFile
from hpsearch.workers.launch.timing import ERRORS, TimeRange
from hpsearch.workers.owners import host_of

#: The span over which epochs per second are averaged.
RATE_WINDOW_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class WorkerStatus:
    """One worker and what it is doing, on any host."""

    owner: str
    #: ``None`` for a worker that another launch started.
    pid: int | None
    device: str
    #: "training", "starting" or "idle".
    state: str
    ticket: int | None = None
    number: int | None = None
    #: Epochs done of its current trial.
    epoch: int | None = None


@dataclass(frozen=True, kw_only=True)
class Progress:
    """The state of a running launch at one moment."""

    counts: Counts
    budget_trials: int
    epochs_per_second: float
    #: Low: pruning saves as many epochs as so far; high: no more trial is pruned. ``None`` before
    #: the first epoch.
    seconds_left: TimeRange | None
    #: Number and value of the best trial so far, complete or waiting at a rung.
    best: tuple[int, float] | None
    workers: tuple[WorkerStatus, ...]
    #: One line for each event since the last look.
    messages: tuple[str, ...]
    #: Seconds since the launch began.
    elapsed: float
    #: The study's deadline in a sentence; ``None`` without one.
    deadline: str | None = None

    @property
    def has_no_best(self) -> bool:
        """Whether trials are complete and none is the best: an ablation compares them."""
        return self.best is None and self.counts.complete > 0


class ProgressReader:
    """Reads a study's ledger repeatedly."""

    def __init__(self, database: Database, stored: StoredStudy, study: StudyFile) -> None:
        self._database = database
        self._stored = stored
        self._study = study
        self._started = time.monotonic()
        self._same = SameLedger(database, stored)
        self._same.require()
        self._last_event_id = newest_event_id(database, stored.study_id)
        self._rates: deque[tuple[float, int]] = deque()

    def look(self, local: Iterable[WorkerStatus]) -> Progress:
        """Return the state now; ``local`` are this launch's living workers.

        Raises:
            DatabaseReplaced: The event log has lost events: the database is now an older copy.
        """
        study_id = self._stored.study_id
        self._same.require()
        record = read_study(self._database, self._stored.name)
        counts, trials = record.counts, record.trials
        events = event_log(self._database, study_id, after=self._last_event_id)
        if events:
            self._last_event_id = events[-1].event_id
        now = time.monotonic()
        rate = self._rate(now, counts.epochs_run)
        names = _names(record)
        return Progress(
            counts=counts,
            budget_trials=record.study.trial_budget,
            epochs_per_second=rate,
            seconds_left=self._seconds_left(record, rate),
            best=_leader(record),
            workers=_statuses(list(trials), list(local)),
            messages=tuple(filter(None, (self._line(event, names) for event in events))),
            elapsed=now - self._started,
        )

    def _rate(self, now: float, epochs: int) -> float:
        self._rates.append((now, epochs))
        while now - self._rates[0][0] > RATE_WINDOW_SECONDS:
            self._rates.popleft()
        (then, before) = self._rates[0]
        return (epochs - before) / (now - then) if now > then else 0.0

    def _seconds_left(self, record: StudyRecord, rate: float) -> TimeRange | None:
        """Return the time left at ``rate`` epochs per second, with the error of trials to come."""
        if rate <= 0:
            return None
        least, most = self._epochs_left(record)
        error = _relative_error(
            [
                trial.compute_seconds / trial.epochs_done
                for trial in record.trials
                if trial.epochs_done
            ]
        )
        return TimeRange(low=least / rate / (1 + error), high=most / rate * (1 + error))

    def _epochs_left(self, record: StudyRecord) -> tuple[float, float]:
        """Return the epochs left if trials end as early as so far, and if none ends early."""
        per_trial = self._study.budget.epochs_per_trial
        trials = record.trials
        budget = record.study.trial_budget
        if is_confirmation(record.study):  # its budget covers only the rounds planned so far
            budget = max(budget, expected_trainings(record))
        elif ablation.ablated_search(record.study) is not None:
            budget = max(budget, spec_of(record.study).trainings)
        lengths = [trial.epochs_done for trial in trials if trial.state.is_finished or trial.waits]
        usual = fmean(lengths) if lengths else per_trial
        trials_left = max(0, budget - len(trials))
        begun = [
            trial.epochs_done for trial in trials if not trial.state.is_finished and not trial.waits
        ]
        least = trials_left * usual + sum(max(0.0, usual - done) for done in begun)
        return least, trials_left * per_trial + sum(per_trial - done for done in begun)

    def _line(self, event: Event, names: Mapping[int, str]) -> str | None:
        name = names.get(event.ticket or 0, f"ticket {event.ticket}")
        try:
            return self._message(event, name)
        except (KeyError, TypeError, ValueError):
            return f"{name}: {event.kind} (its details are damaged in the database)"

    def _message(self, event: Event, name: str) -> str | None:
        detail = event.detail
        match event.kind:
            case EventKind.PRUNED if detail.get("waited", False):
                return None  # many at once; the last lines of the launch show how many
            case EventKind.COMPLETE | EventKind.PRUNED:
                verb = "finished" if event.kind == EventKind.COMPLETE else "pruned"
                metric = self._study.objective.metric
                written = MetricFormat(metric).value(detail["value"])
                return f"{name} {verb} at epoch {detail['epoch']} ({metric} {written})"
            case EventKind.INFEASIBLE:
                return f"trial {detail['trial']} can't be trained: {detail['reason']}"
            case EventKind.FAILED:
                return f"{name} failed: {first_line(detail['error'])}"
            case EventKind.ATTEMPT_FAILED | EventKind.WORKER_DIED | EventKind.LEASE_EXPIRED if (
                detail["retry"]
            ):
                return f"{name} was interrupted ({first_line(detail['error'])})"
            case EventKind.PAUSED:
                metric = self._study.objective.metric
                written = MetricFormat(metric).value(detail["value"])
                return f"{name} is paused at epoch {detail['epoch']} ({metric} {written})"
            case EventKind.RESUMED if "promoted_from" in detail:
                return f"{name} is promoted and continues after epoch {detail['promoted_from']}"
            case EventKind.RESUMED:
                return f"{name} continues after epoch {detail['checkpoint_epoch'] or 0}"
            case EventKind.INVALIDATED:
                return f"{name} was declared invalid: {detail['reason']}"
            case EventKind.REINSTATED:
                return f"{name} is valid again"
            case EventKind.RELEASED:
                return f"{name} paused ({detail['reason']})"
            case EventKind.CHECKPOINT_SKIPPED:
                return (
                    f"{name}: no disk space for a checkpoint at epoch {detail['epoch']}; "
                    "training continues"
                )
            case EventKind.WAITING_FOR_MEMORY:
                free, needed = detail["free_bytes"] / 1e9, detail["needed_bytes"] / 1e9
                return f"{name} waits for GPU memory: {free:.1f} GB are free, it needs {needed:.1f}"
            case EventKind.WRITE_REFUSED:
                return f"{name}: a late worker's write was refused"
            case _:
                return None


def _relative_error(costs: Sequence[float]) -> float:
    """Return the error of the mean of ``costs``, as a share of the mean."""
    if len(costs) < 2:
        return 1.0  # the spread of one trial is unknown
    return ERRORS * stdev(costs) / (math.sqrt(len(costs)) * max(fmean(costs), 1e-9))


def _statuses(trials: list[TrialRecord], local: list[WorkerStatus]) -> tuple[WorkerStatus, ...]:
    """Join this launch's workers, and the owners of other running trials, with their trials."""
    running = {trial.owner: trial for trial in trials if trial.state is TicketState.RUNNING}
    workers = {worker.owner: worker for worker in local}
    for owner in running:
        if owner is not None and owner not in workers:
            device = f"on {host_of(owner) or owner}"
            workers[owner] = WorkerStatus(owner=owner, pid=None, device=device, state="idle")
    statuses = []
    for owner, worker in workers.items():
        ticket = running.get(owner)
        if ticket is None:
            statuses.append(worker)
            continue
        statuses.append(
            WorkerStatus(
                owner=owner,
                pid=worker.pid,
                device=worker.device,
                state="training",
                ticket=ticket.ticket,
                number=ticket.number,
                epoch=ticket.epochs_done,
            )
        )
    return tuple(statuses)


def _names(record: StudyRecord) -> dict[int, str]:
    """Return ticket -> its trial's name in messages."""
    if is_confirmation(record.study):
        return {
            trial.ticket: f"trial {entry.trial} with seed {entry.seed}"
            for entry, trial in trainings(record).items()
        }
    if ablation.ablated_search(record.study) is not None:
        names = variant_names(spec_of(record.study))
        return {
            trial.ticket: f"{names[entry.trial]}, seed {entry.seed}"
            for entry, trial in ablation.trainings(record).items()
        }
    return {
        trial.ticket: f"trial {trial.number}" for trial in record.trials if trial.number is not None
    }


def _leader(record: StudyRecord) -> tuple[int, float] | None:
    """Return number and value of the best trial so far; in a confirmation the finalist's mean."""
    if is_confirmation(record.study):
        first = progress_of(record).standings[0]
        return None if first.mean is None else (first.trial, first.mean)
    if ablation.ablated_search(record.study) is not None:
        return None
    winner = leader(record)
    if winner is None or winner.number is None or winner.value is None:
        return None
    return winner.number, winner.value
