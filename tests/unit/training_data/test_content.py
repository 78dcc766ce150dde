"""The identity of files, and what is remembered of it."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from hpsearch.errors import DataError
from hpsearch.training.data import content
from hpsearch.training.data.content import content_hash


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / "set" / name for name in ("a.bin", "sub/b.bin")]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(path.name.encode() * 100)
    return paths


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files whose contents were read."""
    read = []
    real = content.sha256_of_file

    def counting(path: Path) -> str:
        read.append(path)
        return real(path)

    monkeypatch.setattr(content, "sha256_of_file", counting)
    return read


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that were written just now count as old ones."""
    monkeypatch.setattr(content, "_SETTLED_NS", 0)


def test_contents_and_names_decide(files, tmp_path):
    memo = tmp_path / "memo"
    first = content_hash(files, memo)
    files[1].write_bytes(b"other")
    assert content_hash(files, memo) != first
    files[1].write_bytes(b"b.bin" * 100)
    assert content_hash(files, memo) == first
    renamed = files[1].rename(files[1].with_name("c.bin"))
    assert content_hash([files[0], renamed], memo) != first


def test_the_same_files_elsewhere_are_the_same(files, tmp_path):
    elsewhere = tmp_path / "another host" / "set"
    shutil.copytree(tmp_path / "set", elsewhere)
    moved = [elsewhere / file.relative_to(tmp_path / "set") for file in files]
    assert content_hash(moved, tmp_path / "memo") == content_hash(files, tmp_path / "memo 2")


def test_a_second_start_reads_nothing(files, tmp_path, reads, settled):
    first = content_hash(files, tmp_path / "memo")
    assert reads == files
    assert content_hash(files, tmp_path / "memo") == first
    assert reads == files


def test_only_what_changed_is_read_again(files, tmp_path, reads, settled):
    content_hash(files, tmp_path / "memo")
    os.utime(files[0], ns=(1, 1))
    content_hash(files, tmp_path / "memo")
    assert reads == [*files, files[0]]


def test_a_file_of_this_very_moment_is_not_trusted(files, tmp_path, monkeypatch):
    # Two writes within one tick of the file system's clock leave equal size and times.
    now = time.time_ns()
    times = SimpleNamespace(st_size=500, st_mtime_ns=now, st_ctime_ns=now)
    real, paths = os.stat, [*map(str, files)]
    monkeypatch.setattr(os, "stat", lambda p, **kw: times if p in paths else real(p, **kw))
    first = content_hash(files, tmp_path / "memo")
    files[0].write_bytes(b"X" * 500)
    second = content_hash(files, tmp_path / "memo")
    assert second != first
    monkeypatch.setattr(content, "_SETTLED_NS", 0)  # time goes by
    assert content_hash(files, tmp_path / "memo") == second
    files[0].write_bytes(b"Y" * 500)
    assert content_hash(files, tmp_path / "memo") == second


@pytest.mark.parametrize("damage", ["{", "[]", '{"x": 1}', "null"])
def test_a_damaged_memo_is_measured_anew(files, tmp_path, settled, damage):
    first = content_hash(files, tmp_path / "memo")
    (memo,) = (tmp_path / "memo").iterdir()
    memo.write_text(damage)
    assert content_hash(files, tmp_path / "memo") == first
    assert len(json.loads(memo.read_text())) == 2


def test_a_memo_that_cannot_be_written_is_done_without(files, tmp_path):
    (tmp_path / "memo").write_text("a file where the folder should be")
    assert content_hash(files, tmp_path / "memo") == content_hash(files, tmp_path / "other")


def test_a_missing_file_is_named(files, tmp_path):
    files[1].unlink()
    with pytest.raises(DataError, match=r"a data file is missing: .*b\.bin"):
        content_hash(files, tmp_path / "memo")


def test_an_unreadable_file_is_named(files, tmp_path):
    files[1].unlink()
    files[1].mkdir()
    with pytest.raises(
        DataError, match=r"must be readable, but .*b\.bin isn't \(not a regular file"
    ):
        content_hash(files, tmp_path / "memo")


def test_what_was_learned_from_a_file_is_remembered_by_its_contents(files, tmp_path, settled):
    asked = []

    def learn(file: Path = files[0], **settings) -> str:
        def measure() -> str:
            asked.append(file)
            return f"{len(asked)}"

        return content.measure_once(file, settings, measure, tmp_path / "memo")

    assert [learn(), learn()] == ["1", "1"]
    assert learn(key="x") == "2"  # other settings
    assert learn(key="y") == "3"
    assert learn(key="x") == "2"
    files[0].write_bytes(b"other contents")
    assert learn() == "4"
    (tmp_path / "memo").chmod(0o500)
    assert len(asked) == 4
