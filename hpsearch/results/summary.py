"""A study's counts and its winner, as ``hpsearch status --json`` prints them."""

from __future__ import annotations

from typing import Any

from hpsearch.results.ranking import front, knee, leader, ranked, violators
from hpsearch.results.records import StudyRecord, TrialRecord
from hpsearch.results.winner import best_seen
from hpsearch.search.ledger.queries import Counts

#: The counts of ``status``, in display order.
COUNTS = ("total", "complete", "pruned", "failed", "running", "paused", "infeasible")


def counts_of(counts: Counts) -> dict[str, int]:
    """Return the counts by name; ``total`` counts tickets, so infeasible draws are extra.

    ``waiting`` (the trials of ``paused`` that wait at a rung) is included if any do, and
    ``invalid`` if a trial was declared invalid.
    """
    content = {name: getattr(counts, name) for name in COUNTS}
    content |= {"waiting": counts.waiting} if counts.waiting else {}
    return content | ({"invalid": counts.invalid} if counts.invalid else {})


def _trial_summary(record: StudyRecord, trial: TrialRecord) -> dict[str, Any]:
    """Return a trial with its value in the search."""
    params = record.values(trial.params)
    return {"number": trial.number, "value": trial.value, "params": params}


def summary(record: StudyRecord) -> dict[str, Any]:
    """Return the JSON-like summary; ``best`` is null before a trial is complete.

    ``best`` is the winner (``reporting.status`` puts the confirmed one there), ``best_seen`` the
    best of the search, with one seed. ``winner`` is a sentence about ``best``,
    ``against`` one about what it is compared with (empty if there is nothing).

    With several objectives, it has the front and its knee, and with constraints the number of
    complete trials that break one.
    """
    order = ranked(record)
    winner = next(iter(order), None)
    ahead, best = leader(record), best_seen(record)
    content = {
        "study": record.study.name,
        "trials": counts_of(record.counts),
        "budget": {
            "trials": record.study.trial_budget,
            "epochs_per_trial": record.study.epochs_per_trial,
        },
        "epochs_run": record.counts.epochs_run,
        "compute_seconds": record.counts.compute_seconds,
        "best": None if winner is None else {**_trial_summary(record, winner), "confirmed": False},
        "best_seen": None if winner is None else _trial_summary(record, winner),
        "winner": None if best is None else best.sentence,
        "against": None if best is None else best.against,
    }
    if ahead is not None and ahead is not winner:
        # It may still win, but only a complete trial can be exported
        content["ahead"] = {
            "number": ahead.number,
            "value": ahead.value,
            "epochs_done": ahead.epochs_done,
            "params": record.values(ahead.params),
        }
    if record.warnings:
        content["warnings"] = list(record.warnings)
    goals = record.goals
    if goals.is_multi_objective:
        nearest = knee(record)
        content["objectives"] = goals.directions
        content["front"] = [
            {
                "number": trial.number,
                "figures": dict(trial.metrics),
                "params": record.values(trial.params),
            }
            for trial in front(record)
        ]
        content["knee"] = None if nearest is None else nearest.number
    if record.counts.invalid:
        content["invalid"] = [
            {
                "number": trial.number,
                "reason": trial.invalid.reason,
                "at": trial.invalid.at,
                "was": trial.invalid.before.value,
            }
            for trial in record.trials
            if trial.invalid is not None
        ]
    if goals.constraints:
        content["constraints"] = [str(constraint) for constraint in goals.constraints]
        content["violating"] = len(violators(record))
    return content
