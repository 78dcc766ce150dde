"""CUDA in a process that trains: opened first, and given up when it is broken.

After an assertion in a kernel, an illegal access or a lost GPU, every CUDA call of this process
fails. A new process gets a new context, so a worker with a broken context ends and its launch
starts another.
"""

from __future__ import annotations

from hpsearch.errors import DeviceUnusable


def open_device(device: str) -> None:
    """Open CUDA and make ``device`` the current one; do nothing for other devices.

    ``cuda`` without a number then means this GPU, and no context is left on the first one.

    Args:
        device: ``cpu``, ``mps`` or ``cuda:1``.

    Raises:
        DeviceUnusable: A test computation on the GPU fails.
    """
    if not device.startswith("cuda"):
        return
    import torch

    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]
        torch.cuda.set_device(device)
        torch.zeros(1, device=device).item()
    except RuntimeError as error:
        raise DeviceUnusable(
            f"a worker on {device} needs a working GPU, but CUDA reports: {_first_line(error)}; "
            "check its memory, processes and compute mode with `nvidia-smi`, or use --devices cpu"
        ) from error


def require_sound(device: str) -> None:
    """Check that ``device`` still computes.

    Raises:
        DeviceUnusable: CUDA calls of this process fail.
    """
    if not device.startswith("cuda"):
        return
    import torch

    try:
        torch.cuda.synchronize(device)
    except RuntimeError as error:
        raise DeviceUnusable(
            f"CUDA has failed in this process ({_first_line(error)}), and only a new worker "
            "process can use it again"
        ) from error


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
