"""The learned prior: its trees, its file, its choices; and that the shipped one grows again."""

from __future__ import annotations

import io
import zipfile
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn
from scipy.stats import rankdata, spearmanr
from sklearn.ensemble import ExtraTreesRegressor

from hpsearch import component_registries
from hpsearch.errors import UserError
from hpsearch.priors import forest as forests
from hpsearch.priors import making
from hpsearch.priors.built import Images, built_optimizer, mean_lr
from hpsearch.priors.features import NAMES, features
from hpsearch.priors.forest import Forest, grow
from hpsearch.priors.learned import LearnedPrior, unit_ranks
from hpsearch.priors.making import prior_of
from hpsearch.priors.prior_file import Learned, PriorExamples, learned_from, read, write
from hpsearch.registry import Component
from hpsearch.study_file.loading import study_from_document
from hpsearch.study_file.shipped import SHIPPED, file_of, sha256_of
from hpsearch.study_file.study import StudyFile

component_registries.registries()  # the built-in components

IMAGES = Images((1, 8, 8), 10, 100)
SEARCHED_LR = {"lr": {"min": 1e-5, "max": 10, "log": True}}
DECAY = {"weight_decay": {"values": [0.0, 1e-2, 0.1, 1.0]}}


def study(**keys: Any) -> StudyFile:
    document = {
        "study": "s",
        "budget": {"trials": 9, "epochs_per_trial": 3},
        "data": {"source": "digits"},
        "model": {"simple_cnn": {"hidden": [16]}},
        "optimizer": {"sgd": SEARCHED_LR, "adam": SEARCHED_LR},
        "search": {"prior": "v1"},
        **keys,
    }
    return study_from_document(document, component_registries.registries)


def shipped(name: str) -> Learned:
    file = file_of(name)
    assert file is not None
    return read(file)


def taught(lr: float, families: tuple[str, ...] = ("SGD",)) -> Learned:
    """Return what a table in which ``lr`` is best teaches."""
    rng = np.random.default_rng(0)
    rows = rng.random((200, len(NAMES)), dtype=np.float32)
    rates = rng.uniform(-5, 1, 200)
    rows[:, NAMES.index("lr")] = rows[:, NAMES.index("effective_lr")] = rates
    ranks = -np.abs(rates - np.log10(lr))
    lessons = PriorExamples(
        name="t", sha256="00", data_set="t", rows=rows, ranks=ranks.astype(np.float32),
        families=families,
    )  # fmt: skip
    return learned_from([lessons])


def draws(file: StudyFile, optimizer: str, *lrs: float) -> list[Any]:
    fixed = {"optimizer": optimizer} if len(file.document["optimizer"]) > 1 else {}
    return [file.space.freeze({**fixed, f"optimizer.{optimizer}.lr": lr}) for lr in lrs]


def test_the_arrays_say_what_scikit_learns_trees_say():
    rng = np.random.default_rng(1)
    # Many equal values, so that rows stand on thresholds
    rows = rng.integers(0, 5, (300, 4)).astype(np.float32) / np.float32(3)
    targets = (rows[:, 0] - rows[:, 1] + rng.normal(0, 0.1, 300)).astype(np.float32)
    weights = rng.random(300)
    model = ExtraTreesRegressor(forests.TREES, min_samples_leaf=forests.LEAF, random_state=0)
    model.fit(rows, targets, sample_weight=weights)
    queries = np.concatenate([rows, rng.random((100, 4), dtype=np.float32)])
    assert grow(rows, targets, weights)(queries) == pytest.approx(model.predict(queries), abs=1e-6)


@pytest.mark.parametrize("name", SHIPPED)
def test_the_shipped_prior_grows_again_from_what_it_was_built_with(name):
    learned = shipped(name)
    again = learned_from(learned.examples)
    if sklearn.__version__ == learned.grown_by:
        for field in fields(Forest):
            one, other = getattr(learned.forest, field.name), getattr(again.forest, field.name)
            assert one.dtype == other.dtype and np.array_equal(one, other)
    else:
        # Another version may grow other trees; they must say the same
        rows = np.concatenate([table.rows for table in learned.examples])
        assert spearmanr(learned.forest(rows), again.forest(rows)).statistic > 0.98
    assert {"SGD", "AdamW", "RMSprop"} <= learned.families


def test_a_file_is_the_same_bytes_again_and_reads_as_it_was_written(tmp_path):
    learned = taught(0.1, ("Adam", "SGD"))
    write(learned, tmp_path / "a.npz")
    again = read(tmp_path / "a.npz")
    write(again, tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert again.families == {"Adam", "SGD"} and again.examples[0].sha256 == "00"
    rows = learned.examples[0].rows
    assert np.array_equal(again.forest(rows), learned.forest(rows))


def test_a_file_that_is_none_or_is_damaged_is_refused(tmp_path):
    def refused(file: Path, why: str) -> None:
        with pytest.raises(UserError, match=why):
            read(file)

    refused(tmp_path / "none.npz", "can be read")
    (tmp_path / "text.npz").write_text("text")
    refused(tmp_path / "text.npz", "isn't one")
    np.savez(tmp_path / "other.npz", a=np.arange(3))
    refused(tmp_path / "other.npz", "isn't one")
    learned = taught(0.1)
    # A tree that goes round in circles would never answer
    forest = learned.forest
    circle = replace(forest, left=np.zeros_like(forest.left))
    write(replace(learned, forest=circle), tmp_path / "circle.npz")
    refused(tmp_path / "circle.npz", "damaged")
    write(learned, tmp_path / "good.npz")
    arrays = dict(np.load(tmp_path / "good.npz"))
    arrays["tables"] = np.array([{"a": "pickle"}], dtype=object)
    content = io.BytesIO()
    np.savez(content, **arrays)
    (tmp_path / "pickle.npz").write_bytes(content.getvalue())
    refused(tmp_path / "pickle.npz", "isn't one")


@pytest.mark.parametrize(
    ("claims", "holds", "why"),
    [
        (40_000_000, 160_000_000, "may unpack to 134,217,728 bytes, but unpacks to 160,"),
        (10**15, 100, "by its header, an array in it is larger than the memory"),
    ],
)
def test_a_small_file_costs_no_gigabytes(tmp_path, claims, holds, why):
    """A few kilobytes that unpack to any size, and a header that claims one."""
    write(taught(0.1), tmp_path / "good.npz")
    header = io.BytesIO()
    layout = {"descr": "<f4", "fortran_order": False, "shape": (claims,)}
    np.lib.format.write_array_header_1_0(header, layout)
    with (
        zipfile.ZipFile(tmp_path / "good.npz") as good,
        zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for name in good.namelist():
            if name == "rows.npy":
                bomb.writestr(name, header.getvalue() + bytes(holds))
            else:
                bomb.writestr(name, good.read(name))
    assert (tmp_path / "bomb.npz").stat().st_size < 2**20
    with pytest.raises(UserError, match=why):
        read(tmp_path / "bomb.npz")


def test_the_better_mean_of_both_ranks_is_chosen():
    file = study()
    # The rule likes 0.2 best, these trees 0.004
    prior = LearnedPrior(file, lambda config: IMAGES, taught(0.004), "v1")
    for lrs, by_rule, by_trees, choice in (
        ((0.5, 0.2, 0.03, 0.001, 5.0), 1, 3, 1),
        ((0.2, 0.03, 0.001, 0.0005, 0.002), 0, 4, 4),
    ):
        candidates = draws(file, "sgd", *lrs)
        assert prior.choose(candidates) == (choice, True)
        rules, trees = prior.opinions([prior.config_of(draw) for draw in candidates])
        assert (int(np.argmax(rules)), int(np.argmax(trees))) == (by_rule, by_trees)
    assert prior.choose(candidates[:1] * 3) == (0, True)  # of equal ones the first


def test_of_an_optimizer_that_no_table_had_the_rule_decides_alone():
    file = study()
    prior = LearnedPrior(file, lambda config: IMAGES, taught(10.0, ("SGD",)), "v1")
    adam = draws(file, "adam", 1e-5, 1e-3, 10.0)
    assert prior.choose(adam) == (1, True)
    configs = [prior.config_of(draw) for draw in adam]
    _, trees = prior.opinions(configs)
    assert np.all(np.isnan(trees))
    assert prior.judged_by_rule_alone(configs[0]) == ("optimizer adam",)
    assert prior.unknown_in(configs[0]) == ()
    (sgd,) = draws(file, "sgd", 0.1)
    assert prior.judged_by_rule_alone(prior.config_of(sgd)) == ()


def test_what_it_cannot_judge_is_left_to_chance():
    both = {"sgd": SEARCHED_LR, "adagrad": {"lr": 0.1}}
    file = study(optimizer=both)
    prior = LearnedPrior(file, lambda config: IMAGES, taught(0.01), "v1")
    unknown = file.space.freeze({"optimizer": "adagrad"})
    assert prior.choose([unknown, *draws(file, "sgd", 0.01)]) == (0, False)
    assert prior.choose([*draws(file, "sgd", 10.0), unknown, *draws(file, "sgd", 0.05)]) == (
        2,
        True,
    )
    file = study(model={"resnet18": {"weights": "imagenet"}}, optimizer={"sgd": SEARCHED_LR})
    prior = LearnedPrior(file, lambda config: Images((3, 32, 32), 10, 100), taught(0.01), "v1")
    candidates = draws(file, "sgd", 0.01, 0.1)
    assert prior.choose(candidates) == (0, False)
    assert prior.unknown_in(prior.config_of(candidates[0])) == ("pretrained resnet18",)


def test_features_say_what_is_built():
    file = study(
        model={"mlp": {"hidden": [8, 4], "dropout": 0.25, "activation": {"tanh": {}}}},
        optimizer={"sgd": {"lr": 0.01, "momentum": 0.9}}, lr_schedule="cosine", batch_size=40,
        search={"prior": "none"},
    )  # fmt: skip
    config = file.trial_config({}, ticket=1)
    prior = LearnedPrior(file, lambda config: IMAGES, taught(0.01), "v1")
    optimizer = built_optimizer(config.optimizer)
    assert optimizer is not None
    values = dict(
        zip(NAMES, features(config, optimizer, prior.model_of(config), IMAGES), strict=True)
    )
    parameters = 64 * 8 + 8 + 8 * 4 + 4 + 4 * 10 + 10
    expected = {
        "adaptive": 0, "lr": -2, "momentum": 0.9, "weight_decay": -8, "effective_lr": -1,
        "effective_lr_per_image": -1 - np.log10(40), "mean_lr": (1 + 0.75 + 0.25) / 3,
        "epochs": np.log10(3), "steps": np.log10(9), "images": 2, "depth": 3, "convolutions": 0,
        "dropout": 0.25, "tanh": 1, "saturating": 0, "smooth": 0, "normalized": 0,
        "parameters": np.log10(parameters),
    }  # fmt: skip
    assert {name: values[name] for name in expected} == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("schedule", "mean"),
    [
        (Component("constant", {}), 1.0),
        (Component("exponential", {"gamma": 0.5}), (1 + 0.5 + 0.25) / 3),
        (Component("plateau", {"patience": 1}), 1.0),
    ],
)
def test_a_schedule_is_followed_to_its_mean(schedule, mean):
    config = study(optimizer={"adam": {"lr": 0.01}}).trial_config({}, ticket=1)
    assert mean_lr(replace(config, lr_schedule=schedule)) == pytest.approx(mean)
    cycle = replace(config, lr_schedule=Component("one_cycle", {}))
    assert 0.3 < mean_lr(cycle) < 0.7


def test_a_study_keeps_the_prior_that_it_was_created_with(monkeypatch):
    file = study()
    assert file.document["search"] == {"prior": "v1", "sha256": sha256_of("v1")}
    prior = prior_of(file)
    assert prior is not None and prior.name == "v1"
    stored = {**file.document, "search": {"prior": "v1", "sha256": "ab" * 32}}
    older = study_from_document(stored, component_registries.registries)
    assert older.document == stored and older.fingerprint != file.fingerprint
    with pytest.raises(UserError, match="must be the file that it was created with"):
        prior_of(older)
    # Before the first draw, not in the middle of a search
    with pytest.raises(UserError, match="abababab"):
        making.starts_of(older)


def test_a_prior_of_ones_own_counts_by_its_contents_wherever_it_lies(tmp_path):
    for name in ("a.npz", "b.npz"):
        write(taught(0.1), tmp_path / name)
    one, other = (study(search={"prior": str(tmp_path / name)}) for name in ("a.npz", "b.npz"))
    assert one.fingerprint == other.fingerprint != study().fingerprint
    prior = prior_of(one)
    assert prior is not None and prior.name == "a.npz"
    write(taught(0.01), tmp_path / "b.npz")
    changed = study(search={"prior": str(tmp_path / "b.npz")})
    assert changed.fingerprint != one.fingerprint
    # What is stored stays what it was, and can be read without the file
    (tmp_path / "a.npz").unlink()
    again = study_from_document(one.document, component_registries.registries)
    assert again.document == one.document


def test_only_a_prior_with_a_file_is_stored_with_one():
    rule = study(search={"prior": "rule"})
    assert rule.document["search"] == {"prior": "rule"}
    changed = study_from_document(
        study().document, component_registries.registries, overrides=["search.prior=rule"]
    )
    assert changed.document["search"] == {"prior": "rule"}
    assert changed.fingerprint == rule.fingerprint


@pytest.mark.parametrize("values", [[3.0], [1, 1, 1], [5, 2, 5, 9, 2, 2], [0.5, -np.inf, 0.5]])
def test_ranks_are_those_of_scipy(values):
    expected = ((rankdata(values) - 1) / max(1, len(values) - 1)).tolist()
    assert unit_ranks(values).tolist() == expected
    assert unit_ranks(np.array(values)).tolist() == expected
