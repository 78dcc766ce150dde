"""The priors of parameters: what a person expects to be best."""

from __future__ import annotations

import pytest

from hpsearch.errors import StudyFileError
from hpsearch.study_file.freezing import freeze, to_yaml
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


BRANCH = """\
model:
  prior: mlp
  confidence: high
  mlp: {hidden: {values: [[8], [16, 8]]}}
  conv_net:
"""


@pytest.fixture
def branched(base: str) -> str:
    return base.replace("model: mlp\n", BRANCH)


def test_a_branch_has_a_prior(load, reload, branched):
    study = load(branched)
    assert study.space.guesses == {
        "model": (Choice(("mlp", "conv_net"), guess=Guess("mlp", "high")), Guess("mlp", "high"))
    }
    # In what is stored, the components are first
    assert [*study.document["model"]] == ["mlp", "conv_net", "prior", "confidence"]
    again = reload(study.document)
    assert again.space == study.space and again.fingerprint == study.fingerprint
    assert load(to_yaml(study.document)).space == study.space
    frozen = freeze(study, {"model": "conv_net"}, {})
    assert [*frozen["model"]] == ["conv_net"]
    other = load(branched, "model.prior=conv_net", "model.confidence=low")
    assert other.space.guesses["model"][1] == Guess("conv_net", "low")
    assert other.fingerprint != study.fingerprint
    # Those inside of an option stay
    assert load(branched, "model.mlp.hidden=[4]").space.guesses == study.space.guesses


@pytest.mark.parametrize(
    ("line", "instead", "says"),
    [
        ("prior: mlp", "prior: mpl", "must be a model that this study lists, mlp, conv_net, but"),
        ("prior: mlp", "prior: [mlp]", "must be a model that this study lists"),
        ("  prior: mlp\n", "", "a confidence needs a prior"),
        ("confidence: high", "confidence: sure", "must be low, medium or high"),
        ("  conv_net:\n", "", "needs several to choose from, but mlp is the only model"),
        ("seed: 0", "sampler: {forest: , prior: forest}", "not searched, but got forest, prior"),
    ],
)
def test_a_branchs_prior_that_is_refused(load, branched, line, instead, says):
    text = branched + "seed: 0\n" if "seed: 0" not in branched else branched
    with pytest.raises(StudyFileError, match=says):
        load(text.replace(line, instead))
