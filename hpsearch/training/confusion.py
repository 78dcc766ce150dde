"""The confusion matrix, and the figures for classes of uneven size that follow from it.

A matrix counts images, int64 ``(classes, classes)``: rows are true classes, columns predicted ones.
Matrices of parts may be added up.
"""

from __future__ import annotations

import torch
from torch import Tensor


def confusion(truth: Tensor, predictions: Tensor, classes: int) -> Tensor:
    """Count, on the CPU. Both are int64 ``(n,)``, on one device."""
    cells = torch.bincount(truth * classes + predictions, minlength=classes * classes)
    return cells.view(classes, classes).cpu()


def balanced_accuracy(matrix: Tensor) -> float:
    """Return the mean over classes of the share of their images that were classified right.

    Over the classes that have images, each counting the same. Guessing comes to 1 / classes.
    """
    images, right = matrix.sum(1).double(), matrix.diagonal().double()
    present = images > 0
    return float((right[present] / images[present]).mean())


def macro_f1(matrix: Tensor) -> float:
    """Return the mean over classes of F1 = 2 * TP / (2 * TP + FP + FN).

    Over the classes that have images or were predicted, each counting the same, as in
    scikit-learn; a class that is never predicted has F1 = 0.
    """
    right = matrix.diagonal().double()
    images_and_predictions = (matrix.sum(0) + matrix.sum(1)).double()  # 2 * TP + FP + FN
    known = images_and_predictions > 0
    return float((2 * right[known] / images_and_predictions[known]).mean())
