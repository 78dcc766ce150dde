"""CUDA in a process that trains: opened before all else, and given up when it is broken.

After an assertion in a kernel, an illegal access or a lost GPU, CUDA refuses whatever this process
asks, until its end. A new process gets a new context, so a worker that finds itself broken ends;
its launch starts another.
"""

from __future__ import annotations

from hpsearch.errors import DeviceUnusable


def open_device(device: str) -> None:
    """Open CUDA and make ``device`` the current one; nothing to do for other devices.

    Code that says ``cuda`` without a number then means this GPU, and no context is left on the
    first one.

    Args:
        device: ``cpu``, ``mps`` or ``cuda:1``.

    Raises:
        DeviceUnusable: not even one number can be computed there.
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
            f"a worker on {device} needs a GPU that computes, but CUDA says: {_first_line(error)}; "
            "see `nvidia-smi` for its memory, its processes and its compute mode, or use "
            "--devices cpu"
        ) from error


def require_sound(device: str) -> None:
    """Return if ``device`` still computes.

    Raises:
        DeviceUnusable: CUDA refuses all that this process asks.
    """
    if not device.startswith("cuda"):
        return
    import torch

    try:
        torch.cuda.synchronize(device)
    except RuntimeError as error:
        raise DeviceUnusable(
            f"CUDA is broken in this process ({_first_line(error)}), and stays so until its end; "
            "another worker process can go on"
        ) from error


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
