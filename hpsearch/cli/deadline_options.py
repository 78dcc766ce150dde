"""Options of a launch's deadline: ``--until``, ``--for``, ``--gpu-hours``, ``--train-final``."""

from __future__ import annotations

import re
import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from hpsearch.cli.options import duration, seconds
from hpsearch.cli.terminal.output import say
from hpsearch.errors import UserError
from hpsearch.formatting import format_seconds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpsearch.results.deadline.stored import Deadline
    from hpsearch.workers.launch.preview import Preview

UntilOption = Annotated[
    str | None,
    typer.Option(
        "--until",
        metavar="TIME",
        help="A deadline: search, confirmation, report and bundle are complete by then (08:00, or "
        "2026-12-01T08:00).",
    ),
]
ForOption = Annotated[
    str | None,
    typer.Option(
        "--for", metavar="TIME", callback=duration, help="A deadline this long from now (6h, 90m)."
    ),
]
GpuHoursOption = Annotated[
    float | None,
    typer.Option(
        "--gpu-hours",
        metavar="HOURS",
        help="A deadline as hours that all workers together spend on trials, also on a CPU.",
    ),
]
TrainFinalOption = Annotated[
    bool,
    typer.Option(
        "--train-final", help="With a deadline: also train the winner on all images in time."
    ),
]

_CLOCK = re.compile(r"\d{1,2}:\d{2}(:\d{2})?")


def until_moment(text: str, now: float) -> float:
    """Return the moment that ``--until`` names, in seconds since 1970.

    Args:
        text: A time of day, of the next day if it has passed today, or a date with a time.
        now: Seconds since 1970.

    Raises:
        UserError: It is neither, or it has passed.
    """
    today = datetime.fromtimestamp(now)
    try:
        if _CLOCK.fullmatch(text):
            parts = [int(part) for part in text.split(":")]
            moment = today.replace(
                hour=parts[0], minute=parts[1], second=(*parts, 0)[2], microsecond=0
            )
            if moment <= today:
                moment += timedelta(days=1)
        else:
            moment = datetime.fromisoformat(text)
    except ValueError:
        raise UserError(
            f"--until must be a time (08:00) or a date with a time (2026-12-01T08:00), but got "
            f"{text!r}"
        ) from None
    if moment.timestamp() <= now:
        raise UserError(
            f"--until must be in the future, but {text} was "
            f"{format_seconds(now - moment.timestamp())} ago"
        )
    return moment.timestamp()


def deadline_from(
    *,
    until: str | None,
    within: str | None,
    gpu_hours: float | None,
    train_final: bool,
    answer: bool = False,
    timeout: str | None,
    now: float,
) -> Deadline | None:
    """Return the deadline that the options name; ``None`` without them.

    Args:
        until: The value of ``--until``.
        within: The value of ``--for``.
        gpu_hours: The value of ``--gpu-hours``.
        train_final: Whether ``--train-final`` is given.
        answer: Whether ``--answer`` is given.
        timeout: The value of ``--timeout``.
        now: Seconds since 1970.

    Raises:
        UserError: Options exclude each other, or a value is out of bounds.
    """
    from hpsearch.results.deadline.stored import Deadline

    options = {"--until": until, "--for": within, "--gpu-hours": gpu_hours}
    names = [name for name, value in options.items() if value is not None]
    if len(names) > 1:
        raise UserError(f"a launch has one deadline, but got {' and '.join(names)}; leave one out")
    if names and timeout is not None:
        raise UserError(
            f"--timeout only stops a launch, and {names[0]} ends search and confirmation in time; "
            "leave one of them out"
        )
    if not names:
        if train_final:
            raise UserError(
                "--train-final belongs to a deadline (--until, --for, --gpu-hours); without one, "
                "run `hpsearch train best.yaml --on all` after `hpsearch export`"
            )
        return None
    stage_options = {"train-final": train_final, "answer": answer}
    stages = frozenset(stage for stage, is_given in stage_options.items() if is_given)
    if gpu_hours is not None:
        if not 0 < gpu_hours < float("inf"):
            raise UserError(f"--gpu-hours must be more than 0, but got {gpu_hours:g}")
        return Deadline(begun=now, worker_seconds=3600 * gpu_hours, stages=stages)
    at = until_moment(until, now) if until is not None else now + seconds(within or "")
    return Deadline(begun=now, at=at, stages=stages)


def options_of(deadline: Deadline | None) -> list[str]:
    """Return the options of the same deadline, for a launch in the background."""
    if deadline is None:
        return []
    final = [f"--{stage}" for stage in sorted(deadline.stages)]
    if deadline.at is not None:
        return [f"--until={datetime.fromtimestamp(deadline.at).astimezone().isoformat()}", *final]
    return [f"--gpu-hours={(deadline.worker_seconds or 0.0) / 3600!r}", *final]


def open_budget(
    deadline: Deadline | None,
    head: Mapping[str, object],
    *,
    name: str | None,
    storage: str,
    now: float,
) -> list[str]:
    """Return an override if a deadline alone ends the search: without ``budget.trials``.

    Args:
        deadline: The deadline that is given; ``None``: the stored one.
        head: The keys of the study file.
        name: The value of ``--name``; ``None``: the study's own name.
        storage: The database's URL.
        now: Seconds since 1970.

    Raises:
        UserError: The stored deadline has passed, and nothing else ends the search.
    """
    from hpsearch.errors import NothingStored
    from hpsearch.results.deadline.stored import deadline_of
    from hpsearch.results.opening import database_for_reading
    from hpsearch.search.ledger import studies
    from hpsearch.study_file.study import OPEN_TRIALS

    budget = head.get("budget")
    trials = budget.get("trials") if isinstance(budget, dict) else None
    if trials is not None and trials != OPEN_TRIALS:
        return []
    if deadline is None:
        stored_as = name or head.get("study")
        try:
            with database_for_reading(storage) as database:
                stored = (
                    studies.find_or_none(database, stored_as)
                    if isinstance(stored_as, str)
                    else None
                )
                before = None if stored is None else deadline_of(database, stored)
        except NothingStored:
            return []
        if before is None:
            return []
        if before.has_passed(now):
            raise UserError(
                f"the deadline of study {stored_as!r} has passed, and it has no budget.trials that "
                "would end the search; give --until, --for or --trials (its result: `hpsearch "
                f"status --study {stored_as}`)"
            )
    return [f"budget.trials={OPEN_TRIALS}"]


def warn_of_little_time(deadline: Deadline, preview: Preview, *, stderr: bool) -> None:
    """Print a warning if the time may be too short.

    Args:
        deadline: The deadline.
        preview: What the launch will do, timed.
        stderr: Whether to print to stderr.

    Raises:
        UserError: As ``little_time``.
    """
    warning = little_time(deadline, preview, time.time())
    if warning is not None:
        say(f"warning: {warning}", style="yellow", stderr=stderr)


def little_time(deadline: Deadline, preview: Preview, now: float) -> str | None:
    """Return a warning if the time may be too short for one training and its confirmation.

    Args:
        deadline: The deadline.
        preview: What the launch will do, timed.
        now: Seconds since 1970.

    Raises:
        UserError: There isn't even time for a report.
    """
    from hpsearch.results.confirmation.spec import FIRST_ROUND
    from hpsearch.results.deadline.forecast import UNKNOWN_REPORT

    workers = preview.allocation.count
    left = (deadline.worker_seconds or 0.0) / workers if deadline.at is None else deadline.at - now
    if left < UNKNOWN_REPORT:
        raise UserError(
            f"a deadline needs time for a report and a bundle, about "
            f"{format_seconds(UNKNOWN_REPORT)}, but there are {format_seconds(max(left, 0.0))}"
        )
    trials = preview.trials - preview.finished
    if preview.time is None or trials < 1:
        return None
    training = preview.time.low * workers / trials
    smallest = 2 * FIRST_ROUND * training / min(workers, FIRST_ROUND)
    total = training + smallest + UNKNOWN_REPORT
    if total <= left:
        return None
    return (
        f"there are {format_seconds(left)} until the deadline, but one training "
        f"({format_seconds(training)}), the smallest confirmation ({format_seconds(smallest)}) and "
        f"the report ({format_seconds(UNKNOWN_REPORT)}) take about {format_seconds(total)}; the "
        "winner may be unconfirmed"
    )
