"""Stored studies draw on as they began: the draws of a space without priors, as recorded once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.searching import BRANCHED, FixedHistory, past_trial

from hpsearch.search.samplers import SAMPLERS
from hpsearch.search.suggest import draw_trial
from hpsearch.study_file.space import Scalar

#: Sampler -> case -> the configuration that was drawn before parameters could have priors.
STORED: dict[str, dict[str, dict[str, Scalar]]] = json.loads(
    Path(__file__).with_name("stored_draws.json").read_text()
)


def params(name: str, ticket: int, history: FixedHistory, **others: Any) -> dict[str, Scalar]:
    trial = draw_trial(
        SAMPLERS[name].build(),
        BRANCHED,
        history,
        study_seed=11,
        ticket=ticket,
        infeasible=others.pop("infeasible", 0),
        point=ticket - 1 if name == "qmc" else None,
        **others,
    )
    assert trial is not None
    return dict(trial.params)


def draws(name: str) -> dict[str, dict[str, Scalar]]:
    """Return draws of one sampler: without results, with fifteen trials, and half given."""
    empty = FixedHistory()
    trials = [
        past_trial(n, params("random", n + 1, empty), BRANCHED, value=(7 * n % 15) / 15)
        for n in range(15)
    ]
    full = FixedHistory(trials)
    return {
        "first": params(name, 1, empty),
        "after an infeasible one": params(name, 2, empty, infeasible=1),
        "after fifteen": params(name, 16, full),
        "the next": params(name, 17, full),
        "given in part": params(name, 1, full, try_first=({"batch_size": 64},)),
    }


@pytest.mark.parametrize("name", STORED)
def test_a_space_without_priors_is_drawn_from_as_ever(name):
    points = draws(name)
    assert points.keys() == STORED[name].keys()
    for case, stored in STORED[name].items():
        assert points[case].keys() == stored.keys(), case
        for path, value in stored.items():
            same = pytest.approx(value, rel=1e-9) if isinstance(value, float) else value
            assert points[case][path] == same, (case, path)
