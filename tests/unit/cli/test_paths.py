from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from hpsearch.cli import paths
from hpsearch.cli.paths import takes_paths
from hpsearch.errors import UserError

TEXT = b"study: piped\n"


@pytest.fixture
def command():
    """A command that returns what it was given."""
    seen: list[dict[str, object]] = []

    def call(**given: object) -> dict[str, object]:
        takes_paths(lambda **got: seen.append(got))(**given)
        return seen[-1]

    return call


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_home_folders_that_no_shell_has_replaced(home, command):
    given = command(runs=Path("~/x"), pictures=[Path("~"), Path("a~")], name="~/x", none=None)
    assert given["runs"] == home / "x"
    assert given["pictures"] == [home, Path("a~")]
    assert (given["name"], given["none"]) == ("~/x", None)


def test_the_variable_of_the_runs_folder(hpsearch, home, monkeypatch):
    monkeypatch.setenv("HPSEARCH_RUNS", "~/runs")
    home.mkdir()
    (home / "runs").write_text("not a folder")
    Path("mine.yaml").write_text(
        "study: mine\nbudget: {trials: 1, epochs_per_trial: 1}\ndata: {source: digits}\n"
        "model: {mlp: {hidden: [8]}}\noptimizer: {sgd: {lr: 0.1}}\n"
    )
    ran = hpsearch("launch", "--study", "mine.yaml")
    assert ran.code == 2
    assert f"the runs folder {home / 'runs'}" in ran.err
    assert not Path("~").exists()


def read_twice(study: str) -> list[bytes]:
    seen: list[bytes] = []

    @takes_paths
    def read(study: str) -> None:
        assert Path(study).resolve().parent == Path.cwd()  # what it names is relative to that
        seen.extend([Path(study).read_bytes(), Path(study).read_bytes()])

    read(study=study)
    return seen


def test_a_study_file_in_a_pipe_is_read_more_than_once(here):
    read, write = os.pipe()
    os.write(write, TEXT)
    os.close(write)
    try:
        assert read_twice(f"/dev/fd/{read}") == [TEXT, TEXT]
    finally:
        os.close(read)
    assert list(here.iterdir()) == []


def test_a_named_pipe_is_read_when_its_writer_comes(here):
    os.mkfifo("piped.yaml")
    writer = threading.Thread(target=lambda: Path("piped.yaml").write_bytes(TEXT))
    writer.start()
    assert read_twice("piped.yaml") == [TEXT, TEXT]
    writer.join()


def test_a_pipe_that_nobody_writes_to_is_not_waited_for(here, monkeypatch):
    monkeypatch.setattr(paths, "_SECONDS", 0.05)
    os.mkfifo("silent.yaml")
    with pytest.raises(UserError, match=r"nothing came from silent\.yaml for 0\.05 s; save it"):
        read_twice("silent.yaml")


def test_devices_are_no_study_files(here):
    with pytest.raises(UserError, match="must be a file or a pipe, but /dev/zero is neither"):
        read_twice("/dev/zero")


@pytest.mark.parametrize("study", ["mine.yaml", "no_such.yaml", "quickstart", "nul\0.yaml"])
def test_files_are_read_where_they_are(here, command, study):
    Path("mine.yaml").write_bytes(TEXT)
    assert command(study=study)["study"] == study
