"""A study as a whole: what is searched, for how long, and for which objective."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from hpsearch.registry import Component
from hpsearch.study_file.compare import fingerprint
from hpsearch.study_file.goals import Goals, Objective
from hpsearch.study_file.sections import SEEDS, TOP
from hpsearch.study_file.space import Scalar, Space
from hpsearch.study_file.trial_config import (
    CONFIRM_SEED,
    TrialConfig,
    confirming_seed,
    trial_config,
    trial_seed,
)


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How much the study may spend."""

    trials: int
    epochs_per_trial: int
    #: Seconds of a launch; ``None`` is without limit.
    time: float | None = None
    #: Seconds in which a trial that trains must finish a batch; else it hangs.
    trial_timeout: float = 1800.0


@dataclass(frozen=True, kw_only=True)
class Confirm:
    """How the winner is confirmed."""

    #: How many of the best trials are trained again.
    top: int = TOP
    #: Fresh seeds that choose among them, and as many more for the figure of the chosen one.
    seeds: int = SEEDS
    #: The most epochs that this may cost, as a share of those that the search ran.
    share: float | None = None


@dataclass(frozen=True, kw_only=True)
class StudyFile:
    """A valid study file (or a frozen config, which is one without ranges)."""

    name: str
    description: str
    seed: int
    #: The figure that every epoch measures and that rules decide by.
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
    #: The whole study as JSON-like data: defaults filled in, ranges kept, overrides applied.
    #: ``loading.study_from_document`` gives an equal study again. Its order has a meaning
    #: (branches and augmentations), so store it as text and not in a form that sorts keys.
    document: Mapping[str, Any]
    #: Where a frozen config comes from; ``None`` for a study.
    provenance: Mapping[str, Any] | None = None
    #: Share of the trials (0..1) that run on where the pruner would stop them.
    pruner_audit: float = 0.0
    confirm: Confirm = Confirm()
    #: Which finalists of which study are trained again here; ``None`` for a search.
    confirms: Mapping[str, Any] | None = None
    #: Where curves go besides the ledger.
    trackers: tuple[Component, ...] = ()
    #: Who chooses the points that are tried before the sampler has anything to learn from.
    prior: str = "none"
    #: The SHA-256 (hex) of the file that the study's prior is, as the study was created; ``None``
    #: for a prior without a file.
    prior_sha256: str | None = None
    #: Sections that the file leaves to hpsearch. In a stored study they stay as they were stored,
    #: so that a default may change without making its file another question.
    unsaid: frozenset[str] = field(default=frozenset(), compare=False)

    @cached_property
    def goals(self) -> Goals:
        """What trials are compared by: every objective, and the constraints."""
        return Goals.of(self.document)

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of everything that must be equal for trials to belong together."""
        return fingerprint(self.document)

    @property
    def is_frozen(self) -> bool:
        """Whether nothing is left to search."""
        return not self.space.parameters()

    def trial_config(self, params: Mapping[str, Scalar], ticket: int) -> TrialConfig:
        """Return what training is told for the point ``params``.

        The training seed follows from the study's seed and the ticket, and the split from the
        study's seed, or both are the ones that a frozen config recorded: a confirmed winner was
        trained on splits of its own. With ``confirm_seed`` among the parameters, training and
        split follow from the study's seed and that number: the same for every finalist. Raises
        ``KeyError`` where a parameter is missing.
        """
        fresh = params.get(CONFIRM_SEED)
        if fresh is not None:
            return trial_config(
                self.space.freeze(params).config,
                epochs=self.budget.epochs_per_trial,
                split_seed=confirming_seed(self.seed, int(fresh), "split"),
                seed=confirming_seed(self.seed, int(fresh), "training"),
                # The images stay the search's; only their split is drawn anew
                limit_seed=self.seed,
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
        )
