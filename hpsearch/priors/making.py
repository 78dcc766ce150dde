"""The prior that a study names."""

from __future__ import annotations

from pathlib import Path

from hpsearch.errors import UserError
from hpsearch.priors.built import images_in
from hpsearch.priors.learned import LearnedPrior
from hpsearch.priors.prior_file import read
from hpsearch.priors.rule import RulePrior
from hpsearch.search.starts import Starts
from hpsearch.study_file.shipped import file_of, sha256_of
from hpsearch.study_file.study import StudyFile


def starts_of(study: StudyFile, *, data: Path | None = None) -> Starts | None:
    """Return the study's starts, drawn with its prior; ``None`` if it has no prior.

    No images are read and no model is built before the first draw.

    Args:
        study: The study file.
        data: The data root; ``None`` for the default.

    Raises:
        UserError: As ``prior_of``.
    """
    prior = prior_of(study, data=data)
    if prior is None:
        return None
    return Starts(prior, maximize=study.objective.direction == "maximize")


def prior_of(study: StudyFile, *, data: Path | None = None) -> RulePrior | None:
    """Return the prior that ``search.prior`` names; ``None`` if it names none.

    Args:
        study: The study file.
        data: The data root; ``None`` for the default.

    Raises:
        UserError: The prior's file can't be read, or isn't the one that the study was created with.
    """
    if study.prior == "none":
        return None
    images_of = images_in(data, split_seed=study.seed)
    file = file_of(study.prior)
    if file is None:
        return RulePrior(study, images_of)
    try:
        sha256 = sha256_of(study.prior)
    except OSError as error:
        raise UserError(
            f"study {study.name!r}: its prior must be a file that can be read here, but "
            f"{file}: {error.strerror}"
        ) from error
    if study.prior_sha256 not in (None, sha256):
        raise UserError(
            f"study {study.name!r}: its prior must be the file that it was created with (SHA-256 "
            f"{study.prior_sha256:.12}..), but {file} has SHA-256 {sha256:.12}..; restore the "
            "file, or start a study of another name (if the prior comes with hpsearch, use the "
            "version that created the study)"
        )
    return LearnedPrior(
        study, images_of, read(file), file.name if study.prior == str(file) else study.prior
    )
