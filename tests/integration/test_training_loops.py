"""The loops that benchmarks compare train the same thing: else their figures would mean nothing."""

from __future__ import annotations

from itertools import islice

import pytest

from benchmarks.loops import bare_epochs, our_epochs, reports_epochs
from hpsearch.registry import Component
from hpsearch.study_file.trial_config import DataConfig, TrialConfig


@pytest.mark.parametrize("model", ["simple_cnn", "mlp"])
def test_they_learn_alike(model: str) -> None:
    config = TrialConfig(
        data=DataConfig(source=Component("digits")),
        model=Component(model),
        optimizer=Component("adam", {"lr": 0.002}),
        lr_schedule=Component("constant"),
        batch_size=32,
        epochs=3,
        split_seed=0,
        seed=0,
    )

    accuracies = [
        list(islice(loop(config), 3)) for loop in (reports_epochs, bare_epochs, our_epochs)
    ]

    assert all(len(epochs) == 3 for epochs in accuracies)
    # 289 validation pictures: two standard errors at 93 % are 3 points
    assert min(epochs[-1] for epochs in accuracies) > 0.88
    assert max(epochs[-1] for epochs in accuracies) - min(e[-1] for e in accuracies) < 0.06
