"""One worker: claim a trial, run it, claim the next, until the study has no more."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from multiprocessing import parent_process
from types import FrameType

import optuna
import torch

from hpsearch import component_registries
from hpsearch.failpoints import FailPoint, hit
from hpsearch.leave_signals import leave_signals
from hpsearch.priors.making import starts_of
from hpsearch.search.database.schema_version import require_tables
from hpsearch.search.database.storage import Database, GaveUpWaiting, Patience
from hpsearch.search.history import TrialHistory, optuna_directions
from hpsearch.search.ledger import studies
from hpsearch.search.ledger.claims import Claims
from hpsearch.search.ledger.decision import AuditSample
from hpsearch.search.ledger.ledger import Ledger
from hpsearch.search.ledger.types import Claim, Idle, SearchRules
from hpsearch.search.pruning.pruners import PRUNERS
from hpsearch.search.samplers import SAMPLERS
from hpsearch.search.samplers.sampler import Sampler
from hpsearch.study_file.loading import study_from_document
from hpsearch.study_file.study import StudyFile
from hpsearch.tracking.tracking import Tracking
from hpsearch.workers.gpu import open_device
from hpsearch.workers.owners import new_owner
from hpsearch.workers.run_config import WorkerOptions
from hpsearch.workers.threads import ThreadShare
from hpsearch.workers.trial.context import WorkerContext, clean_up
from hpsearch.workers.trial.deadline_watch import DeadlineWatch
from hpsearch.workers.trial.following import Following
from hpsearch.workers.trial.planned import extend_budget_from_plan
from hpsearch.workers.trial.run_folder import RunFolder
from hpsearch.workers.trial.stop_rule import StopRule
from hpsearch.workers.trial.tracked import close_orphaned_runs
from hpsearch.workers.trial.trial_run import run_trial

logger = logging.getLogger(__name__)

#: Pause before the next claim while other workers have all trials that are left.
POLL_SECONDS = 0.5

#: How long a worker that was asked to stop waits for a busy database to release its ticket.
LAST_WORDS_SECONDS = 5.0

#: How long trackers may take to send their queues when the study is finished, and when the worker
#: was asked to stop: it must end before its launch kills it.
TRACKERS_AT_THE_END, TRACKERS_LEAVING = 30.0, 2.0


class StopSignal:
    """Whether a worker must stop: after a signal, its timeout or the end of its parent."""

    def __init__(self, timeout: float | None) -> None:
        # A plain flag, no threading.Event: a signal may interrupt the line that has its lock, and
        # the handler would never get it.
        self._signalled = False
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._parent = parent_process()
        self._requested_at: float | None = None

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        """Request a stop at the next batch; a handler for ``leave_signals``."""
        self._signalled = True

    def requested(self) -> bool:
        """Whether the worker must stop."""
        if self._requested_at is None and self._is_requested():
            self._requested_at = time.monotonic()
        return self._requested_at is not None

    def grace_over(self) -> bool:
        """Whether the time to wait for a busy database is over as well."""
        if not self.requested() or self._requested_at is None:
            return False
        return time.monotonic() - self._requested_at > LAST_WORDS_SECONDS

    def _is_requested(self) -> bool:
        if self._signalled:
            return True
        if self._deadline is not None and time.monotonic() >= self._deadline:
            return True
        # A supervisor that was killed can't stop its workers any more.
        return self._parent is not None and not self._parent.is_alive()

    def wait(self, seconds: float) -> None:
        """Sleep for ``seconds``, or until a signal comes."""
        until = time.monotonic() + seconds
        while not self._signalled and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, 0.05))


def search_rules(study: StudyFile, sampler: Sampler) -> SearchRules:
    """Return the rules of the study file that the ledger needs."""
    return SearchRules(
        metric=study.objective.metric,
        maximize=study.objective.direction == "maximize",
        best_epoch_counts=study.objective.at == "best",
        epochs_per_trial=study.budget.epochs_per_trial,
        pruner=PRUNERS.build(study.pruner),
        audit=AuditSample(study.pruner_audit, study.seed),
        is_enumerated=sampler.is_enumerated,
        goals=None if study.goals.is_single_unconstrained else study.goals,
    )


def run_worker(options: WorkerOptions) -> Idle | None:
    """Work until the study is finished or stopped, or this worker is asked to stop.

    Returns:
        Why nothing is left to claim; ``None`` if the worker was asked to stop.

    Raises:
        UserError: The study, its plug-ins or its data can't be reached from here.
        DeviceUnusable: The GPU doesn't compute, or stopped computing.
    """
    stop_signal = StopSignal(options.run.timeout)
    for number in leave_signals():
        signal.signal(number, stop_signal.on_signal)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # Each trial sets its own number; between trials there is too little to do for more
    torch.set_num_threads(1)
    open_device(options.device)
    if not options.database_was_there:
        with closing(Database(options.run.storage)) as at_the_start:
            require_tables(at_the_start)
    patience = Patience(seconds=float("inf"), interrupted=stop_signal.grace_over)
    database = Database(options.run.storage, patience)
    try:
        idle, workers = _work(options, database, stop_signal)
        if options.follows:
            return _follow(options, database, stop_signal, idle, workers)
        return idle
    except GaveUpWaiting:
        return None
    finally:
        database.close()


def _follow(
    options: WorkerOptions,
    database: Database,
    stop_signal: StopSignal,
    idle: Idle | None,
    workers: int,
) -> Idle | None:
    """Work on what follows a search under a deadline, as soon as its launch has planned it.

    So the confirmation needs neither new jobs of a cluster, which may wait in a queue, nor new
    processes, which must import torch.

    Args:
        options: The options of the worker, with the name of the search.
        database: The study's database.
        stop_signal: Whether the worker must leave.
        idle: Why nothing is left to claim in the search.
        workers: About how many workers trained.

    Returns:
        Why nothing is left to claim in any of them; ``None`` if the worker was asked to stop.
    """
    following = Following(database, options.study_name, workers)
    while idle in (Idle.OUT_OF_TIME, Idle.FINISHED):
        name = following.next_study(stop_signal.requested, stop_signal.wait)
        if name is None:
            return None if stop_signal.requested() else idle
        own = replace(options, study_name=name, seen_stops=None)
        idle, _ = _work(own, database, stop_signal)
    return idle


def _work(
    options: WorkerOptions, database: Database, stop_signal: StopSignal
) -> tuple[Idle | None, int]:
    """Return why nothing is left to claim, as ``run_worker``, and about how many workers train."""
    stored = studies.find(database, options.study_name)
    study = study_from_document(stored.document, component_registries.registries, text=stored.text)
    owner = options.owner or new_owner("worker")
    seen_stops = stored.stops if options.seen_stops is None else options.seen_stops
    sampler = SAMPLERS.build(study.sampler)
    rules = search_rules(study, sampler)
    watch = DeadlineWatch(database, stored, rules.rungs)
    watch.refresh()
    claims = Claims(
        database,
        stored.study_id,
        owner,
        lease_seconds=options.run.lease_seconds,
        seen_stops=seen_stops,
        needs_point=lambda ticket: sampler.is_enumerated and ticket > len(study.try_first),
        rules=rules,
        has_time=watch.allows,
    )
    context = WorkerContext(
        study=study,
        sampler=sampler,
        ledger=Ledger(database, stored.study_id, owner, rules),
        history=TrialHistory(
            database,
            stored.study_id,
            *optuna_directions(study.goals),
            partial=rules.promotion is not None,
        ),
        folder=RunFolder(options.run.runs, stored.name, stored.run_key),
        device=options.device,
        threads=ThreadShare(
            database=database, owner=owner, most=options.threads, exact=options.exact_threads
        ),
        run=options.run,
        seen_stops=seen_stops,
        leave=lambda: stop_signal.requested() or watch.is_over(),
        deadline=watch,
        starts=starts_of(study, data=options.run.data),
        tracking=Tracking(study.trackers),
    )
    idle = None
    try:
        idle = _pull(
            claims,
            stop_signal,
            lambda claim: run_trial(context, claim),
            lambda: (
                study.is_planned and extend_budget_from_plan(database, stored.name, watch.shorten)
            ),
            watch,
            StopRule(database, stored, is_on=study.budget.stops_by_itself),
        )
        if idle is Idle.FINISHED:
            hit(FailPoint.STUDY_FINISHED)
            clean_up(context)  # Dead and late workers leave files behind.
            close_orphaned_runs(context)
    finally:
        finished = idle is Idle.FINISHED
        context.tracking.close(TRACKERS_AT_THE_END if finished else TRACKERS_LEAVING)
    return idle, watch.workers


def _pull(
    claims: Claims,
    stop_signal: StopSignal,
    run: Callable[[Claim], None],
    more: Callable[[], bool],
    watch: DeadlineWatch,
    stop_rule: StopRule,
) -> Idle | None:
    """Run what can be claimed; when nothing is left, ``more`` returns whether there is new work."""
    while not stop_signal.requested():
        watch.refresh()
        stop_rule.apply()
        answer = claims.claim()
        watch.saw(claims.running + isinstance(answer, Claim))
        if isinstance(answer, Claim):
            stop_rule.saw(answer.ticket)
            run(answer)
        elif answer is Idle.WAIT:
            stop_signal.wait(POLL_SECONDS)
        elif answer in (Idle.STOPPED, Idle.OUT_OF_TIME) or not more():
            return answer
    return None
