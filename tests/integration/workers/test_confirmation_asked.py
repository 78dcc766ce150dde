"""Asking for a confirmation: what is refused, what goes on, what begins anew, and at what cost."""

from __future__ import annotations

import pytest
from support.confirming import confirming
from support.ledger import optuna_storage
from support.trials import SmallSearch

from hpsearch.errors import StudyMismatch, UserError
from hpsearch.reporting.assemble import read_report
from hpsearch.reporting.blocks import Commands
from hpsearch.reporting.sections.reproduce import reproduce
from hpsearch.results import final_evaluations
from hpsearch.results.confirmation.plan import PlannedTraining
from hpsearch.results.confirmation.spec import spec_of
from hpsearch.results.confirmation.stored import latencies, newer_trials, newest
from hpsearch.search.ledger import studies
from hpsearch.study_file.study import SEEDS
from hpsearch.workers.confirmation import (
    ConfirmRequest,
    measure_latencies,
    prepare_confirmation,
    run,
)
from hpsearch.workers.deleting import plan_deletion
from hpsearch.workers.run_config import RunConfig
from hpsearch.workers.winner.final_evaluation import evaluate_winner

#: What the kind of database may change is in test_confirmation.py.
pytestmark = pytest.mark.parametrize("prepared_url", ["sqlite"], indirect=True)


@pytest.fixture
def searched(open_study) -> SmallSearch:
    search = open_study()
    search.run_all()
    return search


def evaluated(search: SmallSearch) -> final_evaluations.FinalEvaluation:
    return evaluate_winner(
        search.database,
        search.record(),
        search.study,
        runs=search.runs,
        device="cpu",
        data=search.data,
    )


def test_a_search_must_have_come_to_something(open_study) -> None:
    search = open_study()
    with pytest.raises(UserError, match="complete or paused at a rung"):
        confirming(search)
    search.run_one()
    search.claim("other")
    with pytest.raises(UserError, match=r"study 'small' has running trials \(1\)"):
        confirming(search)
    assert newest(search.database, "small") is None


def test_names_that_are_too_long_or_taken_are_refused(open_study) -> None:
    search = open_study("study=" + "n" * 57)
    search.run_all()
    with pytest.raises(UserError, match=r"has at most 64 characters, but .* would have 65"):
        confirming(search)
    first, taken = open_study("study=a"), open_study("study=a-confirm")
    first.run_all()
    with pytest.raises(UserError, match="would be stored as study 'a-confirm', but a search has"):
        confirming(first)
    assert taken.tickets() == []
    other = open_study("study=b")
    other.run_all()
    storage = optuna_storage(other.database)
    from optuna.study import StudyDirection

    storage.create_new_study([StudyDirection.MAXIMIZE], "b-confirm")
    with pytest.raises(StudyMismatch, match="that hpsearch didn't create"):
        confirming(other)


def test_several_objectives_are_refused_and_constraints_have_had_their_say(open_study) -> None:
    several = open_study("objectives=[val_accuracy, parameters]", "study=two", "objective=null")
    several.run_all()
    with pytest.raises(UserError, match=r"compared by one objective, but study 'two' has several"):
        confirming(several)
    bounded = open_study("constraints=[parameters <= 1e6]", "study=bounded")
    bounded.run_all()
    confirm = confirming(bounded)
    assert "constraints" not in confirm.study.document
    confirm.run_to_end()
    assert confirm.standing().winner is not None


def test_asked_again_it_goes_on_and_nothing_is_chosen_anew(searched) -> None:
    confirm = confirming(searched)
    confirm.run_one()
    raised = studies.find(searched.database, confirm.stored.name)
    again = confirming(searched)
    assert again.stored == raised
    assert (
        prepare_confirmation(
            searched.database, searched.record(), searched.study, ConfirmRequest()
        ).name
        == raised.name
    )
    for wish, told in ({"top": 3}, "got --top 3"), ({"seeds": 4}, "got --seeds 4"):
        with pytest.raises(
            UserError, match=f"started with --top 2 --seeds 2, but {told}; .*--again"
        ):
            confirming(searched, **wish)
    with pytest.raises(UserError, match="is the confirmation of 'small'"):
        confirming(again)


def test_a_report_repeats_the_options_that_were_given(searched) -> None:
    """Without them the same commands would confirm other finalists with other seeds."""

    def commands() -> list[str]:
        (content,) = read_report(searched.database, ["small"], data=searched.data).studies
        blocks = [each for each in reproduce(content).blocks if isinstance(each, Commands)]
        return [line for line in blocks[0].lines if "confirm" in line]

    assert commands() == ["hpsearch confirm --study small"]
    confirming(searched, seeds=SEEDS)
    assert commands() == ["hpsearch confirm --study small --top 2 --seeds 5"]


def test_a_budget_that_has_grown_stays_when_it_is_asked_again(searched) -> None:
    confirm = confirming(searched)
    confirm.run_to_end()
    ended = studies.find(searched.database, confirm.stored.name)
    assert ended.trial_budget > confirm.stored.trial_budget
    assert studies.create_or_find(searched.database, confirm.study) == ended


def test_left_between_two_rounds_it_is_not_finished(searched) -> None:
    confirm = confirming(searched)
    confirm.run_all()  # and whoever would have planned the next round was killed
    before = confirm.record().study.trial_budget
    asked = prepare_confirmation(
        searched.database, searched.record(), searched.study, ConfirmRequest()
    )
    config = RunConfig(storage=str(searched.database.url), workers=0, runs=searched.runs)
    outcome = run(searched.database, asked, config, lambda _: None)
    assert outcome.reason == "stored"
    assert confirm.record().study.trial_budget > before == outcome.counts.finished


def test_anew_it_takes_seeds_that_nobody_has_seen(searched) -> None:
    first = confirming(searched)
    first.run_to_end()
    second = confirming(searched, again=True, seeds=3)
    assert (second.stored.name, newest(searched.database, "small").study) == (
        "small-confirm-2",
        second.stored,
    )
    second.run_to_end()
    used = [set(each.noted("trial_seed").values()) for each in (first, second)]
    assert not used[0] & used[1]
    params = [trial.params["confirm_seed"] for trial in second.trainings().values()]
    assert (min(params), max(params)) == (5, 10)
    assert second.trials()[0].distributions["confirm_seed"].high == 10


def test_newer_trials_are_counted(open_study) -> None:
    search = open_study("budget.trials=2")
    search.run_all()
    confirm = confirming(search)
    confirm.run_to_end()
    assert newer_trials(search.record(), confirm.record()) == 0
    more = open_study("budget.trials=4")
    more.run_all()
    assert newer_trials(more.record(), confirm.record()) == 2


def test_the_first_that_was_tried_is_compared_with(open_study) -> None:
    search = open_study("try_first=[{optimizer: {sgd: {lr: 0.011}}}]", "budget.trials=4")
    search.run_all()
    confirm = confirming(search, top=1)
    first = search.record().trials[0].number
    assert spec_of(confirm.stored).to_document()["baseline"] == {
        "trial": first,
        "params": {"optimizer.sgd.lr": 0.011},
    }
    confirm.run_to_end()
    of_report = {entry.trial for entry in confirm.trainings() if entry.seed > 2}
    assert first in of_report


def test_a_share_limits_what_it_may_cost(open_study) -> None:
    search = open_study("confirm={top: 3, seeds: 5, share: 5.5}")
    search.run_all()
    asked = prepare_confirmation(search.database, search.record(), search.study, ConfirmRequest())
    # Three finalists, tied: 3 and 2 trainings a seed, of 3 epochs; the search ran 9
    assert (asked.spec.seeds, asked.most) == (3, 15)
    assert "share 5.5 of the search's 9 epochs allows 50, so" in asked.spec.rule
    # It goes on by what was asked, not by what came of it
    assert (
        prepare_confirmation(
            search.database, search.record(), search.study, ConfirmRequest(seeds=5)
        ).name
        == asked.name
    )


@pytest.mark.parametrize(
    ("wish", "confirm", "finalists", "seeds"),
    [
        # The search ran 9 epochs, a training takes 3: nothing but the smallest costs no more
        (ConfirmRequest(), "null", 1, 2),
        (ConfirmRequest(top=2), "null", 2, 5),
        (ConfirmRequest(seeds=3), "null", 3, 3),
        (ConfirmRequest(), "{top: 2, seeds: 3}", 3, 3),
    ],
)
def test_it_costs_what_the_search_did_unless_more_is_asked_for(
    open_study, wish, confirm, finalists, seeds
) -> None:
    """Three trials, tied: --top takes exactly so many, the file's top those tied as well."""
    search = open_study(f"confirm={confirm}")
    search.run_all()
    asked = prepare_confirmation(search.database, search.record(), search.study, wish)
    assert len(asked.spec.finalists) == finalists
    assert asked.spec.seeds == seeds
    limited = "it may cost as many epochs as the search ran, 9, so" in asked.spec.rule
    assert limited == (seeds == 2)


@pytest.mark.parametrize(
    ("seeds", "says"), [(1, "needs 2 seeds or more"), (10**9, "uses at most 1,000 seeds, but got")]
)
def test_a_plan_is_of_a_size_that_memory_holds(searched, seeds, says) -> None:
    with pytest.raises(UserError, match=says):
        prepare_confirmation(
            searched.database, searched.record(), searched.study, ConfirmRequest(seeds=seeds)
        )


def test_one_image_is_timed_with_every_finalist(searched) -> None:
    confirm = confirming(searched)
    confirm.run_to_end()
    asked = prepare_confirmation(
        searched.database, searched.record(), searched.study, ConfirmRequest()
    )
    measure_latencies(searched.database, asked, device="cpu", data=searched.data)
    found = latencies(searched.database, confirm.record())
    assert sorted(found) == sorted(spec_of(confirm.stored).trials)
    assert all(seconds > 0 for seconds in found.values())
    measure_latencies(searched.database, asked, device="cpu", data=searched.data)
    assert len(confirm.events("latency_measured")) == 1


def test_test_images_are_opened_once_for_all_of_the_winners_trainings(searched) -> None:
    confirm = confirming(searched)
    with pytest.raises(UserError, match="isn't finished; continue with `hpsearch confirm --study"):
        evaluated(searched)
    confirm.run_to_end()
    opening = evaluated(searched)
    assert final_evaluations.evaluations(searched.database, searched.stored.study_id) == [opening]
    assert final_evaluations.evaluations(searched.database, confirm.stored.study_id) == []
    assert (opening.trial, opening.seeds) == (confirm.standing().winner, [3, 4])
    assert opening.accuracy == pytest.approx(sum(opening.accuracies) / 2)
    assert sum(map(sum, opening.confusion)) == 2 * opening.images
    low, high = opening.interval
    assert 0 <= low < opening.accuracy < high <= 1
    with pytest.raises(UserError, match="name the search: hpsearch evaluate --study small"):
        evaluated(confirm)
    # Each is evaluated as it was trained: with its own split's mean and deviation
    trainings = confirm.trainings()
    mine = [trainings[PlannedTraining(trial=opening.trial, seed=seed)] for seed in opening.seeds]
    assert {each.epochs_done for each in mine} == {opening.epoch} == {3}


def test_the_newest_confirmation_is_deleted_first(searched) -> None:
    database, runs = searched.database, searched.runs
    first = confirming(searched).stored.name
    second = confirming(searched, again=True).stored.name
    with pytest.raises(UserError, match=rf"after '{first}' came '{second}'; delete that first"):
        plan_deletion(database, first, runs)
    assert [study.rows.name for study in plan_deletion(database, second, runs).studies] == [second]
    names = [study.rows.name for study in plan_deletion(database, "small", runs).studies]
    assert names == ["small", first, second]


def test_a_search_that_is_called_like_a_confirmation_is_not_deleted_with_another(
    searched, open_study
) -> None:
    open_study("study=small-confirm")
    plan = plan_deletion(searched.database, "small", searched.runs)
    assert [study.rows.name for study in plan.studies] == ["small"]
