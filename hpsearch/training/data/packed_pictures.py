"""Pictures inside of other files: entries of a ZIP archive, read one by one without extraction."""

from __future__ import annotations

import re
import struct
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hpsearch.errors import DataError
from hpsearch.regular_file import open_regular
from hpsearch.training.data.images import DamagedPicture
from hpsearch.training.data.picture_files import Colour, decode_picture, is_hidden
from hpsearch.training.data.room import require_memory, show_size

#: The file of a picture may have this many bytes; a few compressed kilobytes can expand to more.
LARGEST_FILE = 2**30

_ENCRYPTED = 0x1
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
#: The header before an entry's bytes: signature, fields that the directory repeats, and the lengths
#: of its name and extra field.
_LOCAL_HEADER = struct.Struct("<4s22xHH")
_SIGNATURE = b"PK\x03\x04"
_DRIVE = re.compile(r"[A-Za-z]:")


@dataclass(frozen=True, kw_only=True, slots=True)
class Packed:
    """The place of a picture's bytes in another file."""

    file: Path
    #: The name inside of it.
    name: str
    #: Where the bytes begin; in a ZIP archive, the header before them.
    offset: int
    #: The size of the picture's file, and of the bytes that it is stored in.
    size: int
    stored: int
    #: Of a ZIP archive: the method of compression, and the checksum of the picture's file.
    method: int | None = None
    checksum: int = 0

    @property
    def full_name(self) -> str:
        """The name for people: ``photos.zip/a/1.png``."""
        return f"{self.file}/{self.name}"


@dataclass(frozen=True, kw_only=True)
class PackedPictures:
    """Pictures in other files that are decoded on access."""

    places: Sequence[Packed]
    colour: Colour

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int, /) -> NDArray[np.uint8]:
        place = self.places[index]
        try:
            content = read_packed(place)
        except (OSError, ValueError, zlib.error, struct.error, DataError) as error:
            raise DamagedPicture(f"{place.full_name} ({error})") from error
        return decode_picture(content, place.full_name, self.colour)


def read_packed(place: Packed) -> bytes:
    """Return the bytes of a picture's file.

    Raises:
        DataError: If there isn't enough memory for it.
        ValueError: If the file is damaged, or the picture too large.
        OSError: If the file can't be read.
        zlib.error: If the compressed bytes are damaged.
    """
    if place.size > LARGEST_FILE:
        raise ValueError(
            f"its file has {show_size(place.size)}; at most {show_size(LARGEST_FILE)} are read"
        )
    require_memory(place.size + place.stored, f"reading {place.full_name}", "make it smaller")
    with open_regular(place.file) as file:
        file.seek(place.offset)
        if place.method is not None:
            _skip_header(file)
        content = file.read(place.stored)
    if place.method == zipfile.ZIP_DEFLATED:
        # Up to one byte more than the archive's directory states: enough to show that it is wrong
        content = zlib.decompressobj(-zlib.MAX_WBITS).decompress(content, place.size + 1)
    if len(content) != place.size:
        raise ValueError("its size isn't the stated one: the archive is damaged")
    if place.method is not None and zlib.crc32(content) != place.checksum:
        raise ValueError("its checksum is wrong: the archive is damaged")
    return content


def zip_entries(path: Path) -> list[Packed]:
    """Return the files in a ZIP archive, in its order, without hidden ones; none is unpacked.

    Raises:
        DataError: If the archive is damaged, encrypted or compressed in another way than by
            ``deflate``, contains a name twice, or a name that leads out of the archive.
    """
    try:
        with open_regular(path) as file, zipfile.ZipFile(file) as archive:
            infos = [info for info in archive.infolist() if not info.is_dir()]
    except (OSError, zipfile.BadZipFile, NotImplementedError, ValueError, struct.error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise DataError(f"{path} must be a ZIP archive, but can't be read ({reason})") from error
    entries: dict[str, Packed] = {}
    for info in infos:
        name = require_inner_name(info.filename, path)
        if is_hidden(name):
            continue
        if info.flag_bits & _ENCRYPTED:
            raise DataError(
                f"{path} must not be encrypted, but {name!a} in it is; pack it without a password"
            )
        if info.compress_type not in _METHODS:
            raise DataError(
                f"the files in {path} must be stored or compressed by deflate, but {name!a} is "
                f"compressed by method {info.compress_type}; pack it with another program"
            )
        if name in entries:
            raise DataError(
                f"every name in {path} must be there once, but {name!a} is there twice; pack it "
                "again"
            )
        entries[name] = Packed(
            file=path,
            name=name,
            offset=info.header_offset,
            size=info.file_size,
            stored=info.compress_size,
            method=info.compress_type,
            checksum=info.CRC,
        )
    return [*entries.values()]


def require_inner_name(name: str, archive: Path) -> str:
    """Return a name in an archive with slashes; nothing is extracted, but a hostile one is refused.

    Args:
        name: The name as the archive contains it.
        archive: The archive, for the error.

    Raises:
        DataError: If the name is absolute, or leads out of the archive by ``..``.
    """
    slashed = name.replace("\\", "/").removeprefix("./")
    if slashed.startswith("/") or _DRIVE.match(slashed) or ".." in slashed.split("/"):
        raise DataError(
            f"every name in {archive} must be below the archive, but {name!a} leads out of it; "
            "don't use this file"
        )
    return slashed


def _skip_header(file: BufferedReader) -> None:
    signature, name, extra = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
    if signature != _SIGNATURE:
        raise ValueError("it isn't where the archive's directory says: the archive is damaged")
    file.seek(name + extra, 1)
