"""Room on a shared GPU: what a trial needs, and waiting for it. No GPU is asked."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import hpsearch.training.builtin  # noqa: F401 - fills the registries
from hpsearch.registry import Component
from hpsearch.study_file.trial_config import DataConfig, TrialConfig
from hpsearch.training.plan import Plan, plan
from hpsearch.training.registries import MODELS
from hpsearch.workers.trial.gpu_memory import WORKING_BYTES, needed_bytes, wait_for_memory


@pytest.fixture
def planned(tmp_path) -> Plan:
    config = TrialConfig(
        data=DataConfig(source=Component("digits"), limit=200),
        model=Component("mlp", {"hidden": [16]}),
        optimizer=Component("adam", {"lr": 1e-3}),
        lr_schedule=Component("constant"),
        batch_size=32,
        epochs=1,
        split_seed=0,
        seed=0,
    )
    return plan(config, data_root=tmp_path)


def test_what_is_needed_covers_what_a_step_holds(planned):
    """Weights, gradients, two moments, a batch and its hidden values, and the uint8 images."""
    model = MODELS.build(Component("mlp", {"hidden": [16]}), (1, 8, 8), 10)
    parameters = sum(tensor.numel() for tensor in model.parameters())
    batch = 32 * (64 + 16 + 10) * 4
    images = 200 * 64
    total = parameters * 16 + batch + images
    assert total <= needed_bytes(planned) - WORKING_BYTES <= 2 * total


def test_more_is_needed_for_larger_batches(planned):
    larger = replace(planned, batches=(320,))
    assert needed_bytes(larger) > needed_bytes(planned) + 9 * 32 * 64 * 4


def test_a_trial_of_folds_holds_a_model_and_images_for_each(planned):
    five = replace(planned, rounds=5)
    model = planned.model.parameters * 16
    images = 200 * 64
    assert needed_bytes(five) == needed_bytes(planned) + 4 * (model + images)


def test_an_average_of_the_weights_lies_there_too(planned):
    more = needed_bytes(replace(planned, averaged=True)) - needed_bytes(planned)
    assert more == planned.model.parameters * 4


class Gpu:
    """Frees ``steps[n]`` bytes at the n-th look."""

    def __init__(self, *steps: int) -> None:
        self.steps = list(steps)
        self.pauses = 0
        self.told: list[int] = []

    def wait(self, needed: int, *, total: int = 100, leave_after: int = 99) -> None:
        wait_for_memory(
            needed,
            total=total,
            free=lambda: self.steps.pop(0),
            leave=lambda: self.pauses >= leave_after,
            on_wait=self.told.append,
            pause=self.pause,
        )

    def pause(self, seconds: float) -> None:
        assert seconds > 0
        self.pauses += 1


def test_where_there_is_room_nobody_waits():
    gpu = Gpu(80)
    gpu.wait(80)
    assert (gpu.pauses, gpu.told) == (0, [])


def test_others_are_waited_for_and_it_is_told_once():
    gpu = Gpu(10, 20, 85)
    gpu.wait(80)
    assert (gpu.pauses, gpu.told, gpu.steps) == (2, [10], [])


def test_who_is_told_to_leave_does_not_wait():
    gpu = Gpu(10, 10, 10)
    gpu.wait(80, leave_after=2)
    assert (gpu.pauses, gpu.steps) == (2, [10])


def test_what_no_gpu_of_this_size_holds_is_tried():
    gpu = Gpu()
    gpu.wait(101, total=100)
    assert gpu.pauses == 0


def test_no_gpu_is_touched():
    assert not torch.cuda.is_initialized()
