"""A launch in the background: the same command in a session of its own."""

from __future__ import annotations

import os
import select
import signal
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hpsearch.cli.notify import VARIABLE as NOTIFY
from hpsearch.cli.storage_option import environment_with
from hpsearch.cli.terminal.output import print_json, say
from hpsearch.errors import UserError
from hpsearch.import_path import own_command
from hpsearch.leave_signals import ignored
from hpsearch.workers.runs_place.place import local_folder

if TYPE_CHECKING:
    from hpsearch.workers.run_config import RunConfig

#: The variable with the file descriptor to which a launch in the background writes that it began.
_BEGUN = "HPSEARCH_BEGUN_FD"

#: The longest wait for the beginning of a launch; on a very busy machine it may come later.
_START_SECONDS = 300.0


@dataclass(frozen=True, kw_only=True)
class BackgroundLaunch:
    """A launch in the background."""

    study: str
    pid: int
    log: Path


def start(
    run: RunConfig,
    stored_as: str,
    *,
    study: str,
    overrides: Sequence[str],
    name: str | None,
    confirm: bool = False,
    more: Sequence[str] = (),
    notify: str | None = None,
) -> BackgroundLaunch:
    """Start the same launch in the background; return when its study is stored and it searches.

    Args:
        run: How trials are run.
        stored_as: The name of the study in the database.
        study: The study file or stored study, as it was typed.
        overrides: The values of ``--set``.
        name: The value of ``--name``; ``None``: the study's own name.
        confirm: Whether the launch confirms its winner at the end.
        more: Further options: those of its deadline and of its engine.
        notify: The target of ``--notify``; ``None``: no one.

    Raises:
        UserError: The log can't be written, or the launch fails before it searches; the message
            contains the end of its log.
    """
    reader, writer = os.pipe()
    log = local_folder(run.runs) / stored_as / "launch.log"
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        # A closed terminal doesn't affect another session, but a shell may send SIGHUP itself
        with log.open("ab") as file, ignored(signal.SIGHUP):
            begins_at = file.tell()
            process = subprocess.Popen(
                [
                    *own_command(),
                    *arguments(run, study, overrides, name),
                    *(["--confirm"] if confirm else []),
                    *more,
                ],
                # The database's URL may contain a password, a webhook's is often a secret, and
                # every user of the machine can read argv.
                env={
                    **environment_with(run.storage),
                    NOTIFY: notify or "",
                    _BEGUN: str(writer),
                },
                pass_fds=[writer],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
    except OSError as error:
        os.close(reader)
        raise UserError(
            f"a launch in the background writes to {log}, but that failed ({error.strerror}); "
            "name another folder with --runs"
        ) from error
    finally:
        os.close(writer)
    with os.fdopen(reader, "rb", buffering=0) as pipe:
        select.select([pipe], [], [], _START_SECONDS)
        has_begun = bool(pipe.read(1)) if select.select([pipe], [], [], 0)[0] else True
    if not has_begun and process.wait() != 0:
        output = log.read_bytes()[begins_at:].decode(errors="replace")
        raise UserError(f"the launch in the background ended at once:\n{output.strip()}")
    process.returncode = process.returncode or 0  # no warning that it still runs
    return BackgroundLaunch(study=stored_as, pid=process.pid, log=log)


def start_notifier() -> Callable[[], None]:
    """Return a function whose first call notifies ``start``, if that started this launch."""
    number = os.environ.pop(_BEGUN, "")
    left = [int(number)] if number.isdecimal() else []
    for descriptor in left:
        os.set_inheritable(descriptor, False)  # the pipe must close when this process ends

    def notify() -> None:
        for descriptor in left:
            with suppress(OSError):
                os.write(descriptor, b"1")
                os.close(descriptor)
        left.clear()

    return notify


def arguments(run: RunConfig, study: str, overrides: Sequence[str], name: str | None) -> list[str]:
    """Return the arguments of the same launch; the environment contains the storage.

    Args:
        run: How trials are run.
        study: The study file or stored study, as it was typed.
        overrides: The values of ``--set``.
        name: The value of ``--name``; ``None``: the study's own name.
    """
    words = [
        "launch",
        f"--study={study}",
        f"--workers={'auto' if run.workers is None else run.workers}",
        f"--devices={run.devices}",
        f"--lease={run.lease_seconds!r}",
        f"--checkpoint-interval={run.checkpoint_seconds!r}",
        f"--runs={run.runs}",
        *(f"--set={override}" for override in overrides),
    ]
    optional = {
        "--name": name,
        "--timeout": None if run.timeout is None else f"{run.timeout!r}s",
        "--workers-per-gpu": run.workers_per_gpu,
        "--data": run.data,
    }
    return words + [f"{key}={value}" for key, value in optional.items() if value is not None]


def tell(launch: BackgroundLaunch, *, as_json: bool) -> None:
    """Print the launch's process and log, and how to follow and stop it."""
    if as_json:
        print_json({"study": launch.study, "pid": launch.pid, "log": str(launch.log)})
        return
    say(f"continues in the background as process {launch.pid}")
    say(f"Follow it: tail -f {launch.log}")
    say(f"           hpsearch status --study {launch.study} --watch")
    say(f"Stop it:   hpsearch stop --study {launch.study}")
