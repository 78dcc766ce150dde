"""The prior that a study asks for."""

from __future__ import annotations

from pathlib import Path

from hpsearch.priors.built import images_in
from hpsearch.priors.rule import RulePrior
from hpsearch.search.starts import Starts
from hpsearch.study_file.study import StudyFile


def starts_of(study: StudyFile, *, data: Path | None = None) -> Starts | None:
    """Return what draws the study's starts with its prior; ``None`` without one.

    ``data`` is the data root. Nothing is read or built before the first draw.
    """
    prior = prior_of(study, data=data)
    if prior is None:
        return None
    return Starts(prior, maximize=study.objective.direction == "maximize")


def prior_of(study: StudyFile, *, data: Path | None = None) -> RulePrior | None:
    """Return the prior that ``search.prior`` names, ``None`` for none."""
    if study.prior == "none":
        return None
    return RulePrior(study, images_in(data, split_seed=study.seed))
