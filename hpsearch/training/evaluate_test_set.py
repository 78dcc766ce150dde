"""Evaluates trained models on the test images, once, after the search."""

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
class TrainedModel:
    """The model of one training, with the weights of ``epoch``."""

    config: TrialConfig
    weights: Mapping[str, Tensor]
    epoch: int
    #: The fold or split of the training, from 0, if the trial has several.
    round: int = 0


@dataclass(frozen=True, kw_only=True, eq=False)
class TestResult:
    """The models' results on the test images."""

    __test__ = False  # pytest must not collect it

    #: One per model.
    evaluations: Sequence[Evaluation]
    #: The class of each image, int64 (n,).
    truth: Tensor
    #: The group of each image, int64 (n,); ``None`` if the source has no groups.
    groups: NDArray[np.int64] | None
    #: As ``evaluations``, with the mean logits of each image and its mirror image; empty unless
    #: asked for.
    mirrored: Sequence[Evaluation] = ()


def evaluate_on_test(
    models: Sequence[TrainedModel],
    *,
    device: str = "cpu",
    data_root: Path | None = None,
    mirrored: bool = False,
) -> TestResult:
    """Read the test images once and evaluate each model on them.

    The images are normalised with the statistics of each model's training images.

    Args:
        models: Their data sections differ only in the split.
        device: Name of the device, such as ``cpu`` or ``cuda``.
        data_root: Folder of the data; ``None`` is the default one.
        mirrored: Whether to evaluate with mirror images, too.

    Raises:
        DataError: If the source has no test images.
        CheckpointError: If weights are of another model.
    """
    classifiers = [_classifier(model, device, data_root) for model in models]
    # Read last: an earlier failure would cost one more use of the test images
    images, labels = test_images(models[0].config.data, root=data_root)
    return TestResult(
        evaluations=[classifier.evaluate(images, labels) for classifier in classifiers],
        truth=labels,
        groups=groups_of_test_images(models[0].config.data, root=data_root),
        mirrored=[
            classifier.evaluate(images, labels, mirrored=True)
            for classifier in classifiers
            if mirrored
        ],
    )


def _classifier(model: TrainedModel, device: str, data_root: Path | None) -> Classifier:
    config = model.config
    data = prepare(config.data, split_seed=config.split_seed, root=data_root)
    data = data.rounds[model.round] if data.rounds else data
    plan = plan_on(config, data, torch.device(device))
    signature = signature_of(config, data, plan.precision, epoch=model.epoch)
    return Classifier(config, signature, model.weights, device)
