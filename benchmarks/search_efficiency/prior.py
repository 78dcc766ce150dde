"""Builds a prior from recorded tables, and evaluates it on tables of unseen data sets."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from benchmarks.search_efficiency.table import Table
from hpsearch.priors.built import BuiltModel, Images, built_optimizer
from hpsearch.priors.features import features
from hpsearch.priors.learned import LearnedPrior, unit_ranks
from hpsearch.priors.prior_file import Learned, PriorExamples, learned_from, read
from hpsearch.priors.rule import RulePrior
from hpsearch.registry import Component
from hpsearch.study_file.shipped import SHIPPED, file_of
from hpsearch.study_file.study import StudyFile
from hpsearch.study_file.trial_config import TrialConfig


def lessons_of(table: Table, *, every: int = 1) -> PriorExamples:
    """Return features and ranks of a table's configurations; diverged ones are last.

    Args:
        table: The table.
        every: Distance between the rows whose features are returned; the ranks are those of all.
    """
    study, images = table.recorded.study(), table.recorded.images
    judge = RulePrior(study, lambda config: images)
    rows, families = [], set()
    for params in table.params[::every]:
        config = study.trial_config(params, ticket=1)
        optimizer = built_optimizer(config.optimizer)
        if optimizer is None:
            raise ValueError(f"{table.recorded.name} has an optimizer that no prior can judge")
        families.add(optimizer.family)
        rows.append(features(config, optimizer, judge.model_of(config), images))
    ended = [any(len(curve.val_accuracy) == table.epochs for curve in row) for row in table.curves]
    return PriorExamples(
        name=table.recorded.name,
        sha256=sha256_of(table),
        data_set=table.recorded.data_set,
        rows=np.stack(rows),
        ranks=unit_ranks(np.where(ended, table.truth, -1.0)).astype(np.float32),
        families=tuple(sorted(families)),
    )


def sha256_of(table: Table) -> str:
    """Return the SHA-256 of a table's uncompressed rows and study file."""
    folder, name = table.recorded.folder, table.recorded.name
    digest = hashlib.sha256((folder / f"{name}.yaml").read_bytes())
    for kind in ("configurations", "epochs"):
        digest.update(gzip.decompress((folder / f"{name}.{kind}.csv.gz").read_bytes()))
    return digest.hexdigest()


def shipped() -> Learned:
    """Return the newest prior that comes with hpsearch."""
    file = file_of(SHIPPED[-1])
    if file is None:
        raise LookupError(SHIPPED[-1])
    return read(file)


@cache
def unseen_by(data_set: str) -> Learned:
    """Return the shipped prior, built without the tables of a data set."""
    learned = shipped()
    others = [examples for examples in learned.examples if examples.data_set != data_set]
    return learned if len(others) == len(learned.examples) else learned_from(others)


def fair_prior(
    table: Table, study: StudyFile, learned: Learned | None = None, *, reverse: bool = False
) -> LearnedPrior:
    """Return a prior that hasn't seen a table's images, to evaluate it on that table.

    Args:
        table: The table to evaluate it on.
        study: The study whose points it chooses.
        learned: The prior's model; ``None`` for the shipped prior without the table's data set.
        reverse: Whether it prefers the configurations that it expects to be worst, as a wrong prior
            would.

    Raises:
        ValueError: It was built with the table, or with its images.
    """
    recorded = table.recorded
    learned = learned or unseen_by(recorded.data_set)
    for examples in learned.examples:
        if examples.sha256 == sha256_of(table) or examples.data_set == recorded.data_set:
            raise ValueError(
                f"a prior must be judged on images that it never saw, but this one was built with "
                f"{examples.name}, which {recorded.name} shares them with"
            )
    kind = _ReversedPrior if reverse else _QuickPrior
    return kind(study, lambda config: recorded.images, learned, SHIPPED[-1])


class _QuickPrior(LearnedPrior):
    """Builds each net once, since replays request the same ones thousands of times.

    Dropout and the like are rounded to two digits, so that there are fewer nets.
    """

    def model_of(self, config: TrialConfig) -> BuiltModel:
        component = Component(config.model.name, _rounded(config.model.settings))
        key = (repr(component), self._images_of(config.data))
        if key not in _NETS:
            _NETS[key] = super().model_of(replace(config, model=component))
        return _NETS[key]


class _ReversedPrior(_QuickPrior):
    """Chooses the point that the prior expects to be worst."""

    def scores(self, configs: Sequence[TrialConfig]) -> NDArray[np.float64]:
        scores = super().scores(configs)
        return np.where(np.isfinite(scores), 1.0 - scores, scores)


_NETS: dict[tuple[str, Images], BuiltModel] = {}


def _rounded(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _rounded(child) for key, child in value.items()}
    return round(value, 2) if isinstance(value, float) else value


@dataclass(frozen=True, kw_only=True)
class Judged:
    """Rank correlations of scores with the true accuracy, over all configurations of a table."""

    table: str
    rule: float
    trees: float
    both: float


def judge(table: Table, learned: Learned | None = None) -> Judged:
    """Evaluate a prior (``fair_prior``) on a table."""
    study = table.recorded.study()
    prior = fair_prior(table, study, learned)
    configs = [study.trial_config(params, ticket=1) for params in table.params]
    rules, trees = prior.opinions(configs)
    scores, truth = prior.scores(configs), lessons_of(table).ranks

    def correlation(opinions: np.ndarray) -> float:
        is_finite = np.isfinite(opinions)
        return float(spearmanr(opinions[is_finite], truth[is_finite]).statistic)

    return Judged(
        table=table.recorded.name,
        rule=correlation(rules),
        trees=correlation(trees),
        both=correlation(scores),
    )
