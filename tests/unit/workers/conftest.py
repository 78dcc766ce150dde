"""Small studies of digits, for what needs real images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from hpsearch import component_registries
from hpsearch.study_file.loading import load_study
from hpsearch.study_file.study import StudyFile

STUDY = """
study: small
seed: 5
budget: {trials: 3, epochs_per_trial: 3}
data: {source: digits, limit: 200}
model: {mlp: {hidden: {values: [[8], [16]]}}}
optimizer: {sgd: {lr: {min: 1e-2, max: 0.5, log: true}}}
batch_size: 32
"""

#: What makes ``STUDY`` a frozen config.
NO_RANGES = ("model={mlp: {hidden: [16]}}", "optimizer={sgd: {lr: 0.1}}")


@pytest.fixture(scope="session")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the digits are prepared, once for all tests."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., StudyFile]:
    """Load ``STUDY`` with overrides (``path=value``)."""

    def load_(*overrides: str, text: str = STUDY) -> StudyFile:
        file = tmp_path / "study.yaml"
        file.write_text(text)
        return load_study(file, component_registries.registries, overrides=overrides)

    return load_


@pytest.fixture
def frozen(load: Callable[..., StudyFile]) -> Callable[..., StudyFile]:
    """Load ``STUDY`` without ranges; ``frozen(threads=2)`` adds provenance."""

    def load_(*overrides: str, **provenance: object) -> StudyFile:
        study = load(*NO_RANGES, *overrides)
        if not provenance:
            return study
        return replace(study, provenance=provenance)

    return load_


@pytest.fixture
def two_threads() -> Iterator[int]:
    """Torch's threads are 2, whatever this machine has; put back afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield 2
    torch.set_num_threads(before)
