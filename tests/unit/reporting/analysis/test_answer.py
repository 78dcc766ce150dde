from __future__ import annotations

from dataclasses import replace

import pytest
from support.evidence import evidence
from support.specs import made_up_result

from hpsearch.reporting.analysis.answer import answer
from hpsearch.reporting.analysis.effects import effects
from hpsearch.reporting.analysis.findings import Effect
from hpsearch.results.confirmation.plan import FinalistRank
from hpsearch.results.confirmation.statistics import Interval
from hpsearch.results.confirmation.verdict import Comparison, ConfirmationResult, Cost, Finalist
from hpsearch.results.records import StudyRecord, read_study
from hpsearch.results.verdicts import Verdict

EFFECTS = effects(
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


def lead(low: float, trial: int = 2, **changes) -> Comparison:
    ahead = Interval(estimate=0.02, low=low, high=0.05)
    return Comparison(
        **{"trial": trial, "ahead": ahead, "seeds": 2, "fresh": True, "cheaper": {}, **changes}
    )


def finalist(trial: int) -> Finalist:
    rank = FinalistRank(trial=trial, mean=0.78, seeds=2)
    return Finalist(standing=rank, place=1, seen=0.8, reported=None, trainings=2, cost=Cost())


def with_models(record: StudyRecord, names: dict[int, str]) -> StudyRecord:
    """Return the study with a model for each trial: number -> name."""
    trials = tuple(
        replace(trial, params={"model": names.get(trial.number or 0, "mlp"), **trial.params})
        for trial in record.trials
        if trial.number is not None
    )
    return replace(record, trials=trials)


def test_what_wasnt_confirmed_says_so(record) -> None:
    (first,) = answer(record)
    assert first == (
        "The best seen is line (trial 2): val_accuracy 80.00 %, not confirmed (one seed, the best "
        "of 3 complete trials: optimistic)."
    )


def test_a_confirmed_winner_has_its_honest_number(record) -> None:
    assert answer(record, verdict()) == (
        "The winner is line (trial 4): val_accuracy 78.10 % (95 %: 77.00 to 79.20 %), confirmed "
        "with 2 fresh seeds.",
    )


def test_it_is_compared_with_the_second(record) -> None:
    assert answer(record, verdict(runner_up=lead(0.01)))[1] == (
        "Against the second, line (trial 2) the winner is 2.00 points ahead (95 %: "
        "+1.00 to +5.00 points)."
    )
    assert answer(record, verdict(runner_up=lead(-0.01)))[1] == (
        "Against the second, line (trial 2) it is undecided: the winner is 2.00 points ahead "
        "(95 %: -1.00 to +5.00 points)."
    )


def test_it_is_compared_with_what_was_there_before(record) -> None:
    sentences = answer(record, verdict(runner_up=lead(-0.01), baseline=lead(0.01, trial=5)))
    assert sentences[1].startswith(
        "Against the first of try_first (trial 5) the winner is 2.00 points ahead (95"
    )
    sentences = answer(record, verdict(winner_is_baseline=True))
    assert sentences[1] == "The winner is the first of try_first: nothing better was found."


def test_it_is_compared_with_what_the_study_asks_about(record) -> None:
    question = with_models(describing(record, "A dense net against a CNN"), {4: "simple_cnn"})
    sentences = answer(
        question,
        verdict(
            finalists=[finalist(4), finalist(2)],
            leads={2: lead(0.01, fresh=False)},
            runner_up=lead(0.01),
        ),
    )
    assert sentences[0].startswith("The winner is simple_cnn (trial 4): val_accuracy 78.10 % (95 %")
    assert sentences[1:] == (
        "Against the best mlp (trial 2) the winner is 2.00 points ahead (95 %: +1.00 to +5.00 "
        "points), on the seeds that chose the winner, which favours it.",
    )


def test_what_is_asked_about_but_wasnt_a_finalist_is_named_too(record) -> None:
    question = with_models(describing(record, "A dense net against a CNN"), {4: "cnn", 2: "cnn"})
    sentences = answer(
        question, verdict(finalists=[finalist(4), finalist(2)], runner_up=lead(0.01))
    )
    assert sentences[1] == (
        "The best mlp in the search (trial 0) had 70.00 %, and wasn't trained again with fresh "
        "seeds: no fair comparison. Against the second, cnn (trial 2) the winner is 2.00 points "
        "ahead (95 %: +1.00 to +5.00 points)."
    )
    unconfirmed = answer(question)
    assert unconfirmed[0].startswith("The best seen is cnn (trial 2): val_accuracy 80.00 %, not")
    assert unconfirmed[1] == "The best mlp in the search (trial 0) had 70.00 %."


def test_a_confirmation_that_goes_on_confirms_nothing_yet(record) -> None:
    first, last = answer(record, verdict(finished=False))
    assert first.startswith("The best seen is line (trial 2): ") and "not confirmed" in first
    assert last == "Its confirmation isn't finished."


def test_without_a_complete_trial_there_is_no_answer(made_up) -> None:
    made_up.trial(0.1, 0.2)
    (first,) = answer(read_study(made_up.database, "made_up"))
    assert first.startswith("No answer yet: only a complete trial can win")


def test_the_effect_of_what_is_asked_about_is_told_once_it_is_decided(record) -> None:
    question = describing(record, "Does the width matter?")
    study_effects = replace(
        EFFECTS, effects=(replace(effect_of("flip"), parameter=WIDTH, name="width"),)
    )
    first, other, second = answer(question, None, study_effects)
    assert first.startswith("The best seen is width 16, model line (trial 2): ")
    assert other == "The best with width 32 in the search (trial 4) had 80.00 %."
    assert second.startswith("All else equal, width true is better than false by 4.")
    no = replace(study_effects, effects=(replace(study_effects.effects[0], verdict=Verdict.NO),))
    assert answer(question, None, no)[2] == (
        "All else equal, no two values of width differ by more than 1.00 points."
    )


def test_a_question_without_a_parameter_is_answered_by_the_largest_decided_effect(record) -> None:
    study_effects = replace(
        EFFECTS, effects=(replace(effect_of("flip"), parameter=WIDTH, name="width"),)
    )
    first, _, second = answer(record, None, study_effects)
    assert first.startswith("The best seen is width 16, model line (trial 2): ")
    assert second.startswith("All else equal, width true is better than false by 4.")


@pytest.mark.parametrize("text", ["", "Does the width matter?"])
def test_nothing_undecided_is_in_the_answer(record, text: str) -> None:
    question = describing(record, text)
    few = effects(evidence(lambda p: 0.8, trials=3))
    undecided = replace(
        EFFECTS, effects=(replace(effect_of("flip"), parameter=WIDTH, verdict=Verdict.UNDECIDED),)
    )
    for study_effects in (few, undecided):
        sentences = answer(question, None, study_effects)
        assert not any("undecided" in sentence or "All else" in sentence for sentence in sentences)
        assert len(sentences) == (2 if text else 1), "the winner, and what it is compared with"


def test_several_objectives_have_a_front_and_no_winner(record, searched) -> None:
    goals = replace(record.goals, objectives=("val_accuracy", "parameters"))
    trials = [
        replace(t, metrics={"val_accuracy": t.value or 0.0, "parameters": 9.0})
        for t in record.trials
    ]
    (first,) = answer(replace(record, goals=goals, trials=tuple(trials)))
    assert first.startswith("No one trial is best in all of val_accuracy, parameters: ")


#: The path of a parameter of the made-up study.
WIDTH = "model.line.width"


def effect_of(parameter: str) -> Effect:
    effect = EFFECTS.of(parameter)
    assert effect is not None
    return effect
