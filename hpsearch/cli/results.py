"""status, show, export: what a study found out so far."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hpsearch.cli.front import print_best
from hpsearch.cli.opening import database_for_reading, record_of
from hpsearch.cli.options import (
    DEFAULT_RUNS,
    DEFAULT_STORAGE,
    JsonOption,
    RunsOption,
    StorageOption,
    StoredStudyOption,
    more_than_zero,
)
from hpsearch.cli.output import (
    console,
    plural,
    print_json,
    say,
    show,
    show_params,
    show_time,
    table,
)

if TYPE_CHECKING:
    from hpsearch.results.records import StudyRecord
    from hpsearch.search.storage import Database

#: Failed trials that ``status`` tells with their reasons.
_FAILURES_SHOWN = 5


def status(
    study: StoredStudyOption,
    storage: StorageOption = DEFAULT_STORAGE,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Show it again and again until Ctrl-C.")
    ] = False,
    interval: Annotated[
        float,
        typer.Option(metavar="SECONDS", callback=more_than_zero, help="How often --watch looks."),
    ] = 2.0,
    as_json: JsonOption = False,
) -> None:
    """Tell how far a study is, and which trial leads.

    \b
    hpsearch status --study quickstart
    hpsearch status --study quickstart --watch
    hpsearch status --study quickstart --json
    """
    from hpsearch.results.pruning_audit import read_pruning_audit
    from hpsearch.results.records import read_study
    from hpsearch.results.summary import summary

    with database_for_reading(storage) as database:
        record = record_of(database, study)
        while True:
            bill = read_pruning_audit(database, record)
            told = {
                **summary(record),
                "pruning": bill and bill.as_json(),
                **_confirmation(database, record),
            }
            if watch and console().is_terminal and not as_json:
                console().clear()
            if as_json:
                print_json(told)
            else:
                _print_status(record, told)
            if not watch or record.is_finished:
                return
            time.sleep(interval)
            record = read_study(database, record.study.name)


def show_trial(
    study: StoredStudyOption,
    number: Annotated[
        int | None,
        typer.Argument(metavar="TRIAL", help="A trial's number. Without it: every trial."),
    ] = None,
    storage: StorageOption = DEFAULT_STORAGE,
    runs: RunsOption = DEFAULT_RUNS,
    as_json: JsonOption = False,
) -> None:
    """Show one trial: parameters, curve, attempts, errors, files. Or list every trial.

    \b
    hpsearch show --study quickstart 17
    hpsearch show --study quickstart
    """
    from hpsearch.cli.trial_page import draw_page, print_page, trial_page
    from hpsearch.results.optuna_side import infeasible_draw

    with database_for_reading(storage) as database:
        record = record_of(database, study)
        if number is None:
            _print_trials(record, as_json=as_json)
            return
        draw = infeasible_draw(database, record.study.study_id, number)
        page = (
            trial_page(database, record, record.trial(number), runs)
            if draw is None
            else draw_page(record, draw)
        )
    if as_json:
        print_json(page)
    else:
        print_page(page)


def _print_status(record: StudyRecord, told: Mapping[str, Any]) -> None:
    counts, budget = told["trials"], told["budget"]
    say(
        f"{told['study']}: {record.counts.finished} of {budget['trials']} trials finished"
        + (" (the space has no point left)" if record.study.exhausted else ""),
        style="bold",
    )
    names = ("complete", "pruned", "failed", "running", "paused")
    say(
        ", ".join(f"{counts[name]} {name}" for name in names)
        + (f", {counts['invalid']} declared invalid" if "invalid" in counts else "")
        + (f"; {counts['infeasible']} infeasible draws" if counts["infeasible"] else "")
    )
    say(
        f"{plural(told['epochs_run'], 'epoch')} in {show_time(told['compute_seconds'])} of training"
    )
    if told["pruning"] is not None:
        _print_pruning(told["pruning"])
    _print_failures(record)
    _print_invalid(told.get("invalid", ()))
    print_best(record)
    if told["best"] is not None or "invalid" in told:
        _print_confirmation(told.get("confirmation"), record.objective.metric)


def _confirmation(database: Database, record: StudyRecord) -> dict[str, Any]:
    """Return what is known of the search's newest confirmation; nothing where there is none."""
    from hpsearch.results.confirmation.stored import (
        invalid_finalists,
        newer_trials,
        newest,
        standing,
    )

    found = newest(database, record.study.name)
    if found is None:
        return {}
    now = standing(found)
    mean = None
    if now.finished and now.winner is not None:
        from hpsearch.results.confirmation.reading import read_verdict

        mean = read_verdict(database, record, found).confirmed
    told = {
        "study": found.study.name,
        "finished": now.finished,
        "trainings": found.counts.finished,
        "winner": now.winner,
        "value": mean,
        "newer_trials": newer_trials(record, found),
    }
    if invalid := invalid_finalists(record, found):
        told["invalid"] = invalid
    return {"confirmation": told}


def _print_confirmation(told: Mapping[str, Any] | None, metric: str) -> None:
    if told is None:
        return
    newer = told["newer_trials"]
    since = f"; {plural(newer, 'newer trial')} had no part in it" if newer > 0 else ""
    if not told["finished"]:
        ended = plural(told["trainings"], "training")
        say(f"confirmation: {ended} ended so far; `hpsearch confirm` goes on{since}")
    elif told["winner"] is None:
        say(f"confirmation: every finalist failed (`hpsearch show --study {told['study']}`){since}")
    else:
        say(f"confirmed: trial {told['winner']}, {metric} {show(told['value'])}{since}")
    for trial, why in told.get("invalid", {}).items():
        which = "winner" if trial == told["winner"] else "finalist"
        say(f"  its {which}, trial {trial}, is invalid: {why} (`hpsearch confirm --again`)")


def _print_pruning(bill: Mapping[str, Any]) -> None:
    spared = len(bill["spared"])
    line = f"pruning saved up to {plural(bill['epochs_saved'], 'epoch')}"
    if bill["false_rate"] is not None:
        low, high = bill["false_interval"]
        line += (
            f"; of {plural(spared, 'spared trial')} {bill['falsely_pruned']} would have been "
            f"stopped falsely ({bill['false_rate']:.0%} [{low:.0%}, {high:.0%}]), "
            f"regret {show(bill['regret'])}, for {plural(bill['epochs_paid'], 'epoch')}"
        )
    say(line)
    ranks = [rung for rung in bill["rungs"] if rung["spearman"] is not None]
    if ranks:
        told = ", ".join(f"{rung['spearman']:.2f} (epoch {rung['epoch']})" for rung in ranks)
        say(f"  rank correlation with the end: {told}")


def _print_failures(record: StudyRecord) -> None:
    from hpsearch.results.reasons import in_short

    failed = [trial for trial in record.trials if trial.state.value == "failed"]
    for trial in failed[:_FAILURES_SHOWN]:
        say(f"  trial {show(trial.number)} failed: {in_short(trial.error or '')}")
    if len(failed) > _FAILURES_SHOWN:
        say(f"  and {len(failed) - _FAILURES_SHOWN} more (`show` lists every trial)")


def _print_invalid(declared: Sequence[Mapping[str, Any]]) -> None:
    for each in declared[:_FAILURES_SHOWN]:
        say(f"  trial {show(each['number'])} ({each['was']}) is invalid: {each['reason']}")
    if len(declared) > _FAILURES_SHOWN:
        say(f"  and {len(declared) - _FAILURES_SHOWN} more (`show` lists every trial)")


def _print_trials(record: StudyRecord, *, as_json: bool) -> None:
    from hpsearch.results.ranking import ranked

    ranks = {trial.ticket: rank for rank, trial in enumerate(ranked(record), start=1)}
    order = sorted(record.trials, key=lambda trial: ranks.get(trial.ticket, len(ranks) + 1))
    if as_json:
        print_json(
            [
                {
                    "rank": ranks.get(trial.ticket),
                    "number": trial.number,
                    "ticket": trial.ticket,
                    "state": trial.state.value,
                    "value": trial.value,
                    **({} if record.goals.are_plain else {"figures": dict(trial.figures)}),
                    "epochs": trial.epochs_done,
                    "attempts": trial.attempts,
                    "compute_seconds": trial.compute_seconds,
                    "params": dict(trial.params),
                    **({} if trial.invalid is None else {"invalid": trial.invalid.reason}),
                }
                for trial in order
            ]
        )
        return
    others = tuple(name for name in record.goals.figures if name != record.objective.metric)
    table(
        (
            "rank",
            "trial",
            "state",
            record.objective.metric,
            *others,
            "epochs",
            "time",
            "parameters" if record.goals.are_plain else "configuration",
        ),
        [
            (
                ranks.get(trial.ticket),
                trial.number,
                trial.state.value,
                trial.value,
                *(trial.figures.get(name) for name in others),
                trial.epochs_done,
                show_time(trial.compute_seconds),
                show_params(trial.params),
            )
            for trial in order
        ],
    )
