"""The estimates of a deadline, and what they decide: pure functions, with a clock of our own."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from itertools import islice
from typing import Any

import pytest
from support.specs import made_up_ablation, made_up_spec

from hpsearch.cli.deadline_options import deadline_from, options_of, until_moment
from hpsearch.errors import UserError
from hpsearch.results.ablation.plan import progress as ablation_progress
from hpsearch.results.ablation.spec import MOST_IN_TIME, SEEDS, AblationSpec, Look
from hpsearch.results.confirmation.plan import PlannedTraining, TrainingResult, progress
from hpsearch.results.confirmation.spec import ConfirmationSpec, Shortened
from hpsearch.results.deadline.costs import (
    EpochTime,
    confirmation_seconds,
    makespan,
    spread_of,
    training_seconds,
)
from hpsearch.results.deadline.forecast import Forecast, next_goal
from hpsearch.results.deadline.seeds import complete_seeds, seconds_for, seeds_in_time
from hpsearch.results.deadline.shorter import cut, seconds_left, spec_in_time
from hpsearch.results.deadline.stages import (
    LEAST_FOR_ANSWER,
    MOST_FOR_ANSWER,
    MOST_FOR_CONFIRMATION,
    MOST_TOGETHER,
    START_SECONDS,
    Measured,
    reserved_seconds,
)
from hpsearch.results.deadline.trained import Begun
from hpsearch.study_file.study import Confirm

NOW = datetime(2026, 11, 30, 7, 0).timestamp()


def measured(**changed: Any) -> Measured:
    settings: dict[str, Any] = {
        "workers": 2, "finalists": (10.0,) * 6, "baseline": None, "confirm": Confirm(),
        "total": 10_000.0, "report": 5.0,
    }  # fmt: skip
    return Measured(**{**settings, **changed})


def begun_with(plan: ConfirmationSpec, ended: int, issued: int | None = None) -> Begun:
    """Let the first ``ended`` trainings of the plan end; chance is larger than the differences."""
    outcomes: dict[Any, TrainingResult] = {}
    while len(outcomes) < ended:
        planned = progress(plan, outcomes).planned
        left = [entry for entry in planned if entry not in outcomes]
        outcomes |= {
            entry: TrainingResult(value=0.8 + 0.01 * ((7 * entry.seed + 3 * entry.trial) % 5))
            for entry in islice(left, ended - len(outcomes))
        }
    return Begun(outcomes=outcomes, issued=ended if issued is None else issued, epochs_done={})


def test_trainings_side_by_side():
    assert makespan([3.0, 1.0, 1.0, 1.0], 2) == 3.0
    assert makespan([3.0, 1.0], 0) == 4.0
    assert makespan([], 2) == 0.0


def test_more_epochs_need_a_smaller_margin():
    noisy = EpochTime(mean=1.0, spread=0.5)
    one, many = (training_seconds(noisy, epochs, overhead=0.0) / epochs for epochs in (1, 100))
    assert one == 1.5
    assert many == pytest.approx(1.05)
    assert training_seconds(noisy, 0, overhead=7.0) == 0.0


def test_the_spread_is_that_within_trials():
    assert spread_of([[1.0, 1.0, 1.0], [9.0, 9.0, 9.0]]) == 0.0
    assert spread_of([[0.5, 1.5, 0.5, 1.5, 0.5, 1.5]]) == pytest.approx(0.5)


def test_a_confirmation_waits_between_rounds():
    # Two seeds of three finalists, three times one seed, five seeds of the best two
    took = confirmation_seconds([1.0] * 3, seeds=5, baseline=None, workers=2)
    assert took == 3 + 3 * 2 + 5
    alone = confirmation_seconds([1.0], seeds=5, baseline=None, workers=2)
    assert alone == 1 + 3


def test_the_reserve_is_limited_by_a_smaller_confirmation():
    full = reserved_seconds(measured(), frozenset())
    assert list(full) == ["confirm", "report"]
    trainings = confirmation_seconds([10.0] * 6, seeds=5, baseline=None, workers=2)
    assert full["confirm"] == trainings + START_SECONDS
    little = reserved_seconds(measured(total=300.0), frozenset())
    assert little["confirm"] <= 300 * MOST_FOR_CONFIRMATION + START_SECONDS
    assert little["confirm"] < full["confirm"]


def test_a_search_keeps_some_time_whatever_follows():
    kept = reserved_seconds(measured(total=60.0, finalists=(50.0,)), frozenset({"train-final"}))
    assert sum(kept.values()) - kept["report"] == pytest.approx(0.8 * 60)


def test_the_final_training_is_reserved_if_asked():
    assert list(reserved_seconds(measured(), frozenset({"train-final"}))) == [
        "confirm", "train-final", "report",
    ]  # fmt: skip


def test_the_search_ends_before_what_follows():
    known = Forecast(
        at=1000.0,
        reserved={"confirm": 100.0, "report": 20.0},
        closed_at=None,
        epoch=EpochTime(mean=1.0, spread=0.0),
        overhead=0.5,
    )
    assert known.search_ends < 880 < known.search_is_cut < known.confirmation_ends < 980
    assert known.time_of(4) == 4.5
    assert known.time_of(4, done=2, seconds=6.0) == 12.5


def test_a_trial_can_win_from_the_last_rung_on():
    assert next_goal(0, (1, 3), 9) == 3
    assert next_goal(3, (1, 3), 9) == 9
    assert next_goal(0, (), 9) == 9


def test_a_confirmation_in_time_stays_as_it_is():
    plan, one = made_up_spec((0, 1, 2), seeds=5), {0: 1.0, 1: 1.0, 2: 1.0}
    begun = begun_with(plan, 0)
    left = seconds_left(plan, begun, one, epochs=9, workers=2)
    assert spec_in_time(plan, begun, one, epochs=9, workers=2, left=left) is None


def test_a_late_confirmation_gets_fewer_seeds_and_keeps_its_trainings():
    plan, one = made_up_spec((0, 1, 2), seeds=5), {0: 1.0, 1: 1.0, 2: 1.0}
    begun = begun_with(plan, 6)
    found = spec_in_time(plan, begun, one, epochs=9, workers=2, left=9.0)
    assert found is not None
    assert seconds_left(found, begun, one, epochs=9, workers=2) <= 9.0
    assert found.shortened is not None
    assert 2 <= found.shortened.report < 5
    before, now = (progress(each, begun.outcomes).planned for each in (plan, found))
    assert now[:6] == before[:6]
    # With no time at all it is the smallest there is
    least = spec_in_time(plan, begun, one, epochs=9, workers=2, left=0.0)
    assert least is not None
    assert least.shortened == Shortened(selection=2, report=2)


def test_a_round_that_has_begun_is_not_dropped():
    plan, one = made_up_spec((0, 1, 2), seeds=5), {0: 1.0, 1: 1.0, 2: 1.0}
    begun = begun_with(plan, 6, issued=7)
    least = spec_in_time(plan, begun, one, epochs=9, workers=2, left=0.0)
    assert least is not None
    assert least.shortened == Shortened(selection=3, report=2)


def test_at_the_end_only_what_has_ended_counts():
    plan = made_up_spec((0,), seeds=5)
    assert cut(plan, begun_with(plan, 3)) is None  # one seed of the report has no interval
    ended = begun_with(plan, 5, issued=7)
    found = cut(plan, ended)
    assert found is not None
    assert found.shortened == Shortened(selection=5, report=3)
    assert progress(found, ended.outcomes).finished


def test_a_shortened_spec_is_stored():
    plan = made_up_spec((0, 1), seeds=4)
    short = replace(plan, shortened=Shortened(selection=2, report=3))
    again = ConfirmationSpec.from_document(
        short.to_document(), metric=plan.metric, maximize=plan.maximize
    )
    assert again == short
    assert "shortened" not in plan.to_document()
    assert (list(short.selection_seeds), list(short.report_seeds)) == ([1, 2], [5, 6, 7])


def test_a_time_of_day_is_the_next_one():
    assert until_moment("08:00", NOW) == NOW + 3600
    assert until_moment("06:30", NOW) == NOW + 23.5 * 3600
    assert until_moment("2026-11-30T07:00:30", NOW) == NOW + 30


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2026-11-30T06:00", "must be in the future, but 2026-11-30T06:00 was 1 h 00 min ago"),
        ("tomorrow", "must be a time"),
        ("25:00", "must be a time"),
    ],
)
def test_a_wrong_moment_is_refused(text, message):
    with pytest.raises(UserError, match=message):
        until_moment(text, NOW)


def test_options_exclude_each_other():
    def given(**options: Any) -> Any:
        settings = {"until": None, "within": None, "gpu_hours": None, "timeout": None}
        return deadline_from(**{"train_final": False, **settings, **options}, now=NOW)

    assert given() is None
    for wrong, message in (
        ({"until": "08:00", "within": "1h"}, "one deadline, but got --until and --for"),
        ({"within": "1h", "timeout": "2h"}, "--timeout only stops a launch"),
        ({"train_final": True}, "--train-final belongs to a deadline"),
        ({"gpu_hours": 0.0}, "--gpu-hours must be more than 0"),
    ):
        with pytest.raises(UserError, match=message):
            given(**wrong)
    found = given(within="90m", train_final=True)
    assert (found.at, found.stages) == (NOW + 5400, {"train-final"})
    until, final = options_of(found)
    assert given(until=until.removeprefix("--until="), train_final=bool(final)) == found


def trained(spec: AblationSpec, seeds: int, *, partly: int = 0) -> Begun:
    """Let all variants have their first seeds, and the first ones one more; all have begun it."""
    many = len(spec.variants)
    outcomes = {
        PlannedTraining(trial=one, seed=seed): TrainingResult(value=0.7)
        for seed in range(1, seeds + 2)
        for one in range(many if seed <= seeds else partly)
    }
    issued = many * (seeds + (partly > 0))
    return Begun(outcomes=outcomes, issued=issued, epochs_done={})


@pytest.mark.parametrize(
    ("seeds", "begun", "left", "expected"),
    [
        (10, 3, 21.0, 10),  # seven more seeds of three variants, one second each
        (10, 3, 20.0, 9),
        (10, 3, 0.0, 3),
        (10, 1, 0.0, 3),  # the fewest
        (10, 3, 1000.0, 10),  # nothing waits for more yet
        (10, 10, 8.0, 12),
        (10, 10, 1000.0, MOST_IN_TIME),
        (4, 4, 18.0, 10),
    ],
)
def test_an_answer_has_the_seeds_that_there_is_time_for(seeds, begun, left, expected):
    spec = made_up_ablation(3, seeds=seeds, most_seeds=MOST_IN_TIME)
    found = seeds_in_time(
        spec, trained(spec, begun), dict.fromkeys(range(3), 1.0), epochs=4, workers=1, left=left
    )
    assert found == expected


def test_what_values_save_buys_no_seeds():
    looked = Look(seeds=4, settled=())
    spec = made_up_ablation(3, most_seeds=MOST_IN_TIME, looks=(4,), taken=(looked,))
    saved = replace(spec, taken=(replace(looked, settled=(0,)),))  # variant 1 is worse
    begun = trained(spec, 10)
    two = {entry: ended for entry, ended in begun.outcomes.items() if (entry.trial, entry.seed)
           not in {(1, seed) for seed in range(5, 11)}}  # fmt: skip
    assert ablation_progress(saved, two).finished
    left, seconds = 18.0 + 3.0, dict.fromkeys(range(3), 1.0)
    later = Begun(outcomes=two, issued=len(two), epochs_done={})
    how: dict[str, Any] = {"epochs": 4, "workers": 1}
    assert seeds_in_time(spec, begun, seconds, left=left - 6, **how) == 15
    assert seeds_in_time(saved, later, seconds, left=left, **how) == 15
    assert seconds_for(saved, later, seconds, 15, **how) == left


def test_a_seed_counts_only_if_all_have_it():
    spec = made_up_ablation(3, seeds=10)
    assert complete_seeds(spec, trained(spec, 5)) == 5
    assert complete_seeds(spec, trained(spec, 5, partly=2)) == 5
    cut = replace(spec, seeds=5)
    assert ablation_progress(cut, trained(spec, 5, partly=2).outcomes).finished


def test_the_answer_gets_ten_seeds_if_it_can():
    wanted = frozenset({"answer"})
    asked = measured(values=3, total=1000.0)
    kept = reserved_seconds(asked, wanted)
    assert kept["answer"] >= 3 * SEEDS * 10.0 / 2  # three values, two workers
    little = reserved_seconds(measured(values=3, total=300.0), wanted)
    assert little["answer"] <= MOST_FOR_ANSWER * 300
    assert little["confirm"] + little["answer"] <= MOST_TOGETHER * 300
    slow = reserved_seconds(measured(values=3, total=40.0, finalists=(20.0,)), wanted)
    assert slow["answer"] == pytest.approx(LEAST_FOR_ANSWER * 40)
