"""The front, its knee, what may be picked, and which weights stay."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from hpsearch.errors import UserError
from hpsearch.results.kept_weights import weights_kept
from hpsearch.results.ranking import (
    KEPT_WEIGHTS,
    best,
    front,
    knee,
    none_eligible,
    pick,
    ranked,
    violators,
    winner_or_pick,
)
from hpsearch.results.records import StudyRecord, TrialRecord
from hpsearch.results.summary import summary
from hpsearch.search.database.tables import TicketState
from hpsearch.search.ledger.queries import Counts
from hpsearch.search.ledger.studies import StoredStudy
from hpsearch.study_file.goals import Goals

NAMES = ("val_accuracy", "parameters")
SEVERAL = {"objectives": {"metrics": list(NAMES), "at": "last"}, "prune_on": "val_accuracy"}


def trial(
    number: int, figures: Sequence[float], state: TicketState = TicketState.COMPLETE
) -> TrialRecord:
    named = dict(zip((*NAMES, "latency"), map(float, figures), strict=False))
    return TrialRecord(
        ticket=number + 1,
        number=number,
        trial_id=number + 1,
        state=state,
        params={"lr": number},
        value=named["val_accuracy"],
        last_value=named["val_accuracy"],
        best_value=named["val_accuracy"],
        best_epoch=1,
        epochs_done=1,
        rung=None,
        compute_seconds=1.0,
        attempts=1,
        owner=None,
        infeasible=0,
        error=None,
        checkpoint=None,
        checkpoint_epoch=None,
        metrics=named,
    )


def record(trials: Sequence[TrialRecord], **document) -> StudyRecord:
    document = document or SEVERAL
    complete = sum(each.state is TicketState.COMPLETE for each in trials)
    return StudyRecord(
        study=StoredStudy(
            study_id=1,
            name="made_up",
            text="",
            document=document,
            fingerprint="f",
            trial_budget=len(trials),
            epochs_per_trial=1,
            stops=0,
            exhausted=False,
            run_key="key",
            created_at="",
        ),
        goals=Goals.of(document),
        counts=Counts(
            total=len(trials),
            complete=complete,
            pruned=len(trials) - complete,
            failed=0,
            running=0,
            paused=0,
            infeasible=0,
            epochs_run=len(trials),
            compute_seconds=1.0,
        ),
        trials=tuple(trials),
    )


#: 0, 3 and 4 are the front; 1 is beaten by 4, 2 by 0; 5 equals 4.
POINTS = record(
    [
        trial(0, (0.70, 100)),
        trial(1, (0.85, 4000)),
        trial(2, (0.69, 200)),
        trial(3, (0.95, 9000)),
        trial(4, (0.90, 1000)),
        trial(5, (0.90, 1000)),
        trial(6, (0.99, 10), TicketState.PRUNED),
    ]
)


def numbers(trials: Sequence[TrialRecord]) -> list[int | None]:
    return [each.number for each in trials]


def test_the_front_comes_first_and_pruned_trials_have_no_rank():
    assert numbers(front(POINTS)) == [3, 4, 5, 0]
    assert numbers(ranked(POINTS)) == [3, 4, 5, 0, 1, 2]
    assert best(POINTS) == POINTS.trial(3)


@pytest.mark.parametrize("seed", range(5))
def test_the_front_is_that_of_optuna(seed):
    rng = random.Random(seed)
    # A coarse grid: many points are equal in one objective or in both
    points = [(rng.randrange(12) / 10, rng.randrange(12)) for _ in range(150)]
    study = optuna.create_study(directions=["maximize", "minimize"])
    study.add_trials(
        [create_trial(state=TrialState.COMPLETE, values=list(point)) for point in points]
    )
    made = record([trial(number, point) for number, point in enumerate(points)])
    assert sorted(numbers(front(made))) == sorted(each.number for each in study.best_trials)


def test_the_knee_is_the_nearest_to_the_best_of_everything():
    # Scaled over the front: (0, 1), (0.2, 0.101), (1, 0); as many parameters as it has are few
    assert knee(POINTS) == POINTS.trial(4)
    assert knee(record([trial(0, (0.5, 10))])) == trial(0, (0.5, 10))
    assert knee(record([])) is None


def test_a_point_is_picked_by_name_or_number():
    assert pick(POINTS, "knee") == POINTS.trial(4)
    assert pick(POINTS, 0) == pick(POINTS, "0") == POINTS.trial(0)
    assert winner_or_pick(POINTS, "3") == POINTS.trial(3)
    for other in ("1", "6", "99", "best"):
        with pytest.raises(
            UserError, match=rf"knee or a trial on the front .* \(3, 4, 5, 0\), .* {other}"
        ):
            pick(POINTS, other)
    with pytest.raises(UserError, match=r"several objectives .* --pick knee or --pick N"):
        winner_or_pick(POINTS)


def test_one_objective_has_a_winner_and_nothing_to_pick():
    one = record(POINTS.trials, objective={"metric": "val_accuracy", "at": "last"})
    assert numbers(ranked(one)) == [3, 4, 5, 1, 0, 2]
    assert winner_or_pick(one) == best(one) == POINTS.trial(3)
    assert front(one) == weights_kept(one) == [POINTS.trial(3)]
    with pytest.raises(UserError, match="has one, val_accuracy; leave --pick out"):
        pick(one, "knee")


def test_who_breaks_a_constraint_has_no_rank():
    document = {**SEVERAL, "constraints": ["val_accuracy >= 0.8", "parameters <= 5000"]}
    bounded = record(POINTS.trials, **document)
    assert numbers(violators(bounded)) == [0, 2, 3]
    assert numbers(ranked(bounded)) == [4, 5, 1]
    assert summary(bounded)["violating"] == 3
    nobody = record(POINTS.trials, **{**SEVERAL, "constraints": ["parameters <= 5"]})
    assert best(nobody) is None
    assert knee(nobody) is None
    with pytest.raises(
        UserError, match="all 6 complete trials of study 'made_up' break a constraint"
    ):
        pick(nobody, "knee")
    assert "only a complete trial can win" in none_eligible(record([]))


def test_a_constraint_bounds_the_winner_of_one_objective_too():
    document = {
        "objective": {"metric": "val_accuracy", "at": "last"},
        "constraints": ["parameters <= 5000"],
    }
    bounded = record(POINTS.trials, **document)
    assert numbers(ranked(bounded)) == [4, 5, 1, 0, 2]
    assert "front" not in summary(bounded)
    assert summary(bounded)["best"]["number"] == 4


def test_the_summary_tells_the_front():
    told = summary(POINTS)
    assert told["objectives"] == {"val_accuracy": "maximize", "parameters": "minimize"}
    assert [each["number"] for each in told["front"]] == [3, 4, 5, 0]
    assert told["front"][3]["figures"] == {"val_accuracy": 0.7, "parameters": 100.0}
    assert told["knee"] == 4
    assert summary(record([]))["front"] == []


def test_a_long_front_keeps_the_weights_of_some():
    points = [trial(number, (0.5 + number / 1000, 10.0 + number)) for number in range(200)]
    made = record(points)
    assert len(front(made)) == 200
    kept = weights_kept(made)
    assert len(kept) == KEPT_WEIGHTS == len(set(numbers(kept)))
    assert {0, 199, knee(made).number} <= set(numbers(kept)), "the ends, and the knee"
    gaps = [abs(a - b) for a, b in zip(numbers(kept), numbers(kept)[1:], strict=False)]
    assert max(gaps) <= 12, "an even share of the rest"


def test_a_trial_without_figures_of_its_own_is_ranked_by_its_value():
    """Those that ended before a database had the column."""
    old = [replace(each, metrics={}) for each in POINTS.trials]
    one = record(old, objective={"metric": "val_accuracy", "at": "last"})
    assert numbers(ranked(one)) == [3, 4, 5, 1, 0, 2]
