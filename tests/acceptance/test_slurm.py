"""The Slurm script of docs/deployment.md on a real Slurm of two nodes."""

from __future__ import annotations

import json
import re
import shlex
import sys
from contextlib import closing
from pathlib import Path

from support.processes import _without_main_module
from support.sites import study_text
from support.slurm import Slurm, wait_until

from hpsearch.exit_codes import MORE_TO_DO
from hpsearch.search.database.storage import Database
from hpsearch.search.ledger import queries, studies
from hpsearch.search.ledger.events import EventKind, event_log

PAGE = (Path(__file__).parents[2] / "docs" / "deployment.md").read_text()


def script_of_the_page(folder: Path, data: Path, hold: Path) -> Path:
    """Return the page's script, with this machine's paths, three tasks and no GPU."""
    (text,) = re.findall(r"```bash\n(#!/bin/bash\n#SBATCH.+?)```", PAGE, flags=re.DOTALL)
    own = f"{shlex.quote(sys.executable)} -m hpsearch"
    for old, new in {
        "--array=1-8": "--array=1-3",
        "#SBATCH --gres=gpu:1\n": "",
        "--cpus-per-task=4": "--cpus-per-task=1",
        "--time=04:00:00": "--time=01:00:00",
        "HPSEARCH_STORAGE_FILE=$HOME/.config/hpsearch/storage":
            f"HPSEARCH_STORAGE=sqlite:///{folder}/hpsearch.db",
        "/shared/hpsearch/runs": f"{folder}/runs",
        "/shared/hpsearch/data": str(data),
        "hpsearch worker --study my_study":
            f"{own} worker --study batch --device cpu --checkpoint-interval 0.001",
    }.items():  # fmt: skip
        assert old in text, old
        text = text.replace(old, new)
    told = f"kill -TERM $worker; touch {folder}/told-$SLURM_ARRAY_TASK_ID"
    assert text.count("kill -TERM $worker") == 2
    text = text.replace("kill -TERM $worker", told)
    first, _, rest = text.partition("\nexport ")
    held = f"\nexport HPSEARCH_WAIT_AT=epoch_reported:1:{hold}"
    script = folder / "batch.sh"
    script.write_text(f"{first}{held}\nexport {rest}")
    return script


def wait_for(condition, what: str, slurm: Slurm) -> None:
    wait_until(condition, what, slurm.config.parent)


def test_tasks_leave_come_back_and_end_by_their_exit_codes(slurm, shell, hpsearch):
    (shell.folder / "study.yaml").write_text(study_text("batch", trials=5))
    with _without_main_module():
        assert hpsearch("launch", "--study", "study.yaml", "--workers", "0").code == 0
    hold = shell.folder / "hold"
    hold.touch()
    script = script_of_the_page(shell.folder, shell.data, hold)
    output = f"{shell.folder}/task-%a.txt"
    job = slurm.run("sbatch", "--parsable", f"--output={output}", str(script))

    with closing(Database(f"sqlite:///{shell.folder}/hpsearch.db")) as database:
        study_id = studies.find(database, "batch").study_id

        def epochs() -> int:
            return queries.counts(database, study_id).epochs_run

        wait_for(lambda: epochs() == 3, "epoch of each task", slurm)
        assert slurm.states(job) == dict.fromkeys("123", "RUNNING")
        # What Slurm does before a time limit, and what a person does for good
        slurm.run("scancel", "--signal=USR1", "--batch", f"{job}_1")
        slurm.run("scancel", f"{job}_3")
        told = [shell.folder / f"told-{task}" for task in (1, 3)]
        wait_for(lambda: all(each.exists() for each in told), "signals", slurm)
        hold.unlink()

        wait_for(lambda: slurm.field(f"{job}_1", "Restarts") == "1", "requeued task", slurm)
        wait_for(lambda: slurm.states(job)["2"] == "COMPLETED", "finished study", slurm)
        counts = queries.counts(database, study_id)
        assert (counts.total, counts.complete) == (5, 5)
        left = [each for each in event_log(database, study_id) if each.kind == EventKind.RELEASED]
        assert len({each.owner for each in left}) == 2

    # The requeued task waits for two minutes before Slurm starts it again
    slurm.run("scontrol", "update", f"jobid={job}_1", "StartTime=now+3")
    wait_for(lambda: slurm.states(job)["1"] == "COMPLETED", "end of the requeued task", slurm)
    states = slurm.states(job)
    assert (states["1"], states["2"], states["3"]) == ("COMPLETED", "COMPLETED", "CANCELLED")
    assert slurm.field(f"{job}_3", "Restarts") == "0"
    health = json.loads(shell.done("doctor", "--study", "batch", "--json"))
    assert (health["well"], health["checked"]["epochs"]) == (True, 15)


def test_a_worker_that_has_to_leave_says_so_by_its_exit_code(shell, hpsearch):
    (shell.folder / "study.yaml").write_text(study_text("batch", trials=500))
    with _without_main_module():
        assert hpsearch("launch", "--study", "study.yaml", "--workers", "0").code == 0
    left = shell.run("worker", "--study", "batch", "--device", "cpu", "--leave-after", "1s")
    assert left.returncode == MORE_TO_DO, left.stderr
    assert "stopped working on study batch: asked to leave" in left.stdout
    assert "Traceback" not in left.stderr
