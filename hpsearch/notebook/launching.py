"""Launch and confirm from a notebook or a script."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hpsearch.errors import UserError
from hpsearch.notebook.main_file import hidden
from hpsearch.notebook.progress import shower
from hpsearch.results.opening import database_for_reading, study_of
from hpsearch.results.records import read_study
from hpsearch.workers.launch.apart import in_other_process
from hpsearch.workers.launch.fork_server import start_fork_server
from hpsearch.workers.launch.launching import LaunchOptions
from hpsearch.workers.launch.launching import launch as start
from hpsearch.workers.launch.looking_ahead import look_at
from hpsearch.workers.launch.supervisor import Outcome


def launch(
    study: str,
    changes: Sequence[str],
    name: str | None,
    *,
    progress: bool,
    storage: str,
    runs: Path,
    data: Path | None,
    **settings: Any,
) -> tuple[str, Outcome]:
    """Check the study file and search, as ``hpsearch launch`` does; returns name and outcome.

    An interrupt (SIGINT: the notebook's stop button) checkpoints and leaves. Raises ``UserError``
    as that command, and where it isn't called from the main thread, which alone gets signals.
    """
    _require_main_thread()
    with hidden():
        start_fork_server()
        options, outlook = in_other_process(
            look_at, study, changes, name, storage=storage, runs=runs, data=data, **settings
        )
        found = options.study
        show = shower(found.name, found.objective.metric, wanted=progress)
        return found.name, start(options, show, outlook.preview.crew)


def confirm(
    name: str,
    *,
    progress: bool,
    storage: str,
    runs: Path,
    data: Path | None,
    wish: dict[str, Any],
    **settings: Any,
) -> Outcome:
    """Confirm a stored search, as ``hpsearch confirm`` does."""
    from hpsearch.workers.confirming import confirmation
    from hpsearch.workers.devices import resolve_devices

    _require_main_thread()
    with hidden(), database_for_reading(storage) as database:
        start_fork_server()
        record = read_study(database, name)
        file = study_of(record)
        asked = confirmation.ask(database, record, file, confirmation.Wish(**wish))
        options = LaunchOptions(
            study=asked.study, storage=storage, runs=runs, data=data, **settings
        )
        show = shower(asked.name, asked.study.objective.metric, wanted=progress)
        outcome = confirmation.run(database, asked, options, show)
        if outcome.reason == "finished":
            device = resolve_devices(options.devices)[0]
            confirmation.measure_latencies(database, asked, device=device, data=data)
        return outcome


def _require_main_thread() -> None:
    if threading.current_thread() is not threading.main_thread():
        raise UserError(
            "a launch must be called from the main thread, since only that one learns of an "
            f"interrupt, but this is thread {threading.current_thread().name!r}; call it from a "
            "notebook's cell, or run `hpsearch launch --detach`"
        )
