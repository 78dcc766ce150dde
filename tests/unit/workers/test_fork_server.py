from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys

import pytest

from hpsearch.errors import UserError
from hpsearch.workers.launch.fork_server import start_fork_server

CODE = """
import multiprocessing.connection, socket, tempfile
from hpsearch.workers.launch import fork_server
fork_server._make_socket_folder()
with socket.socket(socket.AF_UNIX) as listening:
    listening.bind(multiprocessing.connection.arbitrary_address("AF_UNIX"))
print(tempfile.gettempdir())
"""


def make_socket(tmpdir: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", CODE],
        env={**os.environ, "TMPDIR": tmpdir},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.mark.parametrize("length", [60, 80, 110, 250])
def test_sockets_find_a_place_whatever_tmpdir_is(tmp_path, length):
    folder = tmp_path / ("x" * max(1, length - len(str(tmp_path)) - 1))
    folder.mkdir()
    process = make_socket(str(folder))
    assert process.returncode == 0, process.stderr
    assert process.stdout.strip() == str(folder)  # of other temporary files it stays the place


def test_a_daemonic_process_is_told_that_it_may_have_no_children(monkeypatch):
    monkeypatch.setitem(multiprocessing.current_process()._config, "daemon", True)
    with pytest.raises(UserError, match="start that process with daemon=False"):
        start_fork_server()
