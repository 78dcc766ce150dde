"""Pictures in a folder or a ZIP archive, found by the names that a table gives them.

Tables name pictures in many ways: by the path below the folder, by a path on another machine, by
the name alone although the pictures are in subfolders, and without an ending. A name means a
picture if both paths agree as far as the shorter one goes, from the end.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hpsearch.errors import DataError
from hpsearch.formatting import first_few
from hpsearch.training.data.images import Pictures
from hpsearch.training.data.packed_pictures import Packed, PackedPictures, zip_entries
from hpsearch.training.data.picture_files import (
    Colour,
    PictureFiles,
    by_ending,
    ending,
    is_hidden,
    is_picture,
    without_ending,
)

#: A folder with more files than this isn't searched: it is a home folder rather than a data set.
_MOST_FILES = 3_000_000


class NotFound(Exception):
    """A name means no picture, or several."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(kind)
        #: The fault in words, the same for every name: ``no picture``.
        self.kind = kind
        #: The name, and what it may mean.
        self.detail = detail


@dataclass(frozen=True, kw_only=True)
class _Candidate:
    #: The path below the folder, or in the archive, split at slashes.
    parts: tuple[str, ...]
    index: int


class PicturePlace:
    """The pictures in and below a folder, or in a ZIP archive."""

    def __init__(self, path: Path, key: str) -> None:
        """Look for pictures; none is decoded.

        Args:
            path: A folder, or a ``.zip`` file.
            key: The setting that gives ``path``, for errors.

        Raises:
            DataError: If there is no such folder or archive, or it can't be used.
        """
        self.path = path
        self._packed: list[Packed] | None = None
        if path.is_dir():
            names = sorted(_names_below(path, key))
        elif path.suffix.lower() == ".zip":
            self._packed = zip_entries(path)
            names = [file.name for file in self._packed]
        else:
            state = "is neither" if path.exists() else "doesn't exist"
            raise DataError(
                f"{key} must be a folder of pictures or a .zip file, but {path} {state}"
            )
        self._names = names
        self._others = Counter(ending(name) for name in names if not is_picture(name))
        self._by_stem: dict[str, list[_Candidate]] = {}
        for index, name in enumerate(names):
            if is_picture(name):
                parts = tuple(name.split("/"))
                candidates = self._by_stem.setdefault(without_ending(parts[-1]), [])
                candidates.append(_Candidate(parts=parts, index=index))

    @property
    def contents(self) -> str:
        """What is there, for people: ``1,000 pictures, such as a/1.png (and 3 .txt)``."""
        total = len(self._names) - self._others.total()
        others = by_ending(self._others)
        if not total:
            return f"no picture{others}"
        first = next(name for name in self._names if is_picture(name))
        also = f", and other files{others}" if others else ""
        return f"{total:,} pictures, such as {first}{also}"

    def find(self, name: str) -> int:
        """Return the index of the picture that ``name`` means.

        Raises:
            NotFound: If there is none, or there are several.
        """
        name_parts = [part for part in name.replace("\\", "/").split("/") if part not in _NO_NAMES]
        if not name_parts:
            raise NotFound("no such picture", name)
        # The ending may be missing, or another one than that of the picture
        stems = {name_parts[-1], without_ending(name_parts[-1])}
        candidates = [candidate for stem in stems for candidate in self._by_stem.get(stem, ())]
        ranked = sorted(
            ((_agreement(candidate.parts, name_parts), candidate) for candidate in candidates),
            key=lambda pair: pair[0],
            reverse=True,
        )
        if not ranked or not ranked[0][0]:
            raise NotFound("no such picture", name)
        if len(ranked) > 1 and ranked[0][0] == ranked[1][0]:
            alike = [
                self._names[candidate.index] for rank, candidate in ranked if rank == ranked[0][0]
            ]
            raise NotFound("several such pictures", f"{name} may be {first_few(alike, 3, ' or ')}")
        return ranked[0][1].index

    def name_of(self, index: int) -> str:
        """Return a picture's path below the folder or in the archive."""
        # The bytes of a file's name may be no text
        return os.fsencode(self._names[index]).decode("utf-8", "replace")

    def files(self, indices: Sequence[int]) -> tuple[Path, ...]:
        """Return the files that contain the pictures at ``indices``."""
        if self._packed is not None:
            return (self.path,)
        # Joined as text: for thousands of pictures, Path's own operator takes several times as long
        return tuple(Path(f"{self.path}/{self._names[index]}") for index in indices)

    def pictures(self, indices: Sequence[int], colour: Colour) -> Pictures:
        """Return the pictures at ``indices``, decoded on access."""
        if self._packed is not None:
            return PackedPictures(places=[self._packed[index] for index in indices], colour=colour)
        return PictureFiles(files=self.files(indices), colour=colour)


_NO_NAMES = ("", ".", "..")


def _agreement(
    parts: Sequence[str], name_parts: Sequence[str]
) -> tuple[bool, bool, int] | tuple[()]:
    """Return how well a picture's path fits the parts of a name; ``()`` if it doesn't.

    Folders are compared from the end, as far as the shorter path goes. The whole path fits better
    than the name alone, the same ending better than another, and more folders better than fewer.
    """
    common = min(len(parts), len(name_parts)) - 1
    if common and tuple(parts[-1 - common : -1]) != tuple(name_parts[-1 - common : -1]):
        return ()
    return len(parts) == len(name_parts), parts[-1] == name_parts[-1], common


def _names_below(folder: Path, key: str) -> Iterator[str]:
    """Yield the paths of files below a folder, without hidden ones; linked folders are followed."""
    queue, folder_ids, count = [""], set[tuple[int, int]](), 0
    while queue:
        below = queue.pop()
        try:
            state = os.stat(f"{folder}/{below}")  # noqa: PTH116 - text, as below
            if (state.st_dev, state.st_ino) in folder_ids:
                continue
            folder_ids.add((state.st_dev, state.st_ino))
            with os.scandir(f"{folder}/{below}") as entries:
                children = sorted(entries, key=lambda entry: entry.name)
            for entry in children:
                if is_hidden(entry.name):
                    continue
                if entry.is_dir():
                    queue.append(f"{below}{entry.name}/")
                    continue
                count += 1
                yield f"{below}{entry.name}"
        except OSError as error:
            raise DataError(
                f"every folder of pictures must be readable, but {folder / below} isn't "
                f"({error.strerror})"
            ) from error
        if count > _MOST_FILES:
            raise DataError(
                f"{key} must be the folder of the pictures, but {folder} and the folders below it "
                f"contain more than {_MOST_FILES:,} files; give a folder with fewer"
            )
