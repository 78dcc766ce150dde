"""Training loops of the user's own: generators that are registered in ``LOOPS``.

A loop is a generator function. Its keyword-only arguments are the keys of the study file, and it
yields the metrics of each epoch::

    @LOOPS.register("mine")
    def mine(context: LoopContext, /, *, lr: float, width: int = 32):
        '''Trains my network.'''
        model, start = build(width), 0
        if context.state is not None:
            model.load_state_dict(context.state["model"])
            start = context.state["epoch"]
        for epoch in range(start, context.epochs):
            dice = train_one_epoch(model, lr)
            yield Epoch({"val_dice": dice}, state=lambda: {"model": model.state_dict(), ...})

A loop that yields no state is started again after a pause, and the epochs that were reported before
aren't reported again.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch

from hpsearch.errors import CheckpointError, TrainingDiverged, TrainingInterrupted, UserError
from hpsearch.metrics import METRIC_COLUMNS, EpochEnd, EpochMetrics, is_share
from hpsearch.registry import Registry
from hpsearch.study_file.trial_config import LoopConfig
from hpsearch.training.state import copied, fingerprint

#: What a loop yields as its state: the content, or a function that returns it.
LoopState: TypeAlias = Mapping[str, Any] | Callable[[], Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class LoopContext:
    """What a loop gets from hpsearch."""

    #: Name of the device, such as ``cpu`` or ``cuda:0``.
    device: str
    #: The seed of this training. The global generators of PyTorch, NumPy and Python have it.
    seed: int
    #: Epochs of a training that isn't stopped early.
    epochs: int
    #: The state that the loop yielded last; ``None`` to begin at epoch 1.
    state: Mapping[str, Any] | None
    #: Whether the worker must leave. An epoch of more than some minutes should call it now and
    #: then, and return if it is true; each call also shows that the training isn't hanging.
    should_stop: Callable[[], bool] = field(repr=False)
    #: The data folder of the launch; ``None`` is the default one.
    data: Path | None = None


@dataclass(frozen=True)
class Epoch:
    """An epoch of a loop."""

    #: Name -> number: those that the study names, and any others.
    metrics: Mapping[str, float]
    #: What continues the training after this epoch: plain values and tensors. ``None`` if the loop
    #: can't continue.
    state: LoopState | None = None
    #: Whether training ends with this epoch, before ``LoopContext.epochs``.
    last: bool = False


Yielded: TypeAlias = Epoch | Mapping[str, float]

LOOPS: Registry[Iterator[Yielded]] = Registry("training loop")


def run_loop(
    config: LoopConfig,
    *,
    device: str = "cpu",
    resume_from: Mapping[str, Any] | None = None,
    data_root: Path | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[EpochEnd]:
    """Run a loop, yielding the end of each epoch, as ``training.engine.train`` does.

    Args:
        config: The loop and its settings.
        device: Name of the device.
        resume_from: A state to continue from; ``None`` starts at the beginning.
        data_root: Folder of the data; ``None`` is the default one.
        should_stop: Called after every epoch, and by the loop; true interrupts the training.

    Raises:
        CheckpointError: ``resume_from`` belongs to another configuration.
        UserError: The loop yields something else than metrics, lacks one that the study names, or
            ends early without saying so.
        TrainingDiverged: A metric that the study names isn't finite.
        TrainingInterrupted: ``should_stop`` returned true; it carries the state.
    """
    run = _Run(config, resume_from)
    random.seed(config.seed)
    np.random.seed(config.seed % 2**32)
    torch.manual_seed(config.seed)
    stopping = False

    def must_stop() -> bool:
        nonlocal stopping
        stopping = stopping or should_stop()
        return stopping

    context = LoopContext(
        device=device,
        seed=config.seed,
        epochs=config.epochs,
        state=run.own,
        should_stop=must_stop,
        data=data_root,
    )
    epoch = run.done if run.own is not None else 0
    began = time.perf_counter()
    if must_stop():
        raise run.interrupted()
    for yielded in _require_generator(LOOPS.build(config.loop, context), config.loop.name):
        epoch += 1
        if epoch > run.done:
            end = run.end(yielded, epoch, time.perf_counter() - began)
            yield end
            if end.last:
                return
        if must_stop():
            raise run.interrupted()
        began = time.perf_counter()
    if must_stop():
        raise run.interrupted()
    raise UserError(
        f"training loop {config.loop.name!r} must yield once per epoch, but it ended after epoch "
        f"{epoch} of {config.epochs}; yield Epoch(metrics, last=True) to end a training early"
    )


def _require_generator(epochs: Any, name: str) -> Iterable[Any]:
    if not isinstance(epochs, Iterable) or isinstance(epochs, Mapping):
        raise UserError(
            f"training loop {name!r} must be a generator function, which yields the metrics of "
            f"each epoch, but it returned {type(epochs).__name__}"
        )
    return epochs


def _require_plain(value: Any, path: str, name: str) -> None:
    """Raise ``UserError`` if a state has something that a checkpoint can't be read back with."""
    if isinstance(value, dict):
        for key, child in value.items():
            _require_plain(child, f"{path}[{key!r}]", name)
    elif isinstance(value, list | tuple):
        for number, child in enumerate(value):
            _require_plain(child, f"{path}[{number}]", name)
    elif not isinstance(value, torch.Tensor | bool | int | float | str | bytes | None) or (
        isinstance(value, np.generic)  # NumPy's float64 is a float, too
    ):
        raise UserError(
            f"training loop {name!r}: a state may contain tensors, numbers, texts, lists and "
            f"mappings, but {path} is of type {type(value).__name__}; convert it (NumPy's numbers "
            "with .item(), arrays with torch.from_numpy)"
        )


class _Run:
    """How far a loop is, and its state."""

    def __init__(self, config: LoopConfig, state: Mapping[str, Any] | None) -> None:
        self._config, self._identity = config, fingerprint(config)
        self.done = 0
        #: The loop's own state; ``None`` if it yields none.
        self.own: Mapping[str, Any] | None = None
        self.history: list[dict[str, Any]] = []
        #: Returns the checkpoint after the last epoch.
        self.after = self.state
        if state is not None:
            if state.get("config") != self._identity:
                raise CheckpointError(
                    "a checkpoint can be resumed only with the same configuration, but this one is "
                    "of another; start this configuration from the first epoch"
                )
            self.done, self.own = state["epoch"], state["model"]
            self.history = list(state["history"])

    def end(self, yielded: Any, epoch: int, seconds: float) -> EpochEnd:
        """Return the end of an epoch, whose state continues from here."""
        loop_epoch = yielded if isinstance(yielded, Epoch) else Epoch(yielded)
        metrics = self._metrics(loop_epoch.metrics, epoch, seconds)
        last = loop_epoch.last or epoch >= self._config.epochs
        state, self.done, self.own = loop_epoch.state, epoch, None
        self.history = [*self.history, metrics.to_dict()]

        def after() -> dict[str, Any]:
            if self.done != epoch:
                raise RuntimeError(f"the state after epoch {epoch} is no longer available")
            if self.own is None and state is not None:
                own = copied(dict(state() if callable(state) else state))
                _require_plain(own, "state", self._config.loop.name)
                self.own = own
            return self.state()

        self.after = after
        return EpochEnd(metrics=metrics, last=last, state=after)

    def state(self) -> dict[str, Any]:
        """Return a checkpoint's content: ``model`` is the loop's own state."""
        return {
            "config": self._identity,
            "epoch": self.done,
            "history": self.history,
            "model": self.own,
        }

    def interrupted(self) -> TrainingInterrupted:
        """Return the exception that carries the state after the last epoch."""
        return TrainingInterrupted(
            f"training was asked to stop after epoch {self.done}",
            self.after,
        )

    def _metrics(self, metrics: Any, epoch: int, seconds: float) -> EpochMetrics:
        name = self._config.loop.name
        if not isinstance(metrics, Mapping):
            raise UserError(
                f"training loop {name!r} must yield a mapping of metrics, or Epoch(metrics, "
                f"state), but in epoch {epoch} it yielded {type(metrics).__name__}"
            )
        missing = [metric for metric in self._config.metrics if metric not in metrics]
        if missing:
            raise UserError(
                f"training loop {name!r} must yield every metric that the study names, but epoch "
                f"{epoch} lacks {', '.join(missing)}; it yielded {', '.join(metrics) or 'none'}"
            )
        values = {}
        for metric, value in metrics.items():
            try:
                values[str(metric)] = float(value)
            except (TypeError, ValueError):
                if metric in self._config.metrics:
                    raise UserError(
                        f"training loop {name!r}: {metric} must be a number, but in epoch {epoch} "
                        f"it is {value!r}"
                    ) from None
        for metric in self._config.metrics:
            if not math.isfinite(values[metric]):
                raise TrainingDiverged(
                    f"{metric} must be a finite number, but in epoch {epoch} it is {values[metric]}"
                )
            if is_share(metric) and not 0 <= values[metric] <= 1:
                raise UserError(
                    f"training loop {name!r}: the name {metric} means a share from 0 to 1, but in "
                    f"epoch {epoch} it is {values[metric]:g}; divide percent by 100, or use a name "
                    "with another ending"
                )
        columns: dict[str, Any] = dict.fromkeys(METRIC_COLUMNS, math.nan)
        columns |= {metric: values.pop(metric) for metric in list(values) if metric in columns}
        columns |= {"epoch": epoch, "seconds": seconds, "val_seconds": 0.0}
        return EpochMetrics(**columns, others=values)
