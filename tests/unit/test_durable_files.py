"""A file is replaced completely or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hpsearch.durable_files import remove_unfinished, replacing, write_file


@pytest.mark.parametrize("content", ["text: é", b"bytes", memoryview(b"bytes")])
def test_a_file_is_written_whole_into_a_folder_that_is_made(
    tmp_path: Path, content: str | bytes | memoryview
) -> None:
    path = tmp_path / "deeper" / "notes"
    write_file(path, content)
    assert path.read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = tmp_path / "notes.json"
    write_file(path, "old")

    def refuse(*_: object) -> None:
        raise OSError("no room")

    monkeypatch.setattr(os, step, refuse)
    with pytest.raises(OSError, match="no room"):
        write_file(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_two_writers_of_one_file_use_different_names(tmp_path: Path) -> None:
    path = tmp_path / "notes"
    with replacing(path) as one, replacing(path) as other:
        one.write_text("one")
        other.write_text("other")
    assert path.read_text() == "one"  # the last to finish
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_writer_left_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "notes"
    write_file(path, "old")
    with replacing(path) as unfinished:
        unfinished.write_text("new")
        (tmp_path / f"{unfinished.name}").rename(tmp_path / f".killed{unfinished.name}")
        unfinished.write_text("new")
    remove_unfinished(tmp_path)
    assert list(tmp_path.iterdir()) == [path]
