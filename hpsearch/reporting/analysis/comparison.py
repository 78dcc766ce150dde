"""Several studies side by side, such as the stages of a staged search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hpsearch.results.confirmation.reading import read_confirmation
from hpsearch.results.confirmation.statistics import Interval
from hpsearch.results.confirmation.verdict import ConfirmationResult
from hpsearch.results.ranking import best
from hpsearch.results.records import StudyRecord
from hpsearch.search.database.storage import Database


@dataclass(frozen=True, kw_only=True)
class Line:
    """One study."""

    study: str
    metric: str
    maximize: bool
    trials: int
    complete: int
    pruned: int
    #: The winner, confirmed or so far, and its settings; ``None`` before a trial is complete.
    number: int | None
    params: dict[str, Any]
    #: The best value of one seed in the search, also if another trial was confirmed.
    best_seen: float | None
    #: The confirmed value and its 95 % interval over seeds and images; ``None`` without a finished
    #: confirmation.
    confirmed: Interval | None
    #: Epochs and compute hours of the search, and of its confirmation.
    epochs: int
    hours: float
    confirmation_epochs: int
    #: Study whose winner this one started from (``from``); ``None`` without one.
    starts_from: str | None = None
    #: Whether the interval is over groups of images.
    grouped: bool = False


@dataclass(frozen=True, kw_only=True)
class Rival:
    """One study's winner against the leader."""

    study: str
    #: By how much the leader is ahead. The interval assumes independence, so it is too wide, not
    #: too narrow, if the two share validation images.
    behind: Interval
    #: Whether that interval excludes 0.
    distinguishable: bool


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Studies side by side."""

    lines: tuple[Line, ...]
    #: The study with the best confirmed value; ``None`` if fewer than two are confirmed (the best
    #: value of one seed compares nothing), or if their objectives differ.
    leader: str | None
    rivals: tuple[Rival, ...]
    #: Why the winners can't be compared, or the basis of the comparison.
    note: str


def compare(database: Database, records: Sequence[StudyRecord]) -> Comparison:
    """Read the studies' winners, confirmations and costs, in the order given."""
    pairs = [(record, read_confirmation(database, record)) for record in records]
    return compare_lines([line(record, confirmation) for record, confirmation in pairs])


def line(record: StudyRecord, confirmation: ConfirmationResult | None) -> Line:
    """Return a study's line."""
    best_trial = winner = best(record)
    confirmed = None
    if confirmation is not None and confirmation.has_valid_winner:
        winner = record.trial(confirmation.winner or 0)
        confirmed = confirmation.over_seeds_and_images
    origin = record.study.document.get("found") or {}
    return Line(
        study=record.study.name,
        metric=record.objective.metric,
        maximize=record.objective.direction == "maximize",
        trials=record.counts.total,
        complete=record.counts.complete,
        pruned=record.counts.pruned,
        number=None if winner is None else winner.number,
        params={} if winner is None else dict(winner.params),
        best_seen=None if best_trial is None else best_trial.value,
        confirmed=confirmed,
        epochs=record.counts.epochs_run,
        hours=record.counts.compute_seconds / 3600,
        confirmation_epochs=0 if confirmation is None else confirmation.confirmation_epochs,
        starts_from=origin.get("study"),
        grouped=confirmation is not None and confirmation.groups is not None,
    )


def compare_lines(lines: Sequence[Line]) -> Comparison:
    """Return which study's winner leads, and which others can be distinguished from it."""
    if len({(line.metric, line.maximize) for line in lines}) > 1:
        metrics = ", ".join(dict.fromkeys(line.metric for line in lines))
        note = (
            f"the studies have different objectives ({metrics}), so there is no winner between them"
        )
        return Comparison(lines=tuple(lines), leader=None, rivals=(), note=note)
    confirmed = {line.study: line.confirmed for line in lines if line.confirmed is not None}
    if len(confirmed) < 2:
        note = (
            "best seen, one seed each: optimistic, and not enough to compare studies; confirm them "
            "first"
        )
        return Comparison(lines=tuple(lines), leader=None, rivals=(), note=note)
    maximize = lines[0].maximize
    sign = 1.0 if maximize else -1.0
    leader = max(confirmed, key=lambda study: sign * confirmed[study].estimate)
    left = [line.study for line in lines if line.confirmed is None]
    grouped = any(line.grouped for line in lines if line.confirmed is not None)
    images = "images (or groups of them, if a study has groups)" if grouped else "images"
    note = f"confirmed values; intervals over seeds and {images}" + (
        f"; not confirmed, so not compared: {', '.join(left)}" if left else ""
    )
    leads = {
        study: _lead(confirmed[leader], value, maximize=maximize)
        for study, value in confirmed.items()
        if study != leader
    }
    return Comparison(
        lines=tuple(lines),
        leader=leader,
        rivals=tuple(
            Rival(study=study, behind=lead, distinguishable=lead.excludes(0.0))
            for study, lead in leads.items()
        ),
        note=note,
    )


def _lead(leader: Interval, rival: Interval, *, maximize: bool) -> Interval:
    """Return by how much a value is better than another one, with its interval."""
    ahead = (1.0 if maximize else -1.0) * (leader.estimate - rival.estimate)
    # Each side has its own width: Wilson's intervals aren't symmetric (Newcombe 1998, method 10)
    low = ((leader.estimate - leader.low) ** 2 + (rival.high - rival.estimate) ** 2) ** 0.5
    high = ((leader.high - leader.estimate) ** 2 + (rival.estimate - rival.low) ** 2) ** 0.5
    if not maximize:
        low, high = high, low
    return Interval(estimate=ahead, low=ahead - low, high=ahead + high)
