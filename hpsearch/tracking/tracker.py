"""The interface of a tracker, and the registry by which a study file names them."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from hpsearch.errors import UserError
from hpsearch.registry import Registry

#: The state of a trial's run: ``paused`` runs continue, the others have ended.
RunState = Literal["complete", "pruned", "failed", "paused"]


@dataclass(frozen=True, kw_only=True)
class TrackedTrial:
    """One trial: one run in a tracker for its whole life, across workers and attempts."""

    study: str
    #: Distinguishes studies of the same name in two databases.
    study_key: str
    #: Optuna's number.
    number: int
    #: Path -> value of each parameter.
    params: Mapping[str, Any]
    #: Seeds of training and split, and other attributes that follow from the configuration.
    facts: Mapping[str, Any]
    #: The metric of the trial's value, such as ``val_accuracy``.
    metric: str
    #: Whether it is a training of a confirmation.
    confirms: bool
    #: Whether this is the first attempt, so that no tracker has the trial.
    is_new: bool = False
    #: The study's own folder below the runs folder.
    folder: Path

    @property
    def run_id(self) -> str:
        """The same for every attempt on this trial, and different for every other trial."""
        return f"{self.study_key}-{self.number}"

    @property
    def name(self) -> str:
        """The trial's name in messages."""
        return f"trial {self.number}"


class Tracker(Protocol):
    """Writes one trial after the other to another tool; all calls come from one thread.

    A call that raises loses only its own point; the first exception is logged. Creating a tracker
    must be quick and use no network: a launch also creates it, to check that it works.
    """

    def begin(self, trial: TrackedTrial) -> int:
        """Open or continue the trial's run; return the last epoch that it has (0: none)."""

    def log(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Add one epoch (1-based) to the open run; epochs come in order, each once."""

    def end(self, state: RunState, value: float | None) -> None:
        """Close the open run; ``value`` is the trial's value, ``None`` if it has none."""

    def close(self) -> None:
        """Release all resources: the worker ends."""


TRACKERS: Registry[Tracker] = Registry("tracker")


def require_package(package: str, tracker: str, extra: str | None = None) -> None:
    """Check that a tracker's package is installed.

    Args:
        package: The package, as it is imported.
        tracker: The tracker's name.
        extra: The extra of hpsearch that installs it; ``None``: the tracker's name.

    Raises:
        UserError: It isn't installed; the message names the extra.
    """
    if importlib.util.find_spec(package) is None:
        raise UserError(
            f"the tracker {tracker} needs the package {package}, which isn't installed; run `pip "
            f"install 'hpsearch[{extra or tracker}]'`, or take {tracker} out of `trackers`"
        )
