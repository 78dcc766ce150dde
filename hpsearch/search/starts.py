"""Starts: the points that are drawn before a sampler has results to learn from.

With a prior (``search.prior``) such a point is the best of ``CANDIDATES`` random ones by the
prior's judgement. Every ``RANDOM_EVERY``-th ticket stays random, to correct the prior's errors and
to measure whether its starts are better. If they aren't (``trust``), the prior is off until they
are. All of this follows from the study's seed, the ticket and the ledger, never from the process.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from hpsearch.search.samplers.enumerated import at_unit
from hpsearch.search.samplers.sampler import Request, Sampler
from hpsearch.search.trust import RANDOM, trust_in
from hpsearch.study_file.space import Draw, Parameter, Scalar

#: Random points among which a prior chooses; and one in how many tickets it doesn't choose for.
CANDIDATES, RANDOM_EVERY = 64, 5

#: Infeasible draws of a ticket after which the next one is random.
MAX_INFEASIBLE = 3


class Prior(Protocol):
    """Judges points before any trial of the study was trained."""

    @property
    def name(self) -> str:
        """The name in a study file."""
        ...

    def choose(self, candidates: Sequence[Draw]) -> tuple[int, bool]:
        """Return the index of one of ``candidates``, and whether the prior chose it."""
        ...


@runtime_checkable
class StartsAtRandom(Protocol):
    """A sampler that draws at random while it has no results to learn from."""

    def is_random(self, request: Request) -> bool:
        """Whether this draw would be made at random."""
        ...


class Starts:
    """Draws starts with a prior.

    Args:
        prior: Chooses among random points.
        maximize: Whether more of the objective is better.
    """

    def __init__(self, prior: Prior, *, maximize: bool) -> None:
        self.prior = prior
        self.maximize = maximize

    def draw(
        self, sampler: Sampler, request: Request, *, ticket: int, infeasible: int
    ) -> tuple[Draw | None, str | None]:
        """Draw a start, if the sampler would draw at random.

        Args:
            sampler: The study's sampler.
            request: The request to the sampler.
            ticket: Its number decides whether the prior may choose.
            infeasible: The number of infeasible draws of this ticket.

        Returns:
            The draw, ``None`` if the sampler must make it; and the value of ``trust.START``,
            ``None`` if it isn't a start.
        """
        if not (isinstance(sampler, StartsAtRandom) and sampler.is_random(request)):
            return None, None
        if ticket % RANDOM_EVERY == 0 or infeasible >= MAX_INFEASIBLE:
            return None, RANDOM
        if trust_in(request.history.starts(maximize=self.maximize)).is_lost:
            return None, RANDOM
        rng = np.random.default_rng(request.seed)

        def suggest(path: str, parameter: Parameter) -> Scalar:
            if path in request.fixed:
                return request.fixed[path]
            return at_unit(parameter, float(rng.random()))

        candidates = [request.space.draw(suggest) for _ in range(CANDIDATES)]
        place, by_prior = self.prior.choose(candidates)
        return candidates[place], self.prior.name if by_prior else RANDOM
