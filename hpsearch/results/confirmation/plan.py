"""The next training of a confirmation: a pure function of those that have ended.

Selection: every finalist is trained with seeds 1 and 2; from then on, seed by seed, only those that
weren't rejected. Report: the winner is trained with as many seeds again, which didn't contribute to
the choice, and the confirmed value uses these seeds only. So do the comparisons: a runner-up that
couldn't be rejected is trained with them too, and so is the baseline.

The plan only grows: a known entry keeps its place. So every worker computes it from the ledger by
itself, and ticket n is entry n.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hpsearch.formatting import format_percent
from hpsearch.metrics import MetricFormat
from hpsearch.results.confirmation.predictions import Predictions
from hpsearch.results.confirmation.spec import FIRST_ROUND, ConfirmationSpec

#: One-sided confidence at which a finalist that trails the leader is rejected.
REJECTION_CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True)
class PlannedTraining:
    """One training: a finalist (by its number in the search) with one seed."""

    trial: int
    #: 1-based; the same seed means the same training seed and split for every finalist.
    seed: int


@dataclass(frozen=True, kw_only=True)
class TrainingResult:
    """The result of one training."""

    #: The objective's value; ``None`` if training failed. A value that isn't finite is a failure.
    value: float | None
    #: Its prediction for each validation image; the plan doesn't need it.
    predictions: Predictions | None = None

    @property
    def score(self) -> float | None:
        """The value if it is a number that can be compared."""
        return self.value if self.value is not None and math.isfinite(self.value) else None


@dataclass(frozen=True, kw_only=True)
class FinalistRank:
    """A finalist's rank."""

    trial: int
    #: Mean value over its selection seeds of completed rounds; ``None`` before the first.
    mean: float | None
    #: Number of selection seeds in the mean.
    seeds: int
    #: The seed after which it left; ``None``: it is still in, or stayed to the end.
    rejected_after: int | None = None
    #: Why it left, as text.
    reason: str | None = None
    #: Whether it left because its training failed; otherwise it could come back if every better
    #: one fails.
    failed: bool = False


@dataclass(frozen=True, kw_only=True)
class Progress:
    """A confirmation's progress."""

    #: Every training that is known to be needed, in the order of their tickets.
    planned: tuple[PlannedTraining, ...]
    #: The finalists, best first: those still in, then those that left, the last one first.
    standings: tuple[FinalistRank, ...]
    #: The trial that the report seeds are for; ``None`` during the selection, or if every finalist
    #: failed.
    winner: int | None
    #: The next best one that didn't fail; ``None`` if there is none.
    runner_up: int | None
    #: Whether every planned training has ended.
    finished: bool


def entries(
    spec: ConfirmationSpec, outcomes: Mapping[PlannedTraining, TrainingResult]
) -> list[PlannedTraining]:
    """Return every training that is known to be needed, in the order of their tickets."""
    return list(progress(spec, outcomes).planned)


def progress(
    spec: ConfirmationSpec, outcomes: Mapping[PlannedTraining, TrainingResult]
) -> Progress:
    """Return the plan and the ranks that follow from the trainings that have ended."""
    walk = _Walk(spec, outcomes)
    selected = walk.select()
    winner = walk.report() if selected else None
    places = walk.standings()
    fit = [rank.trial for rank in places if not rank.failed]
    return Progress(
        planned=tuple(walk.planned),
        standings=tuple(places),
        winner=winner,
        runner_up=fit[1] if winner is not None and len(fit) > 1 else None,
        finished=all(entry in outcomes for entry in walk.planned),
    )


def expected_length(
    spec: ConfirmationSpec, outcomes: Mapping[PlannedTraining, TrainingResult]
) -> int:
    """Return about how many trainings there will be in total.

    The estimate assumes that every open training has the leader's value, so that no finalist leaves
    because of it, and that nothing fails.
    """
    assumed = dict(outcomes)
    while not (now := progress(spec, assumed)).finished:
        means = [rank.mean for rank in now.standings if rank.mean is not None]
        level = means[0] if means else 0.0
        assumed |= {
            entry: TrainingResult(value=level) for entry in now.planned if entry not in assumed
        }
    return len(now.planned)


class _Walk:
    def __init__(
        self, spec: ConfirmationSpec, outcomes: Mapping[PlannedTraining, TrainingResult]
    ) -> None:
        self.spec = spec
        self.sign = 1.0 if spec.maximize else -1.0
        self.outcomes = outcomes
        self.planned: list[PlannedTraining] = []
        self.contending = list(spec.trials)
        #: In the order in which they left.
        self.left: list[FinalistRank] = []
        #: The last selection seed of completed rounds. A decision must not use later seeds, or the
        #: plan would change with its own results.
        self.seed = 0

    def select(self) -> bool:
        """Plan the selection; return whether it is over."""
        seeds = self.spec.selection_seeds
        rounds = [list(seeds[:FIRST_ROUND]), *([seed] for seed in seeds[FIRST_ROUND:])]
        for done, batch in enumerate(rounds):
            if done and len(self.contending) <= 1:  # more seeds would choose nothing
                break
            self.planned += [
                PlannedTraining(trial=t, seed=s) for s in batch for t in self.contending
            ]
            if not self._all_ended():
                return False
            self.seed = batch[-1]
            self._leave_failed(batch)
            if self.seed < self.spec.seeds:
                self._leave_behind()
        return True

    def report(self) -> int | None:
        """Plan the report seeds; return the winner: the best that fails with none of them."""
        while fit := [rank.trial for rank in self.standings() if not rank.failed]:
            trials = [fit[0], *(trial for trial in fit[1:2] if trial in self.contending)]
            baseline = self.spec.baseline_trial
            if baseline is not None and not any(
                s.trial == baseline for s in self._failed_finalists()
            ):
                trials.append(baseline)
            trainings = [
                PlannedTraining(trial=t, seed=s) for s in self.spec.report_seeds for t in trials
            ]
            self.planned += [e for e in dict.fromkeys(trainings) if e not in self.planned]
            if not self._all_ended():
                return fit[0]
            lost = self._failures(fit[0], self.spec.report_seeds)
            if not lost:
                return fit[0]
            self._fail(fit[0], lost[0])
        return None

    def standings(self) -> list[FinalistRank]:
        """Return every finalist, best first."""
        order = {trial: place for place, trial in enumerate(self.spec.trials)}

        def key(trial: int) -> tuple[float, int]:
            mean = self._mean(trial)
            return (math.inf if mean is None else -self.sign * mean), order[trial]

        still = [self._standing(trial) for trial in sorted(self.contending, key=key)]
        return [*still, *reversed(self.left)]

    def _all_ended(self) -> bool:
        return all(entry in self.outcomes for entry in self.planned)

    def _failed_finalists(self) -> list[FinalistRank]:
        return [rank for rank in self.left if rank.failed]

    def _failures(self, trial: int, seeds: Sequence[int]) -> list[int]:
        return [
            s for s in seeds if self.outcomes[PlannedTraining(trial=trial, seed=s)].score is None
        ]

    def _scores(self, trial: int) -> dict[int, float]:
        """Return seed -> value."""
        scores = {}
        for seed in range(1, self.seed + 1):
            outcome = self.outcomes.get(PlannedTraining(trial=trial, seed=seed))
            if outcome is not None and outcome.score is not None:
                scores[seed] = outcome.score
        return scores

    def _mean(self, trial: int) -> float | None:
        scores = self._scores(trial)
        return float(np.mean(list(scores.values()))) if scores else None

    def _standing(self, trial: int) -> FinalistRank:
        return FinalistRank(trial=trial, mean=self._mean(trial), seeds=len(self._scores(trial)))

    def _leave_failed(self, batch: Sequence[int]) -> None:
        for trial in list(self.contending):
            if lost := self._failures(trial, batch):
                self._fail(trial, lost[0])

    def _fail(self, trial: int, seed: int) -> None:
        self.left = [rank for rank in self.left if rank.trial != trial]
        self.contending = [other for other in self.contending if other != trial]
        reason = f"its training failed with seed {seed}"
        gone = replace(self._standing(trial), rejected_after=seed, reason=reason, failed=True)
        self.left.append(gone)

    def _leave_behind(self) -> None:
        """Reject the finalists that trail the leader by more than chance explains."""
        scores = {trial: self._scores(trial) for trial in self.spec.trials}
        noise, freedom = seed_noise(scores)
        if len(self.contending) < 2 or freedom == 0:
            return
        # Not from scipy.stats: importing that takes a second, in every worker
        from scipy.special import stdtrit

        chance = float(stdtrit(freedom, REJECTION_CONFIDENCE)) * noise * math.sqrt(2 / self.seed)
        leader, *others = (rank for rank in self.standings() if rank.rejected_after is None)
        for other in reversed(others):  # the worst leaves first
            if leader.mean is None or other.mean is None:
                continue
            behind = self.sign * (leader.mean - other.mean)
            if behind <= chance + 1e-12 * abs(leader.mean):
                continue
            form = MetricFormat(self.spec.metric)
            reason = (
                f"over seeds 1 to {self.seed} it is {form.width(behind)} behind trial "
                f"{leader.trial}; chance explains up to {form.width(chance)} "
                f"({format_percent(REJECTION_CONFIDENCE)} one-sided)"
            )
            self.contending.remove(other.trial)
            self.left.append(replace(other, rejected_after=self.seed, reason=reason))


def seed_noise(scores: Mapping[int, Mapping[int, float]]) -> tuple[float, int]:
    """Return the standard deviation between seeds, and its degrees of freedom.

    The effects of trial and seed on a value are removed first (least squares), since finalists
    share their seeds. The rest is pooled over all finalists: two seeds of one finalist alone would
    show next to nothing.

    Args:
        scores: Trial -> seed -> value.

    Returns:
        Deviation and degrees of freedom, which are 0 if there are too few values.
    """
    cells = [(t, s, value) for t, of_trial in scores.items() for s, value in of_trial.items()]
    if not cells:
        return 0.0, 0
    trials, seeds, values = (np.array(column) for column in zip(*cells, strict=True))
    design = np.hstack([trials[:, None] == np.unique(trials), seeds[:, None] == np.unique(seeds)])
    fit, _, rank, _ = np.linalg.lstsq(design.astype(float), values, rcond=None)
    freedom = len(values) - int(rank)
    if freedom == 0:
        return 0.0, 0
    squares: float = np.sum((values - design @ fit) ** 2)
    return math.sqrt(squares / freedom), freedom
