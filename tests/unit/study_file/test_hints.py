"""What a name was meant to be, where a key belongs, and thousands of mistakes on one page."""

from __future__ import annotations

import pytest

from hpsearch.errors import MOST_PROBLEMS, StudyFileError, UnknownName, nearest_name
from hpsearch.study_file import spelling
from hpsearch.study_file.diagnostics import Diagnostics

SGD = "optimizer: {sgd: {lr: 0.1}}"


def messages(load, text: str, *overrides: str) -> str:
    with pytest.raises(StudyFileError) as caught:
        load(text, *overrides)
    return str(caught.value)


@pytest.mark.parametrize(
    ("line", "instead", "hint"),
    [
        (SGD, "optimizer: {SGD: {lr: 0.1}}", "Did you mean 'sgd'?"),
        (SGD, "optimizer: {sgd: {learning_rate: 0.1}}", "Did you mean 'lr'?"),
        (SGD, "optimizer: {sgd: {Learning-Rate: 0.1}}", "Did you mean 'lr'?"),
        (SGD, "optimizer: {sgd: {lr: {low: 0.1, max: 1}}}", "Did you mean 'min'?"),
        (SGD, "optimizer: {sgd: {lr: {choices: [1]}}}", "Did you mean 'values'?"),
        (SGD, "optimizer: {sgd: 0.1}", "; write {lr: 0.1}"),
        (SGD, "optimizer: {sgd: fast}", 'but got "fast"'),
        ("model: mlp", "model: MLP", "Did you mean 'mlp'?"),
        ("model: mlp", "architecture: mlp", "Did you mean 'model'?"),
        ("model: mlp", "model: mlp\nmomentum: 0.9", "Did you mean optimizer.sgd.momentum?"),
        ("model: mlp", "model: mlp\nlearning_rate: 0.9", "Did you mean optimizer.sgd.lr?"),
        ("model: mlp", "model: mlp\nepochs: 9", "Did you mean budget.epochs_per_trial?"),
        ("model: mlp", "model: mlp\ntrials: 9", "Did you mean budget.trials?"),
        ("model: mlp", "model: mlp\nactivation: relu", "Did you mean model.mlp.activation?"),
        ("model: mlp", "model: mlp\nimage_size: 8", "Did you mean data.input_size?"),
        ("model: mlp", "model: {mlp: {seed: 8}}", "Did you mean seed (at the top level)?"),
    ],
)  # fmt: skip
def test_what_was_meant(load, base, line, instead, hint):
    assert line in base
    assert hint in messages(load, base.replace(line, instead))


@pytest.mark.parametrize(
    ("override", "hint"),
    [
        ("lr=0.5", "Did you mean optimizer.sgd.lr?"),
        ("budget.epochs=5", "Did you mean 'epochs_per_trial'?"),
        ("optimizer.SGD.lr=5", "Did you mean 'sgd'?"),
    ],
)
def test_an_override_has_the_same_hints(load, base, override, hint):
    assert hint in messages(load, base, override)


@pytest.mark.parametrize(
    ("name", "guess"),
    [
        ("resnet34", "{torchvision: {name: resnet34}}"),
        ("EfficientNet-B0", "{torchvision: {name: efficientnet_b0}}"),
        ("vit_b_16", "{torchvision: {name: vit_b_16}}"),
        ("ResNet-18", "'resnet18'"),
        ("simple_cn", "'simple_cnn'"),
    ],
)
def test_a_model_of_torchvision_is_told_from_a_misspelled_one(name, guess):
    names = ["resnet18", "resnet50", "simple_cnn", "torchvision"]
    assert f"Did you mean {guess}?" in str(
        spelling.unknown_name("model", name, names, Diagnostics())
    )


def test_case_and_punctuation_are_no_other_name():
    assert nearest_name("ResNet-18", ["resnet18", "resnet50"]) == "resnet18"
    assert nearest_name("q", ["sgd"]) is None
    assert nearest_name("", ["sgd"]) is None


def test_thousands_of_mistakes_are_a_page(load, base):
    text = messages(load, base + "".join(f"key_{number}: 1\n" for number in range(1_500)))
    assert len(text.splitlines()) == MOST_PROBLEMS + 1
    assert text.endswith(f"and {1_500 - MOST_PROBLEMS:,} more; correct these first")
    assert len(text) < 100_000


@pytest.mark.parametrize(
    "added",
    [
        pytest.param("k" * 100_000 + ": 1", id="a long key"),
        pytest.param("seed: " + "x" * 100_000, id="a long value"),
        pytest.param("sampler: {" + ", ".join(f"s{n}: 1" for n in range(1_500)) + "}", id="names"),
        pytest.param("seed: {" + ", ".join(f"s{n}: 1" for n in range(1_500)) + "}", id="a range"),
        pytest.param("try_first: [" + "{seed: 1}, " * 5_000 + "]", id="entries"),
        pytest.param("pruner: " + "{a: " * 40 + "1" + "}" * 40, id="levels"),
        pytest.param("trackers: [" + "[1], " * 5_000 + "]", id="a list"),
    ],
)
def test_a_mistake_of_any_size_is_a_page(load, base, added):
    text = messages(load, f"{base}{added}\n")
    assert len(text) < 60_000
    assert "x.yaml:6" in text


def test_a_long_list_of_names_is_cut():
    text = str(UnknownName("model", "x" * 9_999, [f"net_{number}" for number in range(5_000)]))
    assert len(text) < 2_000
    assert ", and 4,940 more." in text


def test_what_was_meant_is_looked_for_where_it_is_shown(load, base, monkeypatch):
    """It takes a while for each, and a file may have thousands."""
    calls = []
    unknown_name = spelling.unknown_name
    monkeypatch.setattr(
        spelling,
        "unknown_name",
        lambda *arguments: (calls.append(arguments), unknown_name(*arguments))[1],
    )
    many = "\n".join(f"key{number}: {number}" for number in range(1_000))
    with pytest.raises(StudyFileError) as caught:
        load(f"{base}\n{many}\n")
    assert len(caught.value.problems) == 1_000
    assert len(calls) == MOST_PROBLEMS
    assert "unknown key 'key49'" in str(caught.value)
