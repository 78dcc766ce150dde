"""``hpsearch worker``: what it says and asks for before it begins."""

from __future__ import annotations

import errno
import sys
from types import SimpleNamespace

import pytest

from hpsearch.cli.commands import launch
from hpsearch.errors import DatabaseReplaced, DeviceUnusable, UserError
from hpsearch.search.ledger.types import Idle
from hpsearch.training.data.place import data_root
from hpsearch.workers import threads, worker
from hpsearch.workers.gpu import claimed_gpu
from hpsearch.workers.run_config import WorkerOptions


@pytest.fixture
def run(hpsearch, made_up, monkeypatch):
    """Run ``hpsearch worker`` on a host with so many cores and workers; nothing is trained."""
    asked: list[WorkerOptions] = []

    def run_worker(options: WorkerOptions) -> Idle:
        asked.append(options)
        return Idle.FINISHED

    def command(*arguments: str, cores: int = 4, others: int = 0):
        names = {f"here:worker-{nth}:0" for nth in range(others)}
        monkeypatch.setattr(worker, "run_worker", run_worker)
        monkeypatch.setattr(threads, "cores", lambda: cores)
        monkeypatch.setattr("hpsearch.workers.devices.cores", lambda: cores)
        monkeypatch.setattr(threads, "others_on_this_host", lambda *_: names)
        ran = hpsearch(
            "worker", "--study", "made_up", "--storage", made_up.url, "--device", "cpu", *arguments
        )
        assert ran.code == 0, ran.err
        return ran.out.splitlines(), asked[-1]

    return command


def test_alone_it_may_take_every_core(run) -> None:
    lines, options = run()
    assert lines[0] == "study made_up: on cpu with up to 4 threads"
    assert not any("warning" in line for line in lines)
    assert (options.threads, options.exact_threads) == (4, False)


def test_it_takes_the_threads_that_it_is_given(run) -> None:
    lines, options = run("--threads", "3")
    assert lines[0] == "study made_up: on cpu with 3 threads"
    assert (options.threads, options.exact_threads) == (3, True)


def test_a_second_worker_on_the_host_says_so(run) -> None:
    lines, _ = run(others=1)
    assert lines[1] == (
        "warning: 2 workers share the 4 cores of this host, 1 of them already running: each trains "
        "with 2 threads at most"
    )
    lines, _ = run(cores=2, others=2)
    assert lines[1].endswith("2 of them already running: one worker per core would be as fast")


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        (Idle.FINISHED, 0),
        (Idle.STOPPED, 0),
        (None, 75),
        (DeviceUnusable("the GPU doesn't compute"), 69),
        (MemoryError(), 69),
        (OSError(errno.ENOSPC, "No space left on device"), 69),
        (UserError("the plug-in is missing"), 2),
        (DatabaseReplaced("the database was replaced"), 1),
    ],
)
def test_the_exit_code_says_whether_to_start_it_again(
    hpsearch, made_up, monkeypatch, ending, code
) -> None:
    def run_worker(options: WorkerOptions) -> Idle | None:
        if isinstance(ending, Exception):
            raise ending
        return ending

    monkeypatch.setattr(worker, "run_worker", run_worker)
    ran = hpsearch("worker", "--study", "made_up", "--storage", made_up.url, "--device", "cpu")
    assert ran.code == code
    assert (ran.err == "") == (not isinstance(ending, Exception))
    assert "Traceback" not in ran.err


def test_a_database_that_does_not_answer_is_asked_again_later(hpsearch) -> None:
    """As a wrong input it would end a Job with all its pods, as one of them happens to start."""
    pytest.importorskip("psycopg")
    away = hpsearch("worker", "--study", "made_up", "--storage", "postgresql://me@127.0.0.1:1/x")
    assert away.code == 75
    assert "the database must be reachable" in away.err


def test_a_worker_of_an_engine_waits_before_it_gives_up(hpsearch, monkeypatch) -> None:
    """An engine starts it again at once: a cluster would get a job every few seconds."""
    pytest.importorskip("psycopg")
    monkeypatch.setenv("HPSEARCH_WORKER", "1")
    monkeypatch.setattr(launch, "START_SECONDS", 0.5)
    away = hpsearch("worker", "--study", "made_up", "--storage", "postgresql://me@127.0.0.1:1/x")
    assert away.code == 75
    assert "the database must answer within 0.5 s, but " in away.err


def test_too_little_memory_for_torch_is_the_machines_fault(hpsearch, made_up, monkeypatch) -> None:
    class NoMemory:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "hpsearch.workers.worker":
                raise ImportError("libtorch.so: failed to map segment from shared object")

    monkeypatch.delitem(sys.modules, "hpsearch.workers.worker")
    monkeypatch.setattr(sys, "meta_path", [NoMemory(), *sys.meta_path])
    full = hpsearch("worker", "--study", "made_up", "--storage", made_up.url, "--device", "cpu")
    assert full.code == 69
    assert "this machine gives no more memory" in full.err


def test_a_machine_without_the_gpu_isnt_a_wrong_input(hpsearch, made_up) -> None:
    absent = hpsearch(
        "worker", "--study", "made_up", "--storage", made_up.url, "--device", "cuda:63"
    )
    assert (absent.code, absent.out) == (69, "")
    assert "device 'cuda:63' must exist, but this machine has" in absent.err
    wrong = hpsearch("worker", "--study", "made_up", "--storage", made_up.url, "--device", "gpu")
    assert wrong.code == 2


def test_free_is_a_gpu_that_no_other_worker_has_claimed(
    run, hpsearch, made_up, monkeypatch
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr(
        "torch.cuda.get_device_properties", lambda index: SimpleNamespace(uuid=f"GPU-{index}")
    )
    lines, options = run("--device", "free")
    assert (options.device, lines[0]) == ("cuda:0", "study made_up: on cuda:0 with up to 4 threads")
    with claimed_gpu(data_root() / "gpus"):
        assert run("--device", "free")[1].device == "cuda:1"
        with claimed_gpu(data_root() / "gpus"):
            study = ("--study", "made_up", "--storage", made_up.url)
            ran = hpsearch("worker", *study, "--device", "free")
    assert (ran.code, "2 GPUs is claimed by another worker" in ran.err) == (69, True)
    assert run("--device", "free")[1].device == "cuda:0"
