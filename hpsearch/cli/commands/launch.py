"""launch, worker, stop: the search itself."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from hpsearch.cli.commands.before_deadline import BeforeDeadline
from hpsearch.cli.deadline_options import (
    ForOption,
    GpuHoursOption,
    TrainFinalOption,
    UntilOption,
    deadline_from,
    open_budget,
    options_of,
    warn_of_little_time,
)
from hpsearch.cli.notify import Notifier, NotifyOption
from hpsearch.cli.options import (
    DEFAULT_RUNS,
    DEFAULT_STORAGE,
    CheckpointOption,
    DataOption,
    EngineOption,
    EngineSettingOption,
    JsonOption,
    LeaseOption,
    NameOption,
    RunsOption,
    SetOption,
    StorageOption,
    StoredStudyOption,
    StudyFileOption,
    TrackOption,
    at_least_one,
    duration,
    seconds,
)
from hpsearch.cli.run_options import RunOptions, takes_run_options
from hpsearch.cli.storage_option import with_storage_option
from hpsearch.cli.terminal.ending import end_of_launch
from hpsearch.cli.terminal.output import print_json, say
from hpsearch.errors import DeviceUnusable, RunsUnreachable, StorageUnreachable
from hpsearch.exit_codes import MORE_TO_DO, NODE_UNUSABLE
from hpsearch.formatting import count_noun
from hpsearch.machine_limits import limit_reached
from hpsearch.output_streams import optional_output
from hpsearch.results.opening import (
    database_for_reading,
    definition_of,
    head_of_definition,
    record_of,
    stored_name,
)
from hpsearch.workers.run_config import RunConfig, WorkerOptions

if TYPE_CHECKING:
    from hpsearch.engines.profiles import Profile
    from hpsearch.study_file.study import StudyFile
    from hpsearch.workers.launch.progress import Progress
    from hpsearch.workers.launch.supervisor import LaunchResult

#: Seconds for which a worker that an engine has started waits for its database at its start.
START_SECONDS = 600.0


@takes_run_options
def launch(
    study: StudyFileOption,
    *,
    trials: Annotated[
        int | None,
        typer.Option("--trials", callback=at_least_one, help="The total number of trials."),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            "--epochs", callback=at_least_one, help="Epochs of a trial that isn't pruned."
        ),
    ] = None,
    run: RunOptions,
    engine: EngineOption = None,
    settings: EngineSettingOption = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Print what an engine would submit, check it, and end."),
    ] = False,
    detach: Annotated[
        bool, typer.Option("--detach", help="Continue in the background; `hpsearch stop` ends it.")
    ] = False,
    confirm: Annotated[
        bool,
        typer.Option(
            "--confirm", help="When the search is finished, confirm its winner: `hpsearch confirm`."
        ),
    ] = False,
    answer: Annotated[
        bool,
        typer.Option(
            "--answer",
            help="Then answer the study's question by experiment: `hpsearch ablate --question`.",
        ),
    ] = False,
    until: UntilOption = None,
    within: ForOption = None,
    gpu_hours: GpuHoursOption = None,
    train_final: TrainFinalOption = False,
    track: TrackOption = None,
    notify: NotifyOption = None,
    overrides: SetOption = None,
    name: NameOption = None,
    as_json: JsonOption = False,
) -> None:
    """Start a search with workers on this machine or a cluster, or continue it.

    Everything is checked first, and the cost is printed. Ctrl-C saves checkpoints and stops; the
    same command continues. A finished study gets no more trials unless --trials asks for more.

    \b
    hpsearch launch --study quickstart --workers 2
    hpsearch launch --study cnn_dilation --workers 2 --trials 12 --epochs 3 \\
        --set data.source=fashion_mnist --set data.limit=4000
    hpsearch launch --study my_study.yaml --timeout 8h --detach
    hpsearch launch --study my_study.yaml --workers 2 --until 08:00
    hpsearch launch --study my_study.yaml --engine slurm:big --workers 16
    """
    from hpsearch.cli import detached
    from hpsearch.cli.commands import fleets
    from hpsearch.workers.launch.fork_server import start_fork_server

    notify_start = detached.start_notifier()
    definition_of(study, run.storage)  # Report what is wrong there before anything slow begins
    began_at = time.time()
    deadline = deadline_from(
        until=until,
        within=within,
        gpu_hours=gpu_hours,
        train_final=train_final,
        answer=answer,
        timeout=run.timeout,
        now=began_at,
    )
    # It imports torch, and reads and checks the study; this process needs no torch for the rest.
    start_fork_server()
    changes = changes_of(
        study,
        storage=run.storage,
        overrides=overrides,
        trials=trials,
        epochs=epochs,
        trackers=track,
    )
    if trials is None and not any(
        override.startswith("budget.trials=") for override in overrides or ()
    ):
        head = head_of_definition(study, run.storage)
        changes += open_budget(deadline, head, name=name, storage=run.storage, now=began_at)
    from hpsearch.cli.terminal import live
    from hpsearch.workers.launch.isolation import run_isolated
    from hpsearch.workers.launch.launching import launch as start
    from hpsearch.workers.launch.preflight import check_launch
    from hpsearch.workers.launch.preview import with_time

    config, profile = fleets.engine_profile(run.config(), engine, settings)

    def in_background(stored_as: str) -> None:
        """Start the same launch in the background, and print how to follow it."""
        background = detached.start(
            config,
            stored_as,
            study=study,
            overrides=changes,
            name=name,
            confirm=confirm,
            more=[
                *(options_of(deadline) or (["--answer"] if answer else [])),
                *([] if engine is None else [f"--engine={engine}"]),
                *(f"-E{setting}" for setting in settings or ()),
            ],
            notify=notify,
        )
        detached.tell(background, as_json=as_json)

    if profile is not None:
        request = fleets.FleetLaunch(
            study=study,
            changes=changes,
            name=name,
            config=config,
            deadline=deadline,
            follows=deadline is not None or confirm or answer or notify is not None,
        )
        notifier = Notifier(target=notify, command="launch", study=study, storage=run.storage)
        with notifier.on_failure():
            end = fleets.launch(
                profile,
                request,
                dry_run=dry_run,
                detach=detach,
                in_background=in_background,
                look=partial(
                    _look_of, config=config, workers=config.workers or 1, notify_start=notify_start
                ),
                as_json=as_json,
            )
            if end is None:
                return
            notify_start()
            study_file, outcome = end
            code, summary = _end(
                study_file,
                outcome,
                config,
                profile,
                confirm,
                as_json,
                workers=config.workers or 1,
                answer=answer,
            )
        _tell(notifier, outcome, code, summary, as_json=as_json)
    study_file, pending = run_isolated(check_launch, study, changes, name, config)
    preview = with_time(pending)
    live.print_preview(preview, stderr=as_json)
    if deadline is not None:
        warn_of_little_time(deadline, preview, stderr=as_json)
    if dry_run:
        say("Nothing was started (--dry-run)", stderr=as_json)
        return
    if detach:
        in_background(study_file.name)
        return
    began = time.monotonic()
    notifier = Notifier(target=notify, command="launch", study=preview.study, storage=run.storage)
    with notifier.on_failure():
        with live.presenter(study_file.objective.metric, stderr=as_json) as present:
            look = _look_of(study_file, config, preview.allocation.count, notify_start)
            outcome = start(
                study_file,
                config,
                lambda progress: present(look(progress)),
                preview.allocation,
                deadline,
            )
        notify_start()  # a finished search shows no progress, and confirming it may take hours
        if config.timeout is not None:  # of the search and its confirmation together
            left = max(1.0, config.timeout - (time.monotonic() - began))
            config = replace(config, timeout=left)
        code, summary = _end(
            study_file,
            outcome,
            config,
            None,
            confirm,
            as_json,
            workers=preview.allocation.count,
            answer=answer,
        )
    _tell(notifier, outcome, code, summary, as_json=as_json)


def _look_of(
    study: StudyFile, config: RunConfig, workers: int, notify_start: Callable[[], None]
) -> Callable[[Progress], Progress]:
    """Return a function to call about once a second; it adds the deadline to the progress."""
    before_deadline = BeforeDeadline(study, config, workers)

    def look(progress: Progress) -> Progress:
        notify_start()
        return replace(progress, deadline=before_deadline.look(progress))

    return look


def _end(
    study_file: StudyFile,
    outcome: LaunchResult,
    config: RunConfig,
    profile: Profile | None,
    confirm: bool,
    as_json: bool,
    workers: int,
    *,
    answer: bool,
) -> tuple[int, dict[str, Any]]:
    """Print the end of a search, confirm its winner, and answer its question, if asked.

    Returns the exit code and the result.
    """
    from hpsearch.results.deadline.stored import deadline_of
    from hpsearch.search.ledger.studies import end_reason

    with database_for_reading(config.storage) as database:
        record = record_of(database, study_file.name)
        deadline = deadline_of(database, record.study)
        why_ended = end_reason(database, record.study.study_id)
    follows = deadline is not None and outcome.reason in ("finished", "deadline")
    code, summary = end_of_launch(
        outcome,
        record,
        config.storage,
        as_json=as_json,
        suggests_export=not confirm and not follows,
    )
    if why_ended is not None:
        summary["ended_by_itself"] = why_ended
        say(why_ended, stderr=as_json)
    if deadline is not None and follows:
        from hpsearch.cli.commands import fleets
        from hpsearch.cli.commands.after_search import AfterSearch, run_stages

        if profile is not None:
            workers = fleets.running_workers(profile, config, study_file.name)
        after = AfterSearch(
            study=study_file,
            config=config,
            deadline=deadline,
            workers=workers,
            profile=profile,
            as_json=as_json,
            summary=summary,
            code=code,
        )
        run_stages(after)
        if profile is not None:
            fleets.end_workers(config, study_file.name)
        return after.code, summary
    if confirm:
        from hpsearch.cli.commands.confirm import confirm_with
        from hpsearch.workers.confirmation import ConfirmRequest

        summary["confirmation"] = None
        if _is_finished(outcome, "the winner is confirmed", as_json=as_json):
            confirm_code, summary["confirmation"] = confirm_with(
                study_file, config, ConfirmRequest(), profile, as_json=as_json
            )
            code = max(code, confirm_code)
            if not as_json:
                export = f"hpsearch export --study {study_file.name}"
                say(f"Export it: {with_storage_option(export, config.storage)}")
    if answer:
        from hpsearch.cli.commands.ablate import ablate_with
        from hpsearch.workers.ablation import AblateRequest

        summary["answer"] = None
        if _is_finished(outcome, "the question is answered", as_json=as_json):
            request = AblateRequest(question=True)
            answer_code, summary["answer"] = ablate_with(
                study_file, config, request, profile, as_json=as_json
            )
            code = max(code, answer_code)
    return code, summary


def _is_finished(outcome: LaunchResult, step: str, *, as_json: bool) -> bool:
    """Return whether a search is finished; if it isn't, print that ``step`` waits for it."""
    is_finished = outcome.reason == "finished"
    say("" if is_finished else f"{step} when the search is finished", stderr=as_json)
    return is_finished


def _tell(
    notifier: Notifier,
    outcome: LaunchResult,
    code: int,
    summary: Mapping[str, Any],
    *,
    as_json: bool,
) -> NoReturn:
    """Print the result for programs, notify, and exit."""
    if as_json:
        print_json(summary)
    notifier.tell(outcome.reason, code=code)
    raise typer.Exit(code)


def worker(
    study: StoredStudyOption,
    storage: StorageOption = DEFAULT_STORAGE,
    device: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="auto, cpu, mps, cuda:0, or free: a GPU that no other such worker has claimed.",
        ),
    ] = "auto",
    threads: Annotated[
        int | None,
        typer.Option(
            callback=at_least_one,
            help="CPU threads of every trial.  [dim]default: this worker's share of the cores, "
            "one for a small network[/dim]",
        ),
    ] = None,
    leave_after: Annotated[
        str | None,
        typer.Option(
            "--leave-after",
            "--timeout",
            metavar="TIME",
            callback=duration,
            help="Leave after this time (90s, 30m, 3h50m), at the end of a batch; the trial is "
            "paused.",
        ),
    ] = None,
    lease: LeaseOption = RunConfig.lease_seconds,
    checkpoint_interval: CheckpointOption = RunConfig.checkpoint_seconds,
    runs: RunsOption = DEFAULT_RUNS,
    data: DataOption = None,
) -> None:
    """Add a worker to a launched study, from any host that can reach the database.

    Use it with Slurm, Kubernetes, or a second machine. Exit code 0: the study is finished, or was
    stopped; 75: there is more to do, start it again (a signal, --leave-after, a trial that hangs);
    69: this machine can't train, start it on another one; 2: the input is wrong.

    \b
    hpsearch worker --study cnn_dilation --storage postgresql://me@db/search
    hpsearch worker --study cnn_dilation --leave-after 3h50m
    """
    from hpsearch.engines.engine import WORKER, require_shared
    from hpsearch.search.database.storage import Patience
    from hpsearch.workers.devices import cores
    from hpsearch.workers.launch.launching import require_writable
    from hpsearch.workers.owners import new_owner
    from hpsearch.workers.threads import crowding, others_on_this_host

    # An engine starts a worker again as soon as it ends: not every few seconds, for hours
    patient = (
        Patience(seconds=START_SECONDS, for_unreachable=True) if WORKER in os.environ else None
    )
    with _outage_exit_code(), database_for_reading(storage, patient) as database:
        stored = record_of(database, study).study.name
        others = len(others_on_this_host(database))
    require_shared(study=stored, runs=runs)
    with _outage_exit_code():
        require_writable(runs)
    with _machine_exit_code(), _device(device, data) as place:
        options = WorkerOptions(
            run=RunConfig(
                storage=storage,
                timeout=None if leave_after is None else seconds(leave_after),
                lease_seconds=lease,
                checkpoint_seconds=checkpoint_interval,
                runs=runs,
                data=data,
            ),
            study_name=stored,
            device=place,
            owner=new_owner(f"worker-{os.environ.get(WORKER, '')}".rstrip("-")),
            threads=threads or cores(),
            exact_threads=threads is not None,
            follows=True,
        )
        most = "" if options.exact_threads or options.threads == 1 else "up to "
        say(f"study {stored}: on {place} with {most}{count_noun(options.threads, 'thread')}")
        warning = crowding(1, others) if place == "cpu" else None
        if warning is not None:
            say(f"warning: {warning}", style="yellow")
        with optional_output(), _outage_exit_code():
            # Without the garbage collector, a quarter faster; torch may need much memory
            from hpsearch.workers.launch import preload  # noqa: F401
            from hpsearch.workers.worker import run_worker

            reason = run_worker(options)
    say(f"stopped working on study {stored}: {reason or 'asked to leave'}")
    if reason is None:
        raise typer.Exit(MORE_TO_DO)


@contextmanager
def _device(name: str, data: Path | None) -> Iterator[str]:
    """Yield the device that a worker uses until the end of the block."""
    from hpsearch.training.data.place import data_root
    from hpsearch.workers.devices import resolve_devices
    from hpsearch.workers.gpu import FREE, claimed_gpu

    if name != FREE:
        yield resolve_devices(name)[0]
        return
    # All workers of a machine use the data root, and it is a folder even if the runs are a bucket
    with claimed_gpu(data_root(data) / "gpus") as gpu:
        yield gpu


@contextmanager
def _outage_exit_code() -> Iterator[None]:
    """Set the exit code of a server that doesn't answer: start the worker again."""
    try:
        yield
    except StorageUnreachable as error:
        error.exit_code = MORE_TO_DO
        raise
    except RunsUnreachable as error:
        if not error.refused:
            error.exit_code = MORE_TO_DO
        raise


@contextmanager
def _machine_exit_code() -> Iterator[None]:
    """Set the exit code of errors that another machine may not have."""
    try:
        yield
    except DeviceUnusable as error:
        error.exit_code = NODE_UNUSABLE
        raise
    except Exception as error:
        limit = limit_reached(error)
        if limit is None:
            raise
        limit.exit_code = NODE_UNUSABLE
        raise limit from error


def stop(
    study: StoredStudyOption,
    storage: StorageOption = DEFAULT_STORAGE,
    as_json: JsonOption = False,
) -> None:
    """Stop a study on every host: workers save checkpoints and exit. Launch it again to continue.

    Workers that a cluster hasn't started yet are cancelled.

    \b
    hpsearch stop --study cnn_dilation
    """
    from hpsearch.search.ledger import queries, studies
    from hpsearch.search.ledger.fleets import fleets_of

    with database_for_reading(storage) as database:
        stored = studies.find(database, stored_name(database, study))
        running = queries.counts(database, stored.study_id).running
        studies.request_stop(database, stored.study_id)
        if fleets := fleets_of(database, stored):
            from hpsearch.cli.commands.fleets import cancel_all

            cancel_all(database, fleets, storage)
    if as_json:
        print_json({"study": stored.name, "running": running})
        return
    trials = "1 running trial is" if running == 1 else f"{running} running trials are"
    say(f"study {stored.name} is asked to stop: {trials} checkpointed and paused, on every host")
    say("Continue: run the same launch again")


def changes_of(
    study: str,
    *,
    storage: str,
    overrides: Sequence[str] | None,
    trials: int | None,
    epochs: int | None,
    trackers: Sequence[str] | None,
) -> list[str]:
    """Return a launch's options as overrides.

    Args:
        study: A study file, or the name of a stored study; it must exist.
        storage: The URL of the database with the stored study.
        overrides: The values of ``--set``; ``None``: none.
        trials: The value of ``--trials``; ``None``: no override.
        epochs: The value of ``--epochs``; ``None``: no override.
        trackers: The values of ``--track``; ``None``: none.

    Returns:
        ``path=value`` texts.

    Raises:
        UserError: There is no such study.
    """
    changes = [*(overrides or ())]
    changes += [] if trials is None else [f"budget.trials={trials}"]
    changes += [] if epochs is None else [f"budget.epochs_per_trial={epochs}"]
    if trackers:
        names = _trackers_in(head_of_definition(study, storage).get("trackers"))
        names = _with_overrides(names, overrides or ())
        changes += [
            f"trackers.{name}=true" for name in dict.fromkeys(trackers) if name not in names
        ]
    return changes


def _with_overrides(names: set[str], overrides: Sequence[str]) -> set[str]:
    """Return the trackers that are named after ``--set``: their settings must not be replaced."""
    from hpsearch.study_file.diagnostics import Diagnostics
    from hpsearch.study_file.overrides import read_overrides
    from hpsearch.study_file.syntax import to_plain

    for change in read_overrides(overrides, Diagnostics()):
        section, _, inside = change.path.partition(".")
        if section != "trackers":
            continue
        if not inside:  # it replaces the whole section
            names = _trackers_in(to_plain(change.value))
        elif to_plain(change.value) is not False:
            names = {*names, inside.partition(".")[0]}
    return names


def _trackers_in(written: object) -> set[str]:
    """Return the trackers that a section names."""
    names: set[str] = set()
    for part in written if isinstance(written, list) else [written]:
        if isinstance(part, Mapping):
            names |= {str(key) for key, value in part.items() if value is not False}
        elif isinstance(part, str):
            names.add(part)
    return names
