"""Pruning rules: pure functions of the values that the ledger contains.

A rule either stops trials (``StoppingRule``, called once per epoch) or pauses and promotes them
(``promotion.Promotion``). In every rule higher is better: the ledger changes the sign if less is
better. Epochs are counted from 1. No rule is called after the last epoch. To add a rule, register
one more function.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Protocol, TypeAlias

import numpy as np
from pydantic import Field, NonNegativeInt, PositiveInt

from hpsearch.registry import Registry
from hpsearch.search.pruning.promotion import Promotion


@dataclass(frozen=True, kw_only=True)
class EpochScore:
    """The epoch that a trial has just reported."""

    ticket: int
    epoch: int
    #: Epochs of a whole trial.
    epochs: int
    score: float
    #: Best score of this trial so far, this epoch included.
    best_score: float


class Peers(Protocol):
    """The other trials, read from the ledger in the reporting transaction."""

    def scores_at(self, epoch: int, *, completed_only: bool = False) -> Mapping[int, float]:
        """Return ticket -> score of every other trial that reported ``epoch``."""
        ...


#: Whether the reporting trial ends here.
StoppingRule: TypeAlias = Callable[[EpochScore, Peers], bool]

Pruner: TypeAlias = StoppingRule | Promotion

PRUNERS: Registry[Pruner] = Registry("pruner")

ReductionFactor = Annotated[int, Field(ge=2)]


@PRUNERS.register("none")
def none() -> StoppingRule:
    """Every trial runs to its last epoch."""
    return lambda report, peers: False


@PRUNERS.register("median")
def median(
    *,
    startup_trials: PositiveInt = 5,
    warmup_epochs: NonNegativeInt = 0,
    interval_epochs: PositiveInt = 1,
) -> Pruner:
    """Stop a trial whose best score is below the median of the completed trials at this epoch.

    Args:
        startup_trials: Completed trials that there must be before any trial is stopped.
        warmup_epochs: The first epochs of a trial, at which it isn't stopped.
        interval_epochs: Epochs from one check to the next, after the warm-up.
    """
    return percentile(
        keep=50.0,
        startup_trials=startup_trials,
        warmup_epochs=warmup_epochs,
        interval_epochs=interval_epochs,
    )


@PRUNERS.register("percentile")
def percentile(
    *,
    keep: Annotated[float, Field(gt=0, lt=100)] = 25.0,
    startup_trials: PositiveInt = 5,
    warmup_epochs: NonNegativeInt = 0,
    interval_epochs: PositiveInt = 1,
) -> StoppingRule:
    """Continue only trials whose best score is in the top ``keep`` percent at this epoch.

    The comparison is with completed trials, as in Optuna's rule of the same name.

    Args:
        keep: Percentage of trials that continue, between 0 and 100.
        startup_trials: Completed trials that there must be before any trial is stopped.
        warmup_epochs: The first epochs of a trial, at which it isn't stopped.
        interval_epochs: Epochs from one check to the next, after the warm-up.
    """

    def rule(report: EpochScore, peers: Peers) -> bool:
        if report.epoch <= warmup_epochs or (report.epoch - warmup_epochs - 1) % interval_epochs:
            return False
        completed = peers.scores_at(report.epoch, completed_only=True)
        if len(completed) < startup_trials:
            return False
        return bool(report.best_score < np.percentile(list(completed.values()), 100.0 - keep))

    return rule


@PRUNERS.register("asha")
def asha(
    *,
    reduction_factor: ReductionFactor = 3,
    min_epochs: PositiveInt = 1,
    startup_trials: PositiveInt = 10,
    stop: bool = False,
) -> Pruner:
    """Successive halving, asynchronous: pause at each rung, promote the best that wait there.

    Of all trials that have reached a rung, the best 1/``reduction_factor`` are promoted; the others
    wait with their checkpoints until the study's budget is used. In a study of several objectives
    without ``prune_on``, the trials of the first front are the best, then those of the second, and
    so on. (Li et al. 2020, "A System for Massively Parallel Hyperparameter Tuning".)

    Args:
        reduction_factor: One in so many trials at a rung is promoted.
        min_epochs: The first rung; rungs are at ``min_epochs * reduction_factor**k`` epochs.
        startup_trials: Trials that must reach the first rung before any is promoted, without
            ``stop``.
        stop: Whether a trial that isn't among the best when it reaches a rung ends there.
    """
    if not stop:
        return Promotion(
            reduction_factor=reduction_factor,
            min_epochs=min_epochs,
            startup_trials=startup_trials,
        )

    # The first trials at a rung, fewer than ``reduction_factor``, all stay: there are too few to
    # compare.
    def rule(report: EpochScore, peers: Peers) -> bool:
        if not is_rung(report.epoch, min_epochs, reduction_factor):
            return False
        return not stays(report.score, peers.scores_at(report.epoch).values(), reduction_factor)

    return rule


@PRUNERS.register("hyperband")
def hyperband(
    *, reduction_factor: ReductionFactor = 3, min_epochs: PositiveInt = 1
) -> StoppingRule:
    """ASHA in several brackets, each with a later first rung, against slow starters' bad luck.

    A ticket's bracket follows from its number, so that all processes agree. A bracket's share of
    the tickets is Hyperband's (Li et al. 2018): most go to the bracket with the earliest rung. The
    sampler learns from the trials of all brackets.
    """

    def rule(report: EpochScore, peers: Peers) -> bool:
        brackets = bracket_count(report.epochs, min_epochs, reduction_factor)
        bracket = bracket_of(report.ticket, brackets, reduction_factor)
        if not is_rung(report.epoch, min_epochs * reduction_factor**bracket, reduction_factor):
            return False
        same = [
            score
            for ticket, score in peers.scores_at(report.epoch).items()
            if bracket_of(ticket, brackets, reduction_factor) == bracket
        ]
        return not stays(report.score, same, reduction_factor)

    return rule


def is_rung(epoch: int, min_epochs: int, reduction_factor: int) -> bool:
    """Whether ``epoch`` is ``min_epochs * reduction_factor**k`` for a whole k >= 0.

    Args:
        epoch: From 1.
        min_epochs: The first rung.
        reduction_factor: The ratio of two successive rungs.
    """
    rung = min_epochs
    while rung < epoch:
        rung *= reduction_factor
    return rung == epoch


def stays(score: float, others: Iterable[float], reduction_factor: int) -> bool:
    """Whether ``score`` is in the top 1/``reduction_factor`` of itself and ``others``.

    Args:
        score: The score of the trial at the rung; higher is better.
        others: The scores of the other trials there.
        reduction_factor: With fewer scores than this, every trial stays.
    """
    values = list(others)
    count = len(values) + 1
    if count < reduction_factor:
        return True
    better = sum(other > score for other in values)
    return better < count // reduction_factor


def bracket_count(epochs: int, min_epochs: int, reduction_factor: int) -> int:
    """Return how many brackets have their first rung before the last epoch (at least 1).

    Args:
        epochs: Epochs of a whole trial.
        min_epochs: The first rung of the first bracket.
        reduction_factor: The ratio of two successive rungs, and of two brackets' first rungs.
    """
    count = 0
    while min_epochs * reduction_factor**count < epochs:
        count += 1
    return max(1, count)


def bracket_of(ticket: int, brackets: int, reduction_factor: int) -> int:
    """Return the bracket of a ticket, from 0: the one with the earliest first rung.

    Args:
        ticket: The ticket's number, from 1.
        brackets: The number of brackets.
        reduction_factor: The ratio of two brackets' first rungs.
    """
    weights = np.array(
        [
            math.ceil(brackets / (halvings + 1) * reduction_factor**halvings)
            for halvings in reversed(range(brackets))
        ],
        dtype=np.float64,
    )
    # The golden ratio's multiples spread evenly: any series of tickets has the right shares.
    position = (ticket * 0.6180339887498949) % 1.0
    # Without the last bound, which may be just below 1 after rounding.
    bounds = np.cumsum(weights / weights.sum())[:-1]
    return int(np.searchsorted(bounds, position, side="right"))
