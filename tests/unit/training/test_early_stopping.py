"""Early stopping: the rule, where training ends, and what a resumed run makes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from hpsearch.errors import TrainingInterrupted
from hpsearch.registry import Component
from hpsearch.study_file.trial_config import EarlyStopping, TrialConfig
from hpsearch.training import engine
from hpsearch.training.early_stopping import is_over
from hpsearch.training.engine import train
from hpsearch.training.evaluate import Evaluation


@pytest.mark.parametrize(
    ("losses", "patience", "min_delta", "over"),
    [
        pytest.param([], 1, 0.0, False, id="nothing yet"),
        pytest.param([9.0], 1, 0.0, False, id="the first is a new lowest"),
        pytest.param([0.5, 0.5], 1, 0.0, True, id="the same isn't lower"),
        pytest.param([0.5, 0.4, 0.3], 1, 0.0, False, id="always lower"),
        pytest.param([0.5, 0.6, 0.55], 2, 0.0, True, id="lower than the last isn't enough"),
        pytest.param([0.5, 0.6, 0.4, 0.6], 2, 0.0, False, id="a new lowest starts anew"),
        pytest.param([0.5, 0.6, 0.4, 0.6, 0.6], 2, 0.0, True, id="two in a row"),
        pytest.param([0.5, 0.45], 1, 0.1, True, id="lower, but not by min_delta"),
        pytest.param([0.5, 0.45, 0.39], 2, 0.1, False, id="small steps add up"),
        pytest.param([0.5, 0.4], 1, 0.1, True, id="by exactly min_delta isn't more"),
    ],
)
def test_rule(losses: list[float], patience: int, min_delta: float, over: bool) -> None:
    rule = EarlyStopping(patience=patience, min_delta=min_delta)
    assert is_over(losses, rule) is over
    assert is_over(losses, None) is False


@pytest.fixture
def val_losses(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return the function that lets validations come to the given losses, epoch after epoch."""

    measure = engine.evaluate

    def script(*losses: float) -> None:
        left = iter(losses)

        def scripted(*args: Any, **options: Any) -> Evaluation:
            measured = measure(*args, **options)
            return replace(measured, loss_sum=next(left) * measured.samples)

        monkeypatch.setattr(engine, "evaluate", scripted)

    return script


def patient(config: TrialConfig, epochs: int, patience: int) -> TrialConfig:
    return replace(config, epochs=epochs, early_stopping=EarlyStopping(patience=patience))


def test_training_ends_where_the_rule_says(
    plain_config: TrialConfig, val_losses: Callable[..., None]
) -> None:
    val_losses(0.9, 0.5, 0.6, 0.7, 0.1)
    results = list(train(patient(plain_config, 9, 2)))
    assert [(each.epoch, each.last) for each in results] == [
        (1, False),
        (2, False),
        (3, False),
        (4, True),
    ]


def test_the_last_epoch_is_last_without_it(plain_config: TrialConfig) -> None:
    assert [each.last for each in train(plain_config)] == [False, False, True]


def test_it_changes_nothing_before_its_end(plain_config: TrialConfig) -> None:
    """Schedules go by the epochs that were planned."""
    config = replace(plain_config, lr_schedule=Component("one_cycle"))
    whole = [(each.metrics.val_loss, each.metrics.lr) for each in train(config)]
    stopped = [
        (each.metrics.val_loss, each.metrics.lr)
        for each in train(patient(config, config.epochs, 50))
    ]
    assert stopped == whole


def test_patience_goes_on_after_a_resume(
    plain_config: TrialConfig, val_losses: Callable[..., None]
) -> None:
    """Two epochs without a new lowest before the interruption, and one after it."""
    config = patient(plain_config, 9, 3)
    val_losses(0.5, 0.6, 0.7)
    questions = iter(range(3 * 5 + 2))  # stops in epoch 4, after two of its batches
    with pytest.raises(TrainingInterrupted) as stopped:
        list(train(config, should_stop=lambda: next(questions, None) is None))
    state = stopped.value.state()
    assert (state["epoch"], state["partial"]["batches"]) == (3, 2)

    val_losses(0.8, 0.1)
    (only,) = train(config, resume_from=state)
    assert (only.epoch, only.last) == (4, True)


def test_a_state_that_stopped_early_has_nothing_left_to_do(
    plain_config: TrialConfig, val_losses: Callable[..., None]
) -> None:
    val_losses(0.5, 0.6)
    config = patient(plain_config, 9, 1)
    *_, last = train(config)
    assert (last.epoch, list(train(config, resume_from=last.state()))) == (2, [])
