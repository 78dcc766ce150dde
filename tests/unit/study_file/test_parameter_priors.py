"""The priors of parameters: what a person expects to be best."""

from __future__ import annotations

import pytest

from hpsearch.study_file.freezing import to_yaml
from hpsearch.study_file.space import Choice, Guess, Range

SEARCHED = """\
batch_size: {values: [16, 32, 64], prior: 32, confidence: low}
regularization: {l2: {strength: {min: 0, max: 1, step: 0.1, prior: 0.3}}}
"""
LR = "lr: {min: 1e-4, max: 1, log: true, prior: 0.05, confidence: high}"


@pytest.fixture
def guided(base: str) -> str:
    return base.replace("lr: 0.1", LR) + SEARCHED


def test_a_prior_is_part_of_its_parameter(load, guided):
    space = load(guided).space
    assert space.parameters() == {
        "optimizer.sgd.lr": Range(low=1e-4, high=1.0, log=True, guess=Guess(0.05, "high")),
        "regularization.l2.strength": Range(low=0.0, high=1.0, step=0.1, guess=Guess(0.3)),
        "batch_size": Choice((16, 32, 64), guess=Guess(32, "low")),
    }
    assert {path: guess for path, (_, guess) in space.guesses.items()} == {
        "optimizer.sgd.lr": Guess(0.05, "high"),
        "regularization.l2.strength": Guess(0.3, "medium"),
        "batch_size": Guess(32, "low"),
    }


@pytest.mark.parametrize(
    ("line", "value", "kind"),
    [
        ("batch_size: {min: 8, max: 64, prior: 16}", 16, int),
        ("batch_size: {min: 8, max: 64, step: 8, prior: 16}", 16, int),
        ("optimizer: {adam: {lr: {min: 1, max: 2, prior: 1}}}", 1.0, float),
    ],
)
def test_a_prior_has_the_type_of_its_numbers(load, base, line, value, kind):
    text = base.replace("optimizer: {sgd: {lr: 0.1}}\n", "") if "optimizer" in line else base
    ((_, guess),) = load(text + line + "\n").space.guesses.values()
    assert guess.value == value and type(guess.value) is kind


def test_null_and_lists_may_be_priors(load, base):
    text = base.replace(
        "model: mlp", "model: {mlp: {hidden: {values: [[8], [16, 8]], prior: [16, 8]}}}"
    ).replace("{source: digits}", "{source: digits, input_size: {values: [4, null], prior: null}}")
    guesses = {path: guess.value for path, (_, guess) in load(text).space.guesses.items()}
    assert guesses == {"data.input_size": None, "model.mlp.hidden": [16, 8]}


def test_the_stored_study_has_its_priors(load, reload, guided, base):
    study = load(guided)
    assert study.document["optimizer"]["sgd"]["lr"] == {
        "min": 1e-4, "max": 1.0, "log": True, "prior": 0.05, "confidence": "high",
    }  # fmt: skip
    assert study.document["regularization"]["l2"]["strength"]["confidence"] == "medium"
    again = reload(study.document)
    assert again.space == study.space and again.fingerprint == study.fingerprint
    # As a file, too, with each parameter on its line
    text = to_yaml(study.document)
    assert "batch_size: {values: [16, 32, 64], prior: 32, confidence: low}\n" in text
    assert load(text).space == study.space


def test_another_prior_is_another_study(load, guided):
    study = load(guided)
    for change in ("batch_size.prior=16", "batch_size.confidence=high"):
        assert load(guided, change).fingerprint != study.fingerprint


def test_without_priors_a_document_is_as_before(load, base):
    study = load(base + "batch_size: {values: [16, 32]}\n")
    assert study.document["batch_size"] == {"values": [16, 32]}
    assert not study.space.guesses
