"""Starts: the points that are drawn before a sampler has anything to learn from.

With a prior (``search.prior``) such a point is the best of ``CANDIDATES`` random ones, as the prior
sees it. Every ``RANDOM_EVERY``-th ticket stays plainly random: what a prior is wrong about must
have its chance, and only so can anybody tell whether its starts are better. If they aren't
(``trust``), the prior is off until they are. All of this follows from the study's seed, the ticket
and the ledger, never from the process.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from hpsearch.search.samplers.enumerated import at_unit
from hpsearch.search.suggest import Request, Sampler
from hpsearch.search.trust import RANDOM, trust_in
from hpsearch.study_file.space import Draw, Parameter, Scalar

#: Random points among which a prior chooses, and which tickets it has no say in.
CANDIDATES, RANDOM_EVERY = 64, 5

#: Draws of a ticket that couldn't be built, after which the next one is left to chance.
MAX_INFEASIBLE = 3


class Prior(Protocol):
    """Judges points by what is known before anything of the study was trained."""

    @property
    def name(self) -> str:
        """As a study file says it."""
        ...

    def choose(self, candidates: Sequence[Draw]) -> tuple[int, bool]:
        """Return the place of one of ``candidates``, and whether the prior had a say in it."""
        ...


@runtime_checkable
class StartsAtRandom(Protocol):
    """A sampler that draws at random as long as there is nothing to learn from."""

    def is_random(self, request: Request) -> bool:
        """Whether this draw would be made at random."""
        ...


class Starts:
    """Draws starts with a prior.

    Args:
        prior: Who chooses.
        maximize: Whether more of the objective is better.
    """

    def __init__(self, prior: Prior, *, maximize: bool) -> None:
        self.prior = prior
        self.maximize = maximize

    def draw(
        self, sampler: Sampler, request: Request, *, ticket: int, infeasible: int
    ) -> tuple[Draw | None, str | None]:
        """Draw a start, if that is what the sampler would draw.

        Args:
            sampler: The study's own.
            request: What it is asked for.
            ticket: Decides whether the prior has a say.
            infeasible: Draws of this ticket that couldn't be built.

        Returns:
            The draw, ``None`` if the sampler is to make it, and the value of ``trust.START``.
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
        place, chosen = self.prior.choose(candidates)
        return candidates[place], self.prior.name if chosen else RANDOM
