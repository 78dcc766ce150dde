"""Exported models: each says what the model says, and tells what its input must be."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn

from hpsearch.errors import ExportFailed, UserError
from hpsearch.registry import Component
from hpsearch.training.formats import onnx_file
from hpsearch.training.formats.agreement import TOLERANCE, compare
from hpsearch.training.formats.deployable import Deployable
from hpsearch.training.formats.onnx_file import write_onnx
from hpsearch.training.formats.torch_program import SIGNATURE, write_torch_program

DENSE = Component("mlp", {"hidden": [16], "dropout": 0.5})


def by_hand(model, data, images):
    """Normalise and run without any of our code."""
    shape = (1, -1, 1, 1)
    scaled = images.double() / 255
    with torch.no_grad():
        return model.model(((scaled - data.mean.view(shape)) / data.std.view(shape)).float())


def test_onnxruntime_gives_the_models_probabilities(classifier, digits, tmp_path):
    import onnxruntime

    model, path = classifier(), tmp_path / "model.onnx"
    agreement = write_onnx(path, model, digits.images[:16])
    assert (agreement.images, agreement.difference < TOLERANCE) == (16, True)

    session = onnxruntime.InferenceSession(path)
    (taken,) = session.get_inputs()
    assert (taken.name, taken.type, taken.shape[1:]) == ("images", "tensor(uint8)", [1, 8, 8])
    for count in (1, 7):
        batch = digits.images[40 : 40 + count]
        logits, probabilities = session.run(None, {"images": batch.numpy()})
        expected = by_hand(model, digits, batch)
        np.testing.assert_allclose(logits, expected.numpy(), atol=1e-4)
        np.testing.assert_allclose(probabilities, expected.softmax(1).numpy(), atol=1e-5)

    told = session.get_modelmeta().custom_metadata_map
    assert json.loads(told["classes"]) == list("0123456789")
    assert told["input"].startswith("uint8 (batch, 1, 8, 8): gray, 0..255, as decoded")
    assert json.loads(told["hpsearch"])["data_hash"] == digits.data_hash


def test_the_torch_program_gives_the_models_probabilities(classifier, digits, tmp_path):
    model, path = classifier(), tmp_path / "model.pt2"
    write_torch_program(path, model, digits.images[:16])
    files = {SIGNATURE: ""}
    program = torch.export.load(path, extra_files=files).module()
    for count in (1, 5):
        logits, probabilities = program(digits.images[:count])
        expected = by_hand(model, digits, digits.images[:count])
        torch.testing.assert_close(logits, expected, atol=1e-4, rtol=0)
        torch.testing.assert_close(probabilities.sum(1), torch.ones(count))
    assert json.loads(files[SIGNATURE])["class_names"] == list("0123456789")


def test_a_program_that_says_something_else_is_refused(classifier, digits):
    made = classifier()
    model = Deployable(made)
    images = digits.images[:8]
    compare(lambda batch: model(batch)[0], made, images, "it")
    scale = float(model(images)[0].abs().max().clamp(min=1))

    def off_by(share: float):
        return lambda batch: model(batch)[0] + share * scale

    compare(off_by(0.5 * TOLERANCE), made, images, "it")
    with pytest.raises(
        ExportFailed, match=r"it must give the logits of the model up to 0\.001 of the"
    ):
        compare(off_by(2 * TOLERANCE), made, images, "it")
    with pytest.raises(ExportFailed):
        compare(lambda batch: model(batch)[0] * float("nan"), made, images, "it")

    def wrong_alone(batch):
        return model(batch)[0] + (scale if len(batch) == 1 else 0)

    not_normalised = Deployable(made)
    not_normalised.shift.zero_()
    with pytest.raises(ExportFailed):
        compare(lambda batch: not_normalised(batch)[0], made, images, "it")
    with pytest.raises(ExportFailed):
        compare(wrong_alone, made, images, "it")


def test_nothing_is_left_of_an_onnx_file_that_says_something_else(
    classifier, digits, tmp_path, monkeypatch
):
    monkeypatch.setattr(
        onnx_file, "_runtime", lambda path: lambda batch: torch.zeros(len(batch), 10)
    )
    with pytest.raises(ExportFailed, match="8 real images they differ by"):
        write_onnx(tmp_path / "model.onnx", classifier(DENSE), digits.images[:8])
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_cant_be_traced_is_told_in_words(classifier, digits, tmp_path):
    class Branching(nn.Module):
        def forward(self, images):
            return images.flatten(1)[:, :10] if images.sum() > 0 else images.flatten(1)[:, 10:20]

    made = classifier()
    made.model = Branching()
    with pytest.raises(
        ExportFailed, match=r"needs a model that torch\.export can trace, but"
    ) as told:
        write_torch_program(tmp_path / "model.pt2", made, digits.images[:8])
    assert "\n" not in str(told.value)
    assert list(tmp_path.iterdir()) == []


def test_without_onnx_it_says_what_to_install(classifier, digits, tmp_path, monkeypatch):
    find = onnx_file.importlib.util.find_spec
    missing = ("onnx", "onnxscript")
    monkeypatch.setattr(
        onnx_file.importlib.util, "find_spec", lambda name: None if name in missing else find(name)
    )
    with pytest.raises(UserError) as raised:
        write_onnx(tmp_path / "model.onnx", classifier(), digits.images[:8])
    assert str(raised.value).endswith(
        "but onnx and onnxscript isn't installed; run: pip install 'hpsearch[onnx]'"
    )
