"""Draws near the priors that a person gave to parameters (``{min, max, prior, confidence}``).

The first free ticket takes the priors themselves. Of the later ones, a share takes values near
them, and the sampler draws the other parameters. The share begins at ``SHARE``. It falls as results
disagree: as trials that were drawn near the priors lose against the others. It also falls with
every ticket, if the sampler learns: then the results show where to search. So a wrong prior costs
only a few trials. (The idea is that of PriorBand, Mallik et al. 2023. Theirs compares the densities
of the best trials; here the trials are compared, as for a learned prior: ``trust``.)

All of this follows from the study's seed, the ticket and the ledger. A space without priors is
drawn from as if this module didn't exist.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from optuna.study import StudyDirection

from hpsearch.search.history import TrialHistory
from hpsearch.search.samplers.enumerated import at_unit, unit_of
from hpsearch.search.samplers.sampler import Sampler
from hpsearch.search.trust import trust_in
from hpsearch.seeds import hashed_seed
from hpsearch.study_file.space import Choice, Confidence, Guess, Parameter, Scalar, Space, label

#: The share of draws near the priors before there are results.
SHARE = 0.5

#: Tickets after which a sampler that learns has halved the share.
HALVED_AFTER = 10

#: Infeasible draws of a ticket after which the sampler draws alone.
MAX_INFEASIBLE = 3

#: Confidence -> standard deviation of a number's distance from its prior, on the parameter's scale
#: of 0..1; and how many times as likely as another value a choice's prior is.
WIDTH: Mapping[Confidence, float] = {"low": 0.5, "medium": 0.25, "high": 0.125}
WEIGHT: Mapping[Confidence, float] = {"low": 2.0, "medium": 4.0, "high": 6.0}


@dataclass(frozen=True, kw_only=True)
class GuessedTicket:
    """The draws of one ticket in a space with priors."""

    space: Space
    #: The study's seed.
    seed: int
    ticket: int
    #: The number of the ticket's infeasible draws.
    infeasible: int
    #: Whether the ticket takes the priors themselves.
    is_first: bool
    #: The probability that a draw is near the priors.
    share: float

    def draw(self, repeat: int) -> dict[str, Scalar]:
        """Return values for the parameters with a prior; nothing if the sampler draws them.

        Args:
            repeat: The number of draws of this ticket that repeated an earlier trial.
        """
        guesses = self.space.guesses
        if self.is_first and repeat == 0:
            return {path: label(guess.value) for path, (_, guess) in guesses.items()}
        seed = hashed_seed(self.seed, "prior", self.ticket, self.infeasible, repeat, bits=32)
        rng = np.random.default_rng(seed)
        if rng.random() >= self.share:
            return {}
        return {path: near(parameter, guess, rng) for path, (parameter, guess) in guesses.items()}


def guessed_ticket(
    sampler: Sampler,
    space: Space,
    history: TrialHistory,
    *,
    study_seed: int,
    ticket: int,
    infeasible: int,
    fixed_tickets: int,
) -> GuessedTicket | None:
    """Return how the ticket's draws use the space's priors; ``None`` if it has none.

    Args:
        sampler: The study's sampler.
        space: The search space.
        history: The study's trials so far.
        study_seed: The study's seed.
        ticket: The ticket's number, from 1.
        infeasible: The number of the ticket's infeasible draws.
        fixed_tickets: The number of the study's first tickets, whose values ``try_first`` fixes.
    """
    if not space.guesses:
        return None
    share = 0.0
    if infeasible < MAX_INFEASIBLE:
        maximize = history.directions[0] == StudyDirection.MAXIMIZE
        trust = trust_in(history.guessed(maximize=maximize))
        share = share_of_draws(
            trust.share, tickets=ticket - fixed_tickets - 1 if sampler.learns else 0
        )
    return GuessedTicket(
        space=space,
        seed=study_seed,
        ticket=ticket,
        infeasible=infeasible,
        is_first=ticket == fixed_tickets + 1 and infeasible == 0,
        share=share,
    )


def share_of_draws(better: float | None, *, tickets: int) -> float:
    """Return the share of draws near the priors.

    Args:
        better: The share of pairs in which a trial near the priors is better than another one;
            ``None`` if it isn't known yet.
        tickets: The number of earlier free tickets from which the sampler has learned; 0 if it
            doesn't learn.
    """
    agreement = 1.0 if better is None else min(1.0, 2 * better) ** 2
    return SHARE * agreement * HALVED_AFTER / (HALVED_AFTER + tickets)


def near(parameter: Parameter, guess: Guess, rng: np.random.Generator) -> Scalar:
    """Draw a value near a parameter's prior.

    Args:
        parameter: The parameter.
        guess: Its prior.
        rng: The generator for the draw.
    """
    if isinstance(parameter, Choice):
        weights = np.array(
            [
                WEIGHT[guess.confidence] if value == label(guess.value) else 1.0
                for value in parameter.labels
            ]
        )
        return parameter.labels[int(rng.choice(len(weights), p=weights / weights.sum()))]
    place, width = unit_of(parameter, guess.value), WIDTH[guess.confidence]
    unit = math.inf
    while not 0 <= unit < 1:  # at least a third of all draws are inside
        unit = place + width * float(rng.normal())
    return at_unit(parameter, unit)
