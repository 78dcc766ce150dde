"""One claimed trial, from its configuration to its end: the way of a trial in one file."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Mapping
from typing import Any, TypeAlias

from hpsearch.errors import (
    ConstraintBroken,
    DatabaseReplaced,
    InfeasibleConfig,
    LeaseLost,
    TrainingDiverged,
    UserError,
)
from hpsearch.kill_points import Step, passing
from hpsearch.registry import Component
from hpsearch.results import trial_attributes
from hpsearch.results.reasons import in_short, shortened
from hpsearch.search.ledger_types import Claim, TrialRow
from hpsearch.search.optuna_rows import constraint_attrs
from hpsearch.search.samplers import SAMPLERS
from hpsearch.search.storage import GaveUpWaiting
from hpsearch.search.suggest import DrawnTrial, draw_trial
from hpsearch.search.trust import START
from hpsearch.study_file.goals import Goals
from hpsearch.training.data.prepare import prepare
from hpsearch.workers.confirming.plan import planned_trial
from hpsearch.workers.devices import cores
from hpsearch.workers.gpu import require_sound
from hpsearch.workers.same_images import require_same_as_before
from hpsearch.workers.trial import memory, tracked
from hpsearch.workers.trial.attempt import Attempt
from hpsearch.workers.trial.bench import Bench, tidy
from hpsearch.workers.trial.blueprint import Blueprint, draw_up
from hpsearch.workers.trial.lease_keeper import LeaseKeeper

logger = logging.getLogger(__name__)

#: The trial's number, its parameters, and how it is built here.
Configured: TypeAlias = tuple[int, Mapping[str, Any], Blueprint]

#: Infeasible draws of one ticket, one after the other, before the space is called hopeless.
MAX_INFEASIBLE = 200

#: Characters of an error that the ledger keeps; of one that is cut, those of its beginning.
_ACCOUNT, _BEGINNING = 4000, 1500

_DAMAGED = (
    "the trial's stored configuration can't be read (hpsearch_tickets.params is damaged), so "
    "nobody can go on with it"
)

#: Draws where a study's own sampler keeps proposing what can't be built.
_CHANCE = SAMPLERS.build(Component("random"))


def run_trial(bench: Bench, claim: Claim) -> None:
    """Run a claimed trial until it ends, is paused, or belongs to another worker.

    Whatever the trial itself does wrong ends in the ledger. A ``UserError`` (data gone, a plug-in
    missing) would hit every trial: it gives the ticket back and is raised. ``DeviceUnusable`` is
    raised after the trial's failure is written: this process can't train any other.
    """
    passing(Step.CLAIMED)
    memory.measure_from_here(bench.device)
    keeper = LeaseKeeper(
        bench.ledger,
        claim,
        lease_seconds=bench.lease_seconds,
        leave=bench.leave,
        seen_stops=bench.seen_stops,
        trial_timeout=bench.study.budget.trial_timeout,
    )
    with keeper:
        try:
            _run(bench, claim, keeper)
        except LeaseLost as error:
            logger.warning("dropped: %s", error)
        finally:
            # Where the trial has ended, the trackers know already
            bench.tracking.end("paused")
    memory.give_back(bench.device)


def _run(bench: Bench, claim: Claim, keeper: LeaseKeeper) -> None:
    """Configure and train; what the trial does wrong is written to the ledger (``LeaseLost``)."""
    try:
        configured = _configure(bench, claim, keeper)
        if configured is not None:
            number, params, blueprint = configured
            tracked.begin(bench, claim, number, params, blueprint)
            Attempt(bench, claim, keeper, number, blueprint).run()
    except (LeaseLost, GaveUpWaiting, DatabaseReplaced):
        raise
    except UserError as error:
        bench.ledger.release(claim, f"{type(error).__name__}: {error}")
        raise
    except TrainingDiverged as error:
        # The same seed diverges again; trying once more would only cost.
        _fail(bench, claim, str(error), retry=False)
    except Exception as error:
        logger.warning("attempt failed", exc_info=error)
        told = _account(error)
        out_of_memory = memory.detect_out_of_memory(error, bench.device)
        if out_of_memory is None:
            _fail(bench, claim, told, retry=True)
            require_sound(bench.device)
            return
        memory.forget_frames(error)
        memory.free_caches()
        _fail(bench, claim, f"{out_of_memory}\n\n{told}", retry=True, out_of_memory=out_of_memory)


def _fail(
    bench: Bench,
    claim: Claim,
    error: str,
    *,
    retry: bool,
    out_of_memory: memory.OutOfMemory | None = None,
) -> None:
    passing(Step.ATTEMPT_FAILING)
    again = bench.ledger.fail(
        claim,
        error,
        retry=retry,
        at_most=None if out_of_memory is None else memory.ATTEMPTS,
        infeasible_attrs=None if out_of_memory is None else out_of_memory.attributes(),
    )
    passing(Step.ATTEMPT_FAILED)
    if not again:
        bench.tracking.end("failed")
        tidy(bench)


def _configure(bench: Bench, claim: Claim, keeper: LeaseKeeper) -> Configured | None:
    """Return the trial as it will be trained, drawing its configuration where it has none."""
    ledger = bench.ledger
    if claim.damaged:
        _fail(bench, claim, _DAMAGED, retry=False)
        return None
    if claim.params is not None and claim.number is not None:
        blueprint = _blueprint(
            bench, claim, keeper, claim.params, threads=_recorded_threads(bench, claim)
        )
        _require_same_images(bench, claim.params, blueprint)
        return claim.number, claim.params, blueprint
    if bench.study.confirms is not None:
        return _configure_planned(bench, claim, keeper)
    point, infeasible = claim.point, claim.infeasible
    while infeasible < MAX_INFEASIBLE:
        if bench.leave():
            # Two hundred draws may take longer than a worker has to leave.
            ledger.release(claim, "the worker was told to leave")
            return None
        try:
            drawn = draw_trial(
                bench.sampler,
                bench.study.space,
                bench.history,
                study_seed=bench.study.seed,
                ticket=claim.ticket,
                infeasible=infeasible,
                point=point,
                try_first=bench.study.try_first,
                chance=_CHANCE,
                starts=bench.starts,
            )
        except InfeasibleConfig as error:
            _fail(bench, claim, str(error), retry=False)
            return None
        if drawn is None:
            ledger.withdraw(claim)
            return None
        try:
            blueprint = _blueprint(bench, claim, keeper, drawn.params)
            _require_constraints(bench.study.goals, blueprint)
        except InfeasibleConfig as error:
            passing(Step.INFEASIBLE_DRAWN)
            violations = error.violations if isinstance(error, ConstraintBroken) else {}
            row = _row(drawn, {}, constraint_attrs(violations))
            point = ledger.infeasible(claim, row, str(error), nth=infeasible)
            passing(Step.INFEASIBLE_RECORDED)
            infeasible += 1
            continue
        _require_same_images(bench, drawn.params, blueprint)
        passing(Step.DRAWN)
        _, number = ledger.start(claim, _row(drawn, blueprint.attributes()))
        passing(Step.ROW_CREATED)
        return number, drawn.params, blueprint
    reason = (
        f"{MAX_INFEASIBLE} configurations in a row can't be built"
        + (" or break a constraint" if bench.study.goals.constraints else "")
        + "; narrow the study's space"
    )
    _fail(bench, claim, reason, retry=False)
    return None


def _configure_planned(bench: Bench, claim: Claim, keeper: LeaseKeeper) -> Configured | None:
    """Return what a confirmation's plan has for the ticket; nothing is drawn."""
    drawn = planned_trial(bench.ledger.database, bench.study, claim.ticket)
    try:
        blueprint = _blueprint(bench, claim, keeper, drawn.params)
    except InfeasibleConfig as error:
        # It could be built in the search; with this split it can't, and another isn't asked for
        _fail(bench, claim, str(error), retry=False)
        return None
    _require_same_images(bench, drawn.params, blueprint)
    passing(Step.DRAWN)
    _, number = bench.ledger.start(claim, _row(drawn, blueprint.attributes()))
    passing(Step.ROW_CREATED)
    return number, drawn.params, blueprint


def _recorded_threads(bench: Bench, claim: Claim) -> int | None:
    """Return the threads that a trial which goes on has had so far, if it can have them here.

    On a CPU another number would change the last digits: a resumed trial ends as one that nothing
    happened to.
    """
    if bench.threads.exact or bench.device != "cpu" or claim.trial_id is None:
        return None
    noted = trial_attributes.read(bench.ledger.database, claim.trial_id)
    threads = noted.get("threads")
    here = noted.get("device") == "cpu" and isinstance(threads, int) and 1 <= threads <= cores()
    return threads if here else None


def _blueprint(
    bench: Bench,
    claim: Claim,
    keeper: LeaseKeeper,
    params: Mapping[str, Any],
    *,
    threads: int | None = None,
) -> Blueprint:
    """Return how the trial is trained here, with ``threads`` or with this worker's share."""
    config = bench.study.trial_config(params, claim.ticket)
    # Preparing images may take its time, once for all trials; building a model must not.
    prepare(config.data, split_seed=config.split_seed, root=bench.data)
    with keeper.watching():
        return draw_up(
            config,
            device=bench.device,
            threads=bench.threads.now() if threads is None else threads,
            exact_threads=bench.threads.exact or threads is not None,
            data=bench.data,
        )


def _require_same_images(bench: Bench, params: Mapping[str, Any], blueprint: Blueprint) -> None:
    """Raise ``DataError`` if the study's other trials were trained on other images."""
    require_same_as_before(bench.ledger.database, bench.study.name, params, blueprint)


def _require_constraints(goals: Goals, blueprint: Blueprint) -> None:
    """Raise ``ConstraintBroken`` where what is known before training is out of bounds."""
    broken = goals.violated(blueprint.costs())
    if broken:
        raise ConstraintBroken("; ".join(broken), goals.violations(blueprint.costs()))


def _row(
    drawn: DrawnTrial,
    attributes: Mapping[str, Any],
    system_attrs: Mapping[str, Any] | None = None,
) -> TrialRow:
    origin: dict[str, Any] = {"try_first": True} if drawn.given else {}
    if drawn.start is not None:
        origin[START] = drawn.start
    return TrialRow(
        params=drawn.params,
        distributions=drawn.distributions,
        user_attrs={**attributes, **origin},
        system_attrs=system_attrs or {},
    )


def _account(error: BaseException) -> str:
    """Return the error's traceback, for `show`.

    Of a long one its type and the beginning of its message come first, then beginning and end.
    """
    told = "".join(traceback.format_exception(error))
    if len(told) <= _ACCOUNT:
        return told
    first = in_short("".join(traceback.format_exception_only(error)))
    return f"{first}\n\n{shortened(told, _ACCOUNT - len(first) - 2, beginning=_BEGINNING)}"
