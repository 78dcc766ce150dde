"""A network's layers up to its features, with new dense layers on top of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Self, TypeAlias

from torch import Tensor, nn

from hpsearch.errors import InfeasibleConfig
from hpsearch.registry import Component
from hpsearch.training.models.dense import add_dense_layers
from hpsearch.training.registries import ACTIVATIONS

#: The layers that a model's ``activation`` replaces (gates such as sigmoid stay).
_ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.SiLU, nn.GELU, nn.Hardswish)

#: A model's ``freeze`` key: the part that isn't trained; or the names of its layers.
Freeze: TypeAlias = Literal["none", "backbone"] | list[str]


def check_freeze(freeze: Freeze, weights: str | Path) -> None:
    """Check that frozen layers have pretrained weights.

    Raises:
        InfeasibleConfig: If layers are frozen and their weights are random.
    """
    if freeze not in ("none", []) and weights == "none":
        text = freeze if isinstance(freeze, str) else f"[{', '.join(freeze)}]"
        raise InfeasibleConfig(
            f"freeze: {text} keeps loaded weights, but weights is none; use freeze: none, or load "
            "weights"
        )


def replace_activations(
    net: nn.Module, activation: Component, kinds: tuple[type[nn.Module], ...] = ()
) -> int:
    """Replace each activation of a network.

    Args:
        net: The network; changed in place.
        activation: What replaces them.
        kinds: A library's own classes of activations, beside PyTorch's.

    Returns:
        The number of activations.
    """
    all_kinds = (*_ACTIVATIONS, *kinds)
    places = [place for place, module in net.named_modules() if isinstance(module, all_kinds)]
    for place in places:
        put_layer(net, place, ACTIVATIONS.build(activation))
    return len(places)


def put_layer(net: nn.Module, place: str, module: nn.Module) -> None:
    """Replace one layer of a network.

    Args:
        net: The network; changed in place.
        place: The layer's name, such as ``features.0.1``.
        module: The new layer.
    """
    parent, _, name = place.rpartition(".")
    setattr(net.get_submodule(parent), name, module)


class Classifier(nn.Module):
    """``backbone`` maps images to (n, features), ``head`` maps these to logits (n, classes).

    A frozen layer isn't trained and stays in evaluation mode: its batch norm keeps the statistics
    that belong to its weights, and its dropout is off.

    Args:
        backbone: The layers up to the features.
        features: Number of features.
        classes: Number of classes.
        freeze: The layers of the backbone that are frozen.
        hidden: Widths of the dense layers before the logits, or the rule for them.
        activation: Follows each hidden dense layer.
        dropout: Share of activations zeroed in training, before the dense layers and after each
            hidden one.

    Raises:
        InfeasibleConfig: ``freeze`` names a layer that the backbone doesn't have.
    """

    def __init__(
        self,
        backbone: nn.Module,
        features: int,
        classes: int,
        *,
        freeze: Freeze,
        hidden: Sequence[int] | str,
        activation: Component,
        dropout: float,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.Sequential()
        add_dense_layers(
            self.head,
            features,
            hidden,
            classes,
            activation=activation,
            dropout=dropout,
            dropout_before=True,
        )
        self._frozen = _layer_names(backbone, freeze)
        for name in self._frozen:
            backbone.get_submodule(name).requires_grad_(False).eval()

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits."""
        logits: Tensor = self.head(self.backbone(images))
        return logits

    def train(self, mode: bool = True) -> Self:
        """Set training mode, except for frozen layers."""
        super().train(mode)
        for name in self._frozen:
            self.backbone.get_submodule(name).eval()
        return self


def _layer_names(backbone: nn.Module, freeze: Freeze) -> tuple[str, ...]:
    """Return the names of the frozen layers; the backbone itself has the empty one."""
    if isinstance(freeze, str):
        return ("",) if freeze == "backbone" else ()
    layer_names = {name for name, _ in backbone.named_modules() if name}
    unknown = [name for name in freeze if name not in layer_names]
    if unknown:
        outer = ", ".join(name for name, _ in backbone.named_children())
        raise InfeasibleConfig(
            f"freeze must name layers of the model ({outer}, or layers inside of these: layer1.0), "
            f"but got {', '.join(map(repr, unknown))}"
        )
    return tuple(freeze)
