"""Weights that are exported give the recorded accuracy again, up to what a device changes."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from hpsearch.errors import ExportFailed
from hpsearch.workers.winner import exporting


@pytest.fixture(autouse=True)
def _no_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "groups_of", lambda *_: None)


def judged(images: int, right_then: int, right_now: int) -> object:
    """Judge weights that were right so often in training, and are now."""
    prepared = SimpleNamespace(
        images=torch.zeros(images, 1, 2, 2, dtype=torch.uint8),
        labels=torch.zeros(images, dtype=torch.int64),
        val_indices=torch.arange(images),
        groups=None,
    )
    classifier = SimpleNamespace(
        signature=SimpleNamespace(epoch=3),
        evaluate=lambda images, labels: SimpleNamespace(
            accuracy=right_now / len(labels), samples=len(labels), confusion=torch.eye(2)
        ),
    )
    origin = {"figures": {"best": {"epoch": 3, "val_accuracy": right_then / images}}}
    return exporting._judge(classifier, prepared, origin)


@pytest.mark.parametrize(
    ("images", "then", "now"),
    [
        pytest.param(40, 30, 32, id="two of few"),
        pytest.param(40, 30, 28, id="two of few, fewer"),
        pytest.param(1000, 900, 910, id="one in a hundred of many"),
    ],
)
def test_another_device_moves_an_image_or_two(images, then, now) -> None:
    judged(images, then, now)


@pytest.mark.parametrize(("images", "then", "now"), [(40, 30, 33), (1000, 900, 911)])
def test_other_weights_move_more(images, then, now) -> None:
    with pytest.raises(ExportFailed, match="they were replaced or damaged"):
        judged(images, then, now)
