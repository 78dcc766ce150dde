"""What we write, Optuna reads; and samplers see through our slim view what Optuna shows them."""

from __future__ import annotations

import itertools
import random
import warnings
from dataclasses import replace

import optuna
import pytest
from optuna.distributions import distribution_to_json
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import TPESampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from support.ledger import Search, line_row, optuna_storage, row
from support.searching import BRANCHED
from support.spaces import assert_inside

from hpsearch.search import history as history_module
from hpsearch.search.database import storage
from hpsearch.search.history import TrialHistory
from hpsearch.search.samplers import SAMPLERS
from hpsearch.search.samplers.model_based import _suggest
from hpsearch.search.samplers.sampler import Request
from hpsearch.search.suggest import draw_trial
from hpsearch.search.trust import trust_in
from hpsearch.study_file.space import Choice, Draw, Group, Guess, Range, Space
from hpsearch.workers.trial import trial_run

#: Values that are awkward to store: every type, tiny and large floats, a list as a choice.
AWKWARD = Space(
    Group(
        {
            "none": Choice((None, "relu", True, 3, 0.5)),
            "list": Choice(([64], [128, 64])),
            "tiny": Range(low=1e-12, high=1e3, log=True),
            "lattice": Range(low=0.1, high=0.7, step=0.3),
            "integer": Range(low=1, high=10**9, log=True, integer=True),
        }
    )
)


def populate(search: Search, space: Space, count: int, *, seed: int = 5) -> None:
    """Run ``count`` tickets with random configurations to ends of every kind."""
    rng = random.Random(seed)
    hand = search.hand("one")
    history = TrialHistory(search.database, search.study_id, StudyDirection.MAXIMIZE)
    for number in range(count):
        claim = hand.claim()
        for nth in range(2):
            drawn = draw_trial(
                SAMPLERS["random"].build(),
                space,
                history,
                study_seed=seed,
                ticket=claim.ticket,
                infeasible=nth,
                point=None,
            )
            configuration = row(drawn.params, space, note=f"draw {nth}")
            if nth == 1 or number % 7:
                break
            hand.ledger.infeasible(claim, configuration, "too large", nth=0)
        hand.ledger.start(claim, configuration)
        if number % 6 == 5:
            hand.ledger.fail(claim, "broken", retry=False)
        elif number % 6 != 4:  # every sixth stays as it is: running
            epochs = search.rules.epochs_per_trial if number % 3 else 1
            for epoch in range(1, epochs + 1):
                if hand.report(claim, epoch, rng.random()) != "continue":
                    break


def test_the_ledger_knows_which_trials_were_drawn_near_the_priors(search):
    space = Space(Group({"lr": Range(low=0.0, high=1.0, guess=Guess(0.25, "high"))}))
    opened = search(trials=12, space=space)
    hand, history = opened.hand(), TrialHistory(opened.database, 1, StudyDirection.MAXIMIZE)
    assert history.study_id == opened.study_id
    sampler, near = SAMPLERS["random"].build(), {}
    given = ({"lr": 0.7},)
    for _ in range(12):
        claim = hand.claim()
        drawn = draw_trial(
            sampler, space, history, study_seed=7, ticket=claim.ticket, infeasible=0, point=None,
            try_first=given,
        )  # fmt: skip
        if not drawn.from_try_first:
            near[claim.ticket] = drawn.guessed
        trial_id, number = hand.ledger.start(claim, trial_run._row(drawn, {}))
        # The prior is wrong: lower values are worse
        hand.finish(replace(claim, trial_id=trial_id, number=number), [drawn.params["lr"]] * 3)
    assert drawn.start is None and near[2] is True and set(near.values()) == {True, False}
    found = history.guessed(maximize=True)
    assert [each.by_prior for each in found] == list(near.values())
    # A study of others doesn't count, and neither do starts
    assert history.starts(maximize=True) == []
    assert trust_in(found).share < 0.5


def described(trial: FrozenTrial) -> dict[str, object]:
    """What samplers use of a trial."""
    last = trial.last_step
    return {
        "number": trial.number,
        "trial_id": trial._trial_id,
        "state": trial.state,
        "values": trial.values,
        "params": list(trial.params.items()),
        "types": [type(value) for value in trial.params.values()],
        "distributions": {
            name: distribution_to_json(distribution)
            for name, distribution in trial.distributions.items()
        },
        "constraints": trial.constraints,
        # Values of running trials change under way and no sampler looks at them.
        "last value": trial.intermediate_values[last]
        if last is not None and trial.state.is_finished()
        else None,
    }


@pytest.mark.parametrize("chunk", [500, 3], ids=["one statement", "many statements"])
def test_the_history_is_what_optuna_reads(search, monkeypatch, chunk):
    monkeypatch.setattr(storage, "_CHUNK", chunk)
    opened = search(trials=24, epochs=4, space=BRANCHED, pruner="asha", settings={"stop": True})
    populate(opened, BRANCHED, 24)
    ours = TrialHistory(opened.database, opened.study_id, StudyDirection.MAXIMIZE).refresh()
    theirs = opened.trials()
    assert [described(trial) for trial in ours] == [described(trial) for trial in theirs]
    assert {trial.state for trial in ours} == {
        TrialState.COMPLETE,
        TrialState.PRUNED,
        TrialState.FAIL,
        TrialState.RUNNING,
    }


def test_a_refreshed_history_is_a_fresh_one(search):
    """Read step by step while trials start, report and end: nothing is missed or stale."""
    opened = search(trials=6, epochs=2)
    kept = TrialHistory(opened.database, opened.study_id, StudyDirection.MAXIMIZE)
    hands = [opened.hand(f"worker-{number}") for number in range(3)]
    claims = []

    def compare() -> None:
        fresh = TrialHistory(opened.database, opened.study_id, StudyDirection.MAXIMIZE)
        assert [described(t) for t in kept.refresh()] == [described(t) for t in fresh.refresh()]

    compare()
    for hand in hands:
        claims.append(hand.started())
        compare()
    # They end in another order than they began.
    for hand, claim in reversed(list(zip(hands, claims, strict=True))):
        hand.report(claim, 1, 0.5)
        compare()
        hand.report(claim, 2, 0.6)
        compare()
    claim = hands[0].claim()
    hands[0].ledger.infeasible(claim, line_row(0.5), "too large", nth=0)
    compare()
    hands[0].ledger.fail(claim, "broken", retry=False)
    compare()
    assert len(kept.refresh()) == 5


def test_a_read_that_breaks_off_half_way_is_made_good(search, monkeypatch):
    """The connection is cut between two statements of one refresh: the next one is complete."""
    opened = search(trials=5, epochs=1)
    hand = opened.hand()
    kept = TrialHistory(opened.database, opened.study_id, StudyDirection.MAXIMIZE)
    for function, after in itertools.product(("read_params", "read_values"), (False, True)):
        hand.finish(hand.started(), [0.7])
        original = getattr(history_module, function)
        failures = [RuntimeError("cut off")]

        def breaks(connection, trials, original=original, failures=failures, after=after):
            if failures and not after:
                raise failures.pop()
            original(connection, trials)
            if failures:
                raise failures.pop()

        monkeypatch.setattr(history_module, function, breaks)
        with pytest.raises(RuntimeError, match="cut off"):
            kept.refresh()
        monkeypatch.undo()
        (trial,) = kept.refresh()[-1:]
        assert described(trial) == described(opened.trials()[-1])
    assert [described(t) for t in kept.refresh()] == [described(t) for t in opened.trials()]


def test_awkward_values_survive_both_readers(search):
    opened = search(trials=40, epochs=1, space=AWKWARD)
    hand = opened.hand()
    history = TrialHistory(opened.database, opened.study_id, StudyDirection.MAXIMIZE)
    written = []
    for ticket in range(1, 31):
        drawn = draw_trial(
            SAMPLERS["random"].build(),
            AWKWARD,
            history,
            study_seed=1,
            ticket=ticket,
            infeasible=0,
            point=None,
        )
        hand.ledger.start(hand.claim(), row(drawn.params, AWKWARD))
        written.append(list(drawn.params.items()))
    assert [list(trial.params.items()) for trial in history.refresh()] == written
    assert [list(trial.params.items()) for trial in opened.trials()] == written
    assert [list(ticket.params.items()) for ticket in opened.tickets()] == written
    assert {type(dict(params)["none"]) for params in written} == {type(None), str, bool, int, float}


@pytest.mark.parametrize("metric", ["val_accuracy", "val_loss"])
def test_optuna_names_the_best_trial(search, metric):
    opened = search(trials=3, epochs=1, metric=metric)
    hand = opened.hand()
    for value in (0.5, 0.9, 0.1):
        hand.finish(hand.started(), [value])
    study = opened.optuna_study()
    assert (study.best_trial.number, study.best_value) == (
        (1, 0.9) if metric == "val_accuracy" else (2, 0.1)
    )
    assert [trial.value for trial in study.trials] == [0.5, 0.9, 0.1]


def optunas_own_draw(opened: Search, space: Space, seed: int, startup: int) -> Draw:
    """What Optuna proposes over its own storage: a real trial, asked for and thrown away."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        sampler = TPESampler(
            seed=seed,
            multivariate=True,
            group=True,
            constant_liar=True,
            n_startup_trials=startup,
            n_ei_candidates=24,
        )
    study = optuna.load_study(
        study_name=opened.stored.name, storage=optuna_storage(opened.database), sampler=sampler
    )
    trial = study.ask()
    draw = space.draw(lambda path, parameter: _suggest(trial, path, parameter))
    study.tell(trial, state=TrialState.FAIL)  # TPE takes no notice of failed trials.
    return draw


@pytest.mark.parametrize("metric", ["val_accuracy", "val_loss"])
def test_tpe_over_the_slim_view_proposes_what_optuna_proposes(search, metric):
    """Complete, pruned, running, failed and infeasible trials: the view loses nothing TPE uses."""
    rule = {"reduction_factor": 2, "min_epochs": 2, "stop": True}
    opened = search(
        trials=50, epochs=3, metric=metric, space=BRANCHED, pruner="asha", settings=rule
    )
    populate(opened, BRANCHED, 50)
    counts = opened.counts()
    assert min(counts.complete, counts.pruned, counts.failed, counts.running) >= 5
    assert counts.infeasible >= 5
    direction = StudyDirection.MAXIMIZE if opened.rules.maximize else StudyDirection.MINIMIZE
    sampler = SAMPLERS["tpe"].build(startup_trials=5)
    for seed in range(4):
        request = Request(
            space=BRANCHED,
            history=TrialHistory(opened.database, opened.study_id, direction),
            seed=seed,
            study_seed=7,
            fixed={},
            point=None,
        )
        ours = sampler.draw(request)
        assert_inside(BRANCHED, ours)
        assert ours == optunas_own_draw(opened, BRANCHED, seed, 5)


def test_drawing_writes_nothing(search):
    opened = search(trials=20, epochs=1)
    hand = opened.hand()
    for value in range(15):
        hand.finish(hand.started(), [value / 15])
    before = [described(trial) for trial in opened.trials()]
    history = TrialHistory(opened.database, opened.study_id, StudyDirection.MAXIMIZE)
    for name in ("random", "tpe"):
        drawn = draw_trial(
            SAMPLERS[name].build(),
            opened.file.space,
            history,
            study_seed=1,
            ticket=16,
            infeasible=0,
            point=None,
        )
        assert drawn is not None
    assert [described(trial) for trial in opened.trials()] == before


def test_a_view_refuses_to_write():
    view = history_module.DraftView(1, [StudyDirection.MAXIMIZE], [], {})
    study = optuna.Study(study_name="draft", storage=view)
    for write in (
        study.ask,
        lambda: study.add_trial(optuna.create_trial(value=1.0)),
        lambda: study.set_user_attr("key", 1),
        lambda: study.tell(0, 1.0),
    ):
        with pytest.raises((PermissionError, KeyError)):
            write()
