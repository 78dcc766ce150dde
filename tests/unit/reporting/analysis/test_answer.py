from __future__ import annotations

from dataclasses import replace

import pytest
from support.evidence import evidence
from support.specs import made_up_result

from hpsearch.reporting.analysis.answer import answer
from hpsearch.reporting.analysis.effects import effects
from hpsearch.reporting.analysis.findings import Verdict
from hpsearch.results.confirmation.statistics import Interval
from hpsearch.results.confirmation.verdict import Comparison, ConfirmationResult
from hpsearch.results.records import StudyRecord, read_study

FOUND = effects(
    evidence(lambda p: 0.8 + {1: 0.0, 2: 0.03, 3: 0.02}[p["dilation"]] + 0.05 * p["flip"]),
    most_pairs=0,
)


@pytest.fixture
def record(searched) -> StudyRecord:
    return read_study(searched.database, "made_up")


def describing(record: StudyRecord, text: str) -> StudyRecord:
    document = {**record.study.document, "description": text}
    return replace(record, study=replace(record.study, document=document))


def verdict(**changes) -> ConfirmationResult:
    interval = Interval(estimate=0.781, low=0.77, high=0.792)
    return made_up_result(interval, **changes)


def rival(low: float) -> Comparison:
    ahead = Interval(estimate=0.02, low=low, high=0.05)
    return Comparison(trial=2, ahead=ahead, seeds=2, fresh=True, cheaper={})


def test_what_wasnt_confirmed_says_so(record) -> None:
    (first,) = answer(record)
    assert first == (
        "The best seen is trial 2: val_accuracy 80.00 %, not confirmed (one seed, the best of 3 "
        "complete trials: optimistic). Its settings: width 16, lr 0.25."
    )


def test_a_confirmed_winner_has_its_honest_number(record) -> None:
    (first,) = answer(record, verdict())
    assert first == (
        "The winner is trial 4: val_accuracy 78.10 % (95 %: 77.00 to 79.20 %), confirmed with 2 "
        "fresh seeds. Its settings: width 32, lr 0.1."
    )
    assert (
        "Trial 2 can't be distinguished from it."
        in answer(record, verdict(runner_up=rival(-0.01)))[0]
    )
    assert "Trial 2" not in answer(record, verdict(runner_up=rival(0.01)))[0]


def test_a_confirmation_that_goes_on_confirms_nothing_yet(record) -> None:
    (first,) = answer(record, verdict(finished=False))
    assert first.startswith("The best seen is trial 2: ")
    assert first.endswith(" Its confirmation isn't finished.")
    assert "not confirmed" in first


def test_without_a_complete_trial_there_is_no_answer(made_up) -> None:
    made_up.trial(0.1, 0.2)
    (first,) = answer(read_study(made_up.database, "made_up"))
    assert first.startswith("No answer yet: only a complete trial can win")


def test_the_parameter_that_is_asked_for_is_answered(record) -> None:
    strongest = answer(record, None, FOUND)[1]
    assert strongest.startswith("flip matters: +")
    asked = describing(record, "Does a dilated first kernel help, and flipping?")
    second = answer(asked, None, FOUND)[1]
    assert second.startswith("dilation matters: +3.")
    assert second.endswith("for 2 over 1, all else equal.")


def test_what_isnt_known_is_undecided(record) -> None:
    few = effects(evidence(lambda p: 0.8, trials=3))
    assert answer(record, None, few)[1].startswith("What the parameters do is undecided: effects")
    asked = describing(record, "Does the width matter?")
    weak = effects(evidence(lambda p: 0.8 + 0.002 * (p["width"] == 64), noise=0.03), most_pairs=0)
    assert answer(asked, None, weak)[1].startswith("Whether width matters is undecided: ")


def test_several_objectives_have_a_front_and_no_winner(record, searched) -> None:
    goals = replace(record.goals, objectives=("val_accuracy", "parameters"))
    trials = [
        replace(t, metrics={"val_accuracy": t.value or 0.0, "parameters": 9.0})
        for t in record.trials
    ]
    (first,) = answer(replace(record, goals=goals, trials=tuple(trials)))
    assert first.startswith("No one trial is best in all of val_accuracy, parameters: ")


def test_what_may_be_so_by_chance_says_so(record) -> None:
    flip = FOUND.of("flip")
    assert flip is not None
    chance = replace(FOUND, effects=(replace(flip, verdict=Verdict.UNDECIDED),))
    second = answer(record, None, chance)[1]
    assert second.startswith("Whether flip matters is undecided: +4.")
    assert second.endswith("all else equal; of 6 parameters one may be so by chance.")
