"""Running out of memory: telling it from other errors, and what is known about it afterwards.

torch is imported where it is asked: a launch itself, which reads about shortages, needs none.
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

#: Attempts of a trial that runs out of memory. The second one helps where somebody else's program
#: held the memory for a while; a third would only cost.
ATTEMPTS = 2

#: With what the reason of such an attempt begins.
OUT_OF_MEMORY = "out of memory"

_MEGABYTE = 1e6

#: What torch says where it has no exception of its own: on the CPU, on MPS, in cuBLAS and cuDNN.
_SIGNS = (
    "defaultcpuallocator",
    "can't allocate memory",
    "not enough memory",
    "out of memory",
    "cublas_status_alloc_failed",
    "cudnn_status_alloc_failed",
)

#: "Tried to allocate 2.50 GiB", "you tried to allocate 64 bytes", "Unable to allocate 7.45 GiB".
_ASKED = re.compile(r"to allocate ([0-9.]+) ?(bytes|[KMGTP]iB)", re.IGNORECASE)
_UNITS = {"bytes": 1, "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40, "pib": 2**50}


@dataclass(frozen=True, kw_only=True)
class OutOfMemory:
    """A trial that got less memory than it needs."""

    device: str
    #: The most that the trial held before, in MB: allocated on the GPU, resident on the CPU.
    peak_mb: float
    #: What was asked for and refused, in MB; ``None`` where the error doesn't say.
    asked_mb: float | None

    def __str__(self) -> str:
        held = "allocated" if self.device.startswith("cuda") else "resident"
        asked = "" if self.asked_mb is None else f", {self.asked_mb:,.0f} MB more were asked for"
        return f"{OUT_OF_MEMORY} on {self.device}: at most {self.peak_mb:,.0f} MB {held}{asked}"

    def attributes(self) -> dict[str, Any]:
        """Return what the trial's row records."""
        noted = {"out_of_memory": str(self), "memory_peak_mb": round(self.peak_mb, 1)}
        return noted if self.asked_mb is None else {**noted, "memory_asked_mb": self.asked_mb}


def detect_out_of_memory(error: BaseException, device: str) -> OutOfMemory | None:
    """Return what is known where ``error`` says that memory ran out, ``None`` for any other."""
    import torch

    if not isinstance(error, MemoryError | torch.OutOfMemoryError):
        text = str(error).lower()
        if not isinstance(error, RuntimeError) or not any(sign in text for sign in _SIGNS):
            return None
    return OutOfMemory(device=device, peak_mb=_peak(device), asked_mb=_asked(str(error)))


def measure_from_here(device: str) -> None:
    """Begin to measure the peak anew: the last trial's says nothing about the next."""
    if device.startswith("cuda"):
        import torch

        # Before CUDA is opened there is nothing to reset, and PyTorch refuses to
        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            torch.cuda.reset_peak_memory_stats(device)
        return
    # Linux alone can; elsewhere the peak is that of the whole process.
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def give_back(device: str) -> None:
    """Give back what a trial that is over leaves in this process's cache of GPU memory.

    PyTorch keeps it for the next trial here, which may be small, while others wait for room.
    """
    if device.startswith("cuda"):
        free_caches()


def forget_frames(error: BaseException) -> None:
    """Let go of the frames of ``error`` and of those that led to it: they hold the tensors."""
    chain: list[BaseException | None] = [error]
    seen: set[int] = set()
    while chain:
        each = chain.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        each.__traceback__ = None
        chain += [each.__cause__, each.__context__]


def free_caches() -> None:
    """Give back what only caches hold, so that the next attempt finds all there is."""
    import torch

    gc.collect()
    torch.cuda.empty_cache()  # does nothing where CUDA was never used


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


def _asked(message: str) -> float | None:
    found = _ASKED.search(message)
    if found is None:
        return None
    return round(float(found[1]) * _UNITS[found[2].lower()] / _MEGABYTE, 1)
