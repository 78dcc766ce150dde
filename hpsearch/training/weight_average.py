"""An exponential moving average of a model's weights: the noise of single steps averages out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

#: Over how much of an epoch's steps it reaches back.
HORIZON = 0.5


class WeightAverage:
    """Follows a model's parameters, and what its batch norm layers have measured.

    Batch norm's statistics belong to the weights that they were measured with, so they are averaged
    as those are. Other buffers may hold anything (a mask, a count): they stay the model's.

    Args:
        model: Stays as it is but within ``installed``.
        steps: Of an epoch. The average reaches back ``HORIZON`` of them.
    """

    def __init__(self, model: nn.Module, steps: int) -> None:
        self._keep = 1 - 1 / max(1.0, HORIZON * steps)
        self._followed: list[Tensor] = [
            each for each in model.parameters() if each.is_floating_point()
        ]
        for layer in model.modules():
            if isinstance(layer, _NormBase):
                measured = (layer.running_mean, layer.running_var)
                self._followed += [each for each in measured if each is not None]
        self._averages = [each.detach().clone() for each in self._followed]

    @torch.no_grad()
    def follow(self, step: int) -> None:
        """Take in the weights after ``step`` (from 1, over all epochs).

        The first step counts fully: the weights before it, which are random, have no part. After
        ``t`` steps, those of step ``i`` weigh as ``keep ** (t - i)``, and all weights add up to 1.
        """
        share = (1 - self._keep) / (1 - self._keep**step)
        torch._foreach_lerp_(self._averages, self._followed, share)

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Let the model have the average in place of its own weights."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        # By value: others hold these very tensors, the optimizer for one
        own = [each.clone() for each in self._followed]
        torch._foreach_copy_(self._followed, self._averages)
        torch._foreach_copy_(self._averages, own)
