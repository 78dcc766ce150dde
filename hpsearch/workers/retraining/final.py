"""The final training of a search's winner, on all images, before a deadline."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path

from hpsearch import component_registries
from hpsearch.errors import TrainingInterrupted
from hpsearch.results.export.choice import choose
from hpsearch.results.opening import study_of
from hpsearch.results.records import read_study
from hpsearch.search.database.storage import Database
from hpsearch.study_file.loading import study_from_document
from hpsearch.workers.retraining.assignment import plan_single
from hpsearch.workers.retraining.run import Retraining


def train_final(
    study: str, storage: str, folder: Path, data: Path | None, ends: float
) -> str | None:
    """Train the winner on all images into ``folder``, if that ends in time.

    Args:
        study: The name of the search.
        storage: The database's URL.
        folder: The folder of the model; ``hpsearch train --out`` continues in it.
        data: The data root; ``None``: the default one.
        ends: The moment at which the training must have ended, in seconds since 1970.

    Returns:
        Why there is no model; ``None`` if there is one.
    """
    with closing(Database(storage)) as database:
        frozen = choose(database, read_study(database, study), study_of).frozen
    if "loop" in frozen.document:
        return "a study with a training loop of its own has no images for a final training"
    frozen_study = study_from_document(
        frozen.document, component_registries.registries, where="the frozen config"
    )
    assignment = plan_single(
        frozen_study, device=None, threads=None, data=data, trained_on="train+validation"
    )
    with closing(Retraining(assignment, folder)) as retraining:
        if retraining.is_complete:
            return None
        try:
            for _ in retraining.epochs(lambda: time.time() >= ends):
                pass
        except TrainingInterrupted as interruption:
            return (
                f"{interruption}, as the deadline is close; `hpsearch train {study}-best/best.yaml "
                f"--on all --out {folder}` continues"
            )
        retraining.write_model(changed=False)
    return None
