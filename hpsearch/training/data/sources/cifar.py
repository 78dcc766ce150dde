"""CIFAR-10 in its official batches, and CIFAR-100."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hpsearch.errors import DataError
from hpsearch.training.data.download import DownloadFailed, fetch_once
from hpsearch.training.data.images import SOURCES, Part, Source
from hpsearch.training.data.place import DataRoot, absolute
from hpsearch.training.data.sources.cifar_files import part_of, read_names

Batch = Literal[1, 2, 3, 4, 5]
TestBatch = Literal[1, 2, 3, 4, 5, "test"]

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


@dataclass(frozen=True, kw_only=True)
class _Archive:
    """One of the two sets, as it is downloaded and unpacked."""

    #: The name of the source, and of the folder below the data root.
    name: str
    #: The class of ``torchvision.datasets`` with the address.
    dataset: str
    archive: str
    #: The folder that the archive unpacks to.
    folder: str
    #: What the source needs, for an error.
    needs: str


_CIFAR10 = _Archive(
    name="cifar10",
    dataset="CIFAR10",
    archive="cifar-10-python.tar.gz",
    folder="cifar-10-batches-py",
    needs="its official batches",
)
_CIFAR100 = _Archive(
    name="cifar100",
    dataset="CIFAR100",
    archive="cifar-100-python.tar.gz",
    folder="cifar-100-python",
    needs="its files train and meta",
)


@SOURCES.register("cifar10")
def cifar10(
    place: DataRoot,
    /,
    *,
    path: Path | None = None,
    train_batches: list[Batch] = [1, 2, 3, 4, 5],  # noqa: B006 - read only; the schema shows it
    val_batches: list[Batch] = [],  # noqa: B006 - read only; the schema shows it
    test_batches: list[TestBatch] = ["test"],  # noqa: B006 - read only; the schema shows it
) -> Source:
    """CIFAR-10: 50,000 + 10,000 colour pictures of 32x32 pixels, ten classes.

    A batch has 10,000 images. Source: Krizhevsky 2009.

    Args:
        place: The data root, and whether the network may be used.
        path: The unpacked ``cifar-10-batches-py``, or the folder that contains it; ``None``: the
            data root's ``cifar10``, downloaded by torchvision if needed.
        train_batches: The official batches to train on.
        val_batches: The official batches to validate on; if empty, validation images are split
            off the training images.
        test_batches: The batches to test on; ``test`` is the official test batch.

    Raises:
        DataError: If no batch trains, a batch is used twice, or files are missing or damaged.
    """
    _check_batches(train_batches, val_batches, test_batches)
    # Not the test batches: they are needed only when they are opened
    needed = [_batch(n) for n in (*train_batches, *val_batches)]
    folder = _folder(place, _CIFAR10, path, needed)
    # The folder may contain single batches without the names
    meta = folder / "batches.meta"
    names = read_names(meta, "label_names", classes=10) if meta.is_file() else _CLASSES

    def part(batches: Sequence[TestBatch]) -> Part:
        return part_of([folder / _batch(n) for n in batches], classes=len(names))

    return Source(
        name="cifar10",
        class_names=names,
        train=part(train_batches),
        validation=part(val_batches) if val_batches else None,
        test=part(test_batches) if test_batches else None,
        origin=str(folder),
    )


@SOURCES.register("cifar100")
def cifar100(
    place: DataRoot, /, *, path: Path | None = None, labels: Literal["fine", "coarse"] = "fine"
) -> Source:
    """CIFAR-100: 50,000 + 10,000 colour pictures of 32x32 pixels, 100 classes or 20 superclasses.

    Source: Krizhevsky 2009.

    Args:
        place: The data root, and whether the network may be used.
        path: The unpacked ``cifar-100-python``, or the folder that contains it; ``None``: the
            data root's ``cifar100``, downloaded by torchvision if needed.
        labels: The 100 ``fine`` classes, or their 20 ``coarse`` superclasses.

    Raises:
        DataError: If files are missing or damaged.
    """
    folder = _folder(place, _CIFAR100, path, ["train", "meta"])
    classes = 100 if labels == "fine" else 20
    key = f"{labels}_labels"
    return Source(
        name="cifar100",
        class_names=read_names(folder / "meta", f"{labels}_label_names", classes=classes),
        train=part_of([folder / "train"], classes=classes, labels_key=key),
        test=part_of([folder / "test"], classes=classes, labels_key=key),
        settings={"labels": labels},
        origin=str(folder),
    )


def _check_batches(
    train: Sequence[Batch], validation: Sequence[Batch], test: Sequence[TestBatch]
) -> None:
    if not train:
        raise DataError(
            "data.source.cifar10.train_batches must contain at least one of the batches 1 to 5, "
            "but it is empty"
        )
    batches = [*train, *validation, *test]
    twice = [batch for batch in dict.fromkeys(batches) if batches.count(batch) > 1]
    if twice:
        raise DataError(
            "every CIFAR-10 batch may be used once, in train_batches, val_batches or test_batches, "
            f"but {', '.join(map(str, twice))} is used twice; remove it from one list"
        )


def _batch(number: TestBatch) -> str:
    return "test_batch" if number == "test" else f"data_batch_{number}"


def _folder(place: DataRoot, archive: _Archive, path: Path | None, files: Sequence[str]) -> Path:
    """Return the folder of ``files``; download it if ``path`` is ``None`` and it isn't there."""

    def inside(folder: Path) -> Path:
        return folder / archive.folder if (folder / archive.folder).is_dir() else folder

    if path is not None:
        folder = inside(absolute(path))
        if not _complete(folder, files):
            raise DataError(
                f"data.source.{archive.name}.path must be an unpacked {archive.folder} with "
                f"{', '.join(files)}, but {_state(folder, files)}"
            )
        return folder
    own = place.root / archive.name
    if _complete(inside(own), files):
        return inside(own)
    reason = "and it wasn't downloaded"
    if place.may_download:
        try:
            fetch_once(own, lambda: _complete(inside(own), files), lambda to: _fetch(archive, to))
            return inside(own)
        except DownloadFailed as error:
            reason = f"and the download failed ({error})"
    raise DataError(
        f"{archive.name} needs {archive.needs}, but {_state(inside(own), files)}, {reason}; "
        f"unpack {archive.archive} into {own}, "
        f"or give the folder {archive.folder} as data.source.{archive.name}.path"
    )


def _fetch(archive: _Archive, folder: Path) -> None:
    from torchvision import datasets
    from torchvision.datasets import utils as torchvision_utils

    dataset = getattr(datasets, archive.dataset)
    torchvision_utils.download_and_extract_archive(
        dataset.url, folder, filename=archive.archive, md5=dataset.tgz_md5
    )
    (folder / archive.archive).unlink()


def _complete(folder: Path, files: Sequence[str]) -> bool:
    return all((folder / file).is_file() for file in files)


def _state(folder: Path, files: Sequence[str]) -> str:
    if not folder.is_dir():
        return f"{folder} isn't a folder" if folder.exists() else f"{folder} doesn't exist"
    missing = [file for file in files if not (folder / file).is_file()]
    return f"{folder} lacks {', '.join(missing)}"
