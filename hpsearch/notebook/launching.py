"""Launch, confirm and ablate from a notebook or a script."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from hpsearch.errors import UserError
from hpsearch.notebook.progress import shower
from hpsearch.results.opening import database_for_reading, study_of
from hpsearch.results.records import read_study
from hpsearch.workers.launch.fork_server import start_fork_server
from hpsearch.workers.launch.isolation import run_isolated
from hpsearch.workers.launch.launching import launch as start
from hpsearch.workers.launch.preflight import check_launch
from hpsearch.workers.launch.progress import Progress
from hpsearch.workers.launch.supervisor import LaunchResult
from hpsearch.workers.run_config import RunConfig

if TYPE_CHECKING:
    from hpsearch.results.records import StudyRecord
    from hpsearch.search.database.storage import Database
    from hpsearch.study_file.loading import StudyDict
    from hpsearch.study_file.study import StudyFile
    from hpsearch.workers.ablation import AblateRequest, AblationRun
    from hpsearch.workers.confirmation import ConfirmationRun, ConfirmRequest

R = TypeVar("R")
P = TypeVar("P", bound="ConfirmationRun | AblationRun")

#: Shows the progress of a launch.
Show: TypeAlias = Callable[[Progress], None]


def launch(
    study: str | StudyDict,
    changes: Sequence[str],
    name: str | None,
    run: RunConfig,
    *,
    progress: bool,
) -> LaunchResult:
    """Check the study file and search, as ``hpsearch launch`` does.

    An interrupt (SIGINT, as of the notebook's stop button) saves checkpoints and stops.

    Args:
        study: A stored study's name, a name under ``studies/``, the path of a study file, or a
            study's dict.
        changes: Overrides, as ``--set`` takes them.
        name: Replaces the study's name; ``None`` keeps it.
        run: How trials are run.
        progress: Whether to show the progress.

    Returns:
        How the launch ended.

    Raises:
        UserError: The study file, an option, the data or the database can't be used, or this isn't
            the main thread, the only one that receives signals.
    """
    _require_main_thread()
    with hidden():
        start_fork_server()
        study_file, pending = run_isolated(check_launch, study, changes, name, run)
        show = shower(study_file.name, study_file.objective.metric, visible=progress)
        return start(study_file, run, show, pending.preview.allocation)


def confirm(name: str, request: ConfirmRequest, run: RunConfig, *, progress: bool) -> LaunchResult:
    """Confirm a stored search, as ``hpsearch confirm`` does.

    Args:
        name: The name of the search.
        request: Which finalists and seeds to train, and whether to begin a new confirmation.
        run: How trials are run.
        progress: Whether to show the progress.

    Returns:
        How the launch ended.

    Raises:
        UserError: The search can't be confirmed (yet), its unfinished confirmation differs from
            ``request``, or this isn't the main thread.
    """
    from hpsearch.workers import confirmation

    return _run_plan(
        name,
        run,
        lambda database, search, study: confirmation.prepare_confirmation(
            database, search, study, request
        ),
        lambda database, plan, show: confirmation.run(database, plan, run, show),
        progress=progress,
    )


def ablate(name: str, request: AblateRequest, run: RunConfig, *, progress: bool) -> str:
    """Change one setting of a stored search's winner at a time, as ``hpsearch ablate`` does.

    Args:
        name: The name of the search.
        request: What is changed.
        run: How trials are run.
        progress: Whether to show the progress.

    Returns:
        The ablation's name as a study.

    Raises:
        UserError: The search has no trial to ablate (yet), the request is wrong, or this isn't the
            main thread.
    """
    from hpsearch.workers import ablation, planned_study

    def train(database: Database, plan: AblationRun, show: Show) -> str:
        planned_study.run_plan(database, plan.study, run, show)
        return plan.name

    return _run_plan(
        name,
        run,
        lambda database, search, study: ablation.prepare_ablation(
            database, search, study, request, data=run.data
        ),
        train,
        progress=progress,
    )


def _run_plan(
    name: str,
    run: RunConfig,
    prepare: Callable[[Database, StudyRecord, StudyFile], P],
    train: Callable[[Database, P, Show], R],
    *,
    progress: bool,
) -> R:
    """Store a planned study of a search, and run its trainings.

    Args:
        name: The name of the search.
        run: How trials are run.
        prepare: Returns the planned study, which it has stored.
        train: Runs its trainings.
        progress: Whether to show the progress.

    Returns:
        What ``train`` returns.
    """
    _require_main_thread()
    with hidden(), database_for_reading(run.storage) as database:
        start_fork_server()
        record = read_study(database, name)
        plan = prepare(database, record, study_of(record))
        show = shower(plan.name, plan.study.objective.metric, visible=progress)
        return train(database, plan, show)


def _require_main_thread() -> None:
    if threading.current_thread() is not threading.main_thread():
        raise UserError(
            "a launch must be called from the main thread, because only that thread receives an "
            f"interrupt, but this is thread {threading.current_thread().name!r}; call it from a "
            "cell of a notebook, or run `hpsearch launch --detach`"
        )


@contextmanager
def hidden() -> Iterator[None]:
    """Hide the file of ``__main__`` from new processes.

    Python imports it in each of them, so a script without ``if __name__ == "__main__"`` would
    launch again in every worker. Workers need nothing from it.
    """
    main: Any = sys.modules["__main__"]
    missing = object()
    before = {name: vars(main).get(name, missing) for name in ("__file__", "__spec__")}
    vars(main).pop("__file__", None)
    main.__spec__ = None
    try:
        yield
    finally:
        for name, value in before.items():
            if value is missing:
                vars(main).pop(name, None)
            else:
                vars(main)[name] = value
