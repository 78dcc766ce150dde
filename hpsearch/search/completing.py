"""About how many trials of a search will complete, before it begins."""

from __future__ import annotations

import random
from collections.abc import Mapping

from hpsearch.search.promotion import LEAST_COMPLETE, Promotion
from hpsearch.search.pruners import EpochScore, Pruner, StoppingRule

#: Complete trials below which a report says little of what each parameter does.
ENOUGH = 10

#: Trials of a rule that stops are simulated; more behave alike. And how often they are shuffled.
_SIMULATED, _ORDERS = 200, 3


def expected_complete(pruner: Pruner, trials: int, epochs: int) -> int:
    """Return about how many trials reach their last epoch.

    The rule is asked about made-up trials that keep their rank from the first epoch to the last.
    Real ones change it, so a rule that stops lets a few more or fewer live.

    Args:
        pruner: The rule.
        trials: The budget.
        epochs: Epochs of a trial that isn't stopped.

    Returns:
        A number from 0 to ``trials``; the trials of the audit are not in it.
    """
    if isinstance(pruner, Promotion):
        count = trials
        for _ in pruner.rungs(epochs):
            count //= pruner.reduction_factor
        return max(count, min(trials, LEAST_COMPLETE))
    simulated = min(trials, _SIMULATED)
    complete = sum(_simulate(pruner, simulated, epochs, order) for order in range(_ORDERS))
    return round(complete / _ORDERS * trials / simulated)


def completion(expected: int, trials: int) -> str:
    """Return in a sentence how many trials will complete, and what a report can tell of so few."""
    if expected >= trials:
        return f"all of the {trials:,} trials will complete"
    if expected == 0:
        return (
            f"none of the {trials:,} trials will complete: the pruner lets too few of them go on, "
            "so that nothing can be confirmed or exported; more trials, or `pruner: none`"
        )
    text = f"about {expected:,} of {trials:,} trials will complete; the others end early"
    if expected < ENOUGH:
        text += (
            ". A report names the best, but of so few complete trials it says little about what "
            f"each parameter does ({ENOUGH} or more would): more trials, or `pruner: none`"
        )
    return text


class _Peers:
    """Made-up trials whose scores don't change."""

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
