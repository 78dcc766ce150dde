"""CUDA in a process that trains: claimed, opened first, and given up when it is broken.

After an assertion in a kernel, an illegal access or a lost GPU, every CUDA call of this process
fails. A new process gets a new context, so a worker with a broken context ends and its launch
starts another.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hpsearch.errors import DeviceUnusable
from hpsearch.formatting import count_noun

#: A worker's device: a GPU that no other worker has claimed.
FREE = "free"


@contextmanager
def claimed_gpu(folder: Path) -> Iterator[str]:
    """Claim a GPU of this machine until the end of the block, or of the process.

    It is for workers that nobody gives a device of its own, such as the equal replicas of a
    container. A claim is a lock on a file that is named after the GPU, so it also works between
    containers that share the folder, and it ends with the process, however that ends.

    Args:
        folder: The folder of these files; created if it is missing.

    Yields:
        The GPU's name, such as ``cuda:1``.

    Raises:
        DeviceUnusable: There is no GPU, or every GPU is claimed.
        DataError: The folder can't be written.
    """
    import torch
    from filelock import FileLock, Timeout

    from hpsearch.training.data.place import not_writable

    count = torch.cuda.device_count()
    for index in range(count):
        # By its identity: hosts that share the folder number their own GPUs from 0
        uuid = torch.cuda.get_device_properties(index).uuid
        lock = FileLock(folder / f"{uuid}.lock")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock.acquire(blocking=False)
        except Timeout:
            continue
        except OSError as error:
            raise not_writable(error, folder) from error
        try:
            yield f"cuda:{index}"
        finally:
            lock.release()
        return
    problem = (
        f"each of this machine's {count_noun(count, 'GPU')} is claimed by another worker; start "
        "fewer workers, or wait until one ends"
        if count
        else "this machine has no CUDA GPU that PyTorch can use; use --device cpu"
    )
    raise DeviceUnusable(f"device {FREE!r} must be a GPU that no other worker uses, but {problem}")


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
