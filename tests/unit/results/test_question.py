"""What a study asks about: parameters and values that its question names."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hpsearch.results.question import (
    describe,
    introduction,
    model_of,
    paths_in_question,
    rival_of,
    values_of,
)
from hpsearch.results.records import StudyRecord, TrialRecord, read_study

SGD, ADAM = {"optimizer": "sgd"}, {"optimizer": "adam"}
SCHEDULES = [{"lr_schedule": "cosine", "optimizer.sgd.lr": each, **SGD} for each in (0.1, 0.2)]


@pytest.fixture
def record(searched: Any) -> StudyRecord:
    return read_study(searched.database, "made_up")


def with_trials(record: StudyRecord, params: list[dict[str, Any]], **document: Any) -> StudyRecord:
    """Return the study with these configurations as its trials, numbered from 0."""
    trials = [
        replace(record.trials[0], number=number, params=each) for number, each in enumerate(params)
    ]
    stored = {**record.study.document, "study": "s", **document}
    return replace(record, trials=tuple(trials), study=replace(record.study, document=stored))


def asked(record: StudyRecord, params: list[dict[str, Any]], text: str) -> tuple[str, ...]:
    return paths_in_question(with_trials(record, params, description=text))


@pytest.mark.parametrize(
    ("text", "params", "paths"),
    [
        pytest.param(
            "A dense net against a small CNN on 8x8 digits.",
            [{"model": "mlp", **ADAM}, {"model": "simple_cnn", **SGD}],
            ("model",),
            id="other words for values",
        ),
        pytest.param(
            "Which optimizer is best?",
            [{"model": "mlp", **ADAM}, {"model": "simple_cnn", **SGD}],
            ("optimizer",),
            id="the parameter itself",
        ),
        pytest.param(
            "Does a dilated first kernel help?",
            [{"a.dilation": 1, "a.kernel": 2}, {"a.dilation": 2, "a.kernel": 3}],
            ("a.dilation", "a.kernel"),
            id="another form of the word, in the order of the text",
        ),
        pytest.param(
            "Which learning-rate schedule?",
            [*SCHEDULES, {"lr_schedule": "constant", **SGD}],
            ("lr_schedule",),
            id="the longest phrase alone",
        ),
        pytest.param(
            "Which learning rate?",
            [*SCHEDULES, {"lr_schedule": "constant", **SGD}],
            ("optimizer.sgd.lr",),
            id="two words for a short key",
        ),
        pytest.param(
            "Does adam help?", [ADAM, SGD], ("optimizer",), id="a value names its parameter"
        ),
        pytest.param("Does adam help?", [ADAM, ADAM], (), id="what never varied isn't asked"),
        pytest.param(
            "Which augmentation?",
            [{"data.augmentation.flip": True}, {"data.augmentation.flip": False}],
            ("data.augmentation.flip",),
            id="a section means what is in it",
        ),
        pytest.param("Nothing of that", [ADAM, SGD], (), id="nothing"),
    ],
)
def test_the_question_names_parameters(
    record: StudyRecord, text: str, params: list[dict[str, Any]], paths: tuple[str, ...]
) -> None:
    assert asked(record, params, text) == paths


def test_the_key_question_comes_before_the_description(record: StudyRecord) -> None:
    both = [{"model": "mlp", **ADAM}, {"model": "simple_cnn", **SGD}]
    study = with_trials(record, both, description="Which model?", question="Which optimizer?")
    assert paths_in_question(study) == ("optimizer",)


def test_the_study_s_own_name_is_no_value(record: StudyRecord) -> None:
    both = [{"model": "emoji_net"}, {"model": "cnn_large"}]
    text = "What can be gained by hand, on 1,005 emoji?"
    assert paths_in_question(with_trials(record, both, description=text, study="emoji")) == ()
    assert paths_in_question(with_trials(record, both, description=text, study="other")) == (
        "model",
    )


def test_the_model_is_never_hidden(record: StudyRecord) -> None:
    params = {"model": "mlp", "model.mlp.hidden": "[64]", **ADAM}
    study = with_trials(record, [params])
    assert describe(study, params, ()) == "mlp"
    assert describe(study, params, ["optimizer"]) == "optimizer adam, model mlp"
    assert describe(study, params, ["model", "optimizer"]) == "mlp, optimizer adam"
    assert describe(study, params, ["optimizer.sgd.lr"]) == "mlp", "which the trial doesn't have"
    assert describe(record, {"lr": 0.1}, ["lr"]) == "lr 0.1, model line", "a fixed one"
    assert model_of({"model": {"a": {}, "b": {}}}, {}) == model_of({}, {}) == ""


def test_the_rival_is_the_best_with_another_value(record: StudyRecord) -> None:
    cnn, mlp = {"model": "simple_cnn"}, {"model": "mlp"}
    study = with_trials(record, [cnn, cnn, mlp, mlp], description="Which model?")
    order: list[TrialRecord] = list(study.trials)
    assert rival_of(study, order) == 2
    assert rival_of(study, order[:2]) is None
    assert rival_of(with_trials(record, [cnn, mlp], description=""), order) is None
    assert rival_of(study, []) is None


@pytest.mark.parametrize(
    ("text", "rival"),
    [
        ("Is emoji_net better than simple_cnn?", 2),
        ("Which model?", 1),
        ("Is simple_cnn better than resnet18?", 2),
    ],
)
def test_the_rival_is_one_that_the_question_names(
    record: StudyRecord, text: str, rival: int
) -> None:
    models = ("emoji_net", "mlp", "simple_cnn", "resnet18")
    study = with_trials(record, [{"model": each} for each in models], question=text)
    assert rival_of(study, study.trials) == rival


def test_who_is_asked_about_but_not_among_the_finalists_has_no_rival(record: StudyRecord) -> None:
    models = ("emoji_net", "mlp", "simple_cnn")
    study = with_trials(
        record, [{"model": each} for each in models], question="emoji_net against simple_cnn"
    )
    assert rival_of(study, study.trials[:2]) is None


def test_different_values_are_found_once_in_the_order_of_the_trials(record: StudyRecord) -> None:
    params = [{"lr": 0.1, "hidden": [8, 8]}, {"lr": 0.2}, {"lr": 0.1, "hidden": [8, 8]}]
    study = with_trials(record, [*params, {"hidden": [4]}])
    assert values_of(study, "lr") == [0.1, 0.2]
    assert values_of(study, "hidden") == [[8, 8], [4]]
    assert values_of(study, "momentum") == []


def test_a_page_begins_with_the_question_and_the_description() -> None:
    assert introduction({"question": "Why?", "description": "A CNN."}) == "Why? A CNN."
    assert introduction({"description": "A CNN."}) == "A CNN."
    assert introduction({"question": None}) == ""
