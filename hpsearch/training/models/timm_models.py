"""Any of timm's classifiers by its name there, with new dense layers at its end.

timm is an extra, and is imported only if such a model is used.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeAlias

from torch import nn

from hpsearch.errors import DataError, InfeasibleConfig, UserError, WeightsUnavailable
from hpsearch.registry import Component
from hpsearch.training.data.download import DownloadFailed
from hpsearch.training.models.activations import RELU, Activation
from hpsearch.training.models.dense import Dropout
from hpsearch.training.models.pretrained import fetch_if_it_may_work, load_backbone
from hpsearch.training.models.transfer import (
    Classifier,
    Freeze,
    check_freeze,
    replace_activations,
)
from hpsearch.training.models.widths import Hidden
from hpsearch.training.registries import MODELS

#: Random, timm's from the Hugging Face Hub, or a file of a ``state_dict``.
TimmWeights: TypeAlias = Literal["none", "pretrained"] | Path

#: Files of weights on the Hub, the first one that exists.
_FILES = ("model.safetensors", "pytorch_model.bin")


@MODELS.register("timm")
def timm(
    input_shape: tuple[int, int, int],
    classes: int,
    /,
    *,
    name: str,
    weights: TimmWeights = "none",
    freeze: Freeze = "none",
    hidden: Hidden = [],  # noqa: B006 - never changed; a key's default must be JSON
    activation: Activation | None = None,
    dropout: Dropout = 0.0,
) -> nn.Module:
    """Any classifier of timm by its name there (extra `timm`), its last layer replaced.

    Args:
        input_shape: (channels, height, width).
        classes: Number of classes.
        name: timm's name of the model, with or without the tag of its weights.
        weights: ``none`` (random), ``pretrained``, or a file of a ``state_dict``.
        freeze: ``backbone`` trains only the dense layers, ``none`` everything; or the names of
            layers that aren't trained.
        hidden: Widths of the dense layers before the logits, or the rule for them.
        activation: Replaces the architecture's activations; ``None`` keeps them, with ReLU in the
            dense layers.
        dropout: Share of activations zeroed in training, before the dense layers and after each
            hidden one.

    Raises:
        UserError: If timm isn't installed, or has no such model.
        DataError: If the weights can't be loaded.
        InfeasibleConfig: If the settings don't fit the model or the image.
    """
    check_freeze(freeze, weights)
    config = _description(name)
    backbone = _build(name, input_shape, fixed_size=config.fixed_input_size)
    load_backbone(
        backbone,
        weights,
        architecture=name,
        first_convs=_names(config.first_conv),
        classifiers=_names(config.classifier),
        published=lambda: _weights_file(name, config),
    )
    if activation is not None:
        _replace(backbone, name, activation)
    return Classifier(
        backbone,
        int(backbone.head_hidden_size),  # type: ignore[arg-type]
        classes,
        freeze=freeze,
        hidden=hidden,
        activation=activation or RELU,
        dropout=dropout,
    )


def _timm() -> Any:
    try:
        import timm as package
    except ImportError as error:
        raise UserError(
            "model timm needs the package timm, but it isn't installed; run: "
            "pip install 'hpsearch[timm]'"
        ) from error
    return package


@cache
def _description(name: str) -> Any:
    """Return timm's description of a model: its weights, their input, the names of its ends.

    Raises:
        UserError: timm has no model, or no weights, of this name.
    """
    package = _timm()
    architecture, _, tag = name.partition(".")
    if not package.is_model(architecture):
        names = package.list_models()
        near = get_close_matches(architecture, names, n=5, cutoff=0.4)
        raise UserError(
            f"name must be one of timm's {len(names)} models, but got {name!r}; "
            + (f"similar names: {', '.join(near)}; " if near else "")
            + "all: python -c 'import timm; print(timm.list_models())'"
        )
    if tag and name not in (tags := package.list_pretrained(f"{architecture}.*")):
        raise UserError(
            f"name must be one of timm's models, with the tag of weights that it has, but got "
            f"{name!r}; {architecture} has "
            + (", ".join(full_name.partition(".")[2] for full_name in tags) or "no tags")
        )
    return package.get_pretrained_cfg(name) or package.models.PretrainedCfg()


def _build(name: str, input_shape: tuple[int, int, int], *, fixed_size: bool) -> nn.Module:
    channels, height, width = input_shape
    sizes = {"img_size": (height, width)} if fixed_size else {}
    try:
        # Without exportable, activations may be functions of timm's own, which exports can't write
        backbone: nn.Module = _timm().create_model(
            name, in_chans=channels, num_classes=0, exportable=True, **sizes
        )
    except (AssertionError, ValueError, TypeError, RuntimeError, ZeroDivisionError) as error:
        raise InfeasibleConfig(
            f"{name} can't be built for images of {channels} x {height} x {width} (channels x "
            f"height x width): {' '.join(str(error).split()) or type(error).__name__}; use another "
            "input_size"
        ) from error
    _check_patches(backbone, name, (height, width))
    if not isinstance(getattr(backbone, "head_hidden_size", None), int):
        raise InfeasibleConfig(
            f"{name} doesn't state how many features its last layer has, so that layer can't be "
            "replaced; use another model"
        )
    return backbone


def _check_patches(backbone: nn.Module, name: str, size: tuple[int, int]) -> None:
    """Check that an image is a whole number of patches: timm would leave the rest out silently.

    Raises:
        InfeasibleConfig: It isn't.
    """
    embedding = getattr(backbone, "patch_embed", None)
    patch = getattr(embedding, "patch_size", None)
    if not isinstance(patch, tuple) or getattr(embedding, "dynamic_img_pad", False):
        return
    if all(edge % side == 0 for edge, side in zip(size, patch, strict=True)):
        return
    arithmetic = ", ".join(
        f"{edge} = {edge // side} x {side} + {edge % side}"
        for edge, side in zip(size, patch, strict=True)
    )
    raise InfeasibleConfig(
        f"{name} cuts an image into patches of {patch[0]} x {patch[1]} pixels, so that height and "
        f"width must be multiples of these, but they are {size[0]} x {size[1]} ({arithmetic}); use "
        "another input_size"
    )


def _names(names: str | tuple[str, ...] | None) -> tuple[str, ...]:
    return () if not names else (names,) if isinstance(names, str) else tuple(names)


def _replace(backbone: nn.Module, name: str, activation: Component) -> None:
    from timm.layers import GELU, GELUTanh, HardSwish, QuickGELU, Swish

    kinds = (GELU, GELUTanh, HardSwish, QuickGELU, Swish)
    if not replace_activations(backbone, activation, kinds):
        raise InfeasibleConfig(
            f"{name} has no activation that can be replaced, but activation is {activation.name}; "
            "use activation: null"
        )


@contextmanager
def _without_retries_in_words() -> Iterator[None]:
    """Leave out the Hub's two lines for each retry: one error at the end says why it failed."""
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _weights_file(name: str, config: Any) -> Path:
    """Return the path of timm's file of weights, after a download if it isn't there.

    Raises:
        DataError: timm has no weights of this model on the Hub.
        WeightsUnavailable: The file can't be downloaded.
    """
    from huggingface_hub import hf_hub_download, try_to_load_from_cache
    from huggingface_hub.constants import HF_HUB_CACHE
    from huggingface_hub.errors import EntryNotFoundError

    place = config.hf_hub_id
    if not place:
        raise DataError(
            f"weights: pretrained needs weights of {name} on the Hugging Face Hub, but timm has "
            "none there; use weights: none, a file of weights, or another name"
        )
    files = (config.hf_hub_filename,) if config.hf_hub_filename else _FILES
    for file in files:
        path = try_to_load_from_cache(place, file)
        if isinstance(path, str):
            return Path(path)
    downloaded: list[str] = []

    def fetch() -> None:
        for file in files:
            try:
                with _without_retries_in_words():
                    downloaded.append(hf_hub_download(place, file))
                return
            except EntryNotFoundError as error:
                if file == files[-1]:
                    raise DownloadFailed(str(error)) from error
            except Exception as error:  # many kinds: of the Hub, of its client, of the network
                reason = str(error).partition("\n")[0] or type(error).__name__
                raise DownloadFailed(reason) from error

    try:
        fetch_if_it_may_work(Path(place), fetch)
    except DownloadFailed as error:
        raise WeightsUnavailable(
            f"weights: pretrained needs {files[0]} of {place} on the Hugging Face Hub, but it "
            f"can't be downloaded ({error}); on a machine with a network, run `hf download {place} "
            f"{files[0]}`, then copy the file here and give its path instead of pretrained (or "
            f"copy the folder {HF_HUB_CACHE}, which HF_HOME moves); weights: none starts with "
            "random weights"
        ) from error
    return Path(downloaded[0])
