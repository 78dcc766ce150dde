"""Training on a device that isn't the CPU: nothing meets what lies elsewhere.

The device is pretended (``support.pretended_gpu``). Its arithmetic is the CPU's, so in fp32 its
figures must be the CPU's to the last digit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from support.pretended_gpu import OnGpu, PretendedGpu, pretended_gpu
from support.resuming import assert_same, interrupted, run
from torch import Tensor, nn

from hpsearch.registry import Component
from hpsearch.study_file.trial_config import TrialConfig
from hpsearch.training import classifier, engine, latency
from hpsearch.training.augmentation import erasing, mixing
from hpsearch.training.augmentation.chain import Chain
from hpsearch.training.batches import ImageStore
from hpsearch.training.classifier import Classifier, signature_of
from hpsearch.training.data.prepare import PreparedData
from hpsearch.training.engine import train
from hpsearch.training.models.inspection import describe
from hpsearch.training.plan import plan_on
from hpsearch.training.registries import AUGMENTATIONS, LR_SCHEDULES, MODELS, OPTIMIZERS
from hpsearch.training.state import TrainingState
from hpsearch.training.weight_average import WeightAverage

GPU = "cuda:0"
CPU = torch.device("cpu")

#: What PyTorch says where two devices meet.
MIXED = r"on the same device|'cuda' device type"

REQUIRED: dict[str, dict[str, Any]] = {
    "sgd": {"lr": 0.05, "momentum": 0.9},
    "exponential": {"gamma": 0.9},
    "step": {"step_size": 1, "gamma": 0.5},
    "multistep": {"milestones": [2], "gamma": 0.5},
}


def component(name: str) -> Component:
    return Component(name, REQUIRED.get(name, {}))


#: The last digits of the images of these differ between devices.
INEXACT_AUGMENTATIONS = ("rand_augment", "trivial_augment")
EXACT_AUGMENTATIONS = [name for name in AUGMENTATIONS.names() if name not in INEXACT_AUGMENTATIONS]


@pytest.fixture
def gpu() -> Iterator[PretendedGpu]:
    with pretended_gpu() as pretended:
        yield pretended


@pytest.fixture
def everything(config: TrialConfig) -> TrialConfig:
    """A configuration in which all that holds tensors has a part."""
    return replace(
        config,
        data=replace(config.data, augmentation=tuple(map(Component, EXACT_AUGMENTATIONS))),
        model=Component("small_net"),
        optimizer=Component("adamw", {"lr": 0.01}),
        regularization=(
            Component("l1", {"strength": 1e-4}),
            Component("l2", {"strength": 1e-4}),
            Component("label_smoothing"),
        ),
        class_weights="balanced",
        evaluate="ema",
    )


def assert_near(one: Any, other: Any) -> None:
    """Equal but for the last digits: Adagrad is fused on the CPU alone."""
    for mine, its in zip(one, other, strict=True):
        assert mine[:8] == pytest.approx(its[:8], rel=1e-4)


def tensors_in(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from tensors_in(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from tensors_in(each)


class TestTraining:
    def test_ends_as_on_the_cpu(self, everything, gpu) -> None:
        there, state = run(everything, device=GPU)
        here, _ = run(everything)

        assert_same(there, here)
        assert gpu.operations > 1000
        assert not any(isinstance(each, OnGpu) for each in tensors_in(state))

    def test_in_bf16(self, everything, gpu) -> None:
        everything = replace(everything, precision="bf16")
        there, _ = run(everything, device=GPU)
        here, _ = run(everything)

        # Not to the last digit: autocast casts other operations on a GPU
        assert [each[1] for each in there] == pytest.approx([each[1] for each in here], rel=0.01)

    @pytest.mark.parametrize("name", INEXACT_AUGMENTATIONS)
    def test_random_policies(self, config, gpu, name) -> None:
        augmented = replace(config.data, augmentation=(Component(name),))
        config = replace(config, data=augmented)

        assert_near(run(config, device=GPU)[0], run(config)[0])

    def test_predictions_of_a_confirmation(self, config, gpu) -> None:
        (there, *_), (here, *_) = (
            list(train(config, device=each, keep_predictions=True)) for each in (GPU, "cpu")
        )
        for name in ("rows", "predicted", "truth", "losses"):
            said = [getattr(each.val_predictions, name) for each in (there, here)]
            assert said[0].tolist() == said[1].tolist()

    @pytest.mark.parametrize("name", OPTIMIZERS.names())
    def test_every_optimizer(self, plain_config, gpu, name) -> None:
        config = replace(plain_config, optimizer=component(name))

        assert_near(run(config, device=GPU)[0], run(config)[0])

    @pytest.mark.parametrize("name", LR_SCHEDULES.names())
    def test_every_schedule(self, plain_config, gpu, name) -> None:
        config = replace(plain_config, lr_schedule=component(name))

        assert_same(run(config, device=GPU)[0], run(config)[0])

    def test_folds(self, config, data, use_data, gpu) -> None:
        rows = torch.arange(71)
        rounds = tuple(
            replace(
                data,
                train_indices=rows[rows % 2 != number],
                val_indices=rows[rows % 2 == number],
                split_hash=f"{number}" * 64,
            )
            for number in range(2)
        )
        use_data(replace(data, rounds=rounds))
        config = replace(config, data=replace(config.data, folds=2))

        assert_same(run(config, device=GPU)[0], run(config)[0])

    def test_no_step_waits_for_the_device(self, everything, gpu) -> None:
        """Whatever is fetched is fetched once an epoch, however many batches that has."""
        everything = replace(everything, epochs=1)

        def waits(batch_size: int) -> dict[str, int]:
            gpu.waits.clear()
            for _ in train(replace(everything, batch_size=batch_size), device=GPU):
                pass
            return dict(gpu.waits)

        assert waits(27) == waits(6)


class TestResume:
    def test_amid_an_epoch(self, everything, gpu) -> None:
        whole, _ = run(everything, device=GPU)
        # Four batches an epoch, and once before the validation
        state = interrupted(everything, 5 + 2, device=GPU)
        rest, _ = run(everything, device=GPU, resume_from=state)

        assert_same(rest, whole[1:])

    @pytest.mark.parametrize("name", OPTIMIZERS.names())
    @pytest.mark.parametrize(("first", "second"), [("cpu", GPU), (GPU, "cpu")])
    def test_on_the_other_device(self, plain_config, gpu, name, first, second) -> None:
        config = replace(plain_config, optimizer=component(name))
        whole, _ = run(config)
        state = interrupted(config, 5 + 2, device=first)
        rest, _ = run(config, device=second, resume_from=state)

        assert_near(rest, whole[1:])


class TestUse:
    def test_predictions_are_those_of_the_cpu(self, gpu, everything, data) -> None:
        there, here = (built(everything, data, each) for each in (GPU, "cpu"))

        assert isinstance(there.logits(data.images), OnGpu)
        assert torch.equal(there.probabilities(data.images), here.probabilities(data.images))
        assert_same(
            vars(there.evaluate(data.images, data.labels)),
            vars(here.evaluate(data.images, data.labels)),
        )

    def test_latency(self, gpu, everything, data) -> None:
        weights = built(everything, data, "cpu").model.state_dict()
        shape, classes = data.input_shape, len(data.class_names)

        measured = latency.latency(
            everything.model,
            weights,
            input_shape=shape,
            classes=classes,
            device=GPU,
            precision="bf16",
        )
        assert measured > 0
        planned = plan_on(everything, data, torch.device(GPU))
        assert latency.time_side_by_side({3: (everything.model, planned)}, device=GPU)[3] > 0


def built(config: TrialConfig, data: PreparedData, device: str) -> Classifier:
    torch.manual_seed(0)
    model = MODELS.build(config.model, data.input_shape, len(data.class_names))
    return Classifier(
        config, signature_of(config, data, "fp32", epoch=1), model.state_dict(), device
    )


#: Large ones are left out: their layers are those of the others.
EVERY = [
    name for name in MODELS.names() if name not in ("timm", "torchvision", "vgg16", "resnet50")
]


@pytest.mark.parametrize("name", EVERY)
def test_every_model_learns_there(gpu, name) -> None:
    model = MODELS.build(Component(name), (3, 32, 32), 3).to(GPU)
    if describe(Component(name), input_shape=(3, 32, 32), classes=3).convolutional:
        model.to(memory_format=torch.channels_last)
    images = torch.randn(2, 3, 32, 32).to(GPU)

    nn.functional.cross_entropy(model(images), torch.tensor([0, 2]).to(GPU)).backward()

    assert all(isinstance(each.grad, OnGpu) for each in model.parameters() if each.requires_grad)


Plant = Callable[[pytest.MonkeyPatch], None]


def on_the_cpu(module: Any, name: str, place: int | None = None) -> Plant:
    """Give ``module.name`` the CPU for its device (its argument at ``place``)."""

    def plant(monkeypatch: pytest.MonkeyPatch) -> None:
        whole = getattr(module, name)

        def misled(*args: Any, **kwargs: Any) -> Any:
            if place is None:
                kwargs["device"] = CPU
            else:
                args = (*args[:place], CPU, *args[place + 1 :])
            return whole(*args, **kwargs)

        monkeypatch.setattr(module, name, misled)

    return plant


def fetched(owner: Any, name: str) -> Plant:
    """Let ``owner.name`` return its tensors on the CPU."""

    def plant(monkeypatch: pytest.MonkeyPatch) -> None:
        whole = getattr(owner, name)

        def forgotten(*args: Any, **kwargs: Any) -> Any:
            found = whole(*args, **kwargs)
            return found.cpu() if isinstance(found, Tensor) else tuple(e.cpu() for e in found)

        monkeypatch.setattr(owner, name, forgotten)

    return plant


def left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the losses of the epoch's first part where the checkpoint had them."""
    whole = TrainingState.restore

    def restore(self: TrainingState, state: Any) -> None:
        whole(self, state)
        self.losses = [each.cpu() for each in self.losses]

    monkeypatch.setattr(TrainingState, "restore", restore)


def average_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Average the weights where the first ones were made."""
    whole = WeightAverage.__init__

    def build(self: WeightAverage, *args: Any) -> None:
        whole(self, *args)
        self._averages = [each.cpu() for each in self._averages]

    monkeypatch.setattr(WeightAverage, "__init__", build)


@pytest.mark.parametrize(
    "plant",
    [
        pytest.param(on_the_cpu(engine, "ImageStore", 3), id="pixels"),
        pytest.param(on_the_cpu(engine, "Chain"), id="mean and deviation of the augmentations"),
        pytest.param(on_the_cpu(engine, "TrainingState", 2), id="model"),
        pytest.param(fetched(engine, "dominant"), id="labels that were right"),
        pytest.param(fetched(erasing, "box_masks"), id="masks of erasing"),
        pytest.param(fetched(mixing, "_partners"), id="partners of mixing"),
        pytest.param(fetched(ImageStore, "batch"), id="batches"),
        pytest.param(fetched(Chain, "__call__"), id="augmented images"),
        pytest.param(left_behind, id="losses of a part of an epoch"),
        pytest.param(average_left_behind, id="average of the weights"),
    ],
)
def test_a_planted_mix_is_found(everything, gpu, monkeypatch, plant) -> None:
    plant(monkeypatch)
    with pytest.raises(RuntimeError, match=MIXED):
        state = interrupted(everything, 5 + 2, device=GPU)
        run(everything, device=GPU, resume_from=state)


def labels_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Evaluate against labels that lie where the data is."""
    whole = classifier.evaluate
    monkeypatch.setattr(
        classifier,
        "evaluate",
        lambda model, pixels, labels, *rest, **options: whole(
            model, pixels, labels.cpu(), *rest, **options
        ),
    )


def image_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time an image that lies elsewhere than the model."""
    whole = latency._build

    def build(*args: Any, **options: Any) -> Any:
        made = whole(*args, **options)
        return replace(made, image=made.image.cpu())

    monkeypatch.setattr(latency, "_build", build)


@pytest.mark.parametrize(
    "plant",
    [
        pytest.param(on_the_cpu(classifier, "ImageStore", 3), id="pixels"),
        pytest.param(labels_left_behind, id="labels"),
        pytest.param(image_left_behind, id="the image that is timed"),
    ],
)
def test_a_mix_planted_in_a_model_in_use_is_found(
    everything, data, gpu, monkeypatch, plant
) -> None:
    plant(monkeypatch)
    planned = plan_on(everything, data, torch.device(GPU))
    with pytest.raises(RuntimeError, match=MIXED):
        built(everything, data, GPU).evaluate(data.images, data.labels)
        latency.time_side_by_side({0: (everything.model, planned)}, device=GPU)
