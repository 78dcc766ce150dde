"""Trials in little memory: they are what they were, and a long study's fit in a few megabytes."""

from __future__ import annotations

import tracemalloc

import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, TrialState

from hpsearch.search.compact_trial import CompactTrial, Packer, thaw, with_params

DISTRIBUTIONS: dict[str, BaseDistribution] = {
    "lr": FloatDistribution(1e-12, 1e3, log=True),
    "units": IntDistribution(1, 2**53),
    "any": CategoricalDistribution((None, "relu", True, 1, 1.0, 0.5)),
}


def trial(number: int, *names: str, **changes: object) -> FrozenTrial:
    """Return a pruned trial with its newest epoch."""
    values = {"lr": 1e-12 * (number + 1), "units": 2**53 - number, "any": True}
    return FrozenTrial(
        **{
            "number": number,
            "state": TrialState.PRUNED,
            "value": 0.25 + number,
            "datetime_start": None,
            "datetime_complete": None,
            "params": {name: values[name] for name in names or values},
            "distributions": {name: DISTRIBUTIONS[name] for name in names or values},
            "user_attrs": {},
            "system_attrs": {},
            "intermediate_values": {3: 0.25 + number},
            "trial_id": number + 1,
            **changes,
        }  # type: ignore[arg-type]
    )


def content(frozen_trial: FrozenTrial) -> dict[str, object]:
    """Return all that a sampler reads, with the types of the values."""
    return {
        "params": [(name, value, type(value)) for name, value in frozen_trial.params.items()],
        "constraints": frozen_trial.constraints,
        **{
            name: getattr(frozen_trial, name)
            for name in (
                "number", "_trial_id", "state", "values", "distributions", "system_attrs",
                "intermediate_values", "last_step",
            )
        },
    }  # fmt: skip


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"state": TrialState.COMPLETE, "intermediate_values": {}},
        {"value": None, "values": [0.5, 100.0], "intermediate_values": {}},
        {"state": TrialState.FAIL, "value": None, "intermediate_values": {}},
        {"state": TrialState.FAIL, "value": None, "intermediate_values": {7: float("inf")}},
        {"system_attrs": {"constraints": [1.0], "constraints:infeasible": 1.0}},
        {"params": {}, "distributions": {}},
    ],
)
def test_a_packed_trial_is_the_trial(changes):
    for original in (
        trial(4, **changes),
        trial(4, "any", "lr", **changes) if changes else trial(5),
    ):
        packed = Packer().pack(original)
        assert content(packed) == content(original)
        assert content(thaw(packed)) == content(original)
        assert packed == original == packed != Packer().pack(trial(6, **changes)) != original
        assert repr(packed) == repr(original)


@pytest.mark.parametrize("value", [None, "relu", True, 1, 1.0, 0.5])
def test_equal_choices_of_different_types_stay_apart(value):
    (unpacked,) = Packer().pack(trial(1, "any", params={"any": value})).params.values()
    assert (unpacked, type(unpacked)) == (value, type(value))


def test_with_params_finds_what_comparing_all_parameters_finds():
    packer = Packer()
    originals = [trial(number % 3, *names) for number in range(9) for names in ((), ("lr", "any"))]
    originals += [trial(0, "any", "lr"), trial(0, "lr")]
    for original in originals:
        same = [
            place
            for place, candidate in enumerate(originals)
            if candidate.params == original.params
        ]
        packed = [packer.pack(candidate) for candidate in originals]
        for trials in (originals, packed):
            matches = with_params(trials, original.params)
            assert (
                [place for place, candidate in enumerate(trials) if candidate in matches]
                == same
                != []
            )
    assert with_params(packed, {"lr": 0.5}) == with_params(packed, {}) == []


def test_ten_thousand_trials_need_few_megabytes():
    """300 bytes for a trial of three parameters; one of Optuna's objects needs 1,400."""
    tracemalloc.start()
    try:
        packer, trials = Packer(), {}
        before, _ = tracemalloc.get_traced_memory()
        for number in range(10_000):
            trials[number] = packer.pack(trial(number))
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert all(type(packed_trial) is CompactTrial for packed_trial in trials.values())
    assert (after - before) / len(trials) < 450
