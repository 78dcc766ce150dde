"""What a valid study file means: defaults, short forms, ranges, branches, try_first."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hpsearch.errors import UserError
from hpsearch.registry import Component
from hpsearch.study_file.goals import Objective
from hpsearch.study_file.loading import find_study
from hpsearch.study_file.shipped import packaged
from hpsearch.study_file.space import Choice, Range
from hpsearch.study_file.study import Budget
from hpsearch.study_file.trial_config import DataConfig, EarlyStopping, TrialConfig, trial_seed

FULL = """\
study: full
description: Everything at once.
seed: 7
objective: {metric: val_loss, at: best}
budget: {trials: 138, epochs_per_trial: 30, time: 90m}
sampler: {tpe: {startup_trials: 20}}
pruner: none
data:
  source: {cifar10: {train_batches: [1]}}
  validation: 205
  input_size: {values: [32, 64, null]}
  limit: 4000
  augmentation: {random_crop: {padding: {min: 1, max: 4}}, horizontal_flip: {values: [true, false]}}
model:
  conv_net:
    conv1: {kernel_size: {min: 2, max: 5}}
    conv2: {dilation: {min: 1, max: 3}}
  mlp: {hidden: {values: [[64], [128, 64]]}, activation: {relu: , leaky_relu: {slope: 0.1}}}
optimizer:
  sgd: {lr: {min: 1e-4, max: 1, log: true}, momentum: {min: 0.6, max: 0.95, step: 0.05}}
  adam:
lr_schedule: {step: {step_size: {min: 2, max: 10, step: 2}}}
regularization: {l2: {strength: {min: 0, max: 0.1}}, label_smoothing: {values: [false, true]}}
class_weights: {values: [none, balanced]}
batch_size: {min: 16, max: 256, log: true}
early_stopping: {patience: 4, min_delta: 0.01}
precision: fp32
"""


def test_what_a_short_file_leaves_out_has_a_default(load, base):
    study = load(base)
    assert study.name == "s"
    assert study.description == ""
    assert study.seed == 0
    assert study.objective == Objective(metric="val_accuracy", at="last")
    assert study.objective.direction == "maximize"
    assert study.budget == Budget(trials=4, epochs_per_trial=2, time=None)
    assert study.sampler == Component("forest", {"startup_trials": 10})
    # What docs/search-efficiency.md found best
    assert study.pruner == Component("asha", {"reduction_factor": 3, "min_epochs": 1})
    assert study.try_first == ()
    assert study.plugins == ()
    assert study.provenance is None
    assert study.text == base
    assert study.is_frozen
    assert study.trial_config({}, ticket=3) == TrialConfig(
        data=DataConfig(source=Component("digits", {})),
        model=Component("mlp", {"hidden": [128], "dropout": 0.0, "activation": {"relu": {}}}),
        optimizer=Component(
            "sgd", {"lr": 0.1, "momentum": 0.9, "nesterov": False, "weight_decay": 0.0}
        ),
        lr_schedule=Component("constant", {}),
        regularization=(),
        class_weights="none",
        batch_size=32,
        epochs=2,
        early_stopping=None,
        precision="auto",
        split_seed=0,
        seed=trial_seed(0, 3),
    )


def test_a_full_file(load):
    study = load(FULL)
    assert study.objective == Objective(metric="val_loss", at="best")
    assert study.objective.direction == "minimize"
    assert study.budget == Budget(trials=138, epochs_per_trial=30, time=5400.0)
    assert study.pruner == Component("none", {})
    assert not study.is_frozen
    assert study.space.parameters() == {
        "data.input_size": Choice((32, 64, None)),
        "data.augmentation.random_crop.padding": Range(low=1, high=4, step=1, integer=True),
        "data.augmentation.horizontal_flip": Choice((True, False)),
        "model": Choice(("conv_net", "mlp")),
        "model.conv_net.conv1.kernel_size": Range(low=2, high=5, step=1, integer=True),
        "model.conv_net.conv2.dilation": Range(low=1, high=3, step=1, integer=True),
        "model.mlp.hidden": Choice(([64], [128, 64])),
        "model.mlp.activation": Choice(("relu", "leaky_relu")),
        "optimizer": Choice(("sgd", "adam")),
        "optimizer.sgd.lr": Range(low=1e-4, high=1.0, log=True),
        "optimizer.sgd.momentum": Range(low=0.6, high=0.95, step=0.05),
        "lr_schedule.step.step_size": Range(low=2, high=10, step=2, integer=True),
        "regularization.l2.strength": Range(low=0.0, high=0.1),
        "regularization.label_smoothing": Choice((False, True)),
        "class_weights": Choice(("none", "balanced")),
        "batch_size": Range(low=16, high=256, step=1, log=True, integer=True),
    }


def test_a_point_of_the_space_becomes_a_configuration(load):
    study = load(FULL)
    params = {
        "data.input_size": None,
        "data.augmentation.random_crop.padding": 3,
        "data.augmentation.horizontal_flip": False,
        "model": "conv_net",
        "model.conv_net.conv1.kernel_size": 2.0,  # as a database may give it
        "model.conv_net.conv2.dilation": 1,
        "optimizer": "adam",
        "lr_schedule.step.step_size": 4,
        "regularization.l2.strength": 0.05,
        "regularization.label_smoothing": True,
        "class_weights": "balanced",
        "batch_size": 17,
    }
    config = study.trial_config(params, ticket=0)
    assert config.data.augmentation == (Component("random_crop", {"padding": 3}),)
    assert config.data.source == Component("cifar10", {"train_batches": [1]})
    assert (config.data.validation, config.data.limit, config.data.input_size) == (205, 4000, None)
    assert config.model.settings["conv1"] == {"channels": 32, "kernel_size": 2, "dilation": 1}
    assert type(config.model.settings["conv1"]["kernel_size"]) is int
    # The second group's own default is 64 channels, also where the file gives another of its keys
    assert config.model.settings["conv2"] == {"channels": 64, "kernel_size": 3, "dilation": 1}
    assert config.model.settings["head"] is None
    assert config.optimizer == Component("adam", {"lr": 1e-3})
    assert config.regularization == (
        Component("l2", {"strength": 0.05}),
        Component("label_smoothing", {}),
    )
    assert config.class_weights == "balanced"
    assert config.early_stopping == EarlyStopping(patience=4, min_delta=0.01)
    without = study.trial_config({**params, "regularization.label_smoothing": False}, ticket=0)
    assert without.regularization == config.regularization[:1]
    assert (config.batch_size, config.epochs, config.split_seed) == (17, 30, 7)
    assert config.seed == trial_seed(7, 0) != study.trial_config(params, ticket=1).seed
    with pytest.raises(KeyError, match="batch_size"):
        study.trial_config({k: v for k, v in params.items() if k != "batch_size"}, ticket=0)


def test_a_switched_on_augmentation_takes_its_own_defaults(load, base):
    text = base.replace("digits}", "digits, augmentation: {horizontal_flip: true, random_crop: }}")
    config = load(text).trial_config({}, ticket=0)
    assert config.data.augmentation == (
        Component("horizontal_flip", {}),
        Component("random_crop", {"padding": 4}),
    )


def test_short_forms_mean_the_same(load, base):
    long = base.replace("model: mlp", "model: {mlp: {}}").replace("digits}", "{digits: null}}")
    assert load(long).document == load(base).document
    assert (
        load(base + "objective: val_loss\n").document
        == load(base + "objective: {metric: val_loss}\n").document
    )


def test_numbers_and_words_are_those_of_yaml_1_2(load, base):
    study = load(base.replace("0.1", "1e-4") + "description: no\nprovenance: {on: 2020-01-01}\n")
    assert study.document["optimizer"]["sgd"]["lr"] == 1e-4
    assert study.description == "no"
    assert study.provenance == {"on": "2020-01-01"}


def test_a_group_that_may_be_absent(load, base):
    text = base.replace("model: mlp", "model: {conv_net: {head: {channels: 8}, final: relu}}")
    settings = load(text).trial_config({}, ticket=0).model.settings
    assert settings["head"] == {"channels": 8, "kernel_size": 3, "dilation": 1}
    assert settings["final"] == {"relu": {}}


@pytest.mark.parametrize("source", ["full", "base"])
def test_the_document_is_the_study(load, reload, base, source):
    study = load(FULL if source == "full" else base)
    stored = json.loads(json.dumps(study.document))
    again = reload(stored, text=study.text)
    assert again == study
    assert again.fingerprint == study.fingerprint
    assert list(again.document) == list(study.document)


def test_evaluating_the_weights_is_what_studies_did_before_there_was_a_choice(load, base):
    written = load(base + "evaluate: weights\n")
    assert written.document == load(base).document
    assert "evaluate" not in written.document
    assert written.trial_config({}, ticket=1).evaluate == "weights"


def test_try_first_becomes_stored_values_by_path(load, reload):
    study = load(
        FULL
        + """\
try_first:
  - model: {mlp: {hidden: [128, 64], activation: leaky_relu}}
    optimizer: {sgd: {lr: 1, momentum: 0.65}}
    data: {augmentation: {horizontal_flip: true, random_crop: {padding: 2}}, limit: 4000}
  - {optimizer: adam, lr_schedule: step}
  - {data: {augmentation: {random_crop: true}}}
"""
    )
    assert study.try_first == (
        {
            "model": "mlp",
            "model.mlp.hidden": "[128,64]",
            "model.mlp.activation": "leaky_relu",
            "optimizer": "sgd",
            "optimizer.sgd.lr": 1.0,
            "optimizer.sgd.momentum": 0.65,
            "data.augmentation.horizontal_flip": True,
            "data.augmentation.random_crop.padding": 2,
        },
        {"optimizer": "adam"},
        {},
    )
    assert reload(study.document, text=study.text) == study


def test_a_path_is_meant_from_the_folder_of_the_file(load, base, tmp_path):
    text = base.replace("digits", "{image_folder: {path: ../flowers/}}")
    study = load(text)
    settings = study.trial_config({}, ticket=0).data.source.settings
    assert settings == {"path": str(tmp_path.parent / "flowers"), "mask": None}
    # What is typed on the command line is meant from the current folder, which is the same here
    moved = load(base, "data.source={image_folder: {path: a, mask: /b}}")
    settings = moved.trial_config({}, ticket=0).data.source.settings
    assert settings == {"path": str(tmp_path / "a"), "mask": "/b"}


def test_a_frozen_config_keeps_its_training_seed(load, base):
    study = load(base + "provenance: {trial_seed: 99, trial: {number: 4}}\n")
    assert study.provenance == {"trial_seed": 99, "trial": {"number": 4}}
    assert study.trial_config({}, ticket=0).seed == 99


def test_a_frozen_config_keeps_the_split_that_it_was_trained_on(load, base):
    config = load(base + "provenance: {split_seed: 77}\n").trial_config({}, ticket=0)
    plain = load(base).trial_config({}, ticket=0)
    assert (config.split_seed, plain.split_seed) == (77, load(base).seed)
    assert config.seed == plain.seed


def test_lists_and_provenance_that_are_empty_count_as_absent(load, reload, base):
    study = load(base + "plugins: []\ntry_first:\nprovenance: {}\n")
    assert study.document == load(base).document
    assert study.provenance is None
    assert reload(study.document, text=study.text) == study


def test_a_name_from_the_command_line(load, base):
    study = load(base, name="other")
    assert study.name == study.document["study"] == "other"


def test_reading_study_files_needs_neither_torch_nor_optuna():
    code = (
        "import sys, hpsearch.study_file.loading, hpsearch.study_file.freezing, "
        "hpsearch.study_file.json_schema\n"
        "print(sorted({'torch', 'optuna', 'sqlalchemy', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_folder_is_that_of_the_file_and_not_the_current_one(
    base, registries_of, tmp_path, monkeypatch
):
    from hpsearch.study_file.loading import load_study

    folder = tmp_path / "there"
    folder.mkdir()
    (folder / "x.yaml").write_text(base.replace("digits", "{image_folder: {path: pictures}}"))
    monkeypatch.chdir(tmp_path)
    study = load_study(Path("there/x.yaml"), registries_of)
    assert study.document["data"]["source"] == {
        "image_folder": {"path": str(folder / "pictures"), "mask": None}
    }


def test_anchors_repeat_a_value_and_may_be_defined_anew(load, base):
    text = base.replace("{lr: 0.1}", "{lr: &x {min: 0.1, max: 0.2}, momentum: *x}")
    document = load(text + "provenance: {a: &x 3, b: *x}\n").document
    assert document["optimizer"]["sgd"]["momentum"] == {"min": 0.1, "max": 0.2}
    assert document["provenance"] == {"a": 3, "b": 3}


def test_a_folder_cannot_pass_its_study_for_one_that_comes_with_hpsearch(tmp_path, monkeypatch):
    """Whoever types its name expects that one; the other may bring plug-ins."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "studies").mkdir()
    own = packaged() / "quickstart.yaml"
    mine = tmp_path / "studies" / "quickstart.yaml"
    mine.write_text(own.read_text() + "plugins: [theirs.py]\n")
    with pytest.raises(
        UserError, match=r"'quickstart' must mean one .* studies/quickstart\.yaml of"
    ):
        find_study("quickstart")
    assert find_study("studies/quickstart.yaml").samefile(mine)
    mine.write_text(own.read_text())
    assert find_study("quickstart").samefile(mine)
    mine.rename(mine.with_name("other.yaml"))
    assert find_study("other").name == "other.yaml" and find_study("quickstart") == own
