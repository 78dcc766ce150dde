"""An exponential moving average of a model's weights, which reduces the noise of single steps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

#: The length of the average, as a share of an epoch's steps.
HORIZON = 0.5


class WeightAverage:
    """Averages a model's parameters and the statistics of its batch norm layers.

    Batch norm's statistics belong to the weights with which they were measured, so they are
    averaged in the same way. Other buffers may be anything (a mask, a count): they stay the
    model's.

    Args:
        model: Unchanged, except inside ``installed``.
        steps: Steps per epoch. The average covers about ``HORIZON`` of them.
    """

    def __init__(self, model: nn.Module, steps: int) -> None:
        self._keep = 1 - 1 / max(1.0, HORIZON * steps)
        self._tensors: list[Tensor] = [
            parameter for parameter in model.parameters() if parameter.is_floating_point()
        ]
        for layer in model.modules():
            if isinstance(layer, _NormBase):
                statistics = (layer.running_mean, layer.running_var)
                self._tensors += [statistic for statistic in statistics if statistic is not None]
        self._averages = [tensor.detach().clone() for tensor in self._tensors]

    @torch.no_grad()
    def follow(self, step: int) -> None:
        """Add the weights after ``step`` (from 1, over all epochs) to the average.

        The first step counts fully, so that the random initial weights have no part. After ``t``
        steps, the weights of step ``i`` count in proportion to ``keep ** (t - i)``, and all shares
        sum to 1.
        """
        share = (1 - self._keep) / (1 - self._keep**step)
        torch._foreach_lerp_(self._averages, self._tensors, share)

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Swap the average into the model, and the model's own weights back after the block."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        # In place, since others refer to these tensors, such as the optimizer
        own = [tensor.clone() for tensor in self._tensors]
        torch._foreach_copy_(self._tensors, self._averages)
        torch._foreach_copy_(self._averages, own)
