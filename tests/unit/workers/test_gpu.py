"""CUDA in a worker: opened first, given up when it is broken; on a pretended GPU."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from support.pretended_gpu import PretendedGpu, pretended_gpu

import hpsearch.training.builtin  # noqa: F401 - fills the registries
from hpsearch.errors import DeviceUnusable, UserError
from hpsearch.exit_codes import NODE_UNUSABLE
from hpsearch.registry import Component
from hpsearch.study_file.trial_config import DataConfig, TrialConfig
from hpsearch.workers import worker
from hpsearch.workers.gpu import claimed_gpu, open_device, require_sound
from hpsearch.workers.launch import worker_pool
from hpsearch.workers.launch.estimate import timings
from hpsearch.workers.trial import gpu_memory, memory
from hpsearch.workers.trial.build_plan import device_name, plan_build

GPU = "cuda:0"


@pytest.fixture
def gpu() -> Iterator[PretendedGpu]:
    with pretended_gpu() as pretended:
        yield pretended


def test_the_peak_can_be_measured_before_cuda_was_used(gpu) -> None:
    """PyTorch refuses to reset statistics then, and a worker's first trial is such a time."""
    with pytest.raises(RuntimeError, match="did you call init"):
        torch.cuda.reset_peak_memory_stats(GPU)
    memory.measure_from_here(GPU)
    open_device(GPU)
    memory.measure_from_here(GPU)


def test_a_gpu_that_computes_is_opened(gpu) -> None:
    open_device(GPU)
    require_sound(GPU)
    assert gpu.cuda.initialised
    assert device_name(GPU) == "cuda:0 (NVIDIA Pretended)"
    assert gpu_memory.total_bytes(GPU) == gpu_memory.free_bytes(GPU) == 80 * 10**9


def test_a_gpu_that_does_not_compute_is_named(gpu) -> None:
    gpu.cuda.broken = True
    with pytest.raises(DeviceUnusable, match="a worker on cuda:0 needs a working GPU"):
        open_device(GPU)


def test_a_process_whose_cuda_broke_is_told_apart(gpu) -> None:
    open_device(GPU)
    gpu.cuda.broken = True
    with pytest.raises(DeviceUnusable, match="device-side assert triggered"):
        require_sound(GPU)


def test_the_cpu_needs_no_opening() -> None:
    open_device("cpu")
    require_sound("cpu")


def test_a_worker_without_its_gpu_ends_in_one_line_and_another_may_be_started(
    monkeypatch, capsys
) -> None:
    def run_worker(options: object) -> None:
        raise DeviceUnusable("CUDA is broken")

    monkeypatch.setattr(worker, "run_worker", run_worker)
    monkeypatch.setattr(worker_pool, "start_heartbeat", lambda counter: None)
    monkeypatch.setattr(worker_pool.faulthandler, "enable", lambda: None)  # it wants a real stderr
    with pytest.raises(SystemExit) as ended:
        worker_pool.worker_process(SimpleNamespace(), get_context("spawn").Value("i", 0))
    # A user's mistake would end the whole launch
    assert ended.value.code == NODE_UNUSABLE
    assert capsys.readouterr().err == "error: CUDA is broken\n"


def test_the_time_of_a_batch_is_asked_when_the_gpu_has_done_it(gpu, tmp_path: Path) -> None:
    """A step returns when its kernels wait in the queue, long before they have run."""
    config = TrialConfig(
        data=DataConfig(source=Component("digits"), limit=200),
        model=Component("mlp", {"hidden": [8]}),
        optimizer=Component("sgd", {"lr": 0.1}),
        lr_schedule=Component("constant"),
        batch_size=20,
        epochs=3,
        split_seed=0,
        seed=0,
    )
    blueprint = plan_build(config, device=GPU, threads=1, data=tmp_path)
    before = gpu.cuda.synchronized
    (timing,) = timings(pickle.dumps([blueprint]), (), tmp_path)
    assert timing is not None and timing.average_epoch > 0
    assert gpu.cuda.synchronized - before >= len(blueprint.plan.batches)


def machine_of(gpus: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process see so many GPUs."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda index: SimpleNamespace(uuid=f"GPU-{index}")
    )


def test_each_worker_claims_a_gpu_of_its_own(monkeypatch, tmp_path: Path) -> None:
    machine_of(3, monkeypatch)
    folder = tmp_path / "gpus"
    with claimed_gpu(folder) as first, claimed_gpu(folder) as second:
        with claimed_gpu(folder) as third:
            assert (first, second, third) == ("cuda:0", "cuda:1", "cuda:2")
            with pytest.raises(DeviceUnusable, match="3 GPUs is claimed by another worker"):
                claimed_gpu(folder).__enter__()
        with claimed_gpu(folder) as again:
            assert again == "cuda:2"
    with claimed_gpu(folder) as free:
        assert free == "cuda:0"


def test_another_hosts_gpus_are_others(monkeypatch, tmp_path: Path) -> None:
    """They have the same numbers, and their hosts may share the folder."""
    machine_of(1, monkeypatch)
    with claimed_gpu(tmp_path):
        monkeypatch.setattr(
            torch.cuda, "get_device_properties", lambda _: SimpleNamespace(uuid="GPU-elsewhere")
        )
        with claimed_gpu(tmp_path) as other:
            assert other == "cuda:0"


def test_a_machine_without_a_gpu_has_none_to_claim(monkeypatch, tmp_path: Path) -> None:
    machine_of(0, monkeypatch)
    with pytest.raises(DeviceUnusable, match="has no CUDA GPU that PyTorch can use"):
        claimed_gpu(tmp_path).__enter__()


def test_a_folder_for_claims_that_cant_be_written_is_named(monkeypatch, tmp_path: Path) -> None:
    machine_of(1, monkeypatch)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="set HPSEARCH_DATA to a writable folder"):
        claimed_gpu(tmp_path / "file" / "gpus").__enter__()


CLAIMS = """
import sys
from pathlib import Path
from types import SimpleNamespace
import torch
from hpsearch.workers.gpu import claimed_gpu
torch.cuda.device_count = lambda: 2
torch.cuda.get_device_properties = lambda index: SimpleNamespace(uuid=f"GPU-{index}")
with claimed_gpu(Path(sys.argv[1])) as gpu:
    print(gpu, flush=True)
    sys.stdin.read()
"""


def test_the_claim_of_a_killed_worker_ends_with_it(monkeypatch, tmp_path: Path) -> None:
    machine_of(2, monkeypatch)
    command = [sys.executable, "-c", CLAIMS, str(tmp_path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "cuda:0\n"
        with claimed_gpu(tmp_path) as ours:
            assert ours == "cuda:1"
        other.kill()
    with claimed_gpu(tmp_path) as ours:
        assert ours == "cuda:0"
