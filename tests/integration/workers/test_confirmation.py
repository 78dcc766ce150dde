"""A confirmation as it runs: paired seeds, fresh splits, rounds that nobody plans twice."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from support.confirming import confirming
from support.trials import ASKED_PER_EPOCH, SmallSearch, leave_after

from hpsearch.engines import fleet_state
from hpsearch.engines.engine import FleetWorker
from hpsearch.errors import InfeasibleConfig
from hpsearch.results import trial_attributes
from hpsearch.results.confirmation.contributions import contributions
from hpsearch.results.confirmation.outcomes import PREDICTIONS
from hpsearch.results.confirmation.plan import PlannedTraining
from hpsearch.results.confirmation.predictions import decode
from hpsearch.results.confirmation.reading import read_confirmation
from hpsearch.results.confirmation.spec import spec_of
from hpsearch.search.database.storage import Database
from hpsearch.search.ledger.types import Idle
from hpsearch.study_file.trial_config import CONFIRM_SEED
from hpsearch.workers.trial import trial_run
from hpsearch.workers.trial.planned import extend_budget_from_plan


@pytest.fixture
def searched(open_study) -> SmallSearch:
    search = open_study()
    search.run_all()
    return search


def of_seed(noted: dict[PlannedTraining, Any]) -> dict[int, set[Any]]:
    """Return seed -> the values that trainings with it have."""
    found: dict[int, set[Any]] = {}
    for entry, value in noted.items():
        found.setdefault(entry.seed, set()).add(value)
    return found


def test_a_launch_on_an_engine_waits_between_two_rounds(searched, monkeypatch) -> None:
    confirm = confirming(searched)
    confirm.run_all("one")
    assert not confirm.standing().finished

    class Workers:
        """They plan and train the other rounds when the launch first looks at them."""

        def look(self) -> list[FleetWorker]:
            confirm.run_to_end()
            return [FleetWorker(number=1, state="running", native_id="1")]

    monkeypatch.setattr(fleet_state, "_TICK_SECONDS", 0.0)
    ended = fleet_state.watch(
        confirm.database, confirm.stored, confirm.study, Workers(), lambda progress: None
    )
    assert ended.reason == "finished"
    assert confirm.standing().finished


def test_finalists_meet_the_same_seeds_each_with_a_split_of_its_own(searched) -> None:
    confirm = confirming(searched)
    confirm.run_to_end()
    now, trainings = confirm.standing(), confirm.trainings()
    assert now.finished and now.winner is not None
    # Nothing but the plan was trained, and nothing twice
    assert list(trainings) == list(now.planned)
    assert len(confirm.tickets()) == len(set(now.planned)) == confirm.record().study.trial_budget
    assert {each.state.value for each in trainings.values()} == {"complete"}
    told = spec_of(confirm.stored).params
    for entry, trial in trainings.items():
        assert trial.params == {**told[entry.trial], CONFIRM_SEED: entry.seed}

    for name in ("trial_seed", "split_seed", "split_hash"):
        by_seed = of_seed(confirm.noted(name))
        assert sorted(by_seed) == [1, 2, 3, 4]
        assert all(len(values) == 1 for values in by_seed.values()), name
        assert len(set().union(*by_seed.values())) == 4, name
    (data_hash,) = set(confirm.noted("data_hash").values())
    of_search = trial_attributes.read(searched.database, searched.record().trials[0].trial_id)
    assert data_hash == of_search["data_hash"]
    assert of_search["split_hash"] not in set(confirm.noted("split_hash").values())

    verdict = read_confirmation(searched.database, searched.record())
    assert verdict is not None and verdict.new_splits and verdict.finished
    reported = [trainings[PlannedTraining(trial=now.winner, seed=seed)].value for seed in (3, 4)]
    assert verdict.confirmed == pytest.approx(sum(reported) / 2)
    # Of the winner's report seeds the weights are kept, and nothing else
    kept = {trainings[PlannedTraining(trial=now.winner, seed=seed)].number for seed in (3, 4)}
    assert confirm.files() == {f"trial-{number:04d}/best.pt" for number in kept}


def test_predictions_are_those_of_the_value_and_a_search_stores_none(open_study) -> None:
    search = open_study("objective={metric: val_accuracy, at: best}")
    search.run_all()
    for trial in search.record().trials:
        assert PREDICTIONS not in trial_attributes.read(search.database, trial.trial_id)
    confirm = confirming(search)
    confirm.run_to_end()
    values = {entry: trial.value for entry, trial in confirm.trainings().items()}
    said = {entry: decode(text) for entry, text in confirm.predictions().items()}
    assert {
        entry: contributions("val_accuracy", each).mean() for entry, each in said.items()
    } == pytest.approx(values)
    last = {entry: trial.last_value for entry, trial in confirm.trainings().items()}
    assert last != values  # or this shows nothing
    assert {len(each) for each in said.values()} == {40}
    assert len({tuple(each.rows) for each in said.values()}) == 4


def test_a_training_that_was_paused_stores_what_an_undisturbed_one_does(open_study) -> None:
    ended = []
    for name in ("undisturbed", "disturbed"):
        search = open_study("objective={metric: val_accuracy, at: best}", f"study={name}")
        search.run_all()
        confirm = confirming(search)
        if name == "undisturbed":
            confirm.run_to_end()
        else:
            while extend_budget_from_plan(confirm.database, confirm.stored.name):
                # In epoch 3, when for some the best epoch is over
                asked = leave_after(2 * ASKED_PER_EPOCH + 2)
                assert confirm.run_one("one", leave=asked).state == "paused"
                assert confirm.run_one("two").state == "complete"
        ended.append((confirm.figures(), confirm.predictions(), confirm.standing()))
        best = {trial.best_epoch for trial in confirm.trainings().values()}
        assert best - {3}, "or nothing was to be kept over the pause"
    assert ended[0] == ended[1]


def test_a_fixed_validation_part_is_the_same_for_every_seed(open_study, tmp_path) -> None:
    from PIL import Image

    for part in ("train", "val"):
        for name, shade in (("dark", 60), ("light", 200)):
            folder = tmp_path / part / name
            folder.mkdir(parents=True)
            for number in range(8):
                Image.new("L", (8, 8), shade + 5 * number).save(folder / f"{number}.png")
    folders = f"{{path: {tmp_path}/train, val_path: {tmp_path}/val}}"
    search = open_study(f"data={{source: {{image_folder: {folders}}}}}", "batch_size=4")
    search.run_all()
    confirm = confirming(search)
    confirm.run_to_end()
    assert len(set(confirm.noted("split_hash").values())) == 1
    assert len(set(confirm.noted("trial_seed").values())) == 4
    verdict = read_confirmation(search.database, search.record())
    assert verdict is not None and not verdict.new_splits and verdict.images == 16


def test_workers_that_find_nothing_left_at_once_plan_one_round(searched, prepared_url) -> None:
    confirm = confirming(searched, top=3, seeds=3)
    assert confirm.run_all() is Idle.FINISHED
    first = len(confirm.tickets())
    assert first == 6
    hands = [confirm.claims(f"worker-{number}") for number in range(4)]
    assert {hand.claim() for hand in hands} == {Idle.FINISHED}

    together = threading.Barrier(len(hands))
    answers: list[bool] = []

    def ask_for_more() -> None:
        database = Database(prepared_url)
        together.wait()
        answers.append(extend_budget_from_plan(database, confirm.stored.name))
        database.close()

    threads = [threading.Thread(target=ask_for_more) for _ in hands]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [True] * len(hands)
    planned = len(confirm.standing().planned)
    assert confirm.record().study.trial_budget == planned > first
    (grown,) = confirm.events("budget_changed")
    assert grown.detail == {"before": first, "now": planned}
    confirm.run_to_end()
    trained = [(entry.trial, entry.seed) for entry in confirm.trainings()]
    assert len(trained) == len(set(trained)) == len(confirm.tickets())


def test_whoever_waits_for_a_round_to_end_goes_on(searched) -> None:
    confirm = confirming(searched)
    first = confirm.stored.trial_budget
    held = [confirm.claim("one") for _ in range(first)]
    assert confirm.claims("two").claim() is Idle.WAIT
    # One who asks too early gets nothing and hears that there will be more
    assert extend_budget_from_plan(confirm.database, confirm.stored.name)
    assert confirm.record().study.trial_budget == first
    for claim in held:
        trial_run.run_trial(confirm.bench("one"), claim)
    confirm.run_to_end("two")
    assert confirm.standing().finished
    assert not extend_budget_from_plan(confirm.database, confirm.stored.name)


def test_a_finalist_that_fails_is_out(searched, monkeypatch) -> None:
    confirm = confirming(searched, top=2)
    leader = spec_of(confirm.stored).trials[0]
    real = trial_run.plan_build

    def with_a_bad_split(config: Any, **options: Any) -> Any:
        if (
            config.optimizer.settings["lr"]
            == searched.record().trial(leader).params["optimizer.sgd.lr"]
            and config.split_seed
            == confirm.study.trial_config(
                {**searched.record().trial(leader).params, CONFIRM_SEED: 2}, 1
            ).split_seed
        ):
            raise InfeasibleConfig("a batch of one image")
        return real(config, **options)

    monkeypatch.setattr(trial_run, "plan_build", with_a_bad_split)
    confirm.run_to_end()
    now = confirm.standing()
    assert now.finished and now.winner not in (None, leader)
    (out,) = [each for each in now.standings if each.failed]
    assert (out.trial, out.rejected_after) == (leader, 2)
    failed = [each for each in confirm.tickets() if each.state == "failed"]
    assert [each.last_error for each in failed] == ["a batch of one image"]
