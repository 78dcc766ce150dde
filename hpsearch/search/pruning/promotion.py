"""Promotion: trials aren't stopped; they pause at a rung, and the best of them are promoted.

A rung is an epoch at which every trial pauses. A paused trial keeps its checkpoint, so a trial that
is promoted later is the same trial, and ends with the same digits. When a worker claims a ticket
(``claims``), all results so far decide which trial is promoted. (Li et al. 2020, "A System for
Massively Parallel Hyperparameter Tuning".)

Everything here is a pure function of what the ledger contains. Scores are "higher is better".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from optuna.study._multi_objective import _fast_non_domination_rank

#: Paused trials whose checkpoints are kept: the first number, and the second per running trial.
#: Only the best third of a rung can be promoted, so further ones have no chance.
PAUSED_KEPT, PAUSED_KEPT_PER_RUNNING = 30, 3

#: Trials that are trained to their end even in a small study. A third of a third of twelve trials
#: is one, and of eight it is none: nothing could be compared, confirmed or exported.
LEAST_COMPLETE = 3


@dataclass(frozen=True, kw_only=True)
class Rung:
    """The number of trials at one rung."""

    #: 1-based.
    epoch: int
    #: Trials that have finished this epoch.
    reached: int
    #: Trials among them that were promoted from here.
    promoted: int
    #: Trials that wait here.
    waiting: int


@dataclass(frozen=True, kw_only=True)
class Promotion:
    """Pause at each rung; promote the best 1/``reduction_factor`` of all that have reached it.

    Rungs are at ``min_epochs * reduction_factor**k`` epochs.
    """

    reduction_factor: int = 3
    min_epochs: int = 1
    #: Trials that reach the lowest rung before any is promoted: the best of three is often poor.
    startup_trials: int = 10

    def rungs(self, epochs: int) -> tuple[int, ...]:
        """Return the epochs, ascending, at which a trial of ``epochs`` epochs pauses.

        A rung near the end, which would save little, is left out.
        """
        rungs = []
        rung = self.min_epochs
        while rung <= epochs / math.sqrt(self.reduction_factor):
            rungs.append(rung)
            rung *= self.reduction_factor
        return tuple(rungs)

    def next_rung(self, rungs: Sequence[Rung]) -> Rung | None:
        """Return the rung whose best waiting trial is promoted next; ``None`` if none may be.

        It is the highest rung that has promoted fewer than its share, once ``startup_trials``
        trials have reached the lowest one.
        """
        if max((rung.reached for rung in rungs), default=0) < self.startup_trials:
            return None
        for rung in sorted(rungs, key=lambda rung: rung.epoch, reverse=True):
            if rung.waiting and rung.promoted < rung.reached // self.reduction_factor:
                return rung
        return None


def most_paused(running: int) -> int:
    """Return how many paused trials keep their checkpoints while ``running`` trials run."""
    return PAUSED_KEPT + PAUSED_KEPT_PER_RUNNING * running


def fronts(
    costs: Sequence[Sequence[float]] | NDArray[np.float64], best: int | None = None
) -> list[int]:
    """Return each trial's front: 0 if no other dominates it, 1 if only those of front 0 do, ...

    One trial dominates another if it is at least as good in every objective and better in one.

    Args:
        costs: A row per trial, a column per objective; less is better.
        best: When the fronts so far have this many trials, all others share the next front;
            ``None`` distinguishes all fronts.
    """
    rows: NDArray[np.float64] = np.asarray(costs, dtype=np.float64)
    return [int(front) for front in _fast_non_domination_rank(rows, n_below=best)]
