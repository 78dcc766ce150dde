"""Picture files put together byte by byte: kinds that no library writes any more, and broken ones.

Samples are whole numbers ``(height, width, channels)``, as the file is to hold them.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """Return one chunk, with its length and checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(
    samples: np.ndarray, *, bits: int, colour_type: int, chunks: Iterable[tuple[bytes, bytes]] = ()
) -> bytes:
    """Return a PNG with ``chunks`` between its header and its pixels."""
    height, width, channels = samples.shape
    assert channels == _PNG_CHANNELS[colour_type]
    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    rows = b"".join(b"\0" + packed(row, bits, ">") for row in samples)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(kind, data) for kind, data in parts)


def tiff(
    samples: np.ndarray,
    *,
    bits: int,
    photometric: int,
    order: str = "<",
    sample_format: int = 1,
    planar: int = 1,
    extra: Sequence[int] = (),
    colour_map: Sequence[int] = (),
    deflated: bool = False,
    tags: Mapping[int, tuple[int, ...]] | None = None,
) -> bytes:
    """Return a TIFF of one page: a strip, or one for each channel if ``planar`` is 2.

    ``samples`` may be signed or floats, if ``sample_format`` (2, 3) says so. ``tags``: further
    tags, of the type SHORT.
    """
    height, width, channels = samples.shape
    planes = [samples] if planar == 1 else [samples[:, :, [n]] for n in range(channels)]
    strips = [b"".join(packed(row, bits, order) for row in plane) for plane in planes]
    if deflated:
        strips = [zlib.compress(strip) for strip in strips]
    offsets, at = [], 8
    for strip in strips:
        offsets.append(at)
        at += len(strip) + len(strip) % 2
    short, long = 3, 4
    fields: dict[int, tuple[int, Sequence[int]]] = {
        256: (long, [width]),
        257: (long, [height]),
        258: (short, [bits] * channels),
        259: (short, [8 if deflated else 1]),
        262: (short, [photometric]),
        273: (long, offsets),
        277: (short, [channels]),
        278: (long, [height]),
        279: (long, [len(strip) for strip in strips]),
        284: (short, [planar]),
        339: (short, [sample_format] * channels),
    }
    if extra:
        fields[338] = (short, extra)
    if colour_map:
        fields[320] = (short, colour_map)
    fields |= {tag: (short, values) for tag, values in (tags or {}).items()}
    entries, beyond = b"", b""
    after = at + 2 + 12 * len(fields) + 4
    for tag, (kind, values) in sorted(fields.items()):
        value = struct.pack(f"{order}{len(values)}{'H' if kind == short else 'I'}", *values)
        if len(value) > 4:
            beyond += value + b"\0" * (len(value) % 2)
            value = struct.pack(f"{order}I", after + len(beyond) - len(value) - len(value) % 2)
        entries += struct.pack(f"{order}HHI", tag, kind, len(values)) + value.ljust(4, b"\0")
    body = b"".join(strip + b"\0" * (len(strip) % 2) for strip in strips)
    mark = b"II*\0" if order == "<" else b"MM\0*"
    head = mark + struct.pack(f"{order}I", at)
    return head + body + struct.pack(f"{order}H", len(fields)) + entries + b"\0" * 4 + beyond


def packed(row: np.ndarray, bits: int, order: str) -> bytes:
    """Return a row of samples as ``bits`` each, filled up to whole bytes at its end."""
    flat = row.reshape(-1)
    if bits >= 8 and bits % 8 == 0:
        return flat.astype(f"{order}{flat.dtype.kind}{bits // 8}").tobytes()
    text = "".join(format(int(value), f"0{bits}b") for value in flat)
    text += "0" * (-len(text) % 8)
    return bytes(int(text[at : at + 8], 2) for at in range(0, len(text), 8))
