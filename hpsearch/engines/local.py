"""This machine: a launch supervises worker processes, in the foreground or in the background.

The launch stores its own fleet and removes it when it ends (``workers.launch.supervisor``). Here is
how other processes see it and scale it.
"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import PositiveInt

from hpsearch.engines.engine import ENGINES, FleetWorker, follow_lines
from hpsearch.errors import UserError
from hpsearch.search.ledger.fleets import Fleet
from hpsearch.workers.owners import is_alive, this_host
from hpsearch.workers.runs_place.place import local_folder, parse_runs


@ENGINES.register("local")
class LocalEngine:
    """Workers are processes of this machine, supervised by the launch."""

    def __init__(
        self,
        fleet: Fleet,
        storage: str,
        /,
        *,
        host: str = "",
        pid: int = 0,
        devices: str = "auto",
        workers_per_gpu: PositiveInt | None = None,
    ) -> None:
        """Make the engine of one fleet.

        Args:
            fleet: The fleet.
            storage: The URL of the database.
            host: The host of the launch; its process writes it.
            pid: The process of the launch; it writes it.
            devices: The devices, as ``--devices`` takes them.
            workers_per_gpu: The most workers on one GPU.
        """
        self._fleet = fleet
        self._host = host
        self._pid = pid

    def check(self) -> list[str]:
        """Return nothing: the launch checks this machine itself."""
        return []

    def render(self) -> str:
        """Return the workers that the launch starts."""
        return f"{self._fleet.workers} processes of this machine"

    def apply(self) -> None:
        """Check that the launch lives: it reads the wanted number itself.

        Raises:
            UserError: It has ended, without a chance to remove its fleet.
        """
        if self._host == this_host() and not is_alive(self._pid):
            raise UserError(
                f"the launch of study {self._fleet.study}, process {self._pid} on {self._host}, "
                "must be running, but it has ended; run the same launch again to continue"
            )

    def look(self) -> list[FleetWorker]:
        """Return the workers, if the launch lives; from another host that isn't known."""
        lives = self._host != this_host() or is_alive(self._pid)
        return [
            FleetWorker(
                number=number,
                state="running" if lives else "ended",
                native_id=str(self._pid),
                host=self._host,
                reason=None if lives else "its launch has died",
            )
            for number in range(1, self._fleet.workers + 1)
        ]

    def stop(self) -> None:
        """Do nothing: the workers read the study's stop themselves."""

    def log(self, worker: int, *, follow: bool) -> Iterator[str]:
        """Yield the lines of a launch in the background: all its workers write one file.

        Raises:
            UserError: There is no such output.
        """
        log = local_folder(parse_runs(self._fleet.runs)) / self._fleet.study / "launch.log"
        if not log.exists():
            raise UserError(
                f"a launch in the background (--detach) writes its output to {log}, but there is "
                "no such file; the output of another launch is in its terminal"
            )
        yield from follow_lines(log, lambda: follow and is_alive(self._pid))
