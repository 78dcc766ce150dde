"""What makes training fast doesn't change what is learned: weights against a textbook's loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hpsearch.registry import Component
from hpsearch.study_file.trial_config import DataConfig, TrialConfig
from hpsearch.training.data.prepare import PreparedData
from hpsearch.training.engine import train
from hpsearch.training.models.stack import Layers
from hpsearch.training.randomness import derived_seed, shuffled
from hpsearch.training.registries import MODELS

SGD = Component("sgd", {"lr": 0.02, "momentum": 0.9, "weight_decay": 1e-3})
DEFAULTS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
}


@pytest.fixture
def configured(plain_config: TrialConfig) -> Callable[..., TrialConfig]:
    """Return the function that makes a configuration of two epochs in colour-sized batches."""

    def make(model: str, optimizer: Component, **changes: Any) -> TrialConfig:
        data = DataConfig(source=Component("digits"))
        parts = {"model": Component(model), "optimizer": optimizer, "epochs": 2, "data": data}
        return replace(plain_config, **parts, **changes)

    return make


def plainly_trained(config: TrialConfig, data: PreparedData) -> dict[str, Tensor]:
    """Train in fp32, channels first, with PyTorch's default optimizer; layers in their order."""
    shape = (-1, 1, 1)
    x = ((data.images.double() / 255 - data.mean.view(shape)) / data.std.view(shape)).float()
    torch.manual_seed(derived_seed(config.seed, "weights"))
    built = MODELS.build(config.model, data.input_shape, len(data.class_names))
    model = nn.Sequential(*built) if isinstance(built, Layers) else built
    optimizer = DEFAULTS[config.optimizer.name](model.parameters(), **config.optimizer.settings)
    for epoch in range(1, config.epochs + 1):
        order = shuffled(data.train_indices, derived_seed(config.seed, "order", epoch))
        for rows in torch.split(order, config.batch_size):
            optimizer.zero_grad()
            F.cross_entropy(model(x[rows]), data.labels[rows]).backward()
            optimizer.step()
    return built.state_dict()


def fast_trained(config: TrialConfig) -> dict[str, Tensor]:
    *_, last = train(config)
    weights: dict[str, Tensor] = last.state()["model"]
    return weights


@pytest.mark.parametrize("model", ["simple_cnn", "default_8px", "batch_norm_net"])
@pytest.mark.parametrize("optimizer", [SGD, Component("adam", {"lr": 1e-3})], ids=["sgd", "adam"])
def test_in_fp32_the_weights_are_the_plain_loops(
    configured: Callable[..., TrialConfig],
    data: PreparedData,
    register: Callable[..., None],
    model: str,
    optimizer: Component,
) -> None:
    register(MODELS, "default_8px", _with_stride)
    register(MODELS, "batch_norm_net", _with_batch_norm)
    config = configured(model, optimizer)

    fast, plain = fast_trained(config), plainly_trained(config, data)

    assert fast.keys() == plain.keys()
    for name, weights in fast.items():
        torch.testing.assert_close(weights, plain[name], rtol=1e-3, atol=2e-5, msg=name)


def test_in_bf16_they_stay_near(configured: Callable[..., TrialConfig], data: PreparedData) -> None:
    config = configured("simple_cnn", SGD, precision="bf16")

    fast, plain = fast_trained(config), plainly_trained(config, data)

    first = MODELS.build(config.model, data.input_shape, len(data.class_names)).state_dict()
    for name, weights in fast.items():
        assert weights.dtype == torch.float32
        assert not torch.equal(weights, plain[name])
        # Not only small against the weights, but against what training moved
        moved = (plain[name] - first[name]).norm()
        assert (weights - plain[name]).norm() < 0.1 * moved


def _with_stride(shape: tuple[int, int, int], classes: int, /) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(shape[0], 6, 3, stride=2, padding=1),
        nn.Tanh(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(24, classes),
    )


def _with_batch_norm(shape: tuple[int, int, int], classes: int, /) -> nn.Module:
    return nn.Sequential(
        # A bias would have no gradient but rounding errors, and Adam makes steps of those
        nn.Conv2d(shape[0], 6, 2, dilation=2, bias=False),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(54, classes),
    )


class TestLayers:
    def layers(self, *modules: nn.Module) -> tuple[Layers, nn.Sequential]:
        return Layers(*modules), nn.Sequential(*modules)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
    @pytest.mark.parametrize(
        "behind",
        [
            [nn.MaxPool2d(2), nn.Flatten()],
            [nn.MaxPool2d(3, stride=2, padding=1), nn.Flatten()],
            [nn.Flatten()],
        ],
        ids=["2x2", "3x3, padded", "flatten"],
    )
    def test_the_same_digits_forward_and_backward(
        self, dtype: torch.dtype, behind: list[nn.Module]
    ) -> None:
        layers, plain = self.layers(nn.ReLU(), *behind)
        generator = torch.Generator().manual_seed(3)
        # Few different values: ties, among them windows that are 0 or below everywhere
        values = torch.randint(-3, 2, (5, 4, 12, 12), generator=generator).to(dtype)
        values = values.contiguous(memory_format=torch.channels_last)
        outcomes = []
        for model in (layers, plain):
            images = values.clone().requires_grad_()
            output = model(images)
            output.backward(torch.rand(output.shape, generator=generator.manual_seed(4)).to(dtype))
            assert images.grad is not None
            outcomes.append((output.detach(), images.grad))

        (output, gradient), (expected, expected_gradient) = outcomes
        assert torch.equal(output, expected)
        assert torch.equal(gradient, expected_gradient)
        assert gradient.count_nonzero() > 100

    def test_only_max_pooling_and_flattening_behind_a_relu_change_places(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[str] = []
        call = nn.Module.__call__

        def noted(module: nn.Module, *arguments: Any) -> Any:
            seen.append(type(module).__name__)
            return call(module, *arguments)

        modules = [nn.ReLU(), nn.MaxPool2d(2), nn.SiLU(), nn.MaxPool2d(2), nn.ReLU()]
        modules += [nn.AvgPool2d(2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()]
        modules += [nn.ReLU(), nn.Flatten()]
        for kind in {type(module) for module in modules}:
            monkeypatch.setattr(kind, "__call__", noted)

        Layers(*modules)(torch.randn(1, 2, 16, 16))

        assert seen == [
            *("MaxPool2d", "ReLU"),
            *("SiLU", "MaxPool2d", "ReLU", "AvgPool2d"),
            *("MaxPool2d", "ReLU", "Flatten"),
            *("Flatten", "ReLU"),
        ]

    @pytest.mark.parametrize("watched", [0, 1])
    @pytest.mark.parametrize("behind", [nn.MaxPool2d, nn.Flatten])
    def test_who_watches_a_layer_sees_them_as_they_were_appended(
        self, watched: int, behind: Callable[[int], nn.Module]
    ) -> None:
        seen: list[tuple[tuple[int, ...], bool]] = []
        layers = Layers(nn.ReLU(), behind(2))
        layers[watched].register_forward_hook(
            lambda module, inputs, output: seen.append(
                (tuple(inputs[0].shape), bool((inputs[0] < 0).any()))
            )
        )

        layers(torch.linspace(-1, 1, 32).view(1, 2, 4, 4))

        assert seen == [((1, 2, 4, 4), watched == 0)]
