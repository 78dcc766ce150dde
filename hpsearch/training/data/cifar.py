"""CIFAR-10 in the format that its authors and torchvision use: pickled official batches.

A batch is a dictionary with ``data``, uint8 ``(n, 3072)`` (1,024 red, then green, then blue
values of a 32x32 picture, row by row), and ``labels``, a list of n integers.
Format: https://www.cs.toronto.edu/~kriz/cifar.html
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hpsearch.errors import DataError
from hpsearch.training.data.download import DownloadFailed, fetch_once
from hpsearch.training.data.images import Images, Part, Source
from hpsearch.training.data.place import Place, absolute
from hpsearch.training.data.restricted_pickle import read_pickle
from hpsearch.training.registries import SOURCES

Batch = Literal[1, 2, 3, 4, 5]

_FOLDER = "cifar-10-batches-py"
_EDGE = 32
_CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)


@SOURCES.register("cifar10")
def cifar10(
    place: Place,
    /,
    *,
    path: Path | None = None,
    train_batches: list[Batch] = [1, 2, 3, 4, 5],  # noqa: B006 - read only; the schema shows it
    val_batches: list[Batch] = [],  # noqa: B006 - read only; the schema shows it
) -> Source:
    """CIFAR-10: 50,000 + 10,000 colour pictures of 32x32 pixels, ten classes.

    ``path``: the unpacked ``cifar-10-batches-py``, or the folder that holds it. Without it the
    data root's ``cifar10`` is used, and filled by torchvision's download. ``train_batches`` and
    ``val_batches`` pick official batches of 10,000; with ``val_batches`` nothing is split off.
    Source: Krizhevsky 2009.
    """
    _check_batches(train_batches, val_batches)
    folder = _folder(place, path, [*train_batches, *val_batches])
    names = _class_names(folder)
    return Source(
        name="cifar10",
        class_names=names,
        train=_part([folder / _batch(n) for n in train_batches], names),
        validation=_part([folder / _batch(n) for n in val_batches], names) if val_batches else None,
        test=_part([folder / "test_batch"], names),
        origin=str(folder),
    )


def read_batch(path: Path, *, classes: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return one batch: images ``(n, 32, 32, 3)`` and labels ``(n,)``.

    Raises ``DataError`` naming the file where it is missing, damaged, or holds something else.
    """
    batch = read_pickle(path)
    rule = f"a CIFAR batch must hold 'data' (n x 3072 bytes) and 'labels' (n numbers), but {path}"
    data = _item(batch, "data")
    labels = _item(batch, "labels")
    if not isinstance(data, np.ndarray) or labels is None:
        raise DataError(f"{rule} lacks them; it is another file, or damaged")
    if data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != 3 * _EDGE * _EDGE:
        raise DataError(f"{rule} holds data of type {data.dtype} and shape {data.shape}")
    numbers = _numbers(labels)
    if numbers is None or len(numbers) != len(data) or len(data) == 0:
        found = "no list of numbers" if numbers is None else f"{len(numbers)} labels"
        raise DataError(f"{rule} holds {len(data)} images and {found}")
    if numbers.min() < 0 or numbers.max() >= classes:
        wrong = numbers[(numbers < 0) | (numbers >= classes)][0]
        raise DataError(
            f"a label must lie between 0 and {classes - 1}, but {path} holds {wrong}; "
            "it is another file, or damaged"
        )
    return data.reshape(-1, 3, _EDGE, _EDGE).transpose(0, 2, 3, 1), numbers


def _part(files: Sequence[Path], class_names: tuple[str, ...]) -> Part:
    return Part(read=_reader(files, len(class_names)), files=tuple(files))


def _reader(files: Sequence[Path], classes: int) -> Callable[[], Images]:
    def read() -> Images:
        batches = [read_batch(file, classes=classes) for file in files]
        return Images(
            images=np.concatenate([images for images, _ in batches]),
            labels=np.concatenate([labels for _, labels in batches]),
        )

    return read


def _check_batches(train: Sequence[Batch], validation: Sequence[Batch]) -> None:
    if not train:
        raise DataError(
            "data.source.cifar10.train_batches must name at least one of the batches 1 to 5, "
            "but it is empty"
        )
    chosen = [*train, *validation]
    twice = sorted({batch for batch in chosen if chosen.count(batch) > 1})
    if twice:
        raise DataError(
            f"every CIFAR-10 batch may be used once, in train_batches or in val_batches, "
            f"but {', '.join(map(str, twice))} is used again; take it out of one list"
        )


def _folder(place: Place, path: Path | None, batches: Sequence[int]) -> Path:
    if path is not None:
        folder = _inside(absolute(path))
        if not _complete(folder, batches):
            raise DataError(
                f"data.source.cifar10.path must be an unpacked {_FOLDER} with "
                f"{', '.join(_batch(n) for n in batches)}, but {_state(folder, batches)}"
            )
        return folder
    own = place.root / "cifar10"
    if _complete(_inside(own), batches):
        return _inside(own)
    reason = "and it wasn't downloaded"
    if place.may_download:
        try:
            fetch_once(own, lambda: _complete(_inside(own), batches), _fetch)
            return _inside(own)
        except DownloadFailed as error:
            reason = f"and the download failed ({error})"
    raise DataError(
        f"cifar10 needs its official batches, but {_state(_inside(own), batches)}, {reason}; "
        f"unpack cifar-10-python.tar.gz into {own}, "
        f"or give the folder {_FOLDER} as data.source.cifar10.path"
    )


def _fetch(folder: Path) -> None:
    from torchvision.datasets import CIFAR10
    from torchvision.datasets import utils as torchvision_utils

    torchvision_utils.download_and_extract_archive(
        CIFAR10.url, folder, filename=CIFAR10.filename, md5=CIFAR10.tgz_md5
    )
    (folder / CIFAR10.filename).unlink()


def _class_names(folder: Path) -> tuple[str, ...]:
    """Read the names from ``batches.meta``; single batches may lie there without it."""
    meta = folder / "batches.meta"
    if not meta.is_file():
        return _CLASSES
    names = _item(read_pickle(meta), "label_names")
    if not isinstance(names, list) or len(names) != len(_CLASSES):
        raise DataError(
            f"{meta} must hold {len(_CLASSES)} 'label_names', but holds {names!r}; "
            "it is another file, or damaged"
        )
    return tuple(map(_text, names))


def _item(batch: Any, key: str) -> Any:
    """Return ``batch[key]``; copies written by Python 3 have the key as bytes. Else ``None``."""
    if not isinstance(batch, dict):
        return None
    return batch.get(key, batch.get(key.encode()))


def _text(name: Any) -> str:
    return name.decode("latin1") if isinstance(name, bytes) else str(name)


def _numbers(labels: Any) -> NDArray[np.int64] | None:
    if isinstance(labels, list) and all(type(label) is int for label in labels):
        return np.array(labels, dtype=np.int64)
    if isinstance(labels, np.ndarray) and labels.ndim == 1 and labels.dtype.kind in "iu":
        return labels.astype(np.int64)
    return None


def _inside(folder: Path) -> Path:
    return folder / _FOLDER if (folder / _FOLDER).is_dir() else folder


def _batch(number: int) -> str:
    return f"data_batch_{number}"


def _complete(folder: Path, batches: Sequence[int]) -> bool:
    return all((folder / _batch(number)).is_file() for number in batches)


def _state(folder: Path, batches: Sequence[int]) -> str:
    if not folder.is_dir():
        return f"{folder} isn't a folder" if folder.exists() else f"{folder} doesn't exist"
    missing = [_batch(n) for n in batches if not (folder / _batch(n)).is_file()]
    return f"{folder} lacks {', '.join(missing)}"
