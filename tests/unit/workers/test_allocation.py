"""Which workers a launch begins with, on machines of all kinds."""

from __future__ import annotations

import pytest

from hpsearch.errors import UserError
from hpsearch.workers.launch import allocation
from hpsearch.workers.launch.allocation import MOST_ON_ONE_GPU, WorkerAllocation, allocate_workers


@pytest.fixture
def machine(monkeypatch):
    """Make this a machine with these devices and cores."""

    def make(devices: list[str], cores: int = 8) -> None:
        monkeypatch.setattr(allocation, "resolve_devices", lambda device_option: devices)
        monkeypatch.setattr(allocation, "cores", lambda: cores)
        monkeypatch.setattr("hpsearch.workers.threads.cores", lambda: cores)

    return make


def test_a_number_is_taken_as_it_is(machine):
    machine(["cpu"])
    assert allocate_workers("auto", 2, None) == WorkerAllocation(devices=["cpu", "cpu"], threads=4)


def test_none_are_started_where_none_are_wanted(machine):
    machine(["cpu"])
    workers = allocate_workers("auto", 0, None)
    assert (workers.devices, workers.count, workers.threads) == ([], 1, 8)


def test_auto_is_one_per_core_on_a_cpu(machine):
    machine(["cpu"], cores=3)
    assert allocate_workers("auto", None, None) == WorkerAllocation(devices=["cpu"] * 3, threads=1)


def test_auto_is_one_on_an_apple_gpu(machine):
    machine(["mps"])
    assert allocate_workers("auto", None, None).devices == ["mps"]


@pytest.mark.parametrize(("per_gpu", "most"), [(None, MOST_ON_ONE_GPU), (3, 3)])
def test_auto_begins_with_one_per_gpu_and_may_grow(machine, per_gpu, most):
    machine(["cuda:0", "cuda:1"], cores=64)
    workers = allocate_workers("auto", None, per_gpu)
    assert workers.devices == ["cuda:0", "cuda:1"]
    assert workers.autoscaler is not None
    assert (workers.autoscaler.most, workers.autoscaler.workers) == (most, 1)
    # Enough cores are left for all that may come.
    assert workers.threads == 64 // (2 * most)


def test_a_gpu_that_is_named_twice_is_packed_once(machine):
    machine(["cuda:0", "cuda:0"])
    assert allocate_workers("cuda:0,cuda:0", None, None).devices == ["cuda:0"]


def test_auto_is_one_on_each_of_a_mixed_list(machine):
    machine(["cuda:0", "cpu"])
    workers = allocate_workers("cuda:0,cpu", None, None)
    assert (workers.devices, workers.autoscaler) == (["cuda:0", "cpu"], None)


def test_too_many_for_a_gpu_are_refused(machine):
    machine(["cuda:0"])
    with pytest.raises(UserError, match="use --workers-per-gpu 3 or fewer workers"):
        allocate_workers("auto", 3, 2)
