"""What trackers are told of a trial, and the runs that dead workers have left open in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hpsearch.results import trial_attributes
from hpsearch.results.records import read_study
from hpsearch.search import queries
from hpsearch.search.ledger_types import Claim
from hpsearch.tracking.left_open import abandoned
from hpsearch.tracking.tracker import RunState, TrackedTrial
from hpsearch.workers.trial.bench import Bench
from hpsearch.workers.trial.blueprint import Blueprint

#: What follows from a configuration alone, so that every attempt tells the same.
_FACTS = ("trial_seed", "split_seed", "parameters", "multiply_adds")

_ENDS: Mapping[str, RunState] = {"complete": "complete", "pruned": "pruned", "failed": "failed"}


def begin(
    bench: Bench, claim: Claim, number: int, params: Mapping[str, Any], blueprint: Blueprint
) -> None:
    """Tell the trackers that an attempt on a configured trial begins."""
    if not bench.tracking:
        return
    curve = []
    if claim.epochs_done:
        curve = queries.curve(bench.ledger.database, claim.study_id, claim.ticket)
    trial = _trial(bench, number, params, blueprint.attributes(), is_new=claim.attempt == 1)
    bench.tracking.begin(trial, curve)


def settle_left_open(bench: Bench) -> None:
    """Tell the end of trials whose worker died before it could; the study is finished."""
    for tracker in bench.tracking.names:
        numbers = abandoned(bench.folder.path, tracker)
        if not numbers:
            continue
        database = bench.ledger.database
        record = read_study(database, bench.study.name)
        for trial in record.trials:
            state = _ENDS.get(trial.state.value)
            if state is None or trial.trial_id is None or trial.number not in numbers:
                continue
            noted = trial_attributes.read(database, trial.trial_id)
            curve = queries.curve(database, record.study.study_id, trial.ticket)
            tracked = _trial(bench, trial.number, trial.params, noted)
            bench.tracking.catch_up(tracker, tracked, curve, state, trial.value)


def _trial(
    bench: Bench,
    number: int,
    params: Mapping[str, Any],
    noted: Mapping[str, Any],
    *,
    is_new: bool = False,
) -> TrackedTrial:
    return TrackedTrial(
        study=bench.study.name,
        study_key=bench.folder.path.name,
        number=number,
        params=dict(params),
        facts={name: noted[name] for name in _FACTS if name in noted},
        metric=bench.study.objective.metric,
        confirms=bench.study.confirms is not None,
        is_new=is_new,
        folder=bench.folder.path,
    )
