"""Pretrained weights: a library's published ones, or a file.

Only the layers up to the features are loaded. The dense layers that end a model start at random,
since its classes are others.
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
from hpsearch.formatting import first_few
from hpsearch.regular_file import require_regular
from hpsearch.training.data.download import DownloadFailed, fetch_once
from hpsearch.training.torch_file import read_tensors

#: A model's ``weights`` key: random, torchvision's for ImageNet, or a file of a ``state_dict``.
Weights: TypeAlias = Literal["none", "imagenet"] | Path

#: Values of such a key that mean a library's published weights.
PUBLISHED = ("imagenet", "pretrained")

#: Layers that only the original's training needed.
_AUXILIARY = ("aux", "AuxLogits")

#: Attribute of a backbone whose weights were loaded.
_MARK = "hpsearch_pretrained"

_come_later: ContextVar[bool] = ContextVar("weights_come_later", default=False)


@contextmanager
def weights_come_later() -> Iterator[None]:
    """Let ``load_backbone`` load nothing, since the trained model's own weights are loaded later.

    So a trained model can be used on a machine without the file that its training began with.
    """
    before = _come_later.set(True)
    try:
        yield
    finally:
        _come_later.reset(before)


def are_weights_awaited() -> bool:
    """Whether a ``weights_come_later`` block is active."""
    return _come_later.get()


def is_pretrained(module: nn.Module) -> bool:
    """Whether ``load_backbone`` gave this module pretrained weights."""
    return getattr(module, _MARK, False) is True


def load_backbone(
    backbone: nn.Module,
    weights: str | Path,
    *,
    architecture: str,
    first_convs: tuple[str, ...],
    classifiers: tuple[str, ...],
    published: Callable[[], Path] | None = None,
) -> None:
    """Load ``weights`` into ``backbone``, unless they are ``none``.

    Weights for colour images also fit gray images: the weights of the three channels are summed,
    which equals the same gray in all three. A first convolution of another kernel size starts at
    random. On the meta device everything is checked, but nothing is loaded.

    Args:
        backbone: The layers up to the features; changed in place.
        weights: ``none``, ``imagenet`` or ``pretrained`` for the published ones, or the path of a
            ``state_dict``.
        architecture: The name of the model in its library.
        first_convs: Names of the convolutions in the library's model that get the image.
        classifiers: Names of the last layers in the library's model, which aren't loaded.
        published: Returns the file of the published weights; ``None`` for torchvision's.

    Raises:
        DataError: If the file can't be read or used, or is of another architecture.
        WeightsUnavailable: If the published file can't be downloaded.
        InfeasibleConfig: If the images' channels don't fit the first convolution's weights.
    """
    if weights == "none":
        return
    setattr(backbone, _MARK, True)
    if _come_later.get():
        return
    if weights in PUBLISHED:
        path = _imagenet_file(architecture) if published is None else published()
    else:
        path = Path(weights)
    own = backbone.state_dict()
    meta = any(tensor.is_meta for tensor in own.values())
    file_tensors = _shapes(*_identity(path)) if meta else _read(path)
    first = {f"{name}.weight" for name in first_convs}
    _check_names(own, file_tensors, path, architecture, classifiers)
    wrong: list[str] = []
    for name, tensor in own.items():
        if name not in file_tensors:  # num_batches_tracked, which old files lack
            continue
        value = file_tensors[name]
        if name in first and value.dim() == tensor.dim():
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
            f"weights must match {architecture} as it is built here, but in {path} "
            f"{first_few(wrong, 3)}; use weights of {architecture}, and the input_size of their "
            "training if sizes depend on it"
        )


def _check_names(
    own: Mapping[str, Tensor],
    file_tensors: Mapping[str, Tensor],
    path: Path,
    architecture: str,
    classifiers: tuple[str, ...],
) -> None:
    ends = tuple(f"{name}." for name in classifiers)
    missing = [
        name
        for name in own
        if name not in file_tensors and not name.endswith("num_batches_tracked")
    ]
    unknown = [
        name
        for name in file_tensors
        if name not in own and not name.startswith((*ends, *_AUXILIARY))
    ]
    for names, what in ((missing, "lacks"), (unknown, "also contains")):
        if names:
            raise DataError(
                f"weights must be a state_dict of {architecture}, but {path} {what} "
                f"{first_few(names, 3)}; use the architecture of their training"
            )


def _for_channels(weight: Tensor, channels: int) -> Tensor:
    if weight.shape[1] == channels:
        return weight
    if (weight.shape[1], channels) == (3, 1):
        return weight.sum(1, keepdim=True)
    raise InfeasibleConfig(
        f"weights of a first convolution with {weight.shape[1]} input channels need images with as "
        f"many channels (gray images also match 3), but the images have {channels}; use weights: "
        "none"
    )


def _imagenet_file(architecture: str) -> Path:
    """Return the path of torchvision's file, after a download if it isn't there."""
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
            fetch_if_it_may_work(path, lambda: fetch_once(folder, path.is_file, fetch))
        except DownloadFailed as error:
            raise WeightsUnavailable(
                f"weights: imagenet needs torchvision's file {name}, but it can't be downloaded "
                f"({error}); download {url} on another machine and put it into {folder}, or give "
                "its path instead of imagenet; weights: none starts with random weights"
            ) from error
    return path


#: File -> time (``time.monotonic``) and reason of its last failed download.
_failed: dict[Path, tuple[float, str]] = {}

#: Seconds after a failed download without another try: a search builds its model often, and each
#: try may wait for a timeout.
_RETRY_SECONDS = 300.0


def fetch_if_it_may_work(file: Path, fetch: Callable[[], None]) -> None:
    """Call ``fetch`` unless it failed recently.

    Raises:
        DownloadFailed: If it fails, or failed recently.
    """
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
    """Return the file's tensors without contents, on the meta device."""
    return {name: tensor.to("meta") for name, tensor in _read(path).items()}


def _read(path: Path) -> dict[str, Tensor]:
    """Return a file's tensors by their names in the architecture."""
    try:
        content: Any = _safe_tensors(path) if path.suffix == ".safetensors" else read_tensors(path)
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from error
    except Exception as error:  # a damaged file can raise almost any exception
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise DataError(
            "weights must be a file written by torch.save with tensors only, or a .safetensors "
            f"file, but {path} isn't: {reason}; save model.state_dict()"
        ) from error
    # hpsearch's checkpoints and those of many scripts wrap the state_dict
    for wrapper in ("state", "model", "state_dict"):
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    if not isinstance(content, Mapping) or not content:
        raise _not_a_state_dict(path)
    if any(name.startswith("backbone.") for name in content if isinstance(name, str)):
        content = {
            name.removeprefix("backbone."): tensor
            for name, tensor in content.items()
            if name.startswith("backbone.")
        }
    if not all(isinstance(name, str) and isinstance(content[name], Tensor) for name in content):
        raise _not_a_state_dict(path)
    return dict(content)


def _safe_tensors(path: Path) -> dict[str, Tensor]:
    import safetensors.torch

    require_regular(path)
    return safetensors.torch.load_file(path)


def _not_a_state_dict(path: Path) -> DataError:
    return DataError(
        f"weights must be a state_dict (names and tensors), but {path} contains something else; "
        "save model.state_dict()"
    )


def _unreadable(path: Path, reason: str) -> DataError:
    return DataError(
        f"weights must be none, imagenet (timm: pretrained) or a file of weights, but {path} "
        f"can't be read: {reason}"
    )


def _by(tensor: Tensor) -> str:
    return " x ".join(map(str, tensor.shape)) or "a number"
