"""An ablation as it runs: paired seeds, a plan that survives a kill, one study for one request."""

from __future__ import annotations

import time

import pytest
from support.confirming import Confirming, confirming, planned
from support.trials import ASKED_PER_EPOCH, SmallSearch, leave_after

from hpsearch.errors import UserError
from hpsearch.results.ablation.spec import spec_of
from hpsearch.results.ablation.stored import progress_of, read_result, trainings
from hpsearch.results.ablation.summary import summarize
from hpsearch.results.confirmation.spec import spec_of as confirmation_of
from hpsearch.results.deadline.forecast import Forecast, read_forecast
from hpsearch.results.deadline.seeds import fit_seeds, keep_complete_seeds
from hpsearch.results.deadline.stored import Deadline, set_deadline
from hpsearch.study_file.trial_config import CONFIRM_SEED
from hpsearch.workers.ablation import AblateRequest, prepare_ablation
from hpsearch.workers.trial.deadline_watch import DeadlineWatch
from hpsearch.workers.trial.planned import extend_budget_from_plan

HIDDEN = "model={mlp: {hidden: {values: [[16], [8]]}}}"
QUESTION = "question={parameter: model.mlp.hidden, by: [optimizer.sgd.lr]}"


def ablating(search: SmallSearch, request: AblateRequest) -> Confirming:
    asked = prepare_ablation(
        search.database, search.record(), search.study, request, data=search.data
    )
    return planned(search, asked)


def test_a_disturbed_ablation_ends_like_an_undisturbed_one(open_study) -> None:
    request, ended = AblateRequest(seeds=3), []
    for name in ("undisturbed", "disturbed"):
        search = open_study(HIDDEN, f"study={name}")
        search.run_all()
        ablation = ablating(search, request)
        if name == "undisturbed":
            ablation.run_to_end()
        else:
            while extend_budget_from_plan(ablation.database, ablation.stored.name):
                assert ablation.run_one("one", leave=leave_after(ASKED_PER_EPOCH)).state == "paused"
                ablation = ablating(search, request)  # the same command again
                ablation.run_all("two")
        record = ablation.record()
        assert progress_of(record).finished and not ablation.files()
        spec = spec_of(record.study)
        begun = trainings(record)
        assert len(begun) == len(ablation.tickets()) == spec.trainings
        for entry, trial in begun.items():
            assert trial.params == {**spec.variants[entry.trial].params, CONFIRM_SEED: entry.seed}
        result = read_result(search.database, record)
        assert all(each.ahead is not None for each in result.effects)
        ended.append((ablation.figures(), result.effects))
    assert ended[0] == ended[1]


def test_requests_are_ablations_of_their_own_and_seeds_are_used_once(open_study) -> None:
    search = open_study(HIDDEN, QUESTION)
    search.run_all()
    confirm = confirming(search)
    confirm.run_to_end()
    first = ablating(search, AblateRequest(question=True, seeds=3))
    assert spec_of(first.stored).seeds_before == confirmation_of(confirm.stored).last_seed
    assert spec_of(first.stored).trial == confirm.standing().winner
    assert {each.parameter for each in spec_of(first.stored).contrasts} == {"model.mlp.hidden"}
    small = AblateRequest(parameters=["lr"], most_trainings=12)
    second = ablating(search, small)
    assert second.stored.name == f"{first.stored.name}-2"
    assert spec_of(second.stored).trainings <= 12
    assert ablating(search, AblateRequest(parameters=["lr"])).stored == second.stored
    assert ablating(search, AblateRequest(question=True)).stored == first.stored
    again = confirming(search, again=True)
    assert confirmation_of(again.stored).seeds_before == spec_of(second.stored).last_seed
    # Under a deadline, other places are asked about only if 20 seeds of all configurations fit
    asked_at = []
    others = [each for each in range(3) if each != confirm.standing().winner]
    for trial, most in zip(others, (120, 119), strict=False):
        timed = AblateRequest(question=True, trial=trial, most_trainings=most)
        asked_at.append(len(spec_of(ablating(search, timed).stored).variants))
    assert asked_at == [6, 2]
    with pytest.raises(UserError, match=r"smallest ablation needs \d+ trainings"):
        ablating(search, AblateRequest(most_trainings=5))
    with pytest.raises(UserError, match="is the ablation of"):
        prepare_ablation(first.database, first.record(), first.study, AblateRequest())


def test_a_large_difference_is_settled_early_and_every_worker_goes_on_with_that(open_study) -> None:
    hidden = "model={mlp: {hidden: {values: [[32], [1]]}}}"
    search = open_study(
        hidden,
        "optimizer={sgd: {lr: 0.1, momentum: 0.9}}",
        "data.limit=800",
        "budget={trials: 1, epochs_per_trial: 2}",
    )
    search.run_all()
    ablation = ablating(search, AblateRequest(parameters=["hidden"], seeds=5))
    ablation.run_to_end()
    record = ablation.record()
    assert len(ablation.tickets()) == 2 * 4 and progress_of(record).finished
    (effect,) = read_result(search.database, record).effects
    assert (effect.answer, effect.settled, effect.seeds) == ("yes", True, 4)
    assert not extend_budget_from_plan(ablation.database, ablation.stored.name)
    told = summarize("small-ablate", read_result(search.database, record)).to_json()
    assert (told["finished"], told["trainings"], told["planned"]) == (True, 8, 10)
    assert told["effects"][0]["settled_early"]


def under(search: SmallSearch, left: float) -> Forecast:
    """Give the search a deadline, and return what its ablation is told of it."""
    now = time.time()
    stages = frozenset({"answer"})
    deadline = Deadline(begun=now - 100, at=now + left, stages=stages)
    set_deadline(search.database, search.stored.study_id, deadline)
    found = read_forecast(search.database, search.stored, now=now, workers=1)
    assert found is not None
    return found


def test_time_decides_the_seeds_and_a_late_answer_keeps_the_complete_ones(open_study) -> None:
    search = open_study(HIDDEN, QUESTION)
    search.run_all()
    plenty, none = under(search, 1e6), under(search, 40)
    request = AblateRequest(parameters=["model.mlp.hidden"], most_trainings=6)
    ablation = ablating(search, request)
    name, last_seed = ablation.stored.name, spec_of(ablation.stored).last_seed

    def fit(forecast: Forecast, now: float) -> int:
        fit_seeds(search.database, name, forecast, now=now, workers=1)
        return spec_of(ablation.record().study).seeds

    assert fit(plenty, time.time()) == 3  # nothing waits for more yet
    ablation.run_to_end()
    assert fit(plenty, time.time()) == 20
    while len(ablation.tickets()) < 9:  # as a kill would leave it
        ablation.run_one("one")
        extend_budget_from_plan(search.database, name)
    assert ablating(search, request).stored.study_id == ablation.stored.study_id
    assert fit(none, none.at) == 5  # what has begun stays
    assert keep_complete_seeds(search.database, name)
    spec = spec_of(ablation.record().study)
    assert (spec.seeds, spec.last_seed) == (4, last_seed)
    result = read_result(search.database, ablation.record())
    assert result.progress.finished and {each.seeds for each in result.effects} == {4}


def test_a_deadline_that_has_passed_binds_nothing_that_begins_later(open_study) -> None:
    search = open_study(HIDDEN, QUESTION)
    search.run_all()
    begun, moments = confirming(search), [time.time()]
    under(search, 100)

    def watching() -> DeadlineWatch:
        watch = DeadlineWatch(search.database, begun.stored, (), clock=lambda: moments[-1])
        watch.refresh()
        return watch

    at_work = watching()
    moments.append(moments[0] + 200)
    later = watching()
    assert at_work.is_over() and not at_work.allows(0, 0.0)
    assert not later.is_over() and later.allows(0, 0.0)
