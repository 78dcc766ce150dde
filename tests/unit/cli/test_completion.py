"""Tab, through the protocol by which bash, zsh and fish ask, and through a real bash."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

#: What a key press can't wait for.
SLOW = ("torch", "optuna", "sqlalchemy", "pydantic_core._pydantic_core", "numpy", "scipy")


def ask(shell: str, words: str, folder: Path, **environment: str) -> str:
    """Return what ``hpsearch`` answers where the command line holds ``words``."""
    given = words.split(" ")
    asked = {
        "_HPSEARCH_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(given) - 1),
        "_TYPER_COMPLETE_ARGS": words,
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }
    clean = {key: value for key, value in os.environ.items() if not key.startswith("HPSEARCH")}
    done = subprocess.run(
        [sys.executable, "-m", "hpsearch"],
        cwd=folder,
        env={**clean, **asked, **environment},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.stderr == ""
    return done.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with two study files of its own, one of an evil name."""
    studies = tmp_path / "studies"
    studies.mkdir()
    (studies / "my_leaves.yaml").write_text("study: my_leaves")
    (studies / "my_$(touch evil).yaml").write_text("study: my_evil")
    return tmp_path


class TestEachShell:
    def test_commands(self, folder) -> None:
        found = set(ask("bash", "hpsearch st", folder).split())
        assert found == {"status", "stop", "storage", "studies"}

    def test_options(self, folder) -> None:
        told = ask("zsh", "hpsearch launch --work", folder)
        assert '"--workers"' in told
        assert '"--workers-per-gpu"' in told

    @pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
    def test_study_files(self, folder, shell) -> None:
        told = ask(shell, "hpsearch launch --study my_", folder)
        assert "my_leaves" in told
        assert "evil" not in told

    @pytest.mark.parametrize("shell", ["bash", "fish"])
    def test_stored_studies(self, searched: Any, folder, shell) -> None:
        environment = {"HPSEARCH_STORAGE": searched.url}
        assert ask(shell, "hpsearch status --study ma", folder, **environment).strip() == "made_up"

    def test_stored_studies_of_the_storage_in_the_line(self, searched: Any, folder) -> None:
        line = f"hpsearch show --storage {searched.url} --study "
        assert ask("fish", line, folder).strip() == "made_up"

    @pytest.mark.parametrize(
        "storage", ["sqlite:///none.db", "nonsense", "postgresql://127.0.0.1:1/x"]
    )
    def test_where_there_is_no_database_it_is_quiet(self, folder, storage) -> None:
        assert ask("bash", "hpsearch stop -s m", folder, HPSEARCH_STORAGE=storage).strip() == ""
        assert not (folder / "none.db").exists()

    def test_trackers_with_what_they_are(self, folder) -> None:
        told = ask("fish", "hpsearch launch --track t", folder)
        assert told.strip() == "tensorboard\tevent files below the runs folder"


def test_the_names_of_the_trackers_are_all_of_them() -> None:
    import hpsearch.tracking.builtin  # noqa: F401
    from hpsearch.cli.completion import TRACKERS
    from hpsearch.tracking import tracker

    built_in = {
        each.name for each in tracker.TRACKERS if each.build.__module__.startswith("hpsearch.")
    }
    assert set(TRACKERS) == built_in


@pytest.mark.parametrize("words", ["hpsearch launch --study q", "hpsearch status --study m"])
def test_nothing_slow_is_imported(searched: Any, words: str) -> None:
    code = (
        "import json, sys\n"
        "from hpsearch.cli.app import main\n"
        "try: main([])\n"
        "except SystemExit: pass\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={
            **os.environ,
            "HPSEARCH_STORAGE": searched.url,
            "_HPSEARCH_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": "3",
        },
        capture_output=True,
        text=True,
        check=True,
        timeout=240,
    )
    *told, modules = done.stdout.splitlines()
    assert told
    assert {name.partition(".")[0] for name in json.loads(modules)}.isdisjoint(SLOW)


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_a_real_bash_completes(folder) -> None:
    bin_folder = folder / "bin"
    bin_folder.mkdir()
    script = bin_folder / "hpsearch"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -m hpsearch "$@"\n')
    script.chmod(0o755)
    lines = (
        'eval "$(hpsearch --show-completion)"\n'
        "complete -p hpsearch\n"
        "hpsearch --install-completion > /dev/null\n"
        "COMPREPLY=()\n"
        ". ~/.bashrc\n"
        "COMP_WORDS=(hpsearch launch --study my_)\n"
        "COMP_CWORD=3\n"
        "_hpsearch_completion hpsearch\n"
        'echo "${COMPREPLY[@]}"\n'
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", lines],
        cwd=folder,
        env={**os.environ, "PATH": f"{bin_folder}:{os.environ['PATH']}", "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=True,
        timeout=240,
    )
    registered, completed = done.stdout.strip().splitlines()
    assert "_hpsearch_completion hpsearch" in registered
    assert completed == "my_leaves"
    assert not (folder / "evil").exists()
