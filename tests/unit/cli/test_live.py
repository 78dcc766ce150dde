from __future__ import annotations

import io
import re
import sys
from dataclasses import replace

import pytest
from rich.console import Console

from hpsearch.cli.terminal import live
from hpsearch.search.ledger.queries import Counts
from hpsearch.workers.launch.allocation import WorkerAllocation
from hpsearch.workers.launch.preview import Preview
from hpsearch.workers.launch.progress import Progress, WorkerStatus
from hpsearch.workers.launch.timing import TimeRange

COUNTS = Counts(
    total=9,
    complete=3,
    pruned=4,
    failed=0,
    running=2,
    paused=0,
    infeasible=1,
    epochs_run=40,
    compute_seconds=80.0,
)
PROGRESS = Progress(
    counts=COUNTS,
    budget_trials=12,
    epochs_per_second=2.5,
    seconds_left=TimeRange(low=95.0, high=300.0),
    best=(4, 0.9123),
    workers=(
        WorkerStatus(
            owner="host:1:a", pid=4711, device="cpu", state="training", number=8, epoch=2, ticket=8
        ),
        WorkerStatus(owner="other:2:b", pid=None, device="on other", state="idle"),
    ),
    messages=("trial 7 pruned at epoch 3 (val_accuracy [0.41])",),
    elapsed=33.0,
)
PREVIEW = Preview(
    study="mine",
    trials=12,
    epochs_per_trial=3,
    epochs_total=36,
    finished=2,
    parameters=5,
    time=TimeRange(low=180.0, high=185.0),
    disk_bytes=21_700,
    devices=("cuda:0", "cuda:1", "cuda:0"),
    most_per_device=None,
    threads_per_worker=1,
    new=False,
    allocation=WorkerAllocation(devices=["cuda:0", "cuda:1", "cuda:0"], threads=1),
    completion="about 4 of them will complete",
)


@pytest.mark.parametrize(
    ("preview", "says"),
    [
        pytest.param(
            replace(PREVIEW, devices=("cuda:0", "cuda:1"), most_per_device=8),
            "mine (2 trials finished before)\n"
            "10 trials of up to 3 epochs over 5 parameters; workers: 1 on cuda:0, 1 on cuda:1, "
            "1 thread each; up to 8 on each as long as the throughput rises\n"
            "about 3 min 05 s if nothing is pruned, up to 21.7 kB for checkpoints\n"
            "about 4 of them will complete\n",
            id="as many as pay",
        ),
        pytest.param(
            PREVIEW,
            "mine (2 trials finished before)\n"
            "10 trials of up to 3 epochs over 5 parameters; workers: 2 on cuda:0, 1 on cuda:1, "
            "1 thread each\n"
            "about 3 min 05 s if nothing is pruned, up to 21.7 kB for checkpoints\n"
            "about 4 of them will complete\n",
            id="goes on",
        ),
        pytest.param(
            replace(PREVIEW, trainings_per_trial=5),
            "mine (2 trials finished before)\n"
            "10 trials of up to 5 x 3 epochs over 5 parameters; workers: 2 on cuda:0, 1 on cuda:1, "
            "1 thread each\n"
            "each trial trains 5 models, one for each fold or split: 150 epochs in all\n"
            "about 3 min 05 s if nothing is pruned, up to 21.7 kB for checkpoints\n"
            "about 4 of them will complete\n",
            id="folds",
        ),
        pytest.param(
            replace(PREVIEW, new=True, finished=0, time=None, devices=("cpu",)),
            "mine (new)\n"
            "12 trials of up to 3 epochs over 5 parameters; workers: 1 on cpu, 1 thread each\n"
            "its time isn't known, up to 21.7 kB for checkpoints\n"
            "about 4 of them will complete\n",
            id="new, and its time couldn't be measured",
        ),
        pytest.param(
            replace(PREVIEW, time=TimeRange(low=15.0, high=143.0)),
            "mine (2 trials finished before)\n"
            "10 trials of up to 3 epochs over 5 parameters; workers: 2 on cuda:0, 1 on cuda:1, "
            "1 thread each\n"
            "15 s to 2 min 23 s if nothing is pruned, up to 21.7 kB for checkpoints\n"
            "about 4 of them will complete\n",
            id="a machine with other work",
        ),
        pytest.param(
            replace(PREVIEW, devices=("cpu",), threads_per_worker=2),
            "mine (2 trials finished before)\n"
            "10 trials of up to 3 epochs over 5 parameters; workers: 1 on cpu, up to 2 threads "
            "each\n"
            "about 3 min 05 s if nothing is pruned, up to 21.7 kB for checkpoints\n"
            "about 4 of them will complete\n",
            id="a small network takes fewer threads",
        ),
        pytest.param(
            replace(PREVIEW, warnings=("2 of the 9 images are copies",)),
            "mine (2 trials finished before)\n"
            "10 trials of up to 3 epochs over 5 parameters; workers: 2 on cuda:0, 1 on cuda:1, "
            "1 thread each\n"
            "about 3 min 05 s if nothing is pruned, up to 21.7 kB for checkpoints\n"
            "about 4 of them will complete\n"
            "warning: 2 of the 9 images are copies\n",
            id="a warning",
        ),
        pytest.param(
            replace(PREVIEW, finished=12),
            "mine (12 trials finished before)\n"
            "the budget of 12 trials is finished; --trials asks for more\n",
            id="nothing left",
        ),
    ],
)
def test_the_cost_is_told_first(capsys, preview, says):
    live.print_preview(preview)
    assert capsys.readouterr().out == says


def test_without_a_terminal_events_are_lines(capsys):
    with live.presenter("val_accuracy") as present:
        present(PROGRESS)
        present(replace(PROGRESS, messages=()))
    (line,) = capsys.readouterr().out.splitlines()
    assert line[8:] == " [7/12] trial 7 pruned at epoch 3 (val_accuracy [0.41])"


def test_with_json_the_lines_go_to_stderr(capsys):
    with live.presenter("val_accuracy", stderr=True) as present:
        present(PROGRESS)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "trial 7 pruned" in captured.err


def test_figures_come_now_and_then(capsys, monkeypatch):
    clock = iter([0.0, 10.0, 30.0, 30.0, 40.0])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    present = live.Lines("val_accuracy")
    for _ in range(3):
        present(replace(PROGRESS, messages=()))
    (line,) = capsys.readouterr().out.splitlines()
    assert line[8:] == (
        " [7/12] 3 complete, 4 pruned (57 %), 2 running; best 91.23 %; 2.50 epochs/s; "
        "1 min 35 s to 5 min 00 s left"
    )


@pytest.mark.parametrize(("complete", "shown"), [(0, True), (3, False)])
def test_an_ablation_compares_and_has_no_best(complete, shown):
    counts = replace(COUNTS, complete=complete)
    page = live.Page("val_accuracy")
    screen = Console(file=io.StringIO(), width=120, force_terminal=False, markup=False)
    screen.print(page.render(replace(PROGRESS, counts=counts, best=None, messages=())))
    assert ("best val_accuracy -" in screen.file.getvalue()) is shown


def test_the_live_page_shows_figures_workers_and_the_last_messages():
    page = live.Page("val_accuracy")
    screen = Console(file=io.StringIO(), width=120, force_terminal=False, markup=False)
    for number in range(7):
        rendered = page.render(replace(PROGRESS, messages=(f"message {number} [bold]",)))
    screen.print(rendered)
    told = screen.file.getvalue()
    assert "7/12" in told
    assert "91.23 % (4)" in told
    assert "1 min 35 s to 5 min 00 s left" in told
    assert "4711" in told
    assert "other:2:b" in told
    assert "message 1" not in told
    assert "message 2 [bold]" in told
    assert "message 6 [bold]" in told


MANY = tuple(
    WorkerStatus(
        owner=f"a-host-with-quite-a-long-name-{number}:12345:0a1b2c3d",
        pid=None,
        device=f"on a-host-with-quite-a-long-name-{number}",
        state="idle" if number % 3 else "training",
        number=number,
        epoch=2,
    )
    for number in range(100)
)


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("height", [12, 24, 50])
def test_the_page_fits_the_screen_whatever_it_has_to_tell(width, height):
    page = live.Page("val_balanced_accuracy")
    screen = Console(file=io.StringIO(), width=width, height=height, markup=False)
    long = tuple(f"trial {n} was interrupted ({'x' * 500}\x1b[31m)" for n in range(9))
    counts = replace(COUNTS, complete=48_000, pruned=51_000, running=100, paused=3)
    progress = replace(PROGRESS, workers=MANY, messages=long, counts=counts, budget_trials=100_000)
    screen.print(page.render(progress, height=height))
    lines = screen.file.getvalue().splitlines()
    assert len(lines) <= height or height < 16
    assert max(map(len, lines)) <= width
    told = "\n".join(lines)
    assert "\x1b" not in told
    assert "51000 pruned (52 %)" in told
    assert "100 workers: 66 idle, 34 training" in told
    assert re.search(r"and \d+ workers more", told)
    assert "idle" not in told.partition("100 workers: 66 idle")[2]  # those that train come first


def test_a_dumb_terminal_gets_lines(monkeypatch, capsys):
    monkeypatch.setenv("TERM", "dumb")
    dumb = Console(file=sys.stdout, force_terminal=True, markup=False, highlight=False)
    monkeypatch.setattr(live, "console", lambda **_: dumb)
    with live.presenter("val_accuracy") as present:
        present(PROGRESS)
    assert "trial 7 pruned" in capsys.readouterr().out
