"""CUDA in a worker: opened first, given up when it is broken; on a pretended GPU."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from support.pretended_gpu import PretendedGpu, pretended_gpu

from hpsearch.errors import DeviceUnusable
from hpsearch.workers.gpu import open_device, require_sound
from hpsearch.workers.trial import gpu_share, memory
from hpsearch.workers.trial.blueprint import device_name

GPU = "cuda:0"


@pytest.fixture
def gpu() -> Iterator[PretendedGpu]:
    with pretended_gpu() as pretended:
        yield pretended


def test_the_peak_can_be_measured_before_cuda_was_used(gpu) -> None:
    """PyTorch refuses to reset statistics then, and a worker's first trial is such a time."""
    with pytest.raises(RuntimeError, match="did you call init"):
        torch.cuda.reset_peak_memory_stats(GPU)
    memory.measure_from_here(GPU)
    open_device(GPU)
    memory.measure_from_here(GPU)


def test_a_gpu_that_computes_is_opened(gpu) -> None:
    open_device(GPU)
    require_sound(GPU)
    assert gpu.cuda.initialised
    assert device_name(GPU) == "cuda:0 (NVIDIA Pretended)"
    assert gpu_share.total_bytes(GPU) == gpu_share.free_bytes(GPU) == 80 * 10**9


def test_a_gpu_that_does_not_compute_is_named(gpu) -> None:
    gpu.cuda.broken = True
    with pytest.raises(DeviceUnusable, match="a worker on cuda:0 needs a GPU that computes"):
        open_device(GPU)


def test_a_process_whose_cuda_broke_is_told_apart(gpu) -> None:
    open_device(GPU)
    gpu.cuda.broken = True
    with pytest.raises(DeviceUnusable, match="device-side assert triggered"):
        require_sound(GPU)


def test_the_cpu_needs_no_opening() -> None:
    open_device("cpu")
    require_sound("cpu")
