"""``--set path=value`` on valid paths."""

from __future__ import annotations

import pytest

TEXT = """\
study: s
budget: {trials: 4, epochs_per_trial: 2}
objective: val_loss
data: {source: cifar10, augmentation: {horizontal_flip: true}}
model: mlp
optimizer: {sgd: {lr: {min: 0.1, max: 1}, momentum: 0.5}, adam: {lr: 0.2}}
"""

CASES = [
    pytest.param(["data.limit=4000"], {"data.limit": 4000}, id="a key the file lacks"),
    pytest.param(["data.limit="], {"data.limit": None}, id="nothing is null"),
    pytest.param(
        ["data.source=digits"], {"data.source": {"digits": {}}}, id="a section is replaced"
    ),
    pytest.param(
        ["optimizer=adam"], {"optimizer": {"adam": {"lr": 0.001}}}, id="with all that was in it"
    ),
    pytest.param(
        ["data.source.cifar10.train_batches=[1]"],
        {"data.source": {"cifar10": {"train_batches": [1]}}},
        id="inside a short form",
    ),
    pytest.param(
        ["objective.at=best"], {"objective": {"metric": "val_loss", "at": "best"}}, id="objective"
    ),
    pytest.param(
        ["optimizer.adam.lr=1"],
        {
            "optimizer.adam.lr": 1.0,
            "optimizer.sgd.lr": {"min": 0.1, "max": 1.0},
            "optimizer.sgd.momentum": 0.5,
        },
        id="the rest stays",
    ),
    pytest.param(
        ["optimizer.sgd.lr={min: 1e-3, max: 1, log: true}"],
        {"optimizer.sgd.lr": {"min": 1e-3, "max": 1.0, "log": True}},
        id="a range",
    ),
    pytest.param(
        ["optimizer.sgd.lr.max=0.5"],
        {"optimizer.sgd.lr": {"min": 0.1, "max": 0.5}},
        id="one end of a range",
    ),
    pytest.param(
        ["lr_schedule.step.step_size=3"],
        {"lr_schedule": {"step": {"step_size": 3, "gamma": 0.1}}},
        id="a section the file lacks",
    ),
    pytest.param(
        ["data.augmentation.random_crop=true"],
        {"data.augmentation": {"horizontal_flip": True, "random_crop": True}},
        id="one more augmentation",
    ),
    pytest.param(
        ["data.augmentation.horizontal_flip.probability=0.1"],
        {"data.augmentation": {"horizontal_flip": {"probability": 0.1}}},
        id="a key of an augmentation that was on",
    ),
    pytest.param(
        ["optimizer=sgd", "optimizer.sgd.lr=0.3", "optimizer.sgd.lr=0.4"],
        {"optimizer.sgd.lr": 0.4, "optimizer.sgd.momentum": 0.9},
        id="later ones win",
    ),
    pytest.param(
        ["description=a=b: c"[:15]], {"description": "a=b"}, id="an equals sign in the value"
    ),
    pytest.param(
        ["model.mlp.activation.leaky_relu.slope=0.3"],
        {"model.mlp.activation": {"leaky_relu": {"slope": 0.3}}},
        id="a nested component that is a default",
    ),
]


@pytest.mark.parametrize(("overrides", "expected"), CASES)
def test_an_override_changes_its_path(load, reload, overrides, expected):
    study = load(TEXT, *overrides)
    for path, value in expected.items():
        node = study.document
        for key in path.split("."):
            node = node[key]
        assert node == value
    assert reload(study.document, text=study.text) == study


def test_the_text_stays_the_file(load):
    assert load(TEXT, "data.limit=4").text == TEXT


def test_an_override_repairs_the_file(load):
    study = load(TEXT.replace("model: mlp", "model: nothing"), "model=mlp")
    assert list(study.document["model"]) == ["mlp"]
