"""Which workers a launch begins with: their devices, their threads, and whether more may come."""

from __future__ import annotations

from dataclasses import dataclass

from hpsearch.workers.devices import cores, resolve_devices, slots
from hpsearch.workers.launch.autoscale import Autoscaler
from hpsearch.workers.threads import share_of_cores

#: Where nobody says how many may share a GPU. Each holds some hundred MB for CUDA itself.
MOST_ON_ONE_GPU = 8


@dataclass(frozen=True, kw_only=True)
class WorkerAllocation:
    """The workers of one launch."""

    #: One entry per worker to begin with; empty where others attach by themselves.
    devices: list[str]
    #: Of each worker, at most: of small networks it takes one, and fewer beside other workers.
    threads: int
    #: Where their number follows what they get done.
    autoscaler: Autoscaler | None = None

    @property
    def count(self) -> int:
        """How many there are to begin with; 1 where an estimate is all that is asked for."""
        return max(1, len(self.devices))

    @property
    def on_cpu(self) -> bool:
        """Whether all of them train on this machine's cores."""
        return all(device == "cpu" for device in self.devices)


def allocate_workers(
    wanted: str, workers: int | None, workers_per_gpu: int | None
) -> WorkerAllocation:
    """Return the workers for the devices ``wanted``; ``workers`` is ``None`` for `auto`.

    ``auto`` means one worker per core on the CPU, one on an Apple GPU, and on CUDA one per GPU to
    begin with, more as long as more gets done; of a list with both, one on each.

    Raises:
        UserError: a device isn't there, or doesn't take so many.
    """
    devices = resolve_devices(wanted)
    if workers is None and all(each.startswith("cuda") for each in devices):
        devices = list(dict.fromkeys(devices))
        most = workers_per_gpu or MOST_ON_ONE_GPU
        threads = share_of_cores(most * len(devices))
        return WorkerAllocation(devices=devices, threads=threads, autoscaler=Autoscaler(most=most))
    if workers is None:
        workers = cores() if set(devices) == {"cpu"} else len(devices)
    taken = slots(devices, max(1, workers), workers_per_gpu)
    return WorkerAllocation(devices=taken[:workers], threads=share_of_cores(max(1, workers)))
