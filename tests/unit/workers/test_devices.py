"""Devices, slots and threads of a pretended machine."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from hpsearch.errors import UserError
from hpsearch.workers import devices
from hpsearch.workers.devices import resolve_devices, slots, threads_per_worker

Machine = Callable[..., None]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    def pretend(*, cuda: int = 0, mps: bool = False) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return pretend


@pytest.mark.parametrize(
    ("wanted", "cuda", "mps", "expected"),
    [
        ("auto", 0, False, ["cpu"]),
        ("auto", 2, False, ["cuda:0", "cuda:1"]),
        ("auto", 0, True, ["mps"]),
        ("auto", 1, True, ["cuda:0"]),
        ("cpu", 2, False, ["cpu"]),
        ("mps", 0, True, ["mps"]),
        ("cuda", 2, False, ["cuda:0"]),
        ("cuda:1", 2, False, ["cuda:1"]),
        ("cuda:1,cuda:0", 2, False, ["cuda:1", "cuda:0"]),
        ("cuda:0, cpu", 1, False, ["cuda:0", "cpu"]),
    ],
)
def test_devices_are_resolved(
    machine: Machine, wanted: str, cuda: int, mps: bool, expected: list[str]
) -> None:
    machine(cuda=cuda, mps=mps)
    assert resolve_devices(wanted) == expected


UNKNOWN = "a device must be auto, cpu, mps, or a list like cuda:0,cuda:1, but got "


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("gpu", f"{UNKNOWN}'gpu'"),
        ("", f"{UNKNOWN}''"),
        ("cuda:0,", f"{UNKNOWN}''"),
        ("cuda:-1", f"{UNKNOWN}'cuda:-1'"),
        ("cuda:x", f"{UNKNOWN}'cuda:x'"),
        ("CPU", f"{UNKNOWN}'CPU'"),
        # only alone: a list says exactly which
        ("cpu,auto", f"{UNKNOWN}'auto'"),
        (
            "cuda:0,cuda:2",
            "device 'cuda:2' must exist, but this machine has 2 CUDA devices; "
            "use --devices auto or cpu",
        ),
        ("mps", "device 'mps' needs an Apple GPU, which this machine doesn't have"),
    ],
)
def test_a_device_that_is_not_there_is_refused(machine: Machine, wanted: str, message: str) -> None:
    machine(cuda=2)
    with pytest.raises(UserError) as refused:
        resolve_devices(wanted)
    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("names", "workers", "per_gpu", "expected"),
    [
        (["cpu"], 3, None, ["cpu", "cpu", "cpu"]),
        (["cuda:0", "cuda:1"], 3, None, ["cuda:0", "cuda:1", "cuda:0"]),
        (["cuda:0", "cuda:1"], 4, 2, ["cuda:0", "cuda:1", "cuda:0", "cuda:1"]),
        (["cuda:0", "cuda:1"], 1, 1, ["cuda:0"]),
        # the limit is for GPUs
        (["cpu"], 4, 1, ["cpu"] * 4),
    ],
)
def test_workers_are_spread_evenly(
    names: list[str], workers: int, per_gpu: int | None, expected: list[str]
) -> None:
    assert slots(names, workers, per_gpu) == expected


@pytest.mark.parametrize(
    ("workers", "per_gpu", "message"),
    [
        (0, None, "--workers must be at least 1, but got 0"),
        (-2, None, "--workers must be at least 1, but got -2"),
        (1, 0, "--workers-per-gpu must be at least 1, but got 0"),
        (
            5,
            2,
            "2 GPUs with 2 workers each hold 4 workers, but --workers is 5; "
            "use --workers-per-gpu 3 or fewer workers",
        ),
    ],
)
def test_slots_that_can_not_be_are_refused(workers: int, per_gpu: int | None, message: str) -> None:
    with pytest.raises(UserError) as refused:
        slots(["cuda:0", "cuda:1"], workers, per_gpu)
    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("cores", "workers", "expected"),
    [
        (2, 1, 2),
        (2, 2, 1),
        (2, 5, 1),  # never none
        (16, 3, 5),
    ],
)
def test_local_workers_share_the_cores(
    monkeypatch: pytest.MonkeyPatch, cores: int, workers: int, expected: int
) -> None:
    monkeypatch.setattr(devices.joblib, "cpu_count", lambda: cores)
    assert threads_per_worker(workers) == expected
