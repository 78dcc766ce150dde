"""scale and logs: the workers that an engine keeps alive; a launch on an engine."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from hpsearch.cli.deadline_options import warn_of_little_time
from hpsearch.cli.options import (
    DEFAULT_STORAGE,
    EngineOption,
    JsonOption,
    StorageOption,
    StoredStudyOption,
    at_least_one,
)
from hpsearch.cli.storage_option import with_storage_option
from hpsearch.cli.terminal.output import print_json, say
from hpsearch.errors import NothingStored, UserError
from hpsearch.foreign_text import clean
from hpsearch.formatting import count_noun
from hpsearch.results.opening import database_for_reading, record_of, stored_name
from hpsearch.workers.run_config import RunConfig
from hpsearch.workers.runs_place.place import absolute

if TYPE_CHECKING:
    from hpsearch.engines.profiles import Profile
    from hpsearch.results.deadline.stored import Deadline
    from hpsearch.search.database.storage import Database
    from hpsearch.search.ledger.fleets import Fleet
    from hpsearch.search.ledger.studies import StoredStudy
    from hpsearch.study_file.study import StudyFile
    from hpsearch.workers.launch.progress import Progress
    from hpsearch.workers.launch.supervisor import LaunchResult


def scale(
    study: StoredStudyOption,
    workers: Annotated[
        int,
        typer.Option("--workers", "-w", callback=at_least_one, help="The number of workers."),
    ],
    engine: EngineOption = None,
    storage: StorageOption = DEFAULT_STORAGE,
    as_json: JsonOption = False,
) -> None:
    """Change the number of workers of a running launch, from any host.

    If the number is smaller, the workers with the highest numbers save a checkpoint and leave, and
    others continue their trials. `hpsearch stop` ends all workers.

    \b
    hpsearch scale --study cnn_dilation --workers 4
    hpsearch scale --study cnn_dilation --workers 4 --engine slurm:big
    """
    from hpsearch.engines.fleet_state import engine_of, find_fleet, fleet_name
    from hpsearch.search.ledger import studies
    from hpsearch.search.ledger.fleets import set_workers

    with database_for_reading(storage) as database:
        stored = studies.find(database, stored_name(database, study))
        fleet = find_fleet(database, stored, engine, storage)
        target = replace(fleet, workers=workers)
        set_workers(database, fleet.key, workers)
        engine_of(target, storage).apply()
    if as_json:
        print_json({"study": stored.name, "fleet": fleet.key, "before": fleet.workers,
                    "wanted": workers})  # fmt: skip
        return
    say(
        f"{fleet_name(fleet)}: {count_noun(workers, 'worker')} wanted for study {stored.name} "
        f"(before: {fleet.workers})"
    )


def logs(
    study: StoredStudyOption,
    worker: Annotated[
        int, typer.Option("--worker", callback=at_least_one, help="The worker's number.")
    ] = 1,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Print new lines until the worker ends.")
    ] = False,
    engine: EngineOption = None,
    storage: StorageOption = DEFAULT_STORAGE,
) -> None:
    """Print what a worker of a launch has printed.

    \b
    hpsearch logs --study cnn_dilation --worker 3 --follow
    """
    from hpsearch.engines.fleet_state import engine_of, find_fleet
    from hpsearch.search.ledger import studies

    with database_for_reading(storage) as database:
        stored = studies.find(database, stored_name(database, study))
        fleet = find_fleet(database, stored, engine, storage)
    for line in engine_of(fleet, storage).log(worker, follow=follow):
        typer.echo(clean(line))


@dataclass(frozen=True, kw_only=True)
class FleetLaunch:
    """What is launched on an engine: a study and how its trials are run."""

    #: The study file or stored study, as it was typed.
    study: str
    #: The values of ``--set``, and other options as overrides.
    changes: Sequence[str]
    name: str | None
    config: RunConfig
    #: Its new deadline; ``None``: the stored one.
    deadline: Deadline | None = None
    #: Whether the launch has work after the search: a deadline, a confirmation, a message.
    follows: bool = False


def engine_profile(
    config: RunConfig, engine: str | None, settings: Sequence[str] | None
) -> tuple[RunConfig, Profile | None]:
    """Read what ``--engine`` and ``-E`` name.

    Args:
        config: The options of the command.
        engine: The value of ``--engine``.
        settings: The values of ``-E``.

    Returns:
        The options, with the settings of a profile of the engine ``local``; and the profile of
        another engine, ``None`` for this machine.

    Raises:
        UserError: There is no such profile, a setting is wrong, or an option can't be used with
            the engine.
    """
    from hpsearch.engines.profiles import read_profile

    if engine is None and not settings:
        return config, None
    profile = read_profile(engine or "local", settings or ())
    if profile.engine == "local":
        local = profile.settings
        # An option of the command line takes precedence
        devices = local["devices"] if config.devices == RunConfig.devices else config.devices
        per_gpu = config.workers_per_gpu or local["workers_per_gpu"]
        return replace(config, devices=devices, workers_per_gpu=per_gpu), None
    local_only = {
        "--timeout": (config.timeout is not None, "run `hpsearch stop`; a job's limit is -E time="),
        "--devices": (config.devices != RunConfig.devices, "a profile has `device`"),
        "--workers-per-gpu": (config.workers_per_gpu is not None, "a profile has `gpus`"),
        "--workers auto": (config.workers is None, "give a number"),
        "--workers 0": (config.workers == 0, "leave out --engine"),
    }
    for option, (is_given, hint) in local_only.items():
        if is_given:
            raise UserError(f"{option} belongs to the engine local, but --engine differs; {hint}")
    return config, profile


def launch(
    profile: Profile,
    request: FleetLaunch,
    *,
    dry_run: bool,
    detach: bool,
    in_background: Callable[[str], None],
    look: Callable[[StudyFile], Callable[[Progress], Progress]],
    as_json: bool,
) -> tuple[StudyFile, LaunchResult] | None:
    """Start workers on an engine, and watch them unless ``detach``.

    Args:
        profile: The engine and its settings.
        request: The study, and how its trials are run.
        dry_run: Whether to print what would be submitted, and check it, instead.
        detach: Whether to return when the workers are submitted, or when the launch that waits for
            what follows runs in the background.
        in_background: Starts the same launch in the background; gets the study's name.
        look: Returns a function that is called about once a second while the workers run, and
            returns the progress to show.
        as_json: Whether to print the result for programs.

    Returns:
        The study file, and how the search ended; ``None`` if this command doesn't wait for that.

    Raises:
        UserError: The study or an option is wrong, or the engine refuses it.
    """
    from hpsearch.cli.terminal import live
    from hpsearch.workers.launch.isolation import run_isolated
    from hpsearch.workers.launch.launching import launch as start
    from hpsearch.workers.launch.preflight import check_launch
    from hpsearch.workers.launch.preview import with_time

    alone = replace(request.config, workers=0)
    study_file, pending = run_isolated(
        check_launch, request.study, request.changes, request.name, alone
    )
    if dry_run:
        _dry_run(profile, request, study_file.name, as_json=as_json)
        return None
    preview = with_time(pending)
    engine = f"{request.config.workers} on {profile.engine}:{profile.name}"
    live.print_preview(preview, engine=engine, stderr=as_json)
    require_usable(profile, request.config, study_file.name)
    if request.deadline is not None:
        warn_of_little_time(request.deadline, preview, stderr=as_json)
    if detach and (request.follows or _has_deadline(request.config.storage, study_file.name)):
        in_background(study_file.name)
        return None
    outcome = start(study_file, alone, lambda progress: None, preview.allocation, request.deadline)
    if outcome.reason in ("finished", "deadline"):
        return study_file, outcome
    with database_for_reading(request.config.storage) as database:
        stored = record_of(database, study_file.name).study
        fleet = _start(profile, request.config, database, stored, stderr=as_json)
        if not detach:
            return study_file, _watch(
                database,
                stored,
                study_file,
                fleet,
                config=request.config,
                look=look(study_file),
                stderr=as_json,
            )
    if as_json:
        print_json({"study": stored.name, "fleet": fleet.key, "workers": fleet.workers})
    return None


def require_usable(profile: Profile, config: RunConfig, study: str) -> None:
    """Check that an engine can run the workers of a study.

    Args:
        profile: The engine and its settings.
        config: How the trials are run.
        study: The study's name; it needn't be stored yet.

    Raises:
        UserError: It can't; the message lists all problems.
    """
    from hpsearch.engines.fleet_state import engine_of

    _require_no(engine_of(_fleet(profile, config, study), config.storage).check(), profile)


def run_workers(
    profile: Profile,
    config: RunConfig,
    database: Database,
    stored: StoredStudy,
    study: StudyFile,
    *,
    look: Callable[[Progress], Progress] = lambda progress: progress,
    stderr: bool,
) -> LaunchResult:
    """Start workers of a planned study on an engine, and watch them until the study ends.

    If the workers of its search have stayed for it, no other ones are started.

    Args:
        profile: The engine and its settings.
        config: How the trials are run.
        database: The study's database.
        stored: The study.
        study: The same study as a study file.
        look: Called about once a second; returns the progress to show.
        stderr: Whether to print to the standard error.

    Raises:
        UserError: The engine refuses them.
    """
    from hpsearch.search.ledger.fleets import wanted_workers

    show = partial(_watch, database, stored, study, config=config, look=look, stderr=stderr)
    staying = _staying(profile, config, database, stored)
    if staying is not None:
        outcome = show(staying)
        if outcome.reason != "left":
            return outcome
        if wanted_workers(database, staying.key) == 0:
            return replace(outcome, reason="stopped")
    fleet = _start(profile, config, database, stored, stderr=stderr)
    outcome = show(fleet)
    if outcome.reason == "deadline":
        cancel_all(database, [fleet], config.storage)
    return outcome


def _staying(
    profile: Profile, config: RunConfig, database: Database, study: StoredStudy
) -> Fleet | None:
    """Return the fleet of a planned study's search if its workers run and wait for the study."""
    from hpsearch.engines.fleet_state import engine_of
    from hpsearch.results.deadline.stored import closing_of, deadline_of
    from hpsearch.results.planned import parent_of
    from hpsearch.search.ledger import studies
    from hpsearch.search.ledger.fleets import fleet_key, fleets_of

    parent = parent_of(study)
    search = None if parent is None else studies.find_or_none(database, parent.search)
    deadline = None if search is None else deadline_of(database, search)
    if search is None or deadline is None:
        return None
    if closing_of(database, search.study_id, deadline) is None:
        return None
    for fleet in fleets_of(database, search):
        if fleet.key == fleet_key(search, profile.name):
            workers = engine_of(fleet, config.storage).look()
            return fleet if any(worker.state == "running" for worker in workers) else None
    return None


def running_workers(profile: Profile, config: RunConfig, study: str) -> int:
    """Return how many workers of a search run on an engine, at least one.

    Args:
        profile: The engine and its settings.
        config: How the trials are run.
        study: The name of the search.
    """
    from hpsearch.engines.fleet_state import fleet_state
    from hpsearch.search.ledger.fleets import fleets_of

    with database_for_reading(config.storage) as database:
        stored = record_of(database, study).study
        states = [
            fleet_state(fleet, config.storage)
            for fleet in fleets_of(database, stored)
            if (fleet.engine, fleet.profile) == (profile.engine, profile.name)
        ]
    running = sum(worker.state == "running" for state in states for worker in state.workers)
    return running or config.workers or 1


def end_workers(config: RunConfig, study: str) -> None:
    """Cancel the workers of a search on engines, after everything that follows it has ended.

    Args:
        config: How the trials are run.
        study: The name of the search.
    """
    from hpsearch.search.ledger.fleets import fleets_of

    with database_for_reading(config.storage) as database:
        stored = record_of(database, study).study
        cancel_all(database, fleets_of(database, stored), config.storage)


def _start(
    profile: Profile, config: RunConfig, database: Database, stored: StoredStudy, *, stderr: bool
) -> Fleet:
    from hpsearch.engines.fleet_state import engine_of
    from hpsearch.search.ledger.fleets import store_fleet

    fleet = _fleet(profile, config, stored.name, stored)
    store_fleet(database, stored.study_id, fleet)
    engine_of(fleet, config.storage).apply()
    _say_where(fleet, config.storage, stderr=stderr)
    return fleet


def _fleet(
    profile: Profile, config: RunConfig, study: str, stored: StoredStudy | None = None
) -> Fleet:
    """Return the fleet of a launch; without a stored study, one that is only checked and shown."""
    from hpsearch.search.ledger.fleets import Fleet, draft_key, fleet_key

    return Fleet(
        key=draft_key(study) if stored is None else fleet_key(stored, profile.name),
        study=study,
        engine=profile.engine,
        profile=profile.name,
        settings=profile.settings,
        workers=config.workers or 1,
        runs=str(absolute(config.runs)),
        data=None if config.data is None else str(config.data.absolute()),
        lease_seconds=config.lease_seconds,
        checkpoint_seconds=config.checkpoint_seconds,
    )


def _require_no(problems: Sequence[str], profile: Profile) -> None:
    if problems:
        text = "\n".join(f"- {problem}" for problem in problems)
        raise UserError(
            f"the engine {profile.engine}:{profile.name} can't run these workers:\n{text}"
        )


def _stored_or_none(study: str, storage: str) -> StoredStudy | None:
    """Return the stored study; ``None`` if it, or the database, isn't there yet."""
    from hpsearch.search.ledger import studies

    try:
        with database_for_reading(storage) as database:
            return studies.find_or_none(database, study)
    except NothingStored:
        return None


def _has_deadline(storage: str, study: str) -> bool:
    """Whether a stored study has a deadline that hasn't passed."""
    from hpsearch.results.deadline.stored import deadline_of

    stored = _stored_or_none(study, storage)
    if stored is None:
        return False
    with database_for_reading(storage) as database:
        deadline = deadline_of(database, stored)
    return deadline is not None and not deadline.has_passed(time.time())


def _dry_run(profile: Profile, request: FleetLaunch, study: str, *, as_json: bool) -> None:
    from hpsearch.engines.fleet_state import engine_of

    stored = _stored_or_none(study, request.config.storage)
    engine = engine_of(_fleet(profile, request.config, study, stored), request.config.storage)
    submission, problems = engine.render(), engine.check()
    if as_json:
        print_json({"study": study, "submits": submission, "problems": problems})
    else:
        print(submission)
    _require_no(problems, profile)
    if not as_json:
        say("Checked; nothing was submitted (--dry-run)", stderr=True)


def _say_where(fleet: Fleet, storage: str, *, stderr: bool) -> None:
    from hpsearch.engines.fleet_state import fleet_name

    def command(verb: str) -> str:
        return with_storage_option(f"hpsearch {verb} --study {fleet.study}", storage)

    say(f"{count_noun(fleet.workers, 'worker')} wanted on {fleet_name(fleet)}: {fleet.key}",
        stderr=stderr)  # fmt: skip
    say(f"Follow it: {command('status')} --watch", stderr=stderr)
    say(f"Scale it:  {command('scale')} --workers N", stderr=stderr)
    say(f"Stop it:   {command('stop')}", stderr=stderr)


def _watch(
    database: Database,
    stored: StoredStudy,
    study: StudyFile,
    fleet: Fleet,
    *,
    config: RunConfig,
    look: Callable[[Progress], Progress] = lambda progress: progress,
    stderr: bool,
) -> LaunchResult:
    """Show the progress until the study ends; Ctrl-C leaves the workers running."""
    from hpsearch.cli.terminal import live
    from hpsearch.engines.fleet_state import engine_of, watch

    try:
        with live.presenter(study.objective.metric, stderr=stderr) as present:

            def show(progress: Progress) -> None:
                present(look(progress))

            engine = engine_of(fleet, config.storage)
            return watch(database, stored, study, engine, show)
    except KeyboardInterrupt:
        say("The workers continue without this command", stderr=stderr)
        raise


def cancel_all(database: Database, fleets: Sequence[Fleet], storage: str) -> None:
    """Cancel the workers of all fleets of a study, after it was asked to stop.

    Args:
        database: The study's database.
        fleets: The study's fleets, at least one.
        storage: The URL of the database.

    Raises:
        UserError: An engine can't be reached; the others' workers are cancelled.
    """
    from hpsearch.engines.fleet_state import engine_of, fleet_name
    from hpsearch.search.ledger.fleets import set_workers
    from hpsearch.workers.launch.launching import LOCAL

    problems = []
    for fleet in fleets:
        if fleet.engine == LOCAL:
            continue  # its workers read the stop from the database
        set_workers(database, fleet.key, 0)
        try:
            engine_of(fleet, storage).stop()
        except UserError as error:
            problems.append(f"- {fleet_name(fleet)}: {error}")
    if problems:
        raise UserError(
            f"study {fleets[0].study} was asked to stop, and its running workers leave, but those "
            "that wait couldn't be cancelled:\n" + "\n".join(problems)
        )
