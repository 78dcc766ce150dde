"""`objectives`, `prune_on` and `constraints`: what they may say, and what they come to."""

from __future__ import annotations

import re
from typing import Any

import pytest

from hpsearch.errors import StudyFileError
from hpsearch.study_file.goals import Constraint, Goals, Objective, read_constraint, unsatisfiable
from hpsearch.study_file.json_schema import json_schema

MEASURED = (
    "val_accuracy, val_loss, val_macro_f1, val_balanced_accuracy, val_auroc, "
    "val_calibration_error, val_recall(CLASS), val_top5_accuracy"
)
NAMES = f"{MEASURED}, parameters, multiply_adds, epoch_seconds, latency"
SEVERAL = "objectives: [val_accuracy, parameters]\n"


def messages(load, text: str) -> list[str]:
    with pytest.raises(StudyFileError) as caught:
        load(text)
    return [str(problem) for problem in caught.value.problems]


def test_a_study_of_one_objective_reads_as_before(load, base):
    study = load(base)
    assert study.document["objective"] == {"metric": "val_accuracy", "at": "last"}
    assert not {"objectives", "prune_on", "constraints"} & study.document.keys()
    assert study.goals.is_single_unconstrained
    assert (study.goals.objectives, study.goals.is_multi_objective) == (("val_accuracy",), False)
    # Keys that say nothing change nothing, or every stored study would be another one
    same = load(base + "objectives: null\nprune_on: null\nconstraints: []\n")
    assert (same.document, same.fingerprint) == (study.document, study.fingerprint)


def test_several_objectives_in_their_normal_form(load, base, reload):
    study = load(base + "objectives: [parameters, val_loss, val_accuracy]\n")
    assert study.document["objectives"] == {
        "metrics": ["parameters", "val_loss", "val_accuracy"],
        "at": "last",
    }
    assert study.document["prune_on"] is None
    assert "objective" not in study.document
    assert study.objective.metric == "val_loss", "the first that every epoch measures"
    assert study.goals.by_fronts
    assert "prune_on" in study.auto_sections, "an earlier version stored the first one"
    assert study.goals.directions == {
        "parameters": "minimize",
        "val_loss": "minimize",
        "val_accuracy": "maximize",
    }
    assert reload(study.document, study.text) == study
    other = load(base + "objectives: {metrics: [val_loss, latency], at: best}\n")
    assert (other.objective.metric, other.objective.at) == ("val_loss", "best")
    pruned_by_one = load(base + "objectives: [val_loss, val_accuracy]\nprune_on: val_accuracy\n")
    assert pruned_by_one.objective.metric == "val_accuracy"
    assert not pruned_by_one.goals.by_fronts
    assert "prune_on" not in pruned_by_one.auto_sections


def test_constraints_in_their_normal_form(load, base, reload):
    study = load(base + 'constraints: ["parameters<=1e6", "val_accuracy >= .9", "latency <= 2.5"]')
    assert study.document["constraints"] == [
        "parameters <= 1000000",
        "val_accuracy >= 0.9",
        "latency <= 2.5",
    ]
    assert study.goals.metrics == ("val_accuracy", "parameters", "latency")
    assert reload(study.document, study.text) == study
    plain = load(base)
    assert study.fingerprint != plain.fingerprint, "other constraints are another question"


WRONG = [
    pytest.param(
        "objective: val_loss\n" + SEVERAL,
        "x.yaml:7: objectives: a study has either `objective` or `objectives`, but both are given; "
        "remove one (`objective: X` is the form for one, `objectives: [X, Y]` for several)",
        id="both forms",
    ),
    pytest.param(
        "objectives: [latency, parameters]\n",
        "x.yaml:6: objectives: at least one objective must be measured after every epoch "
        f"({MEASURED}), but got latency, parameters",
        id="nothing to decide by",
    ),
    pytest.param(
        "objectives: [val_accuracy, val_accuracy]\n",
        f"x.yaml:6: objectives.metrics: must be a list of 2 to 4 different names of {NAMES} (for "
        'one, write `objective`), but got ["val_accuracy", "val_accuracy"]',
        id="one twice",
    ),
    pytest.param(
        "objectives: [val_accuracy, speed]\n",
        f"x.yaml:6: objectives.metrics: must be a list of 2 to 4 different names of {NAMES} (for "
        'one, write `objective`), but got ["val_accuracy", "speed"]',
        id="an unknown one",
    ),
    pytest.param(
        SEVERAL + "prune_on: val_loss\n",
        "x.yaml:7: prune_on: must be one of this study's objectives (val_accuracy), but got "
        "val_loss",
        id="pruned on something else",
    ),
    pytest.param(
        "prune_on: val_loss\n",
        "x.yaml:6: prune_on: names one of several `objectives`, but this study has one "
        "`objective`, which decides anyway; remove it",
        id="pruned on, with one objective",
    ),
    pytest.param(
        'constraints: ["latency <= 2", "parameters < 1e6"]\n',
        "x.yaml:6: constraints: item 2 must satisfy this rule: a constraint is NAME <= NUMBER or "
        "NAME >= NUMBER, e.g. parameters <= 1e6, but got "
        '["latency <= 2", "parameters < 1e6"]',
        id="another sign",
    ),
    pytest.param(
        'constraints: ["params <= 1e6"]\n',
        "x.yaml:6: constraints: item 1 must satisfy this rule: a constraint names one of "
        f'{NAMES}, not params, but got ["params <= 1e6"]',
        id="an unknown figure",
    ),
    pytest.param(
        'constraints: ["parameters <= 10", "parameters >= 1e2"]\n',
        "x.yaml:6: constraints: no value satisfies both parameters >= 100 and parameters <= 10; "
        "widen "
        "one of them",
        id="two that exclude each other",
    ),
    pytest.param(
        'constraints: ["parameters <= 1e999"]\n',
        "x.yaml:6: constraints: item 1 must satisfy this rule: a constraint's number must be "
        'finite, but got ["parameters <= 1e999"]',
        id="an endless number",
    ),
]


@pytest.mark.parametrize(("lines", "message"), WRONG)
def test_what_is_wrong_is_said_with_its_rule(load, base, lines, message):
    assert messages(load, base + lines) == [message]


@pytest.mark.parametrize(
    "text",
    [
        "parameters <= __import__('os')",
        "parameters <= 1; x",
        "a.b <= 1",
        "<= 1",
        "parameters <=",
        "",
    ],
)
def test_nothing_but_a_name_a_sign_and_a_number_is_a_constraint(text):
    with pytest.raises(ValueError, match="a constraint is NAME <= NUMBER"):
        read_constraint(text)


def test_a_violation_is_a_share_whatever_the_unit():
    small, large = read_constraint("latency <= 2"), read_constraint("parameters <= 2e6")
    assert small.violation(4.0) == large.violation(4e6) == 0.5
    assert small.violation(2.0) == 0.0, "the bound itself is kept"
    assert small.violation(1.0) < 0 < small.violation(2.001) < small.violation(200.0) < 1
    least = read_constraint("val_accuracy >= 0.9")
    assert least.violation(0.95) < 0 < least.violation(0.8) < least.violation(0.1) <= 1
    assert read_constraint("val_loss <= 0").violation(0.0) == 0.0
    assert read_constraint("val_loss <= 0").violation(0.1) > 0


def test_a_pair_that_meets_in_one_value_is_fine():
    assert unsatisfiable([read_constraint("latency <= 2"), read_constraint("latency >= 2")]) is None
    assert (
        unsatisfiable([read_constraint("latency >= 3"), read_constraint("parameters <= 2")]) is None
    )


def test_only_what_is_known_is_judged():
    goals = Goals.of(
        {
            "objective": {"metric": "val_accuracy", "at": "last"},
            "constraints": ["parameters <= 1000", "latency <= 5"],
        }
    )
    assert goals.constraints[0] == Constraint(name="parameters", sign="<=", bound=1000.0)
    assert goals.violations({"parameters": 2000}) == {"parameters <= 1000": 0.5}
    assert goals.violated({"parameters": 2000, "val_accuracy": 0.1}) == [
        "parameters <= 1000 is broken: parameters is 2000"
    ]
    assert goals.violated({"parameters": 1000, "latency": 5.0}) == []


def test_an_editor_knows_the_new_keys(module_registries):
    schema = json_schema(module_registries)
    keys = schema["else"]["else"]["properties"]
    body, short, null = keys["objectives"]["anyOf"]
    plain_names, of_class = body["properties"]["metrics"]["items"]["anyOf"]
    assert {"latency", "val_auroc"} <= set(plain_names["enum"])
    assert re.match(of_class["pattern"], "val_recall(two words)")
    assert short["type"] == "array"
    assert null == {"type": "null"}
    assert keys["constraints"]["items"] == {"type": "string"}


@pytest.mark.parametrize(
    ("metric", "at", "values", "expected"),
    [
        ("val_accuracy", "best", [0.5, 0.9, 0.9, 0.7], [1, 2]),  # the first of the best
        ("val_loss", "best", [0.8, 0.5, 0.3, 0.3], [1, 2, 3]),
        ("val_accuracy", "last", [0.5, 0.9, 0.9, 0.7], [4]),
    ],
)
def test_the_epochs_that_give_the_value(
    metric: str, at: Any, values: list[float], expected: list[int]
) -> None:
    objective = Objective(metric=metric, at=at)
    epochs: list[int] = []
    for epoch, value in enumerate(values, start=1):
        best = values[epochs[-1] - 1] if epochs else None
        if objective.counts(value, best, last=epoch == len(values)):
            epochs.append(epoch)
    assert epochs == expected
