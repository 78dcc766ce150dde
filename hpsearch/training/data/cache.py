"""Arrays on disk, built once and mapped into memory by every worker.

One entry is a folder ``<data root>/cache/<key>/``::

    meta.json      the key in words, each array's type, shape, size and SHA-256, and facts
    images.npy     and the other arrays

An entry is built under a file lock in a temporary folder, synced, and renamed into place, so it
is either complete or absent. A damaged entry is built again.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from hpsearch.durable_files import sync_folder, temporary_name, write_file
from hpsearch.regular_file import sha256_of_file
from hpsearch.training.data.content import sha256_of_json
from hpsearch.training.data.place import not_writable
from hpsearch.training.data.room import require_disk

#: Part of every key, so that entries of an older layout are not used.
FORMAT = 1


class Writer:
    """Fills the temporary folder of an entry, array by array."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._arrays: dict[str, dict[str, Any]] = {}

    def array(self, name: str, dtype: Any, shape: tuple[int, ...]) -> ArrayWriter:
        """Begin an array; its rows are appended inside a ``with`` block.

        Args:
            name: The name of the array; its file is ``<name>.npy``.
            dtype: The type of its numbers, as ``numpy.dtype`` takes it.
            shape: The whole shape; the first dimension counts the rows.

        Returns:
            A context manager with ``append``.

        Raises:
            DataError: If the disk has less free space than the array needs.
        """
        require_room(self._folder, name, np.dtype(dtype), shape)
        return ArrayWriter(self._folder / f"{name}.npy", np.dtype(dtype), shape, self._done)

    def save(self, name: str, array: NDArray[Any]) -> None:
        """Write a whole array."""
        with self.array(name, array.dtype, array.shape) as rows:
            rows.append(array)

    def finish(self, key: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
        """Write ``meta.json``, which completes the entry."""
        meta: dict[str, Any] = {"key": key, "arrays": self._arrays, "facts": facts}
        meta["sha256"] = sha256_of_json(meta)
        write_file(self._folder / "meta.json", json.dumps(meta, indent=1))

    def _done(self, path: Path, dtype: np.dtype[Any], shape: tuple[int, ...], sha: str) -> None:
        status = path.stat()
        self._arrays[path.stem] = {
            "dtype": dtype.str,
            "shape": list(shape),
            "bytes": status.st_size,
            "mtime_ns": status.st_mtime_ns,
            "sha256": sha,
        }


def require_room(folder: Path, name: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    """Require enough free disk space below ``folder`` for an array.

    Args:
        folder: The folder for the array; it may not exist yet.
        name: The name of the array, for the error.
        dtype: The type of its numbers.
        shape: The shape of the array.

    Raises:
        DataError: If there is less. The message shows the needed and the free space.
    """
    require_disk(
        math.prod(shape) * dtype.itemsize,
        folder,
        f"preparing {name} of the shape {' x '.join(f'{edge:,}' for edge in shape)}",
        "free some space, use a smaller data.input_size or data.limit, or set HPSEARCH_DATA to "
        "another folder",
    )


class ArrayWriter:
    """Appends rows to one ``.npy`` file through ordinary writes.

    A memory map would be simpler, but on a full disk it ends the process with SIGBUS; a write
    raises an error that can be reported.
    """

    def __init__(
        self,
        path: Path,
        dtype: np.dtype[Any],
        shape: tuple[int, ...],
        done: Callable[[Path, np.dtype[Any], tuple[int, ...], str], None],
    ) -> None:
        self._path, self._dtype, self._shape, self._done = path, dtype, shape, done
        self._sha = hashlib.sha256()
        self._rows = 0

    def __enter__(self) -> ArrayWriter:
        self._file: BinaryIO = self._path.open("w+b")
        header = {
            "descr": np.lib.format.dtype_to_descr(self._dtype),
            "fortran_order": False,
            "shape": self._shape,
        }
        try:
            np.lib.format.write_array_header_1_0(self._file, header)
            self._file.seek(0)
            self._sha.update(self._file.read())
        except BaseException:
            # If the disk is full already, ``__exit__`` doesn't run: the block wasn't entered.
            with suppress(OSError):
                self._file.close()
            raise
        return self

    def append(self, rows: NDArray[Any]) -> None:
        """Write the next rows.

        Args:
            rows: One or more rows, with the array's type and row shape.

        Raises:
            ValueError: If the type or the row shape differs.
        """
        if rows.shape[1:] != self._shape[1:] or rows.dtype != self._dtype:
            raise ValueError(
                f"{rows.dtype} {rows.shape} doesn't fit into {self._dtype} {self._shape}"
            )
        raw = np.ascontiguousarray(rows).reshape(-1).view(np.uint8)
        self._file.write(raw.data)
        self._sha.update(raw.data)
        self._rows += len(rows)

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        try:
            if kind is None:
                self._file.flush()
                os.fsync(self._file.fileno())
        finally:
            self._file.close()
        if kind is None:
            if self._rows != self._shape[0]:
                raise ValueError(f"{self._rows} of {self._shape[0]} rows were written")
            self._done(self._path, self._dtype, self._shape, self._sha.hexdigest())


class Entry:
    """A complete entry of the cache."""

    def __init__(self, folder: Path, meta: Mapping[str, Any]) -> None:
        self.folder = folder
        self.facts: Mapping[str, Any] = meta["facts"]
        self._arrays: Mapping[str, Mapping[str, Any]] = meta["arrays"]

    def has(self, name: str) -> bool:
        """Whether the entry has an array of this name."""
        return name in self._arrays

    def array(self, name: str) -> NDArray[Any]:
        """Map an array into memory; every process that maps it shares its pages.

        The mapping is private (copy on write): torch accepts it without a warning, and a stray
        write never reaches the file or another process.
        """
        return np.asarray(np.load(self.folder / f"{name}.npy", mmap_mode="c"))

    @property
    def bytes(self) -> int:
        """Size of the arrays on disk, in bytes."""
        return sum(int(array["bytes"]) for array in self._arrays.values())


def is_built(cache: Path, key: Mapping[str, Any]) -> bool:
    """Whether the folder ``cache`` has a complete entry of ``key``."""
    return _open(_folder_of(cache, _full(key))) is not None


def open_or_build(
    cache: Path, key: Mapping[str, Any], build: Callable[[Writer], Mapping[str, Any]]
) -> Entry:
    """Return the entry of ``key``; build it if there is none.

    If several processes call this at once, one builds and the others wait.

    Args:
        cache: The folder of all entries; it is created if needed.
        key: Everything that the contents depend on, as JSON values.
        build: Writes the arrays and returns the entry's facts (JSON values).

    Raises:
        DataError: If the folder can't be written or the disk is full. Incomplete files are
            removed.
    """
    key = _full(key)
    folder = _folder_of(cache, key)
    entry = _open(folder)
    if entry is not None:
        return entry
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with FileLock(cache / f"{folder.name}.lock"):
            return _open(folder) or _build(folder, key, build)
    except OSError as error:
        raise not_writable(error, cache) from error


def _full(key: Mapping[str, Any]) -> dict[str, Any]:
    return {"format": FORMAT, **key}


def _folder_of(cache: Path, key: Mapping[str, Any]) -> Path:
    return cache / sha256_of_json(key)[:32]


def _build(
    folder: Path, key: Mapping[str, Any], build: Callable[[Writer], Mapping[str, Any]]
) -> Entry:
    # This process has the lock, so any incomplete files are from a builder that died.
    _clear(folder)
    work = temporary_name(folder)
    try:
        work.mkdir()
        writer = Writer(work)
        facts = build(writer)
        writer.finish(key, facts)
        if folder.exists():  # damaged; a rename, since another process may still map it
            folder.rename(work.with_name(work.name + ".damaged"))
        work.rename(folder)
        sync_folder(folder.parent)
    finally:
        _clear(folder)
    entry = _open(folder)
    if entry is None:
        raise OSError(f"what was just written to {folder} was read back with other content")
    return entry


def _clear(folder: Path) -> None:
    """Remove the temporary files that builders of ``folder`` left beside it."""
    for leftover in folder.parent.glob(f".{folder.name}.*"):
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


def _open(folder: Path) -> Entry | None:
    """Return the entry, or ``None`` if it is missing or damaged."""
    try:
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        if meta.pop("sha256") != sha256_of_json(meta):
            return None
        entry = Entry(folder, meta)
        for name, array in meta["arrays"].items():
            _check(folder / f"{name}.npy", array)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return entry


def _check(path: Path, record: Mapping[str, Any]) -> None:
    """Raise ``ValueError`` if an array has changed since it was written."""
    status = path.stat()
    if status.st_size != record["bytes"]:
        raise ValueError(f"{path} has another size")
    # Reading everything at every start would cost what the cache saves, so the contents are read
    # only if the file's time has changed.
    if status.st_mtime_ns != record["mtime_ns"] and sha256_of_file(path) != record["sha256"]:
        raise ValueError(f"{path} has other contents")
