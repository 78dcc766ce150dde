"""The images and the small configurations of all parts."""

from __future__ import annotations

import hpsearch.training.builtin  # noqa: F401 - fills the registries
from benchmarks.gpu.settings import Settings
from hpsearch.registry import Component
from hpsearch.study_file.trial_config import DataConfig, Precision, TrialConfig


def gray(settings: Settings, limit: int = 5000) -> DataConfig:
    """Return Fashion-MNIST, or digits of its size; for a quick run fewer and smaller ones."""
    if settings.quick:
        return DataConfig(source=Component("digits"), limit=300, input_size=16)
    if settings.fashion:
        return DataConfig(source=Component("fashion_mnist"), limit=limit)
    return DataConfig(source=Component("digits"), input_size=28)


def trial(
    data: DataConfig,
    *,
    model: Component,
    epochs: int,
    batch_size: int = 64,
    precision: Precision = "auto",
    optimizer: Component | None = None,
) -> TrialConfig:
    """Return a configuration with a constant learning rate."""
    return TrialConfig(
        data=data,
        model=model,
        optimizer=optimizer or Component("sgd", {"lr": 0.05, "momentum": 0.9}),
        lr_schedule=Component("constant"),
        batch_size=batch_size,
        epochs=epochs,
        precision=precision,
        split_seed=0,
        seed=0,
    )
