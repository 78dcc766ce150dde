"""The process that worker processes are forked from; importing this module imports no torch.

It imports them once: a worker then starts in a fraction of a second and shares that memory. Start
it first thing in a launch, so that its imports run while the launch reads the study.
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

#: Bytes that the path of a socket may have are 108 on Linux and 104 on macOS; multiprocessing adds
#: a folder and a name to that of temporary files.
_LONGEST_FOLDER = 70
_SHORT_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm")

#: How long a fork server that serves no more may take to be gone, and another to be started.
_ENDING_SECONDS = 5.0

_ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def start_fork_server() -> ForkServerContext:
    """Start the fork server where it isn't running yet, without waiting for its imports.

    Raises:
        UserError: this process may not have children, or its sockets have no place.
        MachineLimit: no process can be started.
    """
    if multiprocessing.current_process().daemon:
        raise UserError(
            "a launch starts processes, but this one is a daemonic process of multiprocessing, "
            "which may have none; start it with daemon=False (a Pool's are all daemonic), or use "
            "concurrent.futures.ProcessPoolExecutor"
        )
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["hpsearch.workers.launch.preload"])
    before = dict(os.environ)
    # Read once, when the libraries load. Each worker then sets torch's own number of threads;
    # a pool of numpy's threads beside them would only get in their way.
    os.environ.update(dict.fromkeys(_ONE_THREAD, "1"))
    openmp.wait_passively()
    try:
        # Ctrl-C reaches it too; amid its imports that would be a traceback. It ends with its
        # parent, and what it forks is told to leave by that: also if the terminal closes.
        with ignored(signal.SIGINT, signal.SIGHUP), protected_children():
            _make_socket_folder()
            _stand_in_a_folder()
            multiprocessing.forkserver.ensure_running()
    except OSError as error:
        raise (limit_reached(error) or error) from error
    finally:
        for name in {*_ONE_THREAD, *openmp.PASSIVE}:
            if name in before:
                os.environ[name] = before[name]
            else:
                os.environ.pop(name, None)
    return context


def replace_fork_server() -> None:
    """Start another fork server in place of one that has just failed to fork a process.

    A server that was killed refuses connections some moments before the operating system says that
    it has ended (longer on a busy machine). Until then it counts as running, and no other starts.

    Raises:
        UserError: As ``start_fork_server``.
        MachineLimit: As ``start_fork_server``.
    """
    server: Any = multiprocessing.forkserver._forkserver
    failed = server._forkserver_pid
    deadline = time.monotonic() + _ENDING_SECONDS
    while server._forkserver_pid == failed and time.monotonic() < deadline:
        time.sleep(0.02)
        start_fork_server()


def _make_socket_folder() -> None:
    """Let multiprocessing make its folder of sockets, elsewhere if TMPDIR is too long for them."""
    if multiprocessing.current_process()._config.get("tempdir") is not None:  # type: ignore[attr-defined]
        return
    before = tempfile.tempdir
    try:
        if len(os.fsencode(tempfile.gettempdir())) > _LONGEST_FOLDER:
            tempfile.tempdir = next(filter(_is_writable, _SHORT_FOLDERS), before)
        folder = multiprocessing.util.get_temp_dir()
    except FileNotFoundError as error:
        raise UserError(
            f"a folder for temporary files must exist and be writable, but none is ({error}); "
            "set TMPDIR to one"
        ) from None
    finally:
        tempfile.tempdir = before
    if len(os.fsencode(folder)) > _LONGEST_FOLDER + len("/pymp-xxxxxxxx"):
        raise UserError(
            f"TMPDIR must be a short path, since sockets are made there, but {folder} is too long, "
            f"and none of {', '.join(_SHORT_FOLDERS)} can be written; set TMPDIR to another folder"
        )


def _stand_in_a_folder() -> None:
    """Change to multiprocessing's own folder if the current one was deleted meanwhile.

    A child begins where its parent is. Nothing of ours lies there, so that whatever a relative path
    meant is still missing.
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
        daemon: Whether it is ended together with this process.
    """
    return context.Process(
        target=_run, args=(_ImportPath(), target, arguments), name=name, daemon=daemon
    )


class _ImportPath:
    """Sets the import path of the process that unpickles it.

    It stands before the target: to unpickle that is to import its module. By then multiprocessing
    has put the current folder where the parent's path has an empty entry.
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
