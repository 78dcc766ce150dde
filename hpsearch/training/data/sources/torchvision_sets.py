"""Data sets of torchvision by name: what each downloads, and how it divides its pictures.

torchvision's classes find and list the files; hpsearch decodes the pictures, as in every source.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from hpsearch.errors import DataError
from hpsearch.training.data.download import DownloadFailed, fetch_once
from hpsearch.training.data.group_split import TestFraction
from hpsearch.training.data.images import SOURCES, Images, Part, Source
from hpsearch.training.data.picture_files import Colour, PictureFiles
from hpsearch.training.data.pixel_arrays import as_pictures
from hpsearch.training.data.place import DataRoot, absolute
from hpsearch.training.data.sources.held_out import source_of_parts

_KEY = "data.source.torchvision"
_PartName: TypeAlias = Literal["train", "validation", "test"]
#: Sets with sources of their own, which also find files of other programs.
_OWN = {
    "MNIST": "mnist",
    "FASHIONMNIST": "fashion_mnist",
    "CIFAR10": "cifar10",
    "CIFAR100": "cifar100",
}
_DIGITS = tuple("0123456789")
_IDX = ("images-idx3", "labels-idx1")
logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class _Set:
    """A class of ``torchvision.datasets``."""

    #: About what its download has, for people.
    size: str
    #: The arguments for each part that it has.
    parts: Mapping[_PartName, Mapping[str, Any]]
    #: The classes, if the files don't name them.
    class_names: tuple[str, ...] = ()
    #: The files of each part, if they are arrays; or patterns of those with the labels, if they
    #: aren't in the folders' names. They are part of the identity in the cache.
    files: Mapping[_PartName, tuple[str, ...]] = field(default_factory=dict)
    #: A regular expression: pictures of one part stay on one side of a split if it matches the
    #: same text in their paths.
    group: str | None = None
    #: Whether the pictures are arrays in these files.
    arrays: bool = False


def _splits(**names: str) -> dict[_PartName, Mapping[str, Any]]:
    return {cast(_PartName, part): {"split": name} for part, name in names.items()}


def _all_parts(*patterns: str) -> dict[_PartName, tuple[str, ...]]:
    return {"train": patterns, "validation": patterns, "test": patterns}


_TRAIN_TEST = _splits(train="train", test="test")
_THREE = _splits(train="train", validation="val", test="test")
_BY_FLAG: dict[_PartName, Mapping[str, Any]] = {"train": {"train": True}, "test": {"train": False}}

_SETS = {
    "Country211": _Set(size="11 GB", parts=_splits(train="train", validation="valid", test="test")),
    "DTD": _Set(size="600 MB", parts=_THREE, files=_all_parts("dtd/dtd/labels/*.txt")),
    "EuroSAT": _Set(size="94 MB", parts={"train": {}}),
    "FGVCAircraft": _Set(
        size="2.8 GB", parts=_THREE, files=_all_parts("fgvc-aircraft-2013b/data/*.txt")
    ),
    "Flowers102": _Set(size="345 MB", parts=_THREE, files=_all_parts("flowers-102/*.mat")),
    "Food101": _Set(size="5 GB", parts=_TRAIN_TEST, files=_all_parts("food-101/meta/*.json")),
    "GTSRB": _Set(
        size="280 MB",
        parts=_TRAIN_TEST,
        class_names=tuple(str(number) for number in range(43)),
        group=r"[0-9]{5}/[0-9]{5}_",  # thirty pictures of each sign, taken while driving past it
        files={"test": ("gtsrb/GT-final_test.csv",)},
    ),
    "Imagenette": _Set(size="1.6 GB", parts=_splits(train="train", validation="val")),
    "KMNIST": _Set(
        size="21 MB",
        parts=_BY_FLAG,
        class_names=("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
        files={
            "train": tuple(f"KMNIST/raw/train-{kind}-ubyte" for kind in _IDX),
            "test": tuple(f"KMNIST/raw/t10k-{kind}-ubyte" for kind in _IDX),
        },
        arrays=True,
    ),
    "OxfordIIITPet": _Set(
        size="810 MB",
        parts=_splits(train="trainval", test="test"),
        files=_all_parts("oxford-iiit-pet/annotations/*.txt"),
    ),
    "RenderedSST2": _Set(size="150 MB", parts=_THREE),
    "STL10": _Set(
        size="2.6 GB",
        parts=_TRAIN_TEST,
        class_names=(
            "airplane",
            "bird",
            "car",
            "cat",
            "deer",
            "dog",
            "horse",
            "monkey",
            "ship",
            "truck",
        ),
        files={
            "train": ("stl10_binary/train_X.bin", "stl10_binary/train_y.bin"),
            "test": ("stl10_binary/test_X.bin", "stl10_binary/test_y.bin"),
        },
        arrays=True,
    ),
    "SVHN": _Set(
        size="250 MB",
        parts=_TRAIN_TEST,
        class_names=_DIGITS,
        files={"train": ("train_32x32.mat",), "test": ("test_32x32.mat",)},
        arrays=True,
    ),
    "USPS": _Set(
        size="8 MB",
        parts=_BY_FLAG,
        class_names=_DIGITS,
        files={"train": ("usps.bz2",), "test": ("usps.t.bz2",)},
        arrays=True,
    ),
}


@SOURCES.register("torchvision")
def torchvision(
    place: DataRoot,
    /,
    *,
    name: str,
    path: Path | None = None,
    test_fraction: TestFraction | None = None,
    colour: Colour = "rgb",
) -> Source:
    """A data set of torchvision by its name, such as SVHN, EuroSAT or Flowers102.

    Args:
        place: The data root, and whether the network may be used.
        name: The class in ``torchvision.datasets``.
        path: The folder that torchvision calls ``root``; ``None``: ``torchvision/<name>`` in the
            data root, downloaded if needed.
        test_fraction: The share of the pictures that is held out for tests if the set has no test
            part (EuroSAT, Imagenette), the same for every seed; ``None``: none are held out.
        colour: ``rgb`` or ``gray``; picture files are converted to it. Sets that are stored as
            arrays (SVHN, STL10, KMNIST, USPS) keep their channels.

    Raises:
        DataError: If there is no such set, its files are missing or damaged, or ``test_fraction``
            is given although it has a test part.
    """
    name, facts = _find_set(name)
    if test_fraction is not None and "test" in facts.parts:
        raise DataError(
            f"{_KEY}.test_fraction sets test pictures aside if there are none, but {name} has "
            "some; leave test_fraction out"
        )
    root = _find(place, name, facts, None if path is None else absolute(path))
    set_parts = {part: _SetPart(name, facts, root, part) for part in facts.parts}
    names = facts.class_names or tuple(map(_class_name, set_parts["train"].dataset.classes))
    parts: dict[str, Part] = {
        part: Part(
            read=partial(_read, set_part, colour),
            files=_Files(set_part.files),
            name_of=None if facts.arrays else partial(_name, set_part),
            root=root,
        )
        for part, set_part in set_parts.items()
    }
    return source_of_parts(
        "torchvision",
        parts,
        class_names=names,
        settings={"set": name, "colour": colour},
        test_fraction=test_fraction,
        origin=str(root),
    )


@dataclass(frozen=True)
class _SetPart:
    """A part of a set. torchvision lists it when it is needed, so test labels stay closed."""

    name: str
    facts: _Set
    root: Path
    part: _PartName

    @cached_property
    def dataset(self) -> Any:
        """The object of torchvision's class.

        Raises:
            DataError: If files are missing or damaged.
        """
        from torchvision import datasets

        try:
            return getattr(datasets, self.name)(str(self.root), **self.facts.parts[self.part])
        except Exception as error:
            # torchvision checks little: a damaged file raises nearly anything
            raise DataError(
                f"{self.name} must be in {self.root} as torchvision stores it, but its {self.part} "
                f"part can't be read ({type(error).__name__}: {error}); get it again"
            ) from error

    @cached_property
    def pictures(self) -> tuple[list[Path], list[int]]:
        """The files of the pictures, and their labels. Raises ``DataError``."""
        dataset = self.dataset
        for samples in ("_samples", "samples"):
            if pairs := getattr(dataset, samples, None):
                return [Path(file) for file, _ in pairs], [label for _, label in pairs]
        files = getattr(dataset, "_image_files", None) or dataset._images
        return [*map(Path, files)], [*dataset._labels]

    def files(self) -> tuple[Path, ...]:
        """Return every file that is read. Raises ``DataError``."""
        patterns = self.facts.files.get(self.part, ())
        if self.facts.arrays:
            return tuple(self.root / file for file in patterns)
        others = [file for pattern in patterns for file in sorted(self.root.glob(pattern))]
        return (*others, *self.pictures[0])


class _Files(Sequence[Path]):
    """Files that are listed when they are needed."""

    def __init__(self, listing: Callable[[], tuple[Path, ...]]) -> None:
        self._listing = listing

    @cached_property
    def _files(self) -> tuple[Path, ...]:
        return self._listing()

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: Any) -> Any:
        return self._files[index]

    def __iter__(self) -> Iterator[Path]:
        return iter(self._files)


def _name(set_part: _SetPart, index: int) -> str:
    return set_part.pictures[0][index].relative_to(set_part.root).as_posix()


def _read(set_part: _SetPart, colour: Colour) -> Images:
    if not set_part.facts.arrays:
        files, labels = set_part.pictures
        return Images(
            images=PictureFiles(files=files, colour=colour),
            labels=np.array(labels, np.int64),
            groups=_groups(files, set_part.facts.group),
        )
    dataset = set_part.dataset
    pixels = np.asarray(dataset.data)
    labels = dataset.labels if hasattr(dataset, "labels") else dataset.targets
    pictures = as_pictures(
        pixels,
        layout="NCHW" if pixels.ndim == 4 else "NHW",
        scale="raw",
        key=lambda key: f"{_KEY}.{key}",
        where=str(set_part.root),
    )
    return Images(images=pictures, labels=np.asarray(labels).astype(np.int64))


def _groups(files: Sequence[Path], pattern: str | None) -> NDArray[np.int64] | None:
    matches = [re.search(pattern, file.as_posix()) for file in files] if pattern else [None]
    texts = [match[0] for match in matches if match is not None]
    if len(texts) < len(matches):
        return None
    return np.unique(np.array(texts), return_inverse=True)[1].astype(np.int64)


def set_names() -> list[str]:
    """Return the names of the sets as torchvision spells them."""
    return [*_SETS]


def source_of_set(name: str) -> tuple[str, dict[str, str]] | None:
    """Return the source that reads a set of torchvision, and its keys.

    Args:
        name: The set, in any case: ``eurosat``.

    Returns:
        ``("torchvision", {"name": "EuroSAT"})``; ``None``: there is no such set.
    """
    if name.upper() in _OWN:
        return _OWN[name.upper()], {}
    spelling = next((set_name for set_name in _SETS if set_name.upper() == name.upper()), None)
    return None if spelling is None else ("torchvision", {"name": spelling})


def _find_set(name: str) -> tuple[str, _Set]:
    """Return a set and its name in torchvision's spelling. Raises ``DataError``."""
    source, keys = source_of_set(name) or ("", {})
    if keys:
        return keys["name"], _SETS[keys["name"]]
    if source:
        raise DataError(f"{name} has a source of its own: write data: {{source: {source}}}")
    raise DataError(
        f"{_KEY}.name must be one of torchvision's sets {', '.join(_SETS)}, but got {name!r}; "
        "pictures of any other set can be read as an image_folder, a table or arrays"
    )


def _find(place: DataRoot, name: str, facts: _Set, path: Path | None) -> Path:
    """Return the folder of a set's files; download them if they aren't in the data root."""
    root = place.root / "torchvision" / name if path is None else path
    if _complete(name, facts, root):
        return root
    where = f"{name} must be in {root} as torchvision stores it, but it isn't there"
    if path is not None:
        raise DataError(f"{where}; give the folder that torchvision calls root as {_KEY}.path")
    reason = "and it wasn't downloaded"
    if place.may_download:
        logger.warning("%s (about %s) is downloaded into %s", name, facts.size, root)
        try:
            fetch_once(
                root,
                lambda: _complete(name, facts, root),
                lambda folder: _fetch(name, facts, folder),
            )
            return root
        except DownloadFailed as error:
            reason = f"and the download failed ({error})"
    raise DataError(
        f"{where}, {reason}; on a machine with a network, run `hpsearch data prepare` and copy "
        f"{root}, or give a folder that torchvision filled (about {facts.size}) as {_KEY}.path"
    )


def _fetch(name: str, facts: _Set, folder: Path) -> None:
    from torchvision import datasets

    for arguments in facts.parts.values():
        getattr(datasets, name)(str(folder), download=True, **arguments)


def _complete(name: str, facts: _Set, root: Path) -> bool:
    """Whether the training files are there; test files are needed only when they are opened."""
    if facts.arrays:
        return all((root / file).is_file() for file in facts.files["train"])
    from torchvision import datasets

    try:
        getattr(datasets, name)(str(root), **facts.parts["train"])
    except (RuntimeError, FileNotFoundError):  # torchvision found no or not all files
        return False
    except Exception:  # noqa: BLE001 - there, but damaged: the reading has the message
        return True
    return True


def _class_name(name: Any) -> str:
    # Imagenette has several words for each class
    return name if isinstance(name, str) else str(name[0])
