"""256 workers at once: each gets work of its own, and none of it twice."""

from __future__ import annotations

from dataclasses import replace
from statistics import fmean, median

import numpy as np
import pytest
from optuna.study import StudyDirection

from hpsearch.search.history import TrialHistory
from hpsearch.search.ledger.types import TrialRow
from hpsearch.search.samplers import SAMPLERS
from hpsearch.search.samplers.forest import RANDOM_EVERY
from hpsearch.search.suggest import draw_trial
from hpsearch.study_file.space import Group, Range, Space

WORKERS = 256

#: New trials that are drawn at once by the model; each takes a tenth of a second.
MODELLED = 24

#: Points that differ by less in every number are the same to the model.
NEAR = 0.05

CUBE = Space(Group({name: Range(low=0.0, high=1.0) for name in ("x", "y", "z")}))


def value_of(params) -> float:
    """Return 1 in one corner of the cube, 0 in the opposite one."""
    return fmean(params.values())


@pytest.mark.parametrize("prepared_url", ["sqlite"], indirect=True)
def test_many_claimers_at_once_get_distinct_work_and_promotions_follow(search, database):
    opened = search(trials=2 * WORKERS, epochs=9, pruner="asha", space=CUBE)
    hands = [opened.hand(f"worker-{number}") for number in range(WORKERS)]
    history = TrialHistory(database, opened.study_id, StudyDirection.MAXIMIZE, partial=True)
    sampler, points = SAMPLERS["forest"].build(), {}

    def draw(hand, claim):
        drawn = draw_trial(
            sampler, CUBE, history, study_seed=7, ticket=claim.ticket, infeasible=0, point=None
        )
        points[claim.ticket] = drawn.params
        row = TrialRow(
            params=drawn.params, distributions=drawn.distributions, user_attrs={}, system_attrs={}
        )
        trial_id, number = hand.ledger.start(claim, row)
        return replace(claim, trial_id=trial_id, number=number)

    first = [hand.claim() for hand in hands]
    assert [claim.ticket for claim in first] == list(range(1, WORKERS + 1))
    started = [draw(hand, claim) for hand, claim in zip(hands, first, strict=True)]
    answers = [
        hand.report(claim, 1, value_of(points[claim.ticket]))
        for hand, claim in zip(hands, started, strict=True)
    ]

    free = [hand for hand, answer in zip(hands, answers, strict=True) if answer == "paused"]
    held = [hand.claim() for hand in free]
    going_on = [
        claim.ticket for claim, answer in zip(started, answers, strict=True) if answer == "continue"
    ]
    promoted = going_on + [claim.ticket for claim in held if claim.ticket <= WORKERS]
    assert len({claim.ticket for claim in held} | set(going_on)) == WORKERS
    # A third goes on: no fewer, although all came at once, and no more
    assert len(promoted) == WORKERS // 3
    values = {ticket: value_of(points[ticket]) for ticket in range(1, WORKERS + 1)}
    waiting = values.keys() - set(promoted)
    # The very best of them, but for the few that were promoted while few had reported
    best = sorted(values, key=values.__getitem__)[-len(promoted) :]
    assert len(set(best) & set(promoted)) > 0.9 * len(promoted)
    assert median(values[each] for each in waiting) < min(values[each] for each in best)

    new = [(hand, claim) for hand, claim in zip(free, held, strict=True) if claim.ticket > WORKERS]
    assert len(new) == WORKERS - len(promoted)
    drawn = [points[draw(hand, claim).ticket] for hand, claim in new[:MODELLED]]
    tried = np.array([list(params.values()) for params in points.values()])
    near = (np.abs(tried[:, None] - tried[None, -MODELLED:]) <= NEAR).all(axis=2)
    # Nobody has shown anything of these 24 yet, and still they differ; random ones may be near
    assert near[-MODELLED:].sum() <= MODELLED + 2 * MODELLED // RANDOM_EVERY
    assert near[:-MODELLED].sum() <= 2 * MODELLED // RANDOM_EVERY
    assert median(map(value_of, drawn)) > sorted(values.values())[int(0.8 * WORKERS)]
