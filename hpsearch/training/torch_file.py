"""Reads files of ``torch.save`` without running code from them.

PyTorch's restricted unpickler (``weights_only``) refuses code, but not a small file that unpacks to
more than the machine's memory. So the archive is checked first.
"""

from __future__ import annotations

import pickle
import re
import zipfile
from itertools import pairwise
from pathlib import Path
from typing import IO, Any

import torch

from hpsearch.regular_file import require_regular

_REFUSED = re.compile(r"(?i)unsupported global:? (?:GLOBAL )?([\w.]+)")


def read_tensors(file: Path | IO[bytes], *, compare_checksums: bool = False) -> Any:
    """Return the contents of ``file``, with tensors on the CPU.

    Args:
        file: A path, or an open binary file.
        compare_checksums: Whether to read the file twice to detect damage, which PyTorch doesn't.

    Raises:
        OSError: If the file can't be read.
        pickle.UnpicklingError: If it contains more than tensors and plain values.
        zipfile.BadZipFile: If a checksum differs, or the archive isn't as ``torch.save`` writes it.
        Exception: Nearly any other one, if the file isn't of ``torch.save``.
    """
    if isinstance(file, Path):
        require_regular(file)  # torch.load could wait for a FIFO, or read a device without end
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            _require_stored(archive)
            damaged = archive.testzip() if compare_checksums else None
        if damaged is not None:
            raise zipfile.BadZipFile(f"{damaged} doesn't match its checksum")
    if not isinstance(file, Path):
        file.seek(0)
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # PyTorch's message begins with advice to load the file anyway and gives the cause later
        match = _REFUSED.search(str(error))
        if match is None:
            raise
        raise pickle.UnpicklingError(
            f"it contains {match[1]}, but only tensors and plain values are read"
        ) from None


def _require_stored(archive: zipfile.ZipFile) -> None:
    """Refuse an archive that unpacks to more than its own size, which ``torch.save`` never writes.

    Raises:
        zipfile.BadZipFile: If an entry is compressed, or entries overlap.
    """
    for member in archive.infolist():
        if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
            raise zipfile.BadZipFile(
                f"{member.filename} is compressed, which torch.save never does"
            )
    starts = sorted((member.header_offset, member.file_size) for member in archive.infolist())
    for (start, size), (following, _) in pairwise(starts):
        if start + size > following:
            raise zipfile.BadZipFile("its parts overlap, which torch.save never does")
