"""What every registered model keeps: the contract in ``docs/extending.md``."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from importlib.util import find_spec
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from hpsearch.errors import InfeasibleConfig
from hpsearch.registry import Component
from hpsearch.training.models.inspection import describe
from hpsearch.training.registries import ACTIVATIONS, MODELS

COLOUR = (3, 32, 32)

#: Keys without a default.
REQUIRED: dict[str, dict[str, Any]] = {
    "timm": {"name": "test_resnet"},
    "torchvision": {"name": "squeezenet1_1"},
}

#: Each built-in model (those that tests register come later).
EVERY = [name for name in MODELS.names() if name != "timm" or find_spec("timm") is not None]
LARGE = ("cnn_big", "cnn_small", "resnet18", "resnet50", "vgg16", "torchvision")
SMALL = [name for name in EVERY if name not in LARGE]


def component(name: str, **extra: Any) -> Component:
    return Component(name, REQUIRED.get(name, {}) | extra)


def on_meta(model: Component) -> nn.Module:
    with torch.device("meta"):
        return MODELS.build(model, COLOUR, 10)


@pytest.mark.parametrize("name", EVERY)
class TestEveryModel:
    def test_logits_of_every_image(self, name: str) -> None:
        logits = on_meta(component(name))(torch.empty(3, *COLOUR, device="meta"))

        assert logits.shape == (3, 10)

    def test_no_module_is_used_twice_and_no_parameter_is_shared(self, name: str) -> None:
        built = on_meta(component(name))
        calls: Counter[str] = Counter()
        for place, module in built.named_modules(remove_duplicate=False):
            if not any(module.children()):
                module.register_forward_hook(lambda *_, place=place: calls.update([place]))

        built(torch.empty(2, *COLOUR, device="meta"))

        leaves = [place for place, module in built.named_modules() if not any(module.children())]
        assert calls == Counter(leaves)
        everything = [*built.named_parameters(remove_duplicate=False)]
        everything += [*built.named_buffers(remove_duplicate=False)]
        assert len({id(tensor) for _, tensor in everything}) == len(everything)

    def test_gray_images(self, name: str) -> None:
        summary = describe(component(name), input_shape=(1, 32, 32), classes=10)

        assert summary.layers[-1].output_shape == (10,)

    @pytest.mark.parametrize("activation", ACTIVATIONS.names())
    def test_every_hidden_layer_takes_any_activation(self, name: str, activation: str) -> None:
        kind = type(ACTIVATIONS.build(Component(activation)))
        default = nn.ReLU
        extra = {} if kind is default else {"activation": {activation: {}}}

        expected = [type(module) is default for module in on_meta(component(name)).modules()]
        built = on_meta(component(name, **extra))

        found = [type(module) is kind for module in built.modules()]
        assert found == expected
        assert any(found)

    def test_dropout_is_a_key_and_off_by_default(self, name: str) -> None:
        def rates(**extra: Any) -> list[float]:
            modules = on_meta(component(name, **extra)).modules()
            return [module.p for module in modules if isinstance(module, nn.Dropout)]

        assert rates() == []
        assert set(rates(dropout=0.25)) == {0.25}


@pytest.mark.parametrize("name", SMALL)
@settings(max_examples=25, deadline=None)
@given(
    channels=st.sampled_from([1, 3]),
    height=st.integers(1, 64),
    width=st.integers(1, 64),
    classes=st.integers(2, 12),
)
def test_any_image_fits_or_is_refused_in_words(
    name: str, channels: int, height: int, width: int, classes: int
) -> None:
    fits_or_is_refused(name, (channels, height, width), classes)


# resnet50 is padded in the same places as resnet18, and takes long
@pytest.mark.parametrize("name", [name for name in LARGE if name != "resnet50"])
@pytest.mark.parametrize("size", [(1, 1), (3, 2), (31, 32), (64, 33)])
def test_any_image_fits_a_large_model_or_is_refused_in_words(
    name: str, size: tuple[int, int]
) -> None:
    fits_or_is_refused(name, (3, *size), 5)


def fits_or_is_refused(name: str, shape: tuple[int, int, int], classes: int) -> None:
    try:
        summary = describe(component(name), input_shape=shape, classes=classes)
    except InfeasibleConfig as error:
        assert "pixel" in str(error) or "can't take an image of" in str(error)
    else:
        assert summary.layers[-1].output_shape == (classes,)


@pytest.mark.parametrize("name", SMALL)
def test_a_step_lowers_the_loss(name: str) -> None:
    torch.manual_seed(4)
    model = MODELS.build(component(name), COLOUR, 10)
    images, labels = torch.randn(8, *COLOUR), torch.arange(8)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02)

    losses = []
    for _ in range(2):
        loss = nn.functional.cross_entropy(model(images), labels)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        trained = [each for each in model.parameters() if each.requires_grad]
        assert all(parameter.grad is not None for parameter in trained)
        optimizer.step()

    assert losses[1] < losses[0]


def test_only_who_names_a_model_of_torchvision_waits_for_its_import() -> None:
    program = """
import sys
import hpsearch.training.builtin
from hpsearch.registry import Component
from hpsearch.training.registries import MODELS

MODELS.build(Component("resnet18"), (3, 32, 32), 10)
assert "torchvision" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
