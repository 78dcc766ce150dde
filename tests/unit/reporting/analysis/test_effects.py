"""Verdicts on evidence whose truth is known. How often they hold: ``benchmarks.effects``."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from support.evidence import evidence

from hpsearch.reporting.analysis.effects import effects
from hpsearch.reporting.analysis.observations import ObservedTrial
from hpsearch.results.verdicts import Verdict


def by_dilation(params) -> float:
    return 0.80 + {1: 0.0, 2: 0.03, 3: 0.02}[params["dilation"]]


def test_an_effect_is_found_with_its_size_and_direction() -> None:
    study = effects(evidence(by_dilation), most_pairs=0)
    effect = study.effects[0]
    assert (effect.parameter, effect.verdict, effect.best) == ("dilation", Verdict.YES, "2")
    assert effect.difference is not None
    assert (effect.difference.level, effect.difference.other) == ("2", "1")
    ahead = effect.difference.ahead
    assert ahead.low < 0.03 < ahead.high
    assert 0 < ahead.half_width < 0.01
    assert [level.mean for level in effect.levels] == pytest.approx([0.80, 0.83, 0.82], abs=0.005)
    assert effect.sentence.startswith("dilation: yes, 2 is better than 1 by ")


def test_what_doesnt_matter_is_no_or_undecided_and_the_strongest_stands_first() -> None:
    study = effects(evidence(by_dilation), most_pairs=0)
    others = study.effects[1:]
    assert {effect.verdict for effect in others} <= {Verdict.NO, Verdict.UNDECIDED}
    assert study.of("flip").verdict is Verdict.NO
    assert study.of("flip").largest < study.margin == 0.01
    assert "no two of its values differ by more than 1.00 points" in study.of("flip").sentence
    assert study.examined == len([effect for effect in study.effects if effect.p_value is not None])


def test_what_may_yet_differ_by_more_than_the_margin_is_no_no() -> None:
    study = effects(evidence(lambda p: 0.8, noise=0.05, trials=60), most_pairs=0)
    flip = study.of("flip")
    assert flip.largest > study.margin
    assert flip.verdict is Verdict.UNDECIDED
    assert Verdict.NO not in {effect.verdict for effect in study.effects}


def test_where_less_is_better_the_lower_loss_leads() -> None:
    study = effects(evidence(lambda p: 0.5 - 0.1 * p["flip"], metric="val_loss"), most_pairs=0)
    effect = study.of("flip")
    assert (effect.verdict, effect.best) == (Verdict.YES, "true")
    assert effect.difference.ahead.estimate == pytest.approx(0.1, abs=0.01)
    assert "points" not in effect.sentence


def test_a_sampler_that_gives_one_level_better_company_doesnt_help_it() -> None:
    """Trials with flip got the good learning rates: by the plain means it would look better."""
    good = evidence(lambda p: 0.9 - 0.05 * abs(math.log10(p["lr"] / 1e-2)), trials=160)
    subset = [
        trial
        for trial in good.trials
        if trial.params["flip"] == (trial.params["lr"] > 1e-3) or trial.number % 5 == 0
    ]
    skewed = replace(good, trials=subset)
    flip = np.array([trial.params["flip"] for trial in subset])
    ends = np.array([trial.value for trial in subset])
    assert ends[flip].mean() - ends[~flip].mean() > 0.02
    study = effects(skewed, most_pairs=0)
    assert study.of("flip").verdict is not Verdict.YES
    assert abs(study.of("flip").difference.ahead.estimate) < 0.01
    assert study.of("lr").verdict is Verdict.YES


def test_pruned_trials_count_though_they_never_ended() -> None:
    """Of the bad level only lucky trials are complete: by these alone it would look as good."""
    data = evidence(
        lambda p: 0.75 + 0.1 * p["flip"],
        trials=120,
        noise=0.03,
        survives=lambda number, first: first > 0.48 or number % 6 == 0,
    )
    complete = [trial for trial in data.trials if trial.value is not None]
    flip = np.array([trial.params["flip"] for trial in complete])
    ends = np.array([trial.value for trial in complete])
    by_hand = ends[flip].mean() - ends[~flip].mean()
    effect = effects(data, most_pairs=0).of("flip")
    estimate = effect.difference.ahead.estimate
    assert by_hand < 0.085, "the selection's bias that is to be seen"
    assert abs(estimate - 0.1) < abs(by_hand - 0.1)
    assert effect.difference.ahead.low < 0.1 < effect.difference.ahead.high
    assert effect.verdict is Verdict.YES


def test_a_branchs_own_parameter_is_judged_within_it() -> None:
    data = evidence(lambda p: 0.7 + 0.2 * p.get("optimizer.sgd.momentum", 0.7), trials=140)
    study = effects(data, most_pairs=0)
    effect = study.of("optimizer.sgd.momentum")
    assert (effect.branch, effect.verdict) == ({"optimizer": "sgd"}, Verdict.YES)
    inside = sum("optimizer.sgd.momentum" in trial.params for trial in data.trials)
    assert sum(level.trials for level in effect.levels) == inside
    assert study.of("optimizer").verdict is not Verdict.YES


def test_diverged_trials_count_as_the_floor() -> None:
    data = evidence(lambda p: 0.85, trials=100)
    broken = [
        ObservedTrial(number=trial.number, params=trial.params, curve=(), value=None, diverged=True)
        if trial.params["lr"] > 2e-2
        else trial
        for trial in data.trials
    ]
    study = effects(replace(data, trials=broken), most_pairs=0)
    assert study.diverged > 10
    assert study.floored >= study.diverged
    assert 0.8 < study.floor < 0.85
    effect = study.of("lr")
    assert effect.levels[-1].mean < effect.levels[0].mean
    assert effect.best != effect.levels[-1].label


def test_the_same_evidence_gives_the_same_answer() -> None:
    data = evidence(by_dilation, trials=40, survives=lambda number, first: number % 3 > 0)
    assert effects(data, most_pairs=1) == effects(data, most_pairs=1)


@pytest.mark.parametrize("trials", [0, 1, 7])
def test_few_trials_give_a_reason_and_no_effect(trials: int) -> None:
    study = effects(evidence(by_dilation, trials=trials))
    assert study.effects == ()
    assert study.reason == (
        f"effects need at least 8 complete trials, but there are {trials}; launch more trials"
    )


def test_of_ten_trials_nothing_is_claimed() -> None:
    study = effects(evidence(by_dilation, trials=10))
    assert {effect.verdict for effect in study.effects} == {Verdict.UNDECIDED}
    assert all(effect.sentence for effect in study.effects)


def test_equal_values_are_no_exception() -> None:
    study = effects(evidence(lambda p: 0.8, noise=0.0, trials=40))
    assert Verdict.YES not in {effect.verdict for effect in study.effects}


def test_equal_configurations_give_a_reason() -> None:
    data = evidence(by_dilation, trials=20)
    same = [replace(trial, params=data.trials[0].params) for trial in data.trials]
    study = effects(replace(data, trials=same))
    assert study.reason == "all trials have the same parameters"


def test_a_thousand_trials_take_seconds() -> None:
    data = evidence(by_dilation, trials=1000, survives=lambda number, first: number % 3 == 0)
    study = effects(data, most_pairs=1)
    assert study.effects[0].parameter == "dilation"
    assert study.foretold == 666
