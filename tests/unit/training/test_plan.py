"""What a configuration comes to before it is trained, and what is refused there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from hpsearch.errors import InfeasibleConfig
from hpsearch.registry import Component
from hpsearch.study_file.trial_config import TrialConfig
from hpsearch.training import precision
from hpsearch.training.data.prepare import PreparedData
from hpsearch.training.engine import train
from hpsearch.training.plan import plan


def test_plan(config: TrialConfig) -> None:
    planned = plan(config)

    assert planned.input_shape == (1, 8, 8)
    assert planned.class_names == ("a", "b", "c")
    assert (planned.train_images, planned.val_images) == (54, 17)
    assert planned.batches == (16, 16, 16, 6)
    assert planned.precision == "fp32"
    assert planned.model.parameters == 64 * 16 + 16 + 16 * 3 + 3
    assert not planned.averaged
    assert plan(replace(config, evaluate="ema")).averaged
    assert (planned.data_hash, planned.split_hash) == ("d" * 64, "e" * 64)


def test_the_engine_trains_in_the_planned_precision(
    config: TrialConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "choose", lambda *_, **__: "bf16")

    first = next(train(replace(config, precision="auto")))

    assert plan(config).precision == "bf16"
    assert first.state()["precision"] == "bf16"
    asked_for = next(train(replace(config, precision="bf16")))
    assert first.metrics.train_loss == asked_for.metrics.train_loss


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param(
            {"model": Component("dilated_cnn", {"conv1": {"kernel_size": 9}})},
            "conv1: kernel 9 spans 9 pixels, but its input is 8 pixels high",
            id="a kernel larger than the image",
        ),
        pytest.param(
            {"optimizer": Component("sgd", {"lr": 0.1, "nesterov": True})},
            "sgd: nesterov needs momentum > 0",
            id="settings that don't go together",
        ),
        pytest.param(
            {"model": Component("small_net"), "batch_size": 1},
            "batch norm needs at least 2 samples in every training batch, but batch_size is 1 "
            "with 54 training images; use a larger batch_size",
            id="batch norm over single samples",
        ),
    ],
)
def test_infeasible(config: TrialConfig, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InfeasibleConfig) as planned:
        plan(replace(config, **changes))
    assert str(planned.value).startswith(message)

    with pytest.raises(InfeasibleConfig) as trained:
        next(train(replace(config, **changes)))
    assert str(trained.value) == str(planned.value)


def test_single_samples_are_fine_without_batch_norm(config: TrialConfig) -> None:
    assert plan(replace(config, batch_size=1)).batches == (1,) * 54


def test_one_training_image(
    config: TrialConfig, data: PreparedData, use_data: Callable[[PreparedData], None]
) -> None:
    use_data(replace(data, train_indices=data.train_indices[:1]))

    assert next(train(config)).epoch == 1
    with pytest.raises(InfeasibleConfig, match="batch_size is 16 with 1 training images"):
        plan(replace(config, model=Component("small_net")))
