"""A finished study as examples for a prior: features and ranks of its trials only."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np

from hpsearch.errors import InfeasibleConfig, UserError
from hpsearch.priors.built import ImagesOf, built_optimizer
from hpsearch.priors.features import features
from hpsearch.priors.learned import unit_ranks
from hpsearch.priors.prior_file import PriorExamples
from hpsearch.priors.rule import RulePrior
from hpsearch.results.records import StudyRecord, TrialRecord
from hpsearch.search.database.tables import TicketState
from hpsearch.study_file.study import StudyFile

#: Fewest trials; with fewer, ranks show too little.
LEAST_TRIALS = 20


def examples_of(record: StudyRecord, study: StudyFile, images_of: ImagesOf) -> PriorExamples:
    """Return a study's trials as examples for a prior.

    A trial that was trained for more epochs ranks above one with fewer, as the pruner ranked it; of
    two with equally many, the better one does. Failed trials are last, invalid ones are left out.

    Args:
        record: The study and its trials.
        study: Its study file.
        images_of: Returns the images of a configuration.

    Returns:
        Features and ranks, named as ``name_in_prior`` does.

    Raises:
        UserError: If the study isn't finished, or has too few trials that a prior can judge.
    """
    name = record.study.name
    if not record.is_finished:
        raise UserError(
            f"a prior learns from a finished study, but {name!r} has {record.counts.finished} of "
            f"{record.study.trial_budget} trials; launch it again to finish it"
        )
    judge = RulePrior(study, images_of)
    sign = 1.0 if record.objective.direction == "maximize" else -1.0
    rows, worth, families, sources = [], [], set(), set()
    for trial in record.trials:
        if trial.state is TicketState.INVALID or not trial.params:
            continue
        config = study.trial_config(trial.params, trial.ticket)
        try:
            if judge.unknown_in(config):
                continue
            optimizer, model = built_optimizer(config.optimizer), judge.model_of(config)
            if optimizer is None:
                continue
            rows.append(features(config, optimizer, model, images_of(config.data)))
        except InfeasibleConfig:
            continue
        worth.append(_worth(trial, record.study.epochs_per_trial, sign))
        families.add(optimizer.family)
        sources.add(repr(config.data.source))
    if len(rows) < LEAST_TRIALS:
        raise UserError(
            f"a prior learns from a study with at least {LEAST_TRIALS} usable trials (trained from "
            f"scratch, with SGD, Adam, AdamW or RMSprop), but {name!r} has {len(rows)}"
        )
    order: Mapping[tuple[float, float], int] = {
        trial_worth: place for place, trial_worth in enumerate(sorted(set(worth)))
    }
    features_of = np.stack(rows)
    ranks = unit_ranks([order[trial_worth] for trial_worth in worth]).astype(np.float32)
    return PriorExamples(
        name=name_in_prior(name),
        sha256=hashlib.sha256(features_of.tobytes() + ranks.tobytes()).hexdigest(),
        data_set=hashlib.sha256("/".join(sorted(sources)).encode()).hexdigest()[:12],
        rows=features_of,
        ranks=ranks,
        families=tuple(sorted(families)),
    )


def name_in_prior(study: str) -> str:
    """Return a study's name in a prior, which differs from those of the tables in hpsearch."""
    return f"study {study}"


def _worth(trial: TrialRecord, epochs: int, sign: float) -> tuple[float, float]:
    if trial.state is TicketState.FAILED or trial.value is None:
        return (-1.0, 0.0)
    reached = epochs if trial.state is TicketState.COMPLETE else trial.epochs_done
    return (float(reached), sign * trial.value)
