"""A worker beside thousands of finished trials starts soon, stays small and goes on quickly.

Promise 13 is measured at full size by ``python -m benchmarks.growth``; here at a tenth of it, by
what a process computes and holds, which other programs on the machine don't change.
"""

from __future__ import annotations

import pytest
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import event
from support.searching import BRANCHED, LINE, past_trial

from benchmarks.growth import fill, footprint
from benchmarks.past_trials import insert_finished
from hpsearch.search.history import TrialHistory
from hpsearch.search.samplers.model_based import thin

TRIALS = 1000


def test_a_worker_beside_a_thousand_trials(prepared_url):
    fill(prepared_url, TRIALS, epochs_each=4)
    found = footprint("ours", prepared_url)
    assert found.start_cpu_seconds < 3.0 / 4, "10,000 in 3 s, with room for what is fixed"
    assert found.megabytes < 150 / 4
    assert found.step_cpu_seconds < 0.25


def test_the_rows_look_as_if_the_ledger_had_written_them(search):
    """Or the test above and the benchmark would measure something else."""
    opened = search(trials=9, epochs=3, space=BRANCHED)
    insert_finished(opened.database, opened.study_id, BRANCHED, 7, epochs_each=3)
    hand = opened.hand()
    claim = hand.started()
    assert claim.ticket == 8
    hand.finish(claim)
    inserted, written = opened.trials()[:7], opened.trials()[7]
    assert [trial.number for trial in opened.trials()] == list(range(8))
    assert {trial.state for trial in inserted} == {TrialState.COMPLETE}
    assert all(trial.values == [trial.intermediate_values[3]] for trial in inserted)
    assert written.intermediate_values.keys() == inserted[0].intermediate_values.keys()
    assert opened.counts().complete == 8
    assert opened.counts().epochs_run == 24


def test_only_what_is_new_is_read_again(database, search):
    """The rows that a refresh builds trials from, counted by the trials it is given."""
    opened = search(trials=900, epochs=1)
    insert_finished(opened.database, opened.study_id, opened.file.space, 400, epochs_each=1)
    history = TrialHistory(database, opened.study_id, StudyDirection.MAXIMIZE)
    before = history.refresh()
    asked: list[int] = []

    def count(_connection, _cursor, _statement, parameters, *_others):
        asked.append(len(parameters))

    hand = opened.hand()
    hand.finish(hand.started(), [0.5])
    event.listen(database.engine, "before_cursor_execute", count)
    after = history.refresh()
    assert len(after) == len(before) + 1
    assert all(one is other for one, other in zip(before, after, strict=False))
    assert max(asked) < 10, "no statement names the old trials"
    assert len(asked) < 10


@pytest.mark.parametrize("direction", [StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE])
def test_what_tpe_is_not_shown(direction):
    """The best stay by TPE's own order, whatever is running stays, the rest is an even share."""
    line = [("lr", number / 1000) for number in range(1000)]
    trials = [
        past_trial(
            number,
            {"epochs_warmup": 1 + number % 60},
            BRANCHED,
            value=value,
            state=_state(number),
        )
        for number, (_, value) in enumerate(line)
    ]
    kept = thin(trials, [direction], 200)
    assert [trial.number for trial in kept] == sorted(trial.number for trial in kept)
    finished = [trial for trial in kept if trial.state.is_finished()]
    assert len(finished) == 200
    assert len(kept) - len(finished) == sum(not trial.state.is_finished() for trial in trials)
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    complete.sort(key=_value, reverse=direction == StudyDirection.MAXIMIZE)
    numbers = {trial.number for trial in kept}
    assert {trial.number for trial in complete[:100]} <= numbers
    others = [trial for trial in finished if trial not in complete[:100]]
    halves = sum(trial.number < 500 for trial in others)
    assert 25 <= halves <= 75, "old and new trials alike"
    assert thin(trials, [direction], 1000) is trials


def test_what_tpe_is_not_shown_of_several_objectives():
    """The fronts that it would call good stay, and no constraint's breaker takes their place."""
    trials = []
    for number in range(600):
        front, place = number % 30, number // 30
        # Thirty fronts of twenty points each; a breaker is better than all of them
        broken = number % 97 == 0
        trial = past_trial(number, {"lr": number / 600}, LINE, infeasible=broken)
        good = 100.0 if broken else 20.0 - front
        trial.values = [place + good, place - good]
        trials.append(trial)
    directions = [StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE]
    kept = {trial.number for trial in thin(trials, directions, 200)}
    assert len(kept) == 200
    feasible = [each for each in range(600) if each % 97]
    best = sorted(feasible, key=lambda number: number % 30)[:60]
    assert set(best) <= kept


def _state(number: int) -> TrialState:
    if number % 50 == 0:
        return TrialState.RUNNING
    return TrialState.PRUNED if number % 4 == 1 else TrialState.COMPLETE


def _value(trial: FrozenTrial) -> float:
    assert trial.value is not None
    return trial.value
