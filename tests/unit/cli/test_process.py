"""What a command meets before it begins: signals, a folder that is gone, odd sizes."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys

import pytest
from PIL import Image

from hpsearch.cli import app, process

#: A command that gets a signal while it reads its study file.
ENDED_EARLY = """
import os, signal, sys
import hpsearch.cli.process
import hpsearch.cli.commands.launch as launch
from hpsearch.errors import UserError
{before}
def read(*_):
    os.kill(os.getpid(), signal.{number})
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
            os.kill(os.getpid(), signal.{number})
sys.meta_path.insert(0, Finder())
hpsearch.cli.process.main()
"""


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.mark.parametrize("code", [ENDED_EARLY, ENDED_AMID_IMPORTS])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_before_a_command_has_begun_is_told(code, number):
    ran = run(sys.executable, "-c", code.format(before="", number=number.name))
    assert ran.returncode == 128 + number
    assert ran.stderr == f"error: ended by {number.name} before the command had finished\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_whoever_ignores_a_signal_is_left_in_peace(number):
    """As `nohup` does with SIGHUP."""
    ignores = f"signal.signal(signal.{number.name}, signal.SIG_IGN)"
    ran = run(sys.executable, "-c", ENDED_EARLY.format(before=ignores, number=number.name))
    assert (ran.returncode, ran.stderr) == (2, "error: still here\n")


STUDY = """
study: large
budget: {trials: 1, epochs_per_trial: 1}
data: {source: {image_folder: {path: pictures}}, input_size: 8}
model: {mlp: {hidden: [4]}}
optimizer: {sgd: {lr: 0.1}}
"""


def test_pillows_warning_of_a_large_picture_is_not_shown(tmp_path, monkeypatch):
    """We refuse the picture by its name; Pillow warns of it in words that help nobody."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    for name in "ab":
        folder = tmp_path / "pictures" / name
        folder.mkdir(parents=True)
        for number in range(4):
            Image.new("L", (8, 8), number).save(folder / f"{number}.png")
    Image.new("1", (9500, 9500)).save(tmp_path / "pictures" / "a" / "large.png")  # 11 kB
    (tmp_path / "study.yaml").write_text(STUDY)
    environment = {"HPSEARCH_DATA": str(tmp_path / "data"), "PYTHONWARNINGS": ""}
    ran = run(sys.executable, "-m", "hpsearch", "check", f"{tmp_path}/study.yaml", **environment)
    assert ran.returncode == 2
    (line,) = ran.stderr.splitlines()
    assert "large.png (9,500 x 9,500 pixels" in line


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


@pytest.mark.parametrize(("asked", "shown"), [((), False), (("-W", "default"), True)])
def test_pillows_warning_is_hidden_where_a_plug_in_opens_it_unless_asked_for(
    tmp_path, monkeypatch, asked, shown
):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    picture = tmp_path / "large.png"
    Image.new("1", (9500, 9500)).save(picture)
    code = "import sys; from hpsearch.cli.process_setup import set_up; set_up(); "
    code += "from PIL import Image; Image.open(sys.argv[1])"
    ran = run(sys.executable, *asked, "-c", code, str(picture), PYTHONWARNINGS="")
    assert ran.returncode == 0
    assert ("DecompressionBombWarning" in ran.stderr) is shown


@pytest.mark.parametrize("size", ["0", "1", "999999999"])
def test_a_terminal_size_that_nobody_can_read_is_not_used(size):
    ran = run(sys.executable, "-m", "hpsearch", "--help", COLUMNS=size, LINES=size)
    assert ran.returncode == 0
    assert "Hyperparameter search for image classifiers." in ran.stdout
    assert max(map(len, ran.stdout.splitlines())) <= 80


def test_the_garbage_collector_begins_when_imports_are_over(monkeypatch):
    usual, callbacks, seen = gc.get_threshold(), list(gc.callbacks), []
    monkeypatch.setattr(sys, "argv", ["hpsearch", "--version"])
    monkeypatch.setattr(app, "run_command", lambda _: seen.append(gc.get_threshold()) or 0)
    with pytest.raises(SystemExit):
        process.main()
    assert seen[0][0] > 500_000
    gc.collect()
    assert (gc.get_threshold(), gc.callbacks) == (usual, callbacks)
