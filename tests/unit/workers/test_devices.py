"""Devices, slots and cores of a pretended machine."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from hpsearch.errors import UserError
from hpsearch.workers import devices
from hpsearch.workers.devices import cgroup_quota, cores, resolve_devices, slots

Machine = Callable[..., None]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    def pretend(*, cuda: int = 0, mps: bool = False) -> None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return pretend


@pytest.mark.parametrize(
    ("devices", "cuda", "mps", "expected"),
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
    machine: Machine, devices: str, cuda: int, mps: bool, expected: list[str]
) -> None:
    machine(cuda=cuda, mps=mps)
    assert resolve_devices(devices) == expected


UNKNOWN = "a device must be auto, cpu, mps, or a list like cuda:0,cuda:1, but got "


@pytest.mark.parametrize(
    ("devices", "message"),
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
def test_a_device_that_is_not_there_is_refused(
    machine: Machine, devices: str, message: str
) -> None:
    machine(cuda=2)
    with pytest.raises(UserError) as refused:
        resolve_devices(devices)
    assert str(refused.value) == message


def test_gpus_that_are_hidden_are_told(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(cuda=1)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    with pytest.raises(UserError, match=r"has 1 CUDA devices \(CUDA_VISIBLE_DEVICES=3 counts"):
        resolve_devices("cuda:3")


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
            "2 GPUs with 2 workers each run 4 workers, but --workers is 5; use --workers-per-gpu 3 "
            "or fewer workers",
        ),
    ],
)
def test_slots_that_can_not_be_are_refused(workers: int, per_gpu: int | None, message: str) -> None:
    with pytest.raises(UserError) as refused:
        slots(["cuda:0", "cuda:1"], workers, per_gpu)
    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("quotas", "expected"),
    [
        ({}, math.inf),
        ({"": "max 100000"}, math.inf),
        # A container's, a service's (systemd), a job's (Slurm): whichever is the smallest
        ({"": "400000 100000", "a": "max 100000", "a/b": "max 100000"}, 4.0),
        ({"a": "150000 100000"}, 1.5),
        ({"a": "800000 100000", "a/b": "200000 100000"}, 2.0),
        ({"a/b/c": "100000 100000"}, math.inf),  # a group below ours is somebody else's
        ({"a/b": "damaged"}, math.inf),
    ],
)
def test_the_quota_of_every_control_group_above_counts(
    tmp_path: Path, quotas: dict[str, str], expected: float
) -> None:
    groups, own = tmp_path / "groups", tmp_path / "cgroup"
    (groups / "a" / "b" / "c").mkdir(parents=True)
    for group, quota in quotas.items():
        (groups / group / "cpu.max").write_text(f"{quota}\n")
    own.write_text("1:name=systemd:/elsewhere\n0::/a/b\n")
    assert cgroup_quota(groups, own) == expected


def test_where_there_are_no_control_groups_there_is_no_quota(tmp_path: Path) -> None:
    assert cgroup_quota(tmp_path / "none", tmp_path / "none") == math.inf


@pytest.mark.parametrize(
    ("usable", "quota", "expected"), [(4, math.inf, 4), (4, 2.5, 2), (4, 0.5, 1), (1, 8.0, 1)]
)
def test_cores_are_what_both_affinity_and_quota_leave(
    monkeypatch: pytest.MonkeyPatch, usable: int, quota: float, expected: int
) -> None:
    monkeypatch.setattr(devices.joblib, "cpu_count", lambda: usable)
    monkeypatch.setattr(devices, "cgroup_quota", lambda: quota)
    assert cores() == expected
