"""How a launch ended: the trials, the winner, and what to do next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpsearch.cli.storage_option import with_storage_option
from hpsearch.cli.terminal.front import print_front, print_warnings, print_winner
from hpsearch.cli.terminal.live import ENDINGS
from hpsearch.cli.terminal.output import say

if TYPE_CHECKING:
    from hpsearch.results.records import StudyRecord
    from hpsearch.workers.launch.supervisor import LaunchResult


def end_of_launch(
    outcome: LaunchResult,
    record: StudyRecord,
    storage: str,
    *,
    as_json: bool,
    suggests_export: bool,
) -> tuple[int, dict[str, Any]]:
    """Print how a launch ended, unless ``as_json``.

    Args:
        outcome: How its workers ended.
        record: The study, as it is stored now.
        storage: The URL of the database, for the commands that are proposed.
        as_json: Whether to print nothing.
        suggests_export: Whether to propose to confirm and to export the winner.

    Returns:
        The exit code, and the summary for programs.
    """
    from hpsearch.results.summary import summary

    counts = record.counts
    failed = outcome.reason in ("failed", "left") or (
        outcome.reason == "finished" and counts.failed > 0 and counts.finished == counts.failed
    )
    if not as_json:
        _print_end(record, outcome, storage, suggests_export=suggests_export)
    return (1 if failed else 0), {**summary(record), "ended": outcome.reason}


def _print_end(
    record: StudyRecord, outcome: LaunchResult, storage: str, *, suggests_export: bool
) -> None:
    from hpsearch.results.ranking import ranked, violators
    from hpsearch.results.winner import best_seen
    from hpsearch.study_file.study import trials_of

    counts, study = record.counts, record.study
    say()
    say(
        f"{study.name}: {ENDINGS[outcome.reason]}; "
        f"{trials_of(counts.finished, study.trial_budget)} "
        f"({counts.complete} complete, {counts.pruned} pruned, {counts.failed} failed"
        + (f", {counts.invalid} invalid)" if counts.invalid else ")"),
        style="bold",
    )
    print_warnings(record)
    order, winner = ranked(record), best_seen(record)
    if order and record.goals.is_multi_objective:
        print_front(record)
    elif winner is not None:
        print_winner(record, winner.trial, *winner.sentences)
    failed = next((trial for trial in record.trials if trial.error is not None), None)
    if counts.failed and failed is not None:
        number = failed.number if failed.number is not None else ""
        say(
            "Why one failed: "
            f"{with_storage_option(f'hpsearch show --study {study.name} {number}', storage)}"
        )
    if outcome.reason == "stored":
        say(
            f"Search: {with_storage_option(f'hpsearch worker --study {study.name}', storage)} "
            "(on any host)"
        )
    elif outcome.reason not in ("finished", "deadline"):
        say("Continue: run the same command again")
    count = len(violators(record))
    if count:
        say(f"{count} of {counts.complete} complete trials break a constraint and have no rank")
    if order and suggests_export:
        which = " --pick knee" if record.goals.is_multi_objective else ""
        if not record.goals.is_multi_objective:  # finalists are compared by one objective
            say(
                "Confirm it: "
                f"{with_storage_option(f'hpsearch confirm --study {study.name}', storage)}"
            )
        say(
            "Export it: "
            f"{with_storage_option(f'hpsearch export --study {study.name}{which}', storage)}"
        )
    say(f"View it: {with_storage_option('hpsearch dashboard', storage)}")
