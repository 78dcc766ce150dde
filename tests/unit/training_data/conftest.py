"""Small image sets in the exact formats of the real ones."""

from __future__ import annotations

import gzip
import socket
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

CIFAR_NAMES = ["airplane", "automobile", "bird", "cat", "deer"]
CIFAR_NAMES += ["dog", "frog", "horse", "ship", "truck"]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data root of the test's own; the person's HPSEARCH_DATA isn't seen."""
    monkeypatch.delenv("HPSEARCH_DATA", raising=False)
    return tmp_path / "data root"


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that reaches for the network fails, at once and by name."""

    def refuse(*args, **kwargs):
        raise AssertionError(f"a test tried to reach {args}")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def pictures() -> Callable[..., np.ndarray]:
    """Random bytes of a shape, the same for the same seed."""

    def make(*shape: int, seed: int = 0) -> np.ndarray:
        return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)

    return make


@pytest.fixture
def write_idx() -> Callable[..., Path]:
    """Writes an array as an IDX file; a name that ends in .gz is compressed."""

    def write(path: Path, array: np.ndarray) -> Path:
        header = bytes((0, 0, 0x08, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
        raw = header + np.ascontiguousarray(array, dtype=np.uint8).tobytes()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)
        return path

    return write


@pytest.fixture
def mnist_folder(tmp_path: Path, pictures, write_idx) -> Callable[..., Path]:
    """Writes a folder with the four IDX files: 100 training and 20 test images of 12x10."""

    def make(name: str = "idx", suffix: str = "", classes: int = 10) -> Path:
        folder = tmp_path / name
        for part, n in (("train", 100), ("t10k", 20)):
            labels = np.arange(n, dtype=np.uint8) % classes
            write_idx(folder / f"{part}-images-idx3-ubyte{suffix}", pictures(n, 12, 10, seed=n))
            write_idx(folder / f"{part}-labels-idx1-ubyte{suffix}", labels)
        return folder

    return make


@pytest.fixture
def python2_batch() -> Callable[..., bytes]:
    """Spells a CIFAR batch as the real files are: protocol 2, byte strings of Python 2.

    Python 3 can't write ``str`` of Python 2 any more, so the opcodes are put down one by one, as
    ``pickletools.dis`` shows them in ``data_batch_1``.
    """

    def string(raw: bytes) -> bytes:
        if len(raw) < 256:
            return b"U" + bytes((len(raw),)) + raw  # SHORT_BINSTRING
        return b"T" + struct.pack("<i", len(raw)) + raw  # BINSTRING

    def number(value: int) -> bytes:
        return b"K" + bytes((value,)) if 0 <= value < 256 else b"J" + struct.pack("<i", value)

    def a_list(items: list[bytes]) -> bytes:
        return b"](" + b"".join(items) + b"e"

    def make(data: np.ndarray, labels: list[int], *, name: str = "training batch 1 of 5") -> bytes:
        rows, columns = data.shape
        dtype = b"cnumpy\ndtype\n" + string(b"u1") + b"K\x00K\x01\x87R"
        dtype += b"(K\x03" + string(b"|") + b"NNN" + b"J\xff\xff\xff\xff" * 2 + b"K\x00tb"
        array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n"
        array += b"K\x00\x85" + string(b"b") + b"\x87R"
        array += b"(K\x01" + number(rows) + number(columns) + b"\x86" + dtype
        array += b"\x89" + string(data.tobytes()) + b"tb"
        files = a_list([string(f"leptodactylus_{n}.png".encode()) for n in range(rows)])
        items = string(b"batch_label") + string(name.encode())
        items += string(b"labels") + a_list([number(label) for label in labels])
        items += string(b"data") + array
        items += string(b"filenames") + files
        return b"\x80\x02}(" + items + b"u."

    return make


@pytest.fixture
def cifar_folder(tmp_path: Path, pictures, python2_batch) -> Callable[..., Path]:
    """Writes an unpacked ``cifar-10-batches-py`` with batches of 40 images (test: 20)."""

    def make(batches: tuple[int, ...] = (1, 2, 3, 4, 5), *, within: str = "cifar") -> Path:
        folder = tmp_path / within / "cifar-10-batches-py"
        folder.mkdir(parents=True)
        for batch in batches:
            labels = [int(n) for n in np.random.default_rng(batch).permutation(40) % 10]
            raw = python2_batch(pictures(40, 3072, seed=batch), labels)
            (folder / f"data_batch_{batch}").write_bytes(raw)
        raw = python2_batch(pictures(20, 3072, seed=9), [n % 10 for n in range(20)])
        (folder / "test_batch").write_bytes(raw)
        return folder

    return make
