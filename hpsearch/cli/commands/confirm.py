"""confirm: trains the finalists again with fresh seeds, and prints the confirmed value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hpsearch.cli.notify import Notifier, NotifyOption
from hpsearch.cli.options import (
    EngineOption,
    EngineSettingOption,
    JsonOption,
    StoredStudyOption,
    at_least_one,
)
from hpsearch.cli.run_options import RunOptions, takes_run_options
from hpsearch.cli.terminal.output import print_json, say, show_time_range
from hpsearch.formatting import count_noun, format_percent
from hpsearch.results.opening import database_for_reading, record_of, study_of

if TYPE_CHECKING:
    from hpsearch.engines.profiles import Profile
    from hpsearch.results.confirmation.verdict import ConfirmationResult
    from hpsearch.search.database.storage import Database
    from hpsearch.study_file.study import StudyFile
    from hpsearch.workers.confirmation import ConfirmationRun, ConfirmRequest
    from hpsearch.workers.launch.supervisor import LaunchResult
    from hpsearch.workers.launch.timing import TimeRange
    from hpsearch.workers.run_config import RunConfig


@takes_run_options
def confirm(
    study: StoredStudyOption,
    *,
    top: Annotated[
        int | None,
        typer.Option(
            "--top",
            callback=at_least_one,
            help="Train exactly the best N again.  [dim]default: the study file's, or 6, and those "
            "tied with the last of them[/dim]",
        ),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            "--seeds",
            callback=at_least_one,
            help="Fresh seeds to choose the winner, and as many more for the reported value.  "
            "[dim]default: the study file's, or 5[/dim]",
        ),
    ] = None,
    again: Annotated[
        bool,
        typer.Option("--again", help="Start a new confirmation, with other seeds than before."),
    ] = False,
    run: RunOptions,
    engine: EngineOption = None,
    settings: EngineSettingOption = None,
    notify: NotifyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train the best trials again with fresh seeds, and report the winner's confirmed value.

    The best of many trials is partly the luckiest. So all finalists are trained with the same
    fresh seeds, each with a new split (or folds, if the study has them). Finalists that can't win
    any more are dropped. The winner's value uses only seeds that weren't used to choose it. The
    cost is at most as many epochs as the search ran, unless --top, --seeds or the study file ask
    for more. Ctrl-C saves checkpoints and stops; the same command continues, or prints the
    finished result.

    \b
    hpsearch confirm --study quickstart --workers 2
    hpsearch confirm --study quickstart --top 3 --seeds 8
    hpsearch confirm --study quickstart --engine slurm --workers 8
    """
    from hpsearch.cli.commands.fleets import engine_profile
    from hpsearch.workers.launch.fork_server import start_fork_server

    config, profile = engine_profile(run.config(), engine, settings)
    with database_for_reading(run.storage) as database:
        loaded = study_of(record_of(database, study))
    start_fork_server()
    from hpsearch.workers.confirmation import ConfirmRequest

    notifier = Notifier(target=notify, command="confirm", study=loaded.name, storage=run.storage)
    request = ConfirmRequest(top=top, seeds=seeds, again=again)
    with notifier.on_failure():
        code, content = confirm_with(loaded, config, request, profile, as_json=as_json)
    if as_json:
        print_json(content)
    notifier.tell(content["ended"], code=code)
    raise typer.Exit(code)


def confirm_with(
    study: StudyFile,
    run: RunConfig,
    request: ConfirmRequest,
    profile: Profile | None = None,
    *,
    as_json: bool,
    deadline: ConfirmingInTime | None = None,
) -> tuple[int, dict[str, Any]]:
    """Confirm a stored search, and print the verdict unless ``as_json``.

    Args:
        study: The study file of the search.
        run: How the trainings are run.
        request: The user's settings of the confirmation.
        profile: The engine that runs the workers; ``None``: this machine.
        as_json: Whether the caller prints the result for programs.
        deadline: What keeps the confirmation in time; ``None`` without a deadline.

    Returns:
        The exit code, and the verdict for programs.

    Raises:
        UserError: The search can't be confirmed, an option is wrong, or the engine refuses it.
    """
    from hpsearch.cli.commands import fleets
    from hpsearch.cli.terminal.front import print_warnings
    from hpsearch.results.records import read_study
    from hpsearch.workers import confirmation

    with database_for_reading(run.storage) as database:
        search = read_study(database, study.name)
        if profile is not None:
            fleets.require_usable(profile, run, study.name)
        prepared = confirmation.prepare_confirmation(database, search, study, request)
        print_warnings(search, stderr=as_json)
        _print_asked(prepared, stderr=as_json)
        if profile is None and deadline is None:
            _print_time(confirmation.time_left(prepared, run), stderr=as_json)
        outcome = fleets.run_planned(
            profile,
            run,
            database,
            prepared.study,
            lambda show, elsewhere: confirmation.run(
                database, prepared, run, show, elsewhere, _measures(deadline)
            ),
            look=(lambda: None) if deadline is None else deadline.look,
            stderr=as_json,
        )
        if deadline is not None:
            deadline.end(outcome.reason)
        return _end(database, study.name, prepared, outcome, as_json=as_json)


@dataclass(frozen=True, kw_only=True)
class ConfirmingInTime:
    """What keeps a confirmation within a deadline."""

    #: Called about twice a second.
    look: Callable[[], None]
    #: Called when the trainings have ended, with the reason.
    end: Callable[[str], None]
    #: Returns whether there is time to measure latencies.
    may_measure: Callable[[], bool]


def _measures(deadline: ConfirmingInTime | None) -> Callable[[], bool]:
    return (lambda: True) if deadline is None else deadline.may_measure


def _print_asked(prepared: ConfirmationRun, *, stderr: bool) -> None:
    state = "new" if prepared.new else f"{count_noun(prepared.ended, 'training')} ended before"
    spec = prepared.spec
    finalists = ", ".join(map(str, spec.trials))
    say(f"{prepared.name} ({state})", style="bold", stderr=stderr)
    several = len(spec.trials) > 1
    say(
        f"{'finalists: trials' if several else 'finalist: trial'} {finalists}: {spec.rule}",
        stderr=stderr,
    )
    epochs = prepared.most * prepared.epochs
    say(
        f"at most {count_noun(prepared.most, 'training')} of "
        f"{count_noun(prepared.epochs, 'epoch')} "
        f"({spec.seeds} seeds choose, {spec.seeds} more report): {epochs:,} epochs, "
        f"{format_percent(epochs / max(1, prepared.search_epochs))} of the search's "
        f"{prepared.search_epochs:,}",
        stderr=stderr,
    )
    folds = prepared.study.document.get("data", {}).get("folds")
    if folds:
        say(
            f"each training trains {folds} models, on {folds} folds that its seed draws",
            stderr=stderr,
        )


def _print_time(left: TimeRange | None, *, stderr: bool) -> None:
    if left is not None:
        say(f"{show_time_range(left.low, left.high)} if no finalist is dropped", stderr=stderr)


def _end(
    database: Database,
    name: str,
    prepared: ConfirmationRun,
    outcome: LaunchResult,
    *,
    as_json: bool,
) -> tuple[int, dict[str, Any]]:
    from hpsearch.cli.terminal.live import ENDINGS
    from hpsearch.cli.terminal.verdict import print_gap, print_verdict, verdict_json
    from hpsearch.results.confirmation.reading import read_verdict
    from hpsearch.results.confirmation.stored import confirmations, newer_trials
    from hpsearch.results.confirmation_gap import read_test_gap
    from hpsearch.results.records import read_study

    search, record = read_study(database, name), read_study(database, prepared.name)
    verdict: ConfirmationResult = read_verdict(database, search, record)
    nth = [each.name for each in confirmations(database, name)].index(prepared.name) + 1
    newer = newer_trials(search, record)
    gap = read_test_gap(database, search, verdict)
    content = {
        **verdict_json(verdict, record, nth=nth, newer=newer),
        "test_outside_confirmed": None if gap is None else gap.to_json(),
        "ended": outcome.reason,
    }
    if warnings := [*search.warnings, *record.warnings]:
        content["warnings"] = warnings
    if not as_json:
        if gap is not None:
            say()
            print_gap(gap)
        print_verdict(search, verdict, record, nth=nth, newer=newer)
        if outcome.reason != "finished":
            say(f"{ENDINGS[outcome.reason]}; continue: run the same command again", style="bold")
    failed = outcome.reason in ("failed", "left") or (verdict.finished and verdict.winner is None)
    return (1 if failed else 0), content
