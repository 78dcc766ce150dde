"""Which workers a launch begins with: their devices, their threads, and whether autoscaled."""

from __future__ import annotations

from dataclasses import dataclass

from hpsearch.workers.devices import cores, resolve_devices, slots
from hpsearch.workers.launch.autoscale import Autoscaler
from hpsearch.workers.threads import share_of_cores

#: The default of ``workers_per_gpu``. Each worker uses some hundred MB for CUDA itself.
MOST_ON_ONE_GPU = 8


@dataclass(frozen=True, kw_only=True)
class WorkerAllocation:
    """The workers of one launch."""

    #: One entry per worker to begin with; empty if workers attach by themselves.
    devices: list[str]
    #: The most threads of each worker: small networks use one, and other workers need some.
    threads: int
    #: Changes the number of workers by how much work they do; ``None``: the number is fixed.
    autoscaler: Autoscaler | None = None

    @property
    def count(self) -> int:
        """The number of workers to begin with, at least 1: estimates are for one worker or more."""
        return max(1, len(self.devices))

    @property
    def on_cpu(self) -> bool:
        """Whether all of them train on this machine's cores."""
        return all(device == "cpu" for device in self.devices)


def allocate_workers(
    device_option: str, workers: int | None, workers_per_gpu: int | None
) -> WorkerAllocation:
    """Return the workers that a launch begins with.

    Args:
        device_option: Devices, as ``resolve_devices`` reads them.
        workers: The number of workers; 0 if workers attach by themselves. ``None`` (``auto``): one
            per core on the CPU, one on an Apple GPU; on CUDA one per GPU to begin with, and more
            while that increases the throughput; for a list with both, one per entry.
        workers_per_gpu: The most workers on one GPU; ``None``: ``MOST_ON_ONE_GPU`` if their number
            follows the throughput, otherwise any number.

    Raises:
        UserError: A device isn't there, or a number is out of bounds.
    """
    devices = resolve_devices(device_option)
    if workers is None and all(device.startswith("cuda") for device in devices):
        devices = list(dict.fromkeys(devices))
        most = workers_per_gpu or MOST_ON_ONE_GPU
        threads = share_of_cores(most * len(devices))
        return WorkerAllocation(devices=devices, threads=threads, autoscaler=Autoscaler(most=most))
    if workers is None:
        workers = cores() if set(devices) == {"cpu"} else len(devices)
    worker_devices = slots(devices, max(1, workers), workers_per_gpu)
    return WorkerAllocation(
        devices=worker_devices[:workers], threads=share_of_cores(max(1, workers))
    )
