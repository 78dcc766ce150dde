"""Frozen configs: a point of the space as a study file of its own."""

from __future__ import annotations

import pytest
from ruamel.yaml import YAML

from hpsearch.foreign_text import clean
from hpsearch.registry import Component
from hpsearch.study_file.freezing import freeze, to_yaml
from hpsearch.study_file.trial_config import EarlyStopping

TEXT = """\
study: s
description: |
  Two lines,
  the second: "quoted".
seed: 3
budget: {trials: 40, epochs_per_trial: 9, time: 8h}
pruner: {asha: {min_epochs: 2}}
data:
  source: {cifar10: {train_batches: [1, 2]}}
  input_size: {values: [8, null]}
  augmentation: {random_crop: {values: [true, false]}, horizontal_flip: {probability: 0.3}}
model:
  mlp: {hidden: {values: [[64], [128, 64]]}}
  conv_net:
optimizer: {sgd: {lr: {min: 1e-5, max: 1, log: true}}, adam: }
regularization: {l2: {strength: {values: [0, 1e-3]}}}
class_weights: {values: [none, balanced]}
early_stopping: {patience: 3}
try_first: [{model: conv_net}]
"""

PARAMS = {
    "data.input_size": None,
    "data.augmentation.random_crop": False,
    "model": "mlp",
    "model.mlp.hidden": "[128,64]",
    "optimizer": "sgd",
    "optimizer.sgd.lr": 2.5e-05,
    "regularization.l2.strength": 0.001,
    "class_weights": "balanced",
}

FROZEN = """\
# The winner of s
#
# Train it again with: hpsearch train
study: s
description: |
  Two lines,
  the second: "quoted".
seed: 3
objective:
  metric: val_accuracy
  at: last
budget:
  trials: 1
  epochs_per_trial: 9
  time: null
  trial_timeout: 30m
sampler:
  forest:
    startup_trials: 10
pruner:
  asha:
    reduction_factor: 3
    min_epochs: 2
pruner_audit: 0.03
data:
  source:
    cifar10:
      train_batches: [1, 2]
  validation: 0.2
  input_size: null
  limit: null
  per_class: null
  normalization: measured
  augmentation:
    random_crop: false
    horizontal_flip:
      probability: 0.3
model:
  mlp:
    hidden: [128, 64]
    dropout: 0.0
    activation:
      relu: {}
optimizer:
  sgd:
    lr: 2.5e-05
    momentum: 0.9
    nesterov: false
    weight_decay: 0.0
lr_schedule:
  constant: {}
regularization:
  l2:
    strength: 0.001
class_weights: balanced
batch_size: 32
early_stopping:
  patience: 3
  min_delta: 0.0
precision: auto
provenance:
  trial_seed: 17
  device: cpu
  val_loss: null
  epochs:
    - accuracy: 0.5
    - accuracy: 0.75
"""

COMMENT = "The winner of s\n\nTrain it again with: hpsearch train"


def frozen_text(study) -> str:
    provenance = {
        "trial_seed": 17,
        "device": "cpu",
        "val_loss": float("nan"),
        "epochs": ({"accuracy": 0.5}, {"accuracy": 0.75}),
    }
    return to_yaml(freeze(study, PARAMS, provenance), COMMENT)


def test_a_frozen_config_reads_well(load):
    assert frozen_text(load(TEXT)) == FROZEN


def test_it_is_a_study_file_that_trains_the_same(load):
    study = load(TEXT)
    frozen = load(frozen_text(study))
    assert frozen.is_frozen
    assert frozen.description == study.description
    trained = frozen.trial_config({}, ticket=0)
    searched = study.trial_config(PARAMS, ticket=12)
    assert trained.seed == 17
    assert trained.data == searched.data
    assert trained.model == searched.model
    assert trained.optimizer == searched.optimizer
    assert trained.regularization == (Component("l2", {"strength": 0.001}),)
    assert (trained.class_weights, searched.class_weights) == ("balanced", "balanced")
    assert trained.early_stopping == searched.early_stopping == EarlyStopping(patience=3)
    assert (trained.epochs, trained.split_seed) == (searched.epochs, searched.split_seed)


def test_it_evaluates_what_the_study_evaluated(load):
    study = load(TEXT + "evaluate: ema\n")
    frozen = load(frozen_text(study))
    assert frozen.document["evaluate"] == "ema"
    assert frozen.trial_config({}, ticket=0).evaluate == "ema"


def test_freezing_it_again_changes_nothing(load):
    frozen = load(FROZEN)
    assert to_yaml(freeze(frozen, {}, frozen.provenance), COMMENT) == FROZEN


def test_a_missing_parameter_is_an_error(load):
    with pytest.raises(KeyError, match=r"optimizer\.sgd\.lr"):
        freeze(load(TEXT), {k: v for k, v in PARAMS.items() if k != "optimizer.sgd.lr"}, {})


@pytest.mark.parametrize(
    "text",
    [
        "a\u202egpj.exe",
        "\u2066a b\u2069",
        "a\u200bb: c",
        "\U000e0041",
        "caf\xe9\x85",
        "\x1b[31m\r\n",
    ],
)
def test_what_deceives_whoever_reads_the_file_is_escaped(text):
    document = {"description": text, "provenance": {text: [text, {"a": text}], "b": "plain, \xe9"}}
    written = to_yaml(document, "trial 0")
    assert clean(written) == written and "plain, \xe9" in written
    assert YAML(typ="safe", pure=True).load(written) == document


def test_a_study_reads_well_too(load):
    study = load(TEXT)
    text = to_yaml(study.document)
    assert "    lr: {min: 1.0e-05, max: 1.0, log: true}\n" in text
    assert "  input_size: {values: [8, null]}\n" in text
    assert "    hidden: {values: [[64], [128, 64]]}\n" in text
    assert load(text).document == study.document
