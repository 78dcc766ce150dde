"""Every sampler draws inside every space, the same for the same ticket, and learns."""

from __future__ import annotations

import logging
import math
import random as stdlib_random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optuna.study import StudyDirection
from optuna.trial import TrialState
from support.searching import BRANCHED, LINE, FixedHistory, past_trial
from support.spaces import assert_inside, spaces

from hpsearch.search.samplers import SAMPLERS
from hpsearch.search.samplers.sampler import Request
from hpsearch.study_file.space import Branch, Choice, Group, Range, Space

#: Draws are pure functions, but the first one imports Optuna's machinery.
unhurried = settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)


def draw(name, space, history=None, *, seed=1, fixed=None, point=None, **options):
    sampler = SAMPLERS[name].build(**options)
    request = Request(
        space=space,
        history=history or FixedHistory(),
        seed=seed,
        study_seed=7,
        fixed=fixed or {},
        point=point,
    )
    return sampler.draw(request)


@pytest.fixture
def one_thread():
    """Optuna's GP runs on torch, whose threads get in each other's way on small problems."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


pytestmark = pytest.mark.usefixtures("one_thread")


def random_history(space: Space, count: int, *, seed: int = 0) -> FixedHistory:
    """Trials in every state, with made-up values; draws that couldn't be built among them."""
    rng = stdlib_random.Random(seed)
    trials = []
    for number in range(count):
        params = draw("random", space, seed=rng.randrange(2**32)).params
        kind = number % 5
        trials.append(
            past_trial(
                number,
                params,
                space,
                value=None if kind in (2, 3) else rng.random(),
                state=[
                    TrialState.COMPLETE,
                    TrialState.PRUNED,
                    TrialState.RUNNING,
                    TrialState.PRUNED,
                    TrialState.COMPLETE,
                ][kind],
                infeasible=kind == 3,
            )
        )
    return FixedHistory(trials)


def test_registered_names():
    assert SAMPLERS.names() == ["forest", "gp", "grid", "qmc", "random", "tpe"]
    enumerating = [name for name in SAMPLERS.names() if SAMPLERS[name].build().is_enumerated]
    assert enumerating == ["grid", "qmc"]


@pytest.mark.parametrize("name", ["forest", "random", "tpe", "qmc"])
@given(space=spaces, seed=st.integers(0, 2**32 - 1))
@unhurried
def test_first_draws_lie_inside_every_space(name, space, seed):
    assert_inside(space, draw(name, space, seed=seed, point=seed % 4096))


@pytest.mark.parametrize("name", ["forest", "tpe"])
@given(space=spaces, seed=st.integers(0, 2**32 - 1))
@unhurried
def test_what_was_learned_lies_inside_every_space(name, space, seed):
    history = random_history(space, 25, seed=seed)
    assert_inside(space, draw(name, space, history, seed=seed, startup_trials=5))


def test_gp_lies_inside_a_branched_space(caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("optuna"), "propagate", True)
    history = random_history(BRANCHED, 25)
    for seed in range(3):
        assert_inside(BRANCHED, draw("gp", BRANCHED, history, seed=seed, startup_trials=5))
    assert caplog.text == "", "falling back to random draws inside a branch is no news"


@pytest.mark.parametrize("name", ["forest", "random", "tpe", "gp", "qmc"])
def test_equal_seeds_draw_equally_and_others_differ(name):
    history = random_history(BRANCHED, 25)
    draws = [draw(name, BRANCHED, history, seed=seed, point=seed) for seed in (1, 1, 2, 3)]
    assert draws[0] == draws[1]
    assert len({tuple(sorted(map(str, point.params.items()))) for point in draws}) == 3


@pytest.mark.parametrize("name", ["forest", "random", "tpe", "gp"])
def test_drawing_changes_no_history(name):
    history = random_history(LINE, 20)
    before = [
        (trial.state, dict(trial.params), dict(trial.system_attrs)) for trial in history.given
    ]
    draw(name, LINE, history, startup_trials=5) if name != "random" else draw(name, LINE, history)
    after = [(trial.state, dict(trial.params), dict(trial.system_attrs)) for trial in history.given]
    assert after == before


def test_random_covers_a_range_evenly_and_log_ranges_on_their_scale():
    space = Space(
        Group({"flat": Range(low=0.0, high=1.0), "lr": Range(low=1e-4, high=1.0, log=True)})
    )
    draws = [draw("random", space, seed=seed).params for seed in range(400)]
    for key, middle in (("flat", 0.5), ("lr", 1e-2)):
        below = sum(params[key] < middle for params in draws) / len(draws)
        assert below == pytest.approx(0.5, abs=0.08)


@pytest.mark.parametrize("name", ["forest", "tpe", "gp"])
@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_model_based_samplers_learn_in_both_directions(name, direction):
    """A peak (or dip) at 0.7: after 30 trials the draws gather around it."""
    sign = 1.0 if direction == "maximize" else -1.0
    points = [number / 29 for number in range(30)]
    trials = [
        past_trial(number, {"lr": x}, LINE, value=sign * math.exp(-50 * (x - 0.7) ** 2))
        for number, x in enumerate(points)
    ]
    history = FixedHistory(trials, StudyDirection[direction.upper()])
    rates = [draw(name, LINE, history, seed=seed).params["lr"] for seed in range(5)]
    assert sorted(abs(x - 0.7) for x in rates)[2] < 0.12


@pytest.mark.parametrize("name", ["forest", "tpe"])
def test_infeasible_draws_are_learned_from(name):
    """Everything above 0.5 couldn't be built: draws stay below, though nothing was ever trained."""
    trials = [
        past_trial(number, {"lr": number / 39}, LINE, value=0.5)
        if number < 20
        else past_trial(number, {"lr": number / 39}, LINE, state=TrialState.PRUNED, infeasible=True)
        for number in range(40)
    ]
    history = FixedHistory(trials)
    rates = [draw(name, LINE, history, seed=seed).params["lr"] for seed in range(30)]
    assert sum(x < 0.5 for x in rates) >= 26


def test_tpe_spreads_out_from_running_trials():
    """Parallel workers: a running trial's place is taken to be bad until it has answered."""
    done = [
        past_trial(number, {"lr": number / 19}, LINE, value=-abs(number / 19 - 0.7))
        for number in range(20)
    ]
    alone = FixedHistory(done)
    running = [
        past_trial(20 + number, {"lr": 0.7 + number / 1000}, LINE, state=TrialState.RUNNING)
        for number in range(15)
    ]
    crowded = FixedHistory([*done, *running])
    distance = {
        label: sum(
            abs(draw("tpe", LINE, history, seed=seed).params["lr"] - 0.7) for seed in range(20)
        )
        for label, history in (("alone", alone), ("crowded", crowded))
    }
    assert distance["crowded"] > 1.5 * distance["alone"]


@pytest.mark.parametrize("name", ["forest", "random", "tpe", "gp", "qmc", "grid"])
def test_given_values_are_kept_and_the_rest_is_drawn(name):
    space = Space(
        Group(
            {
                "optimizer": Branch(
                    {
                        "sgd": Group({"momentum": Choice((0.0, 0.9))}),
                        "adam": Group({"beta": Choice((0.9, 0.99))}),
                    }
                ),
                "width": Range(low=1, high=64, step=1, integer=True),
                "bias": Choice((True, False)),
            }
        )
    )
    history = random_history(space, 25)
    fixed = {"optimizer": "adam", "width": 33}
    widths = set()
    rest = set()
    for seed in range(6):
        point = draw(name, space, history, seed=seed, fixed=fixed)
        assert_inside(space, point)
        assert point.params["optimizer"] == "adam"
        assert "optimizer.sgd.momentum" not in point.params
        widths.add(point.params["width"])
        rest.add((point.params["optimizer.adam.beta"], point.params["bias"]))
    assert widths == {33}
    # Trees say which of the four they expect most of, until that is tried
    assert len(rest) > 1 or name == "forest", "missing keys are sampled, not always the same"
