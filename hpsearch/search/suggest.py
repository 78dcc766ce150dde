"""One whole configuration for a ticket, before any row exists.

A draw depends on the study's seed, the ticket and the history, never on the process that makes it.
(One seed in every process would give every process the same start-up points.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from hpsearch.errors import InfeasibleConfig
from hpsearch.search.compact_trial import with_params
from hpsearch.search.guesses import guessed_ticket
from hpsearch.search.history import TrialHistory, distribution_of
from hpsearch.search.samplers.enumerated import covers
from hpsearch.search.samplers.sampler import Request, Sampler
from hpsearch.search.starts import Starts
from hpsearch.seeds import hashed_seed
from hpsearch.study_file.space import Scalar, Space

#: Draws of one ticket after which a repeat of an earlier trial is accepted: a small discrete space
#: may have no new point left.
MAX_REPEATS = 20

#: Random draws after that, if the sampler repeats infeasible configurations. In a space in which
#: one configuration in a hundred is feasible, they miss all of them once in 20,000 times.
MAX_CHANCES = 1000


@dataclass(frozen=True, kw_only=True)
class DrawnTrial:
    """A whole configuration, in Optuna's terms and in the study file's."""

    params: Mapping[str, Scalar]
    distributions: Mapping[str, BaseDistribution]
    config: Mapping[str, Any]
    #: Whether it takes values from ``try_first``.
    from_try_first: bool
    #: What chose a start in a study with a prior (``trust.START``); ``None`` for other draws.
    start: str | None = None
    #: Whether it was drawn near the priors of its parameters (``trust.GUESSED``); ``None`` if none
    #: has a prior, or if it takes values from ``try_first``.
    guessed: bool | None = None


def draw_trial(
    sampler: Sampler,
    space: Space,
    history: TrialHistory,
    *,
    study_seed: int,
    ticket: int,
    infeasible: int,
    point: int | None,
    try_first: tuple[Mapping[str, Scalar], ...] = (),
    chance: Sampler | None = None,
    starts: Starts | None = None,
) -> DrawnTrial | None:
    """Draw the ticket's configuration.

    The first tickets take the values of ``try_first``; if those are infeasible, a free draw. A
    configuration that was tried before is drawn again, up to ``MAX_REPEATS`` times; then a repeat
    is accepted, but never of an infeasible configuration.

    Args:
        sampler: The study's sampler.
        space: The search space.
        history: The study's trials so far.
        study_seed: The study's seed.
        ticket: The ticket's number, from 1.
        infeasible: The number of the ticket's infeasible draws.
        point: The point of an enumerated space; ``None`` for other samplers.
        try_first: The study file's first configurations, whole or in part: path -> stored value.
        chance: A random sampler, which draws if the study's sampler repeats infeasible
            configurations; ``None`` for no such draws.
        starts: Draws with a prior before the sampler has results to learn from; ``None`` without
            a prior.

    Returns:
        The configuration; ``None`` if an enumerated space has none left.

    Raises:
        InfeasibleConfig: Every draw, also of ``chance``, repeats an infeasible configuration.
    """
    is_fixed = ticket <= len(try_first) and infeasible == 0
    fixed = try_first[ticket - 1] if is_fixed else {}
    parameters = space.parameters()
    # One read of the database for all repeats: draws of other workers meanwhile don't matter.
    trials = history.refresh()
    past = [trial for trial in trials if trial.state != TrialState.FAIL]
    tries = MAX_REPEATS if chance is None else MAX_REPEATS + MAX_CHANCES
    guesses = None
    if not is_fixed:
        guesses = guessed_ticket(
            sampler, space, history, study_seed=study_seed, ticket=ticket, infeasible=infeasible,
            fixed_tickets=len(try_first),
        )  # fmt: skip
    repeat = 0
    while repeat < tries:
        current_sampler = sampler if chance is None or repeat < MAX_REPEATS else chance
        if guesses is not None:
            fixed = guesses.draw(repeat) if current_sampler is sampler else {}
        request = Request(
            space=space,
            history=history,
            trials=trials,
            seed=hashed_seed(study_seed, ticket, infeasible, repeat, bits=32),
            study_seed=study_seed,
            fixed=fixed,
            point=point,
        )
        draw, start = None, None
        if starts is not None and current_sampler is sampler and not is_fixed:
            draw, start = starts.draw(sampler, request, ticket=ticket, infeasible=infeasible)
        draw = draw or current_sampler.draw(request)
        if guesses is not None and fixed:
            start = None  # the study's prior didn't choose these values
        if draw is None:
            return None
        # No index: building the keys of ten thousand trials takes longer than comparing them once.
        repeats = [] if sampler.is_enumerated or is_fixed else with_params(past, draw.params)
        if not repeats:
            break
        if repeat + 1 >= MAX_REPEATS and not any(map(_violates, repeats)):
            break
        if repeat == 0 and covers((trial.params for trial in past), space):
            # Every draw repeats an earlier one, so only the last of these draws counts
            repeat = MAX_REPEATS - 2
        repeat += 1
    else:
        raise InfeasibleConfig(
            f"a configuration must be one that can be built, but {tries} draws in a row gave only "
            "configurations that are known not to be; narrow the study's space"
        )
    return DrawnTrial(
        params=draw.params,
        distributions={path: distribution_of(parameters[path]) for path in draw.params},
        config=draw.config,
        from_try_first=is_fixed,
        start=start,
        guessed=None if guesses is None else bool(fixed),
    )


def _violates(trial: FrozenTrial) -> bool:
    # A trial that broke a constraint after training may be repeated like any other
    if trial.state == TrialState.COMPLETE:
        return False
    return any(value > 0 for value in trial.constraints.values())
