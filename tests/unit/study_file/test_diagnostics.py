"""Everything that can be wrong in a study file, and the exact words about it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hpsearch.errors import StudyFileError

RANGE_KEYS = "Known: confidence, log, max, min, prior, step, values."


def messages(load, text: str, *overrides: str, name: str | None = None) -> list[str]:
    with pytest.raises(StudyFileError) as caught:
        load(text, *overrides, name=name)
    assert str(caught.value).splitlines() == [str(problem) for problem in caught.value.problems]
    return [str(problem) for problem in caught.value.problems]


# Each case: the line that is put behind the base file (it becomes line 6), and what is said
APPENDED = [
    pytest.param(
        "modle: mlp",
        "x.yaml:6: modle: unknown key 'modle'. Did you mean 'model'? Known: batch_size, "
        "budget, class_weights, confirm, constraints, data, description, early_stopping, "
        "evaluate, from, loop, lr_schedule, metrics, model, objective, objectives, "
        "optimizer, plugins, precision, prune_on, pruner, pruner_audit, question, "
        "recipe, regularization, sampler, search, seed, study, trackers, try_first.",
        id="unknown key at the root",
    ),
    pytest.param(
        "seed: 1.5",
        "x.yaml:6: seed: must be an integer, but got 1.5",
        id="a float for an integer",
    ),
    pytest.param(
        'batch_size: "32"',
        'x.yaml:6: batch_size: must be an integer, but got "32"',
        id="text for an integer",
    ),
    pytest.param(
        "batch_size: true",
        "x.yaml:6: batch_size: must be an integer, but got true",
        id="a boolean is not an integer",
    ),
    pytest.param(
        "batch_size: 0",
        "x.yaml:6: batch_size: must be at least 1, but got 0",
        id="a constraint",
    ),
    pytest.param(
        "batch_size: [16, 32]",
        "x.yaml:6: batch_size: must be an integer, but got [16, 32]; to search over several "
        "values, write {values: [..]}",
        id="a list where one value stands",
    ),
    pytest.param(
        "batch_size: {min: 32, max: 8}",
        "x.yaml:6: batch_size: empty range: min < max must hold, but got {min: 32, max: 8}",
        id="empty range",
    ),
    pytest.param(
        "batch_size: {min: 32, max: 32}",
        "x.yaml:6: batch_size: empty range: min < max must hold, but got {min: 32, max: 32}",
        id="a range of one value",
    ),
    pytest.param(
        "batch_size: {min: 32}",
        "x.yaml:6: batch_size: a range needs both min and max, but max is missing",
        id="half a range",
    ),
    pytest.param(
        "batch_size: {min: 1, max: many}",
        'x.yaml:6: batch_size.max: must be a number, but got "many"',
        id="an end that is no number",
    ),
    pytest.param(
        "batch_size: {min: .inf, max: 64}",
        "x.yaml:6: batch_size.min: a number must be finite, but got .inf",
        id="an end that is not finite",
    ),
    pytest.param(
        "batch_size: {min: 0, max: 64}",
        "x.yaml:6: batch_size.min: must be at least 1, but got 0",
        id="an end that breaks the key's rule",
    ),
    pytest.param(
        "batch_size: {min: 1, max: 6.5}",
        "x.yaml:6: batch_size.max: must be an integer, but got 6.5",
        id="a float end of an integer range",
    ),
    pytest.param(
        "batch_size: {min: 8, max: 64, step: 0.5}",
        "x.yaml:6: batch_size: the step of an integer range must be an integer, but got "
        "{min: 8, max: 64, step: 0.5}",
        id="a float step of an integer range",
    ),
    pytest.param(
        "batch_size: {min: 8, max: 64, step: 0}",
        "x.yaml:6: batch_size: step > 0 must hold, but got {min: 8, max: 64, step: 0}",
        id="no step",
    ),
    pytest.param(
        "batch_size: {min: 8, max: 20, step: 8}",
        "x.yaml:6: batch_size: max must be a whole number of steps above min, but got {min: 8, "
        "max: 20, step: 8}",
        id="a step that misses max",
    ),
    pytest.param(
        "batch_size: {min: 8, max: 64, step: 8, log: true}",
        "x.yaml:6: batch_size: log and step can't be combined, but got "
        "{min: 8, max: 64, step: 8, log: true}",
        id="log and step",
    ),
    pytest.param(
        "batch_size: {min: 8, max: 64, log: 1}",
        "x.yaml:6: batch_size.log: must be true or false, but got 1",
        id="log that isn't a boolean",
    ),
    pytest.param(
        "batch_size: {min: 8, mx: 64}",
        f"x.yaml:6: batch_size: unknown key of a range 'mx'. Did you mean 'max'? {RANGE_KEYS}",
        id="unknown key of a range",
    ),
    pytest.param(
        "batch_size: {values: []}",
        "x.yaml:6: batch_size: values must be a list of at least one value, but got []",
        id="no values",
    ),
    pytest.param(
        "batch_size: {values: 16}",
        "x.yaml:6: batch_size: values must be a list of at least one value, but got 16",
        id="values that are no list",
    ),
    pytest.param(
        "batch_size: {values: [16, 32, 16]}",
        "x.yaml:6: batch_size: values must differ, but 16 appears twice",
        id="a value twice",
    ),
    pytest.param(
        "batch_size: {values: [16, big]}",
        'x.yaml:6: batch_size: must be an integer, but got "big"',
        id="a wrong value among several",
    ),
    pytest.param(
        "batch_size: {values: [16, 32], min: 8}",
        "x.yaml:6: batch_size: values must be the only key, or beside prior and confidence, "
        "without a range, but got {values: [16, 32], min: 8}",
        id="values and a range",
    ),
    pytest.param(
        "batch_size: {min: 8, max: 64, prior: 65}",
        "x.yaml:6: batch_size.prior: a prior must be an integer from 8 to 64, but got 65",
        id="a prior outside the range",
    ),
    pytest.param(
        "batch_size: {min: 8, max: 64, step: 8, prior: 20}",
        "x.yaml:6: batch_size.prior: a prior must be on the steps of its range, 8 + n x 8, from 8 "
        "to 64, but got 20",
        id="a prior between the steps",
    ),
    pytest.param(
        "batch_size: {min: 8, max: 64, prior: 8.5}",
        "x.yaml:6: batch_size.prior: must be an integer, but got 8.5",
        id="a prior that breaks the key's rule",
    ),
    pytest.param(
        "batch_size: {values: [16, 32], prior: 8}",
        "x.yaml:6: batch_size.prior: a prior must be one of the values, [16, 32], but got 8",
        id="a prior that isn't one of the values",
    ),
    pytest.param(
        "batch_size: {min: 8, max: 64, prior: 16, confidence: sure}",
        'x.yaml:6: batch_size.confidence: a confidence must be low, medium or high, but got "sure"',
        id="an unknown confidence",
    ),
    pytest.param(
        "batch_size: {min: 8, max: 64, confidence: high}",
        "x.yaml:6: batch_size.confidence: a confidence needs a prior, the value that you expect to "
        "be best, but there is none; add prior: VALUE",
        id="a confidence without a prior",
    ),
    pytest.param(
        "batch_size: {prior: 16}",
        "x.yaml:6: batch_size: a range needs both min and max, but min and max is missing",
        id="a prior without a range",
    ),
    pytest.param(
        "seed: {min: 1, max: 4}",
        "x.yaml:6: seed: must be one fixed value, not searched, but got {min: 1, max: 4}",
        id="a range where none makes sense",
    ),
    pytest.param(
        "precision: {values: [fp32, bf16]}",
        "x.yaml:6: precision: must be one fixed value, not searched, but got "
        '{values: ["fp32", "bf16"]}',
        id="precision is the same for every trial",
    ),
    pytest.param(
        "evaluate: {values: [weights, ema]}",
        "x.yaml:6: evaluate: must be one fixed value, not searched, but got "
        '{values: ["weights", "ema"]}',
        id="what is evaluated is the same for every trial",
    ),
    pytest.param(
        "evaluate: swa",
        "x.yaml:6: evaluate: must be 'weights' or 'ema', but got \"swa\"",
        id="no such average",
    ),
    pytest.param(
        "early_stopping: {patience: {values: [2, 4]}}",
        "x.yaml:6: early_stopping.patience: must be one fixed value, not searched, but got "
        "{values: [2, 4]}",
        id="early stopping is the same for every trial",
    ),
    pytest.param(
        "early_stopping: {min_delta: 0.1}",
        "x.yaml:6: early_stopping.patience: this key is required, but it is missing; add it",
        id="early stopping without a patience",
    ),
    pytest.param(
        "early_stopping: {patience: 2, min_delta: -1}",
        "x.yaml:6: early_stopping.min_delta: must be at least 0, but got -1",
        id="min_delta out of range",
    ),
    pytest.param(
        "class_weights: inverse",
        "x.yaml:6: class_weights: must be 'none' or 'balanced', but got \"inverse\"",
        id="unknown class weights",
    ),
    pytest.param(
        "regularization: {l2: true}",
        "x.yaml:6: regularization.l2: needs its keys strength, but got true",
        id="a regularizer that needs a key",
    ),
    pytest.param(
        "regularization: {l3: {strength: 1}}",
        "x.yaml:6: regularization: unknown regularizer 'l3'. Known: l2, label_smoothing.",
        id="an unknown regularizer",
    ),
    pytest.param(
        "precision: fp8",
        "x.yaml:6: precision: must be 'auto', 'fp32' or 'bf16', but got \"fp8\"",
        id="not one of a few",
    ),
    pytest.param(
        "sampler: {tpe: {startup_trials: {min: 1, max: 9}}}",
        "x.yaml:6: sampler.tpe.startup_trials: must be one fixed value, not searched, but got "
        "{min: 1, max: 9}",
        id="a range in the sampler",
    ),
    pytest.param(
        "sampler: {tpe: , random: }",
        "x.yaml:6: sampler: must name one sampler, not searched, but got tpe, random",
        id="two samplers",
    ),
    pytest.param(
        "sampler: tep",
        "x.yaml:6: sampler: unknown sampler 'tep'. Did you mean 'tpe'? Known: forest, random, tpe.",
        id="unknown sampler",
    ),
    pytest.param(
        "pruner: [asha, median]",
        "x.yaml:6: pruner: must name a pruner, one of asha, median, none, "
        'but got ["asha", "median"]',
        id="a list of pruners",
    ),
    pytest.param(
        "lr_schedule: [constant, exponential]",
        "x.yaml:6: lr_schedule: must name a learning-rate schedule, one of constant, "
        'exponential, step, but got ["constant", "exponential"]; to search over several, name '
        "each as a key: {a: {..}, b: {..}}",
        id="a list of schedules",
    ),
    pytest.param(
        "lr_schedule: {}",
        "x.yaml:6: lr_schedule: must name a learning-rate schedule, one of constant, "
        "exponential, step, but got {}",
        id="no schedule",
    ),
    pytest.param(
        "lr_schedule: {exponential: 0.9}",
        "x.yaml:6: lr_schedule.exponential: must be a mapping with the keys gamma, but got 0.9",
        id="a value in place of a component's keys",
    ),
    pytest.param(
        "lr_schedule: step",
        "x.yaml:6: lr_schedule.step.step_size: this key is required, but it is missing; add it",
        id="a component that needs a key",
    ),
    pytest.param(
        "objective: accuracy",
        "x.yaml:6: objective.metric: must be one of val_accuracy, val_loss, val_macro_f1, "
        "val_balanced_accuracy, val_auroc, val_calibration_error, val_recall(CLASS), "
        'val_top5_accuracy, but got "accuracy"',
        id="unknown objective",
    ),
    pytest.param(
        "objective: {metric: val_loss, at: first}",
        "x.yaml:6: objective.at: must be 'last' or 'best', but got \"first\"",
        id="unknown epoch of the objective",
    ),
    pytest.param(
        "description: 3",
        "x.yaml:6: description: must be text, but got 3",
        id="a number for text",
    ),
    pytest.param(
        "seed: .inf",
        "x.yaml:6: seed: a number must be finite, but got .inf",
        id="not finite",
    ),
    pytest.param(
        "seed: 3\nseed: 4",
        "x.yaml:7: seed: a key must appear once, but line 6 has it too",
        id="a key twice",
    ),
    pytest.param(
        "seed: !!python/name:os.system 3",
        "x.yaml:6: seed: YAML tags are not used in study files; remove "
        '"tag:yaml.org,2002:python/name:os.system"',
        id="a tag",
    ),
    pytest.param(
        "<<: {seed: 3}",
        "x.yaml:6: merge keys (<<) are not part of YAML 1.2; remove it",
        id="a merge key",
    ),
    pytest.param(
        "[a]: 3",
        "x.yaml:6: a key must be a name, but got a list or a mapping",
        id="a list as a key",
    ),
    pytest.param(
        "provenance: &all {a: *all}",
        "x.yaml:6: provenance.a: an alias must not be inside the value that it repeats",
        id="an alias of itself",
    ),
    pytest.param(
        "provenance: here",
        'x.yaml:6: provenance: must be a mapping, but got "here"',
        id="provenance that is no mapping",
    ),
    pytest.param(
        "provenance:\n  trial_seed: x",
        'x.yaml:7: provenance.trial_seed: must be an integer of at least 0, but got "x"',
        id="a training seed that is no number",
    ),
    pytest.param(
        "provenance:\n  split_seed: -1",
        "x.yaml:7: provenance.split_seed: must be an integer of at least 0, but got -1",
        id="the seed of a split below 0",
    ),
    pytest.param(
        "plugins: mine.py",
        'x.yaml:6: plugins: must be a list of Python files, but got "mine.py"',
        id="plugins that are no list",
    ),
    pytest.param(
        "plugins: [3]",
        "x.yaml:6: plugins[0]: must be the path of a Python file, but got 3",
        id="a plugin that is no path",
    ),
    pytest.param(
        "plugins:\n  - nowhere.py",
        'x.yaml:7: plugins[0]: must be a Python file that exists, but got "nowhere.py"; '
        "put it there, or give its path on this machine",
        id="a plugin that doesn't exist",
    ),
    pytest.param(
        "try_first: {seed: 1}",
        'x.yaml:6: try_first: must be a list of entries, but got {"seed": 1}',
        id="try_first that is no list",
    ),
    pytest.param(
        "a: [1,\nb: 2",
        "x.yaml:8: this is not valid YAML: while parsing a flow sequence that starts on line 6, "
        "expected ',' or ']', but got '<stream end>'",
        id="syntax",
    ),
    pytest.param(
        "\tseed: 3",
        "x.yaml:6: this is not valid YAML: while scanning for the next token, found character "
        "'\\t' that cannot start any token",
        id="a tab",
    ),
    pytest.param(
        "seed: \x07",
        "x.yaml:6: this is not valid YAML: special characters are not allowed",
        id="a control character",
    ),
]


@pytest.mark.parametrize(("line", "message"), APPENDED)
def test_a_bad_line_is_named_with_its_rule(load, base, line, message):
    assert messages(load, base + line + "\n") == [message]


# Each case: (the line of the base file that is replaced, the text instead, what is said)
REPLACED = [
    pytest.param(
        "study: s",
        "study: my study!",
        'x.yaml:1: study: must be a name of 1 to 64 letters, digits, _ and -, but got "my study!"',
        id="bad name",
    ),
    pytest.param(
        "study: s",
        "study: " + "a" * 65,
        "x.yaml:1: study: must be a name of 1 to 64 letters, digits, _ and -, but got "
        '"' + "a" * 56 + "...",
        id="a name that is too long",
    ),
    pytest.param(
        "study: s",
        "seed: 3",
        "x.yaml:1: study: this key is required, but it is missing; add it",
        id="no name",
    ),
    pytest.param(
        "budget: {trials: 4, epochs_per_trial: 2}",
        "budget: {trials: 4, epochs_per_trial: 2, time: 30}",
        "x.yaml:2: budget.time: must be a duration with its unit, as in 90s, 30m, 8h or 2d, or "
        "null, but got 30",
        id="a duration without its unit",
    ),
    pytest.param(
        "budget: {trials: 4, epochs_per_trial: 2}",
        "budget: {trials: 4, epochs_per_trial: 2, time: 0s}",
        "x.yaml:2: budget.time: must be a duration with its unit, as in 90s, 30m, 8h or 2d, or "
        'null, but got "0s"',
        id="no time at all",
    ),
    pytest.param(
        "budget: {trials: 4, epochs_per_trial: 2}",
        "budget: {trials: 4}",
        "x.yaml:2: budget.epochs_per_trial: this key is required, but it is missing; add it",
        id="half a budget",
    ),
    pytest.param(
        "budget: {trials: 4, epochs_per_trial: 2}",
        "budget: 4",
        "x.yaml:2: budget: must be a mapping with the keys trials, epochs_per_trial, time, "
        "trial_timeout, stop, but "
        "got 4",
        id="a number for a mapping",
    ),
    pytest.param(
        "data: {source: digits}",
        "data: {source: cifar}",
        "x.yaml:3: data.source: unknown data source 'cifar'. Did you mean 'cifar10'? Known: "
        "cifar10, digits, image_folder.",
        id="unknown source",
    ),
    pytest.param(
        "data: {source: digits}",
        "data: {source: {cifar10: {train_batches: [1, 7]}}}",
        "x.yaml:3: data.source.cifar10.train_batches: item 2 must be at most 5, but got [1, 7]",
        id="a wrong item of a list",
    ),
    pytest.param(
        "data: {source: digits}",
        "data: {source: digits, validation: 1.0}",
        "x.yaml:3: data.validation: must be a fraction of the training images (0 < x < 1) or a "
        "number of them (1, 2, ..), but got 1.0",
        id="all images for validation",
    ),
    pytest.param(
        "data: {source: digits}",
        "data: {source: digits, validation: {min: 0.1, max: 205}}",
        "x.yaml:3: data.validation.max: must be a fraction of the training images (0 < x < 1) "
        "or a number of them (1, 2, ..), but got 205.0",
        id="a range from a fraction to a number",
    ),
    pytest.param(
        "data: {source: digits}",
        "data: {source: digits, limit: 0}",
        "x.yaml:3: data.limit: must be at least 1 or null, but got 0",
        id="no images",
    ),
    pytest.param(
        "data: {source: digits}",
        "data: {source: digits, augmentation: horizontal_flip}",
        "x.yaml:3: data.augmentation: must be a mapping, {name: true} for each augmentation of "
        'erase, horizontal_flip, random_crop, but got "horizontal_flip"',
        id="augmentation that is no mapping",
    ),
    pytest.param(
        "data: {source: digits}",
        "data: {source: digits, augmentation: {flip: true}}",
        "x.yaml:3: data.augmentation: unknown augmentation 'flip'. Known: erase, "
        "horizontal_flip, random_crop.",
        id="unknown augmentation",
    ),
    pytest.param(
        "data: {source: digits}",
        "data: {source: digits, augmentation: {horizontal_flip: 0.5}}",
        "x.yaml:3: data.augmentation.horizontal_flip: must be true, false, {values: [true, "
        "false]} or a mapping of its keys, but got 0.5",
        id="a number for an augmentation",
    ),
    pytest.param(
        "data: {source: digits}",
        "data: {source: digits, augmentation: {erase: true}}",
        "x.yaml:3: data.augmentation.erase: needs its keys share, but got true",
        id="an augmentation that needs a key",
    ),
    pytest.param(
        "data: {source: digits}",
        "data: {source: digits, augmentation: {erase: {}}}",
        "x.yaml:3: data.augmentation.erase.share: this key is required, but it is missing; add it",
        id="an augmentation without the key it needs",
    ),
    pytest.param(
        "model: mlp",
        "model: resnet",
        "x.yaml:4: model: unknown model 'resnet'. Known: conv_net, mlp.",
        id="unknown model",
    ),
    pytest.param(
        "model: mlp",
        "model:\n  mlp:\n    hiden: [3]",
        "x.yaml:6: model.mlp.hiden: unknown key 'hiden'. Did you mean 'hidden'? Known: "
        "activation, dropout, hidden.",
        id="unknown key of a model",
    ),
    pytest.param(
        "model: mlp",
        "model: {mlp: {hidden: {min: 1, max: 3}}}",
        "x.yaml:4: model.mlp.hidden: a range needs a key that takes numbers, but got "
        "{min: 1, max: 3}; write {values: [..]}",
        id="range on a non-numeric key",
    ),
    pytest.param(
        "model: mlp",
        "model: {mlp: {hidden: 128}}",
        "x.yaml:4: model.mlp.hidden: must be a list, but got 128",
        id="a number for a list",
    ),
    pytest.param(
        "model: mlp",
        "model: {mlp: {activation: {relu: {slope: 0.1}}}}",
        "x.yaml:4: model.mlp.activation.relu.slope: unknown key 'slope'. Did you mean "
        "model.mlp.activation.leaky_relu.slope? Known: none.",
        id="a key of the other activation",
    ),
    pytest.param(
        "model: mlp",
        "model: {conv_net: {conv1: {kernel_size: {values: [3, 9]}}}}",
        "x.yaml:4: model.conv_net.conv1.kernel_size: must be at most 7, but got 9",
        id="a value in a group that breaks its rule",
    ),
    pytest.param(
        "model: mlp",
        "model: {conv_net: {groups: {min: 8, max: 64}}}",
        "x.yaml:4: model.conv_net.groups: must be a multiple of 8, but got 9",
        id="a range whose ends are fine and whose inside isn't",
    ),
    pytest.param(
        "optimizer: {sgd: {lr: 0.1}}",
        "optimizer: {sgd: }",
        "x.yaml:5: optimizer.sgd.lr: this key is required, but it is missing; add it",
        id="a required key",
    ),
    pytest.param(
        "optimizer: {sgd: {lr: 0.1}}",
        "optimizer: {sgd: {lr: {min: 0, max: 0.1, log: true}}}",
        "x.yaml:5: optimizer.sgd.lr.min: must be greater than 0, but got 0.0",
        id="an excluded end",
    ),
    pytest.param(
        "optimizer: {sgd: {lr: 0.1}}",
        "optimizer: {sgd: {lr: 0.1, weight_decay: {min: 0, max: 0.1, log: true}}}",
        "x.yaml:5: optimizer.sgd.weight_decay: a log range needs min > 0, but got "
        "{min: 0, max: 0.1, log: true}",
        id="log from zero",
    ),
    pytest.param(
        "optimizer: {sgd: {lr: 0.1}}",
        "optimizer: {sgd: {lr: 0.1, nesterov: no}}",
        'x.yaml:5: optimizer.sgd.nesterov: must be true or false, but got "no"',
        id="no is text in YAML 1.2",
    ),
    pytest.param(
        "optimizer: {sgd: {lr: 0.1}}",
        "optimizer: {sgd: {lr: 0.1, nesterov: {min: 0, max: 1}}}",
        "x.yaml:5: optimizer.sgd.nesterov: a range needs a key that takes numbers, but got "
        "{min: 0, max: 1}; write {values: [..]}",
        id="range on a boolean",
    ),
]


@pytest.mark.parametrize(("line", "instead", "message"), REPLACED)
def test_a_bad_section_is_named_with_its_rule(load, base, line, instead, message):
    assert line in base
    assert messages(load, base.replace(line, instead)) == [message]


TRY_FIRST_BASE = """\
study: s
budget: {trials: 4, epochs_per_trial: 2}
data: {source: digits, input_size: {values: [8, 16]}, augmentation: {random_crop: {padding: 2}}}
model: {mlp: {hidden: {values: [[64], [32, 32]]}}}
optimizer: {sgd: {lr: {min: 0.01, max: 0.1}}, adam: }
batch_size: {min: 8, max: 64, step: 8}
try_first:
"""

TRY_FIRST = [
    pytest.param(
        "optimizer: {sgd: {lr: 0.2}}",
        "try_first[0].optimizer.sgd.lr: must be in the space, 0.01 to 0.1, but got 0.2",
        id="outside a range",
    ),
    pytest.param(
        "batch_size: 12",
        "try_first[0].batch_size: must be in the space, 8 to 64 in steps of 8, but got 12",
        id="between two steps",
    ),
    pytest.param(
        "data: {input_size: 32}",
        "try_first[0].data.input_size: must be in the space, one of 8, 16, but got 32",
        id="outside the values",
    ),
    pytest.param(
        "model: {mlp: {hidden: [64, 64]}}",
        "try_first[0].model.mlp.hidden: must be in the space, one of [64], [32, 32], but got [64, "
        "64]",
        id="a list outside the values",
    ),
    pytest.param(
        "model: conv_net",
        'try_first[0].model: must be one that this study lists, mlp, but got "conv_net"',
        id="a model that the study doesn't list",
    ),
    pytest.param(
        "optimizer: {sgd: , adam: }",
        "try_first[0].optimizer: an entry must name exactly one optimizer, but got "
        '{"sgd": null, "adam": null}',
        id="two optimizers",
    ),
    pytest.param(
        "optimizer: {adam: {lr: 0.01}}",
        "try_first[0].optimizer.adam.lr: is fixed to 0.001 in this study, so an entry can't "
        "change it, but got 0.01",
        id="a fixed key",
    ),
    pytest.param(
        "optimizer: {sgd: {lr: {min: 0.01, max: 0.05}}}",
        "try_first[0].optimizer.sgd.lr: an entry must give one value, but got "
        '{"min": 0.01, "max": 0.05}',
        id="a range",
    ),
    pytest.param(
        "optimizer: {sgd: {lr: fast}}",
        'try_first[0].optimizer.sgd.lr: must be a number, but got "fast"',
        id="the wrong type",
    ),
    pytest.param(
        "optimizer: {sgd: {rate: 0.1}}",
        "try_first[0].optimizer.sgd.rate: unknown key 'rate'. Known: lr, momentum, nesterov, "
        "weight_decay.",
        id="unknown key",
    ),
    pytest.param(
        "seed: 3",
        "try_first[0].seed: unknown key 'seed'. Did you mean seed (at the top level)? Known: "
        "batch_size, class_weights, data, early_stopping, evaluate, lr_schedule, model, "
        "optimizer, precision, regularization.",
        id="a key that no trial has",
    ),
    pytest.param(
        "data: {augmentation: {random_crop: false}}",
        "try_first[0].data.augmentation.random_crop: must be a mapping with the keys padding, "
        "but got false",
        id="an augmentation that is always on",
    ),
    pytest.param(
        "data: {augmentation: {random_crop: {padding: 3}}}",
        "try_first[0].data.augmentation.random_crop.padding: is fixed to 2 in this study, so an "
        "entry can't change it, but got 3",
        id="an augmentation's fixed key",
    ),
    pytest.param(
        "data: {augmentation: {horizontal_flip: true}}",
        "try_first[0].data.augmentation.horizontal_flip: is fixed to false in this study, so an "
        "entry can't change it, but got true",
        id="an augmentation that the study doesn't list",
    ),
    pytest.param(
        "data: {augmentation: {flip: true}}",
        "try_first[0].data.augmentation: unknown augmentation 'flip'. Known: erase, "
        "horizontal_flip, random_crop.",
        id="unknown augmentation",
    ),
    pytest.param(
        "data: 3",
        "try_first[0].data: must be a mapping with the keys source, validation, folds, "
        "splits, input_size, limit, per_class, normalization, augmentation, but got 3",
        id="a number for a section",
    ),
    pytest.param("[3]", "try_first[0]: must be a mapping like the file, but got [3]", id="a list"),
]


@pytest.mark.parametrize(("entry", "message"), TRY_FIRST)
def test_try_first_lies_inside_the_space(load, entry, message):
    assert messages(load, f"{TRY_FIRST_BASE}  - {entry}\n") == [f"x.yaml:8: {message}"]


def test_an_entry_of_a_broken_section_adds_no_problem_of_its_own(load):
    text = TRY_FIRST_BASE.replace("min: 0.01", "min: 0.5").replace("hidden: {", "hiden: {")
    text += "  - {model: {mlp: {hidden: [7]}}, optimizer: {sgd: {lr: 7}}}\n"
    assert [line.split(": ")[:2] for line in messages(load, text)] == [
        ["x.yaml:4", "model.mlp.hiden"],
        ["x.yaml:5", "optimizer.sgd.lr"],
        ["x.yaml:8", "try_first[0].model.mlp.hidden"],  # its default stands where the typo is
    ]


OVERRIDES = [
    pytest.param(
        "data.limit=0",
        "data.limit: must be at least 1 or null, but got 0",
        id="a wrong value",
    ),
    pytest.param(
        "dta.limit=4",
        "dta: unknown key 'dta'. Did you mean 'data'? Known: batch_size, "
        "budget, class_weights, confirm, constraints, data, description, early_stopping, "
        "evaluate, from, lr_schedule, metrics, model, objective, objectives, optimizer, "
        "plugins, precision, prune_on, pruner, pruner_audit, question, recipe, "
        "regularization, sampler, search, seed, study, trackers, try_first.",
        id="an unknown section",
    ),
    pytest.param(
        "model.mlp.widths=[3]",
        "model.mlp.widths: unknown key 'widths'. Known: activation, dropout, hidden.",
        id="an unknown key",
    ),
    pytest.param(
        "optimizer.sdg.lr=1",
        "optimizer.sdg: unknown optimizer 'sdg'. Did you mean 'sgd'? Known: adam, sgd.",
        id="an unknown component",
    ),
    pytest.param(
        "optimizer.adam.lr=0.1",
        "optimizer.adam: an override reaches into what the study lists, sgd; --set "
        "optimizer=adam replaces it",
        id="a component that the file doesn't list",
    ),
    pytest.param(
        "batch_size.min=4",
        "batch_size.min: there is nothing below batch_size; --set batch_size=.. sets its value",
        id="an end of no range",
    ),
    pytest.param(
        "try_first.0=4",
        "try_first.0: only the whole of try_first can be set",
        id="inside a list",
    ),
    pytest.param(
        "data.limit", "an override must be written path=value, as in data.limit=4000", id="no value"
    ),
    pytest.param(
        "=3", "an override must be written path=value, as in data.limit=4000", id="no path"
    ),
    pytest.param(
        "data.limit=[3",
        "this is not valid YAML: while parsing a flow sequence, expected ',' or ']', but got "
        "'<stream end>'",
        id="not YAML",
    ),
]


@pytest.mark.parametrize(("override", "message"), OVERRIDES)
def test_a_bad_override_is_named(load, base, override, message):
    assert messages(load, base, override) == [f"--set {override}: {message}"]


def test_an_override_cannot_reach_inside_a_wrong_value(load, base):
    text = base.replace("data: {source: digits}", "data: 3")
    assert "--set data.limit=4: data: an override can't reach inside what the file has here; " in (
        "\n".join(messages(load, text, "data.limit=4"))
    )


def test_a_bad_name_on_the_command_line(load, base):
    assert messages(load, base, name="a b") == [
        '--name: study: must be a name of 1 to 64 letters, digits, _ and -, but got "a b"'
    ]


def test_everything_is_told_at_once_and_in_the_order_of_the_file(load):
    text = """\
study: s
model:
  mlp: {dropout: 2}
  resnet: {}
budget: {trials: 0, epochs_per_trial: 2, epochs_per_trial: 3}
optimizer:
  sgd:
    lr: {min: 1, max: 0.1}
    momentum: {values: [0.9, high, 2]}
try_first:
  - {batch_size: 64}
"""
    assert messages(load, text, "seed=x", "nothing=3", name="") == [
        "x.yaml:1: data.source: this key is required, but it is missing; add it",
        "x.yaml:3: model.mlp.dropout: must be less than 1, but got 2",
        "x.yaml:4: model: unknown model 'resnet'. Known: conv_net, mlp.",
        "x.yaml:5: budget.trials: must be at least 1, but got 0",
        "x.yaml:5: budget.epochs_per_trial: a key must appear once, but line 5 has it too",
        "x.yaml:8: optimizer.sgd.lr: empty range: min < max must hold, but got {min: 1, max: 0.1}",
        'x.yaml:9: optimizer.sgd.momentum: must be a number, but got "high"',
        "x.yaml:9: optimizer.sgd.momentum: must be less than 1, but got 2",
        "x.yaml:11: try_first[0].batch_size: is fixed to 32 in this study, so an entry can't "
        "change it, but got 64",
        '--set seed=x: seed: must be an integer, but got "x"',
        "--set nothing=3: nothing: unknown key 'nothing'. Known: batch_size, "
        "budget, class_weights, confirm, constraints, data, description, early_stopping, "
        "evaluate, from, lr_schedule, metrics, model, objective, objectives, optimizer, "
        "plugins, precision, prune_on, pruner, pruner_audit, question, recipe, "
        "regularization, sampler, search, seed, study, trackers, try_first.",
        '--name: study: must be a name of 1 to 64 letters, digits, _ and -, but got ""',
    ]


FILES = [
    pytest.param(
        b"", "x.yaml:1: a study file must be a mapping of its keys, but got null", id="empty"
    ),
    pytest.param(
        b"- a\n", 'x.yaml:1: a study file must be a mapping of its keys, but got ["a"]', id="a list"
    ),
    pytest.param(
        b"a: 1\n---\nb: 2\n",
        "x.yaml:2: this is not valid YAML: expected a single document in the stream, but found "
        "another document",
        id="two documents",
    ),
    pytest.param(
        b"study: \xff\n", "x.yaml: a study file must be UTF-8 text, but byte 7 is not", id="Latin"
    ),
]


@pytest.mark.parametrize(("content", "message"), FILES)
def test_a_file_that_is_no_study(load, base, registries_of, content, message):
    from hpsearch.study_file.loading import load_study

    load(base)  # enters the folder
    Path("x.yaml").write_bytes(content)
    with pytest.raises(StudyFileError) as caught:
        load_study(Path("x.yaml"), registries_of)
    assert str(caught.value) == message


def test_a_missing_file_and_a_folder(tmp_path, registries_of):
    from hpsearch.study_file.loading import load_study

    with pytest.raises(
        StudyFileError, match=r"no\.yaml: there is no such file; `hpsearch studies`"
    ):
        load_study(tmp_path / "no.yaml", registries_of)
    with pytest.raises(StudyFileError, match="can't be read: not a regular file, but a folder"):
        load_study(tmp_path, registries_of)


def test_a_pipe_is_not_waited_for(tmp_path, registries_of):
    """A bundle's config may be one. (What a command is told to read from a pipe, it copies.)"""
    from hpsearch.study_file.loading import load_study

    os.mkfifo(tmp_path / "pipe.yaml")
    with pytest.raises(StudyFileError, match="can't be read: not a regular file, but a FIFO"):
        load_study(tmp_path / "pipe.yaml", registries_of)


def test_a_flood_of_aliases_is_refused(load, base):
    levels = ["provenance:", "  a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    for level in range(1, 9):
        aliases = ", ".join([f"*a{level - 1}"] * 10)
        levels.append(f"  a{level}: &a{level} [{aliases}]")
    assert messages(load, base + "\n".join(levels) + "\n")[0].endswith(
        "a study file contains at most 20000 values"
    )


@pytest.mark.parametrize(
    ("begin", "message"),
    [
        (
            "\n".join(f"key_{n}: 1" for n in range(2_001)),
            "a mapping of a study file contains at most 2,000 keys",
        ),
        ("model: [" + "1, " * 20_001, "a study file contains at most 20000 values"),
        (
            "model: " + "[" * 60 + "1,\n" * 3,
            "lists and mappings must be nested at most 50 deep",
        ),
    ],
)
def test_a_text_that_holds_too_much_is_not_read_to_its_end(load, base, begin, message):
    """Reading takes the longest: 20,000 keys took two seconds before a message named 50."""
    assert messages(load, base + f"{begin}\n@ what follows isn't YAML")[0].endswith(f": {message}")
