"""What trackers get of a trial, and closing the runs that dead workers left open in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hpsearch.results import trial_attributes
from hpsearch.results.records import read_study
from hpsearch.search.ledger import queries
from hpsearch.search.ledger.types import Claim
from hpsearch.tracking.open_runs import orphaned_runs
from hpsearch.tracking.tracker import RunState, TrackedTrial
from hpsearch.workers.trial.build_plan import BuildPlan, LoopBuildPlan
from hpsearch.workers.trial.context import WorkerContext

#: Attributes that follow from the configuration, so that they are the same for every attempt.
_FACTS = ("trial_seed", "split_seed", "parameters", "multiply_adds")

_ENDS: Mapping[str, RunState] = {"complete": "complete", "pruned": "pruned", "failed": "failed"}


def begin(
    context: WorkerContext,
    claim: Claim,
    number: int,
    params: Mapping[str, Any],
    build_plan: BuildPlan | LoopBuildPlan,
) -> None:
    """Tell the trackers that an attempt on a configured trial begins.

    Args:
        context: The worker's context.
        claim: The claimed trial.
        number: Optuna's number of the trial.
        params: The trial's configuration.
        build_plan: How it is trained here.
    """
    if not context.tracking:
        return
    curve = []
    if claim.epochs_done:
        curve = queries.curve(context.ledger.database, claim.study_id, claim.ticket)
    trial = _trial(context, number, params, build_plan.attributes(), is_new=claim.attempt == 1)
    context.tracking.begin(trial, curve)


def close_orphaned_runs(context: WorkerContext) -> None:
    """Close the runs of trials whose worker died before it could, in a finished study."""
    for tracker in context.tracking.names:
        numbers = orphaned_runs(context.folder.path, tracker)
        if not numbers:
            continue
        database = context.ledger.database
        record = read_study(database, context.study.name)
        for trial in record.trials:
            state = _ENDS.get(trial.state.value)
            if state is None or trial.trial_id is None or trial.number not in numbers:
                continue
            attributes = trial_attributes.read(database, trial.trial_id)
            curve = queries.curve(database, record.study.study_id, trial.ticket)
            tracked_trial = _trial(context, trial.number, trial.params, attributes)
            context.tracking.catch_up(tracker, tracked_trial, curve, state, trial.value)


def _trial(
    context: WorkerContext,
    number: int,
    params: Mapping[str, Any],
    attributes: Mapping[str, Any],
    *,
    is_new: bool = False,
) -> TrackedTrial:
    return TrackedTrial(
        study=context.study.name,
        study_key=context.folder.path.name,
        number=number,
        params=dict(params),
        facts={name: attributes[name] for name in _FACTS if name in attributes},
        metric=context.study.objective.metric,
        confirms=context.study.confirms is not None,
        is_new=is_new,
        folder=context.folder.path,
    )
