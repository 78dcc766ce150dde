"""Nothing that lies in the current folder is imported: it may be a stranger's data set."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.watched_shell import STUDY

#: ``python -m`` itself imports these before any code of ours runs.
BEFORE_US = {
    *("__future__", "abc", "codecs", "collections", "contextlib", "encodings", "functools"),
    *("importlib", "io", "keyword", "operator", "os", "reprlib", "runpy", "site", "stat"),
    *("types", "warnings", "sitecustomize", "usercustomize", "pkgutil", "zipimport", "hpsearch"),
}
STUDY_WITH_PLUGIN = STUDY + "plugins: [my_plugin.py]\n"


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A folder with a file for every module of the standard library and of all packages."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    said = str(tmp_path / "ran")
    code = f"open({said!r}, 'a').write(__name__ + '\\n')\nraise ImportError('ran ' + __name__)\n"
    packages = importlib.metadata.packages_distributions()
    for name in {*sys.stdlib_module_names, *packages} - BEFORE_US:
        if name.isidentifier():
            (folder / f"{name}.py").write_text(code)
    (folder / "secretive.yaml").write_text(STUDY)
    return folder


def run(folder: Path, *command: str, **environment: str) -> str:
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("HPSEARCH", "PG", "PYTHON"))
    }
    ran = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env={**clean, "HPSEARCH_DATA": str(folder.parent / "data"), **environment},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    ran_files = folder.parent / "ran"
    assert not ran_files.exists(), f"{ran_files.read_text()}\n{ran.stdout}{ran.stderr}"
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@pytest.fixture
def console_script(tmp_path: Path) -> str:
    """What ``bin/hpsearch`` of an installed package is."""
    script = tmp_path / "bin" / "hpsearch"
    script.parent.mkdir()
    script.write_text("from hpsearch.cli.app import main\nif __name__ == '__main__':\n    main()\n")
    return str(script)


def test_a_launch(hostile: Path, console_script: str) -> None:
    told = run(hostile, console_script, "launch", "--study", "secretive.yaml")
    assert "2 complete" in told


def test_python_m_and_what_it_starts_in_the_background(hostile: Path) -> None:
    told = run(hostile, "-m", "hpsearch", "launch", "--study", "secretive.yaml", "--detach")
    assert "continues in the background" in told
    run(hostile, "-m", "hpsearch", "stop", "--study", "secretive")


def test_processes_that_a_notebook_starts(hostile: Path) -> None:
    # A notebook's own path begins with the current folder, and what it imports from there is its
    # own affair. So everything that the launch needs in this process is imported before.
    code = """
import sys
sys.path[:] = [folder for folder in sys.path if folder]
import multiprocessing.popen_forkserver, multiprocessing.synchronize
import filelock, hpsearch.notebook.launching, hpsearch.workers.launch.preflight
study = hpsearch.open_study("secretive.yaml")
study.is_stored
sys.path.insert(0, "")
print(study.launch(workers=1), sys.path[0] == "")
"""
    assert run(hostile, "-c", code).endswith("True\n")


def test_plugins_and_the_users_own_path_work_all_the_same(
    hostile: Path, tmp_path: Path, console_script: str
) -> None:
    lib = tmp_path / "lib"
    lib.mkdir()
    (lib / "width_of_mine.py").write_text("WIDTH = 16\n")
    (hostile / "my_plugin.py").write_text(
        "from torch import nn\n"
        "from width_of_mine import WIDTH\n"
        "from hpsearch.training.registries import MODELS\n\n\n"
        "@MODELS.register('narrow')\n"
        "def narrow(input_shape, classes, /):\n"
        "    inputs = input_shape[0] * input_shape[1] * input_shape[2]\n"
        "    layers = nn.Flatten(), nn.Linear(inputs, WIDTH), nn.Linear(WIDTH, classes)\n"
        "    return nn.Sequential(*layers)\n"
    )
    study = STUDY_WITH_PLUGIN.replace("model: {mlp: {hidden: [16]}}", "model: narrow")
    (hostile / "secretive.yaml").write_text(study)
    command = (console_script, "launch", "--study", "secretive.yaml")
    told = run(hostile, *command, PYTHONPATH=str(lib))
    assert "2 complete" in told
