"""One training that can be continued: a search's trial, or a frozen config that is trained again.

The session trains, keeps the weights of the epoch that counts, and decides what a checkpoint
contains and when the next one is due. Its caller decides where checkpoints are stored and what else
happens after an epoch: an ``Attempt`` reports to the ledger, a ``Retraining`` writes into a folder.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch

from hpsearch.metrics import EpochEnd
from hpsearch.study_file.goals import Objective
from hpsearch.training.engine import train
from hpsearch.training.loops import run_loop
from hpsearch.workers.trial.build_plan import BuildPlan, LoopBuildPlan


def never() -> bool:
    """Return False: training isn't asked to stop."""
    return False


class TrainingSession:
    """One training of one configuration, from its beginning or from a checkpoint.

    Args:
        build_plan: How the configuration is trained here.
        objective: The metric that decides which epoch's weights are kept.
        data: The data root; ``None``: the default one.
        epochs: Training ends after this epoch; ``None``: after those of the configuration.
        keep_predictions: Whether the epochs contain the predictions of the validation images.
    """

    def __init__(
        self,
        build_plan: BuildPlan | LoopBuildPlan,
        objective: Objective,
        *,
        data: Path | None,
        epochs: int | None = None,
        keep_predictions: bool = False,
    ) -> None:
        self._build_plan, self._objective, self._data = build_plan, objective, data
        self._epochs = build_plan.config.epochs if epochs is None else epochs
        self._keep_predictions = keep_predictions
        #: The engine's state that the training continues from.
        self._state: Mapping[str, Any] | None = None
        #: ``value``, ``epoch`` and ``weights`` of the epoch that gives the training's value: the
        #: best so far, or the last. ``None`` before that epoch.
        self.best: dict[str, Any] | None = None
        self.epochs_done = 0
        #: Whether the training has ended: no epoch is left.
        self.is_over = False
        self._saved_at = time.monotonic()

    def epochs(self, should_stop: Callable[[], bool] = never) -> Iterator[EpochEnd]:
        """Train, yielding the end of each new epoch; PyTorch's number of threads stays set.

        ``EpochEnd.state`` copies the state once per epoch, so that the kept weights and a
        checkpoint share one copy. It is freed when the next epoch begins.

        Args:
            should_stop: Called before every batch; true interrupts the training.

        Raises:
            InfeasibleConfig: The configuration can't be built.
            DataError: The data is missing or can't be used.
            CheckpointError: The checkpoint belongs to another configuration, other images or
                another split.
            TrainingDiverged: A loss isn't finite.
            TrainingInterrupted: ``should_stop`` returned true; it carries the state.
        """
        if self.is_over:
            return
        torch.set_num_threads(self._build_plan.threads)
        with closing(self._engine(should_stop)) as ends:  # type: ignore[type-var]
            for end in ends:
                self.epochs_done = end.epoch
                self.is_over = end.last or end.epoch >= self._epochs
                state = cache(end.state)
                shared = replace(end, last=self.is_over, state=state)
                self._keep(shared)
                yield shared
                state.cache_clear()
                if self.is_over:
                    return

    def content(self, state: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return a checkpoint's content; ``state`` is that of an epoch's end or an interruption."""
        return {"engine": state(), "best": self.best, "over": self.is_over}

    def resume(self, content: Mapping[str, Any]) -> None:
        """Continue from a checkpoint's content; those of earlier versions can be read as well."""
        self._state = content["engine"]
        self.best = content["best"] if "best" in content else content["kept"]
        self.is_over = content.get("over", False)
        self.epochs_done = len(content["engine"]["history"])

    def is_checkpoint_due(self, seconds: float) -> bool:
        """Whether the last checkpoint, or the last try, was at least ``seconds`` ago."""
        return time.monotonic() - self._saved_at >= seconds

    def note_checkpoint(self) -> None:
        """Note that a checkpoint was written or tried now."""
        self._saved_at = time.monotonic()

    def _engine(self, should_stop: Callable[[], bool]) -> Iterator[EpochEnd]:
        build_plan = self._build_plan
        state, self._state = self._state, None  # the engine's copy is enough
        if isinstance(build_plan, LoopBuildPlan):
            engine = partial(run_loop, build_plan.config)
        else:
            engine = partial(train, build_plan.config, keep_predictions=self._keep_predictions)
        return engine(
            device=build_plan.device,
            resume_from=state,
            data_root=self._data,
            should_stop=should_stop,
        )

    def _keep(self, end: EpochEnd) -> None:
        """Keep the weights of the epoch if it gives the training's value."""
        value = end.metrics.value(self._objective.metric)
        best = None if self.best is None else self.best["value"]
        if self._objective.counts(value, best, last=end.last):
            self.best = {"value": value, "epoch": end.epoch, "weights": end.state()["model"]}
