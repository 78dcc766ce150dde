"""A study's counts and its winner, as ``hpsearch status --json`` prints them."""

from __future__ import annotations

from typing import Any

from hpsearch.results.ranking import best
from hpsearch.results.records import StudyRecord
from hpsearch.search.ledger_reads import Counts

#: The counts of ``status``, in the order in which they are shown.
COUNTS = ("total", "complete", "pruned", "failed", "running", "paused", "infeasible")


def counts_of(counts: Counts) -> dict[str, int]:
    """Return the counts by name; ``total`` counts tickets, so infeasible draws stand apart."""
    return {name: getattr(counts, name) for name in COUNTS}


def summary(record: StudyRecord) -> dict[str, Any]:
    """Return the JSON-like summary; ``best`` is null before a trial is complete."""
    winner = best(record)
    return {
        "study": record.study.name,
        "trials": counts_of(record.counts),
        "budget": {
            "trials": record.study.trials,
            "epochs_per_trial": record.study.epochs_per_trial,
        },
        "epochs_run": record.counts.epochs_run,
        "compute_seconds": record.counts.compute_seconds,
        "best": None
        if winner is None
        else {"number": winner.number, "value": winner.value, "params": dict(winner.params)},
    }
