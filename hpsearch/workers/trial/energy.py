"""The energy that a GPU used for a trial, in joules, by NVML (extra ``gpu``). Untested on GPUs.

NVML counts the energy of the whole GPU since its driver was loaded (GPUs from Volta on). If several
processes compute on it, each gets an equal share. The energy of a dead worker after its last
checkpoint isn't counted, nor are the epochs that it lost. If NVML refuses a read, the next read
includes that energy.
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
    """Adds up the energy of one trial.

    ``counter`` returns the total joules of the device and the number of processes that share it
    now; ``None`` if they can't be read at the moment.
    """

    def __init__(self, counter: Callable[[], tuple[float, int] | None]) -> None:
        self._counter = counter
        self._spent = 0.0
        self._last_total: float | None = None
        self.look()

    def go_on_from(self, spent: float) -> None:
        """Begin with the joules of earlier attempts for the epochs up to the checkpoint."""
        self._last_total = None
        self.look()
        self._spent = spent

    def look(self) -> float:
        """Return the joules so far. Call it every epoch: the processes on the GPU change."""
        read = self._counter()
        if read is not None:
            total, processes = read
            if self._last_total is not None:
                self._spent += (total - self._last_total) / max(processes, 1)
            self._last_total = total
        return self._spent


def meter_of(device: str) -> EnergyMeter | None:
    """Return a meter for ``device``; ``None`` if it is no GPU, or its energy can't be read."""
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
    """Return a function that reads the counter of a GPU, for ``EnergyMeter``.

    A part of a GPU (MIG) has no counter of its own.

    Args:
        nvml: The module ``pynvml``.
        uuid: The GPU's UUID, with or without ``GPU-``: CUDA may number GPUs in another order.

    Raises:
        NVMLError: Of ``pynvml``; there is no such GPU, or it has no counter.
    """
    nvml.nvmlInit()
    gpu = nvml.nvmlDeviceGetHandleByUUID(
        uuid if uuid.startswith(("GPU-", "MIG-")) else f"GPU-{uuid}"
    )

    def read() -> tuple[float, int]:
        millijoules = nvml.nvmlDeviceGetTotalEnergyConsumption(gpu)
        return millijoules / 1000.0, len(nvml.nvmlDeviceGetComputeRunningProcesses(gpu))

    read()  # fails at once on a GPU without a counter

    def read_if_possible() -> tuple[float, int] | None:
        try:
            return read()
        except nvml.NVMLError as error:
            logger.info("the energy of a GPU can't be read: %s", error)
            return None

    return read_if_possible
