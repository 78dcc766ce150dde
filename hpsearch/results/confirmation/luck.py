"""How much of a lead is luck with the images that chose the winner.

A search picks, of many trials, one that suits its validation images. If the images that confirm the
pick are the same ones, or partly so, then a part of that luck is confirmed too: fresh seeds don't
help against it. It is regression to the mean. Over the search's trials, figures on these images
spread by what configurations are truly worth *and* by how well the images suit each. Who is ahead
of the middle (or of another trial) by x, is so by luck for the images' share of that spread:

    luck = x * variance of one trial's own luck with the images / variance of figures over trials.

The first variance is known from the finalists: how far images move the difference of two of them,
halved. It counts only what splits have in common, so newly drawn ones leave little luck. The second
is that of the search's values, less the noise of their seeds; a rest that is smaller than its own
standard error isn't known, and counts as that. Both are estimated, and so is the luck: no figure is
corrected by it, but intervals reach as far.

The rule takes it that luck spreads alike at every level. Shares spread less the nearer they are to
0 or 1, and the winner is nearer than the middle. On the scale of their angle (the arc sine of the
square root) they spread alike, so distances of the search are taken there, and brought to what they
would be at the winner's level.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean, median

from hpsearch.results.confirmation.statistics import Estimate


@dataclass(frozen=True, kw_only=True)
class Field:
    """The values of all trials among which the finalists were chosen, in two numbers."""

    #: Their median.
    middle: float
    #: Mean square of how far those better than the median are from it. Those behind it say little
    #: of what it takes to be ahead: a search's failures lie far behind.
    variance: float
    #: How many these are.
    better: int


def field_of(values: Sequence[float]) -> Field:
    """Return the field of ``values``, best first, at least one."""
    middle = median(values)
    better = values[: len(values) // 2]
    squares = [(value - middle) ** 2 for value in better]
    variance = fmean(squares) if squares else 0.0
    return Field(middle=middle, variance=variance, better=len(better))


def at_level_of(confirmed: Estimate, field: Field) -> Field:
    """Return the field of a search as it would be at the level of a confirmed figure.

    For a share its distances are those of angles; otherwise it is the same.
    """
    if not confirmed.share:
        return field
    # No finite number of images makes certain: 1 is half an image less
    independent = confirmed.images if confirmed.groups is None else confirmed.groups
    level = (confirmed.mean * independent + 0.5) / (independent + 1)
    step = 2 * math.sqrt(level * (1 - level))
    middle = _angle(field.middle)
    deviation = step * (_angle(field.middle + math.sqrt(field.variance)) - middle)
    lead = step * (_angle(confirmed.mean) - middle)
    return replace(field, middle=confirmed.mean - lead, variance=deviation**2)


def _angle(share: float) -> float:
    return math.asin(math.sqrt(min(1.0, max(0.0, share))))


def share_of_luck(field: Field, leads: Sequence[Estimate], noise: tuple[float, int]) -> float:
    """Return the share of a lead that is luck with the images, 0..1.

    Args:
        field: Of the search (``at_level_of`` the winner).
        leads: The winner's paired differences to the other finalists. Without one nothing is known.
        noise: Standard deviation between seeds, and its degrees of freedom (``plan.seed_noise``).
    """
    deviation, freedom = noise
    if not leads or not field.better or not freedom:
        return 0.0
    images = max(0.0, fmean(lead.images_covariance for lead in leads) / 2)
    error = math.sqrt(2 * field.variance**2 / field.better + 2 * deviation**4 / freedom)
    spread = max(field.variance - deviation**2, error)
    return min(1.0, images / spread) if spread > 0 else 0.0
