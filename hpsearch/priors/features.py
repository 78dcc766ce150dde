"""The features of a configuration for a learned prior.

They are read from the built optimizer and model. The learning rate and its effective forms matter
most.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from hpsearch.priors.built import BuiltModel, BuiltOptimizer, Images, mean_lr
from hpsearch.study_file.trial_config import TrialConfig

#: Replaces a weight decay of 0, which has no logarithm.
_NO_DECAY = 1e-8

#: The features in their order. A prior's file contains the names that it was built with.
NAMES = (
    "adaptive", "lr", "momentum", "weight_decay", "decoupled",
    "effective_lr", "effective_lr_per_image", "effective_lr_per_root", "mean_lr",
    "batch", "epochs", "images", "steps",
    "parameters", "multiply_adds", "depth", "convolutions", "normalized", "dropout",
    "saturating", "tanh", "smooth",
)  # fmt: skip


def features(
    config: TrialConfig, optimizer: BuiltOptimizer, model: BuiltModel, images: Images
) -> NDArray[np.float32]:
    """Return the features of a configuration.

    Args:
        config: The configuration.
        optimizer: Its optimizer.
        model: Its model.
        images: The images that it trains on.

    Returns:
        (features,): one number for each of ``NAMES``; the decimal logarithm of quantities that
        vary over orders of magnitude.

    Raises:
        InfeasibleConfig: Optimizer and schedule don't fit together.
    """
    rate, batch = math.log10(optimizer.effective_lr), math.log10(config.batch_size)
    steps = config.epochs * math.ceil(images.training / config.batch_size)
    values: Mapping[str, float] = {
        "adaptive": optimizer.adaptive,
        "lr": math.log10(optimizer.lr),
        "momentum": optimizer.momentum,
        "weight_decay": math.log10(max(_NO_DECAY, optimizer.weight_decay)),
        "decoupled": optimizer.decoupled,
        "effective_lr": rate,
        "effective_lr_per_image": rate - batch,
        "effective_lr_per_root": rate - batch / 2,
        "mean_lr": mean_lr(config),
        "batch": batch,
        "epochs": math.log10(config.epochs),
        "images": math.log10(max(1, images.training)),
        "steps": math.log10(max(1, steps)),
        "parameters": math.log10(max(1.0, model.costs["parameters"])),
        "multiply_adds": math.log10(max(1.0, model.costs["multiply_adds"])),
        "depth": model.depth,
        "convolutions": model.convolutions,
        "normalized": model.normalized,
        "dropout": model.dropout,
        "saturating": model.saturating,
        "tanh": model.tanh,
        "smooth": model.smooth,
    }
    return np.array([values[name] for name in NAMES], dtype=np.float32)
