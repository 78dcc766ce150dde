"""Fingerprints, and what is shown where two differ."""

from __future__ import annotations

import pytest

from hpsearch.study_file.compare import difference

TEXT = """\
study: s
budget: {trials: 4, epochs_per_trial: 2}
data: {source: digits}
model: mlp
optimizer: {sgd: {lr: {min: 0.1, max: 1}}, adam: }
try_first: [{optimizer: adam}]
"""

SAME = [
    pytest.param("trials: 4", "trials: 9", id="more trials"),
    pytest.param("epochs_per_trial: 2", "epochs_per_trial: 2, time: 3h", id="more time"),
    pytest.param("model: mlp", "description: other\nmodel: mlp", id="description"),
    pytest.param("model: mlp", "pruner_audit: 0.2\nmodel: mlp", id="spared trials"),
    pytest.param("model: mlp", "# why\nmodel: {mlp: {dropout: 0}}", id="a default written out"),
    pytest.param("min: 0.1, max: 1", "max: 1.0, min: 1e-1", id="the same numbers"),
]


@pytest.mark.parametrize(("line", "instead"), SAME)
def test_what_may_change_in_a_stored_study(load, line, instead):
    old, new = load(TEXT), load(TEXT.replace(line, instead))
    assert new.text != old.text
    assert new.fingerprint == old.fingerprint
    assert difference(old.document, new.document) == []


OTHER = [
    pytest.param(
        "epochs_per_trial: 2",
        "epochs_per_trial: 3",
        ["budget.epochs_per_trial: 2 -> 3"],
        id="more epochs",
    ),
    pytest.param("study: s", "study: s\nseed: 1", ["seed: 0 -> 1"], id="seed"),
    pytest.param(
        "max: 1}",
        "max: 2, log: true}",
        ["optimizer.sgd.lr: {min: 0.1, max: 1.0} -> {min: 0.1, max: 2.0, log: true}"],
        id="a range reads whole",
    ),
    pytest.param(
        "{min: 0.1, max: 1}",
        "0.5",
        ["optimizer.sgd.lr: {min: 0.1, max: 1.0} -> 0.5"],
        id="a range that is fixed now",
    ),
    pytest.param(
        "source: digits",
        "source: cifar10",
        [
            "data.source.digits: {} -> (absent)",
            "data.source.cifar10: (absent) -> {train_batches: [1, 2, 3, 4, 5]}",
        ],
        id="another component",
    ),
    pytest.param(
        "{sgd: {lr: {min: 0.1, max: 1}}, adam: }",
        "{adam: , sgd: {lr: {min: 0.1, max: 1}}}",
        ["optimizer: the order sgd, adam -> adam, sgd"],
        id="the order of a branch, which numbers its choices",
    ),
    pytest.param(
        "[{optimizer: adam}]",
        "[{optimizer: sgd}, {batch_size: 32}]",
        [
            "try_first[0].optimizer.adam: {} -> (absent)",
            "try_first[0].optimizer.sgd: (absent) -> {}",
            "try_first[1]: (absent) -> {batch_size: 32}",
        ],
        id="other entries to try first",
    ),
    pytest.param(
        "try_first: [{optimizer: adam}]",
        "",
        ["try_first: [{optimizer: {adam: {}}}] -> (absent)"],
        id="none to try first",
    ),
    pytest.param(
        "try_first: [{optimizer: adam}]",
        "try_first: [{optimizer: adam}, {optimizer: sgd}]",
        ["try_first[1]: (absent) -> {optimizer: {sgd: {}}}"],
        id="one more",
    ),
    pytest.param(
        "model: mlp",
        "model: {mlp: {hidden: [64, 32]}}",
        ["model.mlp.hidden: [128] -> [64, 32]"],
        id="a list",
    ),
    pytest.param(
        "model: mlp", "model: mlp\nprecision: fp32", ["precision: auto -> fp32"], id="text"
    ),
    pytest.param(
        "model: mlp", "model: mlp\nevaluate: ema", ["evaluate: (absent) -> ema"], id="a new key"
    ),
]


@pytest.mark.parametrize(("line", "instead", "lines"), OTHER)
def test_what_makes_another_study(load, line, instead, lines):
    assert line in TEXT
    old, new = load(TEXT), load(TEXT.replace(line, instead))
    assert new.fingerprint != old.fingerprint
    assert difference(old.document, new.document) == lines


def test_a_shorter_list_to_try_first(load):
    old = load(TEXT.replace("[{optimizer: adam}]", "[{optimizer: adam}, {batch_size: 32}]"))
    assert difference(old.document, load(TEXT).document) == [
        "try_first[1]: {batch_size: 32} -> (absent)"
    ]


def test_true_is_not_one():
    stored = {"budget": {"epochs_per_trial": 1}, "model": {"a": 1, "b": 1}}
    new = {"budget": {"epochs_per_trial": 1}, "model": {"a": True, "b": 1.0}}
    assert difference(stored, new) == ["model.a: 1 -> true", "model.b: 1 -> 1.0"]
