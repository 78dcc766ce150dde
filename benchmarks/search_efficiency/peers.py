"""The peers of hpsearch: Optuna as its users call it, and one plain rule."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.trial import TrialState

from benchmarks.search_efficiency.simulation import Answer, Job
from benchmarks.search_efficiency.table import Table
from hpsearch.search.history import distribution_of
from hpsearch.study_file.space import Choice, Parameter, Scalar


class OptunaSearch:
    """``study.ask``, ``trial.report``, ``trial.should_prune``, ``study.tell``.

    The trial's parameters become those of the table's row before anything is reported.
    """

    def __init__(
        self, table: Table, sampler: BaseSampler, pruner: BasePruner, *, epochs: int
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.table, self.epochs = table, epochs
        self.storage = optuna.storages.InMemoryStorage()
        self.study = optuna.create_study(
            storage=self.storage, sampler=sampler, pruner=pruner, direction="maximize",
            study_name="replay",
        )  # fmt: skip
        self.used = np.zeros(len(table), dtype=bool)
        self._trials: dict[int, optuna.Trial] = {}
        self._complete: dict[int, float] = {}

    def begin(self, worker: int) -> Job | None:
        """Return a new trial."""
        if self.used.all():
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trial = self.study.ask()
            draw = self.table.space.draw(lambda path, what: suggest(trial, path, what))
        row = self.table.nearest_unused(draw.params, self.used)
        self.used[row] = True
        parameters = self.table.space.parameters()
        stored = self.storage._get_trial(trial._trial_id)
        params = dict(self.table.params[row])
        distributions: dict[str, BaseDistribution] = {
            path: distribution_of(parameters[path]) for path in params
        }
        for frozen_trial in (stored, trial._cached_frozen_trial):
            frozen_trial.params, frozen_trial.distributions = params, distributions
        self._trials[trial.number] = trial
        return Job(key=trial.number, row=row)

    def report(self, worker: int, job: Job, epoch: int, value: float) -> Answer:
        """Report, and ask whether to prune; end the trial as ``study.optimize`` does."""
        trial = self._trials[job.key]
        trial.report(value, epoch)
        if epoch == self.epochs:
            self.study.tell(trial, value)
            self._complete[job.row] = value
            return "ended"
        if trial.should_prune():
            self.study.tell(trial, state=TrialState.PRUNED)
            return "ended"
        return "continue"

    def diverged(self, worker: int, job: Job) -> None:
        """Fail the trial, as if the objective had raised."""
        self.study.tell(self._trials[job.key], state=TrialState.FAIL)

    def pick(self) -> int | None:
        """Return ``study.best_trial``'s row."""
        return max(self._complete, key=self._complete.__getitem__, default=None)


def suggest(trial: optuna.Trial, path: str, parameter: Parameter) -> Scalar:
    """Return Optuna's suggestion for one parameter of a space."""
    distribution = distribution_of(parameter)
    if isinstance(parameter, Choice):
        value: Scalar = trial.suggest_categorical(path, parameter.labels)
        return value
    if isinstance(distribution, optuna.distributions.IntDistribution):
        return trial.suggest_int(path, distribution.low, distribution.high)
    return trial.suggest_float(path, parameter.low, parameter.high, log=parameter.log)


class ScreenThenTrain:
    """One epoch for each of ``count`` random configurations, then the best in full, one by one.

    (arXiv 2307.15422 trains the best three; this one continues with the fourth if time is left.)
    """

    def __init__(self, table: Table, draw: Callable[[], int], count: int) -> None:
        self.epochs, self._draw = table.epochs, draw
        self._left = count
        self._running = 0
        self._screened: dict[int, float] = {}
        self._taken: set[int] = set()
        self._complete: dict[int, float] = {}

    def begin(self, worker: int) -> Job | None:
        """Return a configuration for one epoch, later the best of those not yet trained in full."""
        if self._left:
            self._left -= 1
            self._running += 1
            return Job(key=0, row=self._draw())
        if self._running:
            return None
        rest = [row for row in self._screened if row not in self._taken]
        if not rest:
            return None
        row = max(rest, key=self._screened.__getitem__)
        self._taken.add(row)
        return Job(key=1, row=row, epochs_done=1)

    def report(self, worker: int, job: Job, epoch: int, value: float) -> Answer:
        """Record the value."""
        if job.key == 0:
            self._running -= 1
            self._screened[job.row] = value
            return "ended"
        if epoch == self.epochs:
            self._complete[job.row] = value
        return "ended" if epoch == self.epochs else "continue"

    def diverged(self, worker: int, job: Job) -> None:
        """Exclude the configuration."""
        if job.key == 0:
            self._running -= 1

    def pick(self) -> int | None:
        """Return the best configuration trained in full, or else the best after one epoch."""
        scores = self._complete or self._screened
        return max(scores, key=scores.__getitem__, default=None)
