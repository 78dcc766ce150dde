"""One whole configuration for a ticket, before any row exists.

A draw depends on the study's seed, the ticket, and what the history holds; never on the process
that makes it. (One seed in every process gives every process the same start-up points.)
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from hpsearch.errors import InfeasibleConfig
from hpsearch.search.distributions import distribution_of as distribution_of
from hpsearch.search.grid_points import covers
from hpsearch.search.history import TrialHistory
from hpsearch.study_file.space import Draw, Scalar, Space

if TYPE_CHECKING:
    from hpsearch.search.starts import Starts

#: Draws of one ticket that may repeat an earlier trial before a repeat is accepted: a small
#: discrete space may have nothing new left.
MAX_REPEATS = 20

#: Random draws after that where the sampler insists on what can't be built. A space of which one
#: configuration in a hundred can be built is left without one by chance once in 20,000 times.
MAX_CHANCES = 1000


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a sampler is asked for."""

    space: Space
    history: TrialHistory
    #: Seeds this one draw.
    seed: int
    #: Seeds what all draws of the study have in common (a permutation, a scrambling).
    study_seed: int
    #: Values that are given already (``try_first``): path -> stored value.
    fixed: Mapping[str, Scalar]
    #: The point of an enumerated space; ``None`` where the sampler needs none.
    point: int | None
    #: What the history holds, by number, where it has just been read.
    trials: list[FrozenTrial] | None = None


class Sampler(Protocol):
    """Chooses where to look next. Holds no state between draws: everything is in the history."""

    #: Whether every draw takes the next point of one shared sequence.
    is_enumerated: bool
    #: Whether a draw follows from earlier results, those from elsewhere among them.
    learns: bool

    def check(self, space: Space) -> None:
        """Raise ``UserError`` where this sampler can't search ``space``."""
        ...

    def draw(self, request: Request) -> Draw | None:
        """Return a point of the space, ``None`` where an enumerated space has none left."""
        ...


@dataclass(frozen=True, kw_only=True)
class DrawnTrial:
    """A whole configuration, in Optuna's terms and in the study file's."""

    params: Mapping[str, Scalar]
    distributions: Mapping[str, BaseDistribution]
    config: Mapping[str, Any]
    #: Whether ``try_first`` gave it.
    given: bool
    #: Of a start in a study with a prior: what chose it (``trust.START``).
    start: str | None = None


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

    The first tickets take what ``try_first`` gives; once that proved infeasible, a free draw.
    A configuration that was tried before is drawn again, up to ``MAX_REPEATS`` times; then a
    repeat is accepted, but never of what is known not to be buildable.

    Args:
        sampler: The study's.
        space: What is searched.
        history: The study's trials so far.
        study_seed: The study's seed.
        ticket: Whose configuration it is.
        infeasible: Counts the ticket's draws that couldn't be built.
        point: The point of an enumerated space.
        try_first: What the study file gives.
        chance: A random sampler, which draws if the study's own insists on what can't be built.
        starts: Draws with a prior before the sampler has anything to learn from.

    Returns:
        The configuration, ``None`` if an enumerated space has none left.

    Raises:
        InfeasibleConfig: ``chance`` found nothing else either.
    """
    given = ticket <= len(try_first) and infeasible == 0
    fixed = try_first[ticket - 1] if given else {}
    parameters = space.parameters()
    # One look at the database for all repeats: what others draw meanwhile is let pass.
    trials = history.refresh()
    past = [trial for trial in trials if trial.state != TrialState.FAIL]
    tries = MAX_REPEATS if chance is None else MAX_REPEATS + MAX_CHANCES
    repeat = 0
    while repeat < tries:
        asked = sampler if chance is None or repeat < MAX_REPEATS else chance
        request = Request(
            space=space,
            history=history,
            trials=trials,
            seed=_seed(study_seed, ticket, infeasible, repeat),
            study_seed=study_seed,
            fixed=fixed,
            point=point,
        )
        draw, start = None, None
        if starts is not None and asked is sampler and not given:
            draw, start = starts.draw(sampler, request, ticket=ticket, infeasible=infeasible)
        draw = draw or asked.draw(request)
        if draw is None:
            return None
        # Looked for anew: keys of ten thousand trials take longer to make than to compare once.
        same = [] if sampler.is_enumerated or given else _with_params(past, draw.params)
        if not same:
            break
        if repeat + 1 >= MAX_REPEATS and not any(map(_violates, same)):
            break
        if repeat == 0 and covers((trial.params for trial in past), space):
            # Whatever is drawn repeats something, so only the last of these draws counts
            repeat = MAX_REPEATS - 2
        repeat += 1
    else:
        raise InfeasibleConfig(
            f"a configuration must be one that can be built, but {tries} draws in a row gave only "
            "such as are known not to be; narrow the study's space"
        )
    return DrawnTrial(
        params=draw.params,
        distributions={path: distribution_of(parameters[path]) for path in draw.params},
        config=draw.config,
        given=given,
        start=start,
    )


def _seed(study_seed: int, ticket: int, infeasible: int, repeat: int) -> int:
    text = f"{study_seed}/{ticket}/{infeasible}/{repeat}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


def _violates(trial: FrozenTrial) -> bool:
    # What was trained and then broke a constraint may come again, as any repeat
    if trial.state == TrialState.COMPLETE:
        return False
    return any(value > 0 for value in trial.constraints.values())


def _with_params(trials: list[FrozenTrial], params: Mapping[str, Scalar]) -> list[FrozenTrial]:
    return [trial for trial in trials if trial.params == params]
