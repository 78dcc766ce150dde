"""Which parameters the objective varies with, by Optuna's own evaluators.

An importance is a share of the objective's variation, 0..1. It has no direction and no unit: use
``effects`` to choose a value. Each group of trials that share the same parameters is evaluated
separately (all trials for the parameters that always apply, and each branch for its own), since an
evaluator needs every parameter in every trial.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hpsearch.reporting.analysis.observations import AnalysisData, ObservedTrial
from hpsearch.reporting.analysis.parameters import SearchedParameter
from hpsearch.study_file.space import short_name

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

#: Fewest complete trials of a group.
LEAST_TRIALS = 10
#: fANOVA's forest takes seconds beyond this many trials; then it uses an evenly spaced part.
_FOREST_TRIALS = 250
#: Resamples of the trials for the interval; each trains its own forest.
_RESAMPLES = {"ped_anova": 20, "fanova": 6}


@dataclass(frozen=True, kw_only=True)
class Importance:
    """One parameter's share."""

    parameter: str
    name: str
    #: Shares of one group add up to 1.
    share: float
    #: Interval that contains 95 % of the resampled shares.
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Group:
    """Trials that share the same parameters: all of them, or those of a branch."""

    #: Path of the branch -> option; empty for parameters that always apply.
    branch: Mapping[str, str]
    trials: int
    #: The most important first; empty if ``reason`` is set.
    importances: tuple[Importance, ...] = ()
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class Importances:
    """Shares by one evaluator."""

    #: ``ped_anova``: parameters that distinguish the best tenth of the trials from all of them.
    #: ``fanova``: parameters that the value varies with over the whole space.
    evaluator: str
    groups: tuple[Group, ...]
    #: The meaning of the intervals, and which trials were left out.
    note: str


def importances(
    data: AnalysisData, *, evaluator: str = "ped_anova", resamples: int | None = None
) -> Importances:
    """Return the parameters' shares, estimated from complete trials.

    Args:
        data: The ended trials.
        evaluator: ``ped_anova`` or ``fanova``.
        resamples: Resamples of the trials for the intervals; ``None``: the evaluator's default.
    """
    if resamples is None:
        resamples = _RESAMPLES[evaluator]
    complete = [trial for trial in data.trials if trial.value is not None]
    branches: list[Mapping[str, str]] = []
    for parameter in data.parameters.values():
        if dict(parameter.branch) not in branches:
            branches.append(dict(parameter.branch))
    groups = [
        _group(
            branch,
            [
                parameter
                for parameter in data.parameters.values()
                if dict(parameter.branch) == branch
            ],
            complete,
            data,
            evaluator,
            resamples,
        )
        for branch in branches
    ]
    note = (
        f"complete trials only; intervals contain 95 % of {resamples} resamples of the trials"
        if evaluator == "ped_anova"
        else f"complete trials only, at most {_FOREST_TRIALS}; intervals contain 95 % of "
        f"{resamples} resamples of the trials"
    )
    return Importances(evaluator=evaluator, groups=tuple(groups), note=note)


def _group(
    branch: Mapping[str, str],
    parameters: Sequence[SearchedParameter],
    complete: Sequence[ObservedTrial],
    data: AnalysisData,
    evaluator: str,
    resamples: int,
) -> Group:
    trials = [
        trial
        for trial in complete
        if all(trial.params.get(path) == option for path, option in branch.items())
        and all(parameter.path in trial.params for parameter in parameters)
    ]
    varying = [
        parameter
        for parameter in parameters
        if len({str(trial.params[parameter.path]) for trial in trials}) > 1
    ]
    reason = _reason(trials, varying)
    if reason is not None:
        return Group(branch=branch, trials=len(trials), reason=reason)
    limit = len(trials) if evaluator == "ped_anova" else _FOREST_TRIALS
    if len(trials) > limit:
        trials = [trials[place * len(trials) // limit] for place in range(limit)]
    evaluate = _evaluator(evaluator, data, varying)
    try:
        shares = evaluate(trials)
    except (ValueError, RuntimeError, ArithmeticError) as error:
        return Group(branch=branch, trials=len(trials), reason=f"no share can be computed: {error}")
    rng = np.random.default_rng(0)
    samples = []
    for _ in range(resamples):
        indices = rng.integers(0, len(trials), len(trials))
        try:
            samples.append(evaluate([trials[place] for place in indices]))
        except (ValueError, RuntimeError, ArithmeticError):
            continue  # a resample without differences has no shares
    return Group(
        branch=branch,
        trials=len(trials),
        importances=tuple(
            Importance(
                parameter=path,
                name=short_name(path, data.parameters),
                share=share,
                low=min(share, _quantile(samples, path, 0.025, share)),
                high=max(share, _quantile(samples, path, 0.975, share)),
            )
            for path, share in sorted(shares.items(), key=lambda pair: -pair[1])
        ),
    )


def _reason(trials: Sequence[ObservedTrial], varying: Sequence[SearchedParameter]) -> str | None:
    if len(trials) < LEAST_TRIALS:
        return f"at least {LEAST_TRIALS} complete trials are needed, but there are {len(trials)}"
    if len({trial.value for trial in trials}) < 2:
        return "all complete trials have the same value"
    if len(varying) < 2:
        return "shares need two parameters that vary, but there are " + str(len(varying))
    return None


def _quantile(
    samples: Sequence[Mapping[str, float]], path: str, at: float, otherwise: float
) -> float:
    shares = [sample[path] for sample in samples if path in sample and np.isfinite(sample[path])]
    return float(np.quantile(shares, at)) if shares else otherwise


def _evaluator(
    name: str, data: AnalysisData, parameters: Sequence[SearchedParameter]
) -> Callable[[Sequence[ObservedTrial]], dict[str, float]]:
    from optuna.importance import (
        FanovaImportanceEvaluator,
        PedAnovaImportanceEvaluator,
        get_param_importances,
    )

    from hpsearch.search.history import distribution_of

    distributions = {
        parameter.path: distribution_of(parameter.parameter) for parameter in parameters
    }
    paths = list(distributions)

    def evaluate(trials: Sequence[ObservedTrial]) -> dict[str, float]:
        study = _study(trials, distributions, maximize=data.maximize)
        evaluator: Any
        if name == "ped_anova":
            evaluator = PedAnovaImportanceEvaluator()
        else:
            evaluator = FanovaImportanceEvaluator(n_trees=24, max_depth=8, seed=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            shares = get_param_importances(study, evaluator=evaluator, params=paths)
        total = sum(shares.values())
        if not np.isfinite(total):
            raise ValueError("the shares aren't numbers")
        return {path: float(shares.get(path, 0.0)) for path in paths}

    return evaluate


def _study(
    trials: Sequence[ObservedTrial], distributions: Mapping[str, Any], *, maximize: bool
) -> Study:
    """Return the trials as a study in memory, without access to the database."""
    import optuna
    from optuna.trial import TrialState

    frozen: list[FrozenTrial] = [
        optuna.trial.FrozenTrial(
            number=number,
            trial_id=number,
            state=TrialState.COMPLETE,
            value=trial.value,
            datetime_start=None,
            datetime_complete=None,
            params={path: trial.params[path] for path in distributions},
            distributions=dict(distributions),
            user_attrs={},
            system_attrs={},
            intermediate_values={},
        )
        for number, trial in enumerate(trials)
    ]
    from optuna.study import StudyDirection

    from hpsearch.search.history import DraftView

    way = StudyDirection.MAXIMIZE if maximize else StudyDirection.MINIMIZE
    return optuna.Study(study_name="importances", storage=DraftView(1, [way], frozen, {}))
