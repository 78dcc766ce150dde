"""What a tracker is, and the registry by which a study file names them."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from hpsearch.errors import UserError
from hpsearch.registry import Registry

#: How a trial's run stands: ``paused`` runs go on, the others have ended.
RunState = Literal["complete", "pruned", "failed", "paused"]


@dataclass(frozen=True, kw_only=True)
class TrackedTrial:
    """One logical trial: one run in a tracker for its whole life, whoever works on it."""

    study: str
    #: Tells studies of one name in two databases apart.
    study_key: str
    #: Optuna's number.
    number: int
    #: Path -> value of what was searched.
    params: Mapping[str, Any]
    #: Seeds of training and split, and what else follows from the configuration alone.
    facts: Mapping[str, Any]
    #: The figure that the trial's value is taken from, such as ``val_accuracy``.
    metric: str
    #: Whether it is a training of a confirmation.
    confirms: bool
    #: Whether this is the first attempt, so that no tracker can know the trial.
    is_new: bool = False
    #: The study's own folder below the runs root.
    folder: Path

    @property
    def run_id(self) -> str:
        """The same for every attempt on this trial, and for no other trial anywhere."""
        return f"{self.study_key}-{self.number}"

    @property
    def name(self) -> str:
        """What people call it."""
        return f"trial {self.number}"


class Tracker(Protocol):
    """Writes trials elsewhere, one after the other; all calls come from one thread of its own.

    Whatever a call raises is told once and costs nothing but the point. Making one must be quick
    and touch no network: it is made at the launch, too, to see whether it can be.
    """

    def begin(self, trial: TrackedTrial) -> int:
        """Open the trial's run, or go on with it; returns the last epoch that it has (0: none)."""

    def log(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Add one epoch (1-based) to the open run; epochs come in order, each once."""

    def end(self, state: RunState, value: float | None) -> None:
        """Close the open run; ``value`` is the trial's objective, as far as there is one."""

    def close(self) -> None:
        """Let go of everything: the worker leaves."""


TRACKERS: Registry[Tracker] = Registry("tracker")


def require_package(package: str, tracker: str, extra: str | None = None) -> None:
    """Raise ``UserError`` naming the extra where ``package`` isn't installed."""
    if importlib.util.find_spec(package) is None:
        raise UserError(
            f"the tracker {tracker} needs the package {package}, which isn't installed here; "
            f"run `pip install 'hpsearch[{extra or tracker}]'`, or take {tracker} out of "
            "`trackers`"
        )
