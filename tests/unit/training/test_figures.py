"""What the engine reports, against a plain loop, and what it shows to which images."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hpsearch.errors import TrainingDiverged, TrainingInterrupted
from hpsearch.registry import Component
from hpsearch.study_file.trial_config import TrialConfig
from hpsearch.training.batches import ImageStore
from hpsearch.training.data.prepare import PreparedData
from hpsearch.training.engine import train
from hpsearch.training.evaluate import evaluate
from hpsearch.training.randomness import derived_seed, shuffled
from hpsearch.training.registries import AUGMENTATIONS, MODELS


def plain_loop(config: TrialConfig, data: PreparedData) -> Iterator[tuple[float, ...]]:
    """The same training written as a textbook would, every sample's loss kept by itself."""
    x = (data.images.float() / 255 - data.mean.view(-1, 1, 1)) / data.std.view(-1, 1, 1)
    torch.manual_seed(derived_seed(config.seed, "weights"))
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for epoch in range(1, config.epochs + 1):
        order = shuffled(data.train_indices, derived_seed(config.seed, "order", epoch))
        losses, right = [], 0
        for start in range(0, len(order), config.batch_size):
            rows = order[start : start + config.batch_size]
            logits = model(x[rows])
            each = F.cross_entropy(logits, data.labels[rows], reduction="none")
            optimizer.zero_grad()
            each.mean().backward()
            optimizer.step()
            losses += each.tolist()
            right += int((logits.argmax(1) == data.labels[rows]).sum())
        with torch.no_grad():
            logits = model(x[data.val_indices])
        truth = data.labels[data.val_indices]
        yield (
            sum(losses) / len(losses),
            right / len(losses),
            F.cross_entropy(logits, truth).item(),
            (logits.argmax(1) == truth).float().mean().item(),
        )


def test_mirror_images_share_their_logits(data: PreparedData) -> None:
    """The mean of both logits, whatever the batches; the plain figures stay."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    pixels = ImageStore(data.images, data.mean, data.std, torch.device("cpu"), channels_last=True)
    x = (data.images.float() / 255 - data.mean.view(-1, 1, 1)) / data.std.view(-1, 1, 1)

    def loss(mirrored: bool) -> float:
        return evaluate(
            model,
            pixels,
            data.labels,
            data.val_indices,
            batch_size=5,
            precision="fp32",
            mirrored=mirrored,
        ).loss

    truth = data.labels[data.val_indices]
    with torch.no_grad():
        plain, other = model(x)[data.val_indices], model(x.flip(3))[data.val_indices]
    assert loss(False) == pytest.approx(F.cross_entropy(plain, truth).item(), abs=1e-5)
    assert loss(True) == pytest.approx(F.cross_entropy((plain + other) / 2, truth).item(), abs=1e-5)
    assert abs(loss(True) - loss(False)) > 1e-3


@pytest.mark.parametrize(
    "batch_size",
    [
        pytest.param(16, id="ragged: 16, 16, 16, 6"),
        pytest.param(27, id="even: 27, 27"),
        pytest.param(1000, id="one batch of all 54"),
    ],
)
def test_figures_are_means_over_samples(
    plain_config: TrialConfig, data: PreparedData, batch_size: int
) -> None:
    config = replace(plain_config, batch_size=batch_size)

    for mine, expected in zip(train(config), plain_loop(config, data), strict=True):
        assert mine.metrics.train_loss == pytest.approx(expected[0], abs=2e-6)
        assert mine.metrics.train_accuracy == pytest.approx(expected[1], abs=1e-9)
        assert mine.metrics.val_loss == pytest.approx(expected[2], abs=2e-6)
        assert mine.metrics.val_accuracy == pytest.approx(expected[3], abs=1e-6)


def test_it_learns(plain_config: TrialConfig) -> None:
    results = list(train(replace(plain_config, epochs=8)))

    assert [result.epoch for result in results] == list(range(1, 9))
    assert results[-1].metrics.val_accuracy > 0.9
    assert results[-1].metrics.val_loss < results[0].metrics.val_loss
    assert all(result.metrics.seconds > 0 and result.metrics.lr == 0.1 for result in results)


def test_same_seed_same_digits_other_seed_others(config: TrialConfig) -> None:
    def digits(seed: int) -> list[Any]:
        torch.rand(seed)  # the process's own draws don't matter
        return [
            (result.metrics.train_loss, result.metrics.val_loss)
            for result in train(replace(config, seed=seed))
        ]

    assert digits(5) == digits(5)
    assert digits(5)[0] != digits(6)[0]


def test_global_random_numbers_stay_as_they_were(config: TrialConfig) -> None:
    torch.manual_seed(123)
    expected = torch.rand(4)

    torch.manual_seed(123)
    drawn = []
    for _ in train(config):
        drawn.append(torch.rand(1))
    with pytest.raises(TrainingInterrupted):
        next(train(config, should_stop=lambda: True))
    drawn.append(torch.rand(1))

    assert torch.equal(torch.cat(drawn), expected)


def test_runs_that_take_turns_dont_disturb_each_other(config: TrialConfig) -> None:
    alone = [result.metrics.val_loss for result in train(config)]

    turns = zip(train(config), train(replace(config, seed=9)), strict=True)

    assert [mine.metrics.val_loss for mine, _ in turns] == alone


class Watch(nn.Module):
    """Notes what it is shown and in which mode; the first pixel says which image it is."""

    seen: list[tuple[bool, bool, Tensor]]

    def __init__(self, seen: list[tuple[bool, bool, Tensor]], classes: int) -> None:
        super().__init__()
        self.seen = seen
        self.out = nn.Linear(1, classes)

    def forward(self, images: Tensor) -> Tensor:
        if not images.is_meta:
            gradients = not torch.is_inference_mode_enabled() and torch.is_grad_enabled()
            self.seen.append((self.training, gradients, images[:, 0, 0, 0].clone()))
        logits: Tensor = self.out(images[:, 0, 0, :1] / 1000)
        return logits


class Mark:
    """Adds 1000 to images, as one of the three kinds of augmentation; notes which it was shown."""

    def __init__(self, kind: str) -> None:
        self.shown: list[float] = []
        if kind == "image":
            self.change = lambda images, generator: self.mark(images)
        elif kind == "colour":
            # Marked on the 0..1 scale, of which one unit is 255 here
            self.recolour = lambda images, generator: self.mark(images * 255) / 255
        else:
            self.mix = lambda images, targets, generator: (self.mark(images), targets)

    def mark(self, images: Tensor) -> Tensor:
        self.shown.extend(images[:, 0, 0, 0].tolist())
        return images + 1000


@pytest.mark.parametrize("kind", ["image", "colour", "mixing"])
def test_augmentation_and_training_mode_reach_training_batches_alone(
    kind: str,
    plain_config: TrialConfig,
    data: PreparedData,
    use_data: Callable[[PreparedData], None],
    register: Callable[..., None],
) -> None:
    # Image i is all i, and normalising leaves it so: mean 0, deviation 1/255
    ids = torch.arange(len(data.labels), dtype=torch.uint8).view(-1, 1, 1, 1)
    use_data(
        replace(
            data,
            images=ids.expand(-1, 1, 8, 8).contiguous(),
            mean=torch.zeros(1),
            std=torch.full((1,), 1 / 255),
        )
    )
    mark = Mark(kind)
    seen: list[tuple[bool, bool, Tensor]] = []
    register(AUGMENTATIONS, "mark", lambda: mark.change if kind == "image" else mark)
    # As pretrained networks often come: in evaluation mode
    register(MODELS, "watch", lambda shape, classes, /: Watch(seen, classes).eval())
    config = replace(
        plain_config,
        model=Component("watch"),
        data=replace(plain_config.data, augmentation=(Component("mark"),)),
        epochs=2,
    )

    list(train(config))

    training = [part for in_training, _, part in seen if in_training]
    validation = [part for in_training, _, part in seen if not in_training]
    train_ids, val_ids = data.train_indices.tolist(), data.val_indices.tolist()
    assert [round(number) for number in sorted(mark.shown)] == sorted(train_ids * 2)
    assert sorted(torch.cat(training).round().int().tolist()) == sorted(
        [number + 1000 for number in train_ids] * 2
    )
    assert torch.cat(validation).round().int().tolist() == val_ids * 2
    assert all(gradients == in_training for in_training, gradients, _ in seen)


def test_every_epoch_has_an_order_of_its_own(
    plain_config: TrialConfig, register: Callable[..., None]
) -> None:
    seen: list[tuple[bool, bool, Tensor]] = []
    register(MODELS, "watch", lambda shape, classes, /: Watch(seen, classes))

    list(train(replace(plain_config, model=Component("watch"), epochs=2)))

    pixels = torch.cat([part for in_training, _, part in seen if in_training])
    first, second = pixels[:54], pixels[54:]
    assert not torch.equal(first, second)
    assert torch.equal(first.sort().values, second.sort().values)


class TestRaggedBatches:
    def test_a_last_batch_of_one_joins_the_one_before(
        self, plain_config: TrialConfig, register: Callable[..., None]
    ) -> None:
        seen: list[tuple[bool, bool, Tensor]] = []
        register(MODELS, "watch", lambda shape, classes, /: Watch(seen, classes))

        next(train(replace(plain_config, model=Component("watch"), batch_size=53)))

        assert [len(part) for in_training, _, part in seen if in_training] == [54]

    def test_batch_norm_survives_it(self, plain_config: TrialConfig) -> None:
        config = replace(plain_config, model=Component("small_net"), batch_size=53)

        assert math.isfinite(next(train(config)).metrics.val_loss)


class TestDivergence:
    def test_training_loss(self, plain_config: TrialConfig) -> None:
        config = replace(plain_config, optimizer=Component("sgd", {"lr": 1e30}))

        with pytest.raises(TrainingDiverged) as raised:
            list(train(config))

        said = (
            r"the training loss must be a finite number, but in epoch 1, after \d of 4 batches, "
            r"it is (nan|inf); try a lower learning rate than 1e\+30"
        )
        assert re.fullmatch(said, str(raised.value))

    def test_validation_loss(self, plain_config: TrialConfig) -> None:
        """The epoch's only step is also its last: its own loss was still finite."""
        config = replace(plain_config, optimizer=Component("sgd", {"lr": 1e30}), batch_size=100)

        with pytest.raises(TrainingDiverged, match="the validation loss must be a finite"):
            list(train(config))


class TestStopping:
    def test_asked_before_every_batch_and_the_validation(self, plain_config: TrialConfig) -> None:
        asked = []

        list(train(replace(plain_config, epochs=2), should_stop=lambda: bool(asked.append(1))))

        assert len(asked) == 2 * (4 + 1)

    def test_says_where(self, plain_config: TrialConfig) -> None:
        answers = iter([False, False, True])

        with pytest.raises(TrainingInterrupted) as stopped:
            next(train(plain_config, should_stop=lambda: next(answers)))

        said = "training was asked to stop in epoch 1, after 2 of 4 batches"
        assert str(stopped.value) == said


def test_a_schedule_moves_the_rate_of_the_next_epoch(plain_config: TrialConfig) -> None:
    config = replace(plain_config, lr_schedule=Component("exponential", {"gamma": 0.5}))

    assert [result.metrics.lr for result in train(config)] == pytest.approx([0.1, 0.05, 0.025])


def test_a_schedule_made_for_batches_moves_with_each(plain_config: TrialConfig) -> None:
    config = replace(plain_config, lr_schedule=Component("one_cycle_for_test"))
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1, momentum=0.9)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.02, total_steps=3 * 4)
    rates = []
    for _ in range(11):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()

    assert [result.metrics.lr for result in train(config)] == rates[::4]


def test_a_plateau_schedule_sees_the_validation_loss(plain_config: TrialConfig) -> None:
    config = replace(plain_config, lr_schedule=Component("plateau_for_test"), epochs=4)

    assert [result.metrics.lr for result in train(config)] == pytest.approx([0.1, 0.1, 0.05, 0.025])


def test_bf16_trains_like_fp32(plain_config: TrialConfig) -> None:
    config = replace(plain_config, model=Component("simple_cnn"), epochs=6)
    config = replace(config, optimizer=Component("adam"))

    fast = list(train(replace(config, precision="bf16")))
    plain = list(train(replace(config, precision="fp32")))

    assert fast[0].metrics.train_loss != plain[0].metrics.train_loss
    assert fast[-1].metrics.val_loss == pytest.approx(plain[-1].metrics.val_loss, abs=0.05)


class Halves:
    """Shares every image's target: ``share`` for its own class, the rest for the next one."""

    def __init__(self, share: float) -> None:
        self.share = share

    def mix(
        self, images: Tensor, targets: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Leave ``images`` as they are."""
        return images, self.share * targets + (1 - self.share) * targets.roll(1, 1)


@pytest.mark.parametrize("share", [0.75, 0.25])
def test_mixed_labels_are_in_the_loss_and_the_larger_part_in_the_accuracy(
    plain_config: TrialConfig, data: PreparedData, register: Callable[..., None], share: float
) -> None:
    register(AUGMENTATIONS, "halves", lambda: Halves(share))
    config = replace(
        plain_config,
        data=replace(plain_config.data, augmentation=(Component("halves"),)),
        batch_size=100,  # one step, so that the first weights make the figures
    )
    torch.manual_seed(derived_seed(config.seed, "weights"))
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 3))
    x = (data.images.float() / 255 - data.mean.view(-1, 1, 1)) / data.std.view(-1, 1, 1)
    logits, labels = model(x[data.train_indices]), data.labels[data.train_indices]
    other = (labels + 1) % 3
    larger = labels if share > 0.5 else other

    first = next(train(config))

    expected = share * F.cross_entropy(logits, labels) + (1 - share) * F.cross_entropy(
        logits, other
    )
    assert first.metrics.train_loss == pytest.approx(expected.item(), rel=1e-5)
    right = (logits.argmax(1) == larger).double().mean().item()
    assert first.metrics.train_accuracy == pytest.approx(right)
    assert first.metrics.train_accuracy != pytest.approx(
        (logits.argmax(1) == (other if share > 0.5 else labels)).double().mean().item()
    )


def test_smoothing_and_weights_dont_change_what_a_loss_means(plain_config: TrialConfig) -> None:
    """One step: the reported loss is that of the first weights, whatever is learned from it."""
    plain = next(train(replace(plain_config, batch_size=100)))
    smoothed = Component("label_smoothing", {"amount": 0.5})
    for changes in ({"regularization": (smoothed,)}, {"class_weights": "balanced"}):
        other = next(train(replace(plain_config, batch_size=100, **changes)))
        assert other.metrics.train_loss == pytest.approx(plain.metrics.train_loss, rel=1e-6)
        assert other.metrics.val_loss != plain.metrics.val_loss
