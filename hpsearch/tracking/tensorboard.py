"""TensorBoard: a folder per trial under the study's own, ``tensorboard/trial-0017``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hpsearch.tracking.tracker import (
    TRACKERS,
    RunState,
    TrackedTrial,
    require_package,
)


@TRACKERS.register("tensorboard")
class TensorBoard:
    """Event files below the runs folder: `tensorboard --logdir runs`."""

    def __init__(self) -> None:
        require_package("tensorboard", "tensorboard")
        self._writer: Any = None
        self._trial: TrackedTrial | None = None

    def begin(self, trial: TrackedTrial) -> int:
        """Open the trial's folder, and purge incomplete epochs of earlier attempts."""
        from torch.utils.tensorboard import SummaryWriter
        from torch.utils.tensorboard.summary import hparams

        folder = trial.folder / "tensorboard" / f"trial-{trial.number:04d}"
        last = _last_epoch(folder)
        self._trial = trial
        self._writer = SummaryWriter(folder, purge_step=last + 1 if last else None)
        if last == 0:
            settings = {**trial.params, **trial.facts}
            plain_settings = {
                name: value if isinstance(value, bool | int | float | str) else str(value)
                for name, value in settings.items()
            }
            summaries: Any = hparams
            for summary in summaries(plain_settings, {f"final/{trial.metric}": None}):
                self._writer.file_writer.add_summary(summary)
        return last

    def log(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Write one scalar per metric, at step ``epoch``."""
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, epoch)
        self._writer.flush()

    def end(self, state: RunState, value: float | None) -> None:
        """Write the state as text, and an ended trial's value for the table of hparams."""
        if self._writer is None or self._trial is None:
            return
        self._writer.add_text("state", state)
        if value is not None and state != "paused":
            self._writer.add_scalar(f"final/{self._trial.metric}", value)
        self._writer.close()
        self._writer = None

    def close(self) -> None:
        """Write what is left."""
        if self._writer is not None:
            self._writer.close()


def _last_epoch(folder: Path) -> int:
    """Return the last epoch that every metric in ``folder`` has; 0 if there is none."""
    if not folder.is_dir():
        return 0
    from tensorboard.backend.event_processing.event_accumulator import SCALARS, EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={SCALARS: 0})
    events.Reload()
    steps = [
        max(event.step for event in events.Scalars(tag))
        for tag in events.Tags()[SCALARS]
        if not tag.startswith("final/")
    ]
    return min(steps, default=0)
