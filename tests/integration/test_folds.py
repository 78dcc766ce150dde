"""Studies of folds and of repeated splits, from the search to what can be made of its winner."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from ruamel.yaml import YAML
from support.commands import Ran
from support.confirming import Confirming, confirming
from support.trials import SmallSearch, leave_after, open_small

from hpsearch.cli.terminal.verdict import print_verdict
from hpsearch.reporting.blocks import Facts
from hpsearch.reporting.reading import read_content
from hpsearch.reporting.sections.winner import winner
from hpsearch.results import final_evaluations, trial_attributes
from hpsearch.results.confirmation.plan import PlannedTraining
from hpsearch.results.confirmation.predictions import decode
from hpsearch.results.confirmation.reading import read_confirmation, read_verdict
from hpsearch.results.export.bundle import read_bundle
from hpsearch.results.ranking import best
from hpsearch.search.database.schema_version import ensure_tables
from hpsearch.search.database.storage import Database
from hpsearch.training import checkpoint
from hpsearch.training.data import prepare as preparing
from hpsearch.training.data.prepare import prepare
from hpsearch.training.registries import MODELS
from hpsearch.workers.trial.run_folder import RunFolder

Hpsearch = Callable[..., Ran]

#: Milliseconds an epoch; 90 images.
STUDY = """
study: divided
seed: 5
budget: {trials: 2, epochs_per_trial: 2}
sampler: random
pruner: none
data: {source: digits, limit: 90, HOW, augmentation: {random_crop: {padding: 1}}}
model: {mlp: {hidden: [16], dropout: 0.2}}
optimizer: {sgd: {lr: {min: 5e-2, max: 0.5, log: true}, momentum: 0.9}}
batch_size: 32
"""
FOLDS, SPLITS = "folds: 3", "splits: 3, validation: 0.2"

#: Batches of one training in one epoch (60 images), and one of validation.
ASKED_PER_TRAINING = 3


@dataclass(frozen=True)
class Searched:
    """A search that has ended, confirmed by two seeds for the choice and two for the report."""

    search: SmallSearch
    confirm: Confirming
    url: str

    @property
    def stored(self) -> tuple[str, ...]:
        return ("--study", "divided", "--storage", self.url, *self.files)

    @property
    def files(self) -> tuple[str, ...]:
        return ("--runs", str(self.search.runs), *self.data)

    @property
    def data(self) -> tuple[str, ...]:
        return ("--data", str(self.search.data))


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


def _open(folder: Path, data: Path, how: str, *overrides: str) -> tuple[SmallSearch, str]:
    url = f"sqlite:///{folder / 'hpsearch.db'}"
    database = Database(url)
    ensure_tables(database)
    return open_small(database, folder, data, *overrides, text=STUDY.replace("HOW", how)), url


def _searched(folder: Path, data: Path, how: str) -> Iterator[Searched]:
    search, url = _open(folder, data, how)
    search.run_all()
    confirm = confirming(search)
    confirm.run_to_end()
    yield Searched(search, confirm, url)
    search.database.close()


@pytest.fixture(scope="module")
def folds(tmp_path_factory: pytest.TempPathFactory, data_root: Path) -> Iterator[Searched]:
    yield from _searched(tmp_path_factory.mktemp("folds"), data_root, FOLDS)


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory, data_root: Path) -> Iterator[Searched]:
    yield from _searched(tmp_path_factory.mktemp("splits"), data_root, SPLITS)


def noted(search: SmallSearch, number: int = 0) -> dict:
    (trial,) = [each for each in search.record().trials if each.number == number]
    return trial_attributes.read(search.database, trial.trial_id)


def test_a_trial_tells_how_it_was_judged(folds: Searched, splits: Searched) -> None:
    found = noted(folds.search)
    told = [found[name] for name in ("trainings", "train_images", "val_images")]
    assert told == [3, 60, 90]
    assert np.array(found["val_confusion"]).sum() == 90
    found = noted(splits.search)
    assert (found["trainings"], found["train_images"]) == (3, 72)
    assert 18 < found["val_images"] <= 54
    assert found["split_hash"] != noted(folds.search)["split_hash"]


def test_weights_of_every_fold_are_kept(folds: Searched) -> None:
    winner = best(folds.search.record())
    assert winner is not None
    (file,) = folds.search.runs.rglob(f"divided/*/trial-{winner.number:04d}/best.pt")
    assert len(checkpoint.load(file)["weights"]) == 3


# In the first fold of epoch 1; between two; in the third; in epoch 2, when two of its folds ended
@pytest.mark.parametrize("asked", [2, 3, 7, 9 + 2 * 3 + 1])
def test_a_paused_trial_ends_as_if_it_had_not_been(
    folds: Searched, tmp_path: Path, data_root: Path, asked: int
) -> None:
    search, _ = _open(tmp_path, data_root, FOLDS)
    assert search.run_one(leave=leave_after(1 + asked)).state == "paused"
    assert search.run_one("two").state == "complete"
    assert search.figures()[1] == folds.search.figures()[1]
    assert search.events("checkpoint_unusable") == []
    search.database.close()


def test_a_confirmation_judges_every_image_with_each_seed(folds: Searched) -> None:
    confirm, now = folds.confirm, folds.confirm.standing()
    told = confirm.predictions()
    assert all(decode(text).rows.tolist() == list(range(90)) for text in told.values())
    by_seed: dict[int, set[str]] = {}
    for entry, split in confirm.noted("split_hash").items():
        by_seed.setdefault(entry.seed, set()).add(split)
    # Paired: one division for all finalists, with each seed another
    assert [len(each) for _, each in sorted(by_seed.items())] == [1, 1, 1, 1]
    assert len(set().union(*by_seed.values())) == 4
    verdict = read_confirmation(folds.search.database, folds.search.record())
    assert verdict is not None and verdict.new_splits
    assert verdict.images == 90
    assert now.winner is not None
    reported = [
        confirm.trainings()[PlannedTraining(trial=now.winner, seed=seed)].value for seed in (3, 4)
    ]
    assert list(verdict.reported.values()) == pytest.approx(reported)


@pytest.mark.parametrize(
    ("how", "told"), [("folds", "3 newly drawn folds"), ("splits", "a newly drawn split")]
)
def test_the_verdict_says_what_each_seed_draws(
    request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str], how: str, told: str
) -> None:
    searched = request.getfixturevalue(how)
    search, confirmed = searched.search.record(), searched.confirm.record()
    verdict = read_verdict(searched.search.database, search, confirmed)
    print_verdict(search, verdict, confirmed, nth=1, newer=0)
    assert f"each seed with {told}" in capsys.readouterr().out
    facts = dict(
        fact
        for block in winner(read_content(searched.search.database, "divided")).blocks
        if isinstance(block, Facts)
        for fact in block.facts
    )
    assert f"each seed with {told}" in facts["Based on"]


def test_a_confirmation_of_repeated_splits_trains_one_with_each_seed(splits: Searched) -> None:
    confirm = splits.confirm
    assert set(confirm.noted("trainings").values()) == {None}
    assert {len(decode(each)) for each in confirm.predictions().values()} == {18}
    assert len(set(confirm.noted("split_hash").values())) == 4


@pytest.mark.parametrize("unconfirmed", [True, False])
@pytest.mark.parametrize("how", ["folds", "splits"])
def test_the_frozen_config_verifies_to_the_last_digit(
    request: pytest.FixtureRequest, hpsearch: Hpsearch, here: Path, how: str, unconfirmed: bool
) -> None:
    searched = request.getfixturevalue(how)
    which = ("--unconfirmed",) if unconfirmed else ()
    ran = hpsearch("export", *searched.stored, *which, "--out", "best.yaml", "--card", "card.md")
    assert (ran.code, ran.err) == (0, "")
    document = YAML(typ="safe").load(here / "best.yaml")
    if not unconfirmed:
        drawn = {
            "folds": "3 folds, newly drawn for each seed",
            "splits": "newly drawn for each seed",
        }
        assert document["provenance"]["confirmed"]["split"] == drawn[how]
    several = document["data"].get(how)
    assert several == (None if how == "splits" and not unconfirmed else 3)
    told = hpsearch("verify", "best.yaml", *searched.data, "--json").json
    assert (told["exact"], told["holds"], told["data"]) == (True, True, [])
    assert told["value"] == document["provenance"]["value"]
    ran = hpsearch("train", "best.yaml", *searched.data)
    assert (ran.code, "reproduced exactly" in ran.out) == (0, True)
    card = (here / "card.md").read_text()
    assert ("for each of 3 models, one for each" in card) is (several is not None)


def test_of_folds_no_model_is_exported_but_one_is_trained(
    hpsearch: Hpsearch, here: Path, folds: Searched
) -> None:
    for target in ("--weights=w.safetensors", "--bundle=b"):
        ran = hpsearch("export", *folds.stored, target)
        assert ran.code == 2
        assert "one model is exported, but a trial of 3 folds has 3" in ran.err
        assert "hpsearch train best.yaml --on all --out FOLDER" in ran.err
    assert list(here.iterdir()) == []
    assert hpsearch("export", *folds.stored, "--out", "best.yaml").code == 0
    ran = hpsearch("train", "best.yaml", "--out", "model", *folds.data)
    assert (ran.code, "add --on all" in ran.err) == (2, True)
    assert not (here / "model").exists()
    ran = hpsearch("train", "best.yaml", "--on", "all", "--out", "model", *folds.data)
    assert (ran.code, ran.err) == (0, "")
    assert "90 images, those for validation among them" in ran.out
    _, made = read_bundle(here / "model")
    assert made.signature.trained_on == "train+validation"
    told = hpsearch("verify", "model/best.yaml", *folds.data, "--json").json
    assert told["exact"] is True


def test_a_confirmed_study_of_splits_has_a_model(
    hpsearch: Hpsearch, here: Path, splits: Searched
) -> None:
    ran = hpsearch("export", *splits.stored, "--unconfirmed", "--bundle", "seen")
    assert ran.code == 2
    assert "or `hpsearch confirm --study divided`, whose trainings have one split" in ran.err
    ran = hpsearch("export", *splits.stored, "--bundle", "best")
    assert (ran.code, ran.err) == (0, "")
    _, made = read_bundle(here / "best")
    assert made.signature.trained_on == "train"


@pytest.mark.parametrize(("how", "models"), [("folds", 6), ("splits", 2)])
def test_the_test_images_judge_every_model(
    request: pytest.FixtureRequest, hpsearch: Hpsearch, how: str, models: int
) -> None:
    searched = request.getfixturevalue(how)
    told = hpsearch("evaluate", *searched.stored, "--json").json
    assert (told["models"], told["seeds"]) == (models, [3, 4])
    assert sum(map(sum, told["confusion"])) == models * told["images"]
    assert told["accuracy"] == pytest.approx(sum(told["accuracies"]) / 2)
    (opening,) = final_evaluations.evaluations(
        searched.search.database, searched.search.stored.study_id
    )
    low, high = opening.interval
    assert low < opening.accuracy < high
    assert told["accuracies"] == pytest.approx(
        [_by_hand(searched, told["trial"], seed) for seed in (3, 4)]
    )


def _by_hand(searched: Searched, winner: int, seed: int) -> float:
    """Return the mean test accuracy of a training's models, each with its own normalisation."""
    confirm = searched.confirm
    trial = confirm.trainings()[PlannedTraining(trial=winner, seed=seed)]
    config = confirm.study.trial_config(trial.params, trial.ticket)
    data = prepare(config.data, split_seed=config.split_seed, root=confirm.data)
    kept = RunFolder(confirm.runs, confirm.stored.name, confirm.stored.run_key).load_best(
        trial.number or 0
    )["weights"]
    images, labels = preparing.test_images(config.data, root=confirm.data)
    found = []
    for part, weights in zip(data.rounds or [data], kept if data.rounds else [kept], strict=True):
        model = MODELS.build(config.model, data.input_shape, 10).eval()
        model.load_state_dict(weights)
        with torch.no_grad():
            logits = model(((images / 255).sub(part.mean.item()) / part.std.item()).float())
        found.append((logits.argmax(1) == labels).double().mean().item())
    return sum(found) / len(found)


def test_the_cost_of_folds_is_told(hpsearch: Hpsearch, here: Path, data_root: Path) -> None:
    (here / "study.yaml").write_text(STUDY.replace("HOW", FOLDS))
    ran = hpsearch("check", "--study", "study.yaml", "--data", str(data_root))
    assert "90 images in 3 folds (a trial trains 3 models on up to 60 each; every im" in ran.out
    ran = hpsearch("data", "prepare", "--study", "study.yaml", "--data", str(data_root))
    assert "digits 1x8x8: 90 images in 3 folds, " in ran.out


def test_what_a_model_costs_is_measured_on_one_of_them(tmp_path: Path, data_root: Path) -> None:
    goals = ("objectives=[val_accuracy, latency, multiply_adds]", "budget.trials=1")
    search, _ = _open(tmp_path, data_root, FOLDS, *goals)
    search.run_all()
    (trial,) = search.record().trials
    assert trial.metrics["latency"] > 0
    assert trial.metrics["multiply_adds"] == 64 * 16 + 16 * 10
    search.database.close()
