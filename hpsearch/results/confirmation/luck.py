"""How much of a lead is luck with the images that chose the winner.

From many trials, a search picks one that suits its validation images. If all or some of the images
that confirm the winner are the same, a part of that luck is confirmed too: fresh seeds don't help
against it. This is regression to the mean. Over the search's trials, values on these images vary
because of the true quality of the configurations *and* because the images suit some of them better.
Of a lead x over the median (or over another trial), the luck is the images' share of that variance:

    luck = x * variance of one trial's own luck with the images / variance of values over trials.

The first variance is known from the finalists: half of the images' variance of the difference of
two of them. It counts only what splits have in common, so newly drawn splits leave little luck. The
second is the variance of the search's values less the noise of their seeds; if the rest is smaller
than its own standard error, the standard error is used. Both are estimates, and so is the luck: no
value is corrected by it, but intervals are extended.

The rule assumes that luck has the same variance at every level. Shares vary less the nearer they
are to 0 or 1, and the winner is nearer than the median. On the scale of their angle (the arc sine
of the square root) they vary equally, so distances in the search are computed on that scale, and
converted to the winner's level.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean, median

from hpsearch.results.confirmation.spec import Field
from hpsearch.results.confirmation.statistics import Estimate


def field_of(values: Sequence[float]) -> Field:
    """Return the field of ``values``, best first, at least one."""
    middle = median(values)
    better = values[: len(values) // 2]
    squares = [(value - middle) ** 2 for value in better]
    variance = fmean(squares) if squares else 0.0
    return Field(middle=middle, variance=variance, better=len(better))


def at_level_of(confirmed: Estimate, field: Field) -> Field:
    """Return the field of a search, scaled to the level of a confirmed value.

    For a share, its distances are those of angles; otherwise the field is unchanged.
    """
    if not confirmed.share:
        return field
    # A finite number of images can't prove a share of 1, so it counts as half an image less
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
        leads: The winner's paired differences to the other finalists. Without one, the result is 0.
        noise: Standard deviation between seeds, and its degrees of freedom (``plan.seed_noise``).
    """
    deviation, freedom = noise
    if not leads or not field.better or not freedom:
        return 0.0
    images = max(0.0, fmean(lead.images_covariance for lead in leads) / 2)
    error = math.sqrt(2 * field.variance**2 / field.better + 2 * deviation**4 / freedom)
    spread = max(field.variance - deviation**2, error)
    return min(1.0, images / spread) if spread > 0 else 0.0
