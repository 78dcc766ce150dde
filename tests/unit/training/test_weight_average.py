"""``evaluate: ema``: a moving average of the weights is what is evaluated and kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from support.resuming import interrupted, run
from torch import Tensor, nn

from hpsearch.errors import TrainingInterrupted
from hpsearch.registry import Component
from hpsearch.study_file.trial_config import TrialConfig
from hpsearch.training.classifier import Classifier, signature_of
from hpsearch.training.data.prepare import PreparedData
from hpsearch.training.engine import train
from hpsearch.training.weight_average import WeightAverage

#: Of an epoch of 54 images in batches of 16.
STEPS = 4
#: Half an epoch of steps: what is kept of the average from one step to the next.
KEEP = 0.5


@pytest.fixture
def config(config: TrialConfig) -> TrialConfig:
    """Dropout, augmentation, cosine and batch norm, evaluated by the average."""
    return replace(config, model=Component("small_net"), evaluate="ema")


def raw_weights(config: TrialConfig) -> list[dict[str, Tensor]]:
    """Return the weights after each step of a training that knows of no average."""
    plain = replace(config, evaluate="weights")
    # An epoch asks before each of its batches, and before its one batch of validation
    asked = [(STEPS + 1) * epoch + step for epoch in range(3) for step in range(1, STEPS + 1)]
    return [interrupted(plain, questions)["model"] for questions in asked]


def brute_force(weights: list[Tensor]) -> Tensor:
    """Return the weighted mean in double precision: each step back counts half as much."""
    shares = torch.tensor([KEEP**back for back in reversed(range(len(weights)))]).double()
    return torch.einsum("s,s...->...", shares / shares.sum(), torch.stack(weights).double())


def test_it_is_the_weighted_mean_of_the_weights_after_every_step(config: TrialConfig) -> None:
    steps = raw_weights(config)
    states = [result.state() for result in train(config)]

    assert len(states) == 3
    for epoch, state in enumerate(states, start=1):
        seen = steps[: epoch * STEPS]
        for name, average in state["model"].items():
            if name == "norm.num_batches_tracked":  # a count isn't averaged
                assert average.item() == epoch * STEPS
                continue
            expected = brute_force([each[name] for each in seen])
            torch.testing.assert_close(average.double(), expected, rtol=1e-5, atol=1e-6)
            # Training itself goes on from the weights, not from their average
            assert torch.equal(state["raw"][name], seen[-1][name])
            assert not torch.allclose(average, seen[-1][name], rtol=1e-3)


def test_after_one_step_it_is_those_weights(config: TrialConfig) -> None:
    state = interrupted(config, 1)

    for name, average in state["model"].items():
        assert torch.equal(average, state["raw"][name])


def test_training_does_not_depend_on_it(config: TrialConfig) -> None:
    averaged, state = run(config)
    plain, end = run(replace(config, evaluate="weights"))

    assert [each[1] for each in averaged] == [each[1] for each in plain]  # training losses
    assert all(torch.equal(state["raw"][name], end["model"][name]) for name in end["model"])
    assert "raw" not in end


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_figures_are_those_of_the_average(
    config: TrialConfig, data: PreparedData, precision: str
) -> None:
    """And of the weights that are kept: they give the same figures to the last digit."""
    config = replace(config, precision=precision)  # type: ignore[arg-type]
    for result in train(config):
        state = result.state()
        found, own = (
            Classifier(
                config, signature_of(config, data, state["precision"], epoch=1), weights
            ).evaluate(data.images[data.val_indices], data.labels[data.val_indices])
            for weights in (state["model"], state["raw"])
        )
        assert (result.metrics.val_loss, result.metrics.val_accuracy) == (
            found.loss,
            found.accuracy,
        )
        assert own.loss != found.loss


def test_a_stop_amid_the_evaluation_leaves_the_weights_in_training(config: TrialConfig) -> None:
    before_it = interrupted(replace(config, evaluate="weights"), STEPS)
    within_it = interrupted(config, STEPS)

    for name, trained in before_it["model"].items():
        assert torch.equal(within_it["raw"][name], trained)


def test_every_fold_has_its_own(config: TrialConfig, data: PreparedData, use_data) -> None:
    rows = torch.arange(71)
    rounds = tuple(
        replace(data, train_indices=rows[rows % 2 != each], val_indices=rows[rows % 2 == each])
        for each in range(2)
    )
    use_data(replace(data, rounds=rounds))
    _, state = run(replace(config, data=replace(config.data, folds=2)))

    for kept, own in zip(state["model"], state["rounds"], strict=True):
        assert torch.equal(kept["conv.weight"], own["model"]["conv.weight"])
        assert not torch.equal(kept["conv.weight"], own["raw"]["conv.weight"])


class Masked(nn.Module):
    """One weight, and a buffer whose average would be no number."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([1.0]))
        self.register_buffer("mask", torch.tensor([-torch.inf]))


def test_other_buffers_stay_the_models() -> None:
    model = Masked()
    average = WeightAverage(model, steps=8)
    for step in (1, 2):
        model.weight.data += 4
        average.follow(step)

    with average.installed():
        assert model.get_buffer("mask").item() == -torch.inf
        # Kept: 3/4. So the older one of two counts 3/7
        assert model.weight.item() == pytest.approx((5 * 3 + 9 * 4) / 7)
    assert model.weight.item() == 9


@pytest.mark.parametrize("steps", [1, 2])
def test_epochs_of_a_step_or_two_have_nothing_to_average(steps: int) -> None:
    model = Masked()
    average = WeightAverage(model, steps)
    for step in (1, 2, 3):
        model.weight.data += 1
        average.follow(step)

    with average.installed():
        assert model.weight.item() == 4


def test_a_long_training_goes_on_counting_and_ends_in_numbers() -> None:
    model = Masked()
    average = WeightAverage(model, steps=1000)
    for step in (1, 10, 10**7):
        average.follow(step)

    with average.installed():
        assert model.weight.item() == 1


def stops(config: TrialConfig, every: int) -> Iterator[dict[str, object]]:
    """Yield the states of a training that is stopped after ``every`` questions, again and again."""
    state = None
    while True:
        asked = iter(range(every))
        try:
            for _ in train(
                config,
                resume_from=state,
                should_stop=lambda: next(asked, None) is None,  # noqa: B023
            ):
                pass
        except TrainingInterrupted as stopped:
            state = stopped.state()
            yield state
        else:
            return


def test_stopped_again_and_again_it_is_the_undisturbed_one(config: TrialConfig) -> None:
    _, end = run(config)
    *_, last = stops(config, 2)
    _, resumed = run(config, resume_from=last)

    for name, average in end["model"].items():
        assert torch.equal(average, resumed["model"][name])
