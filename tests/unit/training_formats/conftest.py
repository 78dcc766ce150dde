"""Models that were built and not trained: a format must keep whatever the weights are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import hpsearch.training.builtin  # noqa: F401 - fills the registries
from hpsearch.registry import Component
from hpsearch.study_file.trial_config import DataConfig, TrialConfig
from hpsearch.training.classifier import Classifier, signature_of
from hpsearch.training.data.prepare import PreparedData, prepare
from hpsearch.training.registries import MODELS

CONVOLUTION = Component("simple_cnn", {"conv1_channels": 8, "conv2_channels": 8, "hidden": [16]})


def config_of(model: Component = CONVOLUTION, **data: object) -> TrialConfig:
    return TrialConfig(
        data=DataConfig(source=Component("digits", {}), limit=200, **data),  # type: ignore[arg-type]
        model=model,
        optimizer=Component("adam", {}),
        lr_schedule=Component("constant", {}),
        batch_size=32,
        epochs=3,
        split_seed=3,
        seed=4,
    )


@pytest.fixture(scope="session")
def digits_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture
def digits(digits_root: Path) -> PreparedData:
    return prepare(config_of().data, split_seed=3, root=digits_root)


@pytest.fixture
def classifier(digits: PreparedData) -> Callable[..., Classifier]:
    """Build a classifier of digits: ``classifier(model)``."""

    def build(model: Component = CONVOLUTION) -> Classifier:
        config = config_of(model)
        torch.manual_seed(0)
        built = MODELS.build(model, digits.input_shape, 10)
        signature = signature_of(config, digits, "fp32", epoch=3)
        return Classifier(config, signature, built.state_dict())

    return build
