"""The cache: whole or not at all, built once, shared, repaired."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import shutil
import sys
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from hpsearch.errors import DataError
from hpsearch.training.data import cache as cache_module
from hpsearch.training.data.cache import Entry, Writer, open_or_build

KEY = {"source": "x", "input_size": 8}


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def build(pictures):
    """A builder that counts how often it ran."""

    def build(writer: Writer) -> dict:
        build.times += 1
        with writer.array("images", np.uint8, (100, 3, 8, 8)) as rows:
            for start in range(0, 100, 30):
                rows.append(pictures(100, 3, 8, 8)[start : start + 30])
        writer.save("labels", np.arange(100))
        return {"n": 100}

    build.times = 0
    return build


def hidden(cache: Path) -> list[str]:
    return [path.name for path in cache.iterdir() if path.name.startswith(".")]


def test_what_was_built_is_mapped_the_second_time(cache, build, pictures):
    first = open_or_build(cache, KEY, build)
    second = open_or_build(cache, dict(reversed(KEY.items())), build)
    assert build.times == 1
    assert first.folder == second.folder
    assert second.facts == {"n": 100}
    assert np.array_equal(second.array("images"), pictures(100, 3, 8, 8))
    assert np.array_equal(second.array("labels"), np.arange(100))
    assert second.bytes == sum(file.stat().st_size for file in second.folder.glob("*.npy"))
    assert hidden(cache) == []


def test_another_key_is_another_entry(cache, build):
    one = open_or_build(cache, KEY, build)
    other = open_or_build(cache, KEY | {"input_size": 9}, build)
    assert build.times == 2
    assert one.folder != other.folder


def damage_first_byte(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)
    os.utime(path, ns=(1, 1))  # whoever wrote it, it was at another time than the builder


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda e: (e / "meta.json").unlink(), id="no meta"),
        pytest.param(lambda e: (e / "meta.json").write_text("{"), id="half a meta"),
        pytest.param(lambda e: (e / "meta.json").write_text("[1]"), id="another meta"),
        pytest.param(
            lambda e: (e / "meta.json").write_text(
                (e / "meta.json").read_text().replace('"n": 100', '"n": 101')
            ),
            id="a changed fact",
        ),
        pytest.param(lambda e: (e / "images.npy").unlink(), id="no images"),
        pytest.param(lambda e: os.truncate(e / "images.npy", 1000), id="truncated"),
        pytest.param(lambda e: damage_first_byte(e / "images.npy"), id="a flipped bit"),
        pytest.param(lambda e: (e / "labels.npy").write_bytes(b""), id="empty labels"),
        pytest.param(lambda e: (shutil.rmtree(e), e.write_text("x")), id="a file in its place"),
    ],
)
def test_a_damaged_entry_is_built_again(cache, build, pictures, damage):
    folder = open_or_build(cache, KEY, build).folder
    damage(folder)
    entry = open_or_build(cache, KEY, build)
    assert build.times == 2
    assert np.array_equal(entry.array("images"), pictures(100, 3, 8, 8))
    open_or_build(cache, KEY, build)
    assert build.times == 2
    assert hidden(cache) == []


def test_only_an_entry_that_was_touched_is_read_to_be_trusted(cache, build, monkeypatch):
    read = []
    real = cache_module.sha256_of_file
    monkeypatch.setattr(
        cache_module, "sha256_of_file", lambda path: (read.append(path.name), real(path))[1]
    )
    folder = open_or_build(cache, KEY, build).folder
    open_or_build(cache, KEY, build)
    assert read == []
    os.utime(folder / "images.npy", ns=(1, 1))  # copied from another host, say
    open_or_build(cache, KEY, build)
    assert read == ["images.npy"]
    assert build.times == 1


def test_a_whole_entry_is_opened_without_the_lock(cache, build, monkeypatch):
    open_or_build(cache, KEY, build)

    def held(*args, **kwargs):
        raise AssertionError("asked for the lock")

    monkeypatch.setattr(cache_module, "FileLock", held)
    open_or_build(cache, KEY, build)


def test_a_builder_that_fails_leaves_nothing(cache, build):
    def fails(writer: Writer) -> dict:
        with writer.array("images", np.uint8, (100, 3, 8, 8)):
            raise DataError("the picture x.png is damaged")

    with pytest.raises(DataError, match=r"x\.png is damaged"):
        open_or_build(cache, KEY, fails)
    assert [path.suffix for path in cache.iterdir()] == [".lock"]
    open_or_build(cache, KEY, build)


def test_what_a_dead_builder_left_is_cleared(cache, build):
    folder = open_or_build(cache, KEY, build).folder
    shutil.rmtree(folder)
    (cache / f".{folder.name}.123-dead").mkdir()
    other = cache / f".{'0' * 32}.456-alive"
    other.mkdir()
    open_or_build(cache, KEY, build)
    assert hidden(cache) == [other.name]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.zeros((99, 3), np.uint8), "99 of 100 rows were written"),
        (np.zeros((100, 4), np.uint8), r"uint8 \(100, 4\) doesn't fit into uint8 \(100, 3\)"),
        (np.zeros((100, 3), np.int64), r"int64 \(100, 3\) doesn't fit into uint8 \(100, 3\)"),
    ],
    ids=["too few rows", "another shape", "another type"],
)
def test_a_wrong_builder_is_told(cache, rows, message):
    def wrong(writer: Writer) -> dict:
        with writer.array("images", np.uint8, (100, 3)) as array:
            array.append(rows)
        return {}

    with pytest.raises(ValueError, match=message):
        open_or_build(cache, KEY, wrong)


def test_a_full_disk_is_told_and_leaves_nothing(cache, build, monkeypatch):
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch, pytest.raises(DataError) as caught:
        patch.setattr(os, "fsync", full)
        open_or_build(cache, KEY, build)
    assert f"need space under {cache}, but the disk is full" in str(caught.value)
    assert "set HPSEARCH_DATA to another folder" in str(caught.value)
    assert [path.suffix for path in cache.iterdir()] == [".lock"]
    open_or_build(cache, KEY, build)  # goes on when there is room


def test_a_root_that_cannot_be_written_is_told(tmp_path, build):
    (tmp_path / "data").write_text("a file where the folder should be")
    with pytest.raises(DataError) as caught:
        open_or_build(tmp_path / "data" / "cache", KEY, build)
    assert "that failed (Not a directory); set HPSEARCH_DATA to a writable folder" in str(
        caught.value
    )


def test_torch_takes_the_map_as_it_is(cache, build):
    entry = open_or_build(cache, KEY, build)
    array = entry.array("images")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tensor = torch.from_numpy(array)
    assert tensor.data_ptr() == array.ctypes.data  # no copy
    assert tensor.is_contiguous()


def test_a_stray_write_stays_in_its_process(cache, build):
    entry = open_or_build(cache, KEY, build)
    before = (entry.folder / "images.npy").read_bytes()
    torch.from_numpy(entry.array("images")).fill_(7)
    assert (entry.folder / "images.npy").read_bytes() == before
    assert not (entry.array("images") == 7).all()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/smaps")
def test_reading_makes_no_private_copy(cache):
    def build(writer: Writer) -> dict:
        writer.save("images", np.ones((4096, 4096), np.uint8))
        return {}

    entry = open_or_build(cache, KEY, build)
    images = entry.array("images")
    assert images.sum(dtype=np.int64) == 4096 * 4096
    mapping = Path("/proc/self/smaps").read_text().partition(str(entry.folder / "images.npy"))[2]
    sizes = {
        name: int(rest.split()[0])
        for name, _, rest in (line.partition(":") for line in mapping.splitlines()[1:20])
    }
    assert sizes["Rss"] >= 4096 * 4  # KiB: the pages were read ...
    assert sizes["Private_Dirty"] == 0  # ... and none became this process's own


def test_threads_that_ask_at_once_build_once(cache, build):
    slow = slowed(build)
    entries: list[Entry] = []
    threads = [
        threading.Thread(target=lambda: entries.append(open_or_build(cache, KEY, slow)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(entries) == 4
    assert build.times == 1


def slowed(build):
    def slow(writer: Writer) -> dict:
        facts = build(writer)
        time.sleep(0.1)
        return facts

    return slow


def test_processes_that_ask_at_once_build_once(cache, tmp_path, build):
    def child(number: int, start) -> None:
        def noted(writer: Writer) -> dict:
            with (tmp_path / "built").open("a") as file:
                file.write(f"{number}\n")
            return slowed(build)(writer)

        start.wait()
        entry = open_or_build(cache, KEY, noted)
        (tmp_path / f"sum {number}").write_text(str(entry.array("images").sum()))

    run_at_once(child, 4)
    assert len((tmp_path / "built").read_text().splitlines()) == 1
    sums = {(tmp_path / f"sum {number}").read_text() for number in range(4)}
    assert sums == {str(open_or_build(cache, KEY, build).array("images").sum())}
    assert build.times == 0
    assert hidden(cache) == []


def test_a_builder_that_is_killed_makes_way(cache, tmp_path, build):
    def child(number: int, start) -> None:
        def dies(writer: Writer) -> dict:
            writer.save("labels", np.arange(100))
            os.kill(os.getpid(), 9)
            return {}

        start.wait()
        open_or_build(cache, KEY, dies)

    run_at_once(child, 1, exitcode=-9)
    assert len(hidden(cache)) == 1  # its half-built folder
    open_or_build(cache, KEY, build)
    assert build.times == 1
    assert hidden(cache) == []


def run_at_once(child, processes: int, exitcode: int = 0) -> None:
    # Forked, as closures can't be sent and a spawned interpreter imports for seconds; the
    # children touch files and NumPy only.
    context = multiprocessing.get_context("fork")
    start = context.Event()
    children = [context.Process(target=child, args=(n, start)) for n in range(processes)]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
        for process in children:
            process.start()
    start.set()
    for process in children:
        process.join(timeout=240)
        assert process.exitcode == exitcode


def test_the_key_is_told_in_words(cache, build):
    folder = open_or_build(cache, KEY, build).folder
    assert json.loads((folder / "meta.json").read_text())["key"] == {"format": 1, **KEY}
