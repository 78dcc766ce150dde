"""Small studies, spaces and histories for tests of the search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from hpsearch.metrics import METRIC_COLUMNS, OBJECTIVES, EpochEnd, EpochMetrics
from hpsearch.registry import Component
from hpsearch.search.database.storage import Database
from hpsearch.search.history import TrialHistory, distribution_of
from hpsearch.search.history_rows import EpochValues, epoch_values
from hpsearch.study_file.goals import Objective
from hpsearch.study_file.space import Branch, Choice, Fixed, Group, Range, Scalar, Space
from hpsearch.study_file.study import Budget, StudyFile

#: Every kind of node: a branch with different parameters, a range of each kind, a list as choice.
BRANCHED = Space(
    Group(
        {
            "data": Group({"input_size": Choice((None, 32, 64)), "limit": Fixed(400)}),
            "model": Branch(
                {
                    "mlp": Group(
                        {
                            "hidden": Choice(([64], [128, 64])),
                            "dropout": Range(low=0.0, high=0.5, step=0.1),
                        }
                    )
                }
            ),
            "optimizer": Branch(
                {
                    "sgd": Group(
                        {
                            "lr": Range(low=1e-3, high=0.5, log=True),
                            "momentum": Range(low=0.6, high=0.95),
                            "nesterov": Choice((False, True)),
                        }
                    ),
                    "adam": Group({"lr": Range(low=1e-4, high=1e-2, log=True)}),
                }
            ),
            "batch_size": Range(low=16, high=128, step=16, integer=True),
            "epochs_warmup": Range(low=1, high=64, log=True, integer=True),
        }
    )
)

#: One continuous parameter; enough wherever the space doesn't matter.
#: A study file that leaves sampler, pruner and prior to hpsearch.
SILENT = """\
study: s
budget: {trials: 4, epochs_per_trial: 2}
data: {source: digits}
model: mlp
optimizer: {sgd: {lr: {min: 0.1, max: 1}}}
"""

LINE = Space(Group({"lr": Range(low=0.0, high=1.0)}))


def study_file(
    *,
    name: str = "line",
    trials: int = 4,
    epochs: int = 3,
    metric: str = "val_accuracy",
    at: str = "last",
    space: Space = LINE,
    document: Mapping[str, Any] | None = None,
    objectives: Sequence[str] = (),
    by_fronts: bool = False,
    constraints: Sequence[str] = (),
) -> StudyFile:
    """Return a study as loading would, its document short but of the right shape."""
    short: dict[str, Any] = {
        "study": name,
        "objective": {"metric": metric, "at": at},
        "budget": {"trials": trials, "epochs_per_trial": epochs},
        "optimizer": {"sgd": {"lr": {"min": 0.0, "max": 1.0}}},
    }
    if objectives:
        del short["objective"]
        short |= {
            "objectives": {"metrics": list(objectives), "at": at},
            "prune_on": None if by_fronts else metric,
        }
    if constraints:
        short["constraints"] = list(constraints)
    return StudyFile(
        name=name,
        description="",
        seed=7,
        objective=Objective(metric=metric, at=at),  # type: ignore[arg-type]
        budget=Budget(trials=trials, epochs_per_trial=epochs),
        sampler=Component("random"),
        pruner=Component("none"),
        space=space,
        try_first=(),
        plugins=(),
        text=f"study: {name}\n",
        document=short if document is None else document,
    )


def epoch_end(epoch: int, value: float, *, last: bool = False, **others: Any) -> EpochEnd:
    """Return the end of an epoch of which every objective is ``value``."""
    changed = {name: others.pop(name) for name in METRIC_COLUMNS if name in others}
    metrics = epoch_metrics(epoch, value, **changed)
    return EpochEnd(metrics=metrics, last=last, state=dict, **others)


def epoch_metrics(epoch: int, value: float, **others: float) -> EpochMetrics:
    """Return the metrics of an epoch of which every objective is ``value``."""
    figures = {
        "train_loss": 0.5 / epoch,
        "train_accuracy": 0.75,
        **dict.fromkeys(OBJECTIVES, value),
        "lr": 0.125,
        "seconds": 2.0,
        "val_seconds": 0.5,
    }
    return EpochMetrics(epoch=epoch, **{**figures, **others})


def past_trial(
    number: int,
    params: Mapping[str, Scalar],
    space: Space,
    *,
    value: float | None = None,
    state: TrialState = TrialState.COMPLETE,
    infeasible: bool = False,
) -> FrozenTrial:
    """Return a trial of ``space`` as Optuna knows it."""
    parameters = space.parameters()
    distributions: dict[str, BaseDistribution] = {
        path: distribution_of(parameters[path]) for path in params
    }
    marks = {"constraints": [1.0], "constraints:infeasible": 1.0} if infeasible else {}
    return FrozenTrial(
        number=number,
        trial_id=number + 1,
        state=state,
        value=value,
        datetime_start=None,
        datetime_complete=None,
        params=dict(params),
        distributions=distributions,
        user_attrs={},
        system_attrs=marks,
        intermediate_values={} if value is None else {1: value},
    )


class FixedHistory(TrialHistory):
    """A history of given trials; asks no database."""

    def __init__(
        self,
        trials: Sequence[FrozenTrial] = (),
        direction: StudyDirection = StudyDirection.MAXIMIZE,
    ) -> None:
        super().__init__(_NO_DATABASE, 1, direction)
        self.given = list(trials)

    def refresh(self) -> list[FrozenTrial]:
        """Return the given trials."""
        return list(self.given)

    def curves(self) -> EpochValues:
        """Return what the given trials have as intermediate values."""
        return epoch_values(
            (trial.number, epoch, value)
            for trial in self.given
            for epoch, value in trial.intermediate_values.items()
        )


class _NoDatabase(Database):
    def __init__(self) -> None:
        """Open nothing; whoever touches it gets an AttributeError."""


_NO_DATABASE = _NoDatabase()
