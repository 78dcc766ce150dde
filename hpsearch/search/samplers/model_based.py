"""Optuna's samplers, which draw one whole configuration against a draft."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Annotated

import numpy as np
import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from pydantic import Field, PositiveInt

from hpsearch.search.history import DRAFT_ID, distribution_of
from hpsearch.search.pruning.promotion import fronts
from hpsearch.search.samplers.sampler import SAMPLERS, Request, Sampler
from hpsearch.study_file.space import Choice, Draw, Parameter, Scalar, Space

#: Finished trials in TPE's model. With all of 10,000, a draw takes a tenth of a second, and is no
#: better.
MODELLED_TRIALS = 3000

#: Draws that TPE chooses among: each is compared with each of ``MODELLED_TRIALS`` in memory.
_Candidates = Annotated[int, Field(ge=1, le=10_000)]

#: More than the 25 that TPE counts as good.
_BEST_KEPT = 100


class OptunaSampler:
    """Adapts an Optuna sampler.

    Args:
        make: Builds a new sampler for a draw, from a seed and the number of finished trials before
            which draws are random.
        startup: That number, without prior results; ``None`` for a sampler that doesn't learn.
        at_most: Finished trials in the sampler's model; ``None`` for all.
        learns_from: The states of trials that the sampler learns from.
    """

    is_enumerated = False

    def __init__(
        self,
        make: Callable[[int, int], BaseSampler],
        *,
        startup: int | None = None,
        at_most: int | None = None,
        learns_from: tuple[TrialState, ...] = (TrialState.COMPLETE, TrialState.PRUNED),
    ) -> None:
        self._make = make
        self._startup = startup
        self.learns = startup is not None
        self._at_most = at_most
        self._learns_from = learns_from

    def check(self, space: Space) -> None:
        """Accept every space."""

    def draw(self, request: Request) -> Draw:
        """Draw each parameter that applies with Optuna, in the file's order."""
        trials = request.history.refresh() if request.trials is None else request.trials
        prior_trials = request.history.prior_trials(request.space) if self.learns else []
        trials = [*prior_trials, *trials]
        if self._at_most is not None:
            trials = thin(trials, request.history.directions, self._at_most)
        view = request.history.draft(request.fixed, trials)
        with warnings.catch_warnings():
            # `group` and GPSampler are marked experimental; optuna>=5.0,<5.1 is pinned and tested.
            warnings.simplefilter("ignore", ExperimentalWarning)
            sampler = self._make(request.seed, startup_with(self._startup or 0, len(prior_trials)))
        # A new Study for every draw: it caches the trials that it read first.
        study = optuna.Study(study_name="draft", storage=view, sampler=sampler)
        trial = optuna.Trial(study, DRAFT_ID)
        return request.space.draw(lambda path, parameter: _suggest(trial, path, parameter))

    def is_random(self, request: Request) -> bool:
        """Whether too few trials have ended for this sampler to learn from."""
        if self._startup is None:
            return True
        trials = request.history.refresh() if request.trials is None else request.trials
        prior_count = len(request.history.prior_trials(request.space))
        ended = prior_count + sum(trial.state in self._learns_from for trial in trials)
        return ended < startup_with(self._startup, prior_count)


def startup_with(own: int, prior: int) -> int:
    """Return how many finished trials, including ``prior`` prior results, end the random draws.

    Prior results replace at most half of the study's ``own`` random trials (rounded up): they may
    all are in one part of the space.
    """
    return own + prior - min(prior, (own + 1) // 2)


def thin(
    trials: list[FrozenTrial], directions: Sequence[StudyDirection], at_most: int
) -> list[FrozenTrial]:
    """Return the unfinished trials and at most ``at_most`` finished ones.

    TPE distinguishes the 25 best trials from the rest. The best 100 by its own order stay; an even
    share of the rest describes the density of most trials as well as all of them.

    Args:
        trials: The trials, by number.
        directions: One per objective.
        at_most: More than 100.

    Returns:
        The remaining trials, by number.
    """
    finished = [trial for trial in trials if trial.state.is_finished()]
    if len(finished) <= at_most:
        return trials
    sign = -1.0 if directions[0] == StudyDirection.MAXIMIZE else 1.0
    places = _places(finished, directions) if len(directions) > 1 else {}

    def rank(trial: FrozenTrial) -> tuple[float, ...]:
        # TPE's order: complete by value (or by fronts), pruned by how far they came and the value
        # there, those that violate a constraint by how far, others.
        if trial.number in places:
            return (0.0, 0.0, places[trial.number])
        if (violated := _violation(trial)) > 0:
            return (2.0, violated)
        if trial.state == TrialState.COMPLETE and trial.value is not None:
            return (0.0, 0.0, sign * trial.value)
        step = trial.last_step
        if trial.state == TrialState.PRUNED and step is not None:
            return (1.0, -step, sign * trial.intermediate_values[step])
        return (3.0,)

    ranked = sorted(finished, key=rank)
    stride = (len(ranked) - _BEST_KEPT) / (at_most - _BEST_KEPT)
    rest = sorted(ranked[_BEST_KEPT:], key=lambda trial: trial.number)
    numbers = {trial.number for trial in ranked[:_BEST_KEPT]}
    numbers |= {rest[int(place * stride)].number for place in range(at_most - _BEST_KEPT)}
    return [trial for trial in trials if trial.number in numbers or not trial.state.is_finished()]


def _violation(trial: FrozenTrial) -> float:
    return sum(value for value in trial.constraints.values() if value > 0)


def _places(
    finished: Sequence[FrozenTrial], directions: Sequence[StudyDirection]
) -> dict[int, float]:
    """Return number -> front of the feasible complete trials, 0 for the first."""
    complete = [
        trial
        for trial in finished
        if trial.state == TrialState.COMPLETE and trial.values and not _violation(trial)
    ]
    if not complete:
        return {}
    signs = [-1.0 if direction == StudyDirection.MAXIMIZE else 1.0 for direction in directions]
    values = np.array([trial.values for trial in complete]) * signs
    # As TPE itself does; trials beyond ``n_below`` share one front
    order = fronts(values, best=min(_BEST_KEPT, len(complete)))
    return {trial.number: float(front) for trial, front in zip(complete, order, strict=True)}


def _suggest(trial: optuna.Trial, path: str, parameter: Parameter) -> Scalar:
    if isinstance(parameter, Choice):
        value: Scalar = trial.suggest_categorical(path, parameter.labels)
        return value
    distribution = distribution_of(parameter)
    if isinstance(distribution, optuna.distributions.IntDistribution):
        return trial.suggest_int(
            path,
            distribution.low,
            distribution.high,
            step=distribution.step,
            log=distribution.log,
        )
    return trial.suggest_float(
        path, parameter.low, parameter.high, step=parameter.step, log=parameter.log
    )


@SAMPLERS.register("random")
def random() -> Sampler:
    """Every configuration drawn independently."""
    return OptunaSampler(lambda seed, _: RandomSampler(seed=seed))


@SAMPLERS.register("tpe")
def tpe(*, startup_trials: PositiveInt = 10, candidates: _Candidates = 24) -> Sampler:
    """Tree-structured Parzen estimator, multivariate, branches modelled apart (Optuna's).

    The first ``startup_trials`` finished trials are random (prior results replace up to half of
    them); after that the best of ``candidates`` draws from the density of the good trials is taken.
    Running trials count as bad, so that parallel workers spread out. Beyond 3,000 finished trials
    the model contains the best ones and an even share of the others.
    """

    return optuna_tpe(startup_trials, candidates)


def optuna_tpe(startup: int, candidates: int = 24) -> OptunaSampler:
    """Return TPE with ``startup`` random trials, which takes the best of ``candidates`` draws."""

    def make(seed: int, startup: int) -> BaseSampler:
        return TPESampler(
            seed=seed,
            multivariate=True,
            group=True,
            constant_liar=True,
            n_startup_trials=startup,
            n_ei_candidates=candidates,
        )

    return OptunaSampler(make, startup=startup, at_most=MODELLED_TRIALS)


@SAMPLERS.register("gp")
def gp(*, startup_trials: PositiveInt = 10) -> Sampler:
    """Gaussian process (Optuna's). Learns from complete trials; inside a branch it draws at random.

    Fits spaces without branches and searches with few, long trials.
    """

    def make(seed: int, startup: int) -> BaseSampler:
        # The docstring mentions random draws inside a branch; the log of each worker needn't.
        return GPSampler(seed=seed, n_startup_trials=startup, warn_independent_sampling=False)

    return OptunaSampler(make, startup=startup_trials, learns_from=(TrialState.COMPLETE,))
