"""Widths of dense layers: a list, a rule, or a name from the reports that hpsearch repeats.

The rules divide the inputs until the number of classes is reached. For 3072 inputs and 10 classes:

    div2        3072 -> 1536, 768, 384, 192, 96, 48, 24, 12 -> 10
    div4        3072 -> 768, 192, 48, 12 -> 10
    div4_div2   3072 -> 768, 384, 96, 48, 12 -> 10

All widths are larger than the number of classes (12 / 2 = 6 isn't, so 12 is the last).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Literal, TypeAlias

from pydantic import PositiveInt

#: A model's ``hidden`` key: widths of the dense layers before the logits, or the rule for them.
Hidden: TypeAlias = list[PositiveInt] | Literal["div2", "div4", "div4_div2"]

#: ``hidden`` of ``mlp``: also the names of dense nets in reports A (relu_) and B.
MlpHidden: TypeAlias = (
    list[PositiveInt]
    | Literal[
        "div2",
        "div4",
        "div4_div2",
        "relu_layer_div2",
        "relu_layer_div4",
        "relu_div4_div2",
        "relu_6_layer_divrand",
        "relu_4_layer_divrand",
        "MLP",
        "fc_hl_1layers",
        "fc_hl_bigvalues",
        "fc_hl_bigvalues_and_2layers",
        "fc_hl_less_values",
        "fc_hl_1layer_less",
        "fc_hl_1layerless_smallvalues",
    ]
)

#: ``hidden`` of ``simple_cnn``: also the names of report A.
SimpleCnnHidden: TypeAlias = (
    list[PositiveInt] | Literal["div2", "div4", "div4_div2", "arq_2", "arq_4"]
)

_DIVISORS: Mapping[str, tuple[int, ...]] = {"div2": (2,), "div4": (4,), "div4_div2": (4, 2)}

#: Meaning of the reports' names. If a report leaves a choice, it is made here.
NAMED: Mapping[str, str | tuple[int, ...]] = {
    # Report A, from 3072 inputs to 10 classes
    "relu_layer_div2": "div2",
    "relu_layer_div4": "div4",
    "relu_div4_div2": "div4_div2",
    # It gives 6 or 4 layers, "by no rule", but no widths. The count includes the last layer
    "relu_6_layer_divrand": (1000, 700, 300, 120, 40),
    "relu_4_layer_divrand": (1200, 450, 90),
    # Report B: only the widths that it names, so that several names have the same widths
    "MLP": (120,),
    "fc_hl_1layers": (120,),
    "fc_hl_bigvalues": (150, 150),
    "fc_hl_bigvalues_and_2layers": (200, 200),
    "fc_hl_less_values": (50,),
    "fc_hl_1layer_less": (120,),
    "fc_hl_1layerless_smallvalues": (50,),
    # Report A, from the 64 * 8 * 8 values after simple_cnn's convolutions
    "arq_2": "div2",
    "arq_4": "div4",
}


def widths_of(hidden: Sequence[int] | str, *, inputs: int, classes: int) -> list[int]:
    """Return the widths of the dense layers between the inputs and the logits.

    Args:
        hidden: A list of widths, a rule, or a report's name.
        inputs: Number of values that enter the first layer.
        classes: Number of classes.
    """
    meant = NAMED[hidden] if isinstance(hidden, str) and hidden in NAMED else hidden
    if not isinstance(meant, str):
        return list(meant)
    widths: list[int] = []
    for divisor in cycle(_DIVISORS[meant]):
        inputs //= divisor
        if inputs <= classes:
            break
        widths.append(inputs)
    return widths
