"""Where data is stored on this machine: the data root, and the error if it can't be written."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from hpsearch.durable_files import is_full
from hpsearch.errors import DataError


@dataclass(frozen=True, kw_only=True)
class DataRoot:
    """What hpsearch passes to every source: the data root, and whether the network may be used."""

    #: A source called ``x`` looks in (and downloads into) ``root / "x"``.
    root: Path
    may_download: bool = True

    @property
    def memo_folder(self) -> Path:
        """The folder for hashes of files and values that follow from them (see ``content``)."""
        return self.root / "cache" / "hashes"


#: The name in earlier versions, for plug-ins that annotate their sources with it.
Place = DataRoot


def data_root(root: Path | None = None) -> Path:
    """Return ``root``, else ``HPSEARCH_DATA``, else ``~/.cache/hpsearch/data``; absolute."""
    return absolute(root or os.environ.get("HPSEARCH_DATA") or "~/.cache/hpsearch/data")


def absolute(path: Path | str) -> Path:
    """Return ``path`` as an absolute path, with ``~`` expanded.

    Args:
        path: A path, or text, since a study's settings are JSON.

    Raises:
        DataError: If ``path`` starts with ``~`` and there is no home folder.
    """
    try:
        return Path(os.path.abspath(Path(path).expanduser()))  # noqa: PTH100 - keeps symbolic links
    except RuntimeError as error:
        raise DataError(f"a path that starts with ~ needs a home folder: {path}") from error


def not_writable(error: OSError, folder: Path) -> DataError:
    """Return the error for a folder under the data root that can't be written."""
    if is_full(error):
        return DataError(
            f"prepared images need space under {folder}, but the disk is full; free some space, or "
            "set HPSEARCH_DATA to another folder"
        )
    return DataError(
        f"prepared images are written under {folder}, but that failed ({error.strerror or error}); "
        "set HPSEARCH_DATA to a writable folder"
    )
