"""What an engine is: it keeps worker processes of a fleet alive until their study is finished.

An engine knows nothing of trials: the ledger hands them out, and takes them back from workers that
leave or die. So a worker that starts late or ends early needs no action but a replacement.

An engine is a registered component: its keyword-only arguments are the keys of its profiles in
``engines.yaml``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from time import sleep
from typing import Annotated, Literal, Protocol

from pydantic import BeforeValidator
from sqlalchemy.engine import make_url

from hpsearch.errors import UserError
from hpsearch.registry import Registry
from hpsearch.search.database.environment import URL
from hpsearch.search.ledger.fleets import Fleet
from hpsearch.study_file.schema import Matching
from hpsearch.workers.owners import this_host
from hpsearch.workers.runs_place.place import Runs, parse_runs

#: The variables by which an engine gives a worker its fleet's key and its number.
FLEET, WORKER = "HPSEARCH_FLEET", "HPSEARCH_WORKER"


def _as_text(value: object) -> object:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


#: The annotation of a profile's ``env``: variables, whose values may be written as numbers.
Variables = dict[
    Annotated[str, Matching("^[A-Za-z_][A-Za-z0-9_]*$", "the name of a variable")],
    Annotated[str, BeforeValidator(_as_text)],
]


@dataclass(frozen=True, kw_only=True)
class FleetWorker:
    """One worker of a fleet, as its engine sees it."""

    #: 1 to the number of workers.
    number: int
    state: Literal["pending", "running", "ended"]
    #: The engine's own name of it: a job's id, a pod's name.
    native_id: str
    #: ``None`` while it is pending, or if the engine doesn't know it.
    host: str | None = None
    #: Why it is pending, or how it ended.
    reason: str | None = None
    #: When a pending one is expected to start (ISO 8601), if the engine predicts it.
    expected: str | None = None
    #: How often the engine has started it again.
    restarts: int = 0
    #: Hosts that can't train and aren't used for it any more.
    excluded: tuple[str, ...] = ()


class Engine(Protocol):
    """Keeps the workers of one fleet alive.

    It is built with the fleet and the URL of the database, and the settings of its profile.
    """

    def check(self) -> list[str]:
        """Return what prevents the fleet from running, as the engine's own programs report it.

        Starts nothing. Each problem is a sentence: the rule, the value, what to do.
        """

    def render(self) -> str:
        """Return exactly what ``apply`` submits, without secrets."""

    def apply(self) -> None:
        """Bring the number of workers to ``fleet.workers``.

        Workers that are missing are submitted; those with the highest numbers are told to leave.
        It changes nothing if it is called again: it finds the workers by the fleet's key.

        Raises:
            UserError: The engine refuses the submission, or can't be reached.
        """

    def look(self) -> list[FleetWorker]:
        """Return the workers that the engine knows, by number.

        Raises:
            UserError: The engine can't be reached.
        """

    def stop(self) -> None:
        """Cancel every worker: pending ones at once, running ones after they saved a checkpoint.

        Raises:
            UserError: The engine can't be reached.
        """

    def log(self, worker: int, *, follow: bool) -> Iterator[str]:
        """Yield the lines that a worker has printed; with ``follow`` until it ends.

        Raises:
            UserError: There is no such worker, or its output can't be read.
        """


ENGINES: Registry[Engine] = Registry("engine")


def fleet_folder(fleet: Fleet) -> Path:
    """Return the folder of a fleet's scripts and output, which all of its hosts must reach.

    It is beside the study's checkpoints, or in the home folder if those are at a URL.
    """
    runs = parse_runs(fleet.runs)
    if not isinstance(runs, Path):
        return Path.home() / ".hpsearch" / "fleets" / fleet.key
    return runs / fleet.study / "fleets" / fleet.key


def require_shared(*, study: str, runs: Runs) -> None:
    """Check that a worker of a fleet sees the folder that its launch has made.

    Otherwise its host has another disk under this path: no other host could continue its trials.

    Args:
        study: The name of the study.
        runs: The place of the checkpoints, as this worker has it.

    Raises:
        UserError: The folder isn't shared.
    """
    key = os.environ.get(FLEET)
    if key is None or not isinstance(runs, Path) or (runs / study / "fleets" / key).is_dir():
        return
    raise UserError(
        f"workers on several hosts must share the runs folder, but {runs} on {this_host()} isn't "
        "the folder of the launch; give one that all hosts share, or s3://BUCKET/PREFIX, "
        "with --runs or HPSEARCH_RUNS"
    )


def problems_of_storage(storage: str) -> list[str]:
    """Return why workers on several hosts can't use a database, at most one sentence."""
    if make_url(storage).get_backend_name() != "sqlite":
        return []
    return [
        "workers on several hosts need a Postgres database, but --storage names a SQLite file; "
        "`hpsearch storage copy` copies a study to Postgres"
    ]


def worker_command(fleet: Fleet, *, device: str, threads: int | None) -> tuple[str, ...]:
    """Return the words of the command line of a worker after ``hpsearch``; it has no secret.

    Args:
        fleet: The worker's fleet.
        device: The device that it trains on; ``auto``: a GPU if it sees one.
        threads: The CPU threads of every trial; ``None``: the worker's share of the cores.
    """
    return (
        "worker",
        f"--study={fleet.study}",
        f"--device={device}",
        f"--lease={fleet.lease_seconds:g}",
        f"--checkpoint-interval={fleet.checkpoint_seconds:g}",
        *(() if threads is None else (f"--threads={threads}",)),
    )


def worker_environment(fleet: Fleet, storage: str) -> dict[str, str]:
    """Return the variables of a worker's environment.

    Args:
        fleet: The worker's fleet.
        storage: The URL of the database; it may contain a password.
    """
    environment = {URL: storage, "HPSEARCH_RUNS": fleet.runs, FLEET: fleet.key}
    return environment if fleet.data is None else {**environment, "HPSEARCH_DATA": fleet.data}


def follow_lines(path: Path, goes_on: Callable[[], bool]) -> Iterator[str]:
    """Yield the lines of a file that another process may be writing.

    Args:
        path: The file.
        goes_on: Called when no more lines are there: whether to wait for more.
    """
    with path.open(errors="replace") as file:
        while True:
            if line := file.readline():
                yield line.rstrip("\n")
            elif goes_on():
                sleep(0.5)
            else:
                return


def require_extra(module: str, extra: str) -> None:
    """Check that a package of an engine is installed.

    Args:
        module: The module to import.
        extra: The extra of hpsearch that installs it.

    Raises:
        UserError: It isn't installed.
    """
    if find_spec(module) is None:
        raise UserError(
            f"this engine needs the Python package {module}, which isn't installed; run "
            f"`pip install 'hpsearch[{extra}]'`"
        )
