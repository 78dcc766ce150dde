"""Optuna's samplers, asked for one whole configuration against a draft."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler
from pydantic import PositiveInt

from hpsearch.search.history import DRAFT_ID
from hpsearch.search.samplers.registry import SAMPLERS
from hpsearch.search.suggest import Request, Sampler, distribution_of
from hpsearch.study_file.space import Choice, Draw, Parameter, Scalar, Space


class OptunaSampler:
    """Adapts an Optuna sampler; ``make`` builds one from a seed, afresh for every draw."""

    enumerates = False

    def __init__(self, make: Callable[[int], BaseSampler]) -> None:
        self._make = make

    def check(self, space: Space) -> None:
        """Accept every space."""

    def draw(self, request: Request) -> Draw:
        """Ask Optuna for every parameter that applies, in the file's order."""
        view = request.history.draft(request.fixed, request.trials)
        with warnings.catch_warnings():
            # `group` and GPSampler are marked experimental; optuna>=5.0,<5.1 is pinned and tested.
            warnings.simplefilter("ignore", ExperimentalWarning)
            sampler = self._make(request.seed)
        # A fresh Study for every draw: it caches the trials that it saw first.
        study = optuna.Study(study_name="draft", storage=view, sampler=sampler)
        trial = optuna.Trial(study, DRAFT_ID)
        return request.space.draw(lambda path, parameter: _suggest(trial, path, parameter))


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
    return OptunaSampler(lambda seed: RandomSampler(seed=seed))


@SAMPLERS.register("tpe")
def tpe(*, startup_trials: PositiveInt = 10, candidates: PositiveInt = 24) -> Sampler:
    """Tree-structured Parzen estimator, multivariate, branches modelled apart (Optuna's).

    The first ``startup_trials`` finished trials are random; after that the best of ``candidates``
    draws from the density of the good trials is taken. Running trials count as bad, so that
    parallel workers spread out.
    """

    def make(seed: int) -> BaseSampler:
        return TPESampler(
            seed=seed,
            multivariate=True,
            group=True,
            constant_liar=True,
            n_startup_trials=startup_trials,
            n_ei_candidates=candidates,
        )

    return OptunaSampler(make)


@SAMPLERS.register("gp")
def gp(*, startup_trials: PositiveInt = 10) -> Sampler:
    """Gaussian process (Optuna's). Learns from complete trials; inside a branch it draws at random.

    Fits spaces without branches and searches with few, long trials.
    """

    def make(seed: int) -> BaseSampler:
        # Drawing at random inside a branch is said above, not in every worker's log.
        return GPSampler(
            seed=seed, n_startup_trials=startup_trials, warn_independent_sampling=False
        )

    return OptunaSampler(make)
