"""The confusion matrix, and the metrics for classes of unequal size that follow from it.

A matrix counts images, int64 (classes, classes): rows are true classes, columns predicted ones.
Matrices of parts may be added.
"""

from __future__ import annotations

import torch
from torch import Tensor


def confusion(truth: Tensor, predictions: Tensor, classes: int) -> Tensor:
    """Return the confusion matrix, on the CPU.

    Args:
        truth: True classes, int64 (n,).
        predictions: Predicted classes, int64 (n,), on the same device.
        classes: Number of classes.
    """
    cells = torch.bincount(truth * classes + predictions, minlength=classes * classes)
    return cells.view(classes, classes).cpu()


def balanced_accuracy(matrix: Tensor) -> float:
    """Return the mean over classes of the share of their images that were classified right.

    Only classes that have images count, each the same. Random guesses give 1 / classes.
    """
    images, right = matrix.sum(1).double(), matrix.diagonal().double()
    present = images > 0
    return float((right[present] / images[present]).mean())


def macro_f1(matrix: Tensor) -> float:
    """Return the mean over classes of F1 = 2 * TP / (2 * TP + FP + FN).

    Only classes that have images or were predicted count, each the same, as in scikit-learn. A
    class that has images and is never predicted has F1 = 0.
    """
    right = matrix.diagonal().double()
    images_and_predictions = (matrix.sum(0) + matrix.sum(1)).double()  # 2 * TP + FP + FN
    present = images_and_predictions > 0
    return float((2 * right[present] / images_and_predictions[present]).mean())
