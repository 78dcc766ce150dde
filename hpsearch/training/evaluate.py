"""Loss, accuracy, confusion and predictions of a model in evaluation mode."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hpsearch.training.batches import ImageStore
from hpsearch.training.confusion import balanced_accuracy, confusion, macro_f1
from hpsearch.training.precision import ComputePrecision

#: The most bytes of float32 for the largest layer's output. Above 32 MB the allocator requests each
#: batch's memory from the operating system: at 64 MB a pass took 1.8 times as long on one CPU core.
_ACTIVATION_BYTES = {"cpu": 2**25, "cuda": 2**28, "mps": 2**28}


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Sums over samples, so that evaluations of parts may be added."""

    #: Sum of the samples' cross-entropy losses.
    loss_sum: float
    #: Number of samples classified right.
    correct: int
    samples: int
    #: The predicted class of each sample, int64 (samples,) on the CPU, in the rows' order.
    predictions: Tensor
    #: The cross-entropy loss of each sample, float32 (samples,) on the CPU.
    losses: Tensor
    #: Samples by true class (rows) and predicted class, int64 (classes, classes) on the CPU.
    confusion: Tensor
    #: Softmax of the logits, float64 (samples, classes) on the CPU; ``None`` unless requested.
    probabilities: Tensor | None = None

    @property
    def loss(self) -> float:
        """Mean loss over samples; NaN without samples, as all metrics below."""
        return self.loss_sum / self.samples if self.samples else math.nan

    @property
    def accuracy(self) -> float:
        """Share of samples classified right, 0..1."""
        return self.correct / self.samples if self.samples else math.nan

    @property
    def macro_f1(self) -> float:
        """Mean over classes of F1, 0..1 (see ``training.confusion``)."""
        return macro_f1(self.confusion)

    @property
    def balanced_accuracy(self) -> float:
        """Mean over classes of the share classified right, 0..1 (see ``training.confusion``)."""
        return balanced_accuracy(self.confusion)


class Stopped(Exception):
    """``should_stop`` returned true; nothing was measured."""


def evaluate(
    model: nn.Module,
    pixels: ImageStore,
    labels: Tensor,
    rows: Tensor,
    *,
    batch_size: int,
    precision: ComputePrecision,
    mirrored: bool = False,
    should_stop: Callable[[], bool] = lambda: False,
    probabilities: bool = False,
) -> Evaluation:
    """Evaluate ``model`` on the images at ``rows``: evaluation mode, no gradients, no augmentation.

    All tensors are on one device. The model's mode is restored afterwards.

    Args:
        model: The model.
        pixels: Images by row.
        labels: Class of every image of ``pixels``, int64.
        rows: Rows of the images to evaluate, int64 (n,); may be empty.
        batch_size: Images per batch.
        precision: The precision to compute in.
        mirrored: Whether logits are means of those of an image and of its mirror image.
        should_stop: Called before every batch; true stops the evaluation.
        probabilities: Whether the result contains the probabilities.

    Raises:
        Stopped: If ``should_stop`` returns true.
    """
    if not len(rows):  # not every model accepts an empty batch
        return _nothing()
    logits = logits_of(
        model,
        pixels,
        rows,
        batch_size=batch_size,
        precision=precision,
        mirrored=mirrored,
        should_stop=should_stop,
    )
    with torch.inference_mode():
        truth = labels.index_select(0, rows)
        losses = F.cross_entropy(logits, truth, reduction="none").cpu()
        predictions = logits.argmax(1)
        return Evaluation(
            loss_sum=losses.double().sum().item(),
            correct=int((predictions == truth).sum().item()),
            samples=len(rows),
            predictions=predictions.cpu(),
            losses=losses,
            confusion=confusion(truth, predictions, logits.shape[1]),
            probabilities=logits.cpu().double().softmax(1) if probabilities else None,
        )


def _nothing() -> Evaluation:
    none = torch.empty(0, dtype=torch.int64)
    return Evaluation(
        loss_sum=0.0,
        correct=0,
        samples=0,
        predictions=none,
        losses=none.float(),
        confusion=none.view(0, 0),
    )


def logits_of(
    model: nn.Module,
    pixels: ImageStore,
    rows: Tensor,
    *,
    batch_size: int,
    precision: ComputePrecision,
    mirrored: bool = False,
    should_stop: Callable[[], bool] = lambda: False,
) -> Tensor:
    """Return the logits of the images at ``rows``, float32 (n, classes).

    Evaluation mode, no gradients. The model's mode is restored afterwards.

    Args:
        model: The model.
        pixels: Images by row.
        rows: Rows of the images, int64 (n,), at least one.
        batch_size: Images per batch.
        precision: The precision to compute in.
        mirrored: Whether logits are means of those of an image and of its mirror image.
        should_stop: Called before every batch; true stops the evaluation.

    Raises:
        Stopped: If ``should_stop`` returns true.
    """
    logits, mode = [], model.training
    model.eval()
    try:
        with torch.inference_mode(), autocast(rows.device, precision):
            for part in torch.split(rows, batch_size):
                if should_stop():
                    raise Stopped
                images = pixels.batch(part)
                batch_logits = model(images).float()
                if mirrored:
                    batch_logits = (batch_logits + model(images.flip(3)).float()) / 2
                logits.append(batch_logits)
    finally:
        model.train(mode)
    with torch.inference_mode():
        return torch.cat(logits)


def evaluation_batch(largest_output: int, device: torch.device) -> int:
    """Return the number of samples per batch of an evaluation: 16..1024.

    ``largest_output`` is the number of values in the largest layer output of one sample.
    """
    fitting = _ACTIVATION_BYTES.get(device.type, 2**25) // (4 * max(largest_output, 1))
    return max(16, min(1024, fitting))


def autocast(device: torch.device, precision: ComputePrecision) -> AbstractContextManager[object]:
    """Return the context in which a model computes in ``precision``; it can be reused."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16)
