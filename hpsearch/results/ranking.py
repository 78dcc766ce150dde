"""Which trials are best: one winner, or with several objectives a front.

Only trials that were trained to the last epoch and satisfy the study's constraints are compared.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hpsearch.errors import UserError
from hpsearch.results.records import StudyRecord, TrialRecord
from hpsearch.search.database.storage import Database
from hpsearch.search.database.tables import TicketState
from hpsearch.search.ledger import queries
from hpsearch.search.pruning.promotion import fronts
from hpsearch.study_file.goals import Objective

#: The point of a front that has a name in ``pick``.
KNEE = "knee"

#: Largest number of trials of a front whose weights are kept; a front may be as long as the study.
KEPT_WEIGHTS = 20


def ranked(record: StudyRecord) -> list[TrialRecord]:
    """Return the complete trials that satisfy all constraints, best first.

    Of equal ones, the lower number is first. With several objectives, the front comes first; within
    it and after it, the order is by the objective that pruners use. A pruned trial's value is from
    another epoch, so it has no rank.
    """
    sign = -1.0 if record.objective.direction == "maximize" else 1.0
    eligible = [
        (sign * trial.value, trial.number, trial)
        for trial in record.trials
        if _is_complete(trial)
        and trial.value is not None
        and trial.number is not None
        and not _violates(record, trial)
        and not _is_damaged(record, trial)
    ]
    order = [trial for *_, trial in sorted(eligible, key=lambda entry: entry[:2])]
    if not record.goals.is_multi_objective:
        return order
    on_front = _on_front(record, order)
    leading = [trial for trial, first in zip(order, on_front, strict=True) if first]
    return leading + [trial for trial, first in zip(order, on_front, strict=True) if not first]


def best(record: StudyRecord) -> TrialRecord | None:
    """Return the winner so far, ``None`` before there is one.

    With several objectives, it is the point of the front that is best by the objective that pruners
    use.
    """
    return next(iter(ranked(record)), None)


def best_complete(database: Database, study_id: int, objective: Objective) -> int | None:
    """Return the number of the winner so far, as ``best``, without reading the other trials.

    Only for a study of one objective and no constraint.

    Args:
        database: The study's database.
        study_id: Optuna's id of the study.
        objective: The study's objective.

    Returns:
        Optuna's number of the trial; ``None`` before there is one.
    """
    most = 5
    while True:
        tickets = queries.complete_tickets(
            database,
            study_id,
            by="best_value" if objective.at == "best" else "value",
            maximize=objective.direction == "maximize",
            most=most,
        )
        for ticket in tickets:
            if not ticket.damaged:
                return ticket.number
        if len(tickets) < most:
            return None
        most *= 10


def contenders(record: StudyRecord) -> list[TrialRecord]:
    """Return the trials that may be the best one, the one with the best last value first.

    They are the complete trials as ``ranked``, and those at the last rung at which a promoting
    pruner keeps trials (they wait, or ended there). They are ordered by value alone: a waiting
    trial with a better value than the best complete one is more promising. With several objectives
    or constraints, only complete trials can be compared.
    """
    order = ranked(record)
    at_rung = [
        trial
        for trial in record.trials
        if trial.rung is not None
        and trial.state in (TicketState.PAUSED, TicketState.PRUNED)
        and trial.value is not None
    ]
    if not at_rung or not record.goals.is_single_unconstrained:
        return order
    furthest = max(trial.rung or 0 for trial in at_rung)
    sign = -1.0 if record.objective.direction == "maximize" else 1.0
    return sorted(
        [*order, *(trial for trial in at_rung if trial.rung == furthest)],
        key=lambda trial: (sign * (trial.value or 0.0), trial.number),
    )


def leader(record: StudyRecord) -> TrialRecord | None:
    """Return the trial that is ahead now, complete or not; ``None`` before there is any.

    When the study is finished, it is the winner, ``best``: trials that ended at a rung don't
    continue.
    """
    if record.is_finished:
        return best(record)
    return next(iter(contenders(record)), None)


def violators(record: StudyRecord) -> list[TrialRecord]:
    """Return the complete trials that break a constraint, and so have no rank."""
    return [trial for trial in record.trials if _is_complete(trial) and _violates(record, trial)]


def front(record: StudyRecord) -> list[TrialRecord]:
    """Return the Pareto front.

    No other trial is better than one of its trials in one objective and at least equal in the rest.
    In the order of ``ranked``; all of several equal trials are on it. With one objective, it is the
    winner.
    """
    order = ranked(record)
    if not record.goals.is_multi_objective:
        return order[:1]
    return [trial for trial, first in zip(order, _on_front(record, order), strict=True) if first]


def knee(record: StudyRecord) -> TrialRecord | None:
    """Return the front's point nearest to the best of every objective, ``None`` without a front.

    Each objective is scaled to its range over the front (0 its best value there, 1 its worst);
    the distance is Euclidean. Of equally near points, the first is returned.
    """
    points = front(record)
    if not points:
        return None
    costs = objective_costs(record, points)
    low = costs.min(axis=0)
    spread = costs.max(axis=0) - low
    scaled = (costs - low) / np.where(spread > 0, spread, 1.0)
    return points[int(np.argmin(np.linalg.norm(scaled, axis=1)))]


def pick(record: StudyRecord, point: str | int) -> TrialRecord:
    """Return a point of the front.

    Args:
        record: The study with its trials.
        point: ``knee``, or a trial's number.

    Raises:
        UserError: If the study has one objective (its winner is the best), no point yet, or no such
            point.
    """
    name = record.study.name
    if not record.goals.is_multi_objective:
        raise UserError(
            f"a point is picked from a front of several objectives, but study {name!r} has one, "
            f"{record.objective.metric}; leave --pick out to take the winner, or name a trial with "
            "--trial"
        )
    points = front(record)
    if not points:
        raise UserError(none_eligible(record))
    if str(point) == KNEE:
        return knee(record) or points[0]
    for trial in points:
        if str(trial.number) == str(point).strip():
            return trial
    numbers = ", ".join(str(trial.number) for trial in points[:KEPT_WEIGHTS])
    more = ", .." if len(points) > KEPT_WEIGHTS else ""
    raise UserError(
        f"a pick must be {KNEE} or a trial on the front of study {name!r} ({numbers}{more}), but "
        f"got {point}"
    )


def winner_or_pick(record: StudyRecord, point: str | None = None) -> TrialRecord | None:
    """Return the winner, or the picked point if a study has several objectives.

    Args:
        record: The study with its trials.
        point: The point of a front (``pick``); ``None`` for the winner.

    Returns:
        The trial; ``None`` before there is one.

    Raises:
        UserError: If the study has several objectives and ``point`` is missing, or as ``pick``.
    """
    if point is not None:
        return pick(record, point)
    points = front(record)
    if record.goals.is_multi_objective and points:
        numbers = ", ".join(str(trial.number) for trial in points[:KEPT_WEIGHTS])
        raise UserError(
            f"study {record.study.name!r} has several objectives "
            f"({', '.join(record.goals.objectives)}), so it has no single winner; choose a point "
            f"of its front with --pick {KNEE} or --pick N (trials "
            f"{numbers}{', ..' if len(points) > KEPT_WEIGHTS else ''})"
        )
    return next(iter(points), None)


def none_eligible(record: StudyRecord) -> str:
    """Return why no trial has a rank, as text."""
    counts, name = record.counts, record.study.name
    broken = len(violators(record))
    if broken:
        return (
            f"only a trial that satisfies the constraints can win, but all {broken} complete "
            f"trials of study {name!r} break a constraint "
            f"({', '.join(map(str, record.goals.constraints))}); launch more trials, or relax the "
            "constraint in a study of another name"
        )
    invalid = f", {counts.invalid} invalid" if counts.invalid else ""
    return (
        f"only a complete trial can win, but study {name!r} has none yet ({counts.pruned} pruned, "
        f"{counts.failed} failed{invalid}); launch more trials"
    )


def _is_complete(trial: TrialRecord) -> bool:
    return trial.state is TicketState.COMPLETE


def _is_damaged(record: StudyRecord, trial: TrialRecord) -> bool:
    """Whether its row can't be read completely: it can't be compared, exported or confirmed."""
    lacks = record.goals.is_multi_objective and not trial.metrics.keys() >= set(
        record.goals.objectives
    )
    return lacks or bool(trial.damaged)


def _violates(record: StudyRecord, trial: TrialRecord) -> bool:
    return any(value > 0 for value in record.goals.violations(trial.metrics).values())


def _on_front(record: StudyRecord, trials: Sequence[TrialRecord]) -> list[bool]:
    return [place == 0 for place in fronts(objective_costs(record, trials), best=1)]


def objective_costs(
    record: StudyRecord, trials: Sequence[TrialRecord]
) -> np.ndarray[tuple[int, int]]:
    """Return float64 (trials, objectives) in which less is better."""
    names = record.goals.objectives
    signs = [
        -1.0 if direction == "maximize" else 1.0 for direction in record.goals.directions.values()
    ]
    rows = [[trial.metrics[name] for name in names] for trial in trials]
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(names)) * signs
