"""Fingerprints, and what is taken out of a state."""

from __future__ import annotations

import types
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import pytest

from hpsearch.registry import Component
from hpsearch.study_file.trial_config import EarlyStopping, TrialConfig
from hpsearch.training.engine import train
from hpsearch.training.registries import MODELS
from hpsearch.training.state import fingerprint


class TestFingerprint:
    def test_written_down(self, config: TrialConfig) -> None:
        """A change would make every stored checkpoint that of another configuration."""
        assert fingerprint(config)[:16] == "2cb7711989fd5e75"

    @pytest.mark.parametrize(
        "changes",
        [
            {"seed": 6},
            {"split_seed": 2},
            {"epochs": 4},
            {"batch_size": 17},
            {"precision": "auto"},
            {"model": Component("mlp", {"hidden": [16], "dropout": 0.3})},
            {"model": Component("mlp", {"hidden": [16, 16], "dropout": 0.2})},
            {"lr_schedule": Component("constant")},
            {"regularization": (Component("l2", {"strength": 0.1}),)},
            {"class_weights": "balanced"},
            {"early_stopping": EarlyStopping(patience=3)},
            {"evaluate": "ema"},
        ],
        ids=str,
    )
    def test_every_part_counts(self, config: TrialConfig, changes: dict[str, Any]) -> None:
        assert fingerprint(replace(config, **changes)) != fingerprint(config)

    def test_every_part_of_the_data_counts(self, config: TrialConfig) -> None:
        changed: list[dict[str, Any]] = [
            {"validation": 0.3},
            {"folds": 5},
            {"splits": 5},
            {"input_size": 8},
            {"limit": 50},
            {"per_class": 5},
            {"limit_seed": 3},
            {"train_on_validation": True},
            {"normalization": "unit"},
            {"augmentation": ()},
        ]
        assert {each.name for each in fields(config.data)} == {"source"}.union(*changed)
        prints = {
            fingerprint(replace(config, data=replace(config.data, **each))) for each in changed
        }
        assert len(prints - {fingerprint(config)}) == len(changed)

    def test_parts_of_early_stopping_count(self, config: TrialConfig) -> None:
        rules = [EarlyStopping(patience=3), EarlyStopping(patience=3, min_delta=0.1)]
        assert len({fingerprint(replace(config, early_stopping=rule)) for rule in rules}) == 2

    def test_the_augmentations_order_counts(self, config: TrialConfig) -> None:
        turned = replace(config.data, augmentation=config.data.augmentation[::-1])

        assert fingerprint(replace(config, data=turned)) != fingerprint(config)

    def test_the_same_said_otherwise_is_the_same(self, config: TrialConfig) -> None:
        one = replace(config, optimizer=Component("sgd", {"lr": 1, "momentum": 0.5}))
        settings = types.MappingProxyType({"momentum": 0.5, "lr": 1.0})

        assert fingerprint(one) == fingerprint(replace(one, optimizer=Component("sgd", settings)))

    def test_true_is_not_1(self, config: TrialConfig) -> None:
        one, true = (
            replace(config, model=Component("mlp", {"dropout": value})) for value in (1, True)
        )

        assert fingerprint(one) != fingerprint(true)


def test_weights_alone_are_enough_to_use_the_model(config: TrialConfig) -> None:
    *_, last = train(config)
    state = last.state()

    model = MODELS.build(config.model, (1, 8, 8), 3)
    model.load_state_dict(state["model"])
    assert state["history"][-1]["val_loss"] == last.metrics.val_loss


def test_frozen_parameters_are_not_trained(
    config: TrialConfig, register: Callable[..., None]
) -> None:
    def half_frozen(shape: Any, classes: int, /) -> Any:
        model: Any = MODELS.build(Component("mlp", {"hidden": [5]}), shape, classes)
        model.dense1.requires_grad_(False)
        return model

    register(MODELS, "half_frozen", half_frozen)
    first, *_, last = [
        result.state()["model"] for result in train(replace(config, model=Component("half_frozen")))
    ]

    assert first["dense1.weight"].equal(last["dense1.weight"])
    assert not first["logits.weight"].equal(last["logits.weight"])
