"""Training one assignment to its end, in one call or in several."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import torch

from hpsearch.errors import TrainingInterrupted
from hpsearch.metrics import EpochEnd, EpochMetrics
from hpsearch.training.engine import train
from hpsearch.workers.retraining.assignment import Assignment
from hpsearch.workers.retraining.progress_file import ProgressFolder
from hpsearch.workers.run_config import RunConfig


def never() -> bool:
    """Return False: training isn't asked to stop."""
    return False


@dataclass
class Session:
    """One training. Iterating over ``epochs()`` trains and fills ``curve`` and ``best``."""

    assignment: Assignment
    #: The folder of the checkpoints; ``None``: none are written.
    folder: ProgressFolder | None = None
    checkpoint_seconds: float = RunConfig.checkpoint_seconds
    should_stop: Callable[[], bool] = never
    #: Every epoch so far, including those of earlier calls.
    curve: list[EpochMetrics] = field(default_factory=list)
    #: ``epoch``, ``value`` and ``weights`` of the epoch whose weights are kept.
    best: dict[str, Any] | None = None
    _state: Mapping[str, Any] | None = None
    #: Whether the last epoch of ``curve`` ends the training.
    _over: bool = False

    def epochs(self) -> Iterator[EpochMetrics]:
        """Train, yielding each new epoch.

        Raises:
            TrainingInterrupted: ``should_stop`` returned True. If there is a folder, the progress
                is saved.
        """
        build_plan = self.assignment.build_plan
        if self._over:
            return
        torch.set_num_threads(build_plan.threads)
        ends = train(
            build_plan.config,
            device=build_plan.device,
            resume_from=self._state,
            data_root=self.assignment.data,
            should_stop=self.should_stop,
        )
        saved_at = time.monotonic()
        with closing(ends):  # type: ignore[type-var]
            try:
                for end in ends:
                    self.curve.append(end.metrics)
                    self._over = end.last or end.epoch >= self.assignment.epochs
                    self._keep(end)
                    if self._over or time.monotonic() - saved_at >= self.checkpoint_seconds:
                        self._save(end.epoch, end.state)
                        saved_at = time.monotonic()
                    yield end.metrics
                    if self._over:
                        return
            except TrainingInterrupted as interrupted:
                self._save(len(self.curve), interrupted.state, part="-part")
                raise

    def ended_before(self) -> bool:
        """Whether an earlier call has trained to the end; if so, ``curve`` is set."""
        history = None if self.folder is None else self.folder.history
        if history is None:
            return False
        self.curve = [EpochMetrics(**metrics) for metrics in history]  # type: ignore[arg-type]
        return True

    def resume(self) -> int:
        """Load the checkpoint of an earlier call; return the number of its epochs."""
        content = None if self.folder is None else self.folder.load()
        if content is None:
            return 0
        self.best = content["kept"]
        self.curve = [EpochMetrics(**metrics) for metrics in content["engine"]["history"]]
        self._over = content["over"]
        self._state = content["engine"]
        return len(self.curve)

    def _keep(self, end: EpochEnd) -> None:
        """Keep the weights of the epoch whose value counts, as a trial of a search does."""
        objective = self.assignment.objective
        value = end.metrics.value(objective.metric)
        best = None if self.best is None else self.best["value"]
        if not objective.counts(value, best, last=self._over):
            return
        self.best = {"epoch": end.epoch, "value": value, "weights": end.state()["model"]}

    def _save(self, epoch: int, state: Callable[[], dict[str, Any]], part: str = "") -> None:
        if self.folder is None:
            return
        content = {"engine": state(), "kept": self.best, "over": self._over}
        self.folder.save(epoch, content, part=part)

    def history(self) -> list[dict[str, Any]]:
        """Return the curve as plain numbers."""
        return [metrics.to_dict() for metrics in self.curve]
