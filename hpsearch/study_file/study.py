"""A study as a whole: what is searched, for how long, and for which objective."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from hpsearch.errors import UserError
from hpsearch.metrics import COSTS
from hpsearch.registry import Component
from hpsearch.study_file.compare import fingerprint
from hpsearch.study_file.goals import Goals, Objective
from hpsearch.study_file.sections import SEEDS, TOP
from hpsearch.study_file.space import Scalar, Space
from hpsearch.study_file.trial_config import (
    CONFIRM_SEED,
    LoopConfig,
    TrialConfig,
    confirming_seed,
    loop_config,
    trial_config,
    trial_seed,
)


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How much the search may use."""

    trials: int
    epochs_per_trial: int
    #: Most seconds of a launch; ``None`` for no limit.
    time: float | None = None
    #: Seconds after which a trial that finished no batch counts as hanging.
    trial_timeout: float = 1800.0
    #: Whether the search ends when little is left to gain (``stop: auto``).
    stops_by_itself: bool = False


#: ``Budget.trials`` of a study that only its deadline ends.
OPEN_TRIALS = 100_000


def trials_of(number: int, budget: int) -> str:
    """Return ``12 of 40 trials``, or ``12 trials`` if only a deadline ends the search."""
    return f"{number} trials" if budget >= OPEN_TRIALS else f"{number} of {budget} trials"


@dataclass(frozen=True, kw_only=True)
class Confirm:
    """How the winner is confirmed."""

    #: How many of the best trials are trained again.
    top: int = TOP
    #: Fresh seeds that choose among them; as many more measure the confirmed value.
    seeds: int = SEEDS
    #: Most epochs of the confirmation, as a share of those that the search ran; ``None`` if no
    #: share is set.
    share: float | None = None


@dataclass(frozen=True, kw_only=True)
class StudyFile:
    """A valid study file (or a frozen config, which is one without ranges)."""

    name: str
    description: str
    seed: int
    #: The metric that is measured after every epoch and that pruners decide by.
    objective: Objective
    budget: Budget
    sampler: Component
    pruner: Component
    space: Space
    #: Path -> stored value, to run before the sampler chooses; missing parameters are sampled.
    try_first: tuple[Mapping[str, Scalar], ...]
    #: The user's own Python files, absolute.
    plugins: tuple[Path, ...]
    #: The file as it was read.
    text: str
    #: The normal form: the whole study as JSON-like data, with defaults, ranges and overrides.
    #: ``loading.study_from_document`` returns an equal study. Its order has a meaning (branches
    #: and augmentations), so store it as text and not in a form that sorts keys.
    document: Mapping[str, Any]
    #: Where a frozen config comes from; ``None`` for a study.
    provenance: Mapping[str, Any] | None = None
    #: Share of the trials (0 to 1) of the pruning audit: they run on if the pruner would stop them.
    pruner_audit: float = 0.0
    confirm: Confirm = Confirm()
    #: Which finalists of which study are trained again here; ``None`` for a search.
    confirms: Mapping[str, Any] | None = None
    #: Which variants of which study's trial are compared here; ``None`` for a search.
    ablates: Mapping[str, Any] | None = None
    #: Trackers, which receive every epoch besides the ledger.
    trackers: tuple[Component, ...] = ()
    #: The prior, which chooses the first points, before the sampler has results.
    prior: str = "none"
    #: The SHA-256 (hex) of the prior's file when the study was created; ``None`` for a prior
    #: without a file.
    prior_sha256: str | None = None
    #: Sections that the file leaves to hpsearch. A stored study keeps its own, so that a new
    #: default doesn't change the study that a file means.
    auto_sections: frozenset[str] = field(default=frozenset(), compare=False)
    #: The recipe that filled sections in when the file was read; a stored study has none.
    recipe: str | None = field(default=None, compare=False)

    @cached_property
    def goals(self) -> Goals:
        """What trials are compared by: every objective, and the constraints."""
        return Goals.of(self.document)

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of everything that must be equal for trials to belong together."""
        return fingerprint(self.document)

    @property
    def is_planned(self) -> bool:
        """Whether its trials follow a plan, as in a confirmation or an ablation."""
        return self.confirms is not None or self.ablates is not None

    @property
    def is_frozen(self) -> bool:
        """Whether nothing is left to search."""
        return not self.space.parameters()

    @property
    def has_loop(self) -> bool:
        """Whether trials are run by a training loop of the user's own."""
        return "loop" in self.document

    def require_known_model(self) -> None:
        """Refuse what needs images and a model, for a study with a loop of its own.

        Raises:
            UserError: The study has a loop.
        """
        if self.has_loop:
            raise UserError(
                f"study {self.name!r} has a training loop of its own (`loop`), so hpsearch knows "
                "neither its images nor its model, and can't do this; see docs/own-loop.md"
            )

    def loop_config(self, params: Mapping[str, Scalar], ticket: int) -> LoopConfig:
        """Return the configuration of the study's own loop, with the seed of ``trial_config``.

        Args:
            params: Path -> stored value, for every parameter that applies.
            ticket: The ticket of the trial, from 1.
        """
        fresh, recorded = params.get(CONFIRM_SEED), (self.provenance or {}).get("trial_seed")
        if fresh is not None:
            seed = confirming_seed(self.seed, int(fresh), "training")
        else:
            seed = trial_seed(self.seed, ticket) if recorded is None else recorded
        return loop_config(
            self.space.freeze(params).config,
            epochs=self.budget.epochs_per_trial,
            seed=seed,
            metrics=tuple(name for name in self.goals.metrics if name not in COSTS),
        )

    def trial_config(self, params: Mapping[str, Scalar], ticket: int) -> TrialConfig:
        """Return the configuration to train for the point ``params``.

        The training seed follows from the study's seed and the ticket, and the split from the
        study's seed, unless a frozen config recorded them, as a confirmed winner has its own
        splits. With ``confirm_seed`` among the parameters, training and split follow from the
        study's seed and that number, which is the same for every finalist.

        Args:
            params: Path -> stored value, for every parameter that applies.
            ticket: The ticket of the trial, from 1.

        Raises:
            KeyError: A parameter is missing.
            UserError: The study has a training loop of its own, so no model that hpsearch knows.
        """
        self.require_known_model()
        fresh = params.get(CONFIRM_SEED)
        if fresh is not None:
            return trial_config(
                self.space.freeze(params).config,
                epochs=self.budget.epochs_per_trial,
                split_seed=confirming_seed(self.seed, int(fresh), "split"),
                seed=confirming_seed(self.seed, int(fresh), "training"),
                # The images are those of the search; only their split is new
                limit_seed=self.seed,
                metrics=self.goals.others,
            )
        recorded = self.provenance or {}
        seed, split_seed = recorded.get("trial_seed"), recorded.get("split_seed")
        own_split = split_seed is not None and split_seed != self.seed
        return trial_config(
            self.space.freeze(params).config,
            epochs=self.budget.epochs_per_trial,
            split_seed=self.seed if split_seed is None else split_seed,
            seed=trial_seed(self.seed, ticket) if seed is None else seed,
            limit_seed=self.seed if own_split else None,
            metrics=self.goals.others,
        )
