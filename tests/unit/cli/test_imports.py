from __future__ import annotations

import json
import subprocess
import sys

import pytest

#: What makes a start slow; a command imports it when it runs. (Typer itself imports pydantic.)
SLOW = ("torch", "torchvision", "optuna", "sqlalchemy", "alembic", "numpy", "scipy", "sklearn")


@pytest.mark.parametrize(
    "code",
    [
        pytest.param("import hpsearch.cli.app", id="the import"),
        pytest.param(
            "from hpsearch.cli.app import run_command; assert run_command(['--help']) == 0",
            id="--help",
        ),
        pytest.param(
            "from hpsearch.cli.app import run_command; assert run_command(['launch', '-h']) == 0",
            id="launch --help",
        ),
        pytest.param(
            "from hpsearch.cli.app import run_command;"
            "assert run_command(['launch', '--study', 'x', '--workers', '0']) == 2",
            id="a wrong option",
        ),
        pytest.param(
            "from pathlib import Path; Path('bad.yaml').write_text('study: [a');"
            "from hpsearch.cli.app import run_command;"
            "assert run_command(['check', 'bad.yaml']) == 2;"
            "assert run_command(['launch', 'bad.yaml', '--workers', '0']) == 2",
            id="a file that isn't YAML",
        ),
    ],
)
def test_nothing_slow_is_imported(code, tmp_path):
    report = f"{code}; import json, sys; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", report],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=240,
    )
    imported = {name.partition(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}
    assert imported.isdisjoint(SLOW), imported & set(SLOW)
