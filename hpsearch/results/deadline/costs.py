"""Seconds of trainings and confirmations, from measured epochs. Pure functions."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev

from hpsearch.results.confirmation.spec import FIRST_ROUND

#: Standard deviations that are added to an expected time, so that most trainings take less.
MARGIN = 1.0

#: The spread of epoch times before there are enough to measure it.
_UNKNOWN_SPREAD = 0.3

#: Epochs from which the spread is measured.
_ENOUGH = 5


@dataclass(frozen=True, kw_only=True)
class EpochTime:
    """How long epochs of one configuration take."""

    #: Seconds.
    mean: float
    #: Standard deviation as a share of the mean.
    spread: float = _UNKNOWN_SPREAD


def spread_of(curves: Sequence[Sequence[float]]) -> float:
    """Return the standard deviation of epoch times as a share of the mean of their trial.

    Args:
        curves: For each trial the seconds of its epochs.
    """
    shares = [
        epoch_seconds / mean
        for seconds in curves
        if len(seconds) > 1 and (mean := fmean(seconds)) > 0
        for epoch_seconds in seconds
    ]
    return pstdev(shares) if len(shares) >= _ENOUGH else _UNKNOWN_SPREAD


def quantile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that is at least as large as ``share`` of the values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)]


def training_seconds(
    epoch: EpochTime, epochs: int, *, overhead: float, margin: float = MARGIN
) -> float:
    """Return about how long a training takes at most.

    Args:
        epoch: The time of its epochs.
        epochs: The number of epochs.
        overhead: Seconds for all else: claiming, building the model, reading the data.
        margin: Standard deviations that are added to the expected time.
    """
    if not epochs:
        return 0.0
    return overhead + epochs * epoch.mean * (1 + margin * epoch.spread / math.sqrt(epochs))


def makespan(trainings: Sequence[float], workers: int) -> float:
    """Return when the last training ends if each worker takes the next one as soon as it is free.

    Args:
        trainings: Seconds of each, in the order in which they are claimed.
        workers: The number of workers.
    """
    free = [0.0] * max(1, workers)
    for seconds in trainings:
        heapq.heapreplace(free, free[0] + seconds)
    return max(free)


def confirmation_seconds(
    finalists: Sequence[float], *, seeds: int, baseline: float | None, workers: int
) -> float:
    """Return how long a confirmation takes if no finalist is dropped early.

    Args:
        finalists: Seconds of a training of each finalist, best first; at least one.
        seeds: Number of seeds of the selection, and of the report.
        baseline: Seconds of a training of the baseline; ``None`` without one.
        workers: How many workers train side by side.
    """
    rounds: list[Sequence[float]] = [[seconds for seconds in finalists for _ in range(FIRST_ROUND)]]
    if len(finalists) > 1:
        rounds += [finalists] * (seeds - FIRST_ROUND)
    # Any of the finalists may win
    reported = sorted(finalists, reverse=True)[:2] + ([] if baseline is None else [baseline])
    rounds.append(reported * seeds)
    return sum(makespan(trainings, workers) for trainings in rounds)
