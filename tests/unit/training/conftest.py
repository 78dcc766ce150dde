"""Small in-memory data in place of a prepared source, and components that only tests register."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import hpsearch.training.builtin  # noqa: F401 - fills the registries
from hpsearch.registry import Component, Registry
from hpsearch.study_file.trial_config import DataConfig, TrialConfig
from hpsearch.training import engine, plan
from hpsearch.training.data.prepare import PreparedData
from hpsearch.training.registries import LR_SCHEDULES, MODELS

CLASSES = 3


@pytest.fixture(autouse=True)
def _one_thread_and_one_seed() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(before)


def learnable_images(n: int, channels: int, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Noise whose brightness tells the class: a net learns it in a few epochs, not in a step."""
    generator = torch.Generator().manual_seed(11)
    labels = torch.randint(CLASSES, (n,), generator=generator)
    noise = torch.randint(0, 120, (n, channels, size, size), generator=generator)
    return (noise + 40 * labels.view(-1, 1, 1, 1)).to(torch.uint8), labels


@pytest.fixture
def data() -> PreparedData:
    """54 training images and 17 validation images, 1 x 8 x 8, of 3 classes, interleaved."""
    images, labels = learnable_images(71, 1, 8)
    rows = torch.arange(71)
    in_val = rows % 4 == 1
    in_val[-2:] = False
    pixels = images[~in_val].float() / 255
    return PreparedData(
        images=images,
        labels=labels,
        train_indices=rows[~in_val],
        val_indices=rows[in_val],
        mean=pixels.mean((0, 2, 3)),
        std=pixels.std((0, 2, 3)),
        class_names=("a", "b", "c"),
        input_shape=(1, 8, 8),
        data_hash="d" * 64,
        split_hash="e" * 64,
        cache_folder=Path("nowhere"),
        cache_bytes=0,
    )


@pytest.fixture
def use_data(monkeypatch: pytest.MonkeyPatch) -> Callable[[PreparedData], None]:
    """Return the function that makes training see the given data, whatever source is named."""

    def use(prepared: PreparedData) -> None:
        for module in (engine, plan):
            monkeypatch.setattr(module, "prepare", lambda *_, **__: prepared)

    return use


@pytest.fixture(autouse=True)
def _in_memory(use_data: Callable[[PreparedData], None], data: PreparedData) -> None:
    use_data(data)


@pytest.fixture
def config() -> TrialConfig:
    """A small configuration with everything that a resume must put back: 3 epochs of 54 images."""
    return TrialConfig(
        data=DataConfig(
            source=Component("digits"),
            augmentation=(Component("random_crop", {"padding": 1}), Component("horizontal_flip")),
        ),
        model=Component("mlp", {"hidden": [16], "dropout": 0.2}),
        optimizer=Component("adam", {"lr": 0.01}),
        lr_schedule=Component("cosine"),
        batch_size=16,
        epochs=3,
        precision="fp32",
        split_seed=1,
        seed=5,
    )


@pytest.fixture
def plain_config(config: TrialConfig) -> TrialConfig:
    """Nothing random but weights and order: no augmentation, no dropout; SGD, batches of 16."""
    return replace(
        config,
        data=replace(config.data, augmentation=()),
        model=Component("mlp", {"hidden": [16]}),
        optimizer=Component("sgd", {"lr": 0.1, "momentum": 0.9}),
        lr_schedule=Component("constant"),
    )


class SmallNet(nn.Module):
    """Conv, batch norm, dropout, dense: state of every kind."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.3)
        self.out = nn.Linear(4, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        hidden = self.norm(torch.relu(self.conv(images)))
        logits: torch.Tensor = self.out(self.drop(hidden.amax((2, 3))))
        return logits


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return the function that registers a component for one test: (registry, name, function)."""

    def add(registry: Registry[Any], name: str, build: Callable[..., Any]) -> None:
        monkeypatch.setattr(registry, "_entries", dict(registry._entries))
        registry.register(name)(build)

    return add


@pytest.fixture(autouse=True)
def _test_components(register: Callable[..., None]) -> None:
    def small_net(input_shape: tuple[int, int, int], classes: int, /) -> nn.Module:
        return SmallNet(input_shape[0], classes)

    def one_cycle(optimizer: Any, epochs: int, steps_per_epoch: int, /) -> Any:
        return torch.optim.lr_scheduler.OneCycleLR(
            optimizer, max_lr=0.02, total_steps=epochs * steps_per_epoch
        )

    def plateau(optimizer: Any, epochs: int, steps_per_epoch: int, /) -> Any:
        # A threshold that no epoch reaches: the rate halves after every epoch but the first
        return torch.optim.lr_scheduler.ReduceLROnPlateau(
            optimizer, factor=0.5, patience=0, threshold=1e9, threshold_mode="abs"
        )

    register(MODELS, "small_net", small_net)
    register(LR_SCHEDULES, "one_cycle_for_test", one_cycle)
    register(LR_SCHEDULES, "plateau_for_test", plateau)
