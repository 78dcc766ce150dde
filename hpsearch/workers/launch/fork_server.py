"""The process that worker processes are forked from; importing this module imports no torch.

The fork server imports torch once: a worker then starts in a fraction of a second and shares that
memory. A launch starts it first, so that its imports run while the launch reads the study.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.forkserver
import multiprocessing.util
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.context import ForkServerContext, ForkServerProcess
from typing import Any

from hpsearch import openmp
from hpsearch.errors import UserError
from hpsearch.import_path import import_path, protect_children, protected_children
from hpsearch.leave_signals import ignored
from hpsearch.library_warnings import hide
from hpsearch.machine_limits import limit_reached
from hpsearch.output_streams import replace_streams

#: What the fork server imports, once for all processes that it forks.
PRELOAD = "hpsearch.workers.launch.preload"

#: Bytes. The path of a socket has at most 108 on Linux and 104 on macOS; multiprocessing adds a
#: folder and a name to the folder of temporary files.
_LONGEST_FOLDER = 70
_SHORT_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm")

#: How long a broken fork server may take to end, and another one to start.
_ENDING_SECONDS = 5.0

_ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def start_fork_server() -> ForkServerContext:
    """Start the fork server if it isn't running yet, without waiting for its imports.

    Raises:
        UserError: This process may not have children, or there is no folder for its sockets.
        MachineLimit: No process can be started.
    """
    if multiprocessing.current_process().daemon:
        raise UserError(
            "a launch starts processes, but it runs in a daemonic process of multiprocessing, "
            "which can't have child processes; start that process with daemon=False (the processes "
            "of a Pool are always daemonic), or use concurrent.futures.ProcessPoolExecutor"
        )
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([PRELOAD])
    environment = dict(os.environ)
    # The libraries read these once, when they load. Each worker then sets torch's number of
    # threads; numpy's threads would compete with them.
    os.environ.update(dict.fromkeys(_ONE_THREAD, "1"))
    openmp.wait_passively()
    try:
        # Ctrl-C also reaches the fork server; during its imports that would print a traceback. It
        # ends with its parent, which tells the forked processes to leave; the same for SIGHUP.
        with ignored(signal.SIGINT, signal.SIGHUP), protected_children():
            _make_socket_folder()
            _stand_in_a_folder()
            multiprocessing.forkserver.ensure_running()
    except OSError as error:
        raise (limit_reached(error) or error) from error
    finally:
        for name in {*_ONE_THREAD, *openmp.PASSIVE}:
            if name in environment:
                os.environ[name] = environment[name]
            else:
                os.environ.pop(name, None)
    return context


def replace_fork_server() -> None:
    """Start another fork server in place of one that has just failed to fork a process.

    A server that was killed refuses connections some moments before the operating system reports
    its end (longer on a busy machine). Until then it counts as running, and no other one starts.

    Raises:
        UserError: As in ``start_fork_server``.
        MachineLimit: As in ``start_fork_server``.
    """
    server: Any = multiprocessing.forkserver._forkserver
    failed_pid = server._forkserver_pid
    deadline = time.monotonic() + _ENDING_SECONDS
    while server._forkserver_pid == failed_pid and time.monotonic() < deadline:
        time.sleep(0.02)
        start_fork_server()


def _make_socket_folder() -> None:
    """Create multiprocessing's folder of sockets, in another place if TMPDIR is too long."""
    if multiprocessing.current_process()._config.get("tempdir") is not None:  # type: ignore[attr-defined]
        return
    folder_before = tempfile.tempdir
    try:
        if len(os.fsencode(tempfile.gettempdir())) > _LONGEST_FOLDER:
            tempfile.tempdir = next(filter(_is_writable, _SHORT_FOLDERS), folder_before)
        folder = multiprocessing.util.get_temp_dir()
    except FileNotFoundError as error:
        raise UserError(
            "a folder for temporary files must exist and be writable, but none was found "
            f"({error}); set TMPDIR to a writable folder"
        ) from None
    finally:
        tempfile.tempdir = folder_before
    if len(os.fsencode(folder)) > _LONGEST_FOLDER + len("/pymp-xxxxxxxx"):
        raise UserError(
            f"TMPDIR must be a short path, because sockets are created there, but {folder} is too "
            f"long, and none of {', '.join(_SHORT_FOLDERS)} can be written; set TMPDIR to another "
            "folder"
        )


def _stand_in_a_folder() -> None:
    """Change to multiprocessing's own folder if the current one was deleted.

    A child begins in its parent's current folder. multiprocessing's folder contains no user files,
    so relative paths don't suddenly name others.
    """
    try:
        os.getcwd()  # noqa: PTH109 - pathlib's raises another error
    except FileNotFoundError:
        os.chdir(multiprocessing.util.get_temp_dir())


def _is_writable(folder: str) -> bool:
    return os.access(folder, os.W_OK | os.X_OK)


def new_process(
    context: ForkServerContext,
    target: Callable[..., None],
    arguments: tuple[Any, ...],
    *,
    name: str,
    daemon: bool = False,
) -> ForkServerProcess:
    """Return a process, not yet started, that the fork server will fork.

    Args:
        context: What ``start_fork_server`` returned.
        target: A function of a module; it is pickled by name.
        arguments: Its arguments; they are pickled.
        name: The process's name in messages.
        daemon: Whether it ends together with this process.
    """
    return context.Process(
        target=_run, args=(_ImportPath(), target, arguments), name=name, daemon=daemon
    )


class _ImportPath:
    """Sets the import path of the process that unpickles it.

    It comes before the target, because unpickling the target imports its module. multiprocessing
    has replaced the empty entry of the parent's path by the current folder before that.
    """

    def __reduce__(self) -> tuple[Callable[..., None], tuple[list[str]]]:
        return _use_import_path, (import_path(),)


def _use_import_path(folders: list[str]) -> None:
    sys.path[:] = folders


def _run(_path: None, target: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    protect_children()
    replace_streams(foreign=True)
    hide()
    target(*arguments)
