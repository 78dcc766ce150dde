"""An estimate, before a search begins, of how many trials will complete."""

from __future__ import annotations

import random
from collections.abc import Mapping

from hpsearch.search.pruning.promotion import LEAST_COMPLETE, Promotion
from hpsearch.search.pruning.pruners import EpochScore, Pruner, StoppingRule

#: Complete trials that a report needs to show the effect of each parameter.
ENOUGH = 10

#: Simulated trials for a rule that stops: more give the same share. And the number of orders.
_SIMULATED, _ORDERS = 200, 3


def expected_complete(pruner: Pruner, trials: int, epochs: int) -> int:
    """Estimate how many trials reach their last epoch.

    The estimate assumes trials that keep their rank from the first epoch to the last. The ranks of
    real trials change, so that a rule that stops completes a few more or fewer.

    Args:
        pruner: The pruner.
        trials: The trials of the budget.
        epochs: Epochs of a whole trial.

    Returns:
        A number from 0 to ``trials``, without the trials of the pruning audit.
    """
    if isinstance(pruner, Promotion):
        return expected_at_rungs(pruner, trials, epochs)[-1][1]
    simulated = min(trials, _SIMULATED)
    complete = sum(_simulate(pruner, simulated, epochs, order) for order in range(_ORDERS))
    return round(complete / _ORDERS * trials / simulated)


def expected_at_rungs(pruner: Promotion, trials: int, epochs: int) -> list[tuple[int, int]]:
    """Estimate how many trials reach each rung, and the last epoch.

    Args:
        pruner: The rule of promotion.
        trials: The trials of the budget.
        epochs: Epochs of a whole trial.

    Returns:
        Epochs, ascending, with the number of trials that finish them.
    """
    count, reached = trials, []
    for epoch in (*pruner.rungs(epochs), epochs):
        reached.append((epoch, max(count, min(trials, LEAST_COMPLETE))))
        count //= pruner.reduction_factor
    return reached


def completion(expected: int, trials: int) -> str:
    """Return a sentence on how many trials will complete, and whether a report needs more."""
    if expected >= trials:
        return f"all of the {trials:,} trials will complete"
    if expected == 0:
        return (
            f"none of the {trials:,} trials will complete: the pruner lets too few of them "
            "continue, so no trial can be confirmed or exported; use more trials, or `pruner: none`"
        )
    text = f"about {expected:,} of {trials:,} trials will complete; the others end early"
    if expected < ENOUGH:
        text += (
            ". A report shows the best, but so few complete trials show little of the effect of "
            f"each parameter ({ENOUGH} or more are needed); use more trials, or `pruner: none`"
        )
    return text


class _Peers:
    """Simulated trials whose scores don't change."""

    def __init__(self) -> None:
        self.scores: dict[int, dict[int, float]] = {}
        self.complete: dict[int, float] = {}

    def scores_at(self, epoch: int, *, completed_only: bool = False) -> Mapping[int, float]:
        """Return ticket -> score of every other trial that reported ``epoch``."""
        return self.complete if completed_only else self.scores.get(epoch, {})


def _simulate(rule: StoppingRule, trials: int, epochs: int, order: int) -> int:
    rng, peers = random.Random(order), _Peers()
    for ticket in range(1, trials + 1):
        score = rng.random()
        for epoch in range(1, epochs):
            report = EpochScore(
                ticket=ticket, epoch=epoch, epochs=epochs, score=score, best_score=score
            )
            if rule(report, peers):
                peers.scores.setdefault(epoch, {})[ticket] = score
                break
            peers.scores.setdefault(epoch, {})[ticket] = score
        else:
            peers.complete[ticket] = score
    return len(peers.complete)
