"""Prints the winner: one trial, or the front of several objectives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpsearch.cli.terminal.output import say, show_params, table
from hpsearch.metrics import MetricFormat

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpsearch.results.records import StudyRecord

#: Points of a front that are listed.
_POINTS_SHOWN = 20


def print_warnings(record: StudyRecord, *, stderr: bool = False) -> None:
    """Print the warnings of a study, which belong to every list or ranking of its trials."""
    for warning in record.warnings:
        say(f"warning: {warning}", style="bold red", stderr=stderr)


def print_best(record: StudyRecord, status: Mapping[str, Any]) -> None:
    """Print the winner in ``status``, and how many complete trials break a constraint."""
    from hpsearch.results.ranking import best, leader, violators

    best_trial, ahead = best(record), leader(record)
    count = len(violators(record))
    if record.goals.constraints and record.counts.complete:
        bounds = ", ".join(map(str, record.goals.constraints))
        say(f"{count} of {record.counts.complete} complete trials break a constraint ({bounds})")
    if ahead is not None and ahead is not best_trial:
        say(
            f"ahead: trial {ahead.number}, {record.objective.metric} "
            f"{MetricFormat(record.objective.metric).value(ahead.value)} after "
            f"{ahead.epochs_done} of {record.study.epochs_per_trial} epochs; it is paused"
        )
        say(f"  {show_params(record.values(ahead.params), record.paths)}")
    if best_trial is None:
        reason = "every complete trial breaks a constraint" if count else "no trial is complete"
        say(f"No winner yet: {reason}.")
    elif record.goals.is_multi_objective:
        print_front(record)
    else:
        print_winner(record, status["best"]["number"], status["winner"], status["against"])


def print_winner(record: StudyRecord, trial: int, *sentences: str) -> None:
    """Print the sentences about the winner of ``record``, and the winner's settings.

    Args:
        record: The study.
        trial: The winner's number.
        *sentences: Its sentences (``results.winner``); empty ones are left out.
    """
    for sentence in filter(None, sentences):
        say(sentence)
    say(f"  {show_params(record.values(record.trial(trial).params), record.paths)}")


def print_front(record: StudyRecord) -> None:
    """Print the front as a table, its knee marked."""
    from hpsearch.results.ranking import front, knee

    points, nearest = front(record), knee(record)
    names, paths = record.goals.objectives, record.paths
    ways = [f"{name} ({way})" for name, way in record.goals.directions.items()]
    say(f"front: {len(points)} of {record.counts.complete} complete trials, {', '.join(ways)}")
    table(
        ("trial", *names, "", "configuration"),
        [
            (
                trial.number,
                *(MetricFormat(name).value(trial.metrics[name]) for name in names),
                "knee" if trial == nearest else "",
                show_params(record.values(trial.params), paths),
            )
            for trial in points[:_POINTS_SHOWN]
        ],
    )
    if len(points) > _POINTS_SHOWN:
        say(f"and {len(points) - _POINTS_SHOWN} more (--json lists them)")
