"""What a launch shows: first its cost, then a live table, or lines without a terminal."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hpsearch.cli.terminal.output import (
    console,
    make_table,
    say,
    show_bytes,
    show_time,
    show_time_range,
)
from hpsearch.foreign_text import clean
from hpsearch.formatting import count_noun, format_percent
from hpsearch.metrics import MetricFormat

if TYPE_CHECKING:
    from rich.console import RenderableType

    from hpsearch.workers.launch.preview import Preview
    from hpsearch.workers.launch.progress import Progress, WorkerStatus

#: Seconds between two lines of metrics without a terminal.
QUIET_SECONDS = 30.0

#: How a launch ended, in words.
ENDINGS = {
    "finished": "finished",
    "deadline": "ended for its deadline",
    "stopped": "stopped by `hpsearch stop`",
    "timeout": "out of time",
    "interrupted": "interrupted",
    "left": "ended early: its workers stopped before every trial had ended",
    "stored": "stored, and no worker was started",
    "failed": "given up: workers kept failing (see the messages above)",
}

#: The most messages under the live table.
_MESSAGES_SHOWN = 5


def print_preview(preview: Preview, *, engine: str | None = None, stderr: bool = False) -> None:
    """Print what a launch will do and cost.

    Args:
        preview: The preview.
        engine: The workers of another engine than this machine, in words; ``None``: this machine.
        stderr: Whether to print to stderr.
    """
    left = preview.trials - preview.finished
    state = "new" if preview.new else f"{count_noun(preview.finished, 'trial')} finished before"
    say(f"{preview.study} ({state})", style="bold", stderr=stderr)
    if left <= 0:
        say(
            f"the budget of {count_noun(preview.trials, 'trial')} is finished; --trials asks for "
            "more",
            stderr=stderr,
        )
        return
    devices = ", ".join(
        f"{preview.devices.count(device)} on {device}" for device in dict.fromkeys(preview.devices)
    )
    threads = count_noun(preview.threads_per_worker, "thread")
    if preview.threads_per_worker > 1:  # smaller networks than the sampled ones use one thread
        threads = f"up to {threads}"
    workers = f"workers: {devices}, {threads} each" if devices else "no worker is started"
    if engine is not None:
        workers = f"workers: {engine}"
    if preview.most_per_device is not None:
        workers += f"; up to {preview.most_per_device} on each as long as the throughput rises"
    epochs = f"{preview.epochs_per_trial} epochs"
    if preview.trainings_per_trial > 1:
        epochs = f"{preview.trainings_per_trial} x {epochs}"
    is_open = _is_open(preview.trials)
    trials = "trials until the deadline" if is_open else count_noun(left, "trial")
    say(
        f"{trials} of up to {epochs} over {count_noun(preview.parameters, 'parameter')}; {workers}",
        stderr=stderr,
    )
    if preview.trainings_per_trial > 1:
        say(
            f"each trial trains {preview.trainings_per_trial} models, one for each fold or split: "
            f"{left * preview.epochs_per_trial * preview.trainings_per_trial:,} epochs in all",
            stderr=stderr,
        )
    alone = "" if devices else " with one worker like this machine"
    hours = "its time isn't known"
    if is_open:
        hours = "it ends for its deadline"
    elif preview.time is not None:
        text = show_time_range(preview.time.low, preview.time.high)
        hours = f"{text}{alone} if nothing is pruned"
    say(
        f"{hours}, up to {show_bytes(preview.disk_bytes)} for checkpoints",
        stderr=stderr,
    )
    if not is_open:
        say(preview.completion, stderr=stderr)
    for warning in preview.warnings:
        say(f"warning: {warning}", style="yellow", stderr=stderr)


@contextmanager
def presenter(metric: str, *, stderr: bool = False) -> Iterator[Callable[[Progress], None]]:
    """Yield a function that shows the progress: live on a terminal, otherwise as lines."""
    screen = console(stderr=stderr)
    # A dumb terminal can't move the cursor to draw the page again
    if not screen.is_terminal or screen.is_dumb_terminal:
        yield Lines(metric, stderr=stderr)
        return
    from rich.live import Live

    page = Page(metric)
    with Live(console=screen, auto_refresh=False, transient=True) as live:

        def present(progress: Progress) -> None:
            live.update(page.render(progress, height=screen.height), refresh=True)

        yield present


class Lines:
    """One line per event, and one of metrics every ``QUIET_SECONDS``."""

    def __init__(self, metric: str, *, stderr: bool = False) -> None:
        self._metric = metric
        self._stderr = stderr
        self._printed_at = time.monotonic()

    def __call__(self, progress: Progress) -> None:
        """Print new messages, and the metrics if it is time."""
        for message in progress.messages:
            self._say(progress, message)
        if time.monotonic() - self._printed_at >= QUIET_SECONDS:
            self._printed_at = time.monotonic()
            self._say(progress, _metrics_line(progress, self._metric))

    def _say(self, progress: Progress, text: str) -> None:
        say(f"{time.strftime('%H:%M:%S')} [{_share(progress)}] {text}", stderr=self._stderr)


class Page:
    """A page with metrics, workers and the last messages that fits the screen."""

    def __init__(self, metric: str) -> None:
        self._metric = metric
        self._messages: deque[str] = deque(maxlen=_MESSAGES_SHOWN)

    def render(self, progress: Progress, *, height: int = 50) -> RenderableType:
        """Return the page for ``progress``, with at most ``height`` lines."""
        from rich.console import Group
        from rich.text import Text

        self._messages.extend(progress.messages)
        messages = [
            Text(clean(message), style="dim", no_wrap=True, overflow="ellipsis")
            for message in self._messages
        ]
        head = [Text(line) for line in self._metric_lines(progress)]
        head[0].stylize("bold")
        # On a narrow screen each line of metrics may take two; a table has three lines of its own
        room = max(1, height - 2 * len(head) - len(messages) - 4)
        workers = _by_state(progress.workers)
        rows = workers if len(workers) <= room else workers[: room - 1]
        table = make_table(
            ("worker", "device", "state", "trial", "epoch"),
            [
                (
                    worker.owner if worker.pid is None else str(worker.pid),
                    worker.device,
                    worker.state,
                    worker.number,
                    worker.epoch,
                )
                for worker in rows
            ],
        )
        for column in table.columns:
            # One line each, or the page would be larger than the screen
            column.no_wrap, column.overflow = True, "ellipsis"
        left_out = len(workers) - len(rows)
        more = [Text(f"and {count_noun(left_out, 'worker')} more", style="dim")] if left_out else []
        return Group(*head, *([table] if rows else []), *more, *messages)

    def _metric_lines(self, progress: Progress) -> list[str]:
        counts = progress.counts
        share = f" ({format_percent(counts.pruned / counts.finished)})" if counts.finished else ""
        trials = [
            f"{_share(progress)} finished",
            f"{counts.complete} complete",
            f"{counts.pruned} pruned{share}",
            f"{counts.failed} failed",
            f"{counts.running} running",
        ]
        trials += [f"{counts.waiting} at a rung"] if counts.waiting else []
        lost = counts.paused - counts.waiting
        trials += [f"{lost} paused"] if lost else []
        states = Counter(worker.state for worker in progress.workers)
        best = f"best {self._metric} {_best(progress, self._metric)}"
        pace = [
            *([] if progress.has_no_best else [best]),
            f"{progress.epochs_per_second:.2f} epochs/s",
            f"{show_time(progress.elapsed)} elapsed",
            f"{_left(progress)} left",
        ]
        sentences = [] if progress.deadline is None else [progress.deadline]
        crew = ", ".join(f"{states[state]} {state}" for state in sorted(states))
        return [
            "   ".join(trials),
            "   ".join(pace),
            f"{count_noun(len(progress.workers), 'worker')}" + (f": {crew}" if crew else ""),
            *sentences,
        ]


def _best(progress: Progress, metric: str) -> str:
    if progress.best is None:
        return "-"
    number, value = progress.best
    return f"{MetricFormat(metric).value(value)} ({number})"


def _left(progress: Progress) -> str:
    left = None if _is_open(progress.budget_trials) else progress.seconds_left
    return "-" if left is None else show_time_range(left.low, left.high)


def _is_open(trials: int) -> bool:
    """Whether only a deadline ends the search."""
    from hpsearch.study_file.study import OPEN_TRIALS

    return trials >= OPEN_TRIALS


def _by_state(workers: Sequence[WorkerStatus]) -> list[WorkerStatus]:
    """Sort workers, those that train first, since the page may not have space for all."""
    return sorted(workers, key=lambda worker: worker.state != "training")


def _share(progress: Progress) -> str:
    # Trials that wait at a rung count as tried, since they may never be promoted
    counts = progress.counts
    count = counts.finished + counts.waiting
    return f"{count}" if _is_open(progress.budget_trials) else f"{count}/{progress.budget_trials}"


def _metrics_line(progress: Progress, metric: str) -> str:
    best = "none yet" if progress.best is None else MetricFormat(metric).value(progress.best[1])
    best = "" if progress.has_no_best else f"best {best}; "
    counts = progress.counts
    share = f" ({format_percent(counts.pruned / counts.finished)})" if counts.finished else ""
    return (
        f"{counts.complete} complete, {counts.pruned} pruned{share}, {counts.running} running; "
        f"{best}{progress.epochs_per_second:.2f} epochs/s; "
        f"{_left(progress)} left" + ("" if progress.deadline is None else f"; {progress.deadline}")
    )
