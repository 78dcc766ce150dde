"""Weights with their signature: what is read is what was written, or it is told in words."""

from __future__ import annotations

import json

import pytest
import safetensors.torch
import torch

from hpsearch.errors import CheckpointError
from hpsearch.registry import Component
from hpsearch.training.classifier import Classifier, Signature
from hpsearch.training.formats.safetensors_file import read_weights, write_weights


@pytest.fixture
def written(classifier, tmp_path):
    made, path = classifier(), tmp_path / "weights.safetensors"
    write_weights(path, made.model.state_dict(), made.signature)
    return made, path


def test_weights_and_signature_come_back(written, digits):
    made, path = written
    weights, signature = read_weights(path)
    assert signature == made.signature
    assert {name: value.shape for name, value in weights.items()} == {
        name: value.shape for name, value in made.model.state_dict().items()
    }
    again = Classifier(made.config, signature, weights)
    assert torch.equal(again.logits(digits.images[:50]), made.logits(digits.images[:50]))


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        pytest.param(lambda path: path.unlink(), "can't be read", id="missing"),
        pytest.param(
            lambda path: path.write_bytes(path.read_bytes()[:-40]), "are damaged", id="cut off"
        ),
        pytest.param(lambda path: path.write_bytes(b"\x80\x04."), "are damaged", id="a pickle"),
        pytest.param(
            lambda path: safetensors.torch.save_file({"a": torch.ones(1)}, path),
            "has no 'hpsearch' in its metadata",
            id="somebody else's",
        ),
    ],
)
def test_a_file_that_is_none_of_ours_is_refused_by_name(written, damage, says):
    _, path = written
    damage(path)
    with pytest.raises(CheckpointError, match=says) as raised:
        read_weights(path)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize(
    "change",
    [
        {"input_shape": [1, 8]},
        {"input_shape": [1, 8, "8"]},
        {"mean": [0.5, 0.5]},
        {"precision": "int8"},
        {"input_shape": [1, 8, 100_000]},
        {"std": [0.0]},
        {"mean": [float("nan")]},
        {"class_names": ["only"]},
        {"epoch": 0},
        {"more": 1},
    ],
    ids=str,
)
def test_a_signature_that_makes_no_sense_is_refused(written, change):
    made, _ = written
    text = json.dumps(json.loads(made.signature.to_json()) | change)
    with pytest.raises(CheckpointError, match="but that of here can't be used"):
        Signature.from_json(text, "here")


def test_weights_of_another_model_are_refused(written):
    made, path = written
    weights, signature = read_weights(path)
    from dataclasses import replace

    other = replace(made.config, model=Component("mlp", {"hidden": [16]}))
    with pytest.raises(CheckpointError, match="must be those of model 'mlp' as it is configured"):
        Classifier(other, signature, weights)
