"""The JSON Schema takes what loading takes, and finds an editor's typing errors."""

from __future__ import annotations

import jsonschema
import pytest
from ruamel.yaml import YAML

from hpsearch.study_file.json_schema import json_schema

FULL = """\
study: s
description: d
seed: 3
objective: {metric: val_loss, at: best}
budget: {trials: 40, epochs_per_trial: 9, time: 8h}
sampler: {tpe: {startup_trials: 5}}
pruner: none
data:
  source: {cifar10: {train_batches: [1, 2]}}
  validation: {min: 0.1, max: 0.3, prior: 0.2, confidence: low}
  input_size: {values: [8, null], prior: null}
  augmentation: {random_crop: {values: [true, false]}, horizontal_flip: {probability: 0.3}}
model:
  mlp: {hidden: {values: [[64], [128, 64]]}, activation: {relu: , leaky_relu: {slope: 1}}}
  conv_net: {conv1: {channels: {min: 1, max: 4}}, conv2: , head: null, final: relu}
optimizer: {sgd: {lr: {min: 1e-5, max: 1, log: true}}, adam: }
lr_schedule: constant
regularization: {l2: {strength: {min: 0, max: 1}}, label_smoothing: true}
class_weights: {values: [none, balanced]}
early_stopping: {patience: 3}
batch_size: 16
precision: fp32
evaluate: ema
try_first: [{model: conv_net}]
provenance: {anything: [1, {a: b}]}
"""


@pytest.fixture(scope="module")
def schema(request):
    from_conftest = request.getfixturevalue("module_registries")
    document = json_schema(from_conftest)
    jsonschema.Draft202012Validator.check_schema(document)
    return document


def errors(schema, text: str) -> list[str]:
    value = YAML(typ="safe", pure=True).load(text)
    problems = jsonschema.Draft202012Validator(schema).iter_errors(value)
    return [error.message for error in problems]


def test_it_takes_what_loading_takes(schema, load, base):
    for text in (base, FULL):
        study = load(text)
        assert errors(schema, text) == []
        jsonschema.Draft202012Validator(schema).validate(study.document)


OWN_LOOP = """\
study: s
budget: {trials: 4, epochs_per_trial: 3}
metrics: {val_dice: maximize}
objective: {metric: val_dice, at: best}
loop: {curve: {lr: {min: 1e-4, max: 1, log: true}}}
"""


def test_a_study_with_a_loop_of_its_own_has_no_data_and_no_model(schema):
    assert errors(schema, OWN_LOOP) == []
    for wrong in ("metrics: {val_dice: more}", "loop: 3", "sed: 3", "model: lenet5"):
        key = wrong.partition(":")[0]
        lines = [line for line in OWN_LOOP.splitlines() if not line.startswith(key)]
        assert errors(schema, "\n".join([*lines, wrong])) != [], wrong
    without = OWN_LOOP.replace("metrics: {val_dice: maximize}\n", "")
    assert errors(schema, without) != []
    # An earlier study may give them
    later = without.replace("{curve: {lr: {min: 1e-4, max: 1, log: true}}}", "curve")
    assert errors(schema, later + "from: curves\n") == []


REFUSED = [
    pytest.param("{patience: 3}", "{min_delta: 3}", id="early stopping without its key"),
    pytest.param("{patience: 3}", "{patience: {min: 1, max: 3}}", id="early stopping, searched"),
    pytest.param("seed: 3", "sed: 3", id="unknown key"),
    pytest.param("seed: 3", "seed: x", id="wrong type"),
    pytest.param("seed: 3", "seed: {min: 1, max: 3}", id="a range where none makes sense"),
    pytest.param("study: s", "study: a b", id="bad name"),
    pytest.param("trials: 40, ", "", id="a required key is missing"),
    pytest.param("lr: {min: 1e-5, max: 1, log: true}", "momentum: 0.9", id="the same, nested"),
    pytest.param("min: 1e-5, max: 1", "min: 1e-5", id="half a range"),
    pytest.param("[[64], [128, 64]]", "[]", id="no values"),
    pytest.param("confidence: low", "confidence: sure", id="unknown confidence"),
    pytest.param("prior: 0.2, ", "", id="a confidence without a prior"),
    pytest.param("  mlp: {hidden", "  prior: mpl\n  mlp: {hidden", id="a prior of a branch"),
    pytest.param("prior: 0.2", "prior: x", id="a prior that is no number"),
    pytest.param(
        "hidden: {values: [[64], [128, 64]]}", "hidden: {min: 1, max: 2}", id="range of lists"
    ),
    pytest.param("{tpe: {startup_trials: 5}}", "{tpe: , random: }", id="two samplers"),
    pytest.param("{tpe: {startup_trials: 5}}", "tep", id="unknown name"),
    pytest.param("slope: 1", "slop: 1", id="unknown key of a nested component"),
    pytest.param("conv2: ", "conv3: ", id="unknown group"),
    pytest.param("random_crop: {values", "random_crops: {values", id="unknown augmentation"),
    pytest.param("lr_schedule: constant", "lr_schedule: step", id="a bare name that needs keys"),
]


@pytest.mark.parametrize(("line", "instead"), REFUSED)
def test_it_refuses(schema, line, instead):
    assert line in FULL
    assert errors(schema, FULL.replace(line, instead)) != []


def test_names_are_explained(schema):
    models = schema["$defs"]["one_model"]["anyOf"][1]["properties"]
    assert models["mlp"]["description"] == "A dense network."
    assert models["mlp"]["anyOf"][0]["properties"]["dropout"]["default"] == 0.0


LATER = """\
study: later
budget: {trials: 4, epochs_per_trial: 2}
from: {study: earlier, trial: 17}
data: {limit: 100}
model: {found: {conv1: {channels: 8}}}
optimizer: {sgd: {momentum: {min: 0, max: 0.9}}}
lr_schedule: step
"""


def test_a_file_with_from_may_leave_out_what_was_found(schema):
    assert errors(schema, LATER) == []
    assert errors(schema, LATER.replace("{study: earlier, trial: 17}", "best.yaml")) == []


@pytest.mark.parametrize(
    ("line", "instead"),
    [
        pytest.param("from: {study: earlier, trial: 17}\n", "", id="no from"),
        pytest.param("{study: earlier, trial: 17}", "null", id="from null"),
        pytest.param("trial: 17", "trail: 17", id="unknown key of from"),
        pytest.param("momentum:", "momentun:", id="unknown key of a component"),
        pytest.param("study: later\n", "", id="a key that is never found"),
    ],
)
def test_a_file_with_from_is_checked_too(schema, line, instead):
    assert line in LATER
    assert errors(schema, LATER.replace(line, instead)) != []
