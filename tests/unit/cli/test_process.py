"""What a command meets before it begins: signals, a folder that is gone, odd sizes."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

#: A command that gets SIGTERM while it reads its study file.
ENDED_EARLY = """
import os, signal, sys
import hpsearch.cli.process
import hpsearch.cli.commands.launch as launch
from hpsearch.errors import UserError
{before}
def read(*_):
    os.kill(os.getpid(), signal.SIGTERM)
    raise UserError("still here")
launch.definition_of = read
sys.argv = ["hpsearch", "launch", "--study", "x"]
hpsearch.cli.process.main()
"""
ENDED_AMID_IMPORTS = """
import os, signal, sys
import hpsearch.cli.process
class Finder:
    def find_spec(self, name, *_):
        if name == "typer":
            os.kill(os.getpid(), signal.SIGTERM)
sys.meta_path.insert(0, Finder())
hpsearch.cli.process.main()
"""


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("code", [ENDED_EARLY.format(before=""), ENDED_AMID_IMPORTS])
def test_sigterm_before_a_command_has_begun_is_told(code):
    ran = run(sys.executable, "-c", code)
    assert ran.returncode == 143
    assert ran.stderr == "error: ended by SIGTERM before the command had finished\n"


def test_whoever_ignores_sigterm_is_left_in_peace():
    ignores = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"
    ran = run(sys.executable, "-c", ENDED_EARLY.format(before=ignores))
    assert (ran.returncode, ran.stderr) == (2, "error: still here\n")


def test_a_current_folder_that_was_deleted(tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    ran = run(
        "sh",
        "-c",
        'cd "$0" && rmdir "$0" && exec "$1" -m hpsearch status --study x',
        str(gone),
        sys.executable,
    )
    assert ran.returncode == 2
    assert ran.stderr.startswith("error: the current folder must exist")
    assert "change to another folder (cd) first" in ran.stderr


@pytest.mark.parametrize("size", ["0", "1", "999999999"])
def test_a_terminal_size_that_nobody_can_read_is_not_used(size):
    ran = run(sys.executable, "-m", "hpsearch", "--help", COLUMNS=size, LINES=size)
    assert ran.returncode == 0
    assert "Hyperparameter search for image classifiers." in ran.stdout
    assert max(map(len, ran.stdout.splitlines())) <= 80
