"""What a GPU took for a trial, in joules, where NVML tells (extra ``gpu``). Never run on a GPU yet.

NVML counts the energy of the whole GPU since its driver was loaded (GPUs from Volta on). Where
several processes compute on it, each is charged its share. What a dead worker spent after its last
checkpoint isn't counted, as little as the epochs that it lost. A look that NVML refuses is made up
for by the next one.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable
from typing import Any

logger = logging.getLogger(__name__)

#: The attribute of a trial's row.
ENERGY = "energy_joules"


class EnergyMeter:
    """Adds up what one trial took.

    ``counter`` returns the joules that its device took ever, and among how many processes they are
    shared now; ``None`` if that can't be read at the moment.
    """

    def __init__(self, counter: Callable[[], tuple[float, int] | None]) -> None:
        self._counter = counter
        self._spent = 0.0
        self._seen: float | None = None
        self.look()

    def go_on_from(self, spent: float) -> None:
        """Begin with what earlier attempts spent on the epochs that this one needn't train."""
        self._seen = None
        self.look()
        self._spent = spent

    def look(self) -> float:
        """Return the joules so far. Call it every epoch: who shares the GPU changes."""
        read = self._counter()
        if read is not None:
            total, processes = read
            if self._seen is not None:
                self._spent += (total - self._seen) / max(processes, 1)
            self._seen = total
        return self._spent


def meter_of(device: str) -> EnergyMeter | None:
    """Return a meter for ``device``; ``None`` where it is no GPU, or nothing tells its energy."""
    if not device.startswith("cuda"):
        return None
    try:
        nvml = importlib.import_module("pynvml")
    except ImportError:
        return None
    import torch

    try:
        return EnergyMeter(counter_of(nvml, str(torch.cuda.get_device_properties(device).uuid)))
    except (nvml.NVMLError, AttributeError, RuntimeError) as error:
        logger.info("the energy of %s isn't known: %s", device, error)
        return None


def counter_of(nvml: Any, uuid: str) -> Callable[[], tuple[float, int] | None]:
    """Return what reads the GPU ``uuid``; by it, since CUDA may number GPUs otherwise.

    A part of a GPU (MIG) has no counter of its own.

    Args:
        nvml: The module ``pynvml``.
        uuid: As PyTorch says it, without ``GPU-``, or whole.

    Raises:
        NVMLError: of ``pynvml``; the GPU isn't known by this name, or doesn't count.
    """
    nvml.nvmlInit()
    gpu = nvml.nvmlDeviceGetHandleByUUID(
        uuid if uuid.startswith(("GPU-", "MIG-")) else f"GPU-{uuid}"
    )

    def read() -> tuple[float, int]:
        millijoules = nvml.nvmlDeviceGetTotalEnergyConsumption(gpu)
        return millijoules / 1000.0, len(nvml.nvmlDeviceGetComputeRunningProcesses(gpu))

    read()  # an older GPU says now that it can't

    def read_if_possible() -> tuple[float, int] | None:
        try:
            return read()
        except nvml.NVMLError as error:
            logger.info("the energy of a GPU can't be read: %s", error)
            return None

    return read_if_possible
