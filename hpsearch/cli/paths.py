"""Paths of the command line: ``~`` that no shell has replaced, and study files from pipes."""

from __future__ import annotations

import functools
import os
import select
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from hpsearch.errors import UserError

#: The most bytes of a study file in a pipe, and how long a writer may pause.
_MOST_BYTES, _SECONDS = 2_000_000, 10.0


def takes_paths(command: Callable[..., None]) -> Callable[..., None]:
    """Decorate a command so that it gets paths that every process can read.

    A shell replaces ``~`` at the beginning of a word, but not in ``--runs=~/x`` or in a variable. A
    study file may come from a pipe, as in ``--study <(sed ... study.yaml)``, but is read more than
    once and in several processes, so it is copied.
    """

    @functools.wraps(command)
    def with_paths(**arguments: Any) -> None:
        with ExitStack() as stack:
            own = {name: _expand(value) for name, value in arguments.items()}
            if isinstance(study := own.get("study"), str):
                own["study"] = stack.enter_context(_readable_again(study))
            command(**own)

    return with_paths


def _expand(value: Any) -> Any:
    match value:
        case Path():
            return Path(os.path.expanduser(value))  # noqa: PTH111 - leaves an unknown user's as it is
        case list():
            return [_expand(part) for part in value]
        case _:
            return value


@contextmanager
def _readable_again(study: str) -> Iterator[str]:
    """Yield a path of the study file that can be read repeatedly: its own, or that of a copy."""
    path = Path(study)
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):  # reported when it is read
        mode = stat.S_IFREG
    by_number = "/fd/" in study or study == "/dev/stdin"  # another process has other files there
    if stat.S_ISDIR(mode) or (stat.S_ISREG(mode) and not by_number):
        yield study
        return
    if not (stat.S_ISFIFO(mode) or by_number):
        raise UserError(f"a study file must be a file or a pipe, but {study} is neither")
    text = _read(path)
    try:
        # In the current folder: paths in the text are relative to that of the file
        handle, copy = tempfile.mkstemp(prefix=".study-", suffix=".yaml", dir=".")
    except OSError as error:
        raise UserError(
            f"a study file in a pipe is copied into the current folder, but that failed "
            f"({error.strerror}); save it as a file and name that"
        ) from None
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text)
        yield str(Path(copy).name)
    finally:
        Path(copy).unlink(missing_ok=True)


def _read(path: Path) -> bytes:
    try:
        # Without O_NONBLOCK a FIFO without a writer would never open
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        raise UserError(f"the study file {path} can't be read: {error.strerror}") from None
    with os.fdopen(handle, "rb", buffering=0) as pipe:
        parts: list[bytes] = []
        while sum(map(len, parts)) <= _MOST_BYTES:
            if not select.select([pipe], [], [], _SECONDS)[0]:
                raise UserError(
                    f"a study file in a pipe must be written at once, but nothing came from {path} "
                    f"for {_SECONDS:g} s; save it as a file and name that"
                )
            part = pipe.read(65_536)
            if not part:
                break
            parts.append(part)
    if not parts:
        raise UserError(f"the study file {path} is empty: no process writes to that pipe")
    return b"".join(parts)
