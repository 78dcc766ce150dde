"""The arguments and results of the ledger's calls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from optuna.distributions import BaseDistribution

from hpsearch.search.ledger.decision import AuditSample
from hpsearch.search.pruning.promotion import Promotion
from hpsearch.search.pruning.pruners import Pruner
from hpsearch.study_file.goals import Goals


class Idle(StrEnum):
    """Why a claim got no ticket."""

    #: Other workers own the rest; one of them may still die.
    WAIT = "wait"
    #: Every ticket of the budget has ended.
    FINISHED = "finished"
    #: A person asked the study to stop.
    STOPPED = "stopped"
    #: What is left has no time before the study's deadline.
    OUT_OF_TIME = "the time until its deadline is used"


@dataclass(frozen=True, kw_only=True)
class CheckpointRef:
    """A checkpoint that is already safe on disk."""

    #: Relative to the runs root.
    key: str
    sha256: str
    #: Epochs finished in it.
    epoch: int


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A ticket that this worker owns, as it was when the worker claimed it."""

    study_id: int
    ticket: int
    #: The fencing token.
    attempt: int
    #: Optuna's row and the configuration; ``None`` until ``Ledger.start``.
    trial_id: int | None
    number: int | None
    params: Mapping[str, Any] | None
    #: The point of an enumerated space.
    point: int | None
    #: Infeasible draws of this ticket so far.
    infeasible: int
    epochs_done: int
    checkpoint: CheckpointRef | None
    #: Whether the stored configuration can't be read: then no worker can continue the trial.
    damaged: bool = False
    #: How many trials ran when it was claimed.
    running: int = 0


@dataclass(frozen=True, kw_only=True)
class TrialRow:
    """The content of Optuna's row: a whole configuration, drawn before the row exists."""

    params: Mapping[str, Any]
    distributions: Mapping[str, BaseDistribution]
    user_attrs: Mapping[str, Any]
    system_attrs: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class SearchRules:
    """The settings of the study file by which the ledger decides about trials and ends them."""

    metric: str
    maximize: bool
    #: Whether the value of a finished trial is its best epoch's; otherwise the last epoch's.
    best_epoch_counts: bool
    epochs_per_trial: int
    pruner: Pruner
    #: Which trials the pruning audit keeps; by default none.
    audit: AuditSample = field(default_factory=AuditSample)
    #: The goals by which trials are compared; ``None`` if ``metric`` is the only one.
    goals: Goals | None = None
    #: Whether the sampler draws from one shared sequence of points.
    is_enumerated: bool = False
    #: Failures of a ticket without a new epoch in between after which it has FAILED.
    max_failures: int = 3

    @property
    def promotion(self) -> Promotion | None:
        """The rule by which trials pause and are promoted; ``None`` if the pruner stops them."""
        return self.pruner if isinstance(self.pruner, Promotion) else None

    @property
    def rungs(self) -> tuple[int, ...]:
        """Epochs at which a trial may pause, ascending."""
        return () if self.promotion is None else self.promotion.rungs(self.epochs_per_trial)
