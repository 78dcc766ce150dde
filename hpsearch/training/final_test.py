"""A trained model on the test images: what is done once, after the search is over."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from hpsearch.errors import CheckpointError
from hpsearch.study_file.trial_config import TrialConfig
from hpsearch.training.batches import Pixels
from hpsearch.training.data.prepare import prepare, test_images
from hpsearch.training.evaluate import Evaluation, evaluate, evaluation_batch
from hpsearch.training.plan import plan_on
from hpsearch.training.registries import MODELS


def evaluate_on_test(
    config: TrialConfig,
    weights: Mapping[str, Tensor],
    *,
    device: str = "cpu",
    data_root: Path | None = None,
) -> Evaluation:
    """Open the test images and evaluate a model with ``weights`` on them.

    They are normalised as in training, by what was measured on the training images. Raises
    ``DataError`` where the source has no test images, and ``CheckpointError`` where the weights
    are of another model.
    """
    where = torch.device(device)
    data = prepare(config.data, split_seed=config.split_seed, root=data_root)
    plan = plan_on(config, data, where)
    model = MODELS.build(config.model, plan.input_shape, len(plan.class_names))
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise CheckpointError(
            f"the weights must be those of model {config.model.name!r} as it is configured, but "
            f"they don't fit: {str(error).partition(chr(10))[0]}"
        ) from error
    model.to(where)
    channels_last = plan.model.convolutional
    if channels_last:
        model.to(memory_format=torch.channels_last)
    # Opened last: nothing can go wrong any more for which one would have to open them again
    images, labels = test_images(config.data, root=data_root)
    pixels = Pixels(images, data.mean, data.std, where, channels_last=channels_last)
    return evaluate(
        model,
        pixels,
        labels.to(where),
        torch.arange(len(labels), device=where),
        batch_size=evaluation_batch(plan.model.largest_output, where),
        precision=plan.precision,
    )
