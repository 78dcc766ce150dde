"""Weights that were trained before: torchvision's for ImageNet, or a file.

Only the layers up to the features are loaded; the dense layers that end a model start anew, since
its classes are others.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn

from hpsearch.errors import DataError, InfeasibleConfig, WeightsUnavailable
from hpsearch.training.data.download import DownloadFailed, fetch_once
from hpsearch.training.torch_file import read_tensors

#: A model's ``weights`` key: random, torchvision's for ImageNet, or a file of a ``state_dict``.
Weights: TypeAlias = Literal["none", "imagenet"] | Path

#: Layers that only the training of the original had.
_AUXILIARY = ("aux", "AuxLogits")

#: Set on a backbone whose weights were loaded.
_MARK = "hpsearch_pretrained"

_come_later: ContextVar[bool] = ContextVar("weights_come_later", default=False)


@contextmanager
def weights_come_later() -> Iterator[None]:
    """Let ``load_backbone`` load nothing: a trained model's own weights follow, whole.

    So a model can be used where the file that its training began with isn't.
    """
    before = _come_later.set(True)
    try:
        yield
    finally:
        _come_later.reset(before)


def are_weights_awaited() -> bool:
    """Whether this is inside ``weights_come_later``."""
    return _come_later.get()


def is_pretrained(module: nn.Module) -> bool:
    """Whether ``load_backbone`` gave this module weights that were trained before."""
    return getattr(module, _MARK, False) is True


def load_backbone(
    backbone: nn.Module,
    weights: str | Path,
    *,
    architecture: str,
    first_conv: str,
    classifier: str,
) -> None:
    """Load ``weights`` into ``backbone``, unless they are ``none``.

    ``architecture`` is torchvision's name; ``first_conv`` and ``classifier`` are the first and the
    last layer there, of which the latter isn't loaded. Weights of colour images fit gray ones: the
    three channels' weights are added, which is what the same gray in all three comes to. A first
    convolution of another kernel size starts at random. On the meta device nothing is loaded, but
    all is checked.

    Raises ``DataError`` saying where to put which file where it is missing or another
    architecture's, and ``InfeasibleConfig`` where the images have neither one nor three channels.
    """
    if weights == "none":
        return
    setattr(backbone, _MARK, True)
    if _come_later.get():
        return
    path = _imagenet_file(architecture) if weights == "imagenet" else Path(weights)
    own = backbone.state_dict()
    meta = any(tensor.is_meta for tensor in own.values())
    given = _shapes(*_identity(path)) if meta else _read(path)
    first = f"{first_conv}.weight"
    _check_names(own, given, path, architecture, classifier)
    wrong: list[str] = []
    for name, tensor in own.items():
        if name not in given:  # a count of batches, which old files lack
            continue
        value = given[name]
        if name == first and value.dim() == tensor.dim():
            value = _for_channels(value, tensor.shape[1])
            if value.shape[2:] != tensor.shape[2:]:
                continue
        if value.shape != tensor.shape:
            wrong.append(f"{name} is {_by(value)} in it and {_by(tensor)} in the model")
        elif not meta:
            with torch.no_grad():
                tensor.copy_(value)
    if wrong:
        raise DataError(
            f"weights must fit {architecture} as it is built here, but of {path} {_some(wrong)}; "
            f"use weights of {architecture}, and the input_size that they were trained with where "
            "sizes depend on it"
        )


def _check_names(
    own: Mapping[str, Tensor],
    given: Mapping[str, Tensor],
    path: Path,
    architecture: str,
    classifier: str,
) -> None:
    missing = [
        name for name in own if name not in given and not name.endswith("num_batches_tracked")
    ]
    unknown = [
        name
        for name in given
        if name not in own and not name.startswith((f"{classifier}.", *_AUXILIARY))
    ]
    for names, what in ((missing, "lacks"), (unknown, "also holds")):
        if names:
            raise DataError(
                f"weights must be a state_dict of {architecture}, but {path} {what} "
                f"{_some(names)}; use the architecture that they were trained in"
            )


def _for_channels(weight: Tensor, channels: int) -> Tensor:
    if weight.shape[1] == channels:
        return weight
    if (weight.shape[1], channels) == (3, 1):
        return weight.sum(1, keepdim=True)
    raise InfeasibleConfig(
        f"weights of a first convolution over {weight.shape[1]} channels fit as many, or gray "
        f"images where they are 3, but the images have {channels}; use weights: none"
    )


def _imagenet_file(architecture: str) -> Path:
    """Return torchvision's file, downloaded unless it is there."""
    from torchvision.models import get_model_weights

    url: str = get_model_weights(architecture).DEFAULT.url
    name = url.rpartition("/")[2]
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    path = folder / name
    digest = name.removesuffix(".pth").rpartition("-")[2]

    def fetch(work: Path) -> None:
        torch.hub.download_url_to_file(url, str(work / name), hash_prefix=digest, progress=False)

    if not path.is_file():
        try:
            _fetch_if_it_may_work(path, lambda: fetch_once(folder, path.is_file, fetch))
        except DownloadFailed as error:
            raise WeightsUnavailable(
                f"weights: imagenet needs torchvision's file {name}, but it can't be downloaded "
                f"({error}); fetch {url} on another machine and put it into {folder}, or write "
                "its path instead of imagenet; weights: none starts at random"
            ) from error
    return path


#: File -> when its download last failed, and why.
_failed: dict[Path, tuple[float, str]] = {}

#: Seconds for which a download that failed isn't tried again: a search draws its model often, and
#: a network that answers nothing takes its time to say so.
_RETRY_SECONDS = 300.0


def _fetch_if_it_may_work(file: Path, fetch: Callable[[], None]) -> None:
    """Call ``fetch`` unless it failed a moment ago. Raises ``DownloadFailed``."""
    failed = _failed.get(file)
    if failed is not None and time.monotonic() - failed[0] < _RETRY_SECONDS:
        raise DownloadFailed(failed[1])
    try:
        fetch()
    except DownloadFailed as error:
        _failed[file] = time.monotonic(), str(error)
        raise


def _identity(path: Path) -> tuple[Path, int, int]:
    try:
        status = path.stat()
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from error
    return path, status.st_mtime_ns, status.st_size


@lru_cache(maxsize=8)
def _shapes(path: Path, _changed: int, _size: int) -> dict[str, Tensor]:
    """Return what the file holds, as tensors of the same shapes without contents."""
    return {name: tensor.to("meta") for name, tensor in _read(path).items()}


def _read(path: Path) -> dict[str, Tensor]:
    """Return a file's tensors by their names in the architecture."""
    try:
        held: Any = read_tensors(path)
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from error
    except Exception as error:  # damage can surface as almost any exception of the reader
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise DataError(
            f"weights must be a file written by torch.save that holds tensors alone, but {path} "
            f"isn't: {reason}; save model.state_dict()"
        ) from error
    # hpsearch's own checkpoints, and what many scripts write around a state_dict
    for wrapper in ("state", "model", "state_dict"):
        if isinstance(held, Mapping) and isinstance(held.get(wrapper), Mapping):
            held = held[wrapper]
    if not isinstance(held, Mapping) or not held:
        raise _not_a_state_dict(path)
    if any(name.startswith("backbone.") for name in held if isinstance(name, str)):
        held = {
            name.removeprefix("backbone."): tensor
            for name, tensor in held.items()
            if name.startswith("backbone.")
        }
    if not all(isinstance(name, str) and isinstance(held[name], Tensor) for name in held):
        raise _not_a_state_dict(path)
    return dict(held)


def _not_a_state_dict(path: Path) -> DataError:
    return DataError(
        f"weights must be a state_dict (names and tensors), but {path} holds something else; "
        "save model.state_dict()"
    )


def _unreadable(path: Path, reason: str) -> DataError:
    return DataError(
        f"weights must be none, imagenet or a file of weights, but {path} can't be read: {reason}"
    )


def _some(items: list[str]) -> str:
    more = f" and {len(items) - 3} more" if len(items) > 3 else ""
    return ", ".join(items[:3]) + more


def _by(tensor: Tensor) -> str:
    return " x ".join(map(str, tensor.shape)) or "a number"
