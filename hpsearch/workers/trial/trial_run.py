"""One claimed trial, from its configuration to its end."""

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
from hpsearch.failpoints import FailPoint, hit
from hpsearch.registry import Component
from hpsearch.results import trial_attributes
from hpsearch.results.error_text import first_line, shorten
from hpsearch.search.database.optuna_rows import constraint_attrs
from hpsearch.search.database.storage import GaveUpWaiting
from hpsearch.search.ledger.types import Claim, TrialRow
from hpsearch.search.samplers import SAMPLERS
from hpsearch.search.suggest import DrawnTrial, draw_trial
from hpsearch.search.trust import GUESSED, START
from hpsearch.study_file.goals import Goals
from hpsearch.training.data.prepare import prepare
from hpsearch.workers.devices import cores
from hpsearch.workers.gpu import require_sound
from hpsearch.workers.trial import memory, tracked
from hpsearch.workers.trial.attempt import Attempt
from hpsearch.workers.trial.build_plan import BuildPlan, LoopBuildPlan, plan_build
from hpsearch.workers.trial.context import WorkerContext, clean_up
from hpsearch.workers.trial.lease_keeper import LeaseKeeper
from hpsearch.workers.trial.planned import planned_trial

logger = logging.getLogger(__name__)

#: The trial's number, its parameters, and how it is built here.
TrialSetup: TypeAlias = tuple[int, Mapping[str, Any], BuildPlan | LoopBuildPlan]

#: Infeasible draws in a row for one ticket, after which its trial fails.
MAX_INFEASIBLE = 200

#: Characters of an error that the ledger keeps, and those of its beginning if it is cut.
_ACCOUNT, _BEGINNING = 4000, 1500

_DAMAGED = (
    "the trial's stored configuration can't be read (hpsearch_tickets.params is damaged), so the "
    "trial can't continue"
)

#: Draws if the study's sampler repeatedly proposes configurations that can't be built.
_CHANCE = SAMPLERS.build(Component("random"))


def run_trial(context: WorkerContext, claim: Claim) -> None:
    """Run a claimed trial until it ends, is paused, or belongs to another worker.

    Failures of the trial itself are written to the ledger.

    Raises:
        UserError: An error that every trial would have, such as missing data; the ticket is
            released.
        DeviceUnusable: This process can't train any more; the trial's failure is written before.
        GaveUpWaiting: The database can't be reached, and the worker was asked to stop.
        DatabaseReplaced: The database isn't the one that was opened.
    """
    hit(FailPoint.CLAIMED)
    memory.measure_from_here(context.device)
    keeper = LeaseKeeper(
        context.ledger,
        claim,
        lease_seconds=context.run.lease_seconds,
        leave=context.leave,
        seen_stops=context.seen_stops,
        trial_timeout=context.study.budget.trial_timeout,
        after_renewal=context.deadline.refresh if context.deadline else lambda: None,
    )
    with keeper:
        try:
            _run(context, claim, keeper)
        except LeaseLost as error:
            logger.warning("dropped: %s", error)
        finally:
            # No effect if the trial has ended: the trackers have its end already
            context.tracking.end("paused")
    memory.give_back(context.device)


def _run(context: WorkerContext, claim: Claim, keeper: LeaseKeeper) -> None:
    """Configure and train; failures of the trial are written to the ledger."""
    try:
        setup = _configure(context, claim, keeper)
        if setup is not None:
            number, params, build_plan = setup
            tracked.begin(context, claim, number, params, build_plan)
            Attempt(context, claim, keeper, number, build_plan).run()
    except (LeaseLost, GaveUpWaiting, DatabaseReplaced):
        raise
    except UserError as error:
        context.ledger.release(claim, f"{type(error).__name__}: {error}")
        raise
    except TrainingDiverged as error:
        # With the same seed it would diverge again.
        _fail(context, claim, str(error), retry=False)
    except Exception as error:
        logger.warning("attempt failed", exc_info=error)
        account = _account(error)
        out_of_memory = memory.detect_out_of_memory(error, context.device)
        if out_of_memory is None:
            _fail(context, claim, account, retry=True)
            require_sound(context.device)
            return
        memory.forget_frames(error)
        memory.free_caches()
        _fail(
            context, claim, f"{out_of_memory}\n\n{account}", retry=True, out_of_memory=out_of_memory
        )


def _fail(
    context: WorkerContext,
    claim: Claim,
    error: str,
    *,
    retry: bool,
    out_of_memory: memory.OutOfMemory | None = None,
) -> None:
    hit(FailPoint.ATTEMPT_FAILING)
    is_retried = context.ledger.fail(
        claim,
        error,
        retry=retry,
        at_most=None if out_of_memory is None else memory.ATTEMPTS,
        infeasible_attrs=None if out_of_memory is None else out_of_memory.attributes(),
    )
    hit(FailPoint.ATTEMPT_FAILED)
    if not is_retried:
        context.tracking.end("failed")
        clean_up(context)


def _configure(context: WorkerContext, claim: Claim, keeper: LeaseKeeper) -> TrialSetup | None:
    """Return the trial as it will be trained; draw its configuration if it has none."""
    ledger = context.ledger
    if claim.damaged:
        _fail(context, claim, _DAMAGED, retry=False)
        return None
    if claim.params is not None and claim.number is not None:
        build_plan = _plan_build(
            context, claim, keeper, claim.params, threads=_recorded_threads(context, claim)
        )
        _require_same_images(context, claim.params, build_plan)
        return claim.number, claim.params, build_plan
    if context.study.is_planned:
        return _configure_planned(context, claim, keeper)
    point, infeasible = claim.point, claim.infeasible
    while infeasible < MAX_INFEASIBLE:
        if context.leave():
            # Two hundred draws may take longer than the time that a worker has to leave.
            ledger.release(claim, context.why_leaving())
            return None
        try:
            draw = draw_trial(
                context.sampler,
                context.study.space,
                context.history,
                study_seed=context.study.seed,
                ticket=claim.ticket,
                infeasible=infeasible,
                point=point,
                try_first=context.study.try_first,
                chance=_CHANCE,
                starts=context.starts,
            )
        except InfeasibleConfig as error:
            _fail(context, claim, str(error), retry=False)
            return None
        if draw is None:
            ledger.withdraw(claim)
            return None
        try:
            build_plan = _plan_build(context, claim, keeper, draw.params)
            _require_constraints(context.study.goals, build_plan)
        except InfeasibleConfig as error:
            hit(FailPoint.INFEASIBLE_DRAWN)
            violations = error.violations if isinstance(error, ConstraintBroken) else {}
            row = _row(draw, {}, constraint_attrs(violations))
            point = ledger.infeasible(claim, row, str(error), nth=infeasible)
            hit(FailPoint.INFEASIBLE_RECORDED)
            infeasible += 1
            continue
        _require_same_images(context, draw.params, build_plan)
        hit(FailPoint.DRAWN)
        _, number = ledger.start(claim, _row(draw, build_plan.attributes()))
        hit(FailPoint.ROW_CREATED)
        return number, draw.params, build_plan
    reason = (
        f"{MAX_INFEASIBLE} configurations in a row can't be built"
        + (" or break a constraint" if context.study.goals.constraints else "")
        + "; narrow the study's space"
    )
    _fail(context, claim, reason, retry=False)
    return None


def _configure_planned(
    context: WorkerContext, claim: Claim, keeper: LeaseKeeper
) -> TrialSetup | None:
    """Return the trial that a planned study's plan has for the ticket, without a draw."""
    draw = planned_trial(context.ledger.database, context.study, claim.ticket)
    try:
        build_plan = _plan_build(context, claim, keeper, draw.params)
    except InfeasibleConfig as error:
        # It could be built in the search, but not with this split, and the plan has no other
        _fail(context, claim, str(error), retry=False)
        return None
    _require_same_images(context, draw.params, build_plan)
    hit(FailPoint.DRAWN)
    _, number = context.ledger.start(claim, _row(draw, build_plan.attributes()))
    hit(FailPoint.ROW_CREATED)
    return number, draw.params, build_plan


def _recorded_threads(context: WorkerContext, claim: Claim) -> int | None:
    """Return the number of threads of a resumed trial's earlier attempts, if it is possible here.

    On a CPU another number would change the last digits, and a resumed trial must have the same
    result as an uninterrupted one.
    """
    if context.threads.exact or context.device != "cpu" or claim.trial_id is None:
        return None
    attributes = trial_attributes.read(context.ledger.database, claim.trial_id)
    threads = attributes.get("threads")
    is_possible = (
        attributes.get("device") == "cpu" and isinstance(threads, int) and 1 <= threads <= cores()
    )
    return threads if is_possible else None


def _plan_build(
    context: WorkerContext,
    claim: Claim,
    keeper: LeaseKeeper,
    params: Mapping[str, Any],
    *,
    threads: int | None = None,
) -> BuildPlan | LoopBuildPlan:
    """Return how the trial is trained here, with ``threads`` or with this worker's share."""
    if context.study.has_loop:
        return LoopBuildPlan(
            config=context.study.loop_config(params, claim.ticket),
            device=context.device,
            threads=context.threads.now() if threads is None else threads,
        )
    config = context.study.trial_config(params, claim.ticket)
    # Preparing images may take long, once for all trials, so it isn't watched; building is.
    prepare(config.data, split_seed=config.split_seed, root=context.run.data)
    with keeper.watching():
        return plan_build(
            config,
            device=context.device,
            threads=context.threads.now() if threads is None else threads,
            exact_threads=context.threads.exact or threads is not None,
            data=context.run.data,
        )


def _require_same_images(
    context: WorkerContext, params: Mapping[str, Any], build_plan: BuildPlan | LoopBuildPlan
) -> None:
    """Raise ``DataError`` if the study's other trials were trained on other images."""
    if isinstance(build_plan, LoopBuildPlan):
        return  # the loop loads its own data
    context.same_images.require(params, build_plan.images())


def _require_constraints(goals: Goals, build_plan: BuildPlan | LoopBuildPlan) -> None:
    """Raise ``ConstraintBroken`` if a metric that is known before training is out of bounds."""
    broken = goals.violated(build_plan.costs())
    if broken:
        raise ConstraintBroken("; ".join(broken), goals.violations(build_plan.costs()))


def _row(
    draw: DrawnTrial,
    attributes: Mapping[str, Any],
    system_attrs: Mapping[str, Any] | None = None,
) -> TrialRow:
    origin: dict[str, Any] = {"try_first": True} if draw.from_try_first else {}
    if draw.start is not None:
        origin[START] = draw.start
    if draw.guessed is not None:
        origin[GUESSED] = draw.guessed
    return TrialRow(
        params=draw.params,
        distributions=draw.distributions,
        user_attrs={**attributes, **origin},
        system_attrs=system_attrs or {},
    )


def _account(error: BaseException) -> str:
    """Return the error's traceback, for `show`.

    A long one is cut in its middle, and its type and message come first.
    """
    text = "".join(traceback.format_exception(error))
    if len(text) <= _ACCOUNT:
        return text
    first = first_line("".join(traceback.format_exception_only(error)))
    return f"{first}\n\n{shorten(text, _ACCOUNT - len(first) - 2, beginning=_BEGINNING)}"
