"""Recognizes errors by which a machine runs out of memory, processes, files or disk space.

Any line of any library may raise them, with many messages. Neither the user nor hpsearch is at
fault.
"""

from __future__ import annotations

import errno
import resource
from collections.abc import Iterator

from hpsearch.errors import HpsearchError

_MEMORY = (
    *("failed to map segment", "cannot allocate memory", "can't allocate memory"),
    *("not enough memory", "unable to allocate", "bad_alloc", "cannot create shared object"),
)
_GPU_MEMORY = (
    *("cuda out of memory", "hip out of memory", "mps backend out of memory"),
    *("cuda error: out of memory", "cublas_status_alloc_failed", "cudnn_status_alloc_failed"),
)
_NO_PROCESS = "this machine gives no more processes or threads"
_THREADS = ("can't start new thread", "resource temporarily unavailable")


class MachineLimit(HpsearchError):
    """A limit of this machine was reached; the message names it."""


class ProcessLimit(MachineLimit):
    """No more processes or threads may be started; waiting seldom helps."""


def limit_reached(error: BaseException) -> MachineLimit | None:
    """Return the limit that caused ``error``; ``None`` if it has another cause."""
    for cause in _chain(error):
        message = _limit_of(cause)
        if message is not None:
            kind = ProcessLimit if message.startswith(_NO_PROCESS) else MachineLimit
            return kind(f"{message} ({str(cause).strip() or type(cause).__name__})")
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    ids: set[int] = set()
    while error is not None and id(error) not in ids:
        ids.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _limit_of(error: BaseException) -> str | None:
    number = error.errno if isinstance(error, OSError) else None
    text = str(error).lower()
    if _mentions(error, text, _GPU_MEMORY):
        return (
            "the GPU gives no more memory; end what else runs on it (`nvidia-smi` lists it), use "
            "fewer workers or a smaller batch_size, or the device cpu"
        )
    if isinstance(error, MemoryError) or number == errno.ENOMEM or _mentions(error, text, _MEMORY):
        return (
            f"this machine gives no more memory{_limit('RLIMIT_AS', 'ulimit -v', 1e9, ' GB')}; end "
            "other programs, raise the limit, or use fewer workers"
        )
    if number == errno.EAGAIN or _mentions(error, text, _THREADS):
        return (
            f"{_NO_PROCESS}{_limit('RLIMIT_NPROC', 'ulimit -u')}; end other programs, raise the "
            "limit, or use fewer workers"
        )
    if number in (errno.EMFILE, errno.ENFILE):
        return (
            f"this machine lets no more files be open{_limit('RLIMIT_NOFILE', 'ulimit -n')}; "
            "raise the limit, or use fewer workers"
        )
    if number in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full, or a quota is used up; make room and run the same command again"
    if number == errno.EFBIG:
        return (
            f"a file may not become so large{_limit('RLIMIT_FSIZE', 'ulimit -f', 1e9, ' GB')}; "
            "raise the limit"
        )
    return None


def _mentions(error: BaseException, text: str, phrases: tuple[str, ...]) -> bool:
    # Libraries raise these types; other errors, such as a UserError, may only quote a phrase
    return isinstance(error, ImportError | OSError | RuntimeError | SystemError) and any(
        phrase in text for phrase in phrases
    )


def _limit(name: str, command: str, unit: float = 1, suffix: str = "") -> str:
    """Return the limit of this process in words; empty if there is none."""
    limit, _ = resource.getrlimit(getattr(resource, name))
    if limit == resource.RLIM_INFINITY:
        return ""
    return (
        f" (`{command}` is {limit / unit:,.3g}{suffix})" if suffix else f" (`{command}`: {limit})"
    )
