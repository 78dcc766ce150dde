"""Trained models on the test images: what is done once, after the search is over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hpsearch.study_file.trial_config import TrialConfig
from hpsearch.training.classifier import Classifier, signature_of
from hpsearch.training.data.prepare import groups_of_test_images, prepare, test_images
from hpsearch.training.evaluate import Evaluation
from hpsearch.training.plan import plan_on


@dataclass(frozen=True, kw_only=True)
class Trained:
    """One training's model, with the weights of ``epoch``."""

    config: TrialConfig
    weights: Mapping[str, Tensor]
    epoch: int
    #: Of a trial of several trainings: whose weights these are, from 0.
    round: int = 0


@dataclass(frozen=True, kw_only=True, eq=False)
class TestResult:
    """What the models said of the test images."""

    __test__ = False  # no test of pytest's

    #: One for each model.
    evaluations: Sequence[Evaluation]
    #: The class of each image, int64 ``(n,)``.
    truth: Tensor
    #: The group of each image, int64 ``(n,)``; ``None`` if the source makes none.
    groups: NDArray[np.int64] | None


def evaluate_on_test(
    models: Sequence[Trained], *, device: str = "cpu", data_root: Path | None = None
) -> TestResult:
    """Open the test images, once, and evaluate each model on them.

    The models' data sections are the same but for their splits. The images are normalised as in
    each one's training, by what was measured on its training images. Raises ``DataError`` where
    the source has no test images, and ``CheckpointError`` where weights are of another model.
    """
    classifiers = [_classifier(each, device, data_root) for each in models]
    # Opened last: nothing can go wrong any more for which one would have to open them again
    images, labels = test_images(models[0].config.data, root=data_root)
    return TestResult(
        evaluations=[each.evaluate(images, labels) for each in classifiers],
        truth=labels,
        groups=groups_of_test_images(models[0].config.data, root=data_root),
    )


def _classifier(trained: Trained, device: str, data_root: Path | None) -> Classifier:
    config = trained.config
    data = prepare(config.data, split_seed=config.split_seed, root=data_root)
    data = data.rounds[trained.round] if data.rounds else data
    plan = plan_on(config, data, torch.device(device))
    signature = signature_of(config, data, plan.precision, epoch=trained.epoch)
    return Classifier(config, signature, trained.weights, device)
