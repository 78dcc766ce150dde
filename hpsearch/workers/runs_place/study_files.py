"""The files of one stored study, named by their paths below it: ``trial-0007/best.pt``.

``LocalFiles`` are in a folder, ``RemoteFiles`` below a URL. Both write a whole file or none.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Mapping
from contextlib import suppress
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Protocol

from hpsearch.durable_files import remove_unfinished, replacing, write_file
from hpsearch.errors import CheckpointError
from hpsearch.regular_file import sha256_of_file
from hpsearch.training import checkpoint
from hpsearch.workers.runs_place.objects import Objects
from hpsearch.workers.runs_place.place import Runs


class StudyFiles(Protocol):
    """The files of one stored study.

    An ``OSError`` of any method means that the place can't be used now; if it is an object store,
    it is ``RunsUnreachable``.
    """

    def where(self, name: str = "") -> str:
        """Return the path or URL of a file, or of all of them."""

    def exist(self) -> bool:
        """Whether the study has files, or an empty folder."""

    def save(self, name: str, state: Mapping[str, Any]) -> str:
        """Write a checkpoint; returns its SHA-256 when it is safe."""

    def load(self, name: str, sha256: str | None = None) -> dict[str, Any]:
        """Return the state in a checkpoint; ``CheckpointError`` if it is missing or damaged."""

    def sha256(self, name: str) -> str:
        """Return the SHA-256 of a file; ``FileNotFoundError`` if there is none."""

    def read(self, name: str) -> bytes:
        """Return the contents of a file; ``FileNotFoundError`` if there is none."""

    def write(self, name: str, content: bytes) -> None:
        """Write a whole file."""

    def has(self, name: str) -> bool:
        """Whether there is a file of this name."""

    def folders(self) -> list[str]:
        """Return the names of the trials' folders, and perhaps other names."""

    def names(self, trial: str) -> list[str]:
        """Return the names in a trial's folder."""

    def sizes(self, trial: str = "") -> dict[str, int]:
        """Return name -> bytes of all files, or of those of one trial, by name."""

    def remove(self, name: str) -> bool:
        """Remove a file; returns whether there was one."""

    def close_trial(self, trial: str) -> None:
        """Remove what killed writes left of an ended trial, and its folder if it is empty."""

    def remove_all(self) -> bool:
        """Remove all files; returns False if something is left."""


def files_of(runs: Runs, study: str, run_key: str) -> StudyFiles:
    """Return the files of a stored study in a runs place.

    Args:
        runs: The runs place.
        study: The study's name.
        run_key: The study's key.
    """
    if isinstance(runs, Path):
        return LocalFiles(runs / study / run_key)
    return RemoteFiles(Objects(runs, f"{study}/{run_key}"))


class LocalFiles:
    """The files of a study in a folder of this host."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def where(self, name: str = "") -> str:
        """See ``StudyFiles``."""
        return str(self.folder / name)

    def exist(self) -> bool:
        """See ``StudyFiles``."""
        return self.folder.is_dir()

    def save(self, name: str, state: Mapping[str, Any]) -> str:
        """See ``StudyFiles``."""
        return checkpoint.save(self.folder / name, state)

    def load(self, name: str, sha256: str | None = None) -> dict[str, Any]:
        """See ``StudyFiles``."""
        return checkpoint.load(self.folder / name, sha256)

    def sha256(self, name: str) -> str:
        """See ``StudyFiles``."""
        return sha256_of_file(self.folder / name)

    def read(self, name: str) -> bytes:
        """See ``StudyFiles``."""
        return (self.folder / name).read_bytes()

    def write(self, name: str, content: bytes) -> None:
        """See ``StudyFiles``."""
        write_file(self.folder / name, content)

    def has(self, name: str) -> bool:
        """See ``StudyFiles``."""
        return (self.folder / name).exists()

    def folders(self) -> list[str]:
        """See ``StudyFiles``."""
        return _names_in(self.folder)

    def names(self, trial: str) -> list[str]:
        """See ``StudyFiles``."""
        return _names_in(self.folder / trial)

    def sizes(self, trial: str = "") -> dict[str, int]:
        """See ``StudyFiles``."""
        byte_counts: dict[str, int] = {}
        start = self.folder / trial
        for folder, _, names in [] if start.is_symlink() else os.walk(start):
            for path in (Path(folder, name) for name in names):
                with suppress(OSError):  # just removed
                    status = path.lstat()
                    if stat.S_ISREG(status.st_mode):
                        byte_counts[path.relative_to(self.folder).as_posix()] = status.st_size
        return dict(sorted(byte_counts.items()))

    def remove(self, name: str) -> bool:
        """See ``StudyFiles``."""
        try:
            (self.folder / name).unlink()
        except FileNotFoundError:
            return False
        return True

    def close_trial(self, trial: str) -> None:
        """See ``StudyFiles``."""
        remove_unfinished(self.folder / trial)
        # Fails if the folder isn't empty, or if another worker has removed it.
        with suppress(OSError):
            (self.folder / trial).rmdir()

    def remove_all(self) -> bool:
        """See ``StudyFiles``."""
        return remove_folder(self.folder)


class RemoteFiles:
    """The files of a study below a URL."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def where(self, name: str = "") -> str:
        """See ``StudyFiles``."""
        return self._objects.url(name)

    def exist(self) -> bool:
        """See ``StudyFiles``."""
        return bool(self._objects.sizes())

    def save(self, name: str, state: Mapping[str, Any]) -> str:
        """See ``StudyFiles``."""
        content = checkpoint.encode(state)
        self._objects.write(name, content)
        return hashlib.sha256(content).hexdigest()

    def load(self, name: str, sha256: str | None = None) -> dict[str, Any]:
        """See ``StudyFiles``.

        Raises:
            CheckpointError: There is no such object, or it is damaged.
        """
        try:
            content = self._objects.read(name)
        except FileNotFoundError:
            raise CheckpointError(
                f"checkpoint {self.where(name)} can't be read: there is no such object"
            ) from None
        return checkpoint.decode(content, self.where(name), sha256)

    def sha256(self, name: str) -> str:
        """See ``StudyFiles``."""
        return hashlib.sha256(self._objects.read(name)).hexdigest()

    def read(self, name: str) -> bytes:
        """See ``StudyFiles``."""
        return self._objects.read(name)

    def write(self, name: str, content: bytes) -> None:
        """See ``StudyFiles``."""
        self._objects.write(name, content)

    def has(self, name: str) -> bool:
        """See ``StudyFiles``."""
        return name in self._objects.sizes(name.partition("/")[0])

    def folders(self) -> list[str]:
        """See ``StudyFiles``."""
        return list(dict.fromkeys(name.partition("/")[0] for name in self._objects.sizes()))

    def names(self, trial: str) -> list[str]:
        """See ``StudyFiles``."""
        return [name.removeprefix(f"{trial}/") for name in self._objects.sizes(trial)]

    def sizes(self, trial: str = "") -> dict[str, int]:
        """See ``StudyFiles``."""
        return self._objects.sizes(trial)

    def remove(self, name: str) -> bool:
        """See ``StudyFiles``."""
        self._objects.remove(name)
        return True

    def close_trial(self, trial: str) -> None:
        """See ``StudyFiles``: an upload leaves nothing unfinished, and a prefix is no folder."""

    def remove_all(self) -> bool:
        """See ``StudyFiles``."""
        self._objects.remove_all()
        return True


def copy_files(source: StudyFiles, target: StudyFiles) -> None:
    """Copy the files that the target doesn't have; to a folder, with their times.

    A killed call can be repeated: a file has its name only when it is whole. Files in folders are
    the same if size and time are, checkpoints in object stores if the sizes are: their names are
    never used again.

    Args:
        source: The files of a study, which aren't changed meanwhile.
        target: The same study's files in another place.

    Raises:
        OSError: A file can't be read or written now.
    """
    if isinstance(source, LocalFiles) and isinstance(target, LocalFiles):
        _copy_folder(source, target)
        return
    target_sizes = target.sizes()
    for name, size in source.sizes().items():
        if target_sizes.get(name) != size or not fnmatch(name, "trial-*/epoch-*.pt"):
            target.write(name, source.read(name))


def _copy_folder(source: LocalFiles, target: LocalFiles) -> None:
    for name in source.sizes():
        file, copy = source.folder / name, target.folder / name
        status = file.stat()
        if copy.is_file():
            other = copy.stat()
            if (other.st_size, other.st_mtime_ns) == (status.st_size, status.st_mtime_ns):
                continue
        with replacing(copy) as unfinished:
            shutil.copyfile(file, unfinished)
        shutil.copystat(file, copy)


def remove_folder(folder: Path) -> bool:
    """Remove a study's folder, and the one of its name if nothing else is in it."""
    if folder.is_symlink():
        return False  # hpsearch makes no links: it may lead anywhere
    if folder.is_dir():
        shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):
        folder.parent.rmdir()
    return not folder.exists()


def _names_in(folder: Path) -> list[str]:
    """Return the names in ``folder``; none if it was just removed or can't be read."""
    try:
        return os.listdir(folder)  # noqa: PTH208 - only names are needed
    except OSError:
        return []
