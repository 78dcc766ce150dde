"""The shipped dilation study on real images, as the README's reader would run it."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.processes import _without_main_module

FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")

pytestmark = [
    pytest.mark.timeout(1800),
    pytest.mark.skipif(
        not FASHION_MNIST.is_dir(),
        reason="needs Fashion-MNIST (Debian's package dataset-fashion-mnist)",
    ),
]

STUDY = ["--study", "cnn_dilation"]
OPTIONS = ["--workers", "2", "--trials", "6", "--epochs", "3"]
# Fewer pictures than in the study file's own example, for the time; all else is the study's.
OPTIONS += ["--set", "data.source=fashion_mnist", "--set", "data.limit=600"]


def test_six_trials_are_six_trials(hpsearch):
    storage = ["--storage", "sqlite:///hpsearch.db"]
    with _without_main_module():
        launched = hpsearch("launch", *STUDY, *OPTIONS, *storage)
    assert launched.code == 0, launched.all
    status = hpsearch("status", *STUDY, *storage, "--json").json
    trials = status["trials"]
    assert trials["total"] == 6
    assert trials["complete"] + trials["pruned"] + trials["failed"] == 6
    assert trials["complete"] >= 1
    # Ten kinds of clothes: a network that learned nothing is right in one of ten.
    assert status["best"]["value"] > 0.4
