"""The comparison of an exported program's logits with the model's, on real images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from hpsearch.errors import ExportFailed
from hpsearch.training.classifier import Classifier

#: Logits may differ by this share of the largest one (at least 1): other programs add in another
#: order.
TOLERANCE = 1e-3

#: Number of real images that are compared.
IMAGES = 64


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """The result of comparing an exported program with the model."""

    images: int
    #: The largest difference of a logit, as a share of the largest logit (at least 1).
    difference: float


def compare(
    program: Callable[[Tensor], Tensor], classifier: Classifier, images: Tensor, what: str
) -> Agreement:
    """Compare ``program``'s logits with the model's in fp32.

    The images pass through the program once in one batch, and once as a batch of one and the rest.

    Args:
        program: Maps images to logits, float32 (n, classes).
        classifier: The model.
        images: Real images, uint8 (n, channels, height, width).
        what: Name of the exported program, for the error.

    Returns:
        The largest difference.

    Raises:
        ExportFailed: If logits differ by more than ``TOLERANCE``, or if the most probable class
            differs although the runner-up is farther away than that.
    """
    expected = classifier.logits(images, "fp32").cpu()
    with torch.inference_mode():
        apart = [program(part) for part in (images[:1], images[1:]) if len(part)]
        answers = [program(images), torch.cat(apart)]
    scale = max(1.0, float(expected.abs().max()))
    difference = max(float((answer - expected).abs().max()) / scale for answer in answers)
    top = expected.topk(2, dim=1).values
    clear = (top[:, 0] - top[:, 1]) / scale > 2 * TOLERANCE
    same = all(bool((a.argmax(1) == expected.argmax(1))[clear].all()) for a in answers)
    # Written so that NaN fails, too
    if not (difference <= TOLERANCE and same):
        raise ExportFailed(
            f"{what} must give the logits of the model up to {TOLERANCE:g} of the largest, but on "
            f"{len(images)} real images they differ by {difference:.2g}; no file was written. "
            "--weights exports every model"
        )
    return Agreement(images=len(images), difference=difference)
