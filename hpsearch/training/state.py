"""Everything that changes while a configuration is trained, and its copy in a checkpoint.

A state (what ``TrainingState.state`` returns) contains only tensors on the CPU, numbers, text,
lists and dictionaries::

    config         fingerprint of the TrialConfig
    data, split    hashes of the prepared images and of their split
    precision      fp32 or bf16, as trained
    epoch          epochs finished
    history        the metrics of each finished epoch
    model          the weights that are evaluated
    raw            the weights that are trained, if those evaluated are an average
    optimizer, schedule
    partial        None after a whole epoch; else the progress in the next one:
                   batches, lr, losses, correct, seconds, and the generators' states

After a whole epoch no generator's state is needed (see ``training.randomness``).
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from hpsearch.errors import CheckpointError
from hpsearch.metrics import EpochMetrics
from hpsearch.registry import Component
from hpsearch.study_file.trial_config import LoopConfig, TrialConfig
from hpsearch.training.early_stopping import is_over
from hpsearch.training.plan import Plan
from hpsearch.training.randomness import OwnRandomness, derived_seed
from hpsearch.training.registries import LR_SCHEDULES, MODELS, OPTIMIZERS
from hpsearch.training.weight_average import WeightAverage

#: Fields with defaults that have always been part of a configuration's fingerprint.
_ALWAYS_COUNTED = frozenset({"validation", "input_size", "limit", "augmentation", "precision"})

#: Keys that PyTorch's optimizers choose by device, but store like settings.
_WAYS_OF_COMPUTING = ("fused", "foreach", "capturable")


class TrainingState:
    """A model in training: weights, optimizer, schedule, random numbers and progress."""

    def __init__(self, config: TrialConfig, plan: Plan, device: torch.device) -> None:
        self._config, self._plan, self._device = config, plan, device
        self.randomness = OwnRandomness(derived_seed(config.seed, "weights"), device)
        with self.randomness.installed():
            # On the CPU first, so that the initial weights don't depend on the device
            self.model = MODELS.build(config.model, plan.input_shape, len(plan.class_names))
        self.model.to(device)
        if plan.model.convolutional:
            self.model.to(memory_format=torch.channels_last)
        self.optimizer = OPTIMIZERS.build(config.optimizer, list(self.model.parameters()))
        self.schedule = LR_SCHEDULES.build(
            config.lr_schedule, self.optimizer, config.epochs, len(plan.batches)
        )
        #: Evaluated in place of the weights; ``None`` if the weights themselves are evaluated.
        self.average = (
            WeightAverage(self.model, len(plan.batches)) if config.evaluate == "ema" else None
        )
        self.augmentation = torch.Generator(device)
        self.history: list[dict[str, Any]] = []
        #: The epoch in progress, 1-based.
        self.epoch = 1
        self.begin_epoch()

    @property
    def is_over(self) -> bool:
        """Whether no epoch is left: all are trained, or it stopped early."""
        losses = [metrics["val_loss"] for metrics in self.history]
        return self.epoch > self._config.epochs or is_over(losses, self._config.early_stopping)

    @property
    def lr(self) -> float:
        """The learning rate of the next step."""
        return float(self.optimizer.param_groups[0]["lr"])

    def begin_epoch(self) -> None:
        """Reset the fields of one epoch."""
        self.first_lr = self.lr
        self.batch = 0
        #: Mean loss of each batch so far.
        self.losses: list[Tensor] = []
        #: Detached logits of each batch since this process began or resumed the epoch.
        self.logits: list[Tensor] = []
        #: The true class of each image of these batches.
        self.truth: list[Tensor] = []
        #: Training images of the epoch classified right before that.
        self.correct_before = 0
        #: Seconds spent on the epoch before that.
        self.seconds_before = 0.0
        self._reseed()

    def end_epoch(self, metrics: EpochMetrics) -> None:
        """Add the epoch's metrics to the history and begin the next epoch."""
        self.history.append(metrics.to_dict())
        self.epoch += 1
        self.begin_epoch()

    def evaluated(self) -> AbstractContextManager[None]:
        """Return the context in which ``model`` has the weights to evaluate."""
        return nullcontext() if self.average is None else self.average.installed()

    def correct(self) -> int:
        """Return the number of the epoch's training images that were classified right so far."""
        if not self.logits:
            return self.correct_before
        predictions = torch.cat([part.argmax(1) for part in self.logits])
        return self.correct_before + int((predictions == torch.cat(self.truth)).sum().item())

    def state(self, seconds: float = 0.0) -> dict[str, Any]:
        """Return a copy of everything; ``seconds`` is the time of the epoch in progress so far."""
        partial = None
        if self.batch:
            partial = {
                "batches": self.batch,
                "lr": self.first_lr,
                "losses": torch.stack(self.losses),
                "correct": self.correct(),
                "seconds": seconds,
                "randomness": self.randomness.state(),
                "augmentation": self.augmentation.get_state(),
            }
        state: dict[str, Any] = copied(
            {
                **self._identity(),
                "precision": self._plan.precision,
                "epoch": self.epoch - 1,
                "history": self.history,
                **self._weights(),
                "optimizer": self.optimizer.state_dict(),
                "schedule": self.schedule.state_dict(),
                "partial": partial,
            }
        )
        return state

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state``.

        Raises:
            CheckpointError: If it belongs to another configuration, other images or another split,
                or doesn't fit the model or optimizer as they are now.
        """
        require_same(state, self._identity())
        state = copied(dict(state))  # training would change the caller's tensors
        # A step without gradients changes nothing. Without it, the schedule would warn that it
        # steps before the optimizer if only the end of the epoch is left.
        self.optimizer.zero_grad()
        self.optimizer.step()
        try:
            with self.evaluated():
                self.model.load_state_dict(state["model"])
            if self.average is not None:
                self.model.load_state_dict(state["raw"])
            self.optimizer.load_state_dict(_computed_here(state["optimizer"], self.optimizer))
            self.schedule.load_state_dict(state["schedule"])
        except (RuntimeError, ValueError, KeyError) as error:
            raise CheckpointError(
                "a checkpoint can be resumed only by the code that wrote it, but its content "
                f"doesn't match model {self._config.model.name!r} or optimizer "
                f"{self._config.optimizer.name!r} as they are now: "
                f"{str(error).partition(chr(10))[0]}"
            ) from error
        self.history = list(state["history"])
        self.epoch = state["epoch"] + 1
        self.begin_epoch()
        partial = state["partial"]
        if partial is not None:
            self.batch = partial["batches"]
            self.first_lr = partial["lr"]
            self.losses = list(partial["losses"].to(self._device))
            self.correct_before = partial["correct"]
            self.seconds_before = partial["seconds"]
            if self.randomness.restore(partial["randomness"]):
                self.augmentation.set_state(partial["augmentation"])
            else:
                self._reseed()  # another kind of device has other random numbers anyway

    def _reseed(self) -> None:
        place = (self.epoch, self.batch)
        self.randomness.reseed(derived_seed(self._config.seed, "dropout", *place))
        self.augmentation.manual_seed(derived_seed(self._config.seed, "augmentation", *place))

    def _weights(self) -> dict[str, Any]:
        if self.average is None:
            return {"model": self.model.state_dict()}
        with self.evaluated():
            evaluated = copied(self.model.state_dict())  # copied before the weights swap back
        return {"model": evaluated, "raw": self.model.state_dict()}

    def _identity(self) -> dict[str, str]:
        return identity(self._config, self._plan.data_hash, self._plan.split_hash)


def _computed_here(state: dict[str, Any], optimizer: Optimizer) -> dict[str, Any]:
    """Return an optimizer's ``state`` with the device-dependent keys of ``optimizer``.

    The state's own values may name kernels that this device doesn't have.
    """
    stored_groups, own_groups = state["param_groups"], optimizer.param_groups
    if len(stored_groups) != len(own_groups):
        return state  # PyTorch refuses it with a reason
    groups = [
        {**group, **{key: own[key] for key in _WAYS_OF_COMPUTING if key in own}}
        for group, own in zip(stored_groups, own_groups, strict=True)
    ]
    return {**state, "param_groups": groups}


def identity(config: TrialConfig, data_hash: str, split_hash: str) -> dict[str, str]:
    """Return the values that must be equal to continue training from a state.

    Args:
        config: The configuration.
        data_hash: Hash of the prepared images.
        split_hash: Hash of their split.
    """
    return {"config": fingerprint(config), "data": data_hash, "split": split_hash}


def require_same(state: Mapping[str, Any], expected: Mapping[str, str]) -> None:
    """Check that ``state`` has the ``expected`` values of ``identity``.

    Raises:
        CheckpointError: If it belongs to another configuration, other images or another split.
    """
    descriptions = {
        "config": "another configuration",
        "data": "other images",
        "split": "another split into training and validation images",
    }
    for key, value in expected.items():
        if state.get(key) != value:
            raise CheckpointError(
                "a checkpoint can be resumed only with the same data and configuration, but this "
                f"one was trained on {descriptions[key]} ({key} {str(state.get(key))[:12]}, not "
                f"{value[:12]}); start this configuration from the first epoch"
            )


def fingerprint(config: TrialConfig | LoopConfig | Component) -> str:
    """Return the SHA-256 (hex) of a configuration, or of one of its components.

    1 and 1.0 are the same number. A field that a later version added is left out while it has its
    default, which is the earlier behaviour: so checkpoints stay valid.
    """
    text = json.dumps(_plain(config), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: _plain(getattr(value, field.name))
            for field in fields(value)
            if field.name in _ALWAYS_COUNTED or getattr(value, field.name) != field.default
        }
    if isinstance(value, Mapping):
        return {str(key): _plain(child) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(child) for child in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    return value


def copied(value: Any) -> Any:
    """Return a copy that later training doesn't change, tensors on the CPU."""
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        duplicate = copy.copy(value)  # keeps the type, and a state_dict's metadata
        for key, child in value.items():
            duplicate[key] = copied(child)
        return duplicate
    if isinstance(value, list | tuple):
        return type(value)(copied(child) for child in value)
    return value
