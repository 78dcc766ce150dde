"""The keys of models as study files write them, down to the built network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
import torch
from ruamel.yaml import YAML

from hpsearch.component_registries import registries
from hpsearch.errors import StudyFileError
from hpsearch.registry import Component
from hpsearch.study_file.json_schema import json_schema
from hpsearch.study_file.loading import load_study
from hpsearch.study_file.study import StudyFile
from hpsearch.training.models.inspection import describe


@pytest.fixture
def study(tmp_path: Path) -> Callable[[str], StudyFile]:
    def load(model: str) -> StudyFile:
        path = tmp_path / "mine.yaml"
        path.write_text(
            "study: mine\nbudget: {trials: 5, epochs_per_trial: 2}\ndata: {source: digits}\n"
            f"optimizer: adam\nmodel: {model}\n"
        )
        value = YAML(typ="safe", pure=True).load(path.read_text())
        loaded = load_study(path, registries)
        jsonschema.Draft202012Validator(json_schema(registries())).validate(value)
        return loaded

    return load


def widths(model: Component) -> list[int]:
    layers = describe(model, input_shape=(3, 32, 32), classes=10).layers
    return [layer.output_shape[0] for layer in layers if layer.kind == "Linear"]


def test_widths_by_list_rule_and_name_are_values_of_one_key(study):
    found = study("{mlp: {hidden: {values: [[64], div4, fc_hl_bigvalues]}}}")

    (path,) = found.space.parameters()
    built = [
        widths(found.trial_config({path: label}, 0).model)
        for label in found.space.parameters()[path].labels
    ]
    assert path == "model.mlp.hidden"
    assert built == [[64, 10], [768, 192, 48, 12, 10], [150, 150, 10]]


def test_weights_are_meant_from_the_files_folder(study, tmp_path):
    torch.save({}, tmp_path / "w.pth")

    def weights(written: str) -> str:
        found = study(f"{{resnet18: {{weights: {written}}}}}")
        return found.trial_config({}, 0).model.settings["weights"]

    assert weights("w.pth") == str(tmp_path / "w.pth")
    assert weights("imagenet") == "imagenet"
    assert weights("none") == "none"


def test_torchvisions_own_activation_or_another(study):
    found = study("{torchvision: {name: squeezenet1_1, activation: {relu: , tanh: }}}")
    assert list(found.space.parameters()) == ["model.torchvision.activation"]

    own = study("{torchvision: {name: squeezenet1_1}}").trial_config({}, 0).model
    assert own.settings["activation"] is None
    summary = describe(own, input_shape=(1, 32, 32), classes=10)
    assert "ReLU" in {layer.kind for layer in summary.layers}


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("torchvision", "model.torchvision.name: "),
        ("{mlp: {hidden: div3}}", "model.mlp.hidden: must be a list or 'div2', 'div4', "),
        (
            "{vgg16: {hidden: fc_hl_bigvalues}}",
            "vgg16.hidden: must be a list or 'div2', 'div4' or ",
        ),
        ("{resnet18: {stem: large}}", "must be 'auto', 'small' or 'imagenet', but got \"large\""),
        ("{resnet50: {freeze: all}}", "must be 'none' or 'backbone' or a list, but got \"all\""),
    ],
)
def test_what_is_no_value(model, said, study):
    with pytest.raises(StudyFileError) as raised:
        study(model)

    assert said in str(raised.value)
