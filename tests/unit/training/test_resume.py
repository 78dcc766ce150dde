"""A resumed run ends bit-identical to an uninterrupted one (reliability, promise 5)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from support.resuming import assert_same, interrupted, run, stopping_after

from hpsearch.component_registries import registries
from hpsearch.errors import CheckpointError, TrainingInterrupted
from hpsearch.registry import Component
from hpsearch.study_file.loading import load_study
from hpsearch.study_file.sections import NEED_WEIGHTS, RECIPES
from hpsearch.study_file.trial_config import (
    DataConfig,
    EarlyStopping,
    TrialConfig,
    trial_config,
)
from hpsearch.training import checkpoint, precision
from hpsearch.training.data.prepare import PreparedData
from hpsearch.training.engine import train
from hpsearch.training.registries import MODELS


def augmented(*names: str) -> DataConfig:
    """Return the fixture's data with other augmentations."""
    return DataConfig(
        source=Component("digits"), augmentation=tuple(Component(name) for name in names)
    )


VARIANTS = [
    # id: what it changes in the fixture's configuration (adam, cosine, dropout, crop and flip)
    pytest.param({}, id="adam, cosine, dropout, augmentation"),
    pytest.param(
        {
            "optimizer": Component("sgd", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
            "lr_schedule": Component("multistep", {"milestones": [1, 2], "gamma": 0.3}),
        },
        id="momentum, multistep (its state is a Counter)",
    ),
    pytest.param(
        {
            "optimizer": Component("adamw", {"lr": 0.01}),
            "lr_schedule": Component("exponential", {"gamma": 0.7}),
            "model": Component("small_net"),
        },
        id="adamw, exponential, batch norm",
    ),
    pytest.param({"lr_schedule": Component("one_cycle_for_test")}, id="a rate that moves by batch"),
    pytest.param({"lr_schedule": Component("plateau_for_test")}, id="a rate that moves by loss"),
    pytest.param({"model": Component("simple_cnn"), "precision": "bf16"}, id="bf16, channels last"),
    pytest.param(
        {
            "model": Component("small_net"),
            "optimizer": Component("sgd", {"lr": 0.05, "momentum": 0.9}),
            "precision": "bf16",
        },
        id="bf16, batch norm, momentum",
    ),
    pytest.param(
        {
            "optimizer": Component("rmsprop", {"lr": 0.01, "momentum": 0.9, "centered": True}),
            "lr_schedule": Component("one_cycle"),
            "data": augmented("random_erasing", "cutout", "colour_jitter"),
        },
        id="rmsprop, one_cycle, erasing and colours",
    ),
    pytest.param(
        {
            "optimizer": Component("adagrad", {"lr": 0.05, "lr_decay": 0.1}),
            "lr_schedule": Component("plateau", {"patience": 1, "min_delta": 9.0, "gamma": 0.5}),
            "data": augmented("horizontal_flip", "mixup", "cutmix"),
            "regularization": (
                Component("l1", {"strength": 1e-3}),
                Component("label_smoothing", {"amount": 0.2}),
            ),
        },
        id="adagrad, plateau, mixed labels that are smoothed, lasso",
    ),
    pytest.param(
        {
            "optimizer": Component("adadelta"),
            "lr_schedule": Component("step", {"step_size": 1, "gamma": 0.5}),
            "regularization": (Component("l2", {"strength": 1e-2}),),
            "class_weights": "balanced",
            "early_stopping": EarlyStopping(patience=2),
        },
        id="adadelta, step, ridge, class weights, early stopping",
    ),
    pytest.param({"model": Component("small_net"), "evaluate": "ema"}, id="average, batch norm"),
    pytest.param(
        {
            "model": Component("simple_cnn"),
            "precision": "bf16",
            "evaluate": "ema",
            "lr_schedule": Component("plateau_for_test"),
        },
        id="average, bf16, channels last, a rate that moves by loss",
    ),
    pytest.param(
        {
            "model": Component("airbench", {"width": 4, "dropout": 0.2}),
            "optimizer": Component("muon"),
            "lr_schedule": Component("one_cycle"),
            "data": augmented("alternating_flip", "trivial_augment"),
            "regularization": (Component("clip_grad_norm", {"norm": 0.5}),),
            "evaluate": "ema",
        },
        id="muon and adamw, clipping, whitening, alternating flip, trivial_augment, average",
    ),
    pytest.param(
        {
            "model": Component("airbench", {"width": 4}),
            "optimizer": Component("muon", {"rest": "sgd", "weight_decay": 0.01}),
            "data": augmented("rand_augment"),
            "regularization": (Component("label_smoothing"),),
            "precision": "bf16",
        },
        id="muon and sgd, whitening, bf16, rand_augment, smoothed labels",
    ),
]


@pytest.mark.parametrize("changes", VARIANTS)
class TestResume:
    def test_after_an_epoch(
        self, config: TrialConfig, changes: dict[str, Any], tmp_path: Path
    ) -> None:
        config = replace(config, **changes)
        whole, end = run(config)

        first = next(train(config))
        checkpoint.save(tmp_path / "c.pt", first.state())
        rest, resumed = run(config, resume_from=checkpoint.load(tmp_path / "c.pt"))

        assert rest == whole[1:]
        assert_same(resumed, end)

    # 4 batches an epoch, then one question before the (single) validation batch: 6 stops in
    # epoch 2 after 1 batch, 9 stops before epoch 2's validation
    @pytest.mark.parametrize("questions", [0, 2, 4, 6, 9])
    def test_within_an_epoch(
        self, config: TrialConfig, changes: dict[str, Any], questions: int, tmp_path: Path
    ) -> None:
        config = replace(config, **changes)
        whole, end = run(config)

        checkpoint.save(tmp_path / "c.pt", interrupted(config, questions))
        rest, resumed = run(config, resume_from=checkpoint.load(tmp_path / "c.pt"))

        assert rest == whole[questions // 5 :]
        assert_same(resumed, end)


def of_recipe(name: str, folder: Path) -> TrialConfig:
    """Return a trial of a study that names a recipe, with batches of 16 images."""
    overrides = ["optimizer.sgd.lr=0.05", "batch_size=16"]
    if name in NEED_WEIGHTS:
        small, weights = "shufflenet_v2_x0_5", folder / "weights.pth"
        net = MODELS.build(Component("torchvision", {"name": small}), (1, 8, 8), 3)
        torch.save(net.state_dict(), weights)
        overrides.append(f"model={{torchvision: {{name: {small}, weights: {weights}}}}}")
    (folder / "short.yaml").write_text(
        f"study: short\nbudget: {{trials: 1, epochs_per_trial: 2}}\nrecipe: {name}\n"
        "data: {source: digits}\n"
    )
    study = load_study(folder / "short.yaml", registries, overrides=overrides)
    point = study.space.draw(lambda path, _: pytest.fail(f"{path} is searched"))
    return trial_config(point.config, epochs=2, split_seed=1, seed=5)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_goes_on_within_an_epoch(name: str, tmp_path: Path) -> None:
    config = of_recipe(name, tmp_path)
    whole, end = run(config)

    checkpoint.save(tmp_path / "c.pt", interrupted(config, 7))
    rest, resumed = run(config, resume_from=checkpoint.load(tmp_path / "c.pt"))

    assert rest == whole[1:]
    assert_same(resumed, end)


@pytest.mark.parametrize("questions", [2, 5])
def test_a_resume_keeps_the_precision_that_auto_came_to(
    config: TrialConfig, monkeypatch: pytest.MonkeyPatch, questions: int
) -> None:
    """A study goes on on another machine, or with a version that decides otherwise."""
    config = replace(config, precision="auto")
    monkeypatch.setattr(precision, "cpu_has_bf16", lambda: True)
    monkeypatch.setattr(precision, "CPU_MULTIPLY_ADDS", 1)
    whole, end = run(config)
    state = interrupted(config, questions)
    assert state["precision"] == end["precision"] == "bf16"

    monkeypatch.setattr(precision, "cpu_has_bf16", lambda: False)
    rest, resumed = run(config, resume_from=state)

    assert rest == whole[questions // 5 :]
    assert_same(resumed, end)


def test_a_frozen_config_trains_in_what_auto_came_to(
    config: TrialConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "cpu_has_bf16", lambda: True)
    monkeypatch.setattr(precision, "CPU_MULTIPLY_ADDS", 1)
    chosen, end = run(replace(config, precision="auto"))
    assert chosen != run(replace(config, precision="fp32"))[0]

    monkeypatch.setattr(precision, "CPU_MULTIPLY_ADDS", 10**12)
    again, _ = run(replace(config, precision=end["precision"]))

    assert again == chosen


def test_stopped_again_and_again(config: TrialConfig) -> None:
    whole, end = run(config)

    state: dict[str, Any] | None = None
    for _ in range(12):
        try:
            seen, resumed = run(config, resume_from=state, should_stop=stopping_after(3))
            break
        except TrainingInterrupted as stopped:
            state = stopped.state()

    assert seen == whole[-1:]
    assert_same(resumed, end)


def test_a_state_can_be_resumed_twice(config: TrialConfig) -> None:
    state = interrupted(config, 2)

    assert_same(run(config, resume_from=state)[1], run(config, resume_from=state)[1])


def test_a_state_is_a_copy(config: TrialConfig) -> None:
    generator = train(config)
    first = next(generator)
    kept, again = first.state(), first.state()

    next(generator)

    assert_same(kept, again)
    with pytest.raises(RuntimeError, match="the state after epoch 1 is no longer available"):
        first.state()


def test_a_finished_state_has_nothing_left_to_do(config: TrialConfig) -> None:
    _, end = run(config)

    assert list(train(config, resume_from=end)) == []


def test_seconds_go_on_counting(config: TrialConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    state = interrupted(config, 2)
    state["partial"]["seconds"] = 100.0

    assert next(train(config, resume_from=state)).metrics.seconds > 100


class TestRefused:
    def test_another_configuration(self, config: TrialConfig) -> None:
        state = interrupted(config, 2)
        other = replace(config, optimizer=Component("adam", {"lr": 0.02}))

        with pytest.raises(CheckpointError, match="was trained on another configuration"):
            next(train(other, resume_from=state))

    @pytest.mark.parametrize(
        ("field", "said"), [("data_hash", "other images"), ("split_hash", "another split")]
    )
    def test_other_data(
        self,
        config: TrialConfig,
        data: PreparedData,
        use_data: Callable[[PreparedData], None],
        field: str,
        said: str,
    ) -> None:
        state = interrupted(config, 2)
        use_data(replace(data, **{field: "0" * 64}))

        with pytest.raises(CheckpointError, match=f"was trained on {said}"):
            next(train(config, resume_from=state))

    def test_a_model_whose_code_changed(
        self, config: TrialConfig, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        state = interrupted(config, 2)
        state["model"]["dense1.weight"] = torch.zeros(2, 2)

        with pytest.raises(CheckpointError, match="doesn't match model 'mlp' or optimizer 'adam'"):
            next(train(config, resume_from=state))

    def test_a_state_of_something_else(self, config: TrialConfig) -> None:
        with pytest.raises(CheckpointError, match="was trained on another configuration"):
            next(train(config, resume_from={"weights": 1}))


def test_another_kind_of_device_goes_on(config: TrialConfig) -> None:
    """Its generators can't be put back, so they start anew; the epoch ends all the same."""
    state = interrupted(config, 2)
    state["partial"]["randomness"]["device"] = "cuda"

    assert [result.epoch for result in train(config, resume_from=state)] == [1, 2, 3]
