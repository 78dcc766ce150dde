"""The networks of the reports: their parameter counts, layer tables and widths."""

from __future__ import annotations

import re
from itertools import chain, cycle, pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from hpsearch.registry import Component
from hpsearch.training.models.inspection import describe
from hpsearch.training.models.widths import NAMED, widths_of
from hpsearch.training.registries import MODELS

COLOUR = (3, 32, 32)


def conv(inputs: int, outputs: int, kernel: int = 3) -> int:
    return inputs * outputs * kernel * kernel + outputs


def dense(*widths: int) -> int:
    """Weights and biases of dense layers between ``widths``."""
    return sum((a + 1) * b for a, b in pairwise(widths))


@pytest.mark.parametrize(
    ("name", "settings", "classes", "expected"),
    [
        # Numbers that a report prints, or that are known from elsewhere
        pytest.param("cnn_big", {}, 10, 5_655_498, id="report C, net G"),
        pytest.param("cnn_small", {}, 10, 1_816_714, id="report C, net P"),
        pytest.param("emoji_net", {}, 5, 1_069_509, id="report E"),
        # The convolutions of VGG-16 are 14,714,688 everywhere; batch norm has 2 x 4,224
        pytest.param(
            "vgg16", {"batch_norm": False}, 10, 14_714_688 + dense(512, 10), id="vgg16, one dense"
        ),
        pytest.param("vgg16", {}, 10, 14_714_688 + 8_448 + dense(512, 10), id="vgg16, batch norm"),
        pytest.param(
            "vgg16",
            {"batch_norm": False, "hidden": [4096, 4096]},
            10,
            14_714_688 + dense(512, 4096, 4096, 10),
            id="vgg16, its own dense layers",
        ),
        # The 3x3 stem has 1,728 weights where ImageNet's 7x7 has 9,408
        pytest.param("resnet18", {}, 10, 11_173_962, id="resnet18 as it is known for CIFAR-10"),
        pytest.param(
            "resnet18",
            {"stem": "imagenet"},
            1000,
            11_689_512,
            id="resnet18 as in torchvision's table",
        ),
        pytest.param(
            "resnet50", {"stem": "imagenet"}, 1000, 25_557_032, id="resnet50, torchvision's table"
        ),
        pytest.param(
            "resnet50",
            {"stem": "imagenet", "hidden": [1024, 256, 64, 16]},
            10,
            25_557_032 - dense(2048, 1000) + dense(2048, 1024, 256, 64, 16, 10),
            id="report A's resnet50",
        ),
        # Sums of their layers
        pytest.param(
            "emoji_net_initial",
            {},
            5,
            conv(3, 16) + conv(16, 32) + conv(32, 64) + dense(1024, 256, 5),
            id="report E, the first net: dense 1024-256-5",
        ),
        pytest.param(
            "emoji_net",
            {"stride": 1, "second_pool": True},
            5,
            conv(3, 32) + conv(32, 64) + dense(64 * 8 * 8, 256, 5),
            id="report E, stride 1 and a second pool",
        ),
        pytest.param(
            "emoji_net",
            {"second_pool": True},
            5,
            conv(3, 32) + conv(32, 64) + dense(64 * 4 * 4, 256, 5),
            id="report E, stride 2 and a second pool",
        ),
        pytest.param(
            "default_conv",
            {},
            10,
            conv(3, 6, 5) + conv(6, 16, 5) + dense(16 * 5 * 5, 120, 84, 10),
            id="default_conv",
        ),
        pytest.param(
            "cnn_lessvalues",
            {},
            10,
            conv(3, 8) + conv(8, 16) + dense(16 * 8 * 8, 64, 10),
            id="cnn_lessvalues",
        ),
        pytest.param(
            "simple_cnn",
            {"hidden": "arq_2"},
            10,
            conv(3, 32) + conv(32, 64) + dense(4096, 2048, 1024, 512, 256, 128, 64, 32, 16, 10),
            id="report A, simple_cnn_arq_2",
        ),
        pytest.param(
            "simple_cnn",
            {"hidden": "arq_4"},
            10,
            conv(3, 32) + conv(32, 64) + dense(4096, 1024, 256, 64, 16, 10),
            id="report A, simple_cnn_arq_4",
        ),
        pytest.param(
            "mlp",
            {"hidden": "relu_layer_div2"},
            10,
            dense(3072, 1536, 768, 384, 192, 96, 48, 24, 12, 10),
            id="report A, divided by 2",
        ),
        pytest.param(
            "mlp", {"hidden": "fc_hl_bigvalues"}, 10, dense(3072, 150, 150, 10), id="report B, best"
        ),
    ],
)
def test_parameters(name: str, settings: dict[str, Any], classes: int, expected: int) -> None:
    summary = describe(Component(name, settings), input_shape=COLOUR, classes=classes)

    assert summary.parameters == expected
    assert summary.trainable_parameters == expected
    assert sum(layer.parameters for layer in summary.layers) == expected


def test_lenet5_on_its_own_images() -> None:
    """LeCun's numbers: 61,706 parameters, 32 pixels, or 28 of them padded by 2."""
    for settings, shape in (({}, (1, 32, 32)), ({"padding": 2}, (1, 28, 28))):
        summary = describe(Component("lenet5", settings), input_shape=shape, classes=10)
        assert summary.parameters == 61_706
        assert [layer.output_shape for layer in summary.layers if layer.kind == "Conv2d"] == [
            (6, 28, 28),
            (16, 10, 10),
            (120, 1, 1),
        ]


@pytest.mark.parametrize(("pool", "kind"), [("max", nn.MaxPool2d), ("average", nn.AvgPool2d)])
def test_lenet5_pools_as_told(pool: str, kind: type[nn.Module]) -> None:
    built = MODELS.build(Component("lenet5", {"pool": pool}), COLOUR, 10)

    assert sum(isinstance(module, kind) for module in built.modules()) == 2


def test_report_c_normalises_behind_every_activation_and_pools_behind_every_block() -> None:
    layers = describe(Component("cnn_big"), input_shape=COLOUR, classes=10).layers
    built = MODELS.build(Component("cnn_big"), COLOUR, 10)

    block = ["Conv2d", "ReLU", "BatchNorm2d"]
    assert [layer.kind for layer in layers] == [
        *([*block, *block, "MaxPool2d"] * 4),
        "Flatten",
        *(["Linear", "ReLU", "BatchNorm1d"] * 4),
        "Linear",
    ]
    pools = [module for module in built.modules() if isinstance(module, nn.MaxPool2d)]
    assert {(pool.kernel_size, pool.stride, pool.padding) for pool in pools} == {(3, 2, 1)}


def test_report_c_shared_a_batch_norm() -> None:
    """Their table counts one for each convolution; their code has one for two of them."""
    summary = describe(Component("cnn_big"), input_shape=COLOUR, classes=10)

    norms = [layer.parameters for layer in summary.layers if layer.kind == "BatchNorm2d"]
    assert norms == [128, 128, 256, 256, 512, 512, 1024, 1024]
    assert summary.parameters - sum(norms[::2]) == 5_653_578


def test_vgg16_normalises_before_every_activation() -> None:
    layers = describe(Component("vgg16"), input_shape=COLOUR, classes=10).layers

    kinds = [layer.kind for layer in layers]
    block = ["Conv2d", "BatchNorm2d", "ReLU"]
    pooled = [(*block * convolutions, "MaxPool2d") for convolutions in (2, 2, 3, 3, 3)]
    assert kinds == [*chain(*pooled), "Flatten", "Linear"]
    assert layers[-2].output_shape == (512,)  # 32 pixels come to one


@pytest.mark.parametrize("name", ["vgg16", "resnet18"])
def test_first_weights_of_deep_nets_keep_a_signals_size(name: str) -> None:
    """He et al.: a variance of 2 over the outputs that each input reaches."""
    torch.manual_seed(3)
    model = MODELS.build(Component(name), COLOUR, 10)

    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            reached = module.out_channels * module.kernel_size[0] * module.kernel_size[1]
            assert module.weight.var().item() * reached == pytest.approx(2, rel=0.15)
            assert module.bias is None or not module.bias.any()


class TestWidths:
    @pytest.mark.parametrize(
        ("hidden", "inputs", "classes", "expected"),
        [
            # The lines of report A, from 3072 pixels to 10 classes
            ("div2", 3072, 10, [1536, 768, 384, 192, 96, 48, 24, 12]),
            ("div4", 3072, 10, [768, 192, 48, 12]),
            ("div4_div2", 3072, 10, [768, 384, 96, 48, 12]),
            # 784 / 2 = 392, 196, 98, 49, then 24.5: rounded down
            ("div2", 784, 10, [392, 196, 98, 49, 24, 12]),
            # A width equal to the number of classes would be the logits twice
            ("div2", 64, 16, [32]),
            ("div4", 1, 10, []),
            ([7, 300], 3072, 10, [7, 300]),
            ([], 3072, 10, []),
        ],
    )
    def test_rules(self, hidden: Any, inputs: int, classes: int, expected: list[int]) -> None:
        assert widths_of(hidden, inputs=inputs, classes=classes) == expected

    @pytest.mark.parametrize("name", [name for name in NAMED if not name.startswith("arq")])
    def test_every_name_is_a_value_of_mlp(self, name: str) -> None:
        summary = describe(Component("mlp", {"hidden": name}), input_shape=COLOUR, classes=10)

        widths = [layer.output_shape[0] for layer in summary.layers if layer.kind == "Linear"]
        assert widths == [*widths_of(name, inputs=3072, classes=10), 10]

    def test_the_page_tells_what_every_name_stands_for(self) -> None:
        page = (Path(__file__).parents[3] / "docs" / "study-files.md").read_text()
        rows = dict(re.findall(r"^\| (`.*) \| (`.*`) \|$", page, flags=re.MULTILINE))
        told = {
            name: meant
            for names, meants in rows.items()
            for name, meant in zip(
                re.findall(r"`(\w+)`", names),
                cycle(re.findall(r"`(.*?)`", meants)),
                strict=False,
            )
        }
        for name, meant in NAMED.items():
            assert told[name] == (meant if isinstance(meant, str) else str(list(meant)))

    def test_layers_of_the_nets_by_no_rule(self) -> None:
        for layers in (4, 6):
            widths = NAMED[f"relu_{layers}_layer_divrand"]
            assert len(widths) + 1 == layers  # the one of the logits included
