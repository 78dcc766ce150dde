"""A trial of several trainings: its figures, its states, and what ends it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.resuming import assert_same, figures, interrupted, run, stopping_after

from hpsearch.errors import CheckpointError, TrainingDiverged
from hpsearch.metrics import EpochEnd
from hpsearch.registry import Component
from hpsearch.study_file.trial_config import EarlyStopping, TrialConfig
from hpsearch.training import checkpoint, engine
from hpsearch.training.augmentation.chain import Chain
from hpsearch.training.cross_validation import fold_config
from hpsearch.training.data.prepare import PreparedData
from hpsearch.training.engine import train
from hpsearch.training.plan import plan_on

Use = Callable[[PreparedData], None]

#: Images of one training, their batches, and questions of one epoch of all: one before each batch
#: (three of 16 images), and one before the single batch of validation.
ROUNDS, ASKED = 3, 3 * 4


def divided(data: PreparedData, *parts: torch.Tensor) -> PreparedData:
    """Return the fixture's images with ``parts`` as the validation images of each training."""
    rows = torch.arange(len(data.images))
    rounds = tuple(
        replace(
            data,
            train_indices=rows[~torch.isin(rows, part)],
            val_indices=part,
            split_hash=f"{number}" * 64,
        )
        for number, part in enumerate(parts)
    )
    return replace(data, rounds=rounds, split_hash="f" * 64)


@pytest.fixture
def folds(data: PreparedData) -> PreparedData:
    """71 images in three folds of 23 or 24."""
    rows = torch.arange(71)
    return divided(data, *(rows[rows % ROUNDS == number] for number in range(ROUNDS)))


@pytest.fixture
def config(config: TrialConfig, folds: PreparedData, use_data: Use) -> TrialConfig:
    use_data(folds)
    return replace(config, data=replace(config.data, folds=ROUNDS))


def alone(
    config: TrialConfig, folds: PreparedData, use_data: Use, **options: Any
) -> list[list[EpochEnd]]:
    """Return the curves of the trainings, each by itself."""
    curves = []
    for number, data in enumerate(folds.rounds):
        use_data(data)
        curves.append(list(train(fold_config(config, number), keep_predictions=True, **options)))
    use_data(folds)
    return curves


def test_figures_are_those_over_every_image_once(
    config: TrialConfig, folds: PreparedData, use_data: Use
) -> None:
    together = list(train(config, keep_predictions=True))
    curves = alone(config, folds, use_data)
    assert [each.epoch for each in together] == [1, 2, 3]
    assert [each.last for each in together] == [False, False, True]
    sizes = [len(each.val_indices) for each in folds.rounds]
    for result, parts in zip(together, zip(*curves, strict=True), strict=True):
        for name in ("val_accuracy", "val_loss"):
            weighted = np.average([getattr(each.metrics, name) for each in parts], weights=sizes)
            assert getattr(result.metrics, name) == pytest.approx(weighted, rel=1e-6)
        for name in ("train_accuracy", "train_loss"):
            assert getattr(result.metrics, name) == pytest.approx(
                np.mean([getattr(each.metrics, name) for each in parts])
            )
        assert result.metrics.lr == parts[0].metrics.lr
        assert result.val_confusion is not None
        matrix = np.array(result.val_confusion)
        assert matrix.sum() == 71
        assert result.metrics.val_accuracy == matrix.trace() / 71
        recall = matrix.diagonal() / matrix.sum(1)
        assert result.metrics.val_balanced_accuracy == pytest.approx(recall.mean())
        f1 = 2 * matrix.diagonal() / (matrix.sum(0) + matrix.sum(1))
        assert result.metrics.val_macro_f1 == pytest.approx(f1.mean())
        said = result.val_predictions
        assert said is not None
        assert said.rows.tolist() == list(range(71))
        assert said.truth.tolist() == folds.labels.tolist()
        of_first = parts[0].val_predictions
        assert of_first is not None
        assert said.predicted[of_first.rows].tolist() == of_first.predicted.tolist()


def test_repeated_splits_give_the_mean_over_splits(
    config: TrialConfig, data: PreparedData, use_data: Use
) -> None:
    rows = torch.arange(71)
    splits = divided(data, rows[:20], rows[10:30])
    use_data(splits)
    config = replace(config, data=replace(config.data, folds=None, splits=2))
    together = list(train(config, keep_predictions=True))
    curves = alone(config, splits, use_data)
    for result, parts in zip(together, zip(*curves, strict=True), strict=True):
        for name in ("val_accuracy", "val_loss", "val_macro_f1", "val_balanced_accuracy"):
            assert getattr(result.metrics, name) == pytest.approx(
                np.mean([getattr(each.metrics, name) for each in parts])
            )
        assert result.val_predictions is None  # ten images were judged twice


def test_seconds_add_up(config: TrialConfig) -> None:
    result = next(train(config))
    state = result.state()
    parts = [each["history"][0] for each in state["rounds"]]
    assert result.metrics.seconds == sum(each["seconds"] for each in parts)
    assert result.metrics.val_seconds == sum(each["val_seconds"] for each in parts)


def test_each_training_has_a_seed_and_weights_of_its_own(config: TrialConfig) -> None:
    assert len({config.seed, *(fold_config(config, number).seed for number in range(9))}) == 10
    state = run(replace(config, epochs=1))[1]
    first, second, third = (each["dense1.weight"] for each in state["model"])
    assert not first.equal(second) and not second.equal(third)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"lr_schedule": Component("plateau_for_test"), "model": Component("small_net")},
        {"early_stopping": EarlyStopping(patience=2)},
        {"evaluate": "ema"},
    ],
    ids=str,
)
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

    # Before anything; in the first fold; the second has begun; between two; in the second epoch,
    # its first fold ended; at the last validation
    @pytest.mark.parametrize("questions", [0, 2, 5, 8, ASKED, ASKED + 6, 3 * ASKED - 1])
    def test_within_an_epoch(
        self, config: TrialConfig, changes: dict[str, Any], questions: int, tmp_path: Path
    ) -> None:
        config = replace(config, **changes)
        whole, end = run(config)
        checkpoint.save(tmp_path / "c.pt", interrupted(config, questions))
        rest, resumed = run(config, resume_from=checkpoint.load(tmp_path / "c.pt"))
        assert rest == whole[questions // ASKED :]
        assert_same(resumed, end)


def test_stopped_again_and_again(config: TrialConfig) -> None:
    whole, end = run(config)
    state: dict[str, Any] | None = None
    for _ in range(2 * ASKED):
        try:
            seen, resumed = run(config, resume_from=state, should_stop=stopping_after(5))
            break
        except engine.TrainingInterrupted as stopped:
            state = stopped.state()
    assert seen == whole[-1:]
    assert_same(resumed, end)


def test_a_state_is_gone_once_training_moves_on(config: TrialConfig) -> None:
    generator = train(config)
    first = next(generator)
    kept = first.state()
    next(generator)
    with pytest.raises(RuntimeError, match="the state after epoch 1 is no longer available"):
        first.state()
    assert len(kept["rounds"]) == ROUNDS


def test_another_division_does_not_resume(
    config: TrialConfig, folds: PreparedData, use_data: Use
) -> None:
    state = interrupted(config, 5)
    use_data(replace(folds, split_hash="0" * 64))
    with pytest.raises(CheckpointError, match="was trained on another split"):
        next(train(config, resume_from=state))
    with pytest.raises(CheckpointError, match="was trained on another configuration"):
        next(train(replace(config, data=replace(config.data, folds=4)), resume_from=state))


def test_one_that_diverges_ends_the_trial(
    config: TrialConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure, asked = engine.evaluate, iter(range(100))

    def scripted(*args: Any, **options: Any) -> Any:
        measured = measure(*args, **options)
        broken = next(asked) == 4
        return replace(measured, loss_sum=float("nan")) if broken else measured

    monkeypatch.setattr(engine, "evaluate", scripted)
    results = train(config)
    assert next(results).epoch == 1
    with pytest.raises(TrainingDiverged, match="fold 2 of 3: the validation loss must be"):
        next(results)


def test_early_stopping_looks_at_all_of_them(
    config: TrialConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One fold's loss always rises; that of all images falls until epoch 3."""
    measure = engine.evaluate
    losses = iter([9, 1, 9, 8, 2, 8, 7, 3, 7, 7, 4, 7, 1, 1, 1])

    def scripted(*args: Any, **options: Any) -> Any:
        measured = measure(*args, **options)
        loss, images = next(losses), measured.samples
        every = torch.full_like(measured.losses, loss)
        return replace(measured, losses=every, loss_sum=float(loss * images))

    monkeypatch.setattr(engine, "evaluate", scripted)
    config = replace(config, epochs=5, early_stopping=EarlyStopping(patience=1))
    assert [(each.epoch, each.last) for each in train(config)] == [
        (1, False),
        (2, False),
        (3, False),
        (4, True),
    ]


def test_augmentation_reaches_training_images_alone(
    config: TrialConfig, folds: PreparedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    real = Chain.__call__

    def counting(self: Chain, images: torch.Tensor, *rest: Any) -> Any:
        seen.append(len(images))
        return real(self, images, *rest)

    monkeypatch.setattr(Chain, "__call__", counting)
    list(train(replace(config, epochs=1)))
    assert sum(seen) == sum(len(each.train_indices) for each in folds.rounds) == 2 * 71


def test_the_plan_counts_every_training(config: TrialConfig, folds: PreparedData) -> None:
    found = plan_on(config, folds, torch.device("cpu"))
    assert (found.rounds, found.train_images, found.batches) == (3, 48, (16, 16, 16))
    assert found.split_hash == folds.split_hash


def test_the_same_configuration_gives_the_same_figures(config: TrialConfig) -> None:
    assert [figures(each) for each in train(config)] == [figures(each) for each in train(config)]
