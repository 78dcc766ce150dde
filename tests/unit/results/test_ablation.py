"""Ablation: which values are compared, the plan of trainings, and the corrected effects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hpsearch.results.ablation.alternatives import Design, alternatives
from hpsearch.results.ablation.judging import (
    INTERIM,
    estimate_pairs,
    final_level,
    holm_tests,
    judge,
    settled_now,
)
from hpsearch.results.ablation.plan import progress
from hpsearch.results.ablation.sentences import effect_sentence, held_fixed
from hpsearch.results.ablation.spec import AblationSpec, Look, RequestedChanges
from hpsearch.results.confirmation.plan import PlannedTraining, TrainingResult
from hpsearch.results.confirmation.statistics import of_value
from hpsearch.results.verdicts import ALPHA, Verdict
from hpsearch.study_file.space import Branch, Choice, Group, Range, Scalar, Space

SPACE = Space(
    Group(
        {
            "size": Choice((16, 20, 24)),
            "model": Branch(
                {
                    "plain": Group({"width": Choice((8, 16))}),
                    "residual": Group({"blocks": Range(low=1, high=3, integer=True, step=1)}),
                }
            ),
            "kernel": Range(low=2, high=5, integer=True, step=1),
            "dilation": Range(low=1, high=3, integer=True, step=1),
            "lr": Range(low=1e-3, high=0.1, log=True),
        }
    )
)
TRIAL: dict[str, Scalar] = {
    "size": 16, "model": "plain", "model.plain.width": 8, "kernel": 2, "dilation": 2, "lr": 0.01,
}  # fmt: skip


def designed(refuse: Any = lambda params: None, donor: Any = lambda path, value: None) -> Design:
    return Design(SPACE, TRIAL, donor, refuse)


def spec_of(design: Design, seeds: int = 4, *, maximize: bool = True) -> AblationSpec:
    return AblationSpec(
        study="s",
        fingerprint="f",
        trial=7,
        metric="val_accuracy" if maximize else "val_loss",
        maximize=maximize,
        seeds=seeds,
        seeds_before=0,
        asked=RequestedChanges(parameters=(), crossed=(), most_cells=24),
        variants=tuple(design.variants),
        contrasts=tuple(design.contrasts),
        left_out=tuple(design.left_out),
    )


@pytest.mark.parametrize(
    ("parameter", "value", "expected"),
    [
        (Choice((16, 20, 24)), 20, [16, 24]),
        (Choice((True, False)), True, [False]),
        (Range(low=2, high=5, integer=True, step=1), 2, [3]),
        (Range(low=16, high=512, integer=True, step=16), 128, [32, 224]),
        (Range(low=0.001, high=0.1, log=True), 0.01, [0.00398, 0.0251]),
        (Range(low=0.0, high=0.5), 0.49, [0.39]),  # the end is hardly another value
        (Range(low=1, high=64, integer=True, log=True), 1, [2]),
    ],
)
def test_a_value_is_compared_with_those_beside_it(parameter, value, expected) -> None:
    found = alternatives(parameter, value)
    assert found == pytest.approx(expected)
    assert all(parameter.contains(each) for each in found)


def test_one_setting_is_changed_at_a_time_and_the_same_configuration_is_trained_once() -> None:
    design = designed()
    for path in ("size", "kernel"):
        design.one_at_a_time(path, also=[2, 5])
    assert [dict(each.changed) for each in design.variants] == [
        {}, {"size": 20}, {"size": 24}, {"kernel": 3}, {"kernel": 5}
    ]  # fmt: skip
    for variant in design.variants[1:]:
        assert variant.params == {**TRIAL, **variant.changed}
    assert [(each.one, each.other, each.base) for each in design.contrasts] == [
        (1, 0, 16), (2, 0, 16), (3, 0, 2), (4, 0, 2)
    ]  # fmt: skip


def test_another_branch_has_the_settings_of_a_trial_that_has_it() -> None:
    other = {**TRIAL, "model": "residual", "model.residual.blocks": 2, "lr": 0.05}
    design = designed(donor=lambda path, value: other if value == "residual" else None)
    design.one_at_a_time("model")
    expected = {key: value for key, value in TRIAL.items() if key != "model.plain.width"}
    assert design.variants[1].params == {
        **expected, "model": "residual", "model.residual.blocks": 2
    }  # fmt: skip
    alone = designed()
    alone.one_at_a_time("model")
    assert len(alone.variants) == 1 and "no trial of the search" in alone.left_out[0].reason


def test_a_question_is_crossed_within_its_bound_and_what_cannot_be_built_is_named() -> None:
    def refuse(params: Mapping[str, Scalar]) -> str | None:
        return "too large" if (params["kernel"], params["dilation"]) == (5, 3) else None

    design = designed(refuse)
    design.crossed("dilation", ["kernel", "size"], most_cells=36)
    assert len(design.variants) == 36 - 3  # nothing is trained that can't be built
    assert [dict(each.changed) for each in design.left_out] == [
        {"kernel": 5, "dilation": 3, **({} if size == 16 else {"size": size})}
        for size in (16, 20, 24)
    ]
    assert all((each.level, each.base) in ((2, 1), (3, 1)) for each in design.contrasts)
    for each in design.contrasts:
        one, other = design.variants[each.one].params, design.variants[each.other].params
        assert {path for path in one if one[path] != other[path]} == {"dilation"}
        assert all(one[path] == value for path, value in each.at.items())

    fewer = designed()
    fewer.crossed("dilation", ["kernel", "size"], most_cells=24)
    places = [dict(each.at) for each in fewer.contrasts[::2]]
    assert places == [
        {"kernel": 2, "size": 16}, {"kernel": 3, "size": 16}, {"kernel": 4, "size": 16},
        {"kernel": 5, "size": 16}, {"kernel": 2, "size": 20}, {"kernel": 2, "size": 24},
    ]  # fmt: skip
    least = designed()
    least.crossed("dilation", ["kernel", "size"], most_cells=1)
    assert len(least.variants) == 3


def test_the_plan_only_grows_and_drops_what_fails() -> None:
    design = designed()
    design.one_at_a_time("size")
    spec = spec_of(design)
    outcomes: dict[PlannedTraining, TrainingResult] = {}
    known: tuple[PlannedTraining, ...] = ()
    while not (now := progress(spec, outcomes)).finished:
        assert now.planned[: len(known)] == known
        known = now.planned
        entry = next(each for each in known if each not in outcomes)
        lost = entry == PlannedTraining(trial=1, seed=2)
        outcomes[entry] = TrainingResult(value=None if lost else 0.5)
    assert len(now.planned) == 3 * 2 + 2 * 2
    assert now.failed == {1: 2}
    effects = judge(spec, outcomes, has_images=False).effects
    assert effects[0].reason == "training failed with seed 2"
    assert effects[1].ahead is not None


def ending(
    spec: AblationSpec, outcomes: dict[PlannedTraining, TrainingResult], values: Mapping[int, float]
) -> tuple[PlannedTraining, ...]:
    """Let every planned training end, and return the plan; a known entry must keep its place."""
    known: tuple[PlannedTraining, ...] = ()
    while not (now := progress(spec, outcomes)).finished and now.due is None:
        assert now.planned[: len(known)] == known
        known = now.planned
        for entry in known:
            chance = 0.001 * ((3 * entry.seed + 7 * entry.trial) % 5)
            value = None if entry == LATE_FAILURE else values.get(entry.trial, 0.7) + chance
            outcomes.setdefault(entry, TrainingResult(value=value))
    assert now.planned[: len(known)] == known
    return now.planned


LATE_FAILURE = PlannedTraining(trial=2, seed=9)


def test_what_a_look_settles_gets_no_more_seeds_and_its_interval_stays() -> None:
    design = designed()
    design.one_at_a_time("size")  # 20 is much worse than 16, 24 is equal
    spec = replace(spec_of(design, seeds=10), looks=(4, 7))
    outcomes: dict[PlannedTraining, TrainingResult] = {}
    for due in spec.looks:
        planned = ending(spec, outcomes, {1: 0.4})
        assert progress(spec, outcomes).due == due == max(each.seed for each in planned)
        settled = settled_now(spec, outcomes, due, has_images=False)
        assert settled == ((0,) if due == 4 else ())
        spec = replace(spec, taken=(*spec.taken, Look(seeds=due, settled=settled)))
        if due == 4:
            early = judge(spec, outcomes, has_images=False).effects[0]
    planned = ending(spec, outcomes, {1: 0.4})
    assert len(planned) == 3 * 4 + 2 * 6
    assert {each.seed for each in planned if each.trial == 1} == {1, 2, 3, 4}
    result = judge(spec, outcomes, has_images=False)
    assert result.progress.finished and result.effects[0] == early
    assert (early.answer, early.settled, early.seeds) == (Verdict.YES, True, 4)
    assert early.ahead is not None and early.ahead.excludes(0.0)
    fixed = judge(replace(spec, seeds=4, looks=(), taken=()), outcomes, has_images=False)
    assert fixed.effects[0].ahead is not None  # narrower: nothing was chosen by its values
    assert fixed.effects[0].ahead.half_width < early.ahead.half_width
    assert effect_sentence(early, spec).endswith("yes, worse; settled after 4 of 10 seeds")
    equal = result.effects[1]
    assert not equal.settled and equal.seeds == 9 and equal.answer is not Verdict.YES
    assert final_level(spec) == pytest.approx(ALPHA - 2 * INTERIM)
    document = spec.to_document()
    assert AblationSpec.from_document(document, metric=spec.metric, maximize=True) == spec


def test_chance_settles_nothing_and_an_older_ablation_has_no_looks() -> None:
    design = designed()
    design.one_at_a_time("size")
    spec = replace(spec_of(design, seeds=10), looks=(4, 7))
    rng = np.random.default_rng(4)
    false = 0
    for _ in range(40):
        outcomes = {
            PlannedTraining(trial=one, seed=seed): TrainingResult(value=0.7 + rng.normal(0, 0.01))
            for one in range(3)
            for seed in range(1, 5)
        }
        false += bool(settled_now(spec, outcomes, 4, has_images=False))
    assert false == 0
    document = spec.to_document()
    for key in ("looks", "taken", "most_seeds"):
        del document[key]
    older = AblationSpec.from_document(document, metric=spec.metric, maximize=True)
    assert (older.looks, older.taken, older.last_seed) == ((), (), 10)
    assert final_level(older) == ALPHA
    assert len(ending(older, {}, {1: 0.4})) == 3 * 10


def results_of(
    spec: AblationSpec, means: Mapping[int, float], noise: float
) -> dict[PlannedTraining, TrainingResult]:
    rng = np.random.default_rng(1)
    luck = rng.normal(0, 0.05, spec.seeds)  # of the seed, which all variants share
    return {
        PlannedTraining(trial=one, seed=seed): TrainingResult(
            value=means.get(one, 0.7) + luck[seed - 1] + rng.normal(0, noise)
        )
        for one in range(len(spec.variants))
        for seed in range(1, spec.seeds + 1)
    }


def test_an_effect_is_paired_and_says_what_differs() -> None:
    design = designed()
    design.one_at_a_time("dilation")
    for maximize in (True, False):
        spec = spec_of(design, seeds=8, maximize=maximize)
        result = judge(spec, results_of(spec, {1: 0.65}, 0.004), has_images=False)
        worse, equal = result.effects  # dilation 1 and 3 instead of 2
        assert worse.answer is Verdict.YES and worse.ahead is not None
        assert (worse.ahead.estimate < 0) is maximize
        assert equal.answer is Verdict.NO if maximize else equal.answer is not Verdict.YES
    sentence = effect_sentence(worse, spec)
    assert sentence.startswith("dilation 1 instead of 2: +0.04") and sentence.endswith("better")
    assert "kernel 2" in held_fixed(spec)


def test_what_is_settled_ends_the_plan_and_no_share_differs_by_more_than_all() -> None:
    design = designed()
    design.one_at_a_time("dilation")
    looks = (4, 7)
    spec = replace(spec_of(design, seeds=10), looks=looks, taken=(Look(seeds=4, settled=(0, 1)),))
    outcomes = results_of(replace(spec, seeds=4), {0: 0.9, 1: 0.1, 2: 0.1}, 0.15)
    result = judge(spec, outcomes, has_images=False)
    assert result.progress.finished and result.progress.due is None
    ends = [
        end for each in result.effects if each.ahead for end in (each.ahead.low, each.ahead.high)
    ]
    assert min(ends) == -1 and max(ends) < 0


def test_an_interval_excludes_nothing_exactly_if_holm_rejects() -> None:
    rng = np.random.default_rng(3)
    for _ in range(20):
        effect = rng.choice([0.0, 0.01, 0.03], 6)
        base = {seed: of_value(rng.normal(0.7, 0.01)) for seed in range(5)}
        pairs = [
            ({seed: of_value(rng.normal(0.7 + each, 0.01)) for seed in range(5)}, base)
            for each in effect
        ]
        estimates = [each for each in estimate_pairs(pairs) if each is not None]
        tests = holm_tests(estimates)
        for each, (p_value, confidence) in zip(estimates, tests, strict=True):
            interval = each.over_seeds_and_images(confidence=confidence)
            assert interval.excludes(0.0) == (p_value <= ALPHA)
            assert 1 - ALPHA <= confidence <= 1 - ALPHA / 6


def test_settings_survive_the_document() -> None:
    design = designed()
    design.crossed("dilation", ["kernel"])
    spec = spec_of(design)
    document = spec.to_document()
    assert AblationSpec.from_document(document, metric=spec.metric, maximize=True) == spec
