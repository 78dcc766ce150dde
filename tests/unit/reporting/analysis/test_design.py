from __future__ import annotations

import numpy as np
import pytest
from support.evidence import evidence

from hpsearch.reporting.analysis.design import controls, levels, nuisance
from hpsearch.reporting.analysis.observations import ObservedTrial
from hpsearch.reporting.analysis.parameters import with_branches
from hpsearch.study_file.space import Choice, Parameter, Range


def of(parameter: Parameter, values: list) -> tuple:
    """Return levels of one parameter that the trials have these values of; "absent": none."""
    trials = [
        ObservedTrial(
            number=n, params={} if value == "absent" else {"x": value}, curve=(0.5,), value=0.5
        )
        for n, value in enumerate(values)
    ]
    return levels(with_branches({"x": parameter})["x"], trials)


def test_a_short_range_has_a_level_for_each_value() -> None:
    groups = of(Range(low=1, high=3, integer=True), [1, 2, 3] * 4)
    assert [cut.label for cut in groups.cuts] == ["1", "2", "3"]
    assert groups.place.tolist() == [0, 1, 2] * 4


def test_a_value_with_too_few_trials_is_left_out_and_named() -> None:
    groups = of(Choice(("relu", "tanh", "elu")), ["relu"] * 5 + ["tanh"] * 4 + ["elu"] * 3)
    assert [cut.label for cut in groups.cuts] == ["relu", "tanh"]
    assert groups.left_out == ("elu",)
    assert groups.place.tolist() == [0] * 5 + [1] * 4 + [-1] * 3


def test_true_and_one_are_different_values() -> None:
    groups = of(Choice((True, 1)), [True] * 4 + [1] * 4)
    assert groups.place.tolist() == [0] * 4 + [1] * 4


def test_trials_of_another_branch_have_no_level() -> None:
    groups = of(Choice((1, 2)), [1, 2, "absent"] * 4)
    assert groups.place.tolist() == [0, 1, -1] * 4


def test_a_long_range_is_cut_evenly_on_its_own_scale() -> None:
    values = np.geomspace(1e-4, 1.0, 40).tolist()
    groups = of(Range(low=1e-4, high=1.0, log=True), values)
    assert [cut.label for cut in groups.cuts] == [
        "0.0001 to 0.001", "0.001 to 0.01", "0.01 to 0.1", "0.1 to 1",
    ]  # fmt: skip
    assert np.bincount(groups.place).tolist() == [10] * 4


def test_a_bin_with_too_few_trials_joins_its_smaller_neighbour() -> None:
    groups = of(Range(low=0.0, high=1.0), [0.1] * 10 + [0.3] * 6 + [0.6] * 2 + [0.9] * 20)
    assert [cut.label for cut in groups.cuts] == ["0 to 0.25", "0.25 to 0.75", "0.75 to 1"]
    assert np.bincount(groups.place).tolist() == [10, 8, 20]


def test_bins_of_whole_numbers_say_which_they_hold() -> None:
    groups = of(Range(low=1, high=64, integer=True), list(range(1, 65)))
    assert [cut.label for cut in groups.cuts] == ["1 to 16", "17 to 32", "33 to 48", "49 to 64"]
    assert np.bincount(groups.place).tolist() == [16] * 4


def test_a_conditional_parameter_is_held_constant_within_its_branch_alone() -> None:
    data = evidence(lambda params: 0.8)
    columns, groups = nuisance(data.parameters, data.trials, [], 1)
    paths = list(data.parameters)
    momentum = columns[:, groups.index(paths.index("optimizer.sgd.momentum"))]
    inside = np.array(["optimizer.sgd.momentum" in trial.params for trial in data.trials])
    assert (momentum[~inside] == 0).all()
    assert momentum[inside].mean() == pytest.approx(0)
    assert momentum[inside].std() > 0.1


def test_columns_that_say_the_same_are_kept_once() -> None:
    trials = [
        ObservedTrial(number=n, params={"a": n % 2, "b": n % 2, "c": n % 3}, curve=(), value=0.5)
        for n in range(36)
    ]
    parameters = with_branches({"a": Choice((0, 1)), "b": Choice((0, 1)), "c": Choice((0, 1, 2))})
    dummies = np.eye(2)[[n % 2 for n in range(36)]]
    others = controls(parameters, trials, ["a"], dummies)
    assert others.shape[1] == 2, "b is a itself; c has two columns"
    assert np.linalg.matrix_rank(np.column_stack([dummies, others])) == 4
