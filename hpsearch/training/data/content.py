"""The identity of files: a SHA-256 over their contents, measured once per state of a file."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hpsearch.durable_files import write_file
from hpsearch.errors import DataError
from hpsearch.regular_file import sha256_of_file

#: A file written less than this ago may change again without its times showing it.
_SETTLED_NS = 2_000_000_000


def content_hash(files: Sequence[Path], memo_folder: Path, root: Path | None = None) -> str:
    """Return the SHA-256 (hex) of the files' names below a folder and their contents.

    The hash is the same on every machine. The SHA-256 of each file is stored in ``memo_folder``
    with its path, size and times, so that a second start reads no image data.

    Args:
        files: Regular files.
        memo_folder: The folder for the stored hashes.
        root: Names are relative to this folder, which matters if the names of folders above the
            files mean something; ``None``: the folder that all files have in common.

    Returns:
        64 hexadecimal digits.

    Raises:
        DataError: If a file is missing or can't be read. The message names it.
    """
    if not files:
        return hashlib.sha256(b"no files").hexdigest()
    memo = memo_folder / f"{sha256_of_json(sorted(map(str, files)))[:32]}.json"
    previous = recall(memo)
    # Paths as text: for thousands of pictures, making a Path takes longer than its stat call
    records = {path: _measure(path, previous.get(path)) for path in map(str, files)}
    if records != previous:
        note(memo, records)
    common = root or os.path.commonpath({file.parent for file in files})
    below = len(str(common).rstrip(os.sep)) + 1
    return sha256_of_json(
        [[path[below:].replace(os.sep, "/"), record["sha256"]] for path, record in records.items()]
    )


def measure_once(
    file: Path, settings: Mapping[str, Any], measure: Callable[[], Any], memo_folder: Path
) -> Any:
    """Return ``measure()``, stored so that a second start needn't open the file.

    Args:
        file: The file that ``measure`` reads.
        settings: Everything else that the value depends on, as JSON values.
        measure: Returns a JSON value.
        memo_folder: The folder for the stored value.

    Raises:
        DataError: If the file is missing or can't be read.
    """
    key = sha256_of_json([content_hash([file], memo_folder), settings])
    memo = memo_folder / f"facts-{key[:32]}.json"
    previous = recall(memo)
    if previous.get("key") == key:
        return previous["value"]
    value = measure()
    note(memo, {"key": key, "value": value})
    return value


def recall(memo: Path) -> Mapping[str, Any]:
    """Return the contents of ``memo``; ``{}`` if it is missing or can't be read."""
    try:
        content = json.loads(memo.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def note(memo: Path, hashes: Mapping[str, Any]) -> None:
    """Write a JSON value into the file ``memo``, for the next start.

    If it can't be written, nothing is raised: the next start measures again.
    """
    with contextlib.suppress(OSError):
        write_file(memo, json.dumps(hashes, indent=0))


def sha256_of_json(value: Any) -> str:
    """Return the SHA-256 (hex) of a JSON value, independent of the order of its keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _measure(file: str, memo: Any) -> dict[str, Any]:
    try:
        status = os.stat(file)  # noqa: PTH116
        state = {
            "size": status.st_size,
            "mtime_ns": status.st_mtime_ns,
            "ctime_ns": status.st_ctime_ns,
        }
        if isinstance(memo, dict) and {**memo, **state} == memo and "sha256" in memo:
            return memo
        digest = sha256_of_file(Path(file))
    except FileNotFoundError as error:
        raise DataError(f"a data file is missing: {file}") from error
    except OSError as error:
        raise DataError(
            f"every data file must be readable, but {file} isn't ({error.strerror or error})"
        ) from error
    if time.time_ns() - max(status.st_mtime_ns, status.st_ctime_ns) < _SETTLED_NS:
        state["mtime_ns"] = -1  # matches no file: measured again next time
    return {**state, "sha256": digest}
