"""Shows a launch: one changing display in a notebook, and a line per event elsewhere."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable
from typing import Any

from hpsearch.foreign_text import clean
from hpsearch.metrics import MetricFormat
from hpsearch.notebook import html
from hpsearch.workers.launch.progress import Progress

#: Most messages below the display.
_MESSAGES_SHOWN = 5


def shower(study: str, metric: str, *, visible: bool) -> Callable[[Progress], None]:
    """Return a function that shows the progress of a launch.

    Args:
        study: The study's name.
        metric: The objective's metric.
        visible: Whether to show anything; if not, the function does nothing.
    """
    if not visible:
        return lambda progress: None
    return InNotebook(study, metric) if _has_notebook() else _print_lines


def _has_notebook() -> bool:
    """Whether this runs in a notebook and not in IPython's terminal."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and hasattr(shell, "kernel")


def _print_lines(progress: Progress) -> None:
    for message in progress.messages:
        text = f"[{progress.counts.finished}/{progress.budget_trials}] {clean(message)}"
        print(text, flush=True)


class InNotebook:
    """A display that is updated in place."""

    def __init__(self, study: str, metric: str) -> None:
        self._study = study
        self._metric = metric
        self._messages: deque[str] = deque(maxlen=_MESSAGES_SHOWN)
        self._handle: Any = None
        self._last = ""

    def __call__(self, progress: Progress) -> None:
        """Show ``progress``."""
        from IPython.display import HTML, display

        self._messages.extend(progress.messages)
        page = self.render(progress)
        if page == self._last:
            return
        self._last = page
        # IPython's functions aren't annotated
        make: Any = HTML
        show: Any = display
        if self._handle is None:
            self._handle = show(make(page), display_id=True)
        else:
            self._handle.update(make(page))

    def render(self, progress: Progress) -> str:
        """Return the display's HTML."""
        counts = progress.counts
        best = "none yet"
        if progress.best is not None:
            number, value = progress.best
            best = f"trial {number}, {self._metric} {MetricFormat(self._metric).value(value)}"
        left = progress.seconds_left
        text = ""
        if left is not None and left.high > 0:
            low, high = _time(left.low), _time(left.high)
            text = f"; about {high} left" if low == high else f"; {low} to {high} left"
        busy = [worker for worker in progress.workers if worker.number is not None]
        return html.page(
            html.title(f"{self._study}: {counts.finished} of {progress.budget_trials} trials"),
            html.bar(counts.finished / max(progress.budget_trials, 1)),
            html.line(
                f"{counts.complete} complete, {counts.pruned} pruned, {counts.failed} failed, "
                f"{counts.running} running; {progress.epochs_per_second:.2f} epochs/s{text}"
            ),
            *([] if progress.has_no_best else [html.line(f"best: {best}")]),
            html.table(
                ("device", "trial", "epoch"),
                [(worker.device, worker.number, worker.epoch) for worker in busy],
            )
            if busy
            else "",
            *(html.line(message, "soft") for message in self._messages),
        )


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
