from __future__ import annotations

import numpy as np
import pytest
from support.evidence import evidence

from hpsearch.reporting.analysis.imputation import Configuration, impute, posterior
from hpsearch.reporting.analysis.observations import AnalysisData, ObservedTrial
from hpsearch.reporting.analysis.outcomes import outcomes


def best_third(number: int, first: float) -> bool:
    return first > 0.49 or number % 8 == 0


def test_complete_trials_keep_their_value_and_others_get_draws() -> None:
    data = evidence(lambda params: 0.7 + 0.1 * params["flip"], survives=best_third)
    study = outcomes(data)
    assert not isinstance(study, str)
    draws = study.ends(np.zeros((len(data.trials), 0)))
    for trial, ends in zip(data.trials, draws, strict=True):
        if trial.value is None:
            assert ends.std() > 1e-4
        else:
            assert (ends == trial.value).all()


def test_pruned_trials_end_where_trials_like_them_did() -> None:
    data = evidence(lambda params: 0.6 + 0.1 * params["dilation"] / 3, survives=best_third)
    pruned = np.array([trial.value is None for trial in data.trials])
    assert pruned.sum() > 15
    study = outcomes(data)
    assert not isinstance(study, str)
    draws = study.ends(np.zeros((len(data.trials), 0)))[pruned]
    true = np.array([0.6 + 0.1 * trial.params["dilation"] / 3 for trial in data.trials])[pruned]
    assert np.abs(draws.mean(axis=1) - true).mean() < 0.015
    inside = np.abs(draws.mean(axis=1) - true) < 2.5 * draws.std(axis=1) + 0.01
    assert inside.mean() > 0.85


def test_values_below_0_are_as_good_as_others() -> None:
    """A training loop of a study's own may measure anything."""
    data = evidence(
        lambda params: -2.0 + 0.1 * params["dilation"] / 3,
        start=lambda params: -2.2 + 0.1 * params["dilation"] / 3,
        survives=lambda number, first: number % 3 == 0,
        metric="val_height",
    )
    pruned = np.array([trial.value is None for trial in data.trials])
    study = outcomes(data)
    assert not isinstance(study, str)
    draws = study.ends(np.zeros((len(data.trials), 0)))[pruned]
    true = np.array([-2.0 + 0.1 * trial.params["dilation"] / 3 for trial in data.trials])[pruned]
    assert np.abs(draws.mean(axis=1) - true).mean() < 0.02


def test_a_level_of_which_no_trial_went_on_is_unknown() -> None:
    """Were the others' gains taken for its own, it would be known as well as they are."""
    data = evidence(
        lambda params: 0.8,
        start=lambda params: 0.6 - 0.2 * params["flip"],
        survives=lambda number, first: first > 0.4,
    )
    study = outcomes(data)
    assert not isinstance(study, str)
    flip = np.array([float(trial.params["flip"]) for trial in data.trials])
    unaware = study.ends(np.zeros((len(flip), 0)))
    aware = study.ends(flip[:, None])
    spread = [ends[flip == 1].mean(axis=0).std() for ends in (unaware, aware)]
    assert spread[1] > 2 * spread[0]


def test_nothing_is_known_before_a_trial_is_complete() -> None:
    data = evidence(lambda params: 0.8, survives=lambda number, first: False)
    none = Configuration(columns=np.zeros((len(data.trials), 0)), groups=[])
    assert impute(data, none, draws=3) is None
    assert "0" in str(outcomes(data))


def test_an_early_stop_is_an_end() -> None:
    data = evidence(lambda params: 0.8, survives=best_third)
    stopped = ObservedTrial(number=99, params=data.trials[0].params, curve=(0.5, 0.52), value=0.52)
    with_it = AnalysisData(**{**vars(data), "trials": [*data.trials, stopped]})
    study = outcomes(with_it)
    assert not isinstance(study, str)
    draws = study.ends(np.zeros((len(with_it.trials), 0)))
    assert draws[-1] == pytest.approx(max(0.52, study.fence))


def test_the_posterior_shrinks_what_doesnt_matter_and_leaves_what_does() -> None:
    rng = np.random.default_rng(0)
    columns = rng.normal(size=(60, 10))
    gain = 0.3 + 0.5 * columns[:, 3] + rng.normal(0, 0.1, 60)
    design = np.column_stack([np.ones(60), rng.normal(size=60), columns])
    draws = posterior(design, gain, [0.5], list(range(10)), draws=60, rng=rng)
    coefficients = np.array([sample for sample, _ in draws])
    mean = coefficients.mean(axis=0)
    assert mean[0] == pytest.approx(0.3, abs=0.05)
    assert mean[2 + 3] == pytest.approx(0.5, abs=0.05)
    assert np.abs(np.delete(mean[2:], 3)).max() < 0.03
    assert np.mean([noise for _, noise in draws]) == pytest.approx(0.1, rel=0.25)
