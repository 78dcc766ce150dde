"""What ``confirm`` and ``ablate`` share: the command, and the run of a plan of trainings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, TypeVar

import typer

from hpsearch.cli.notify import Notifier
from hpsearch.cli.terminal.output import print_json
from hpsearch.results.opening import database_for_reading, record_of, study_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpsearch.cli.run_options import RunOptions
    from hpsearch.engines.profiles import Profile
    from hpsearch.results.records import StudyRecord
    from hpsearch.search.database.storage import Database
    from hpsearch.search.ledger.studies import StoredStudy
    from hpsearch.study_file.study import StudyFile
    from hpsearch.workers.launch.progress import Progress
    from hpsearch.workers.launch.supervisor import LaunchResult
    from hpsearch.workers.run_config import RunConfig


class Plan(Protocol):
    """A planned study that is stored."""

    @property
    def study(self) -> StudyFile:
        """Its study file."""


P = TypeVar("P", bound=Plan)


@dataclass(frozen=True, kw_only=True)
class InTime:
    """What keeps the trainings of a plan within a deadline."""

    #: Called about twice a second, with the name of the planned study.
    look: Callable[[str], None]
    #: Called when the trainings have ended, with the name and the reason.
    end: Callable[[str, str], None]
    #: Returns whether there is time to measure something after the trainings.
    may_measure: Callable[[], bool] = lambda: True


def run_command(
    command: str,
    study: str,
    run: RunOptions,
    engine: str | None,
    settings: Sequence[str] | None,
    notify: str | None,
    go: Callable[[StudyFile, RunConfig, Profile | None], tuple[int, dict[str, Any]]],
    *,
    as_json: bool,
) -> NoReturn:
    """Run ``confirm`` or ``ablate``, and exit.

    Args:
        command: The command's name.
        study: The search.
        run: The options of its workers.
        engine: The value of ``--engine``.
        settings: The values of ``-E``.
        notify: The value of ``--notify``.
        go: Does the work; gets the study file, the options and the engine, and returns the exit
            code and the result for programs. torch is imported in workers by then.
        as_json: Whether to print the result for programs.

    Raises:
        UserError: There is no such study, or an option is wrong.
        typer.Exit: Always, with the exit code.
    """
    from hpsearch.cli.commands.fleets import engine_profile
    from hpsearch.workers.launch.fork_server import start_fork_server

    config, profile = engine_profile(run.config(), engine, settings)
    with database_for_reading(run.storage) as database:
        study_file = study_of(record_of(database, study))
    start_fork_server()
    notifier = Notifier(target=notify, command=command, study=study_file.name, storage=run.storage)
    with notifier.on_failure():
        code, content = go(study_file, config, profile)
    if as_json:
        print_json(content)
    notifier.tell(content["ended"], code=code)
    raise typer.Exit(code)


def store_and_run(
    database: Database,
    study: StudyFile,
    run: RunConfig,
    profile: Profile | None,
    in_time: InTime | None,
    *,
    prepare: Callable[[StudyRecord], P],
    announce: Callable[[P], None],
    print_time: Callable[[P], None],
    train: Callable[
        [P, Callable[[Progress], None], Callable[[StoredStudy], LaunchResult] | None], LaunchResult
    ],
    stderr: bool,
) -> tuple[P, LaunchResult]:
    """Store a plan of trainings, and run it on this machine, with a live page, or on an engine.

    Args:
        database: The database of the search.
        study: The study file of the search.
        run: How the trainings are run.
        profile: The engine that runs the workers; ``None``: this machine.
        in_time: What keeps it within a deadline; ``None`` without one.
        prepare: Returns the planned study of the search, which it has stored.
        announce: Prints the plan.
        print_time: Prints how long it will take; called without a deadline, on this machine.
        train: Runs the trainings; gets what shows the progress, and what lets an engine's workers
            run the stored study (``None`` on this machine).
        stderr: Whether to print to stderr.

    Returns:
        What ``prepare`` returned, and how the run ended.

    Raises:
        UserError: The search can't be planned, an option is wrong, or the engine refuses it.
    """
    from hpsearch.cli.commands import fleets
    from hpsearch.cli.terminal import live
    from hpsearch.cli.terminal.front import print_warnings
    from hpsearch.results.records import read_study

    search = read_study(database, study.name)
    if profile is not None:
        fleets.require_usable(profile, run, study.name)
    plan = prepare(search)
    print_warnings(search, stderr=stderr)
    announce(plan)

    def look(progress: Progress) -> Progress:
        if in_time is not None:
            in_time.look(plan.study.name)
        return progress

    if profile is not None:
        elsewhere = partial(
            fleets.run_workers,
            profile,
            run,
            database,
            study=plan.study,
            look=look,
            stderr=stderr,
        )
        outcome = train(plan, lambda progress: None, elsewhere)
    else:
        if in_time is None:
            print_time(plan)
        metric = plan.study.objective.metric
        with live.presenter(metric, stderr=stderr) as present:
            outcome = train(plan, lambda progress: present(look(progress)), None)
    if in_time is not None:
        in_time.end(plan.study.name, outcome.reason)
    return plan, outcome
