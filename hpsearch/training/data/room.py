"""Checks of free memory and free disk before a large operation.

The kernel kills a process that takes too much memory, without a message. So code that may need
much checks first, and the error names what needs it.
"""

from __future__ import annotations

import os
import resource
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from hpsearch.errors import DataError

#: Smaller sizes, in bytes, aren't checked: the check would take longer than the attempt.
_SMALL = 2**26

_PROC = Path("/proc")
_CGROUPS = Path("/sys/fs/cgroup")


def require_memory(size: int, what: str, advice: str) -> None:
    """Require enough free memory for this process.

    Args:
        size: What is needed at the same time, in bytes.
        what: What needs it, as the beginning of a sentence: ``decoding x.png``.
        advice: What to do instead.

    Raises:
        DataError: If there is less. If the free memory is unknown, nothing is raised.
    """
    if size < _SMALL:
        return
    free = free_memory()
    if free is not None and size > free:
        raise DataError(
            f"{what} needs about {show_size(size)} of memory, but {show_size(free)} are free; "
            f"{advice}"
        )


def require_disk(size: int, folder: Path, what: str, advice: str) -> None:
    """Require enough free disk space below ``folder``.

    Args:
        size: What will be written, in bytes.
        folder: Where; it may not exist yet.
        what: What needs it, as the beginning of a sentence.
        advice: What to do instead.

    Raises:
        DataError: If there is less. If the free space is unknown, nothing is raised.
    """
    if size < _SMALL:
        return
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        free = shutil.disk_usage(folder).free
    except OSError:
        return
    if size > free:
        raise DataError(
            f"{what} needs {show_size(size)} under {folder}, but {show_size(free)} are free there; "
            f"{advice}"
        )


def free_memory() -> int | None:
    """Return how many bytes of memory this process can still get; ``None`` if it is unknown.

    This is the least of what the machine, its control groups and its own limit leave. The page
    cache counts as free, since the kernel gives it back.
    """
    return min(_limits(), default=None)


def show_size(size: int) -> str:
    """Return ``6.4 GB``, ``850 MB``."""
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.0f} MB"


def _limits() -> Iterator[int]:
    machine = _numbers(_PROC / "meminfo").get("MemAvailable:")
    if machine is not None:
        yield machine * 1024
    yield from _groups()
    most, _ = resource.getrlimit(resource.RLIMIT_AS)
    if most != resource.RLIM_INFINITY:
        used = _numbers(_PROC / "self" / "status").get("VmSize:")
        if used is not None:
            yield max(0, most - used * 1024)


def _groups() -> Iterator[int]:
    """Yield the bytes that each control group of this process leaves, with all parent groups."""
    with suppress(OSError, ValueError):
        for line in (_PROC / "self" / "cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers == "":
                names = ("memory.max", "memory.current", "inactive_file")
                yield from _group(_CGROUPS, path, *names)
            elif "memory" in controllers.split(","):
                names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
                yield from _group(_CGROUPS / "memory", path, *names)


def _group(root: Path, path: str, most: str, used: str, cached: str) -> Iterator[int]:
    # Inside a container the path may be the host's: then only the root of the mount exists
    folder = root / path.strip("/")
    for group_folder in (folder, *folder.parents):
        if group_folder == root.parent:
            return
        with suppress(OSError, ValueError):
            limit = int((group_folder / most).read_text())  # "max" is no number
            reclaimable = _numbers(group_folder / "memory.stat").get(cached, 0)
            yield max(0, limit - int((group_folder / used).read_text()) + reclaimable)


def _numbers(file: Path) -> dict[str, int]:
    """Return the first number of each line, by the line's first word."""
    numbers: dict[str, int] = {}
    with suppress(OSError):
        for line in os.fsdecode(file.read_bytes()).splitlines():
            name, *rest = line.split()[:2] or [""]
            with suppress(ValueError):
                numbers[name] = int(*rest)
    return numbers
