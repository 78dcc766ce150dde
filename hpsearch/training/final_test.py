"""A trained model on the test images: what is done once, after the search is over."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from hpsearch.study_file.trial_config import TrialConfig
from hpsearch.training.classifier import Classifier, sign
from hpsearch.training.data.prepare import prepare, test_images
from hpsearch.training.evaluate import Evaluation
from hpsearch.training.plan import plan_on


def evaluate_on_test(
    config: TrialConfig,
    weights: Mapping[str, Tensor],
    *,
    epoch: int,
    device: str = "cpu",
    data_root: Path | None = None,
) -> Evaluation:
    """Open the test images and evaluate a model with ``weights`` on them.

    ``epoch`` is the weights'. The images are normalised as in training, by what was measured on
    the training images. Raises ``DataError`` where the source has no test images, and
    ``CheckpointError`` where the weights are of another model.
    """
    data = prepare(config.data, split_seed=config.split_seed, root=data_root)
    plan = plan_on(config, data, torch.device(device))
    classifier = Classifier(
        config, sign(config, data, plan.precision, epoch=epoch), weights, device
    )
    # Opened last: nothing can go wrong any more for which one would have to open them again
    return classifier.evaluate(*test_images(config.data, root=data_root))
