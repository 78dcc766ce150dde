"""The progress of a training: a bar on a terminal, otherwise a line per epoch; and its signals."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from hpsearch.cli.terminal.output import console, say
from hpsearch.foreign_text import clean
from hpsearch.leave_signals import leave_signals
from hpsearch.metrics import MetricFormat

if TYPE_CHECKING:
    from hpsearch.metrics import EpochMetrics

#: Columns of a terminal that fit the metrics of training and of validation beside the bar.
_WIDE = 120

#: Called with each epoch.
Tell = Callable[["EpochMetrics"], None]


@contextmanager
def epoch_printer(title: str, epochs: int, done: int, *, quiet: bool) -> Iterator[Tell]:
    """Yield a function that shows each epoch.

    Args:
        title: The title of the bar.
        epochs: The number of epochs of the training.
        done: The number of epochs that earlier calls have trained.
        quiet: Whether nothing is shown.
    """
    if quiet:
        yield lambda result: None
        return
    if not console().is_terminal:
        yield lambda result: say(line(result, epochs))
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    # Rich cuts columns that don't fit, the count of epochs first
    narrow = console().width < _WIDE
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=10 if narrow else 40),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[figures]}", markup=False),
    )
    with Progress(*columns, console=console(), transient=True) as progress:
        bar = progress.add_task(clean(title), total=epochs, completed=done, figures="")

        def tell(result: EpochMetrics) -> None:
            metrics = _metrics_text(result)
            if narrow:
                metrics = metrics[metrics.find("val ") :] if "val " in metrics else metrics
            progress.update(bar, completed=result.epoch, figures=metrics)

        yield tell


def line(result: EpochMetrics, epochs: int) -> str:
    """Return an epoch's metrics on one line."""
    return (
        f"epoch {result.epoch}/{epochs}  {_metrics_text(result)}  lr {result.lr:.3g}  "
        f"{result.seconds:.1f} s"
    )


def _metrics_text(result: EpochMetrics) -> str:
    accuracy = MetricFormat("val_accuracy").value
    loss = MetricFormat("val_loss").value
    text = f"train loss {loss(result.train_loss)}  accuracy {accuracy(result.train_accuracy)}"
    if result.val_loss == result.val_loss:  # not NaN: there are validation images
        text += f"  val loss {loss(result.val_loss)}  accuracy {accuracy(result.val_accuracy)}"
        for name, value in result.others.items():
            text += f"  {name.removeprefix('val_')} {MetricFormat(name).value(value)}"
    return text


@contextmanager
def stopped_by_signals(*, active: bool) -> Iterator[Callable[[], bool]]:
    """Yield whether a signal asked to stop; a second Ctrl-C or SIGTERM has its usual effect."""
    if not active:
        yield lambda: False
        return
    came: list[int] = []
    before = {number: signal.getsignal(number) for number in leave_signals()}

    def note(number: int, frame: FrameType | None) -> None:
        came.append(number)
        for signal_number, handler in before.items():
            if signal_number != signal.SIGHUP:
                signal.signal(signal_number, handler)

    for number in before:
        signal.signal(number, note)
    try:
        yield lambda: bool(came)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
