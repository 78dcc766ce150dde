"""A rule of thumb: which learning rates, models and settings usually train well from scratch.

The learning rate decides most: a steady gradient should move a weight by about ``SGD_LR`` of it in
a step, by ``ADAPTIVE_LR`` if steps are divided by the size of the gradients; both for a batch of
``BATCH``, and more with the square root of a larger batch. The score is minus the distance from
that in factors of ten, less the penalties for the model and the weight decay. The constants weren't
fitted to data.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from hpsearch.errors import InfeasibleConfig
from hpsearch.priors.built import BuiltModel, BuiltOptimizer, ImagesOf, built_model, built_optimizer
from hpsearch.study_file.space import Draw
from hpsearch.study_file.study import StudyFile
from hpsearch.study_file.trial_config import TrialConfig, trial_config

SGD_LR, ADAPTIVE_LR, BATCH = 0.3, 1.5e-3, 64

#: The largest harmless weight decay: added to the gradients, and decoupled from them.
MILD_DECAY, MILD_DECOUPLED_DECAY = 1e-3, 0.1

#: Penalties, in factors of ten of the learning rate, for a model without convolutions and for
#: activations that saturate.
DENSE, SATURATING = 0.5, 0.5


class RulePrior:
    """Chooses by the rule of thumb.

    Args:
        study: The study file whose points are judged.
        images_of: Returns the images that a configuration trains on.
    """

    name = "rule"

    def __init__(self, study: StudyFile, images_of: ImagesOf) -> None:
        self._study, self._images_of = study, images_of

    def choose(self, candidates: Sequence[Draw]) -> tuple[int, bool]:
        """Choose among candidates.

        If the rule can't judge the first candidate that can be built, it doesn't choose: so
        such points keep their share of all draws. Of equal candidates the first is the best.

        Returns:
            The index of a candidate, and whether the rule chose it.
        """
        configs = [self.config_of(draw) for draw in candidates]
        beyond = self.beyond(configs)
        if beyond is not None:
            return beyond, False
        rates = [self._rate(config) for config in configs]
        best: tuple[float, int] | None = None
        # A model only lowers a score, so most models needn't be built
        for place in sorted(range(len(configs)), key=lambda place: (-rates[place], place)):
            if best is not None and rates[place] <= best[0]:
                break
            score = rates[place] - self._penalty_of(configs[place])
            if math.isfinite(score) and (best is None or score > best[0]):
                best = (score, place)
        return (0, False) if best is None else (best[1], True)

    def beyond(self, configs: Sequence[TrialConfig]) -> int | None:
        """Return the index of the first one that can be built, if the prior can't judge it."""
        for place, config in enumerate(configs):
            is_known = self.knows(config)
            if is_known is not None:
                return None if is_known else place
        return None

    def config_of(self, draw: Draw) -> TrialConfig:
        """Return the configuration of a training, apart from the seeds."""
        study = self._study
        epochs = study.budget.epochs_per_trial
        return trial_config(draw.config, epochs=epochs, split_seed=study.seed, seed=0)

    def knows(self, config: TrialConfig) -> bool | None:
        """Whether the rule can judge a configuration; ``None`` if that is infeasible."""
        try:
            return not self.unknown_in(config)
        except InfeasibleConfig:
            return None

    def unknown_in(self, config: TrialConfig) -> tuple[str, ...]:
        """Return the parts of a configuration that it can't judge, such as ``optimizer adagrad``.

        Raises:
            InfeasibleConfig: The configuration can't be trained.
        """
        optimizer, model = built_optimizer(config.optimizer), self.model_of(config)
        parts = () if optimizer is not None else (f"optimizer {config.optimizer.name}",)
        return (*parts, f"pretrained {config.model.name}") if model.pretrained else parts

    def judged_by_rule_alone(self, config: TrialConfig) -> tuple[str, ...]:
        """Return the parts of a configuration that only the rule can judge, such as an optimizer.

        Raises:
            InfeasibleConfig: The configuration can't be trained.
        """
        return ()

    def _rate(self, config: TrialConfig) -> float:
        try:
            optimizer = built_optimizer(config.optimizer)
        except InfeasibleConfig:
            return -math.inf
        return -math.inf if optimizer is None else rate_optimizer(optimizer, config.batch_size)

    def _penalty_of(self, config: TrialConfig) -> float:
        try:
            model = self.model_of(config)
        except InfeasibleConfig:
            return math.inf
        return math.inf if model.pretrained else penalty(model)

    def model_of(self, config: TrialConfig) -> BuiltModel:
        """Build a configuration's model.

        Raises:
            InfeasibleConfig: The model can't be built, or its costs break a constraint.
        """
        model = built_model(config.model, self._images_of(config.data))
        if broken := self._study.goals.violated(model.costs):
            raise InfeasibleConfig("; ".join(broken))
        return model


def rate_optimizer(optimizer: BuiltOptimizer, batch_size: int) -> float:
    """Return minus the distance, in factors of ten, from what usually trains well."""
    usual = (ADAPTIVE_LR if optimizer.adaptive else SGD_LR) * math.sqrt(batch_size / BATCH)
    mild = MILD_DECOUPLED_DECAY if optimizer.decoupled else MILD_DECAY
    excess = max(0.0, math.log10(optimizer.weight_decay / mild)) if optimizer.weight_decay else 0.0
    return -abs(math.log10(optimizer.effective_lr / usual)) - excess


def penalty(model: BuiltModel) -> float:
    """Return the penalty for a model, in factors of ten of the learning rate."""
    return DENSE * (not model.convolutional) + SATURATING * model.saturating
