from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from hpsearch.cli import detached
from hpsearch.errors import UserError
from hpsearch.workers.run_config import RunConfig

URL = "postgresql://me:hush@db/search"


def config(runs: Path, **others: object) -> RunConfig:
    given = {"workers": 2, "runs": runs, "timeout": 90.0, "data": Path("/data"), **others}
    return RunConfig(storage=URL, **given)  # type: ignore[arg-type]


def test_the_same_launch_without_its_password(tmp_path):
    arguments = detached.arguments(config(tmp_path), "mine.yaml", ["a.b={x: 1}"], "other")
    assert arguments == [
        "launch",
        "--study=mine.yaml",
        "--workers=2",
        "--devices=auto",
        "--lease=30.0",
        "--checkpoint-interval=30.0",
        f"--runs={tmp_path}",
        "--set=a.b={x: 1}",
        "--name=other",
        "--timeout=90.0s",
        "--data=/data",
    ]


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Put a script in Python's place that reports what it was given."""

    def put(ending: str) -> Path:
        script = tmp_path / "python"
        script.write_text(
            f"#!{sys.executable}\n"
            "import os, signal, sys, time\n"
            "print(sys.argv[1:5], os.environ['HPSEARCH_STORAGE'], os.getsid(0) == os.getpid())\n"
            "print(signal.getsignal(signal.SIGHUP).name)\n"
            "sys.stdout.flush()\n"
            f"{ending}\n"
        )
        script.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(script))
        return script

    return put


def test_it_runs_in_a_session_of_its_own_and_logs(tmp_path, stand_in):
    stand_in("")
    launch = detached.start(config(tmp_path), "mine", study="mine", overrides=[], name=None)
    assert launch.log == tmp_path / "mine" / "launch.log"
    assert launch.log.read_text() == f"['-P', '-m', 'hpsearch', 'launch'] {URL} True\nSIG_IGN\n"
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL, "only the launch ignores it"


def test_it_is_left_alone_once_it_has_begun(tmp_path, stand_in):
    stand_in("os.write(int(os.environ['HPSEARCH_BEGUN_FD']), b'1'); time.sleep(600)")
    launch = detached.start(config(tmp_path), "mine", study="mine", overrides=[], name=None)
    os.kill(launch.pid, signal.SIGKILL)
    assert os.waitpid(launch.pid, 0)[1] == signal.SIGKILL  # it ran until now


def test_it_says_that_it_has_begun_by_a_descriptor_that_no_child_inherits(monkeypatch):
    read, write = os.pipe()
    os.set_inheritable(write, True)
    monkeypatch.setenv("HPSEARCH_BEGUN_FD", str(write))
    notify_start = detached.start_notifier()
    assert "HPSEARCH_BEGUN_FD" not in os.environ
    assert not os.get_inheritable(write)
    notify_start()
    notify_start()
    with os.fdopen(read, "rb") as pipe:
        assert pipe.read() == b"1"


def test_a_launch_that_fails_at_once_tells_why(tmp_path, stand_in):
    stand_in("print('error: no room'); sys.exit(2)")
    log = tmp_path / "mine" / "launch.log"
    log.parent.mkdir()
    log.write_text("an earlier launch\n")
    with pytest.raises(UserError) as raised:
        detached.start(config(tmp_path), "mine", study="mine", overrides=[], name=None)
    assert str(raised.value).startswith("the launch in the background ended at once:\n['-P'")
    assert str(raised.value).endswith("error: no room")
    assert log.read_text().startswith("an earlier launch\n")


def test_a_log_that_cant_be_written(tmp_path):
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(UserError, match=r"writes to .*launch\.log, but that failed"):
        detached.start(config(tmp_path / "runs"), "mine", study="mine", overrides=[], name=None)


def test_it_is_told_how_to_follow_and_stop(capsys):
    launch = detached.BackgroundLaunch(study="mine", pid=4711, log=Path("runs/mine/launch.log"))
    detached.tell(launch, as_json=False)
    told = capsys.readouterr().out
    assert "process 4711" in told
    assert "tail -f runs/mine/launch.log" in told
    assert "hpsearch stop --study mine" in told
