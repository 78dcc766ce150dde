"""What a data source hands over: its parts, each read when somebody asks for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hpsearch.errors import DataError


class DamagedPicture(DataError):
    """One picture can't be decoded; the message is its name and the reason.

    Others may be damaged as well, so preparing goes on and names them all.
    """


class Pictures(Protocol):
    """Pictures that are decoded one by one, when asked for. Their sizes may differ."""

    def __len__(self) -> int:
        """Return how many there are."""

    def __getitem__(self, index: int, /) -> NDArray[np.uint8]:
        """Return one picture, uint8 ``(height, width, channels)``.

        Raises ``DamagedPicture`` naming the file where it is damaged.
        """


@dataclass(frozen=True, kw_only=True)
class Images:
    """The pictures of one part and their classes."""

    #: uint8 ``(n, height, width, channels)``, or pictures that are decoded when asked for.
    images: NDArray[np.uint8] | Pictures
    #: int64 ``(n,)``, each an index of ``Source.class_names``.
    labels: NDArray[np.int64]
    #: int64 ``(n,)``, equal where images must be on the same side of the split; ``None``: each
    #: may be on either side.
    groups: NDArray[np.int64] | None = None


@dataclass(frozen=True, kw_only=True)
class Part:
    """One part of a source: the training, validation or test images."""

    #: Decodes the part. Raises ``DataError`` naming the file where one is missing or damaged.
    read: Callable[[], Images]
    #: Every file that ``read`` opens; their contents are the part's identity in the cache.
    files: tuple[Path, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Source:
    """A set of labelled images, as a function under ``SOURCES`` returns it.

    Making a source looks for files but decodes none of them.
    """

    name: str
    class_names: tuple[str, ...]
    train: Part
    #: The source's own validation images; ``None``: a part of ``train`` is split off.
    validation: Part | None = None
    #: Opened by ``prepare.test_images`` alone.
    test: Part | None = None
    #: Settings that change what is read from the same files (JSON values; no paths).
    settings: Mapping[str, Any] = field(default_factory=dict)
    #: Raised when the reading code, or data that lies in no file, changes.
    version: str = "1"
    #: Where the images come from, for people: a folder, or a package.
    origin: str = ""
