"""Detecting out-of-memory errors, and what a trial's row records of them.

Only the functions that need torch import it: a launch itself, which imports this module, needs
none.
"""

from __future__ import annotations

import gc
import re
import resource
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Attempts of a trial that runs out of memory. The second one helps if another program used the
#: memory for a while; a third one is unlikely to.
ATTEMPTS = 2

#: The beginning of the reason of such an attempt.
OUT_OF_MEMORY = "out of memory"

_MEGABYTE = 1e6

#: Phrases of torch's errors without an exception type: on the CPU, on MPS, in cuBLAS and cuDNN.
_SIGNS = (
    "defaultcpuallocator",
    "can't allocate memory",
    "not enough memory",
    "out of memory",
    "cublas_status_alloc_failed",
    "cudnn_status_alloc_failed",
)

#: "Tried to allocate 2.50 GiB", "you tried to allocate 64 bytes", "Unable to allocate 7.45 GiB".
_REQUEST = re.compile(r"to allocate ([0-9.]+) ?(bytes|[KMGTP]iB)", re.IGNORECASE)
_UNITS = {"bytes": 1, "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40, "pib": 2**50}


@dataclass(frozen=True, kw_only=True)
class OutOfMemory:
    """A trial that got less memory than it needs."""

    device: str
    #: The peak before the error, in MB: allocated on the GPU, resident on the CPU.
    peak_mb: float
    #: The size of the refused allocation, in MB; ``None`` if the error doesn't contain it.
    asked_mb: float | None

    def __str__(self) -> str:
        kind = "allocated" if self.device.startswith("cuda") else "resident"
        request = "" if self.asked_mb is None else f", {self.asked_mb:,.0f} MB more were requested"
        return f"{OUT_OF_MEMORY} on {self.device}: at most {self.peak_mb:,.0f} MB {kind}{request}"

    def attributes(self) -> dict[str, Any]:
        """Return what the trial's row records of it."""
        record = {"out_of_memory": str(self), "memory_peak_mb": round(self.peak_mb, 1)}
        return record if self.asked_mb is None else {**record, "memory_asked_mb": self.asked_mb}


def detect_out_of_memory(error: BaseException, device: str) -> OutOfMemory | None:
    """Return the details of an out-of-memory error; ``None`` for any other error."""
    import torch

    if not isinstance(error, MemoryError | torch.OutOfMemoryError):
        text = str(error).lower()
        if not isinstance(error, RuntimeError) or not any(sign in text for sign in _SIGNS):
            return None
    return OutOfMemory(device=device, peak_mb=_peak(device), asked_mb=_requested_mb(str(error)))


def measure_from_here(device: str) -> None:
    """Reset the peak of the memory, so that it is the next trial's."""
    if device.startswith("cuda"):
        import torch

        # Before CUDA is opened PyTorch refuses to reset the peak, and there is none
        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            torch.cuda.reset_peak_memory_stats(device)
        return
    # Only Linux can do this; elsewhere the peak is that of the whole process.
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def give_back(device: str) -> None:
    """Free this process's cache of GPU memory after a trial.

    PyTorch would keep it for the next trial, which may be small, while other processes wait.
    """
    if device.startswith("cuda"):
        free_caches()


def forget_frames(error: BaseException) -> None:
    """Remove the frames of ``error`` and of its causes: they reference tensors."""
    chain: list[BaseException | None] = [error]
    ids: set[int] = set()
    while chain:
        cause = chain.pop()
        if cause is None or id(cause) in ids:
            continue
        ids.add(id(cause))
        cause.__traceback__ = None
        chain += [cause.__cause__, cause.__context__]


def free_caches() -> None:
    """Free cached memory, so that it is available to the next attempt."""
    import torch

    gc.collect()
    torch.cuda.empty_cache()  # does nothing if CUDA was never used


def _peak(device: str) -> float:
    if device.startswith("cuda"):
        import torch

        return torch.cuda.max_memory_allocated(device) / _MEGABYTE
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / _MEGABYTE
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / _MEGABYTE


def _requested_mb(message: str) -> float | None:
    match = _REQUEST.search(message)
    if match is None:
        return None
    return round(float(match[1]) * _UNITS[match[2].lower()] / _MEGABYTE, 1)
