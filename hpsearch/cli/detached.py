"""A launch that outlives the terminal: the same command in a session of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hpsearch.cli.notify import VARIABLE as NOTIFY
from hpsearch.cli.storage_option import environment_with
from hpsearch.cli.terminal.output import print_json, say
from hpsearch.errors import UserError

if TYPE_CHECKING:
    from hpsearch.workers.launch.launching import LaunchOptions

#: A launch that ends within so many seconds went wrong at its start.
_START_SECONDS = 2.0


@dataclass(frozen=True, kw_only=True)
class Started:
    """A launch in the background."""

    study: str
    pid: int
    log: Path


def start(
    options: LaunchOptions,
    *,
    study: str,
    overrides: Sequence[str],
    name: str | None,
    confirm: bool = False,
    notify: str | None = None,
) -> Started:
    """Start the same launch in the background.

    Raises ``UserError`` with the end of its log where it ends badly at once.
    """
    log = options.runs / options.study.name / "launch.log"
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as file:
            begins_at = file.tell()
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "hpsearch"),
                    *arguments(options, study, overrides, name),
                    *(["--confirm"] if confirm else []),
                ],
                # The database's URL may hold a password, a webhook's is often a secret, and
                # everybody can read argv.
                env={**environment_with(options.storage), NOTIFY: notify or ""},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
    except OSError as error:
        raise UserError(
            f"a launch in the background writes to {log}, but that failed ({error.strerror}); "
            "name another folder with --runs"
        ) from error
    try:
        process.wait(_START_SECONDS)
    except subprocess.TimeoutExpired:
        process.returncode = 0  # it isn't ours any more
    else:
        if process.returncode != 0:
            told = log.read_bytes()[begins_at:].decode(errors="replace")
            raise UserError(f"the launch in the background ended at once:\n{told.strip()}")
    return Started(study=options.study.name, pid=process.pid, log=log)


def arguments(
    options: LaunchOptions, study: str, overrides: Sequence[str], name: str | None
) -> list[str]:
    """Return the arguments of the same launch; the storage goes by the environment."""
    given = [
        "launch",
        f"--study={study}",
        f"--workers={'auto' if options.workers is None else options.workers}",
        f"--devices={options.devices}",
        f"--lease={options.lease_seconds!r}",
        f"--checkpoint-interval={options.checkpoint_seconds!r}",
        f"--runs={options.runs}",
        *(f"--set={override}" for override in overrides),
    ]
    optional = {
        "--name": name,
        "--timeout": None if options.timeout is None else f"{options.timeout!r}s",
        "--workers-per-gpu": options.workers_per_gpu,
        "--data": options.data,
    }
    return given + [f"{key}={value}" for key, value in optional.items() if value is not None]


def tell(started: Started, *, as_json: bool) -> None:
    """Tell where the launch went and how to follow and stop it."""
    if as_json:
        print_json({"study": started.study, "pid": started.pid, "log": str(started.log)})
        return
    say(f"goes on in the background as process {started.pid}")
    say(f"Follow it: tail -f {started.log}")
    say(f"           hpsearch status --study {started.study} --watch")
    say(f"Stop it:   hpsearch stop --study {started.study}")
