"""An ablation as it runs: paired seeds, a plan that survives a kill, one study for one request."""

from __future__ import annotations

import pytest
from support.confirming import Confirming, confirming, planned
from support.trials import ASKED_PER_EPOCH, SmallSearch, leave_after

from hpsearch.errors import UserError
from hpsearch.results.ablation.spec import spec_of
from hpsearch.results.ablation.stored import progress_of, read_result, trainings
from hpsearch.results.confirmation.spec import spec_of as confirmation_of
from hpsearch.study_file.trial_config import CONFIRM_SEED
from hpsearch.workers.ablation import AblateRequest, prepare_ablation
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
    with pytest.raises(UserError, match=r"smallest ablation needs \d+ trainings"):
        ablating(search, AblateRequest(most_trainings=5))
    with pytest.raises(UserError, match="is the ablation of"):
        prepare_ablation(first.database, first.record(), first.study, AblateRequest())
