"""The trees of the study: what they learn from trials that haven't come to their end."""

from __future__ import annotations

import numpy as np
import pytest
from optuna.distributions import FloatDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from support.searching import BRANCHED, LINE, FixedHistory, past_trial

from hpsearch.search.history_rows import EpochValues, epoch_values
from hpsearch.search.samplers.forest import (
    MODELLED,
    RANDOM_EVERY,
    SAME,
    Encoding,
    Forest,
    ForestSampler,
    _model_indices,
    expected_ends,
    growth,
    scale_of,
)
from hpsearch.search.samplers.sampler import Request
from hpsearch.study_file.space import Choice, Range


def paused(number: int, lr: float, curve: dict[int, float]) -> FrozenTrial:
    trial = past_trial(number, {"lr": lr}, LINE, value=curve[max(curve)], state=TrialState.PRUNED)
    trial.intermediate_values = curve
    return trial


def by_epoch(curves: dict[int, dict[int, float]]) -> EpochValues:
    return epoch_values(
        (n, epoch, at) for n, curve in curves.items() for epoch, at in curve.items()
    )


def draw_rates(history: FixedHistory, seeds: range, *, startup: int = 4) -> list[float]:
    sampler = ForestSampler(startup)
    requests = [
        Request(space=LINE, history=history, seed=seed, study_seed=7, fixed={}, point=None)
        for seed in seeds
    ]
    return [float(sampler.draw(request).params["lr"]) for request in requests]


def test_growth_adds_the_median_gain_of_each_step():
    curves = {0: {1: 0.5, 3: 0.6, 9: 0.9}, 1: {1: 0.4, 3: 0.7}, 2: {1: 0.3, 3: 0.31}, 3: {1: 0.1}}
    gains = growth(by_epoch(curves), [1, 3, 9])
    assert gains == pytest.approx({9: 0.0, 3: 0.3, 1: 0.3 + 0.1})
    ends = expected_ends(by_epoch(curves))
    assert ends.tolist() == pytest.approx([0.9, 1.0, 0.61, 0.5])
    assert expected_ends({}).tolist() == []


def test_a_step_that_nobody_took_adds_nothing():
    ends = expected_ends(by_epoch({0: {1: 0.5}, 2: {3: 0.4}}))
    assert ends.tolist() == pytest.approx([0.5, np.nan, 0.4], nan_ok=True)


def test_a_paused_trial_is_worth_what_it_has_and_what_others_gained():
    """Complete trials have 0.6 around 0.2; those that wait at 0.8 are worth 0.55 + 0.2."""
    complete = [paused(number, 0.2 + number / 100, {1: 0.4, 3: 0.5, 9: 0.6}) for number in range(5)]
    waiting = [paused(5 + number, 0.8 + number / 100, {1: 0.55}) for number in range(5)]
    poor = [paused(10 + number, number / 5, {1: 0.1}) for number in range(5)]
    rates = draw_rates(FixedHistory([*complete, *waiting, *poor]), range(20))
    at_the_waiting = sum(abs(x - 0.82) < 0.2 for x in rates)
    assert at_the_waiting >= 12 > 4 >= sum(abs(x - 0.22) < 0.2 for x in rates)


def test_nothing_is_proposed_that_was_tried_or_is_being_tried():
    done = [paused(n, 0.5 + n / 100, {1: 0.9 - n / 1000}) for n in range(8)]
    done += [paused(8 + n, n / 8, {1: 0.2}) for n in range(4)]
    running = past_trial(12, {"lr": 0.64}, LINE, state=TrialState.RUNNING)
    for x in draw_rates(FixedHistory([*done, running]), range(1, 30)):
        near = min(abs(x - trial.params["lr"]) for trial in [*done, running])
        assert near > SAME[0] or x in [random_one(seed) for seed in range(1, 30)]


def random_one(seed: int) -> float:
    rng = np.random.default_rng(seed)
    return float(rng.random()) if rng.random() < 1 / RANDOM_EVERY else float("nan")


def test_draws_are_random_before_the_startup_trials_and_one_in_ten_after_it():
    trials = [paused(n, 0.9 + n / 200, {1: 0.9}) for n in range(3)]
    trials += [paused(3 + n, n / 5, {1: 0.0}) for n in range(3)]
    early = draw_rates(FixedHistory(trials), range(200), startup=7)
    assert 0.4 < float(np.mean(np.array(early) < 0.5)) < 0.6
    later = draw_rates(FixedHistory(trials), range(80), startup=6)
    assert 0.01 < float(np.mean(np.array(later) < 0.5)) < 0.25


@pytest.mark.parametrize("kind", ["failed", "invalid"])
def test_failed_trials_count_as_bad_and_invalid_ones_not_at_all(kind):
    good = [paused(n, n / 20, {1: 0.5}) for n in range(10)]
    failed = [
        past_trial(10 + n, {"lr": 0.5 + n / 20}, LINE, state=TrialState.FAIL) for n in range(10)
    ]
    history = FixedHistory([*good, *failed])
    if kind == "invalid":
        history._invalid = {trial._trial_id for trial in failed}
    there = sum(x > 0.5 for x in draw_rates(history, range(60)))
    assert there <= 9 if kind == "failed" else there >= 20


def test_less_is_better_if_the_study_minimizes():
    trials = [paused(n, n / 20, {1: abs(n / 20 - 0.3)}) for n in range(20)]
    history = FixedHistory(trials, StudyDirection.MINIMIZE)
    assert float(np.median(np.abs(np.array(draw_rates(history, range(20))) - 0.3))) < 0.15


def test_an_encoding_has_a_scale_for_numbers_and_a_column_for_each_other_value():
    encoding = Encoding(BRANCHED)
    assert scale_of(Range(low=1e-4, high=1.0, log=True))(1e-2) == pytest.approx(0.5)
    assert scale_of(Choice((64, 16, 32)))(32) == 0.5
    assert scale_of(Range(low=3.0, high=3.0))(3.0) == 0.0
    adam = encoding.row({"optimizer": "adam", "optimizer.adam.lr": 1e-3, "batch_size": 128})
    sgd = encoding.row({"optimizer": "sgd", "optimizer.sgd.lr": 1e-3, "batch_size": 128})
    assert sorted(adam[adam >= 0]) == pytest.approx([0.0, 0.5, 1.0, 1.0])
    assert (adam != sgd).sum() == 4  # both columns of the optimizer, and each its own rate
    assert encoding.row({"of another space": 1.0}).tolist() == [-1.0] * encoding.width


def test_trees_follow_a_step_and_know_where_they_know_nothing():
    rows = np.array([[x / 30] for x in range(30)])
    forest = Forest(rows, (rows[:, 0] > 0.5).astype(float), seed=1)
    mean, spread = forest.predict(np.array([[0.2], [0.9], [0.5]]))
    assert mean[0] < 0.1 < 0.9 < mean[1]
    assert spread[2] > max(spread[0], spread[1])


def test_the_best_half_and_an_even_share_of_the_others_are_modelled():
    scores = np.random.default_rng(0).permutation(3 * MODELLED).astype(float)
    indices = _model_indices(scores)
    assert len(indices) == len(set(indices.tolist())) == MODELLED
    best = set(np.argsort(-scores)[: MODELLED // 2].tolist())
    assert best <= set(indices.tolist())
    others = np.sort([place for place in indices if place not in best])
    assert others[-1] - others[0] > 2.5 * MODELLED
    assert (
        0.9 < scores[others].mean() / (1.25 * MODELLED) < 1.1
    )  # neither the next best nor the worst
    assert _model_indices(scores[:5]).tolist() == [0, 1, 2, 3, 4]


def test_several_objectives_are_left_to_tpe():
    history = FixedHistory([])
    history.directions = (StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE)
    for number in range(12):
        trial = past_trial(number, {"lr": number / 12}, LINE, value=0.5)
        trial.values = [0.5, number / 12]
        trial.distributions = {"lr": FloatDistribution(0.0, 1.0)}
        history.given.append(trial)
    request = Request(space=LINE, history=history, seed=1, study_seed=7, fixed={}, point=None)
    sampler = ForestSampler(4)
    assert sampler.draw(request) == sampler._several.draw(request)
    assert sampler.is_random(request) is False
    history.given = history.given[:3]
    assert sampler.is_random(request) is True
