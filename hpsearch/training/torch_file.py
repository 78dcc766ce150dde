"""Files of ``torch.save``, read without running what somebody put into them.

PyTorch's restricted unpickler (``weights_only``) refuses code. It doesn't refuse a small file that
unpacks to more than the machine has, so the archive is looked at first.
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
    """Return what ``file`` holds, its tensors on the CPU.

    ``compare_checksums`` reads it twice and finds damage, which PyTorch doesn't look for. Raises
    ``OSError`` where it can't be read, and nearly any other exception where it isn't such a file.
    """
    if isinstance(file, Path):
        require_regular(file)  # torch.load would wait for a FIFO's writer, and never end a device
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
        # PyTorch begins by telling how to load it all the same, and names the culprit later.
        found = _REFUSED.search(str(error))
        if found is None:
            raise
        raise pickle.UnpicklingError(
            f"it holds {found[1]}, but only tensors and plain values are read"
        ) from None


def _require_stored(archive: zipfile.ZipFile) -> None:
    """Refuse an archive that unpacks to more than it is itself; ``torch.save`` writes none."""
    for each in archive.infolist():
        if each.compress_type != zipfile.ZIP_STORED or each.file_size != each.compress_size:
            raise zipfile.BadZipFile(f"{each.filename} is compressed, which torch.save never does")
    starts = sorted((each.header_offset, each.file_size) for each in archive.infolist())
    for (start, size), (following, _) in pairwise(starts):
        if start + size > following:
            raise zipfile.BadZipFile("its parts overlap, which those of torch.save never do")
