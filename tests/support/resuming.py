"""Training that is stopped in the middle and goes on, and comparing what came of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple, replace
from typing import Any

import pytest
import torch

from hpsearch.errors import TrainingInterrupted
from hpsearch.metrics import EpochEnd
from hpsearch.study_file.trial_config import TrialConfig
from hpsearch.training.engine import train


def stopping_after(batches: int) -> Callable[[], bool]:
    """Say stop when asked for the ``batches + 1``-th time."""
    asked = iter(range(batches))
    return lambda: next(asked, None) is None


def figures(end: EpochEnd) -> tuple[Any, ...]:
    """Everything but the seconds and the state."""
    metrics = astuple(replace(end.metrics, seconds=0.0, val_seconds=0.0))
    return (*metrics, end.last, end.val_confusion)


def run(config: TrialConfig, **options: Any) -> tuple[list[tuple[Any, ...]], dict[str, Any]]:
    """Return the figures of every epoch and the last state."""
    seen, state = [], {}
    for result in train(config, **options):
        seen.append(figures(result))
        state = result.state()
    return seen, state


def interrupted(config: TrialConfig, batches: int, **options: Any) -> dict[str, Any]:
    """Return the state that training leaves when stopped after ``batches`` questions."""
    with pytest.raises(TrainingInterrupted) as stopped:
        for _ in train(config, should_stop=stopping_after(batches), **options):
            pass
    return stopped.value.state()


def assert_same(one: Any, other: Any, at: str = "state") -> None:
    """Equal to the last bit, wherever it is nested; seconds and the history's seconds apart."""
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other), at
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), at
        for key in one.keys() - {"seconds", "val_seconds"}:
            assert_same(one[key], other[key], f"{at}.{key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), at
        for index, (mine, its) in enumerate(zip(one, other, strict=True)):
            assert_same(mine, its, f"{at}[{index}]")
    else:
        assert one == other, at
