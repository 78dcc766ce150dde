"""The prior that was learned from recorded tables, combined with the rule of thumb."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.errors import InfeasibleConfig
from hpsearch.priors.built import ImagesOf, built_optimizer
from hpsearch.priors.features import features
from hpsearch.priors.prior_file import Learned
from hpsearch.priors.rule import RulePrior, penalty, rate_optimizer
from hpsearch.study_file.space import Draw
from hpsearch.study_file.study import StudyFile
from hpsearch.study_file.trial_config import TrialConfig


class LearnedPrior(RulePrior):
    """Chooses by the mean of two ranks among the candidates: the rule's and the trees'.

    For an optimizer that isn't in any table, only the rule's rank counts.

    Args:
        study: The study file whose points are judged.
        images_of: Returns the images that a configuration trains on.
        learned: The forest and its examples.
        name: The prior's name in the study file.
    """

    def __init__(self, study: StudyFile, images_of: ImagesOf, learned: Learned, name: str) -> None:
        super().__init__(study, images_of)
        self.name = name
        self._learned = learned

    def choose(self, candidates: Sequence[Draw]) -> tuple[int, bool]:
        """Return the index of the best candidate, and whether the prior chose it.

        Like the rule, it doesn't choose if it can't judge the first candidate that can be built.
        """
        configs = [self.config_of(draw) for draw in candidates]
        beyond = self.beyond(configs)
        if beyond is not None:
            return beyond, False
        scores = self.scores(configs)
        best = int(np.argmax(scores))
        return (0, False) if scores[best] == -math.inf else (best, True)

    def judged_by_rule_alone(self, config: TrialConfig) -> tuple[str, ...]:
        """Return the parts of a configuration that only the rule can judge, such as an optimizer.

        Raises:
            InfeasibleConfig: The optimizer can't be built.
        """
        optimizer = built_optimizer(config.optimizer)
        if optimizer is None or optimizer.family in self._learned.families:
            return ()
        return (f"optimizer {config.optimizer.name}",)

    def scores(self, configs: Sequence[TrialConfig]) -> NDArray[np.float64]:
        """Return the mean rank of each, 0..1, (configs,); minus infinity if it can't judge it."""
        rules, trees = self.opinions(configs)
        by_rule, by_trees = np.isfinite(rules), np.isfinite(trees)
        scores = np.full(len(configs), -math.inf)
        scores[by_rule] = unit_ranks(rules[by_rule])
        scores[by_trees] = (scores[by_trees] + unit_ranks(trees[by_trees])) / 2
        return scores

    def opinions(
        self, configs: Sequence[TrialConfig]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the scores by the rule and by the trees, each (configs,); NaN for none."""
        rules, rows = np.full(len(configs), math.nan), {}
        for place, config in enumerate(configs):
            try:
                optimizer = built_optimizer(config.optimizer)
                if optimizer is None:
                    continue
                model = self.model_of(config)
                if model.pretrained:
                    continue
                row = features(config, optimizer, model, self._images_of(config.data))
            except InfeasibleConfig:
                continue
            rules[place] = rate_optimizer(optimizer, config.batch_size) - penalty(model)
            if optimizer.family in self._learned.families:
                rows[place] = row
        trees = np.full(len(configs), math.nan)
        if rows:
            trees[list(rows)] = self._learned.forest(np.stack(list(rows.values())))
        return rules, trees


def unit_ranks(values: Sequence[Any] | NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each value's rank among all: 0 for the lowest, 1 for the highest.

    Equal values share the mean of their ranks, as with ``scipy.stats.rankdata``, which would cost
    each worker process a second of imports.
    """
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: NDArray[np.float64] = (last - (counts - 1) / 2)[places]
    return (ranks - 1) / max(1, len(values) - 1)
