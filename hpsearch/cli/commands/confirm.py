"""confirm: trains the finalists again with fresh seeds, and prints the confirmed value."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hpsearch.cli.commands.planned import run_command, store_and_run
from hpsearch.cli.notify import NotifyOption
from hpsearch.cli.options import (
    EngineOption,
    EngineSettingOption,
    JsonOption,
    StoredStudyOption,
    at_least_one,
)
from hpsearch.cli.run_options import RunOptions, takes_run_options
from hpsearch.cli.terminal.output import say, show_time_range
from hpsearch.formatting import count_noun, format_percent
from hpsearch.results.opening import database_for_reading

if TYPE_CHECKING:
    from hpsearch.cli.commands.planned import InTime
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
            help="Train exactly the best N again.  [dim]default: the number in the file, or 6, and "
            "those that chance alone may separate from the last[/dim]",
        ),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            "--seeds",
            callback=at_least_one,
            help="Fresh seeds to choose the winner, and as many more for the reported value.  "
            "[dim]default: the number in the file, or 5[/dim]",
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

    def go(
        study_file: StudyFile, config: RunConfig, profile: Profile | None
    ) -> tuple[int, dict[str, Any]]:
        from hpsearch.workers.confirmation import ConfirmRequest

        request = ConfirmRequest(top=top, seeds=seeds, again=again)
        return confirm_with(study_file, config, request, profile, as_json=as_json)

    run_command("confirm", study, run, engine, settings, notify, go, as_json=as_json)


def confirm_with(
    study: StudyFile,
    run: RunConfig,
    request: ConfirmRequest,
    profile: Profile | None = None,
    *,
    as_json: bool,
    in_time: InTime | None = None,
) -> tuple[int, dict[str, Any]]:
    """Confirm a stored search, and print the verdict unless ``as_json``.

    Args:
        study: The study file of the search.
        run: How the trainings are run.
        request: The user's settings of the confirmation.
        profile: The engine that runs the workers; ``None``: this machine.
        as_json: Whether the caller prints the result for programs.
        in_time: What keeps it within a deadline; ``None`` without one.

    Returns:
        The exit code, and the verdict for programs.

    Raises:
        UserError: The search can't be confirmed, an option is wrong, or the engine refuses it.
    """
    from hpsearch.workers import confirmation

    may_measure = (lambda: True) if in_time is None else in_time.may_measure
    with database_for_reading(run.storage) as database:
        plan, outcome = store_and_run(
            database,
            study,
            run,
            profile,
            in_time,
            prepare=lambda search: confirmation.prepare_confirmation(
                database, search, study, request
            ),
            announce=partial(_print_plan, stderr=as_json),
            print_time=lambda plan: _print_time(confirmation.time_left(plan, run), stderr=as_json),
            train=lambda plan, show, elsewhere: confirmation.run(
                database, plan, run, show, elsewhere, may_measure
            ),
            stderr=as_json,
        )
        return _end(database, study.name, plan, outcome, as_json=as_json)


def _print_plan(plan: ConfirmationRun, *, stderr: bool) -> None:
    state = "new" if plan.new else f"{count_noun(plan.ended, 'training')} ended before"
    spec = plan.spec
    finalists = ", ".join(map(str, spec.trials))
    say(f"{plan.name} ({state})", style="bold", stderr=stderr)
    several = len(spec.trials) > 1
    say(
        f"{'finalists: trials' if several else 'finalist: trial'} {finalists}: {spec.rule}",
        stderr=stderr,
    )
    epochs = plan.most * plan.epochs
    say(
        f"at most {count_noun(plan.most, 'training')} of "
        f"{count_noun(plan.epochs, 'epoch')} "
        f"({spec.seeds} seeds choose, {spec.seeds} more report): {epochs:,} epochs, "
        f"{format_percent(epochs / max(1, plan.search_epochs))} of the search's "
        f"{plan.search_epochs:,}",
        stderr=stderr,
    )
    folds = plan.study.document.get("data", {}).get("folds")
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
    plan: ConfirmationRun,
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

    search, record = read_study(database, name), read_study(database, plan.name)
    verdict: ConfirmationResult = read_verdict(database, search, record)
    names = [confirmation.name for confirmation in confirmations(database, name)]
    nth = names.index(plan.name) + 1
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
