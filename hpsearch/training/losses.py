"""The loss that a training step minimizes, and the loss that is reported.

The reported loss is always the plain cross-entropy against the images' targets, a mean over
samples. It is the same quantity as the validation loss, whatever the study regularizes or weights.
If images are mixed (mixup, cutmix), their targets are mixed too.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

from hpsearch.training.regularizers import Regularizer


class TrainingLoss:
    """Cross-entropy with softened targets and class weights, if a study uses them.

    A sample counts with the weight of its class. The sum is divided by the number of samples, not
    by their weights, so that a batch of rare images counts more than a batch of common ones, and a
    batch of one image keeps its weight.

    Args:
        regularizers: Those that soften targets are applied in their order.
        class_weights: float (classes,); ``None`` weights all classes equally.
    """

    def __init__(
        self, regularizers: Iterable[Regularizer] = (), class_weights: Tensor | None = None
    ) -> None:
        self._softeners = [
            regularizer.targets for regularizer in regularizers if regularizer.targets is not None
        ]
        self._class_weights = class_weights

    def __call__(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss to minimize and the plain loss (detached), both means over samples.

        Args:
            logits: float32 (n, classes).
            targets: int64 (n,), or float (n, classes) with each class's share.
        """
        if not self._softeners and self._class_weights is None:
            loss = F.cross_entropy(logits, targets)
            return loss, loss.detach()
        if targets.dim() == 1:
            targets = F.one_hot(targets, logits.shape[1]).to(logits.dtype)
        learned = targets
        for soften in self._softeners:
            learned = soften(learned)
        log_probabilities = F.log_softmax(logits, 1)
        losses = -(learned * log_probabilities).sum(1)
        if self._class_weights is not None:
            losses = losses * (targets @ self._class_weights)
        plain = -(targets * log_probabilities.detach()).sum(1)
        return losses.mean(), plain.mean()


def balanced_weights(counts: Tensor) -> Tensor:
    """Return a weight for each class, inverse to its frequency: samples / (classes * count).

    The mean weight over the training images is 1. A class without images gets 0 and isn't counted.

    Args:
        counts: Number of training images of each class, (classes,).
    """
    present = counts > 0
    weights = counts.sum() / (present.sum() * counts.clamp(min=1).double())
    return torch.where(present, weights, 0.0).float()
