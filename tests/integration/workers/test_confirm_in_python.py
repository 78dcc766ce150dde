"""``confirm`` and ``ablate`` of ``hpsearch.open_study``; this process does the workers' work."""

from __future__ import annotations

from statistics import mean
from threading import Thread

import pytest
from support.confirming import Confirming, confirming, planned
from support.trials import SmallSearch

import hpsearch
from hpsearch.errors import UserError
from hpsearch.results.confirmation.reading import read_confirmation
from hpsearch.results.confirmation.stored import confirmations, latencies
from hpsearch.workers.ablation import AblateRequest, prepare_ablation

pytestmark = pytest.mark.parametrize("prepared_url", ["sqlite"], indirect=True)


@pytest.fixture
def searched(open_study) -> SmallSearch:
    search = open_study()
    search.run_all()
    return search


@pytest.fixture
def study(searched) -> hpsearch.Study:
    return hpsearch.open_study(
        "small",
        storage=str(searched.database.url),
        runs=searched.runs,
        data=searched.data,
    )


def worked_on(search: SmallSearch) -> Confirming:
    """Train what the search's confirmation asks for."""
    confirm = confirming(search)
    confirm.run_to_end()
    return confirm


def test_it_stores_goes_on_and_ends_with_the_honest_number(searched, study) -> None:
    before = study.best
    best = study.confirm(workers=0, top=2, seeds=2, progress=False)
    assert best == before and not best.confirmed
    confirm = worked_on(searched)
    assert [each.name for each in confirmations(searched.database, "small")] == ["small-confirm"]
    best = study.confirm(progress=False)
    verdict = read_confirmation(searched.database, searched.record())
    assert best.confirmed and best.seeds == 2
    assert (best.trial, best.value) == (verdict.winner, pytest.approx(verdict.confirmed))
    assert best.value == pytest.approx(mean(verdict.reported.values()))
    assert best.interval[0] < best.value < best.interval[1]
    assert best.seen == searched.record().trial(best.trial).value
    assert set(latencies(searched.database, confirm.record())) == {
        each.standing.trial for each in verdict.finalists
    }
    assert study.best == best


def test_other_wishes_than_it_was_begun_with_need_again(searched, study) -> None:
    study.confirm(workers=0, top=2, seeds=2, progress=False)
    worked_on(searched)
    for wish in ({"top": 3}, {"seeds": 4}):
        with pytest.raises(UserError, match="was started with --top 2 --seeds 2, but got"):
            study.confirm(workers=0, progress=False, **wish)
    study.confirm(workers=0, again=True, top=1, seeds=4, progress=False)
    first, second = confirmations(searched.database, "small")
    assert (first.name, second.name) == ("small-confirm", "small-confirm-2")
    assert second.document["confirms"]["asked"] == {
        "top": 1, "seeds": 4, "share": None, "given": ["top", "seeds"],
    }  # fmt: skip


def test_what_cant_be_confirmed_says_why(open_study, study) -> None:
    said: list[UserError] = []

    def elsewhere() -> None:
        with pytest.raises(UserError, match="must be called from the main thread") as caught:
            study.confirm(workers=0)
        said.append(caught.value)

    thread = Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert said
    study.confirm(workers=0, progress=False)
    confirmation = hpsearch.open_study("small-confirm", storage=study._storage)
    with pytest.raises(UserError, match="is the confirmation of 'small'"):
        confirmation.confirm(workers=0, progress=False)


def test_an_ablation_is_stored_goes_on_and_returns_its_effects(searched, study) -> None:
    begun = study.ablate(workers=0, parameters="lr", seeds=3, progress=False)
    assert isinstance(begun, hpsearch.Ablation)
    assert (begun.trainings, begun.finished) == (0, False)
    assert {each.reason for each in begun.effects} == {"not trained yet"}
    request = AblateRequest(parameters=["lr"], seeds=3)
    asked = prepare_ablation(
        searched.database, searched.record(), searched.study, request, data=searched.data
    )
    planned(searched, asked).run_to_end()
    found = study.ablate(parameters=["optimizer.sgd.lr"], progress=False)
    assert study.ablations == [found] and found.ablation == "small-ablate"
    assert found.finished and found.trial == study.best.trial
    assert found.trainings == found.planned == 3 * len(found.configurations)
    for effect in found.effects:
        assert effect.parameter == "optimizer.sgd.lr" and effect.seeds == 3
        assert effect.instead_of == study.best.params["optimizer.sgd.lr"] != effect.value
        assert effect.interval[0] < effect.better_by < effect.interval[1]
        assert effect.sentence in found._repr_html_()
    with pytest.raises(UserError, match="unknown searched parameter 'lrr'"):
        study.ablate(parameters="lrr", progress=False)
    with pytest.raises(UserError, match="asks about no searched parameter"):
        study.ablate(question=True, progress=False)
