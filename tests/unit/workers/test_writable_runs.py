"""A launch is refused at once where no worker could keep a checkpoint."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from support.commands import Ran

from hpsearch import durable_files
from hpsearch.errors import UserError
from hpsearch.workers.launch.launching import require_writable


def test_a_folder_that_is_yet_to_be_made_is_fine_and_is_not_made(tmp_path: Path) -> None:
    require_writable(tmp_path / "runs" / "deeper")
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("not a folder")
    with pytest.raises(UserError, match=f"{tmp_path}/runs isn't a folder.*--runs or HPSEARCH_RUNS"):
        require_writable(tmp_path / "runs" / "deeper")


def test_a_disk_that_is_read_only_is_named(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting a file system needs root")
    command = ["mount", "-t", "tmpfs", "-o", "ro,size=64k", "tmpfs", str(tmp_path)]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("a file system can't be mounted here")
    try:
        with pytest.raises(UserError, match="Read-only file system"):
            require_writable(tmp_path / "runs")
    finally:
        subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)


def test_a_full_disk_is_waited_for_and_not_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(**_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(durable_files.tempfile, "TemporaryFile", full)
    require_writable(tmp_path / "runs")


def test_a_launch_creates_nothing(hpsearch: Callable[..., Ran], here: Path) -> None:
    (here / "runs").write_text("not a folder")
    ran = hpsearch("launch", "--study", "quickstart")
    assert ran.code == 2
    assert ran.err.startswith("error: checkpoints are written into the runs folder")
    assert ran.err.count("\n") == 1
    assert [path.name for path in here.iterdir()] == ["runs"]
