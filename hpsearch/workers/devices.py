"""Devices, cores and slots of this machine.

Only the functions that need torch import it: a launch itself needs none, and it takes seconds.
"""

from __future__ import annotations

import math
import os
import re
from pathlib import Path

import joblib

from hpsearch.errors import DeviceUnusable, UserError


def resolve_devices(devices: str) -> list[str]:
    """Return the devices named by ``auto``, ``cpu``, ``mps`` or a list like ``cuda:0,cuda:1``.

    ``auto`` takes every CUDA device, else Apple's GPU, else the CPU.

    Raises:
        UserError: A name isn't one of these.
        DeviceUnusable: This machine has no such device.
    """
    import torch

    if devices == "auto":
        if torch.cuda.is_available():
            return [f"cuda:{index}" for index in range(torch.cuda.device_count())]
        return ["mps" if torch.backends.mps.is_available() else "cpu"]
    return [_resolve_device(name.strip()) for name in devices.split(",")]


def _resolve_device(name: str) -> str:
    import torch

    if name == "cpu":
        return name
    if name == "mps":
        if not torch.backends.mps.is_available():
            raise DeviceUnusable("device 'mps' needs an Apple GPU, which this machine doesn't have")
        return name
    match = re.fullmatch(r"cuda(?::(\d+))?", name)
    if match is None:
        raise UserError(
            f"a device must be auto, cpu, mps, or a list like cuda:0,cuda:1, but got {name!r}"
        )
    index, count = int(match[1] or 0), torch.cuda.device_count()
    if index >= count:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        note = "" if visible is None else f" (CUDA_VISIBLE_DEVICES={visible} counts from 0)"
        raise DeviceUnusable(
            f"device {name!r} must exist, but this machine has {count} CUDA devices{note}; "
            "use --devices auto or cpu"
        )
    return f"cuda:{index}"


def slots(devices: list[str], workers: int, workers_per_gpu: int | None) -> list[str]:
    """Return each worker's device, spread evenly.

    Args:
        devices: Names of devices, such as ``cuda:0``.
        workers: The number of workers, at least 1.
        workers_per_gpu: The most workers on one GPU, at least 1; ``None``: any number.

    Raises:
        UserError: A number is below 1, or ``workers_per_gpu`` allows fewer workers.
    """
    if workers < 1:
        raise UserError(f"--workers must be at least 1, but got {workers}")
    if workers_per_gpu is not None and workers_per_gpu < 1:
        raise UserError(f"--workers-per-gpu must be at least 1, but got {workers_per_gpu}")
    on_gpu = all(device.startswith("cuda") for device in devices)
    if on_gpu and workers_per_gpu is not None and workers > workers_per_gpu * len(devices):
        raise UserError(
            f"{len(devices)} GPUs with {workers_per_gpu} workers each run "
            f"{workers_per_gpu * len(devices)} workers, but --workers is {workers}; use "
            f"--workers-per-gpu {math.ceil(workers / len(devices))} or fewer workers"
        )
    return [devices[index % len(devices)] for index in range(workers)]


def cores() -> int:
    """Return how many CPU cores this process may use, at least 1.

    The affinity limits them, and so do the quotas of a container and of the control group of a
    service or a batch system.
    """
    return max(1, math.floor(min(float(joblib.cpu_count()), cgroup_quota())))


def cgroup_quota(
    groups: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")
) -> float:
    """Return how many cores this process's control group (v2), or one above it, may use.

    joblib reads only the root's quota, which is a container's.

    Args:
        groups: The folder at which control groups are mounted.
        own: The file that names this process's group.

    Returns:
        The smallest quota in cores; ``inf`` without a limit.
    """
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return math.inf
    inside = next((line[3:] for line in lines if line.startswith("0::")), "/")
    group = Path(groups, inside.lstrip("/"))
    # A name that isn't below the root belongs to another namespace and can't be read
    chain = [group, *group.parents] if group.is_relative_to(groups) else [groups]
    return min(_quota(folder) for folder in chain if folder.is_relative_to(groups))


def _quota(group: Path) -> float:
    try:
        quota, period = (group / "cpu.max").read_text().split()
        return math.inf if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return math.inf
