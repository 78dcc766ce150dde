"""The rule of thumb: what it reads of a built configuration, and how it chooses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from torch import nn, optim

from hpsearch import component_registries
from hpsearch.errors import InfeasibleConfig
from hpsearch.priors.built import Images, built_model, built_optimizer
from hpsearch.priors.making import prior_of, starts_of
from hpsearch.priors.rule import (
    ADAPTIVE_LR,
    BATCH,
    DENSE,
    SATURATING,
    SGD_LR,
    RulePrior,
    penalty,
    rate_optimizer,
)
from hpsearch.registry import Component
from hpsearch.study_file.loading import study_from_document
from hpsearch.study_file.space import Draw
from hpsearch.study_file.study import StudyFile
from hpsearch.training.registries import MODELS, OPTIMIZERS

component_registries.registries()  # the built-in components

IMAGES = Images((1, 8, 8), 10, 100)

SGD = {"sgd": {"lr": {"min": 1e-4, "max": 10, "log": True}, "momentum": {"values": [0.0, 0.9]}}}
NETS = {"mlp": {"hidden": {"values": [[16], [32]]}}, "simple_cnn": {"hidden": [16]}}


def study(**keys: Any) -> StudyFile:
    document = {
        "study": "s",
        "budget": {"trials": 9, "epochs_per_trial": 3},
        "data": {"source": "digits"},
        "model": NETS,
        "optimizer": SGD,
        "batch_size": BATCH,
        "search": {"prior": "rule"},
        **keys,
    }
    return study_from_document(document, component_registries.registries)


def prior(file: StudyFile) -> RulePrior:
    return RulePrior(file, lambda config: IMAGES)


def draws(file: StudyFile, *points: Mapping[str, Any]) -> list[Draw]:
    return [file.space.freeze(point) for point in points]


def sgd_points(file: StudyFile, *lrs: float, model: str = "simple_cnn") -> list[Draw]:
    fixed = {"model": model, "optimizer.sgd.momentum": 0.0}
    if model == "mlp":
        fixed["model.mlp.hidden"] = "[16]"
    return draws(file, *({**fixed, "optimizer.sgd.lr": lr} for lr in lrs))


@pytest.mark.parametrize(
    ("component", "effective", "adaptive"),
    [
        (Component("sgd", {"lr": 0.01, "momentum": 0.9}), 0.1, False),
        (Component("sgd", {"lr": 0.01}), 0.01, False),
        # An average of steps isn't longer than they are
        (Component("adam", {"lr": 0.001, "beta1": 0.9}), 0.001, True),
        (Component("adamw", {}), 0.001, True),
        (Component("rmsprop", {"lr": 0.01}), 0.01, True),
        # .. but RMSprop's is a sum of them, as SGD's
        (Component("rmsprop", {"lr": 0.01, "momentum": 0.9}), 0.1, True),
    ],
)
def test_an_optimizer_is_read_as_it_is_built(component, effective, adaptive):
    built = built_optimizer(component)
    assert built is not None
    assert built.effective_lr == pytest.approx(effective)
    assert built.adaptive == adaptive


@pytest.mark.parametrize("name", ["adagrad", "adadelta"])
def test_a_family_that_it_does_not_know_has_no_opinion(name):
    assert built_optimizer(Component(name, {"lr": 0.1})) is None


def test_a_plug_ins_optimizer_is_judged_by_what_it_builds_not_by_its_keys(monkeypatch):
    monkeypatch.setattr(OPTIMIZERS, "_entries", dict(OPTIMIZERS._entries))

    @OPTIMIZERS.register("mine")
    def mine(parameters: Any, /, *, speed: float = 1.0, inertia: float = 0.5) -> optim.Optimizer:
        """Mine."""
        return optim.SGD(parameters, lr=speed / 100, momentum=inertia)

    built = built_optimizer(Component("mine", {"speed": 2.0}))
    assert built is not None and built.effective_lr == pytest.approx(0.04)


def test_a_net_is_read_as_it_is_built(monkeypatch):
    monkeypatch.setattr(MODELS, "_entries", dict(MODELS._entries))

    @MODELS.register("mine")
    def mine(input_shape: tuple[int, int, int], classes: int, /) -> nn.Module:
        """Mine."""
        width = input_shape[0] * input_shape[1] * input_shape[2]
        return nn.Sequential(nn.Flatten(), nn.Linear(width, 8), nn.Sigmoid(), nn.Linear(8, classes))

    traits = {
        "mlp": (False, False),
        "simple_cnn": (True, False),
        "mine": (False, True),
    }
    for name, (convolutional, saturating) in traits.items():
        built = built_model(Component(name, {}), IMAGES)
        assert (built.convolutional, built.saturating) == (convolutional, saturating)
        assert not built.pretrained
        assert penalty(built) == DENSE * (not convolutional) + SATURATING * saturating
    sigmoid = built_model(Component("simple_cnn", {"activation": {"sigmoid": {}}}), IMAGES)
    assert sigmoid.saturating


def test_a_net_with_weights_of_somebody_else_is_known_without_a_download(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    images = Images((3, 32, 32), 10, 100)
    built = built_model(Component("resnet18", {"weights": "imagenet"}), images)
    assert built.pretrained
    assert not list(tmp_path.rglob("*"))
    assert not built_model(Component("resnet18", {}), images).pretrained


def test_the_best_learning_rate_grows_with_the_root_of_the_batch():
    def best(name: str, batch: int) -> float:
        rates = {lr: built_optimizer(Component(name, {"lr": lr})) for lr in lrs}
        return max(rates, key=lambda lr: rate_optimizer(rates[lr], batch))  # type: ignore[arg-type]

    lrs = [2.0**power * 0.3 for power in range(-14, 4)] + [2.0**p * 1.5e-3 for p in range(-4, 5)]
    assert best("sgd", BATCH) == SGD_LR and best("sgd", 4 * BATCH) == 2 * SGD_LR
    assert best("adam", BATCH) == ADAPTIVE_LR and best("rmsprop", 4 * BATCH) == 2 * ADAPTIVE_LR


def test_large_weight_decay_counts_against_an_optimizer():
    def rate(name: str, decay: float) -> float:
        built = built_optimizer(Component(name, {"lr": 1e-3, "weight_decay": decay}))
        assert built is not None
        return rate_optimizer(built, BATCH)

    assert rate("adam", 0.0) == rate("adam", 1e-4) > rate("adam", 1e-2)
    # Apart from the gradients it is harmless for longer
    assert rate("adamw", 1e-2) == rate("adamw", 0.0) > rate("adamw", 1.0)


def test_the_best_by_learning_rate_and_net_is_chosen():
    file = study()
    rule = prior(file)
    assert rule.choose(sgd_points(file, 1e-4, 0.25, 9.0)) == (1, True)
    # A dense net must be nearer by DENSE factors of ten
    mixed = [*sgd_points(file, 0.3, model="mlp"), *sgd_points(file, 0.3 / 10 ** (0.9 * DENSE))]
    assert rule.choose(mixed) == (1, True)
    mixed = [*sgd_points(file, 0.3, model="mlp"), *sgd_points(file, 0.3 / 10 ** (1.1 * DENSE))]
    assert rule.choose(mixed) == (0, True)
    # Of equal ones the first
    assert rule.choose(sgd_points(file, 0.1, 0.1, 0.1)) == (0, True)


def test_most_nets_need_not_be_built(monkeypatch):
    file = study()
    rule = prior(file)
    built: list[Component] = []
    monkeypatch.setattr(
        "hpsearch.priors.rule.built_model",
        lambda component, images: built.append(component) or built_model(component, images),
    )
    lrs = [0.3, *(0.001 * number for number in range(1, 60))]
    assert rule.choose(sgd_points(file, *lrs)) == (0, True)
    assert len(built) == 2  # whether the first can be judged; and the best


def test_points_beyond_it_keep_their_share():
    file = study(optimizer={**SGD, "adagrad": {"lr": 0.01}})
    rule = prior(file)
    unknown = file.space.freeze({"model": "simple_cnn", "optimizer": "adagrad"})
    judged = [
        file.space.freeze(
            {"model": "simple_cnn", "optimizer": "sgd", "optimizer.sgd.lr": lr,
             "optimizer.sgd.momentum": 0.0}
        )
        for lr in (0.001, 0.3)
    ]  # fmt: skip
    # One in first place is taken as it is, elsewhere it is passed over
    assert rule.choose([unknown, *judged]) == (0, False)
    assert rule.choose([judged[0], unknown, judged[1]]) == (2, True)


def test_what_cannot_be_built_or_breaks_a_constraint_is_not_chosen(monkeypatch):
    file = study(constraints=["parameters <= 4000"])
    rule = prior(file)
    small, large = sgd_points(file, 0.01, model="mlp"), sgd_points(file, 0.3)
    assert rule.choose([*large, *small]) == (1, True)
    assert rule.knows(rule.config_of(large[0])) is None
    # None at all: the first, which the ledger then records
    assert rule.choose(large) == (0, False)

    def refuse(component: Component, images: Images) -> Any:
        raise InfeasibleConfig("too small")

    monkeypatch.setattr("hpsearch.priors.rule.built_model", refuse)
    assert rule.choose(small) == (0, False)


def test_it_depends_on_nothing_but_the_points():
    file = study()
    points = sgd_points(file, *(10 ** (-number / 20) for number in range(60)))
    answers = [prior(file).choose(points) for _ in range(2)]
    assert answers[0] == answers[1]


def test_a_study_without_a_prior_has_none():
    assert prior_of(study(search={"prior": "none"})) is None
    assert starts_of(study(search={"prior": "none"})) is None
    starts = starts_of(study(objective="val_loss"))
    assert starts is not None and starts.prior.name == "rule" and not starts.maximize


def test_sizes_of_images_follow_from_one_preparation(tmp_path, monkeypatch):
    from hpsearch.priors import built
    from hpsearch.training.data.prepare import prepare

    file = study(data={"source": "digits", "input_size": {"values": [8, 12]}})
    configs: list[Any] = []

    def note(config: Any, **others: Any) -> Any:
        configs.append(config)
        return prepare(config, **others)

    monkeypatch.setattr(built, "prepare", note)
    images_of = built.images_in(tmp_path, 0)
    rule = RulePrior(file, images_of)
    images: Sequence[Images] = [
        images_of(
            rule.config_of(
                file.space.freeze(
                    {"data.input_size": size, "model": "simple_cnn", "optimizer.sgd.lr": 0.1,
                     "optimizer.sgd.momentum": 0.0}
                )
            ).data
        )
        for size in (8, 12)
    ]  # fmt: skip
    assert images == [Images((1, 8, 8), 10, 1154), Images((1, 12, 12), 10, 1154)]
    assert len(configs) == 1
