"""Comparing the trials that a prior chose with others."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from hpsearch.search.database import optuna_rows as rows
from hpsearch.search.database.tables import TicketState, epochs, tickets

#: Starts of both kinds that are compared before a prior may be switched off.
LEAST_COMPARED = 3

#: Tickets whose starts are compared: enough to show whether a prior helps.
TICKETS_COMPARED = 200

#: The attribute of a trial's row that shows how its start was drawn: ``RANDOM`` or a prior's name.
START = "start"

RANDOM = "random"

#: The attribute of a trial's row that shows whether it was drawn near the priors of its parameters
#: (``guesses``); absent in a study without such priors.
GUESSED = "near_prior"


@dataclass(frozen=True, kw_only=True)
class Start:
    """A trial whose point was a start."""

    by_prior: bool
    #: Epoch -> score, from 1 to the last epoch so far; higher is better.
    scores: dict[int, float]
    #: Whether it ended by an error, such as a divergence.
    failed: bool = False


@dataclass(frozen=True, kw_only=True)
class Trust:
    """The comparison of a prior's starts with random ones."""

    #: Starts that can be compared.
    by_prior: int
    random: int
    #: Share of all pairs in which the prior's start is better, at the last epoch that both have
    #: reached; ``None`` before there are enough of both.
    share: float | None

    @property
    def is_lost(self) -> bool:
        """Whether the prior is off now: random starts are better, by more than chance.

        A prior that is off gets no new starts, so it may stay off. A few unlucky starts must not
        cause that: the share must be a standard deviation of Mann and Whitney's below 1/2.
        """
        if self.share is None:
            return False
        both = self.by_prior + self.random
        return self.share < 0.5 - math.sqrt((both + 1) / (12 * self.by_prior * self.random))


def trust_in(starts: Sequence[Start]) -> Trust:
    """Compare a prior's starts with random ones. A failed trial is worse than any other."""
    comparable = [start for start in starts if start.scores or start.failed]
    prior_starts = [start for start in comparable if start.by_prior]
    random_starts = [start for start in comparable if not start.by_prior]
    share = None
    if min(len(prior_starts), len(random_starts)) >= LEAST_COMPARED:
        wins = sum(_wins(one, other) for one in prior_starts for other in random_starts)
        share = wins / (len(prior_starts) * len(random_starts))
    return Trust(by_prior=len(prior_starts), random=len(random_starts), share=share)


def _wins(one: Start, other: Start) -> float:
    """Return 1 if ``one`` is better, 0.5 if they are equal."""
    if one.failed or other.failed:
        return 0.5 * (1 + other.failed - one.failed)
    epoch = min(max(one.scores), max(other.scores))
    score, other_score = one.scores[epoch], other.scores[epoch]
    return 1.0 if score > other_score else 0.5 if score == other_score else 0.0


def read_starts(
    connection: Connection, study_id: int, *, maximize: bool, drawn_by: str = START
) -> list[Start]:
    """Read the starts among the study's first tickets, without invalid trials.

    Args:
        connection: The transaction that reads.
        study_id: Optuna's id of the study.
        maximize: Whether more of the objective is better.
        drawn_by: The attribute that shows how a trial was drawn: ``START`` or ``GUESSED``.
    """
    attrs = rows.TRIAL_USER_ATTRS
    query = (
        sa.select(tickets.c.ticket, tickets.c.state, attrs.c.value_json, epochs.c.epoch,
                  epochs.c.value)
        .join(attrs, sa.and_(attrs.c.trial_id == tickets.c.trial_id, attrs.c.key == drawn_by))
        .outerjoin(
            epochs,
            sa.and_(
                epochs.c.study_id == tickets.c.study_id, epochs.c.ticket == tickets.c.ticket
            ),
        )
        .where(
            tickets.c.study_id == study_id,
            tickets.c.ticket <= TICKETS_COMPARED,
            tickets.c.state != TicketState.INVALID,
        )
        .order_by(tickets.c.ticket, epochs.c.epoch)
    )  # fmt: skip
    sign = 1.0 if maximize else -1.0
    starts: dict[int, Start] = {}
    for ticket, state, origin, epoch, value in connection.execute(query):
        start = starts.setdefault(
            ticket,
            Start(
                by_prior=json.loads(origin) not in (RANDOM, False),
                scores={},
                failed=state == TicketState.FAILED,
            ),
        )
        if epoch is not None:
            start.scores[epoch] = sign * value
    return list(starts.values())
